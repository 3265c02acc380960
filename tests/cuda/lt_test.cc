// What the device tells cublasLt about a product, told to the real library: descriptors need no device. The real one
// looks at the size of each value and keeps it, so the values are read back.
#include <cublasLt.h>

#include <dlfcn.h>
#include <gtest/gtest.h>

extern "C" {
#include "cuda/lt.h"
}

namespace
{

class RealLt : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        const char *path = "/usr/local/cuda/lib64/libcublasLt.so.13"; // by its path: the loader knows the stand-in's
        lt.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!lt.library)
            GTEST_SKIP() << "no " << path;
        ASSERT_EQ(EG_OK, egi_cuda_lt_find(&lt)) << eg_last_message();
    }
    template <class F> F *call(F *, const char *name)
    {
        return reinterpret_cast<F *>(dlsym(lt.library, name));
    }
    template <class T> T of_work(egi_cuda_lt_product &p, cublasLtMatmulDescAttributes_t attribute)
    {
        T value{};
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, call(&cublasLtMatmulDescGetAttribute, "cublasLtMatmulDescGetAttribute")(
                                             &p.desc, attribute, &value, sizeof value, nullptr));
        return value;
    }
    template <class T> T of_wishes(egi_cuda_lt_product &p, cublasLtMatmulPreferenceAttributes_t attribute)
    {
        T value{};
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS,
                  call(&cublasLtMatmulPreferenceGetAttribute, "cublasLtMatmulPreferenceGetAttribute")(
                      &p.preference, attribute, &value, sizeof value, nullptr));
        return value;
    }
    // Columns first: as many rows as ours has columns.
    void expect_layout(cublasLtMatrixLayoutOpaque_t &layout, int64_t rows, int64_t columns)
    {
        const auto get = call(&cublasLtMatrixLayoutGetAttribute, "cublasLtMatrixLayoutGetAttribute");
        uint64_t r = 0, c = 0;
        int64_t ld = 0;
        int32_t order = -1;
        uint32_t type = 99;
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, get(&layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &r, sizeof r, nullptr));
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, get(&layout, CUBLASLT_MATRIX_LAYOUT_COLS, &c, sizeof c, nullptr));
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, get(&layout, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld, nullptr));
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, get(&layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order, nullptr));
        EXPECT_EQ(CUBLAS_STATUS_SUCCESS, get(&layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type, nullptr));
        EXPECT_EQ((uint64_t)columns, r);
        EXPECT_EQ((uint64_t)rows, c);
        EXPECT_EQ(columns, ld);
        EXPECT_EQ(CUBLASLT_ORDER_COL, order);
        EXPECT_EQ((uint32_t)CUDA_R_32F, type);
    }

    egi_cuda_lt lt = {};
    alignas(256) float memory[64] = {};
};

egi_cuda_product product()
{
    egi_cuda_product p = {};
    p.m = 5;
    p.n = 3;
    p.k = 7;
    return p;
}

} // namespace

TEST_F(RealLt, TakesEveryTranspose)
{
    for (int bits = 0; bits < 4; bits++) {
        egi_cuda_product of = product();
        of.ta = bits & 1;
        of.tb = bits & 2;
        egi_cuda_lt_product p = {};
        ASSERT_EQ(EG_OK, egi_cuda_lt_describe(&lt, &p, &of)) << eg_last_message();
        expect_layout(p.a, of.ta ? 7 : 5, of.ta ? 5 : 7);
        expect_layout(p.b, of.tb ? 3 : 7, of.tb ? 7 : 3);
        expect_layout(p.c, 5, 3);
        EXPECT_EQ(of.tb ? CUBLAS_OP_T : CUBLAS_OP_N, of_work<int32_t>(p, CUBLASLT_MATMUL_DESC_TRANSA));
        EXPECT_EQ(of.ta ? CUBLAS_OP_T : CUBLAS_OP_N, of_work<int32_t>(p, CUBLASLT_MATMUL_DESC_TRANSB));
    }
}

TEST_F(RealLt, TakesEveryPrecision)
{
    const cublasComputeType_t wanted[] = {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32,
                                          CUBLAS_COMPUTE_32F_FAST_16BF};
    for (int i = 0; i < 3; i++) {
        egi_cuda_product of = product();
        of.precision = (egi_precision)i;
        egi_cuda_lt_product p = {};
        ASSERT_EQ(EG_OK, egi_cuda_lt_describe(&lt, &p, &of)) << eg_last_message();
        EXPECT_EQ(wanted[i], of_work<int32_t>(p, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE));
        EXPECT_EQ(CUDA_R_32F, of_work<int32_t>(p, CUBLASLT_MATMUL_DESC_SCALE_TYPE));
        EXPECT_EQ(CUBLASLT_POINTER_MODE_HOST, of_work<int32_t>(p, CUBLASLT_MATMUL_DESC_POINTER_MODE));
    }
}

TEST_F(RealLt, TakesABias)
{
    for (const float *bias : {(const float *)memory, (const float *)nullptr}) {
        egi_cuda_product of = product();
        of.bias = bias;
        egi_cuda_lt_product p = {};
        ASSERT_EQ(EG_OK, egi_cuda_lt_describe(&lt, &p, &of)) << eg_last_message();
        EXPECT_EQ((uint32_t)(bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT),
                  of_work<uint32_t>(p, CUBLASLT_MATMUL_DESC_EPILOGUE));
        EXPECT_EQ(bias, of_work<const float *>(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER));
    }
}

// What is promised of an address is what it is a multiple of; a bias counts with its matrix.
TEST_F(RealLt, TakesWorkspaceReductionAndAlignment)
{
    egi_cuda_product of = product();
    of.a = memory + 1;
    of.b = memory + 2;
    of.c = memory + 8;
    of.bias = memory + 4;
    egi_cuda_lt_product p = {};
    ASSERT_EQ(EG_OK, egi_cuda_lt_describe(&lt, &p, &of)) << eg_last_message();
    EXPECT_EQ(32u << 20, of_wishes<uint64_t>(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
    EXPECT_EQ((uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
              of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK));
    EXPECT_EQ(8u, of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES));
    EXPECT_EQ(4u, of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES));
    EXPECT_EQ(32u, of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES));
    EXPECT_EQ(16u, of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
    of.a = of.b = of.c = memory;
    of.bias = nullptr;
    ASSERT_EQ(EG_OK, egi_cuda_lt_describe(&lt, &p, &of)) << eg_last_message();
    EXPECT_EQ(256u, of_wishes<uint32_t>(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
}
