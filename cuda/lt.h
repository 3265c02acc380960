/** cuda/lt.h: products by NVIDIA's cublasLt, where it is installed. Parts of it work without a device, for the tests.
 */
#ifndef EGI_CUDA_LT_H
#define EGI_CUDA_LT_H

#include "cuda/cuda.h"

#include <cublasLt.h>

/** libcublasLt, looked up by name, and the device's handle. */
struct egi_cuda_lt {
#define EG_CUBLASLT(name) __typeof__(&name) name;
#include "cuda/lt.def"
#undef EG_CUBLASLT
    void *library;
    cublasLtHandle_t handle;
};

/** c = op(a) op(b) + bias (+ c where `accumulate`), row-major, all of f32. op(a): (m, k)  op(b): (k, n)  bias: (n) or
 *  NULL. Factors are rounded as `precision` says; sums are f32 in each. */
typedef struct egi_cuda_product {
    const float *a, *b, *bias;
    float *c;
    int64_t m, n, k;
    bool ta, tb, accumulate;
    egi_precision precision;
} egi_cuda_product;

/** A product as cublasLt takes it: it counts columns first, so that c' = op(b)' op(a)' is computed, b being its A. */
typedef struct egi_cuda_lt_product {
    egi_cuda_product of;
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t a, b, c; /* of ours */
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulAlgo_t algo;
    size_t workspace;
} egi_cuda_lt_product;

/** Looks the calls up in `lt->library`. Errors: DEVICE. */
EG_MUST_USE eg_status egi_cuda_lt_find(egi_cuda_lt *lt);

/** Fills all of `p` but `algo` and `workspace`. */
EG_MUST_USE eg_status egi_cuda_lt_describe(const egi_cuda_lt *lt, egi_cuda_lt_product *p, const egi_cuda_product *of);

#endif
