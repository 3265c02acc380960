// The Nth allocation of a whole run fails, for all N: a message, nothing leaked, the model as it was.
#include "support.h"

#include <cstdlib>

namespace
{

struct Failing {
    long left = -1; // allocations that still succeed; -1: all
    bool failed = false;
};

void *Alloc(void *user, size_t bytes)
{
    Failing *f = static_cast<Failing *>(user);
    if (f->left == 0) {
        f->failed = true;
        return nullptr;
    }
    if (f->left > 0)
        f->left--;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

void Release(void *, void *block)
{
    free(block);
}

const char kNet[] = R"([
    {"class_name":"Dense","config":{"name":"hidden","units":4,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";

// Frozen: the first layer runs once an example, and what it gives is kept.
void failEverywhere(bool frozen)
{
    Failing f;
    const eg_allocator allocator = {Alloc, Release, &f};
    Context context(1, &allocator);
    Model model;
    Dataset fresh, old;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(2), kNet);
    fresh.make(context.c, normal(80, 1), {2}, labels(40, 2, 2), "fresh");
    old.make(context.c, normal(80, 3), {2}, labels(40, 2, 4), "old");
    Config config(context.c);
    config.set("finetune.epochs", "1").set("finetune.batch", "16").set("remember.buffer_kind", "herding");
    config.set("finetune.class_weights", "balanced").set("remember.budget", "0").set("remember.buffer", "10");
    if (frozen)
        config.set("finetune.freeze", "hidden").set("finetune.cache", "on");
    const eg_dataset *keep = old.d;
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config.c;
    job.new_train = fresh.d;
    job.keep_train = &keep;
    job.n_keep = 1;
    const std::vector<unsigned char> before = model.bytes();
    egi_model_drop_cache(model.m);
    const int64_t live = context.c->live_blocks;
    long n = 0;
    for (;; n++) {
        eg_finetune_result *r = nullptr;
        f.left = n;
        f.failed = false;
        const eg_status status = eg_finetune(&r, model.m, &job);
        f.left = -1;
        if (status == EG_OK) {
            EXPECT_FALSE(f.failed);
            eg_finetune_result_free(r);
            break;
        }
        ASSERT_TRUE(f.failed) << eg_last_message();
        ASSERT_EQ(EG_ERR_NOMEM, status) << n << ": " << eg_last_message();
        ASSERT_NE('\0', *eg_last_message());
        ASSERT_EQ(nullptr, r);
        egi_model_drop_cache(model.m); // texts of eg_model_get_info(), which the model owns
        ASSERT_EQ(live, context.c->live_blocks) << "allocation " << n;
        ASSERT_EQ(before, model.bytes()) << n;
    }
    EXPECT_GT(n, 300);
}

TEST(Fault, EveryAllocationOfABenchMayFail)
{
    Failing f;
    const eg_allocator allocator = {Alloc, Release, &f};
    Context context(1, &allocator);
    Model model;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(2), kNet);
    const eg_peak peak = {1e11, 1e10};
    eg_bench_options o = EG_BENCH_OPTIONS_INIT;
    o.batch = 8;
    o.seconds = 1e-6;
    o.peak = &peak;
    for (const bool training : {false, true}) {
        o.training = training;
        long n = 0;
        for (;; n++) {
            eg_profile *p = nullptr;
            char *svg = nullptr;
            const int64_t live = context.c->live_blocks;
            f.left = n;
            eg_status status = eg_bench(&p, model.m, &o);
            if (status == EG_OK)
                status = eg_profile_svg(&svg, context.c, p);
            f.left = -1;
            eg_text_free(context.c, svg);
            eg_profile_free(p);
            ASSERT_EQ(live, context.c->live_blocks) << "allocation " << n;
            if (status == EG_OK)
                break;
            ASSERT_EQ(EG_ERR_NOMEM, status) << n << ": " << eg_last_message();
        }
        EXPECT_GT(n, 50);
    }
}

} // namespace

TEST(Fault, EveryAllocationOfARunMayFail)
{
    failEverywhere(false);
}

TEST(Fault, EveryAllocationOfARunWithACacheMayFail)
{
    failEverywhere(true);
}
