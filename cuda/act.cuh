/* cuda/act.cuh: the activations of core/act.h in f32, for kernels. */
#ifndef EGI_CUDA_ACT_CUH
#define EGI_CUDA_ACT_CUH

#include "core/act.h"

/* Kinds whose slope follows from the output: what dense, conv2d and add fuse. */
__device__ __forceinline__ float eg_act_fused(int act, float alpha, float x)
{
    switch (act) {
    case EGI_ACT_RELU:
        return x > 0 || isnan(x) ? x : 0;
    case EGI_ACT_RELU6:
        return x > 6 ? 6 : x > 0 || isnan(x) ? x : 0;
    case EGI_ACT_SIGMOID:
        return 1 / (1 + expf(-x));
    case EGI_ACT_TANH:
        return tanhf(x);
    case EGI_ACT_LEAKY_RELU:
        return x < 0 ? alpha * x : x;
    default:
        return x;
    }
}

/* Their slopes, given the output. */
__device__ __forceinline__ float eg_slope_fused(int act, float alpha, float y)
{
    switch (act) {
    case EGI_ACT_RELU:
        return y > 0 ? 1 : 0;
    case EGI_ACT_RELU6:
        return y > 0 && y < 6 ? 1 : 0;
    case EGI_ACT_SIGMOID:
        return y * (1 - y);
    case EGI_ACT_TANH:
        return 1 - y * y;
    case EGI_ACT_LEAKY_RELU:
        return y > 0 ? 1 : alpha;
    default:
        return 1;
    }
}

#endif
