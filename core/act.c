#include "core/act.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {
#define EGI_ACT_NAME(name, keras) keras,
    EGI_ACT_LIST(EGI_ACT_NAME)
#undef EGI_ACT_NAME
};

const char *egi_act_name(egi_act act)
{
    return act >= 0 && act < EGI_ACT_COUNT ? names[act] : "unknown";
}

eg_status egi_act_parse(egi_act *out, const char *name, int keras_major)
{
    static const struct {
        const char *name;
        egi_act act;
    } aliases[] = {{"swish", EGI_ACT_SILU}, {"hard_swish", EGI_ACT_HARD_SILU}};
    if (strcmp(name, "hard_sigmoid") == 0) {
        *out = keras_major >= 3 ? EGI_ACT_HARD_SIGMOID : EGI_ACT_HARD_SIGMOID2;
        return EG_OK;
    }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i].name) == 0) {
            *out = aliases[i].act;
            return EG_OK;
        }
    for (int act = 0; act < EGI_ACT_COUNT; act++)
        if (strcmp(name, names[act]) == 0 && act != EGI_ACT_RELU_GENERAL) {
            *out = (egi_act)act;
            return EG_OK;
        }
    return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: activation '%.80s'", name);
}

double egi_act_default_alpha(egi_act act)
{
    return act == EGI_ACT_LEAKY_RELU ? 0.2 : act == EGI_ACT_ELU ? 1.0 : 0.0;
}

/* Klambauer et al. 2017, "Self-normalizing neural networks". */
static const double selu_scale = 1.0507009873554804934, selu_alpha = 1.6732632423543772848;
static const double gelu_c = 0.79788456080286535588; /* sqrt(2 / pi), Hendrycks & Gimpel 2016 */
static const double inv_sqrt2 = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;

/* Comparisons are written so that NaN comes through. */
static double clip(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double gelu_tanh_inner(double x)
{
    return tanh(gelu_c * (x + 0.044715 * x * x * x));
}

/* Keras' ReLU layer: max_value above, x over the threshold, a slope up to it. */
static double relu_general(const egi_act_args *a, double x)
{
    if (a->max_value >= 0 && x >= a->max_value)
        return a->max_value;
    return x <= a->threshold ? a->alpha * (x - a->threshold) : x;
}

double egi_act_value(egi_act act, const egi_act_args *a, double x)
{
    switch (act) {
    case EGI_ACT_LINEAR:
        return x;
    case EGI_ACT_RELU:
        return x < 0 ? 0 : x;
    case EGI_ACT_RELU6:
        return clip(x, 0, 6);
    case EGI_ACT_SIGMOID:
        return sigmoid(x);
    case EGI_ACT_TANH:
        return tanh(x);
    case EGI_ACT_LEAKY_RELU:
        return x < 0 ? a->alpha * x : x;
    case EGI_ACT_ELU:
        return x < 0 ? a->alpha * expm1(x) : x;
    case EGI_ACT_SELU:
        return selu_scale * (x < 0 ? selu_alpha * expm1(x) : x);
    case EGI_ACT_SOFTPLUS:
        return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x);
    case EGI_ACT_SOFTSIGN:
        return x / (1 + fabs(x));
    case EGI_ACT_EXPONENTIAL:
        return exp(x);
    case EGI_ACT_SILU:
        return x * sigmoid(x);
    case EGI_ACT_GELU:
        return 0.5 * x * (1 + erf(x * inv_sqrt2));
    case EGI_ACT_GELU_TANH:
        return 0.5 * x * (1 + gelu_tanh_inner(x));
    case EGI_ACT_HARD_SIGMOID:
        return clip(x + 3, 0, 6) / 6;
    case EGI_ACT_HARD_SIGMOID2:
        return clip(0.2 * x + 0.5, 0, 1);
    case EGI_ACT_HARD_SILU:
        return x * clip(x + 3, 0, 6) / 6;
    case EGI_ACT_RELU_GENERAL:
        return relu_general(a, x);
    case EGI_ACT_SOFTMAX:
    case EGI_ACT_COUNT:
        break;
    }
    return NAN; /* not pointwise: the checks refuse it */
}

static double gelu_slope(double x)
{
    return 0.5 * (1 + erf(x * inv_sqrt2)) + x * inv_sqrt_2pi * exp(-0.5 * x * x);
}

static double gelu_tanh_slope(double x)
{
    const double t = gelu_tanh_inner(x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * gelu_c * (1 + 3 * 0.044715 * x * x);
}

static double hard_silu_slope(double x)
{
    return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
}

static double relu_general_slope(const egi_act_args *a, double x)
{
    if (a->max_value >= 0 && x >= a->max_value)
        return 0;
    return x <= a->threshold ? a->alpha : 1;
}

double egi_act_slope(egi_act act, const egi_act_args *a, double x, double y)
{
    switch (act) {
    case EGI_ACT_LINEAR:
        return 1;
    case EGI_ACT_RELU:
        return y > 0;
    case EGI_ACT_RELU6:
        return y > 0 && y < 6;
    case EGI_ACT_SIGMOID:
        return y * (1 - y);
    case EGI_ACT_TANH:
        return 1 - y * y;
    case EGI_ACT_LEAKY_RELU:
        return y > 0 ? 1 : a->alpha;
    case EGI_ACT_ELU:
        return x < 0 ? a->alpha * exp(x) : 1;
    case EGI_ACT_SELU:
        return selu_scale * (x < 0 ? selu_alpha * exp(x) : 1);
    case EGI_ACT_SOFTPLUS:
        return sigmoid(x);
    case EGI_ACT_SOFTSIGN:
        return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
    case EGI_ACT_EXPONENTIAL:
        return exp(x);
    case EGI_ACT_SILU:
        return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case EGI_ACT_GELU:
        return gelu_slope(x);
    case EGI_ACT_GELU_TANH:
        return gelu_tanh_slope(x);
    case EGI_ACT_HARD_SIGMOID:
        return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case EGI_ACT_HARD_SIGMOID2:
        return x > -2.5 && x < 2.5 ? 0.2 : 0;
    case EGI_ACT_HARD_SILU:
        return hard_silu_slope(x);
    case EGI_ACT_RELU_GENERAL:
        return relu_general_slope(a, x);
    case EGI_ACT_SOFTMAX:
    case EGI_ACT_COUNT:
        break;
    }
    return NAN;
}
