#include "support.h"

// Four tasks by hand: row k is after training task k.
static const double a[] = {0.90, 0.10, 0.20, 0.05, //
                           0.70, 0.80, 0.15, 0.10, //
                           0.75, 0.60, 0.95, 0.00, //
                           0.50, 0.65, 0.90, 0.85};

TEST(Metrics, OverTasksByHand)
{
    EXPECT_NEAR((0.50 + 0.65 + 0.90 + 0.85) / 4, egi_average_accuracy(a, 4), 1e-15);
    EXPECT_NEAR(((0.50 - 0.90) + (0.65 - 0.80) + (0.90 - 0.95)) / 3, egi_backward_transfer(a, 4), 1e-15);
    const double b[] = {0.1, 0.2, 0.1, 0.25};
    EXPECT_NEAR(((0.10 - 0.2) + (0.15 - 0.1) + (0.00 - 0.25)) / 3, egi_forward_transfer(a, b, 4), 1e-15);
    EXPECT_NEAR(((0.90 - 0.50) + (0.80 - 0.65) + (0.95 - 0.90)) / 3, egi_forgetting(a, 4), 1e-15);
}

TEST(Metrics, ForgettingTakesTheBestOfTheWayAndMayBeNegative)
{
    const double better[] = {0.5, 0, 0, 0.9, 0.4, 0, 0.8, 0.3, 0.7};
    EXPECT_NEAR(((0.9 - 0.8) + (0.4 - 0.3)) / 2, egi_forgetting(better, 3), 1e-15);
    const double gained[] = {0.5, 0, 0.7, 0.9};
    EXPECT_NEAR(-0.2, egi_forgetting(gained, 2), 1e-15);
}

TEST(Metrics, WhatWasNotMeasuredIsNotANumber)
{
    const double one[] = {0.9};
    EXPECT_EQ(0.9, egi_average_accuracy(one, 1));
    EXPECT_TRUE(std::isnan(egi_backward_transfer(one, 1)));
    EXPECT_TRUE(std::isnan(egi_forgetting(one, 1)));
    EXPECT_TRUE(std::isnan(egi_average_accuracy(one, 0)));
    const double hole[] = {0.9, 0, 0, NAN, 0.8, 0, 0.5, 0.7, 0.6};
    EXPECT_TRUE(std::isnan(egi_forgetting(hole, 3)));
}

TEST(Metrics, FlipsByHand)
{
    const uint8_t before[] = {1, 1, 0, 0, 1, 1, 0}, after[] = {1, 0, 1, 0, 0, 0, 0};
    const egi_flips f = egi_flips_count(before, after, 7);
    EXPECT_EQ(7, f.n);
    EXPECT_EQ(1, f.both_right);
    EXPECT_EQ(3, f.negative);
    EXPECT_EQ(1, f.positive);
    EXPECT_EQ(2, f.both_wrong);
}

TEST(Metrics, QuantilesAndWilsonAsScipySays)
{
    const json_t *limits = json_object_get(GoldenNumbers(), "limits"), *row;
    size_t i;
    json_array_foreach(json_object_get(limits, "quantile"), i, row) EXPECT_NEAR(
        Number(row, 1), egi_normal_quantile(Number(row, 0)), 1e-13 * std::max(1.0, std::fabs(Number(row, 1))))
        << Number(row, 0);
    json_array_foreach(json_object_get(limits, "wilson"), i, row)
    {
        double low, high;
        egi_wilson_limits((int64_t)Number(row, 0), (int64_t)Number(row, 1), Number(row, 2), &low, &high);
        EXPECT_NEAR(Number(row, 3), low, 1e-12) << i;
        EXPECT_NEAR(Number(row, 4), high, 1e-12) << i;
    }
}

// Worked examples of Newcombe's method 10 in print: Altman et al. 2000, "Statistics with confidence" (2nd ed.),
// table 6.2, page 52: 14, 5, 0, 22 gives 0.122 (0.011 to 0.226). Fagerland, Lydersen, Laake 2014 (Statistics in
// Medicine 33, 2850-2875), airway hyper-responsiveness of Bentur et al. 2009: 1, 1, 7, 12 gives -0.286 (-0.507 to
// -0.026).
TEST(Metrics, DropLimitsAsPublished)
{
    double low, high;
    const egi_flips altman = {41, 14, 5, 0, 22};
    egi_drop_limits(&altman, 0.975, &low, &high);
    EXPECT_NEAR(0.011, low, 5e-4);
    EXPECT_NEAR(0.226, high, 5e-4);
    const egi_flips airways = {21, 1, 1, 7, 12};
    egi_drop_limits(&airways, 0.975, &low, &high);
    EXPECT_NEAR(-0.507, low, 5e-4);
    EXPECT_NEAR(-0.026, high, 5e-4);
}

TEST(Metrics, DropLimitsAreHonestAtTheEdges)
{
    double low, high;
    const egi_flips none = {0, 0, 0, 0, 0};
    egi_drop_limits(&none, 0.95, &low, &high);
    EXPECT_EQ(-1, low);
    EXPECT_EQ(1, high);
    const egi_flips few = {20, 20, 0, 0, 0}; // nothing lost in 20 examples proves little
    egi_drop_limits(&few, 0.95, &low, &high);
    EXPECT_GT(high, 0.05);
    const egi_flips many = {10000, 9881, 0, 0, 119};
    egi_drop_limits(&many, 0.95, &low, &high);
    EXPECT_LT(high, 0.01);
    EXPECT_GT(high, 0);
    const egi_flips lost = {100, 0, 100, 0, 0};
    egi_drop_limits(&lost, 0.95, &low, &high);
    EXPECT_LE(high, 1);
    EXPECT_GT(low, 0.9);
    // Exchanging the models changes the sign and nothing else.
    const egi_flips one = {200, 150, 20, 10, 20}, other = {200, 150, 10, 20, 20};
    double low2, high2;
    egi_drop_limits(&one, 0.95, &low, &high);
    egi_drop_limits(&other, 0.95, &low2, &high2);
    EXPECT_NEAR(low, -high2, 1e-15);
    EXPECT_NEAR(high, -low2, 1e-15);
}

TEST(Metrics, ConfusionAsScikitLearnSays)
{
    const json_t *g = json_object_get(GoldenNumbers(), "confusion");
    std::vector<int32_t> truth, predicted;
    for (size_t i = 0; i < json_array_size(json_object_get(g, "truth")); i++) {
        truth.push_back((int32_t)Number(json_object_get(g, "truth"), i));
        predicted.push_back((int32_t)Number(json_object_get(g, "predicted"), i));
    }
    std::vector<int64_t> matrix(25, 0);
    std::vector<double> recall(5);
    egi_confusion_add(matrix.data(), 5, truth.data(), predicted.data(), (int64_t)truth.size());
    egi_confusion_recall(matrix.data(), 5, recall.data());
    for (size_t t = 0; t < 5; t++)
        for (size_t p = 0; p < 5; p++)
            EXPECT_EQ((int64_t)Number(json_array_get(json_object_get(g, "matrix"), t), p), matrix[t * 5 + p]);
    for (size_t t = 0; t < 4; t++)
        EXPECT_NEAR(Number(json_object_get(g, "recall"), t), recall[t], 1e-15);
    EXPECT_TRUE(std::isnan(recall[4]));
    const int32_t outside[] = {-1, 5, 0};
    egi_confusion_add(matrix.data(), 5, outside, outside, 2); // skipped, not written beside the matrix
}
