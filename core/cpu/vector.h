/** core/cpu/vector.h: elementary functions that the compiler vectorises (no branches, no tables, no calls) and the
 * activations made of them. For EGI_SIMD bodies; NaN comes through. Errors, measured over their whole range by
 * tests/ops: at most 3 ulp, absolute error 1e-7 max|y| where a function crosses zero. Polynomials: Moshier, Cephes
 * (exp, tanh, log); erf after Juffa 2016. */
#ifndef EGI_CPU_VECTOR_H
#define EGI_CPU_VECTOR_H

#include "core/act.h"
#include "core/cpu/cpu.h"

#include <math.h>

#define EGI_V static inline __attribute__((always_inline))

EGI_V float egi_v_from_bits(uint32_t bits)
{
    union {
        uint32_t u;
        float f;
    } both = {.u = bits};
    return both.f;
}

EGI_V uint32_t egi_v_bits(float x)
{
    union {
        float f;
        uint32_t u;
    } both = {.f = x};
    return both.u;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2; *n as an integer in two's complement. Returns exp(r) - 1. */
EGI_V float egi_v_exp_part(float x, uint32_t *n)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer, in the low bits */
    const float shifted = x * 1.44269504088896341f + magic, whole = shifted - magic;
    const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    *n = egi_v_bits(shifted) - egi_v_bits(magic);
    return p * (r * r) + r;
}

EGI_V float egi_v_exp(float x)
{
    x = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    uint32_t n;
    const float y = 1 + egi_v_exp_part(x, &n);
    /* Two steps, for results beyond 2^127 and below 2^-126. */
    const uint32_t half = (uint32_t)((int32_t)n >> 1);
    return y * egi_v_from_bits((half + 127) << 23) * egi_v_from_bits((n - half + 127) << 23);
}

/** exp(x) - 1 for x <= 0. */
EGI_V float egi_v_expm1(float x)
{
    x = x < -80.0f ? -80.0f : x;
    uint32_t n;
    const float p = egi_v_exp_part(x, &n), s = egi_v_from_bits((n + 127) << 23);
    return s * p + (s - 1);
}

EGI_V float egi_v_sigmoid(float x)
{
    return 1 / (1 + egi_v_exp(-x));
}

EGI_V float egi_v_tanh(float x)
{
    const float a = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float near = p * z * x + x, far = copysignf(1 - 2 / (egi_v_exp(2 * a) + 1), x);
    return a < 0.625f ? near : far;
}

/* log(1 + f) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1, without its leading f: the result is f + this. */
EGI_V float egi_v_log_part(float f)
{
    const float z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return p * f * z - 0.5f * z;
}

/** log(1 + u) for 0 <= u <= 1. */
EGI_V float egi_v_log1p_unit(float u)
{
    const bool big = u > 0.41421356f;
    const float f = big ? 0.5f * (u - 1) : u, e = big ? 1.0f : 0.0f;
    return (f + (egi_v_log_part(f) + e * -2.12194440e-4f)) + e * 0.693359375f;
}

/** log(x) for normal x > 0; x <= 0 and NaN are the caller's. */
EGI_V float egi_v_log(float x)
{
    const uint32_t bits =
        egi_v_bits(x) - 0x3f3504f3u; /* of sqrt(1/2): the mantissa then lies in [sqrt(1/2), sqrt(2)) */
    const float e = (float)((int32_t)bits >> 23), f = egi_v_from_bits((bits & 0x7fffffu) + 0x3f3504f3u) - 1;
    return (f + (egi_v_log_part(f) + e * -2.12194440e-4f)) + e * 0.693359375f;
}

EGI_V float egi_v_erf(float x)
{
    const float a = fabsf(x), s = x * x;
    float far = -1.72853470e-5f * a + 3.83197126e-4f;
    const float u = -3.88396438e-3f * a + 2.42546219e-2f;
    far = far * s + u;
    far = far * a - 1.06777877e-1f;
    far = far * a - 6.34846687e-1f;
    far = far * a - 1.28717512e-1f;
    far = far * a - a;
    far = copysignf(1 - egi_v_exp(far), x);
    float near = -5.96761703e-4f;
    near = near * s + 4.99119423e-3f;
    near = near * s - 2.67681349e-2f;
    near = near * s + 1.12819925e-1f;
    near = near * s - 3.76125336e-1f;
    near = near * s + 1.28379166e-1f;
    near = near * x + x;
    return a > 0.927734375f ? far : near;
}

EGI_V float egi_v_softplus(float x)
{
    return egi_v_log1p_unit(egi_v_exp(-fabsf(x))) + (x < 0 ? 0 : x);
}

EGI_V float egi_v_clip(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

EGI_V float egi_v_gelu_inner(float x)
{
    return egi_v_tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x));
}

#define EGI_V_SELU_SCALE 1.0507009873554804934f
#define EGI_V_SELU_ALPHA 1.6732632423543772848f

/** y = f(x) of every pointwise kind; `act` is known when the loop is compiled. max_value < 0: none. */
EGI_V float egi_v_act(egi_act act, float alpha, float max_value, float threshold, float x)
{
    switch (act) {
    case EGI_ACT_RELU:
        return x < 0 ? 0 : x;
    case EGI_ACT_RELU6:
        return egi_v_clip(x, 0, 6);
    case EGI_ACT_SIGMOID:
        return egi_v_sigmoid(x);
    case EGI_ACT_TANH:
        return egi_v_tanh(x);
    case EGI_ACT_LEAKY_RELU:
        return x < 0 ? alpha * x : x;
    case EGI_ACT_ELU:
        return x < 0 ? alpha * egi_v_expm1(x < 0 ? x : 0) : x;
    case EGI_ACT_SELU:
        return EGI_V_SELU_SCALE * (x < 0 ? EGI_V_SELU_ALPHA * egi_v_expm1(x < 0 ? x : 0) : x);
    case EGI_ACT_SOFTPLUS:
        return egi_v_softplus(x);
    case EGI_ACT_SOFTSIGN:
        return x / (1 + fabsf(x));
    case EGI_ACT_EXPONENTIAL:
        return egi_v_exp(x);
    case EGI_ACT_SILU:
        return x * egi_v_sigmoid(x);
    case EGI_ACT_GELU:
        return 0.5f * x * (1 + egi_v_erf(x * 0.70710678118654752440f));
    case EGI_ACT_GELU_TANH:
        return 0.5f * x * (1 + egi_v_gelu_inner(x));
    case EGI_ACT_HARD_SIGMOID:
        return egi_v_clip(x + 3, 0, 6) / 6;
    case EGI_ACT_HARD_SIGMOID2:
        return egi_v_clip(0.2f * x + 0.5f, 0, 1);
    case EGI_ACT_HARD_SILU:
        return x * egi_v_clip(x + 3, 0, 6) / 6;
    case EGI_ACT_RELU_GENERAL: {
        const float y = x <= threshold ? alpha * (x - threshold) : x;
        return max_value >= 0 && x >= max_value ? max_value : y;
    }
    default:
        return x;
    }
}

/** The kinds that fuse, for one vectorised loop each. */
#define EGI_V_FUSED(X) X(LINEAR) X(RELU) X(RELU6) X(SIGMOID) X(TANH) X(LEAKY_RELU)

/** dy/dx; kinds by output are given y, the others x (`v`). */
EGI_V float egi_v_slope(egi_act act, float alpha, float max_value, float threshold, float v)
{
    switch (act) {
    case EGI_ACT_RELU:
        return v > 0 ? 1 : 0;
    case EGI_ACT_RELU6:
        return v > 0 && v < 6 ? 1 : 0;
    case EGI_ACT_SIGMOID:
        return v * (1 - v);
    case EGI_ACT_TANH:
        return 1 - v * v;
    case EGI_ACT_LEAKY_RELU:
        return v > 0 ? 1 : alpha;
    case EGI_ACT_ELU:
        return v < 0 ? alpha * egi_v_exp(v) : 1;
    case EGI_ACT_SELU:
        return v < 0 ? EGI_V_SELU_SCALE * EGI_V_SELU_ALPHA * egi_v_exp(v) : EGI_V_SELU_SCALE;
    case EGI_ACT_SOFTPLUS:
        return egi_v_sigmoid(v);
    case EGI_ACT_SOFTSIGN:
        return 1 / ((1 + fabsf(v)) * (1 + fabsf(v)));
    case EGI_ACT_EXPONENTIAL:
        return egi_v_exp(v);
    case EGI_ACT_SILU: {
        const float s = egi_v_sigmoid(v);
        return s * (1 + v * (1 - s));
    }
    case EGI_ACT_GELU:
        return 0.5f * (1 + egi_v_erf(v * 0.70710678118654752440f)) +
               v * 0.39894228040143267794f * egi_v_exp(-0.5f * v * v);
    case EGI_ACT_GELU_TANH: {
        const float t = egi_v_gelu_inner(v);
        return 0.5f * (1 + t) + 0.5f * v * (1 - t * t) * 0.79788456080286535588f * (1 + 3 * 0.044715f * v * v);
    }
    case EGI_ACT_HARD_SIGMOID:
        return v > -3 && v < 3 ? 1.0f / 6 : 0;
    case EGI_ACT_HARD_SIGMOID2:
        return v > -2.5f && v < 2.5f ? 0.2f : 0;
    case EGI_ACT_HARD_SILU:
        return v <= -3 ? 0 : v >= 3 ? 1 : (2 * v + 3) / 6;
    case EGI_ACT_RELU_GENERAL: {
        const float below = v <= threshold ? alpha : 1;
        return max_value >= 0 && v >= max_value ? 0 : below;
    }
    default:
        return 1;
    }
}

#endif
