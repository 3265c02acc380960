#include "core/ops/check.h"
#include "core/ops/pointwise.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_copy *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 0));
    EG_TRY(egi_check_real(p, "y", a->y, 0));
    return egi_check_is(p, "y", a->y, egi_dtype_of(p, a->y), *egi_shape_of(p, a->x)); /* any of the two dtypes */
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_copy *a = args;
    if (!egi_grad_wanted(g, a->x))
        return EG_OK;
    const egi_val dy = egi_grad_of(g, a->y);
    if (egi_dtype_of(p, a->x) != egi_dtype_of(p, a->y))
        return EGI_EMIT(p, copy, .x = dy, .y = egi_grad_into(g, a->x));
    egi_grad_pass(g, a->x, dy);
    return EG_OK;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_copy *a = args;
    const int64_t n = egi_count(&t[a->x]);
    for (int64_t i = 0; i < n; i++)
        egi_set(&t[a->y], i, egi_get(&t[a->x], i));
}

#define CASE(...)                                                                                                     \
    {                                                                                                                 \
        .args = &(const egi_copy){0}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__)}, .out = { EGI_STATIC_SHAPE(__VA_ARGS__) } \
    }
static const egi_op_case cases[] = {CASE(3, 5, 7), CASE(1), CASE(40, 1031)};

const egi_op egi_op_copy = {
    .name = "copy",
    .size = sizeof(egi_copy),
    .in = {EGI_FIELD(egi_copy, x)},
    .out = {EGI_FIELD(egi_copy, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
