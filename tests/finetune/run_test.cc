// Whole runs: what is kept, what is learned, what a run leaves.
#include "world.h"

#include <algorithm>
#include <set>

TEST(Run, PlainTrainingForgetsAndRehearsalDoesNot)
{
    for (const char *method : {"none", "rehearsal", "rehearsal+ewc", "auto"}) {
        World w;
        w.pretrain();
        w.config.set("remember.method", method);
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        ASSERT_EQ(1, r.r->n_keep);
        EXPECT_GT(r.r->keep[0].before, 0.98) << method;
        EXPECT_GT(r.r->new_after, 0.95) << method;
        EXPECT_EQ(4, egi_output_rows(w.model.m, 0)) << method;
        if (std::string(method) == "none") {
            EXPECT_LT(r.r->keep[0].after, 0.2);
            EXPECT_FALSE(r.r->budget_met);
            EXPECT_GT(r.r->keep[0].negative_flips, 150);
            EXPECT_EQ(0, w.model.m->n_extras) << "none remembers nothing";
        } else {
            EXPECT_GT(r.r->keep[0].after, 0.95) << method;
            EXPECT_NEAR(r.r->keep[0].drop, r.r->keep[0].before - r.r->keep[0].after, 1e-12);
            EXPECT_STREQ(std::string(method) == "auto" ? "rehearsal+ewc" : method, r.r->method);
        }
    }
}

TEST(Run, SameSeedSameBits)
{
    std::vector<std::vector<unsigned char>> weights;
    for (const char *seed : {"1", "1", "2"}) {
        World w;
        w.pretrain();
        w.config.set("run.seed", seed).set("finetune.epochs", "2");
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        weights.push_back(w.model.bytes());
    }
    EXPECT_EQ(weights[0], weights[1]);
    EXPECT_NE(weights[0], weights[2]);
}

TEST(Run, NoEpochsChangeNothing)
{
    World w;
    w.pretrain();
    const std::vector<unsigned char> before = w.model.bytes();
    w.config.set("finetune.epochs", "0");
    Result r;
    finetune(r, w, w.fresh, {&w.old});
    EXPECT_EQ(before, w.model.bytes());
    EXPECT_EQ(0, r.r->epochs_run);
    EXPECT_EQ(0, r.r->keep[0].negative_flips + r.r->keep[0].positive_flips);
    EXPECT_EQ(0, w.model.m->n_extras);
}

TEST(Run, WithoutAnEpochNewClassesHaveNoRowsYet)
{
    World w;
    w.pretrain();
    const int64_t rows = egi_output_rows(w.model.m, 0);
    w.config.set("finetune.epochs", "0");
    Result first, second;
    finetune(first, w, w.fresh, {&w.old});
    EXPECT_EQ(0, first.r->new_before) << "the head cannot give these answers";
    EXPECT_EQ(0, first.r->new_after);
    ASSERT_EQ(1, egi_tasks_count(w.model.m)) << "of the old task: of the new one nothing was learned";
    w.config.set("finetune.epochs", "1");
    finetune(second, w, w.fresh, {&w.old});
    EXPECT_EQ(rows + w.fresh.train.d->classes, egi_output_rows(w.model.m, 0)) << "they get them when they are trained";
}

TEST(Run, ASecondFineTuneIsProtectedByTheMemoryInTheModel)
{
    World w;
    w.pretrain();
    w.config.set("remember.buffer", "60");
    Result first, second;
    finetune(first, w, w.fresh, {&w.old});
    egi_memory *memory = nullptr;
    ASSERT_OK(egi_memory_load(&memory, w.model.m));
    ASSERT_EQ(2, memory->n_parts);
    ASSERT_NE(nullptr, egi_memory_find(memory, "old"));
    EXPECT_EQ(30, egi_memory_find(memory, "old")->data->n);
    EXPECT_EQ(30, egi_memory_find(memory, "fresh")->data->n);
    ASSERT_NE(nullptr, memory->importance);
    EXPECT_EQ(2, memory->tasks);
    std::set<int32_t> stored;
    for (int64_t i = 0; i < 30; i++)
        stored.insert(egi_memory_find(memory, "old")->source[i]);
    EXPECT_EQ(30u, stored.size()) << "no example is there twice";
    egi_memory_free(memory);

    finetune(second, w, w.third);
    ASSERT_EQ(2, second.r->n_keep) << "both old tasks are known without --keep";
    for (int64_t i = 0; i < 2; i++) {
        EXPECT_EQ(30, second.r->keep[i].n) << "measured on the remembered examples";
        EXPECT_GT(second.r->keep[i].after, 0.9) << second.r->keep[i].name;
    }
    EXPECT_GT(second.r->new_after, 0.95);
    EXPECT_EQ(6, egi_output_rows(w.model.m, 0));
    eg_eval_result *e = nullptr;
    eg_eval_options options = EG_EVAL_OPTIONS_INIT;
    options.task = "old";
    ASSERT_OK(eg_eval(&e, w.model.m, w.old.test.d, &options));
    EXPECT_GT(e->accuracy, 0.9) << "the test part, of which nothing was remembered";
    eg_eval_result_free(e);

    ASSERT_OK(egi_memory_load(&memory, w.model.m));
    ASSERT_EQ(3, memory->n_parts);
    for (const char *task : {"old", "fresh", "third"})
        EXPECT_EQ(20, egi_memory_find(memory, task)->data->n) << task;
    for (int64_t i = 0; i < 20; i++) // an old memory is thinned out, not drawn anew
        EXPECT_EQ(1u, stored.count(egi_memory_find(memory, "old")->source[i]));
    EXPECT_EQ(3, memory->tasks);
    egi_memory_free(memory);
}

TEST(Run, AFailureLeavesTheModelAsItWas)
{
    World w;
    w.pretrain();
    const std::vector<unsigned char> before = w.model.bytes();
    w.config.set("finetune.freeze", "no_such_layer*");
    Result r;
    eg_finetune_job j = w.job(w.fresh);
    EXPECT_EQ(EG_ERR_CONFIG, eg_finetune(&r.r, w.model.m, &j));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "no_such_layer*"));
    w.config.set("finetune.freeze", "none").set("finetune.lr", "1000").set("finetune.optimizer", "sgd");
    w.config.set("finetune.schedule", "constant").set("finetune.loss", "mse").set("remember.method", "l2sp");
    w.config.set("remember.strength", "1e9");
    EXPECT_EQ(EG_ERR_NUMERIC, eg_finetune(&r.r, w.model.m, &j)) << "diverges, and again with a tenth of the rate";
    EXPECT_EQ(before, w.model.bytes());
    EXPECT_EQ(2, egi_output_rows(w.model.m, 0));
    EXPECT_EQ(nullptr, r.r);
}

TEST(Run, GoesBackOnceWhenTheLossIsNotFinite)
{
    World w;
    w.pretrain();
    w.config.set("finetune.optimizer", "sgd").set("finetune.lr", "2").set("finetune.schedule", "constant");
    w.config.set("remember.method", "l2sp").set("remember.strength", "3").set("finetune.epochs", "3");
    Result r; // 1 - lr strength = -5 diverges, 1 - 0.6 does not
    finetune(r, w, w.fresh);
    EXPECT_TRUE(r.r->diverged);
    EXPECT_EQ(3, r.r->epochs_run);
    EXPECT_NEAR(0.2, r.r->epochs[3].lr, 1e-12);
}

TEST(Run, EwcAloneNeedsSomethingOldAndL2spDoesNot)
{
    World w;
    w.pretrain();
    w.config.set("remember.method", "ewc");
    Result r;
    eg_finetune_job j = w.job(w.fresh);
    EXPECT_EQ(EG_ERR_CONFIG, eg_finetune(&r.r, w.model.m, &j));
    w.config.set("remember.method", "auto");
    finetune(r, w, w.fresh);
    EXPECT_STREQ("l2sp", r.r->method);
    EXPECT_NE(nullptr, strstr(r.r->warning, "no old example")) << r.r->warning;
}

TEST(Run, AnchorKeepsWeightsNearAndStrengthDecidesHowNear)
{
    double distance[3];
    int at = 0;
    for (const char *strength : {"0", "0.1", "10"}) {
        World w;
        w.pretrain();
        const std::vector<double> before = w.model.get("hidden/kernel");
        w.config.set("remember.method", "l2sp").set("remember.strength", strength).set("remember.blend", "false");
        w.config.set("finetune.early_stopping.restore_best", "false").set("finetune.weight_decay", "0");
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        const std::vector<double> after = w.model.get("hidden/kernel");
        distance[at] = 0;
        for (size_t i = 0; i < before.size(); i++)
            distance[at] += std::pow(after[i] - before[i], 2);
        EXPECT_GT(distance[at], 0);
        at++;
    }
    EXPECT_LT(distance[1], distance[0]);
    EXPECT_LT(distance[2], 0.5 * distance[1]);
}

TEST(Run, FrozenLayersStayAndTheRestMoves)
{
    World w;
    w.pretrain();
    const std::vector<double> hidden = w.model.get("hidden/kernel"), head = w.model.get("head/kernel");
    w.config.set("finetune.freeze", "hid*").set("finetune.epochs", "1");
    Result r;
    finetune(r, w, w.fresh, {&w.old});
    EXPECT_EQ(hidden, w.model.get("hidden/kernel"));
    EXPECT_NE(head, w.model.get("head/kernel"));
    EXPECT_FALSE(w.model.m->layers[0].frozen) << "marks are taken off again";
}

TEST(Run, BlendsBackWhereTheBudgetIsMissed)
{
    World w, v;
    w.pretrain();
    Blobs swapped, again; // the same two classes the other way round, near by: both cannot be right
    swapped.make(w.context.c, "swapped", 2, -0.6, -2, -0.6, 600, 7);
    w.config.set("remember.method", "l2sp").set("remember.strength", "0").set("remember.budget", "0.1");
    w.config.set("data.classes", "keep").set("finetune.epochs", "6");
    w.config.set("finetune.early_stopping.restore_best", "false"); // the first epoch forgot nothing
    Result r;
    finetune(r, w, swapped, {&w.old});
    EXPECT_LT(r.r->blend, 1) << "an l2sp of strength 0 forgets";
    EXPECT_GT(r.r->blend, 0);
    EXPECT_GT(r.r->keep[0].after, 0.85);
    v.pretrain();
    v.config.set("remember.method", "l2sp").set("remember.strength", "0").set("remember.blend", "false");
    v.config.set("data.classes", "keep").set("finetune.epochs", "6");
    v.config.set("finetune.early_stopping.restore_best", "false"); // the first epoch forgot nothing
    again.make(v.context.c, "swapped", 2, -0.6, -2, -0.6, 600, 7);
    Result s;
    finetune(s, v, again, {&v.old});
    EXPECT_EQ(1, s.r->blend);
    EXPECT_FALSE(s.r->budget_met);
    EXPECT_LT(s.r->keep[0].after, r.r->keep[0].after);
}

TEST(Run, StopsWhenTheCallbackSaysSoWithTheBestSoFar)
{
    struct Stop {
        int finished = 0;
        static bool fn(void *user, const eg_progress *p)
        {
            Stop *s = static_cast<Stop *>(user);
            s->finished += p->finished != nullptr;
            return s->finished < 3; // before, epoch 1, epoch 2
        }
    } stop;
    World w;
    w.pretrain();
    eg_finetune_job j = w.job(w.fresh);
    j.progress = Stop::fn;
    j.user = &stop;
    Result r;
    ASSERT_OK(eg_finetune(&r.r, w.model.m, &j));
    EXPECT_TRUE(r.r->cancelled);
    EXPECT_EQ(2, r.r->epochs_run);
    EXPECT_GE(r.r->best_epoch, 1);
}

TEST(Run, MaxStepsAndEpochsCount)
{
    World w;
    w.pretrain();
    w.config.set("finetune.max_steps", "5").set("remember.method", "none");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_EQ(5, r.r->steps);
    EXPECT_EQ(1, r.r->epochs_run);
}

TEST(Run, TimeIsLimited)
{
    World w;
    w.pretrain();
    w.config.set("run.time_limit", "1s").set("finetune.epochs", "1000000").set("data.validation", "0");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_GT(r.r->epochs_run, 1);
    EXPECT_LT(r.r->epochs_run, 1000000);
    EXPECT_FALSE(r.r->cancelled);
    EXPECT_LT(r.r->seconds, 10);
}

TEST(Run, TwoOldTasksOfOneNameStayTwo)
{
    World w;
    w.pretrain();
    Blobs other;
    other.make(w.context.c, "old", -5, -4, 5, -4, 600, 7);
    w.config.set("finetune.epochs", "1");
    Result r;
    finetune(r, w, w.fresh, {&w.old, &other});
    egi_memory *memory = nullptr;
    ASSERT_OK(egi_memory_load(&memory, w.model.m));
    EXPECT_EQ(3, memory->n_parts);
    egi_memory_free(memory);
}

TEST(Run, EarlyStoppingStopsAndRestoresTheBest)
{
    World w;
    w.pretrain();
    w.config.set("finetune.early_stopping.patience", "2").set("finetune.epochs", "30").set("remember.method", "none");
    w.config.set("finetune.early_stopping.min_delta", "0.02");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_TRUE(r.r->stopped_early);
    EXPECT_EQ(r.r->best_epoch + 2, r.r->epochs_run);
    for (int64_t i = 1; i <= r.r->epochs_run; i++)
        EXPECT_EQ(i == r.r->best_epoch, r.r->epochs[i].best && i >= r.r->best_epoch) << i;
}

TEST(Run, WithoutValidationTheLastEpochIsTaken)
{
    World w;
    w.pretrain();
    w.config.set("data.validation", "0").set("finetune.early_stopping.patience", "1").set("remember.method", "none");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_EQ(8, r.r->epochs_run);
    EXPECT_EQ(8, r.r->best_epoch);
    EXPECT_TRUE(std::isnan(r.r->epochs[8].validation_loss));
    EXPECT_NE(nullptr, strstr(r.r->verdict, "validation"));
}

TEST(Run, CheckSaysWhatWouldHappenAndChangesNothing)
{
    World w;
    w.pretrain();
    const std::vector<unsigned char> before = w.model.bytes();
    eg_finetune_job j = w.job(w.fresh);
    char *report = nullptr;
    ASSERT_OK(eg_finetune_check(&report, w.model.m, &j));
    for (const char *word : {"model ", "data ", "device ", "method ", "before ", "input ", "step "})
        EXPECT_NE(nullptr, strstr(report, word)) << report;
    eg_text_free(w.context.c, report);
    EXPECT_EQ(before, w.model.bytes());
}

TEST(Run, ClassWeightsAreThoseOfTheLoss)
{
    World w;
    w.pretrain();
    w.config.set("finetune.class_weights", "0,1").set("remember.method", "none").set("finetune.epochs", "4");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_LT(r.r->new_after, 0.75) << "a class of weight 0 is not learned";
    w.config.set("finetune.class_weights", "0,1,1");
    Result s;
    eg_finetune_job j = w.job(w.fresh);
    EXPECT_EQ(EG_ERR_CONFIG, eg_finetune(&s.r, w.model.m, &j));
}

// The loss is (sum of weight x loss) / n as Keras has it: with half of the batch at weight 0, a step is that of the
// other half alone at half the rate; and a weight of 3 is three times the step.
TEST(Run, SampleWeightsAreThoseOfTheLoss)
{
    auto step = [](const std::vector<float> &weights, bool half, const char *lr) {
        World w;
        const std::vector<float> x = normal(16, 77, 1);
        const std::vector<int32_t> y = labels(8, 2, 78);
        const int64_t n = half ? 4 : 8;
        Blobs data;
        data.train.make(w.context.c, {x.begin(), x.begin() + 2 * n}, {2}, {y.begin(), y.begin() + n}, "weighted");
        data.test.make(w.context.c, x, {2}, y, "weighted");
        if (!weights.empty()) {
            EXPECT_OK(eg_dataset_set_weights(data.train.d, weights.data()));
        }
        w.config.set("finetune.optimizer", "sgd").set("finetune.lr", lr).set("finetune.schedule", "constant");
        w.config.set("finetune.batch", "8").set("finetune.epochs", "1").set("data.classes", "keep");
        w.config.set("remember.method", "none").set("data.validation", "0").set("data.shuffle", "false");
        Result r;
        finetune(r, w, data);
        return w.model.get("hidden/kernel");
    };
    const std::vector<double> all = step({}, false, "0.1");
    const std::vector<double> some = step({1, 1, 1, 1, 0, 0, 0, 0}, false, "0.1"), alone = step({}, true, "0.05");
    const std::vector<double> thrice = step({3, 3, 3, 3, 3, 3, 3, 3}, false, "0.1"), faster = step({}, false, "0.3");
    double apart = 0;
    for (size_t i = 0; i < all.size(); i++) {
        EXPECT_NEAR(alone[i], some[i], 1e-6);
        EXPECT_NEAR(faster[i], thrice[i], 1e-6);
        apart = std::max(apart, std::abs(all[i] - some[i]));
    }
    EXPECT_GT(apart, 1e-4) << "the weights change nothing";
}

// Sets may be ordered by class: the training accuracy of the verdict is taken from all of them. This network calls
// everything the first class, which is half of the examples, all of them in front.
TEST(Run, TheVerdictLooksAtTrainingExamplesOfAllClasses)
{
    World w;
    const int64_t n = 4 * EGI_SELECT_MAX;
    std::vector<int32_t> y((size_t)n, 0);
    std::fill(y.begin() + n / 2, y.end(), 1);
    Blobs ordered;
    ordered.train.make(w.context.c, normal(2 * n, 91, 1), {2}, y, "ordered");
    ordered.test.make(w.context.c, normal(40, 92, 1), {2}, labels(20, 2, 93), "ordered");
    w.model.set("head/bias", {50, -50});
    w.config.set("finetune.optimizer", "sgd").set("finetune.lr", "1e-9").set("finetune.schedule", "constant");
    w.config.set("finetune.epochs", "1").set("data.classes", "keep").set("remember.method", "none");
    Result r;
    finetune(r, w, ordered);
    double training = -1;
    const char *at = strstr(r.r->verdict, "training ");
    ASSERT_TRUE(at && sscanf(at, "training %lf", &training) == 1) << r.r->verdict;
    EXPECT_NEAR(50, training, 0.5) << r.r->verdict;
}
