// Products of cublasLt with wrong operands.
#include <cublasLt.h>

#include "bug.h"

/** C = A B of n x n columns with the leading dimension of A given. */
static void multiply(const float *a, int64_t lda, const float *b, float *c, uint64_t n)
{
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t la, lb, lc;
    const float one = 1, zero = 0;
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&la, CUDA_R_32F, n, n, lda);
    cublasLtMatrixLayoutCreate(&lb, CUDA_R_32F, n, n, (int64_t)n);
    cublasLtMatrixLayoutCreate(&lc, CUDA_R_32F, n, n, (int64_t)n);
    cublasLtMatmul(handle, desc, &one, a, la, b, lb, &zero, c, lc, c, lc, nullptr, nullptr, 0, 0);
    cudaDeviceSynchronize();
    cublasLtMatrixLayoutDestroy(la);
    cublasLtMatrixLayoutDestroy(lb);
    cublasLtMatrixLayoutDestroy(lc);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
}

template <bool wrong> void run_matmul_ld()
{
    Zeroed<float> a(64), b(64);
    Device<float> c(64);
    // planted on the host matmul_ld: cublasLtMatmul: A of 32 bytes at .*past
    multiply(a.at, wrong ? 9 : 8, b.at, c.at, 8);
}
BUG(matmul_ld);

template <bool wrong> void run_matmul_uninitialised()
{
    Zeroed<float> a(64);
    Device<float> b(64), c(64);
    if (!wrong)
        b.zero();
    multiply(a.at, 8, b.at, c.at, 8); // planted on the host matmul_uninitialised: cublasLtMatmul: B reads uninitialised
}
BUG(matmul_uninitialised);

template <bool wrong> void run_matmul_too_small()
{
    Zeroed<float> a(64), b(64);
    Device<float> c(wrong ? 63 : 64);
    multiply(a.at, 8, b.at, c.at, 8); // planted on the host matmul_too_small: cublasLtMatmul: D of 32 bytes at .*past
}
BUG(matmul_too_small);
