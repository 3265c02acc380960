#include "core/ops/check.h"
#include "core/ops/pointwise.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_activation *a = args;
    if ((int)a->act < 0 || a->act >= EGI_ACT_SOFTMAX)
        return egi_fail(EG_ERR_ARG, "%s is not pointwise", egi_act_name(a->act));
    EG_TRY(egi_check_real(p, "x", a->x, 0));
    return egi_check_like(p, "y", a->y, a->x);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_activation *a = args;
    if (!egi_grad_wanted(g, a->x))
        return EG_OK;
    const egi_val dy = egi_grad_of(g, a->y);
    const bool by_output = egi_act_by_output(a->act); /* then x need not live until the backward pass */
    return EGI_EMIT(p, activation_grad, .dy = dy, .x = by_output ? EGI_NONE : a->x, .y = by_output ? a->y : EGI_NONE,
                    .dx = egi_grad_into(g, a->x), .act = a->act, .alpha = a->alpha, .max_value = a->max_value,
                    .threshold = a->threshold);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_activation *a = args;
    const egi_act_args k = {a->alpha, a->max_value, a->threshold};
    const int64_t n = egi_count(&t[a->x]);
    for (int64_t i = 0; i < n; i++)
        egi_set(&t[a->y], i, egi_act_value(a->act, &k, egi_get(&t[a->x], i)));
}

#define CASE(kind, slope, limit, begin)                                                                             \
    {                                                                                                               \
        .args =                                                                                                     \
            &(const egi_activation){.act = EGI_ACT_##kind, .alpha = slope, .max_value = limit, .threshold = begin}, \
        .in = {EGI_STATIC_SHAPE(3, 5, 7)}, .out = {EGI_STATIC_SHAPE(3, 5, 7)}, .fill = {                            \
            EGI_FILL_AWAY                                                                                           \
        }                                                                                                           \
    }
static const egi_op_case cases[] = {
    CASE(LINEAR, 0, -1, 0),
    CASE(RELU, 0, -1, 0),
    CASE(RELU6, 0, -1, 0),
    CASE(SIGMOID, 0, -1, 0),
    CASE(TANH, 0, -1, 0),
    CASE(LEAKY_RELU, 0.2f, -1, 0),
    CASE(ELU, 0.7f, -1, 0),
    CASE(SELU, 0, -1, 0),
    CASE(SOFTPLUS, 0, -1, 0),
    CASE(SOFTSIGN, 0, -1, 0),
    CASE(EXPONENTIAL, 0, -1, 0),
    CASE(SILU, 0, -1, 0),
    CASE(GELU, 0, -1, 0),
    CASE(GELU_TANH, 0, -1, 0),
    CASE(HARD_SIGMOID, 0, -1, 0),
    CASE(HARD_SIGMOID2, 0, -1, 0),
    CASE(HARD_SILU, 0, -1, 0),
    CASE(RELU_GENERAL, 0, -1, 0),
    CASE(RELU_GENERAL, 0.1f, 1.5f, 0.01f),
    {.args = &(const egi_activation){.act = EGI_ACT_TANH}, .in = {EGI_STATIC_SHAPE(1)}, .out = {EGI_STATIC_SHAPE(1)}},
    {.args = &(const egi_activation){.act = EGI_ACT_GELU},
     .in = {EGI_STATIC_SHAPE(33, 1031)},
     .out = {EGI_STATIC_SHAPE(33, 1031)}},
};

const egi_op egi_op_activation = {
    .name = "activation",
    .size = sizeof(egi_activation),
    .in = {EGI_FIELD(egi_activation, x)},
    .out = {EGI_FIELD(egi_activation, y)},
    .over = {EGI_OVER(egi_activation, y, x)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
