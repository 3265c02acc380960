/* cuda/precision.cuh: factors of products, rounded as tensor cores take them. The plain units then multiply what tensor
 * cores would: these kernels are what libraries' results are held against. */
#ifndef EGI_CUDA_PRECISION_CUH
#define EGI_CUDA_PRECISION_CUH

#include "core/precision.h"

#include <stdint.h>

/* To the nearest, ties to even. Infinities and NaN stay. */
__device__ __forceinline__ float eg_rounded(float x, int precision)
{
    if (precision == EGI_PRECISION_F32)
        return x;
    const int dropped = precision == EGI_PRECISION_TF32 ? 13 : 16;
    const uint32_t bits = __float_as_uint(x), half = (1u << (dropped - 1)) - 1 + (bits >> dropped & 1);
    return isfinite(x) ? __uint_as_float((bits + half) >> dropped << dropped) : x;
}

#endif
