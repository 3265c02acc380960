// Lower precision is rounded factors and nothing else: the same bits as f32 gives for factors that were rounded before.
#include "harness.h"

#ifdef EG_WITH_CUDA
#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace ops;

namespace
{

// To the nearest with `bits` bits of fraction, ties to even, by another way than the kernels': exact arithmetic.
double rounded(double x, int bits)
{
    int exponent;
    const double m = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(m, bits + 1)), exponent - bits - 1);
}

struct Product {
    const egi_op *op;
    std::vector<uint16_t> factors;
};

const Product kProducts[] = {
    {&egi_op_gemm, {EGI_FIELD(egi_gemm, a), EGI_FIELD(egi_gemm, b)}},
    {&egi_op_dense, {EGI_FIELD(egi_dense, x), EGI_FIELD(egi_dense, w)}},
    {&egi_op_conv2d, {EGI_FIELD(egi_conv2d, x), EGI_FIELD(egi_conv2d, w)}},
    {&egi_op_conv2d_maxpool, {EGI_FIELD(egi_conv2d_maxpool, x), EGI_FIELD(egi_conv2d_maxpool, w)}},
    {&egi_op_conv2d_dx, {EGI_FIELD(egi_conv2d_dx, dy), EGI_FIELD(egi_conv2d_dx, w)}},
    {&egi_op_conv2d_dw, {EGI_FIELD(egi_conv2d_dw, x), EGI_FIELD(egi_conv2d_dw, dy)}},
};

// Those have kernels of their own, which memory bounds and not arithmetic: they stay f32.
bool is_depthwise(const Case &k)
{
    if (k.op == &egi_op_gemm || k.op == &egi_op_dense)
        return false;
    const auto *g = k.op == &egi_op_conv2d           ? &((const egi_conv2d *)k.data->args)->g
                    : k.op == &egi_op_conv2d_maxpool ? &((const egi_conv2d_maxpool *)k.data->args)->g
                    : k.op == &egi_op_conv2d_dx      ? &((const egi_conv2d_dx *)k.data->args)->g
                                                     : &((const egi_conv2d_dw *)k.data->args)->g;
    return g->groups > 1;
}

// There the factor is no input but a sum of several.
bool pools_overlap(const Case &k)
{
    const egi_conv_pool *pool = k.op == &egi_op_conv2d_dx   ? &((const egi_conv2d_dx *)k.data->args)->pool
                                : k.op == &egi_op_conv2d_dw ? &((const egi_conv2d_dw *)k.data->args)->pool
                                                            : nullptr;
    return pool && pool->size[0] > 0 &&
           (pool->g.window[0] > pool->g.stride[0] || pool->g.window[1] > pool->g.stride[1]);
}

void round_factors(Instance &x, const Product &p, int bits)
{
    for (uint16_t field : p.factors) {
        std::vector<double> v = x.of(field).get();
        for (double &e : v)
            e = rounded(e, bits);
        x.of(field).set(v);
    }
}

// Returns whether rounding changed anything.
bool expect_rounded_factors(const Case &k, const Product &p, egi_precision precision, int bits)
{
    Context low, plain; // of libraries' products only the stand-in's have the same bits: lt_test
    low.own_kernels(true);
    plain.own_kernels(true);
    Instance got(k, EGI_F32), want(k, EGI_F32), exact(k, EGI_F32);
    round_factors(want, p, bits);
    low.c->precision = precision;
    EXPECT_OK(got.run(low.c, control()));
    EXPECT_OK(want.run(plain.c, control()));
    EXPECT_OK(exact.run(plain.c, control()));
    bool differs = false;
    for (size_t i = 0; i < got.values.size(); i++) {
        if (!got.values[i].out)
            continue;
        EXPECT_TRUE(want.values[i].memory == got.values[i].memory)
            << k.id() << ", value " << i << ", " << bits << " bits";
        differs = differs || exact.values[i].memory != got.values[i].memory;
    }
    return differs;
}

} // namespace

TEST(Precision, RoundsTheFactorsOfProducts)
{
    const char *device = getenv("EG_TEST_DEVICE");
    if (!device || strncmp(device, "cuda", 4) != 0)
        GTEST_SKIP() << "EG_TEST_DEVICE is not cuda";
    for (const Product &p : kProducts) {
        int differ = 0;
        for (const Case &k : all_cases()) {
            if (k.op != p.op || is_depthwise(k) || pools_overlap(k))
                continue;
            differ += expect_rounded_factors(k, p, EGI_PRECISION_TF32, 10);
            differ += expect_rounded_factors(k, p, EGI_PRECISION_BF16, 7);
        }
        EXPECT_GT(differ, 0) << p.op->name;
    }
}

#endif
