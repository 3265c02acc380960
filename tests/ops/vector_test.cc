// The vector functions of the cpu against the C library in double, over their whole range.
#include "harness.h"

#include <cmath>
#include <cstring>
#include <functional>

using namespace ops;

// Runs the activation kernel over `x`.
static std::vector<float> activate(egi_act act, std::vector<float> x, float alpha = 0)
{
    Context c;
    std::vector<float> y(x.size());
    egi_plan *p = nullptr;
    egi_shape shape = {};
    shape.rank = 1;
    shape.dim[0] = (int64_t)x.size();
    egi_activation a = {};
    a.act = act;
    a.alpha = alpha;
    a.max_value = -1;
    const egi_control step = control();
    EXPECT_OK(egi_plan_create(&p, c.c, 1, EGI_F32, false));
    a.x = egi_plan_bind(p, EGI_F32, shape, x.data());
    a.y = egi_plan_bind(p, EGI_F32, shape, y.data());
    EXPECT_OK(egi_plan_emit(p, &egi_op_activation, &a));
    EXPECT_OK(egi_plan_compile(p));
    EXPECT_OK(egi_plan_run(p, &step));
    egi_plan_free(p);
    return y;
}

// All floats of a spread over every exponent, and a dense grid where functions bend.
static std::vector<float> everywhere(float limit)
{
    std::vector<float> x;
    for (uint32_t bits = 0; bits < 0x7f800000u; bits += 4099) {
        float f;
        std::memcpy(&f, &bits, sizeof f);
        if (f <= limit) {
            x.push_back(f);
            x.push_back(-f);
        }
    }
    for (int i = -200000; i <= 200000; i++)
        x.push_back((float)i * 1e-4f * std::fmin(1.0f, limit / 20));
    return x;
}

static double ulp_of(double y)
{
    const float f = std::fabs((float)y);
    return std::fmax(std::ldexp(1.0, -149), (double)std::nextafterf(f, INFINITY) - (double)f);
}

// At most `ulps` of the result, or `absolute` where that is more.
static void expect_ulps(egi_act act, float limit, double ulps, double absolute, std::function<double(double)> exact)
{
    const std::vector<float> x = everywhere(limit), y = activate(act, x, 1);
    double worst = 0;
    float at = 0;
    for (size_t i = 0; i < x.size(); i++) {
        const double want = exact((double)x[i]);
        if (std::isinf((float)want)) {
            ASSERT_EQ((float)want, y[i]) << x[i];
            continue;
        }
        const double error = std::fabs((double)y[i] - want);
        if (error > absolute && error / ulp_of(want) > worst) {
            worst = error / ulp_of(want);
            at = x[i];
        }
    }
    EXPECT_LE(worst, ulps) << egi_act_name(act) << " at " << at;
}

TEST(Vector, Exponential)
{
    expect_ulps(EGI_ACT_EXPONENTIAL, 200, 2, 0, [](double x) { return std::exp(x); });
}

TEST(Vector, Tanh)
{
    expect_ulps(EGI_ACT_TANH, 1e30f, 2, 0, [](double x) { return std::tanh(x); });
}

TEST(Vector, Sigmoid)
{
    expect_ulps(EGI_ACT_SIGMOID, 87, 3, 0, [](double x) { return 1 / (1 + std::exp(-x)); });
}

TEST(Vector, Softplus)
{
    expect_ulps(EGI_ACT_SOFTPLUS, 1e30f, 3, 0,
                [](double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); });
}

TEST(Vector, EluIsExpm1BelowZero)
{
    expect_ulps(EGI_ACT_ELU, 1e30f, 3, 0, [](double x) { return x < 0 ? std::expm1(x) : x; });
}

// Where 1 + erf cancels, the error is that of erf times x.
TEST(Vector, Gelu)
{
    expect_ulps(EGI_ACT_GELU, 1e10f, 4, 5e-7,
                [](double x) { return 0.5 * x * (1 + std::erf(x * 0.70710678118654752440)); });
}

TEST(Vector, SpecialValues)
{
    const float inf = INFINITY;
    const auto one = [](egi_act act, float x) { return activate(act, {x}, 1)[0]; };
    for (int act = 0; act < EGI_ACT_SOFTMAX; act++)
        EXPECT_TRUE(std::isnan(one((egi_act)act, NAN))) << egi_act_name((egi_act)act);
    EXPECT_EQ(inf, one(EGI_ACT_EXPONENTIAL, inf));
    EXPECT_EQ(0, one(EGI_ACT_EXPONENTIAL, -inf));
    EXPECT_EQ(1, one(EGI_ACT_SIGMOID, inf));
    EXPECT_EQ(0, one(EGI_ACT_SIGMOID, -inf));
    EXPECT_EQ(1, one(EGI_ACT_TANH, inf));
    EXPECT_EQ(-1, one(EGI_ACT_TANH, -inf));
    EXPECT_EQ(0, one(EGI_ACT_RELU, -inf));
    EXPECT_EQ(inf, one(EGI_ACT_RELU, inf));
    EXPECT_EQ(-1, one(EGI_ACT_ELU, -inf));
    EXPECT_EQ(0, one(EGI_ACT_SOFTPLUS, -inf));
    EXPECT_EQ(inf, one(EGI_ACT_SOFTPLUS, inf));
}
