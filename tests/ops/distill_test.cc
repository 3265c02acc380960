// Distillation by hand, at the limits of exp, and beside the loss that DER++ takes for the same purpose.
#include "harness.h"

#include <cmath>

using namespace ops;

namespace
{

struct Found {
    double loss;
    std::vector<float> dz;
};

egi_distill settings(float temperature, int64_t begin = 0)
{
    egi_distill a = {};
    a.scale = 1;
    a.temperature = temperature;
    a.begin = begin;
    return a;
}

Found distill(egi_distill a, std::vector<float> z, std::vector<float> teacher, std::vector<float> weights,
              bool reference)
{
    Context c(reference);
    egi_plan *plan = nullptr;
    const int64_t n = (int64_t)weights.size(), columns = (int64_t)z.size() / n, old = (int64_t)teacher.size() / n;
    float loss = -1;
    Found f = {0, std::vector<float>(z.size(), -1.0f)};
    EXPECT_OK(egi_plan_create(&plan, c.c, n, EGI_F32, true));
    a.z = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n, columns), z.data());
    a.teacher = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n, old), teacher.data());
    a.weights = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n), weights.data());
    a.loss = egi_plan_bind(plan, EGI_F32, EGI_SCALAR, &loss);
    a.dz = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n, columns), f.dz.data());
    const egi_control step = control();
    EXPECT_OK(egi_plan_emit(plan, &egi_op_distill, &a));
    EXPECT_OK(egi_plan_compile(plan));
    EXPECT_OK(egi_plan_run(plan, &step));
    egi_plan_free(plan);
    f.loss = (double)loss;
    return f;
}

class Distill : public ::testing::TestWithParam<bool>
{
};
INSTANTIATE_TEST_SUITE_P(Both, Distill, ::testing::Bool(),
                         [](const auto &info) { return info.param ? "reference" : "fast"; });

// The teacher says 1/4, 3/4 at T = 2, the network 1/2, 1/2; the third column is a new class; the second row counts not.
TEST_P(Distill, ByHand)
{
    const float t = 2 * std::log(3.0f);
    const Found f = distill(settings(2), {5, 5, 9, 1, 2, 3}, {1, 1 + t, NAN, NAN}, {1, 0}, GetParam());
    EXPECT_NEAR((0.25 * std::log(0.5) + 0.75 * std::log(1.5)) / 2, f.loss, 1e-7);
    const float wanted[] = {0.0625f, -0.0625f, 0, 0, 0, 0}; // (q - p) / T / rows
    for (size_t i = 0; i < 6; i++)
        EXPECT_NEAR(wanted[i], f.dz[i], 1e-7) << i;
}

TEST_P(Distill, OfColumnsInTheMiddle)
{
    const Found first = distill(settings(2), {1, -2, 3}, {2, 0, 1}, {1}, GetParam()),
                middle = distill(settings(2, 1), {70, 1, -2, 3, 80}, {2, 0, 1}, {1}, GetParam());
    EXPECT_GT(first.loss, 0.1);
    EXPECT_EQ(first.loss, middle.loss);
    EXPECT_EQ(std::vector<float>({0, first.dz[0], first.dz[1], first.dz[2], 0}), middle.dz);
}

TEST_P(Distill, TheSameAnswersCostNothing)
{
    const std::vector<float> z = {1, 2, 3, -4, 0, 1e4f};
    const Found f = distill(settings(2), z, z, {1, 1}, GetParam());
    EXPECT_EQ(0, f.loss);
    for (const float dz : f.dz)
        EXPECT_NEAR(0, dz, 3e-8); // half an ulp of 1/4: a fused multiply-add rounds one of two equal products
}

// Logits far beyond what exp() takes: KL is then the distance itself, 2e4 / T.
TEST_P(Distill, LargeLogits)
{
    const Found f = distill(settings(2), {1e4f, -1e4f}, {-1e4f, 1e4f}, {1}, GetParam());
    EXPECT_NEAR(1e4, f.loss, 1e-2);
    EXPECT_NEAR(0.5, f.dz[0], 1e-6);
    EXPECT_NEAR(-0.5, f.dz[1], 1e-6);
}

// DER++ meets stored logits by the mean over batch and classes of (z - z_old)^2: pointwise_loss with MSE is that.
TEST_P(Distill, MseIsTheMeanOverBatchAndClasses)
{
    Context c(GetParam());
    egi_plan *plan = nullptr;
    std::vector<float> z = {1, 2, 3, 4, 5, 6}, stored = {1, 0, 3, 1, 5, 7}, dz(6);
    float loss = 0;
    EXPECT_OK(egi_plan_create(&plan, c.c, 2, EGI_F32, true));
    egi_pointwise_loss a = {};
    a.kind = EGI_LOSS_MSE;
    a.scale = 0.5f;
    a.y = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(2, 3), z.data());
    a.targets = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(2, 3), stored.data());
    a.loss = egi_plan_bind(plan, EGI_F32, EGI_SCALAR, &loss);
    a.dy = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(2, 3), dz.data());
    const egi_control step = control();
    EXPECT_OK(egi_plan_emit(plan, &egi_op_pointwise_loss, &a));
    EXPECT_OK(egi_plan_compile(plan));
    EXPECT_OK(egi_plan_run(plan, &step));
    egi_plan_free(plan);
    EXPECT_NEAR(0.5 * (4 + 9 + 1) / 6, loss, 1e-6);
    const float wanted[] = {0, 2.0f / 6, 0, 3.0f / 6, 0, -1.0f / 6};
    for (size_t i = 0; i < 6; i++)
        EXPECT_NEAR(wanted[i], dz[i], 1e-7) << i;
}

} // namespace
