// Which epoch is best under a budget, when to stop, how protection is steered.
#include "support.h"

namespace
{

egi_budget budget(double allowed, int64_t patience = 0, double min_delta = 0)
{
    egi_budget b{};
    b.budget = allowed;
    b.patience = patience;
    b.min_delta = min_delta;
    return b;
}

} // namespace

TEST(Budget, TakesTheBestNewAccuracyAmongEpochsWithinTheBudget)
{
    egi_budget b = budget(0.01);
    EXPECT_TRUE(egi_budget_epoch(&b, 1, 0.05, 0.9)) << "the first, though over the budget";
    EXPECT_FALSE(egi_budget_epoch(&b, 2, 0.06, 0.95)) << "forgets more";
    EXPECT_TRUE(egi_budget_epoch(&b, 3, 0.03, 0.7)) << "as long as none is within, the least drop";
    EXPECT_TRUE(egi_budget_epoch(&b, 4, 0.01, 0.6)) << "within at last";
    EXPECT_FALSE(egi_budget_epoch(&b, 5, 0.02, 0.99)) << "over again";
    EXPECT_FALSE(egi_budget_epoch(&b, 6, -0.01, 0.6)) << "no better";
    EXPECT_TRUE(egi_budget_epoch(&b, 7, 0.009, 0.61));
    EXPECT_EQ(7, b.best_epoch);
}

TEST(Budget, ADropOfJustTheBudgetIsNotOver)
{
    EXPECT_GT(0.99 - 0.98, 0.01) << "in binary";
    EXPECT_FALSE(egi_over_budget(0.99 - 0.98, 0.01));
    EXPECT_TRUE(egi_over_budget(0.0101, 0.01));
    EXPECT_TRUE(egi_over_budget(1e-7, 0)) << "one of ten million";
    EXPECT_FALSE(egi_over_budget(NAN, 0.01));
}

TEST(Budget, ASmallOldTaskDoesNotExcuseALargeOne)
{
    egi_run_config config{};
    config.remember.budget = 0.01;
    egi_old_task old[2]{};
    old[0].part.n_select = 5000;
    old[1].part.n_select = 10; // two examples are 0.2
    old[0].answerable = old[1].answerable = true;
    old[0].select_before = old[1].select_before = 1;
    egi_run run{};
    run.config = &config;
    run.old = old;
    run.n_old = 2;
    const auto over = [&](double large, double small) {
        old[0].select_now = 1 - large;
        old[1].select_now = 1 - small;
        return egi_over_budget(egi_run_drop(&run), egi_run_budget(&run));
    };
    EXPECT_FALSE(over(0.01, 0.2));
    EXPECT_TRUE(over(0.011, 0));
    EXPECT_TRUE(over(0, 0.3));
    old[0].answerable = false; // its rows are gone
    EXPECT_FALSE(over(1, 0.2));
    old[1].answerable = false;
    EXPECT_FALSE(over(1, 1)) << "nothing to keep";
}

TEST(Budget, WithNothingToKeepOnlyTheScoreCounts)
{
    egi_budget b = budget(0.01);
    EXPECT_TRUE(egi_budget_epoch(&b, 1, NAN, -2));
    EXPECT_TRUE(egi_budget_epoch(&b, 2, NAN, -1));
    EXPECT_FALSE(egi_budget_epoch(&b, 3, NAN, -1.5));
    egi_budget none = budget(INFINITY);
    EXPECT_TRUE(egi_budget_epoch(&none, 1, 0.1, 0.5));
    EXPECT_TRUE(egi_budget_epoch(&none, 2, 0.9, 0.6)) << "an infinite budget allows all";
}

TEST(Budget, PatienceCountsEpochsWithoutAGainOfMinDelta)
{
    egi_budget b = budget(1, 2, 0.05);
    EXPECT_TRUE(egi_budget_epoch(&b, 1, 0, 0.5));
    EXPECT_FALSE(egi_budget_epoch(&b, 2, 0, 0.54));
    EXPECT_FALSE(egi_budget_exhausted(&b));
    EXPECT_FALSE(egi_budget_epoch(&b, 3, 0, 0.55)) << "not more than min_delta above the best, as in Keras";
    EXPECT_TRUE(egi_budget_exhausted(&b));
    b = budget(1, 0);
    for (int i = 1; i < 50; i++)
        egi_budget_epoch(&b, i, 0, 0.5);
    EXPECT_FALSE(egi_budget_exhausted(&b)) << "patience 0: never";
}

TEST(Protection, RisesWhenTheDropStaysAndFallsWhenThereIsRoom)
{
    egi_protection p = {1, 0.5, 1, 0.5, true, true, false};
    egi_protection_steer(&p, 0.01, 0.02);
    EXPECT_EQ(1, p.strength) << "one epoch over may pass";
    egi_protection_steer(&p, 0.01, 0.02);
    EXPECT_EQ(4, p.strength);
    EXPECT_DOUBLE_EQ(0.6, p.mix);
    egi_protection_steer(&p, 0.01, 0.005);
    EXPECT_EQ(4, p.strength) << "neither over nor far below";
    egi_protection_steer(&p, 0.01, 0.5);
    EXPECT_EQ(16, p.strength) << "far over: at once";
    for (int i = 0; i < 9; i++)
        egi_protection_steer(&p, 0.01, 0.5);
    EXPECT_DOUBLE_EQ(0.8, p.mix) << "the new task keeps a fifth";
    for (int i = 0; i < 40; i++)
        egi_protection_steer(&p, 0.01, 0);
    EXPECT_EQ(1, p.strength) << "never below where it began";
    EXPECT_DOUBLE_EQ(0.5, p.mix);
}

TEST(Protection, LeavesAloneWhatTheUserSaid)
{
    egi_protection p = {1, 0.9, 1, 0.9, false, false, false};
    for (int i = 0; i < 3; i++)
        egi_protection_steer(&p, 0.01, 0.9);
    EXPECT_EQ(1, p.strength);
    EXPECT_EQ(0.9, p.mix);
    p.steer_mix = true;
    egi_protection_steer(&p, 0.01, 0.9);
    EXPECT_EQ(0.9, p.mix) << "a mix above the ceiling is not lowered";
}
