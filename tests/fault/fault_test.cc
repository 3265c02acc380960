// The Nth allocation fails, for all N: every path back must release what it took, leave a message and hand nothing out.
extern "C" {
#include "core/cpu/cpu.h"
#include "core/model.h"
#include "core/ops/ops.h"
#include "data/dataset.h"
#include "engram/engram.h"
#include "layers/layers.h"
}

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <sys/time.h>

namespace
{

struct Failing {
    long until = -1; // allocations that still succeed; -1: all do
    long live = 0, given = 0;
};

void *Alloc(void *user, size_t bytes)
{
    auto *f = static_cast<Failing *>(user);
    if (f->until == 0)
        return nullptr;
    if (f->until > 0)
        f->until--;
    f->live++;
    f->given++;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

void Release(void *user, void *block)
{
    static_cast<Failing *>(user)->live--;
    free(block);
}

eg_status Open(Failing *f, eg_context **out)
{
    eg_allocator allocator = {Alloc, Release, f};
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator;
    options.threads = 1;
    return eg_context_create(out, &options);
}

// Runs `work` with ever later failures until it succeeds; it must free whatever it was given.
void FailEverywhere(const std::function<eg_status(eg_context *)> &work)
{
    long n = 0;
    for (;; n++) {
        ASSERT_LT(n, 200000) << "never succeeds";
        Failing f;
        eg_context *context = nullptr;
        ASSERT_EQ(EG_OK, Open(&f, &context));
        const long before = f.live;
        f.until = n;
        const eg_status status = work(context);
        f.until = -1;
        EXPECT_EQ(before, f.live) << "leak when allocation " << n << " fails";
        if (status != EG_OK) {
            EXPECT_EQ(EG_ERR_NOMEM, status) << eg_last_message() << " (allocation " << n << ")";
            EXPECT_STRNE("", eg_last_message());
        }
        eg_context_free(context);
        EXPECT_EQ(0, f.live);
        if (status == EG_OK || testing::Test::HasFailure())
            break;
    }
    EXPECT_GT(n, 0) << "allocates nothing: the test tests nothing";
}

eg_status AddLayer(eg_model *m, const char *type, const char *config, int *tensor)
{
    int layer;
    json_t *json = json_loads(config, 0, nullptr);
    eg_status status = egi_model_add_layer(m, egi_layer_type_find(type), json, nullptr, &layer);
    json_decref(json);
    return status == EG_OK ? egi_model_call(m, layer, tensor, 1, -1, tensor) : status;
}

eg_status BuildNet(eg_model *m)
{
    int tensor;
    egi_shape shape = {3, {6, 6, 2}};
    EG_TRY(egi_model_add_input(m, &shape, &tensor));
    EG_TRY(AddLayer(m, "Conv2D", "{\"name\": \"c\", \"filters\": 3, \"kernel_size\": 3, \"activation\": \"relu\"}",
                    &tensor));
    EG_TRY(AddLayer(m, "BatchNormalization", "{\"name\": \"b\"}", &tensor));
    EG_TRY(AddLayer(m, "MaxPooling2D", "{\"name\": \"p\"}", &tensor));
    EG_TRY(AddLayer(m, "Flatten", "{\"name\": \"f\"}", &tensor));
    EG_TRY(AddLayer(m, "Dense", "{\"name\": \"d\", \"units\": 4, \"activation\": \"softmax\"}", &tensor));
    EG_TRY(egi_model_add_output(m, tensor));
    return egi_model_finish(m);
}

eg_status MakeNet(eg_context *c, eg_model **out)
{
    EG_TRY(egi_model_create(out, c, EGI_F32, 3));
    return BuildNet(*out);
}

eg_status CompileTraining(eg_model *m, void *grads, egi_plan *p)
{
    egi_model_io io = {};
    egi_val logits;
    egi_act head;
    EG_TRY(egi_model_emit(m, p, grads, nullptr, &io));
    egi_free(m->context, io.params);
    egi_softmax_xent loss = {};
    EG_TRY(egi_plan_logits(p, io.out[0], &logits, &head));
    loss.labels = egi_plan_input(p, EGI_I32, egi_shape{1, {5}});
    loss.z = logits;
    loss.loss = egi_temp(p, egi_shape{0, {}});
    loss.dz = egi_temp(p, egi_shape{2, {5, 4}});
    loss.scale = 1;
    egi_plan_keep(p, loss.loss);
    EG_TRY(egi_plan_emit(p, &egi_op_softmax_xent, &loss));
    EG_TRY(egi_plan_fuse(p));
    EG_TRY(egi_plan_backward(p, loss.loss));
    EG_TRY(egi_plan_compile(p));
    egi_control control = {};
    control.weights_version = 1;
    return egi_plan_run(p, &control);
}

TEST(Fault, Context)
{
    for (long n = 0;; n++) {
        Failing f;
        f.until = n;
        eg_context *context = nullptr;
        const eg_status status = Open(&f, &context);
        if (status == EG_OK) {
            eg_context_free(context);
            EXPECT_EQ(0, f.live);
            EXPECT_GT(n, 0);
            return;
        }
        EXPECT_EQ(EG_ERR_NOMEM, status);
        EXPECT_EQ(nullptr, context);
        EXPECT_EQ(0, f.live) << "leak when allocation " << n << " fails";
    }
}

TEST(Fault, Model)
{
    FailEverywhere([](eg_context *c) {
        eg_model *m = nullptr, *copy = nullptr;
        eg_status status = MakeNet(c, &m);
        if (status == EG_OK)
            status = eg_model_clone(&copy, m);
        eg_model_free(copy);
        eg_model_free(m);
        return status;
    });
}

TEST(Fault, TrainingPlan)
{
    FailEverywhere([](eg_context *c) {
        eg_model *m = nullptr;
        egi_plan *p = nullptr;
        void *grads = nullptr;
        eg_status status = MakeNet(c, &m);
        if (status == EG_OK)
            status = egi_model_arena(&grads, m);
        if (status == EG_OK)
            status = egi_plan_create(&p, c, 5, EGI_F32, true);
        if (status == EG_OK)
            status = CompileTraining(m, grads, p);
        egi_plan_free(p);
        egi_free(c, grads);
        eg_model_free(m);
        return status;
    });
}

TEST(Fault, Dataset)
{
    FailEverywhere([](eg_context *c) {
        uint8_t x[6][4] = {{0}};
        int32_t labels[6] = {0, 1, 0, 1, 2, 2};
        const int64_t shape[1] = {4};
        eg_dataset *d = nullptr, *picked = nullptr;
        int64_t index[2] = {3, 1}, *a = nullptr, *b = nullptr, na, nb, same;
        eg_status status = eg_dataset_from_arrays(&d, c, x, EG_DTYPE_U8, 6, shape, 1, labels);
        if (status == EG_OK)
            status = egi_dataset_pick(&picked, d, index, 2);
        if (status == EG_OK)
            status = egi_dataset_split(&a, &na, &b, &nb, d, 0.5, 1);
        if (status == EG_OK)
            status = eg_dataset_duplicates(d, picked, &same);
        egi_free(c, a);
        egi_free(c, b);
        eg_dataset_free(picked);
        eg_dataset_free(d);
        return status;
    });
}

TEST(Fault, Config)
{
    FailEverywhere([](eg_context *c) {
        eg_config *config = nullptr, *copy = nullptr;
        char *text = nullptr;
        eg_status status = eg_config_create(&config, c);
        if (status == EG_OK)
            status = eg_config_set(config, "data.keep", "a,b,c");
        if (status == EG_OK)
            status = eg_config_clone(&copy, config);
        if (status == EG_OK)
            status = eg_config_print(&text, copy);
        eg_text_free(c, text);
        eg_config_free(copy);
        eg_config_free(config);
        return status;
    });
}

// oneDNN's matrix product keeps data below its stack pointer: a signal handler that ran there would corrupt it and the
// heap.
TEST(Fault, SignalsDoNotDisturbProducts)
{
    Failing f;
    eg_context *c = nullptr;
    ASSERT_EQ(EG_OK, Open(&f, &c));
    const int64_t shapes[][3] = {{16, 64, 512}, {512, 64, 16}, {16, 512, 64}, {16, 10, 64}, {13, 7, 5}};
    struct sigaction action = {}, old = {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, &old);
    const itimerval often = {{0, 300}, {0, 300}}, never = {};
    for (const auto &s : shapes) {
        egi_plan *p = nullptr;
        egi_gemm g = {};
        ASSERT_EQ(EG_OK, egi_plan_create(&p, c, 1, EGI_F32, false));
        g.a = egi_plan_input(p, EGI_F32, egi_shape{2, {s[0], s[2]}});
        g.b = egi_plan_input(p, EGI_F32, egi_shape{2, {s[2], s[1]}});
        g.c = egi_temp(p, egi_shape{2, {s[0], s[1]}});
        egi_plan_keep(p, g.c);
        ASSERT_EQ(EG_OK, egi_plan_emit(p, &egi_op_gemm, &g));
        ASSERT_EQ(EG_OK, egi_plan_compile(p));
        for (egi_val v : {g.a, g.b})
            for (int64_t i = 0; i < egi_count(&p->t[v]); i++)
                egi_set(&p->t[v], i, static_cast<double>(i * 7 % 13) - 6);
        egi_control control = {};
        ASSERT_EQ(EG_OK, egi_plan_run(p, &control));
        const auto *y = static_cast<const float *>(egi_plan_data(p, g.c));
        const std::string quiet(reinterpret_cast<const char *>(y), static_cast<size_t>(s[0] * s[1]) * sizeof *y);
        setitimer(ITIMER_REAL, &often, nullptr);
        for (int i = 0; i < 1500; i++)
            ASSERT_EQ(EG_OK, egi_plan_run(p, &control));
        setitimer(ITIMER_REAL, &never, nullptr);
        EXPECT_TRUE(memcmp(quiet.data(), y, quiet.size()) == 0);
        egi_plan_free(p);
    }
    sigaction(SIGALRM, &old, nullptr);
    eg_context_free(c);
    EXPECT_EQ(0, f.live);
}

TEST(Fault, ImpossibleSizesAreRefused)
{
    Failing f;
    eg_context *c = nullptr;
    ASSERT_EQ(EG_OK, Open(&f, &c));
    void *block = nullptr;
    EXPECT_EQ(EG_ERR_NOMEM, egi_alloc(&block, c, INT64_MAX, 8));
    EXPECT_EQ(EG_ERR_NOMEM, egi_alloc(&block, c, -1, 8));
    EXPECT_EQ(nullptr, block);
    eg_context_free(c);
}

} // namespace
