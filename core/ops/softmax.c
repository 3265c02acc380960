#include "core/ops/check.h"
#include "core/ops/pointwise.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_softmax *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 1));
    return egi_check_like(p, "y", a->y, a->x);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_softmax *a = args;
    if (!egi_grad_wanted(g, a->x))
        return EG_OK;
    const egi_val dy = egi_grad_of(g, a->y);
    return EGI_EMIT(p, softmax_grad, .dy = dy, .y = a->y, .dx = egi_grad_into(g, a->x));
}

/* A NaN anywhere in a row makes the row NaN: the sum sees it even where the maximum does not. */
static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_softmax *a = args;
    const int64_t rows = egi_rows(&t[a->x]), k = egi_columns(&t[a->x]);
    for (int64_t r = 0; r < rows; r++) {
        double top = -INFINITY, sum = 0;
        for (int64_t j = r * k; j < r * k + k; j++)
            top = fmax(top, egi_get(&t[a->x], j));
        for (int64_t j = r * k; j < r * k + k; j++)
            sum += exp(egi_get(&t[a->x], j) - top);
        for (int64_t j = r * k; j < r * k + k; j++)
            egi_set(&t[a->y], j, exp(egi_get(&t[a->x], j) - top) / sum);
    }
}

#define CASE(...)                                                                        \
    {                                                                                    \
        .args = &(const egi_softmax){0}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__)}, .out = { \
            EGI_STATIC_SHAPE(__VA_ARGS__)                                                \
        }                                                                                \
    }
static const egi_op_case cases[] = {CASE(5, 10), CASE(1, 1), CASE(2, 3, 17), CASE(3), CASE(64, 1000), CASE(3, 1500)};

const egi_op egi_op_softmax = {
    .name = "softmax",
    .size = sizeof(egi_softmax),
    .in = {EGI_FIELD(egi_softmax, x)},
    .out = {EGI_FIELD(egi_softmax, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
