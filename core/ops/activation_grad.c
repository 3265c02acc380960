#include "core/ops/check.h"
#include "core/ops/pointwise.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_activation_grad *a = args;
    if ((int)a->act < 0 || a->act >= EGI_ACT_SOFTMAX)
        return egi_fail(EG_ERR_ARG, "%s is not pointwise", egi_act_name(a->act));
    const bool by_output = egi_act_by_output(a->act);
    EG_TRY(egi_check_real(p, "dy", a->dy, 0));
    EG_TRY(egi_check_like(p, by_output ? "y" : "x", by_output ? a->y : a->x, a->dy));
    return egi_check_like(p, "dx", a->dx, a->dy);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_activation_grad *a = args;
    const egi_act_args k = {a->alpha, a->max_value, a->threshold};
    const bool by_output = egi_act_by_output(a->act);
    const int64_t n = egi_count(&t[a->dy]);
    for (int64_t i = 0; i < n; i++) {
        const double x = by_output ? 0 : egi_get(&t[a->x], i), y = by_output ? egi_get(&t[a->y], i) : 0;
        egi_set(&t[a->dx], i, egi_get(&t[a->dy], i) * egi_act_slope(a->act, &k, x, y));
    }
}

/* Kinds by output take y, the others x. Outputs of sigmoid lie in (0, 1). */
#define BY_OUTPUT(kind, slope, how)                                                                   \
    {                                                                                                 \
        .args = &(const egi_activation_grad){.act = EGI_ACT_##kind, .alpha = slope, .max_value = -1}, \
        .in = {EGI_STATIC_SHAPE(5, 9), {0}, EGI_STATIC_SHAPE(5, 9)}, .out = {EGI_STATIC_SHAPE(5, 9)}, \
        .in_absent = 1 << 1, .fill = {                                                                \
            EGI_FILL_NORMAL,                                                                          \
            EGI_FILL_NORMAL,                                                                          \
            how                                                                                       \
        }                                                                                             \
    }
#define BY_INPUT(kind, slope, limit, begin)                                                                            \
    {                                                                                                                  \
        .args = &(                                                                                                     \
            const egi_activation_grad){.act = EGI_ACT_##kind, .alpha = slope, .max_value = limit, .threshold = begin}, \
        .in = {EGI_STATIC_SHAPE(5, 9), EGI_STATIC_SHAPE(5, 9)}, .out = {EGI_STATIC_SHAPE(5, 9)}, .in_absent = 1 << 2,  \
        .fill = {                                                                                                      \
            EGI_FILL_NORMAL,                                                                                           \
            EGI_FILL_AWAY                                                                                              \
        }                                                                                                              \
    }
static const egi_op_case cases[] = {
    BY_OUTPUT(LINEAR, 0, EGI_FILL_NORMAL),
    BY_OUTPUT(RELU, 0, EGI_FILL_AWAY),
    BY_OUTPUT(RELU6, 0, EGI_FILL_AWAY),
    BY_OUTPUT(SIGMOID, 0, EGI_FILL_UNIT),
    BY_OUTPUT(TANH, 0, EGI_FILL_UNIT),
    BY_OUTPUT(LEAKY_RELU, 0.2f, EGI_FILL_AWAY),
    BY_INPUT(ELU, 0.7f, -1, 0),
    BY_INPUT(SELU, 0, -1, 0),
    BY_INPUT(SOFTPLUS, 0, -1, 0),
    BY_INPUT(SOFTSIGN, 0, -1, 0),
    BY_INPUT(EXPONENTIAL, 0, -1, 0),
    BY_INPUT(SILU, 0, -1, 0),
    BY_INPUT(GELU, 0, -1, 0),
    BY_INPUT(GELU_TANH, 0, -1, 0),
    BY_INPUT(HARD_SIGMOID, 0, -1, 0),
    BY_INPUT(HARD_SIGMOID2, 0, -1, 0),
    BY_INPUT(HARD_SILU, 0, -1, 0),
    BY_INPUT(RELU_GENERAL, 0, -1, 0),
    BY_INPUT(RELU_GENERAL, 0.1f, 1.5f, 0.01f),
    {.args = &(const egi_activation_grad){.act = EGI_ACT_SILU},
     .in = {EGI_STATIC_SHAPE(33, 1031), EGI_STATIC_SHAPE(33, 1031)},
     .out = {EGI_STATIC_SHAPE(33, 1031)},
     .in_absent = 1 << 2},
};

const egi_op egi_op_activation_grad = {
    .name = "activation_grad",
    .size = sizeof(egi_activation_grad),
    .in = {EGI_FIELD(egi_activation_grad, dy), EGI_FIELD(egi_activation_grad, x), EGI_FIELD(egi_activation_grad, y)},
    .out = {EGI_FIELD(egi_activation_grad, dx)},
    .over = {EGI_OVER(egi_activation_grad, dx, dy), EGI_OVER(egi_activation_grad, dx, y),
             EGI_OVER(egi_activation_grad, dx, x)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
