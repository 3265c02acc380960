// Training on device cuda equals training on the cpu; a graph equals its kernels one by one.
#include "tests/finetune/world.h"

#include <algorithm>

extern "C" {
#include "core/mirror.h"
#include "core/ops/ops.h"
#include "cuda/cuda.h"
}

namespace
{

const char kConv[] = R"([
    {"class_name":"Conv2D","config":{"name":"conv","filters":6,"kernel_size":3,"padding":"same","use_bias":false}},
    {"class_name":"BatchNormalization","config":{"name":"norm"}},
    {"class_name":"Activation","config":{"name":"relu","activation":"relu"}},
    {"class_name":"MaxPooling2D","config":{"name":"pool"}},
    {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"head","units":5,"activation":"softmax"}}])";
const char kDense[] = R"([
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":33,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"second","units":17,"activation":"tanh"}},
    {"class_name":"Dense","config":{"name":"head","units":5,"activation":"softmax"}}])";

const char kMnist[] = R"([
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":100,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"second","units":100,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"head","units":10,"activation":"softmax"}}])";
const char kDropout[] = R"([
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":32,"activation":"relu"}},
    {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
    {"class_name":"Dense","config":{"name":"head","units":5,"activation":"softmax"}}])";
const char kWide[] = R"([
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":257,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"head","units":5,"activation":"softmax"}}])";

struct Kind {
    const char *layers;
    bool anchor, rehearsal;
    const char *name;
    std::vector<int64_t> input{8, 8, 3};
};

// Losses of ten steps, and the weights at their end.
struct Trained {
    std::vector<double> losses;
    std::vector<unsigned char> weights;
    std::vector<std::string> ops; // of a step, and where a profile puts them
};

void arena_of(void **out, const Model &model, double value)
{
    ASSERT_OK(egi_model_arena(out, model.m));
    const egi_tensor t = {*out, EGI_F32, EGI_SHAPE(model.m->arena_count)};
    for (int64_t i = 0; i < model.m->arena_count; i++)
        egi_set(&t, i, value);
}

void results(Trained &out, egi_trainer *trainer)
{
    egi_step_result r[EGI_STEPS_OPEN];
    int64_t n = 0;
    ASSERT_OK(egi_trainer_results(trainer, r, &n));
    for (int64_t i = 0; i < n; i++)
        out.losses.push_back(r[i].loss + r[i].penalty);
}

// What the host asked of the runtime that waits for all that the device was told to do.
int waits = 0;
egi_cudart runtime;

cudaError_t counted_wait(cudaStream_t stream)
{
    waits++;
    return runtime.cudaStreamSynchronize(stream);
}

void count_waits(const Context &context)
{
    auto *cuda = reinterpret_cast<egi_cuda *>(context.c->device);
    runtime = cuda->api;
    cuda->api.cudaStreamSynchronize = counted_wait;
    waits = 0;
}

// How steps are asked for their results: after each one, or after all, which must not wait in between.
enum class Ask { Each, Late };

struct How {
    const char *device;
    bool eager = false;
    Ask ask = Ask::Each;
    egi_resident_mode resident = EGI_RESIDENT_ON;
    egi_augment augment = {};
    bool separate = false; // no operation for a whole step
};

// Data sets whose examples are put together by the steps themselves.
int64_t gathers(const egi_trainer *trainer)
{
    int64_t n = 0;
    const egi_plan *plan = egi_trainer_plan(trainer, 12);
    for (int64_t i = 0; i < plan->n_nodes; i++)
        n += !plan->nodes[i].dead && plan->nodes[i].op == &egi_op_gather;
    return n;
}

void steps(Trained &out, egi_trainer *trainer, const Context &context, bool rehearsal, Ask ask)
{
    for (int step = 0; step < 10; step++) {
        std::vector<egi_item> items;
        for (int64_t i = 0; i < 12; i++)
            items.push_back({(step * 12 + i) % 40, rehearsal ? (int32_t)(i % 2) : 0});
        ASSERT_OK(egi_trainer_begin_step(trainer, items.data(), 12, 0.01, 0.5));
        if (ask == Ask::Each)
            results(out, trainer);
        else if (step == 0) // it has brought over the arenas
            count_waits(context);
    }
    if (ask == Ask::Late) {
        EXPECT_EQ(0, waits);
        EXPECT_EQ(10, egi_trainer_open(trainer));
        results(out, trainer);
        EXPECT_EQ(1, waits);
    }
}

// How often a captured graph was launched.
int64_t launches(const Context &context)
{
    const auto *cuda = reinterpret_cast<const egi_cuda *>(context.c->device);
    int64_t n = 0;
    for (const egi_cuda_graph &g : cuda->graphs)
        n += g.exec ? g.runs - 1 : 0; // the first run is plain
    return n;
}

// A further step, profiled.
void name_ops(Trained &out, egi_trainer *trainer, const Context &context)
{
    egi_laps laps{};
    eg_profile *profile = nullptr;
    const egi_item items[12] = {};
    egi_step_result r{};
    ASSERT_OK(egi_trainer_measure(trainer, &laps));
    ASSERT_OK(egi_trainer_step(trainer, items, 12, 0.01, 0.5, &r));
    ASSERT_OK(egi_profile_create(&profile, context.c, true));
    ASSERT_OK(egi_trainer_profile(trainer, profile));
    for (int64_t i = 0; i < profile->n_rows; i++) {
        const eg_profile_row &row = profile->rows[i];
        out.ops.push_back(std::string(row.op) + " " + row.layer + " " + eg_phase_name(row.phase));
    }
    eg_profile_free(profile);
}

void train(Trained &out, const How &how, const Kind &kind)
{
    Context context(1, nullptr, how.device);
    ASSERT_STREQ(how.device, eg_context_device(context.c));
    context.c->device->eager = how.eager;
    context.c->device->separate = how.separate;
    Model model;
    Dataset data[2];
    egi_shape input{};
    int64_t each = 1;
    for (const int64_t n : kind.input) {
        input.dim[input.rank++] = n;
        each *= n;
    }
    Model::chain(model, context.c, EGI_F32, input, kind.layers);
    ASSERT_NE(nullptr, model.m);
    egi_source sources[2]{};
    for (uint32_t s = 0; s < 2; s++) {
        data[s].make(context.c, normal(40 * each, 10 + s), kind.input, labels(40, 5, 20 + s));
        sources[s].data = data[s].d;
    }
    Config config(context.c);
    egi_trainer_options o{};
    o.optimizer = egi_optimizer_find("adamw");
    o.settings = o.optimizer->fallback;
    o.settings.clip_norm = 1;
    o.penalties.weight_decay = 0.01;
    o.penalties.l1 = 1e-4;
    o.log_penalty = true;
    o.seed = 1;
    o.resident = how.resident;
    o.augment = how.augment;
    o.sources = sources;
    o.n_sources = kind.rehearsal ? 2 : 1;
    void *anchor = nullptr, *omega = nullptr;
    if (kind.anchor) {
        arena_of(&anchor, model, 0.05);
        arena_of(&omega, model, 1.5);
    }
    o.anchor = anchor;
    o.omega = omega;
    ASSERT_OK(egi_objective_make(&o.objective, model.m, egi_config_run(config.c), sources, o.n_sources));
    egi_trainer *trainer = nullptr;
    ASSERT_OK(egi_trainer_create(&trainer, model.m, &o));
    ASSERT_OK(egi_trainer_prepare(trainer, 12));
    steps(out, trainer, context, kind.rehearsal, how.ask);
    if (std::string(how.device) == "cuda") {
        EXPECT_EQ(how.eager ? 0 : 9, launches(context));
        EXPECT_EQ(how.resident == EGI_RESIDENT_OFF ? 0 : o.n_sources, gathers(trainer));
    }
    out.weights = model.bytes();
    name_ops(out, trainer, context);
    egi_trainer_free(trainer);
    egi_free(context.c, anchor);
    egi_free(context.c, omega);
}

class Steps : public ::testing::TestWithParam<Kind>
{
};

} // namespace

TEST_P(Steps, AreThoseOfTheCpu)
{
    Trained cpu, cuda;
    train(cpu, {"cpu"}, GetParam());
    train(cuda, {"cuda"}, GetParam());
    ASSERT_EQ(10u, cpu.losses.size());
    ASSERT_EQ(10u, cuda.losses.size());
    for (size_t i = 0; i < 10; i++)
        EXPECT_NEAR(cpu.losses[i], cuda.losses[i], 1e-4 * cpu.losses[i]) << "step " << i;
    EXPECT_LT(cpu.losses[9], cpu.losses[0]);
}

TEST_P(Steps, OfAGraphAreThoseOfItsKernels)
{
    Trained graph, eager, again;
    train(graph, {"cuda"}, GetParam());
    train(again, {"cuda"}, GetParam());
    train(eager, {"cuda", true}, GetParam());
    EXPECT_EQ(graph.losses, eager.losses);
    EXPECT_EQ(graph.weights, eager.weights);
    EXPECT_EQ(graph.weights, again.weights);
}

// The host fills the next batches while the device computes: nothing is read before it is there, or after it is gone.
TEST_P(Steps, AreTheSameWithoutWaitingForEach)
{
    for (const auto resident : {EGI_RESIDENT_ON, EGI_RESIDENT_OFF}) {
        Trained each, late;
        train(each, {"cuda", false, Ask::Each, resident}, GetParam());
        train(late, {"cuda", false, Ask::Late, resident}, GetParam());
        EXPECT_EQ(each.losses, late.losses);
        EXPECT_EQ(each.weights, late.weights);
    }
}

// Batches that the device puts together are those that the host would have sent, augmented or not.
TEST_P(Steps, OfResidentDataAreThoseOfBatches)
{
    for (const egi_augment augment : {egi_augment{0, 0}, egi_augment{1, 2}}) {
        Trained resident, sent;
        train(resident, {"cuda", false, Ask::Late, EGI_RESIDENT_ON, augment}, GetParam());
        train(sent, {"cuda", false, Ask::Late, EGI_RESIDENT_OFF, augment}, GetParam());
        EXPECT_EQ(resident.losses, sent.losses);
        EXPECT_EQ(resident.weights, sent.weights);
    }
}

INSTANTIATE_TEST_SUITE_P(All, Steps,
                         ::testing::Values(Kind{kDense, false, false, "dense"},
                                           Kind{kDense, true, true, "dense_anchor_rehearsal"},
                                           Kind{kMnist, false, false, "mnist", {28, 28, 1}},
                                           Kind{kConv, false, false, "conv"}, Kind{kConv, true, false, "conv_anchor"},
                                           Kind{kConv, false, true, "conv_rehearsal"},
                                           Kind{kConv, true, true, "conv_anchor_rehearsal"}),
                         [](const auto &info) { return std::string(info.param.name); });

// Networks of dense layers alone have one operation beside the update's; in a profile it is of no layer. A step that
// is one operation is the same step.
TEST(WholeSteps, AreThoseOfSeparateOperations)
{
    std::vector<std::string> ops{"gather  forward", "mlp_step  forward", "update_norm  update", "adam  update",
                                 "record  update"};
    for (const Kind &kind : {Kind{kDense, false, false, "dense"}, Kind{kDense, true, true, "dense_anchor_rehearsal"},
                             Kind{kMnist, false, false, "mnist", {28, 28, 1}}}) {
        Trained whole, separate;
        train(whole, {"cuda"}, kind);
        How how{"cuda"};
        how.separate = true;
        train(separate, how, kind);
        EXPECT_EQ(ops, whole.ops) << kind.name;
        EXPECT_LT(12u, separate.ops.size()) << kind.name;
        for (size_t i = 0; i < 10; i++)
            EXPECT_NEAR(separate.losses[i], whole.losses[i], 1e-4 * separate.losses[i]) << kind.name << ", step " << i;
    }
}

TEST(WholeSteps, AreNotMadeOfOtherNetworks)
{
    for (const char *layers : {kDropout, kWide, kConv}) {
        Trained t;
        train(t, {"cuda"}, {layers, false, false, ""});
        EXPECT_LT(6u, t.ops.size()) << layers;
        EXPECT_EQ(0, std::count(t.ops.begin(), t.ops.end(), "mlp_step  forward")) << layers;
    }
}

cudaError_t little_memory(size_t *free_bytes, size_t *total)
{
    *free_bytes = *total = 40 * 8 * 8 * 3 * sizeof(float) * 3 / 2;
    return cudaSuccess;
}

// Data that takes more than half of what is free is sent batch by batch, or is asked for in vain.
TEST(Resident, TakesWhatThereIs)
{
    Context context(1, nullptr, "cuda");
    Model model;
    Dataset data;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(8, 8, 3), kDense);
    data.make(context.c, normal(40 * 8 * 8 * 3, 1), {8, 8, 3}, labels(40, 5, 2));
    const egi_source source = {data.d, nullptr, nullptr, 0, nullptr}, twice[] = {source, source};
    reinterpret_cast<egi_cuda *>(context.c->device)->api.cudaMemGetInfo = little_memory;
    bool done = true;
    ASSERT_OK(egi_resident_begin(&done, model.m, &source, 1, EGI_RESIDENT_AUTO));
    EXPECT_FALSE(done);
    ASSERT_OK(egi_resident_begin(&done, model.m, &source, 1, EGI_RESIDENT_ON));
    EXPECT_TRUE(done);
    ASSERT_OK(egi_resident_begin(&done, model.m, &source, 1, EGI_RESIDENT_ON)); // another trainer
    egi_resident_end(model.m, &source, 1);
    EXPECT_NE(nullptr, egi_mirror_find(context.c, data.d->x[0]));
    egi_resident_end(model.m, &source, 1);
    EXPECT_EQ(nullptr, egi_mirror_find(context.c, data.d->x[0]));
    EXPECT_EQ(EG_ERR_NOMEM, egi_resident_begin(&done, model.m, twice, 2, EGI_RESIDENT_ON));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "finetune.resident=auto")) << eg_last_message();
}

// A whole run: importance is estimated, batches are composed, epochs measured, the best weights taken.
TEST(Runs, AreThoseOfTheCpu)
{
    for (const char *method : {"rehearsal", "ewc", "l2sp"}) {
        double fresh[2], kept[2], losses[2];
        for (int device = 0; device < 2; device++) {
            World w(device ? "cuda" : "cpu");
            w.pretrain();
            w.config.set("remember.method", method).set("finetune.epochs", "2");
            Result result;
            finetune(result, w, w.fresh, {&w.old});
            ASSERT_NE(nullptr, result.r);
            fresh[device] = result.r->new_after;
            kept[device] = result.r->keep[0].after;
            losses[device] = result.r->epochs[1].loss; // of all its steps
        }
        EXPECT_NEAR(losses[0], losses[1], 1e-4 * losses[0]) << method;
        EXPECT_NEAR(fresh[0], fresh[1], 0.02) << method;
        EXPECT_NEAR(kept[0], kept[1], 0.02) << method;
    }
}

// The real network's outputs on real digits.
TEST(RealNet, LeNetOn64Digits)
{
    const char *given = getenv("EG_SHARED");
    const std::string shared = given ? given : EG_SOURCE_DIR "/../shared";
    const std::string folder = shared + "/checkpoints/deepxplore-mnist-lenets/";
    std::vector<float> y[2];
    for (int device = 0; device < 2; device++) {
        Context context(1, nullptr, device ? "cuda" : "cpu");
        eg_dataset *digits = nullptr;
        if (!std::ifstream(folder + "Model3.h5"))
            GTEST_SKIP() << "no " << folder;
        eg_load_options options = EG_LOAD_OPTIONS_INIT;
        const std::string arch = folder + "Model3.arch.json", path = shared + "/data/mnist";
        options.arch = arch.c_str();
        Model model;
        ASSERT_OK(eg_model_load(&model.m, context.c, (folder + "Model3.h5").c_str(), &options));
        ASSERT_OK(eg_dataset_load(&digits, context.c, path.c_str(), EG_PART_TEST));
        std::vector<float> x(64 * 28 * 28);
        ASSERT_OK(eg_dataset_read(digits, 0, 0, 64, x.data()));
        for (float &v : x)
            v /= 255;
        y[device].resize(64 * 10);
        const float *in[] = {x.data()};
        float *out[] = {y[device].data()};
        ASSERT_OK(eg_model_predict(model.m, in, 64, out));
        eg_dataset_free(digits);
    }
    for (size_t i = 0; i < y[0].size(); i++)
        EXPECT_NEAR(y[0][i], y[1][i], 1e-5) << i;
}
