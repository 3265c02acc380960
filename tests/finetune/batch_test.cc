// Which examples a batch has; that a step allocates nothing.
#include "support.h"

#include <atomic>
#include <map>
#include <set>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(SANITIZED) // a sanitizer has a malloc of its own
#define COUNT_MALLOC 1
extern "C" void *__libc_malloc(size_t);
static std::atomic<long> mallocs{0};
extern "C" void *malloc(size_t n)
{
    mallocs++;
    return __libc_malloc(n);
}
#endif

namespace
{

const char kNet[] = R"([
    {"class_name":"Conv2D","config":{"name":"conv","filters":6,"kernel_size":3,"activation":"relu"}},
    {"class_name":"MaxPooling2D","config":{"name":"pool"}},
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
    {"class_name":"Dense","config":{"name":"hidden","units":20,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])";

struct Prepared {
    Context context;
    Model model;
    Dataset fresh, old, older;
    Config config{context.c};
    egi_run run{};
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    const eg_dataset *keep[2];
    bool begun = false;

    void make(const char *method, int64_t n_old = 60, int64_t n_older = 20)
    {
        Model::chain(model, context.c, EGI_F32, EGI_SHAPE(8, 8, 1), kNet);
        fresh.make(context.c, normal(100 * 64, 1), {8, 8, 1}, labels(100, 3, 2), "fresh");
        old.make(context.c, normal(n_old * 64, 3), {8, 8, 1}, labels(n_old, 3, 4), "old");
        older.make(context.c, normal(n_older * 64, 5), {8, 8, 1}, labels(n_older, 3, 6), "older");
        keep[0] = old.d;
        keep[1] = older.d;
        config.set("remember.method", method).set("data.validation", "0");
        job.config = config.c;
        job.new_train = fresh.d;
        job.keep_train = keep;
        job.n_keep = 2;
        begun = true;
        ASSERT_OK(egi_run_begin(&run, model.m, &job));
        ASSERT_OK(egi_run_prepare(&run));
    }
    // A batch as the loop composes it.
    std::vector<egi_item> compose(int64_t n_new)
    {
        egi_pool_draw(&run.new_pool, n_new, run.items);
        int64_t n = n_new;
        for (int i = 0; i < run.n_methods; i++)
            if (run.methods[i].type->compose_batch)
                run.methods[i].type->compose_batch(&run.methods[i], &run, run.items, &n);
        return {run.items, run.items + n};
    }
    ~Prepared()
    {
        if (begun)
            egi_run_release(&run);
    }
};

} // namespace

TEST(Batch, NewAndOldSharesAreAsAsked)
{
    EXPECT_EQ(64, egi_run_new_share(128, 0.5));
    EXPECT_EQ(128, egi_run_new_share(128, 0));
    EXPECT_EQ(26, egi_run_new_share(128, 0.8));
    EXPECT_EQ(1, egi_run_new_share(2, 0.95));
    EXPECT_EQ(3, egi_run_new_share(4, 0.01)) << "at least one old example";
    EXPECT_EQ(1, egi_run_new_share(1, 0.5)) << "a batch of one is new";
}

TEST(Batch, RehearsalFillsUpFromEveryOldTaskWithoutReplacement)
{
    Prepared p;
    p.config.set("finetune.batch", "20").set("remember.mix", "0.4");
    p.make("rehearsal");
    ASSERT_EQ(20, p.run.batch);
    ASSERT_EQ(12, p.run.batch_new);
    std::map<int32_t, std::map<int64_t, int>> seen;
    for (int step = 0; step < 15;
         step++) { // 15 * 8 old ones: 60 of each task: the larger once, the smaller three times
        const std::vector<egi_item> batch = p.compose(12);
        ASSERT_EQ(20u, batch.size());
        for (size_t i = 0; i < batch.size(); i++) {
            EXPECT_EQ(i < 12, batch[i].source == 0);
            seen[batch[i].source][batch[i].index]++;
        }
    }
    ASSERT_EQ(60u, seen[1].size());
    for (const auto &[index, times] : seen[1])
        EXPECT_EQ(1, times) << index;
    ASSERT_EQ(20u, seen[2].size());
    for (const auto &[index, times] : seen[2])
        EXPECT_EQ(3, times) << index;
}

TEST(Batch, AShortLastBatchIsFilledUp)
{
    Prepared p;
    p.config.set("finetune.batch", "20");
    p.make("rehearsal");
    EXPECT_EQ(20u, p.compose(3).size());
}

TEST(Batch, KeepLimitIsForAllOldDataTogether)
{
    Prepared p;
    p.config.set("remember.keep_limit", "15");
    p.make("rehearsal");
    EXPECT_EQ(15, p.run.old[0].part.n_train + p.run.old[1].part.n_train);
}

TEST(Batch, AKeepLimitBelowTheNumberOfTasksLeavesOneOfEach)
{
    Prepared p;
    p.config.set("remember.keep_limit", "1");
    p.make("rehearsal");
    EXPECT_EQ(1, p.run.old[0].part.n_train);
    EXPECT_EQ(1, p.run.old[1].part.n_train);
}

TEST(Batch, EachPassHasItsOwnOrderWhichTheSeedDecides)
{
    Context c;
    const auto pass = [&](uint64_t seed, uint32_t number, bool shuffle) {
        egi_item *items = nullptr;
        EXPECT_OK(egi_alloc(&items, c.c, 10, sizeof *items));
        for (int64_t i = 0; i < 10; i++)
            items[i] = {i, 0};
        egi_pool pool;
        EXPECT_OK(egi_pool_create(&pool, c.c, items, 10, seed, EGI_RNG_SHUFFLE, shuffle));
        egi_pool_seek(&pool, number, 0);
        egi_item drawn[10];
        egi_pool_draw(&pool, 10, drawn);
        egi_pool_release(&pool);
        std::vector<int64_t> out;
        for (const egi_item &i : drawn)
            out.push_back(i.index);
        EXPECT_EQ(10u, std::set<int64_t>(out.begin(), out.end()).size());
        return out;
    };
    EXPECT_EQ(pass(1, 0, true), pass(1, 0, true));
    EXPECT_NE(pass(1, 0, true), pass(1, 1, true));
    EXPECT_NE(pass(1, 0, true), pass(2, 0, true));
    EXPECT_EQ((std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), pass(1, 3, false));
}

TEST(Batch, AStepAllocatesNothing)
{
    for (const char *method : {"none", "rehearsal+ewc+l2sp"}) {
        Prepared p;
        p.config.set("finetune.batch", "16").set("finetune.clip_norm", "1").set("run.log_steps", "1");
        p.make(method);
        egi_step_result r;
        int64_t blocks = 0;
#ifdef COUNT_MALLOC
        long calls = 0;
#endif
        for (int step = 0; step < 8; step++) {
            if (step == 2) { // whatever a first use needs is there
                blocks = p.context.c->total_blocks;
#ifdef COUNT_MALLOC
                calls = mallocs;
#endif
            }
            int64_t n = 16;
            egi_pool_draw(&p.run.new_pool, p.run.batch_new, p.run.items);
            n = p.run.batch_new;
            for (int i = 0; i < p.run.n_methods; i++)
                if (p.run.methods[i].type->compose_batch)
                    p.run.methods[i].type->compose_batch(&p.run.methods[i], &p.run, p.run.items, &n);
            ASSERT_EQ(EG_OK, egi_trainer_step(p.run.trainer, p.run.items, n, 1e-3, p.run.protect.strength, &r));
        }
        EXPECT_EQ(blocks, p.context.c->total_blocks) << method;
#ifdef COUNT_MALLOC
        EXPECT_EQ(calls, mallocs.load()) << method;
        EXPECT_GT(calls, 1000) << "the counter counts";
#endif
    }
}

TEST(Batch, PenaltyIsNotNothingAndDoesNotDependOnTheBatch)
{
    double penalty[2];
    int at = 0;
    for (const char *batch : {"8", "32"}) {
        Prepared p;
        p.config.set("finetune.batch", batch).set("run.log_steps", "1").set("remember.strength", "10");
        p.config.set("finetune.dropout", "0").set("finetune.optimizer", "sgd");
        p.make("ewc");
        egi_tensor w = {p.run.model->weights, EGI_F32, EGI_SHAPE(p.run.model->arena_count)};
        for (int64_t i = 0; i < p.run.model->arena_count; i++) // away from the anchor
            egi_set(&w, i, egi_get(&w, i) + 0.01);
        egi_step_result with, without;
        ASSERT_OK(egi_trainer_mark(p.run.trainer));
        p.compose(p.run.batch_new);
        ASSERT_OK(egi_trainer_step(p.run.trainer, p.run.items, p.run.batch, 0, 10, &with));
        ASSERT_OK(egi_trainer_return(p.run.trainer));
        ASSERT_OK(egi_trainer_step(p.run.trainer, p.run.items, p.run.batch, 0, 0, &without));
        EXPECT_EQ(0, without.penalty);
        penalty[at++] = with.penalty;
    }
    EXPECT_GT(penalty[0], 1e-3);
    EXPECT_NEAR(penalty[0], penalty[1], 1e-5 * penalty[0]);
}

TEST(Batch, AStepThatWasTakenBackIsTheSameAgain)
{
    Prepared p;
    p.config.set("finetune.batch", "16").set("finetune.optimizer", "adam");
    p.make("none");
    egi_step_result r;
    std::vector<unsigned char> after[2];
    p.compose(16);
    ASSERT_OK(egi_trainer_step(p.run.trainer, p.run.items, 16, 1e-2, 0, &r)); // moments that are not 0
    ASSERT_OK(egi_trainer_mark(p.run.trainer));
    for (std::vector<unsigned char> &bytes : after) {
        ASSERT_OK(egi_trainer_step(p.run.trainer, p.run.items, 16, 1e-2, 0, &r));
        const unsigned char *w = static_cast<const unsigned char *>(p.run.model->weights);
        bytes.assign(w, w + p.run.model->arena_count * (int64_t)sizeof(float));
        ASSERT_OK(egi_trainer_return(p.run.trainer));
    }
    EXPECT_EQ(after[0], after[1]);
    EXPECT_EQ(1, egi_trainer_steps(p.run.trainer));
}

namespace
{

// How hard each weight is held, and where.
void anchor_of(const char *method, std::vector<double> &pull, std::vector<double> &at, const char *key = nullptr,
               const char *value = nullptr)
{
    Prepared p;
    if (key)
        p.config.set(key, value);
    p.make(method);
    const float *omega = static_cast<const float *>(p.run.anchor.omega);
    const float *theta = static_cast<const float *>(p.run.anchor.theta);
    for (int64_t i = 0; i < p.run.model->arena_count; i++)
        pull.push_back(p.run.protect.strength * (double)omega[i]);
    at.assign(theta, theta + p.run.model->arena_count);
}

} // namespace

TEST(Batch, AnchorsOfASumKeepTheirStrengths)
{
    std::vector<double> both, ewc, l2sp, at;
    anchor_of("l2sp+ewc", both, at);
    anchor_of("ewc", ewc, at);
    anchor_of("l2sp", l2sp, at);
    for (size_t i = 0; i < both.size(); i++)
        ASSERT_NEAR(ewc[i] + l2sp[i], both[i], 1e-6 + 1e-5 * both[i]) << i;
}

TEST(Batch, FreshRowsAreHeldByNothingOldButDrawnToZero)
{
    for (const char *method : {"ewc", "l2sp"}) {
        Prepared p;
        p.make(method);
        const bool ewc = std::string(method) == "ewc";
        const float *omega = static_cast<const float *>(p.run.anchor.omega);
        const float *theta = static_cast<const float *>(p.run.anchor.theta);
        const float *start = static_cast<const float *>(p.run.start);
        const int head = egi_model_find_layer(p.run.model, "head");
        const egi_param &kernel = p.run.model->params[egi_model_find_param(p.run.model, head, "kernel")];
        ASSERT_EQ(6, kernel.shape.dim[1]);
        double held = 0;
        for (int64_t i = 0; i < kernel.count; i++) {
            const int64_t k = kernel.offset + i;
            const bool fresh = i % 6 >= 3;
            if (ewc) {
                held += fresh ? 0 : omega[k];
                EXPECT_TRUE(!fresh || omega[k] == 0) << i;
                continue;
            }
            EXPECT_FLOAT_EQ(fresh ? 0.1f : 1.0f, omega[k]) << i;
            EXPECT_EQ(fresh ? 0 : start[k], theta[k]) << i;
        }
        EXPECT_EQ(ewc, held > 0);
    }
}

TEST(Batch, TheImportanceIsEstimatedAsAsked)
{
    std::vector<double> automatic, exact, sample, empirical, few, raw, at;
    anchor_of("ewc", automatic, at);
    anchor_of("ewc", exact, at, "remember.fisher", "exact");
    anchor_of("ewc", sample, at, "remember.fisher", "sample");
    anchor_of("ewc", empirical, at, "remember.fisher", "empirical");
    anchor_of("ewc", few, at, "remember.fisher_samples", "10");
    anchor_of("ewc", raw, at, "remember.scale", "raw");
    EXPECT_EQ(exact, automatic);
    EXPECT_NE(exact, sample);
    EXPECT_NE(exact, empirical);
    EXPECT_NE(sample, empirical);
    EXPECT_NE(exact, few);
    EXPECT_NE(exact, raw);
}
