// A-GEM: sums and projection one after the other, in place, against the formula in double.
#include "harness.h"

#include <algorithm>
#include <cmath>

using namespace ops;

namespace
{

std::vector<float> normal(int64_t n, uint32_t step)
{
    egi_rng r = egi_rng_make(5, EGI_RNG_TEST, step);
    std::vector<float> x((size_t)n);
    for (float &v : x)
        v = (float)egi_rng_normal(&r);
    return x;
}

double dot(const std::vector<float> &x, const std::vector<float> &y)
{
    double sum = 0;
    for (size_t i = 0; i < x.size(); i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

// What g becomes. Both lie in one arena, g behind `before` floats.
std::vector<float> projected(const std::vector<float> &g, const std::vector<float> &ref, bool reference,
                             int64_t before = 0)
{
    Context c(reference);
    egi_plan *plan = nullptr;
    float *arena = nullptr;
    const int64_t n = (int64_t)g.size();
    EXPECT_OK(egi_mirror_alloc(&arena, c.c, before + 2 * n + 1, sizeof *arena));
    std::copy(g.begin(), g.end(), arena + before);
    std::copy(ref.begin(), ref.end(), arena + before + n);
    arena[before + 2 * n] = 77;
    EXPECT_OK(egi_plan_create(&plan, c.c, 1, EGI_F32, true));
    egi_dot sums = {};
    egi_agem_project project = {};
    sums.x = project.g = project.y = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n), arena + before);
    sums.y = project.ref = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(n), arena + before + n);
    sums.sums = project.sums = egi_temp_of(plan, EGI_F64, EGI_SHAPE(2));
    const egi_control step = control();
    EXPECT_OK(egi_plan_emit(plan, &egi_op_dot, &sums));
    EXPECT_OK(egi_plan_emit(plan, &egi_op_agem_project, &project));
    EXPECT_OK(egi_plan_compile(plan));
    EXPECT_OK(egi_plan_run(plan, &step));
    EXPECT_OK(egi_host_reads(c.c, arena));
    EXPECT_EQ(77, arena[before + 2 * n]);
    EXPECT_TRUE(std::equal(ref.begin(), ref.end(), arena + before + n) || std::isnan(ref[0]));
    const std::vector<float> found(arena + before, arena + before + n);
    egi_plan_free(plan);
    egi_free(c.c, arena);
    return found;
}

class Agem : public ::testing::TestWithParam<bool>
{
};
INSTANTIATE_TEST_SUITE_P(Both, Agem, ::testing::Bool(),
                         [](const auto &info) { return info.param ? "reference" : "fast"; });

TEST_P(Agem, ConflictingGradientsEndAtARightAngle)
{
    for (const int64_t n : {1, 2, 63, 1025, 20011}) {
        std::vector<float> g = normal(n, 1), ref = normal(n, 2);
        if (dot(g, ref) > 0)
            for (float &v : ref)
                v = -v;
        const double share = dot(g, ref) / dot(ref, ref);
        ASSERT_LT(share, 0);
        const std::vector<float> y = projected(g, ref, GetParam());
        for (size_t i = 0; i < y.size(); i++) // rounding to float
            ASSERT_NEAR((double)g[i] - share * (double)ref[i], (double)y[i], 1e-6) << n << ", " << i;
        EXPECT_NEAR(0, dot(y, ref), 1e-6 * dot(ref, ref)) << n;
    }
}

// Where no vectors can be read, and where g begins aligned and ref does not.
TEST_P(Agem, AnywhereInTheArena)
{
    const std::vector<float> g = normal(1027, 1);
    std::vector<float> ref = normal(1027, 2);
    if (dot(g, ref) > 0)
        for (float &v : ref)
            v = -v;
    const std::vector<float> y = projected(g, ref, GetParam(), 4);
    for (const int64_t before : {1, 2, 3}) {
        const std::vector<float> z = projected(g, ref, GetParam(), before);
        for (size_t i = 0; i < y.size(); i++)
            ASSERT_NEAR(y[i], z[i], 1e-6) << before << ", " << i;
    }
}

TEST_P(Agem, GradientsThatAgreeStay)
{
    std::vector<float> g = normal(1027, 1), ref = normal(1027, 2);
    if (dot(g, ref) < 0)
        for (float &v : ref)
            v = -v;
    EXPECT_EQ(g, projected(g, ref, GetParam()));
}

TEST_P(Agem, NoReferenceNoChange)
{
    const std::vector<float> g = normal(100, 1);
    EXPECT_EQ(g, projected(g, std::vector<float>(100, 0.0f), GetParam()));
    EXPECT_EQ(std::vector<float>(), projected({}, {}, GetParam()));
}

// Sums are of doubles: a reference of floats whose squares are none still projects.
TEST_P(Agem, SmallGradientsAreNotLost)
{
    const std::vector<float> y = projected({-1e-30f, 1e-30f}, {1e-30f, 0}, GetParam());
    EXPECT_EQ(std::vector<float>({0, 1e-30f}), y);
}

TEST_P(Agem, ANanShows)
{
    EXPECT_TRUE(std::isnan(projected({1, 1}, {NAN, -5}, GetParam())[1]));
}

} // namespace
