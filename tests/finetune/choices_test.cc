// What a run reports, and what it chooses where nothing is said.
#include "world.h"

#include <filesystem>
#include <unistd.h>

// Old tasks of which two are lost and one is gained: the same two places, their labels exchanged.
TEST(Run, FiguresOfSeveralOldTasksAreOfAll)
{
    World w;
    w.pretrain();
    Blobs swapped, lost, gained;
    swapped.make(w.context.c, "swapped", 2, -1, -2, -1, 600, 7);
    lost.make(w.context.c, "lost", -2, -1, 2, -1, 600, 11);
    gained.make(w.context.c, "gained", 2, -1, -2, -1, 600, 9);
    w.config.set("remember.method", "none").set("data.classes", "keep");
    Result r;
    finetune(r, w, swapped, {&w.old, &lost, &gained});
    ASSERT_EQ(3, r.r->n_keep);
    const eg_keep_result &a = r.r->keep[0], &b = r.r->keep[1], &c = r.r->keep[2];
    EXPECT_GT(a.negative_flips, 150);
    EXPECT_GT(c.positive_flips, 150);
    EXPECT_FALSE(a.met);
    EXPECT_TRUE(c.met);
    EXPECT_FALSE(r.r->budget_met) << "one that is missed is enough";
    EXPECT_TRUE(json_is_false(json_object_get(json_object_get(w.model.m->meta, "last_run"), "budget_met")));
    for (const eg_keep_result *k : {&a, &b, &c}) {
        EXPECT_NEAR(k->drop, (double)(k->negative_flips - k->positive_flips) / (double)k->n, 1e-12);
        const int64_t right = std::llround(k->before * (double)k->n);
        const egi_flips f = {k->n, right - k->negative_flips, k->negative_flips, k->positive_flips,
                             k->n - right - k->positive_flips};
        double lower, upper;
        egi_drop_limits(&f, 0.95, &lower, &upper);
        EXPECT_NEAR(upper, k->drop_upper, 1e-12);
    }
    EXPECT_NEAR((a.after + b.after + c.after + r.r->new_after) / 4, r.r->average_accuracy, 1e-12);
    EXPECT_NEAR(-(a.drop + b.drop + c.drop) / 3, r.r->backward_transfer, 1e-12);
    EXPECT_NEAR((a.drop + b.drop + c.drop) / 3, r.r->forgetting, 1e-12);
}

TEST(Run, TheBudgetIsMetOrMissedByTheDropOnTheTestPart)
{
    double drop = NAN;
    for (const double more : {0.0, 0.01, -0.01}) {
        World w;
        w.pretrain();
        w.config.set("remember.method", "none").set("finetune.epochs", "2");
        w.config.set("remember.budget", std::to_string(std::isnan(drop) ? 0.5 : drop + more));
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        ASSERT_GT(r.r->keep[0].drop, 0.02);
        EXPECT_TRUE(std::isnan(drop) || drop == r.r->keep[0].drop);
        EXPECT_TRUE(std::isnan(drop) || r.r->keep[0].met == (more > 0)) << more;
        drop = r.r->keep[0].drop;
    }
}

TEST(Run, TheWeightsOfTheBestEpochAreLeft)
{
    const char *ema = "0";
    const auto weights = [&ema](const char *epochs, const char *restore, int64_t *best, int64_t *run) {
        World w;
        w.pretrain();
        w.config.set("finetune.early_stopping.patience", "2").set("finetune.early_stopping.min_delta", "0.02");
        w.config.set("finetune.early_stopping.restore_best", restore).set("finetune.epochs", epochs);
        w.config.set("finetune.schedule", "constant").set("remember.method", "none").set("finetune.ema", ema);
        Result r;
        finetune(r, w, w.fresh);
        *best = r.r->best_epoch;
        *run = r.r->epochs_run;
        return w.model.bytes();
    };
    for (const char *momentum : {"0", "0.9"}) { // of averages: the best epoch's
        ema = momentum;
        int64_t best, run, other;
        const std::vector<unsigned char> restored = weights("30", "true", &best, &run);
        ASSERT_EQ(best + 2, run);
        EXPECT_EQ(weights(std::to_string(best).c_str(), "true", &other, &other), restored);
        EXPECT_NE(weights("30", "false", &other, &other), restored);
    }
}

TEST(Run, WithoutValidationNothingStopsEarly)
{
    World w;
    w.config.set("data.validation", "0").set("finetune.early_stopping.patience", "1").set("remember.method", "none");
    w.config.set("finetune.optimizer", "sgd").set("finetune.lr", "1e-9").set("finetune.schedule", "constant");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_EQ(8, r.r->epochs_run);
    EXPECT_FALSE(r.r->stopped_early);
}

TEST(Run, AMissedBudgetStrengthensTheProtection)
{
    for (const char *method : {"l2sp", "rehearsal"}) {
        World w;
        w.pretrain();
        Blobs swapped; // cannot be learned without forgetting
        swapped.make(w.context.c, "swapped", 2, -1, -2, -1, 600, 7);
        w.config.set("remember.method", method).set("remember.blend", "false").set("data.classes", "keep");
        w.config.set("finetune.class_weights", "20,20");
        Result r;
        finetune(r, w, swapped, {&w.old});
        const eg_epoch_result &first = r.r->epochs[1], &last = r.r->epochs[r.r->epochs_run];
        if (std::string(method) == "l2sp") {
            EXPECT_GE(last.strength, 16 * first.strength);
            continue;
        }
        EXPECT_DOUBLE_EQ(0.5, first.mix);
        EXPECT_DOUBLE_EQ(0.8, last.mix);
        for (int64_t i = 1; i <= r.r->epochs_run; i++) { // an epoch of more steps is no longer a part of the cosine
            const auto rate = [](int64_t step) { return 0.005 * (1 + std::cos(M_PI * (double)step / (8 * 34))); };
            EXPECT_LE(r.r->epochs[i].lr, rate(34 * i - 2)) << i;
            EXPECT_GE(r.r->epochs[i].lr, rate(34 * i) - 1e-12) << i;
        }
        EXPECT_GT(r.r->steps, r.r->epochs_run * 34 * 3 / 2) << "fewer of the 540 new examples a step than 16";
    }
}

TEST(Run, ImportanceOfOldTasksFadesByGammaAndIsCountedOnce)
{
    const auto sum = [](eg_model *m, int64_t *tasks, double *scale) {
        egi_memory *memory = nullptr;
        EXPECT_OK(egi_memory_load(&memory, m));
        double total = 0;
        for (int64_t i = 0; i < m->arena_count; i++)
            total += (double)static_cast<const float *>(memory->importance)[i];
        *tasks = memory->tasks;
        *scale = memory->scale;
        egi_memory_free(memory);
        return total;
    };
    const double four = 72 + 24 * 4 + 4, six = 72 + 24 * 6 + 6; // weights of a head of 4 and of 6
    struct Mode {
        const char *key, *value;
        double first;
    };
    for (const Mode &mode : {Mode{"remember.gamma", "1", 2 * four}, Mode{"remember.gamma", "0.5", 1.5 * four},
                             Mode{"remember.online", "false", four}}) {
        World w;
        w.pretrain();
        w.config.set("finetune.epochs", "1").set("remember.method", "rehearsal+ewc").set(mode.key, mode.value);
        Result first, second;
        int64_t tasks;
        double scale;
        finetune(first, w, w.fresh, {&w.old});
        EXPECT_NEAR(mode.first, sum(w.model.m, &tasks, &scale), 1e-3 * four) << mode.key << mode.value;
        EXPECT_EQ(mode.first == four ? 1 : 2, tasks);
        EXPECT_NE(1, scale);
        if (mode.first != 2 * four)
            continue;
        finetune(second, w, w.third);
        EXPECT_NEAR(2 * four + six, sum(w.model.m, &tasks, &scale), 1e-3 * six);
    }
}

TEST(Run, ATaskThatIsLearnedAgainIsNotAnOldOne)
{
    World w;
    w.pretrain();
    w.config.set("finetune.epochs", "1");
    Result first, second;
    finetune(first, w, w.fresh, {&w.old});
    finetune(second, w, w.fresh);
    ASSERT_EQ(1, second.r->n_keep);
    EXPECT_STREQ("old", second.r->keep[0].name);
    EXPECT_EQ(4, egi_output_rows(w.model.m, 0));
}

TEST(Run, ImportanceInTheFileIsEnoughForEwc)
{
    World w;
    w.pretrain();
    w.config.set("finetune.epochs", "1").set("remember.buffer", "0");
    Result first, second;
    finetune(first, w, w.fresh, {&w.old});
    finetune(second, w, w.third);
    EXPECT_EQ(0, second.r->n_keep);
    EXPECT_STREQ("ewc", second.r->method);
}

TEST(Run, TestExamplesThatAreTrainedOnAreToldOf)
{
    const auto lines = [](bool same) {
        World w;
        Blobs data;
        const std::vector<float> x = normal(100, 31);
        data.train.make(w.context.c, x, {2}, labels(50, 2, 32), "data");
        data.test.make(w.context.c, same ? std::vector<float>(x.begin(), x.begin() + 14) : normal(14, 33), {2},
                       labels(7, 2, 32), "data");
        w.config.set("finetune.epochs", "0");
        std::string all;
        eg_finetune_job j = w.job(data);
        j.user = &all;
        j.line = [](void *user, const char *line) { *static_cast<std::string *>(user) += std::string(line) + "\n"; };
        eg_finetune_result *r = nullptr;
        EXPECT_OK(eg_finetune(&r, w.model.m, &j));
        eg_finetune_result_free(r);
        return all;
    };
    const char *warning = "warning 7 of the 7 test examples of data are in its training part too";
    EXPECT_NE(std::string::npos, lines(true).find(warning)) << lines(true);
    EXPECT_EQ(std::string::npos, lines(false).find("in its training part")) << lines(false);
}

TEST(Run, PathsNameTheirTestPart)
{
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("engram_run_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    const auto write = [&](const char *name, int n) {
        std::ofstream file(folder / name);
        file << "a,b,label\n";
        for (int i = 0; i < n; i++)
            file << i << "," << n << "," << i % 2 << "\n";
    };
    write("train.csv", 40);
    write("test.csv", 14);
    struct Case {
        const char *part;
        int64_t n;
    };
    for (const Case &c : {Case{"", 14}, Case{":train", 14}, Case{":test", 2}}) {
        World w;
        w.config.set("data.new", folder.string() + c.part).set("finetune.epochs", "0");
        eg_finetune_job job = EG_FINETUNE_JOB_INIT;
        job.config = w.config.c;
        Result r;
        EXPECT_OK(eg_finetune(&r.r, w.model.m, &job));
        ASSERT_NE(nullptr, r.r);
        EXPECT_EQ(c.n, r.r->new_n) << c.part;
    }
    std::filesystem::remove_all(folder);
}

TEST(Run, OfEquallyGoodEpochsTheOneThatKeepsMoreIsTheBest)
{
    World w;
    w.pretrain();
    Blobs near;
    near.make(w.context.c, "near", 2, 0.6, -2, 0.6, 600, 7);
    w.config.set("remember.method", "l2sp").set("remember.strength", "0").set("remember.budget", "1");
    w.config.set("data.classes", "keep").set("finetune.epochs", "20");
    Result r;
    finetune(r, w, near, {&w.old});
    const eg_epoch_result &best = r.r->epochs[r.r->best_epoch];
    EXPECT_LT(r.r->best_epoch, r.r->epochs_run);
    for (int64_t i = 1; i <= r.r->epochs_run; i++)
        if (r.r->epochs[i].new_accuracy >= best.new_accuracy) {
            EXPECT_GE(best.keep_accuracy, r.r->epochs[i].keep_accuracy) << i;
        }
}

TEST(Run, BlendingGoesBackNoFurtherThanTheBudgetWants)
{
    const auto blend = [](const char *budget) {
        World w;
        w.pretrain();
        Blobs swapped;
        swapped.make(w.context.c, "swapped", 2, -0.6, -2, -0.6, 600, 7);
        w.config.set("remember.method", "l2sp").set("remember.strength", "0").set("remember.budget", budget);
        w.config.set("data.classes", "keep").set("finetune.epochs", "6");
        w.config.set("finetune.early_stopping.restore_best", "false");
        Result r;
        finetune(r, w, swapped, {&w.old});
        return r.r->blend;
    };
    const double strict = blend("0.02"), loose = blend("0.7");
    EXPECT_GT(strict, 0);
    EXPECT_GT(loose, strict);
    EXPECT_LT(loose, 1);
}

TEST(Run, WhereNoBlendMeetsTheBudgetTheNewWeightsStay)
{
    std::vector<std::vector<unsigned char>> weights;
    for (const char *blend : {"true", "false"}) {
        World w;
        w.pretrain();
        Blobs swapped;
        swapped.make(w.context.c, "swapped", 2, -1, -2, -1, 600, 7);
        w.config.set("remember.method", "l2sp").set("remember.strength", "0").set("remember.blend", blend);
        w.config.set("data.classes", "keep").set("finetune.epochs", "1").set("finetune.lr", "100");
        Result r;
        finetune(r, w, swapped, {&w.old});
        EXPECT_EQ(1, r.r->blend);
        EXPECT_FALSE(r.r->budget_met);
        weights.push_back(w.model.bytes());
    }
    EXPECT_EQ(weights[0], weights[1]);
}

TEST(Run, AReplacedHeadIsWarnedOf)
{
    World w;
    w.pretrain();
    w.config.set("data.classes", "replace").set("finetune.epochs", "1").set("remember.method", "none");
    Result r;
    finetune(r, w, w.fresh);
    EXPECT_NE(nullptr, strstr(r.r->warning, "2 old classes lose their head")) << r.r->warning;
}

TEST(Run, TheMemoryIsSharedOutWholeWhateverChoosesIt)
{
    for (const char *kind : {"reservoir", "balanced", "herding"}) {
        World w;
        w.pretrain();
        w.config.set("remember.buffer", "61").set("remember.buffer_kind", kind).set("finetune.epochs", "1");
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        egi_memory *memory = nullptr;
        ASSERT_OK(egi_memory_load(&memory, w.model.m));
        EXPECT_EQ(30, egi_memory_find(memory, "old")->data->n) << kind;
        EXPECT_EQ(31, egi_memory_find(memory, "fresh")->data->n) << kind;
        egi_memory_free(memory);
    }
}

TEST(Run, ATaskWhoseHeadIsGoneIsNotRemembered)
{
    World w;
    w.pretrain();
    w.config.set("data.classes", "replace").set("remember.method", "l2sp").set("finetune.epochs", "1");
    Result r;
    finetune(r, w, w.fresh, {&w.old});
    egi_memory *memory = nullptr;
    ASSERT_OK(egi_memory_load(&memory, w.model.m));
    EXPECT_EQ(1, memory->n_parts);
    EXPECT_EQ(nullptr, egi_memory_find(memory, "old"));
    egi_memory_free(memory);
}

TEST(Run, AnEpochThatWasStoppedIsGivenUp)
{
    std::vector<std::vector<unsigned char>> weights;
    for (const char *epochs : {"8", "1"}) {
        World w;
        w.pretrain();
        w.config.set("finetune.epochs", epochs).set("finetune.schedule", "constant").set("remember.method", "none");
        eg_finetune_job j = w.job(w.fresh);
        j.progress = [](void *, const eg_progress *p) { return p->epoch < 2 || p->finished; };
        Result r;
        ASSERT_OK(eg_finetune(&r.r, w.model.m, &j));
        EXPECT_EQ(std::string(epochs) == "8", r.r->cancelled);
        EXPECT_EQ(1, r.r->epochs_run);
        weights.push_back(w.model.bytes());
    }
    EXPECT_EQ(weights[0], weights[1]);
}

TEST(Run, TheAutomaticBatchMakesSixtyFourStepsOfSmallData)
{
    for (const char *method : {"none", "rehearsal"}) {
        World w;
        w.pretrain();
        w.config.set("finetune.batch", "auto").set("finetune.epochs", "1").set("remember.method", method);
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        EXPECT_EQ(68, r.r->steps) << "540 examples, 8 a step; with rehearsal as many old ones beside them";
    }
}

TEST(Run, TheMoreIsRehearsedTheWeakerTheAnchor)
{
    for (const char *method : {"ewc", "rehearsal+ewc"}) {
        World w;
        w.pretrain();
        w.config.set("finetune.epochs", "1").set("remember.method", method);
        Result r;
        finetune(r, w, w.fresh, {&w.old});
        EXPECT_NEAR(std::string(method) == "ewc" ? 0.1 : 1.0 / 540, r.r->epochs[1].strength, 1e-12);
    }
}

TEST(Run, OnlyAnAutomaticMethodLeavesOutWhatCannotWork)
{
    World w;
    w.pretrain();
    w.config.set("finetune.loss", "mse").set("finetune.epochs", "1").set("remember.method", "rehearsal+ewc");
    const eg_dataset *keep[] = {w.old.train.d};
    eg_finetune_job j = w.job(w.fresh);
    j.keep_train = keep;
    j.n_keep = 1;
    Result r;
    EXPECT_EQ(EG_ERR_UNSUPPORTED, eg_finetune(&r.r, w.model.m, &j));
    w.config.set("remember.method", "auto");
    ASSERT_OK(eg_finetune(&r.r, w.model.m, &j));
    EXPECT_STREQ("rehearsal", r.r->method);
}

TEST(Run, AnOldTaskIsMeasuredByItsOwnRowsOfTheHead)
{
    World w;
    w.pretrain();
    Result first, second;
    finetune(first, w, w.fresh, {&w.old});
    finetune(second, w, w.third, {&w.fresh});
    ASSERT_EQ(2, second.r->n_keep);
    EXPECT_STREQ("fresh", second.r->keep[0].name);
    EXPECT_NEAR(first.r->new_after, second.r->keep[0].before, 1e-9);
    EXPECT_GT(second.r->keep[0].before, 0.95);
}

TEST(Run, TheValidationLossIsSmoothedAsTheTrainingLossIs)
{
    World w;
    w.config.set("finetune.label_smoothing", "0.5").set("data.classes", "keep").set("remember.method", "none");
    Result r;
    finetune(r, w, w.fresh);
    const eg_epoch_result &last = r.r->epochs[r.r->epochs_run];
    const double least = -0.75 * std::log(0.75) - 0.25 * std::log(0.25);
    EXPECT_GE(last.loss, least);
    EXPECT_GE(last.validation_loss, least);
    EXPECT_LT(last.validation_loss, least + 0.1);
}
