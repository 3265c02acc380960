/* cuda/act.cuh: the activations of core/act.h in f32, for kernels. Comparisons are core/act.c's, so NaN goes its ways. */
#ifndef EGI_CUDA_ACT_CUH
#define EGI_CUDA_ACT_CUH

#include "core/act.h"

__device__ __forceinline__ float eg_clip(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

__device__ __forceinline__ float eg_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* log(1 + exp(-|x|)). What 1 + e rounds off of e is made good by e / (u - 1) (Kahan). */
__device__ __forceinline__ float eg_log1p_exp(float x)
{
    const float e = expf(-fabsf(x)), u = 1 + e;
    return u == 1 ? e : logf(u) * (e / (u - 1));
}

/* --- kinds whose slope follows from the output: what dense, conv2d and add fuse ----------------------------------- */

__device__ __forceinline__ float eg_act_fused(int act, float alpha, float x)
{
    switch (act) {
    case EGI_ACT_RELU:
        return x < 0 ? 0 : x;
    case EGI_ACT_RELU6:
        return eg_clip(x, 0, 6);
    case EGI_ACT_SIGMOID:
        return eg_sigmoid(x);
    case EGI_ACT_TANH:
        return tanhf(x);
    case EGI_ACT_LEAKY_RELU:
        return x < 0 ? alpha * x : x;
    default:
        return x;
    }
}

__device__ __forceinline__ float eg_act_fused_slope(int act, float alpha, float y)
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

/* --- all kinds ---------------------------------------------------------------------------------------------------- */

#define EG_SELU_SCALE  1.05070098735548049f /* Klambauer et al. 2017, "Self-normalizing neural networks" */
#define EG_SELU_ALPHA  1.67326324235437728f
#define EG_GELU_C      0.797884560802865356f /* sqrt(2 / pi), Hendrycks & Gimpel 2016 */
#define EG_GELU_CUBIC  0.044715f
#define EG_SQRT_HALF   0.707106781186547524f
#define EG_NORMAL_PEAK 0.398942280401432678f /* 1 / sqrt(2 pi) */

__device__ __forceinline__ float eg_gelu_tanh_inner(float x)
{
    return tanhf(EG_GELU_C * (x + EG_GELU_CUBIC * x * x * x));
}

/* Keras' ReLU layer: max_value above, x over the threshold, a slope up to it. */
__device__ __forceinline__ float eg_relu_general(float alpha, float max_value, float threshold, float x)
{
    if (max_value >= 0 && x >= max_value)
        return max_value;
    return x <= threshold ? alpha * (x - threshold) : x;
}

__device__ __forceinline__ float eg_act(int act, float alpha, float max_value, float threshold, float x)
{
    switch (act) {
    case EGI_ACT_ELU:
        return x < 0 ? alpha * expm1f(x) : x;
    case EGI_ACT_SELU:
        return EG_SELU_SCALE * (x < 0 ? EG_SELU_ALPHA * expm1f(x) : x);
    case EGI_ACT_SOFTPLUS:
        return eg_log1p_exp(x) + (x < 0 ? 0 : x);
    case EGI_ACT_SOFTSIGN:
        return x / (1 + fabsf(x));
    case EGI_ACT_EXPONENTIAL:
        return expf(x);
    case EGI_ACT_SILU:
        return x * eg_sigmoid(x);
    case EGI_ACT_GELU:
        return 0.5f * x * (1 + erff(x * EG_SQRT_HALF));
    case EGI_ACT_GELU_TANH:
        return 0.5f * x * (1 + eg_gelu_tanh_inner(x));
    case EGI_ACT_HARD_SIGMOID:
        return eg_clip(x + 3, 0, 6) / 6;
    case EGI_ACT_HARD_SIGMOID2:
        return eg_clip(0.2f * x + 0.5f, 0, 1);
    case EGI_ACT_HARD_SILU:
        return x * eg_clip(x + 3, 0, 6) / 6;
    case EGI_ACT_RELU_GENERAL:
        return eg_relu_general(alpha, max_value, threshold, x);
    default:
        return eg_act_fused(act, alpha, x);
    }
}

__device__ __forceinline__ float eg_silu_slope(float x)
{
    const float s = eg_sigmoid(x);
    return s * (1 + x * (1 - s));
}

__device__ __forceinline__ float eg_gelu_slope(float x)
{
    return 0.5f * (1 + erff(x * EG_SQRT_HALF)) + x * EG_NORMAL_PEAK * expf(-0.5f * x * x);
}

__device__ __forceinline__ float eg_gelu_tanh_slope(float x)
{
    const float t = eg_gelu_tanh_inner(x);
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * EG_GELU_C * (1 + 3 * EG_GELU_CUBIC * x * x);
}

__device__ __forceinline__ float eg_relu_general_slope(float alpha, float max_value, float threshold, float x)
{
    if (max_value >= 0 && x >= max_value)
        return 0;
    return x <= threshold ? alpha : 1;
}

/* `at`: the output for kinds whose slope follows from it (egi_act_by_output()), the input for the others. */
__device__ __forceinline__ float eg_act_slope(int act, float alpha, float max_value, float threshold, float at)
{
    switch (act) {
    case EGI_ACT_ELU:
        return at < 0 ? alpha * expf(at) : 1;
    case EGI_ACT_SELU:
        return EG_SELU_SCALE * (at < 0 ? EG_SELU_ALPHA * expf(at) : 1);
    case EGI_ACT_SOFTPLUS:
        return eg_sigmoid(at);
    case EGI_ACT_SOFTSIGN:
        return 1 / ((1 + fabsf(at)) * (1 + fabsf(at)));
    case EGI_ACT_EXPONENTIAL:
        return expf(at);
    case EGI_ACT_SILU:
        return eg_silu_slope(at);
    case EGI_ACT_GELU:
        return eg_gelu_slope(at);
    case EGI_ACT_GELU_TANH:
        return eg_gelu_tanh_slope(at);
    case EGI_ACT_HARD_SIGMOID:
        return at > -3 && at < 3 ? 1.0f / 6 : 0;
    case EGI_ACT_HARD_SIGMOID2:
        return at > -2.5f && at < 2.5f ? 0.2f : 0;
    case EGI_ACT_HARD_SILU:
        return at <= -3 ? 0 : at >= 3 ? 1 : (2 * at + 3) / 6;
    case EGI_ACT_RELU_GENERAL:
        return eg_relu_general_slope(alpha, max_value, threshold, at);
    default:
        return eg_act_fused_slope(act, alpha, at);
    }
}

#endif
