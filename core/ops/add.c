#include "core/ops/check.h"
#include "core/ops/pointwise.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_add *a = args;
    EG_TRY(egi_check_fused(a->act, (double)a->alpha));
    EG_TRY(egi_check_real(p, "a", a->a, 0));
    EG_TRY(egi_check_like(p, "b", a->b, a->a));
    return egi_check_like(p, "y", a->y, a->a);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_add *a = args;
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    if (egi_grad_wanted(g, a->a))
        egi_grad_pass(g, a->a, dz);
    if (egi_grad_wanted(g, a->b))
        egi_grad_pass(g, a->b, dz);
    return EG_OK;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_add *a = args;
    const egi_act_args act = {.alpha = (double)a->alpha, .max_value = -1};
    const int64_t n = egi_count(&t[a->y]);
    for (int64_t i = 0; i < n; i++)
        egi_set(&t[a->y], i, egi_act_value(a->act, &act, egi_get(&t[a->a], i) + egi_get(&t[a->b], i)));
}

#define CASE(kind, slope, ...)                                                         \
    {                                                                                  \
        .args = &(const egi_add){.act = EGI_ACT_##kind, .alpha = slope},               \
        .in = {EGI_STATIC_SHAPE(__VA_ARGS__), EGI_STATIC_SHAPE(__VA_ARGS__)}, .out = { \
            EGI_STATIC_SHAPE(__VA_ARGS__)                                              \
        }                                                                              \
    }
static const egi_op_case cases[] = {
    CASE(LINEAR, 0, 3, 5, 7),
    CASE(LINEAR, 0, 1),
    CASE(LINEAR, 0, 40, 1031),
    CASE(RELU, 0, 3, 5, 7),
    CASE(RELU6, 0, 11, 3),
    CASE(SIGMOID, 0, 1),
    CASE(TANH, 0, 5, 9),
    CASE(LEAKY_RELU, 0.3f, 40, 1031),
    {.args = &(const egi_add){0}, .in = {{0}, {0}}, .out = {{0}}}, /* scalars: sums of losses */
};

const egi_op egi_op_add = {
    .name = "add",
    .size = sizeof(egi_add),
    .in = {EGI_FIELD(egi_add, a), EGI_FIELD(egi_add, b)},
    .out = {EGI_FIELD(egi_add, y)},
    .over = {EGI_OVER(egi_add, y, a), EGI_OVER(egi_add, y, b)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
