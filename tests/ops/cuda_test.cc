// What the cases of conform_test are too small to reach on a whole GPU: it is made to look like a part of one.
#include "harness.h"

#ifdef EG_WITH_CUDA
extern "C" {
#include "cuda/cuda.h"
}

#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace ops;

namespace
{

class Cuda : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        const char *device = getenv("EG_TEST_DEVICE");
        if (!device || strncmp(device, "cuda", 4) != 0)
            GTEST_SKIP() << "EG_TEST_DEVICE is not cuda";
    }
};

// Runs a case by the f64 reference and by own kernels on a GPU of `processors`.
void expect_close(const Case &k, int processors)
{
    Context host(true), gpu;
    ((egi_cuda *)gpu.c->device)->processors = processors;
    gpu.own_kernels(true);
    Instance want(k, EGI_F64, 1, 0x11), got(k, EGI_F32, 1, 0x22);
    ASSERT_OK(want.run(host.c, control()));
    ASSERT_OK(got.run(gpu.c, control()));
    for (size_t i = 0; i < want.values.size(); i++) {
        EXPECT_TRUE(got.values[i].canaries_whole());
        const std::vector<double> x = got.values[i].get(), y = want.values[i].get();
        const double tolerance = 1e-5 * largest(y);
        for (size_t j = 0; j < y.size(); j++)
            ASSERT_LE(std::fabs(x[j] - y[j]), tolerance)
                << k.op->name << ", " << processors << " processors, value " << i << ", element " << j << ": " << x[j]
                << ", wanted " << y[j];
    }
}

egi_op_case matrices(const void *args, egi_shape a, egi_shape b, egi_shape third, egi_shape out)
{
    egi_op_case c = {};
    c.args = args;
    c.in[0] = a;
    c.in[1] = b;
    c.in[2] = third;
    c.out[0] = out;
    return c;
}

egi_shape shape(int64_t rows, int64_t columns)
{
    egi_shape s = {};
    s.rank = 2;
    s.dim[0] = rows;
    s.dim[1] = columns;
    return s;
}

void expect_gemm(int processors, bool ta, bool tb, bool accumulate, int64_t m, int64_t n, int64_t k)
{
    egi_gemm args = {};
    args.ta = ta;
    args.tb = tb;
    args.accumulate = accumulate;
    const egi_op_case c =
        matrices(&args, ta ? shape(k, m) : shape(m, k), tb ? shape(n, k) : shape(k, n), shape(m, n), shape(m, n));
    expect_close({&egi_op_gemm, 0, &c}, processors);
}

TEST_F(Cuda, LargeTiles)
{
    expect_gemm(1, false, false, false, 68, 132, 20);
    expect_gemm(1, false, true, true, 132, 68, 13);
    expect_gemm(1, true, false, true, 65, 131, 17);
    expect_gemm(1, true, true, false, 131, 67, 16);
    expect_gemm(1, false, false, true, 65, 66, 0);
}

// Two processors, one tile: two blocks take half of k each.
TEST_F(Cuda, LargeTilesOfASplitProduct)
{
    expect_gemm(2, true, false, true, 66, 68, 521);
}

TEST_F(Cuda, LargeTilesOfSquaresAndDense)
{
    egi_square_gemm square = {};
    egi_op_case c = matrices(&square, shape(21, 130), shape(21, 70), shape(130, 70), shape(130, 70));
    c.fill[2] = EGI_FILL_UNIT;
    expect_close({&egi_op_square_gemm, 0, &c}, 1);
    egi_dense dense = {};
    dense.act = EGI_ACT_TANH;
    egi_shape bias = {};
    bias.rank = 1;
    bias.dim[0] = 140;
    c = matrices(&dense, shape(70, 19), shape(19, 140), bias, shape(70, 140));
    expect_close({&egi_op_dense, 0, &c}, 1);
}

// Blocks take several pieces, or walk over their elements more than once.
TEST_F(Cuda, FewBlocks)
{
    for (const Case &k : all_cases())
        for (const egi_op *op : {&egi_op_adam, &egi_op_update_norm, &egi_op_square_add})
            if (k.op == op)
                expect_close(k, 1);
}

} // namespace

// Nothing falls back to the host: a kernel serves every case of every operation.
TEST_F(Cuda, KernelsServeAllCases)
{
    Context gpu;
    for (const Case &k : all_cases()) {
        Instance x(k, EGI_F32);
        ASSERT_OK(x.bind(gpu.c));
        ASSERT_OK(x.emit());
        ASSERT_OK(egi_plan_compile(x.plan));
        for (int i = 0; i < x.plan->n_kernels; i++)
            EXPECT_FALSE(x.plan->kernels[i].slow) << k.id();
    }
}

#endif
