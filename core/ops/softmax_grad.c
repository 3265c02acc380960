#include "core/ops/check.h"
#include "core/ops/pointwise.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_softmax_grad *a = args;
    EG_TRY(egi_check_real(p, "dy", a->dy, 1));
    EG_TRY(egi_check_like(p, "y", a->y, a->dy));
    return egi_check_like(p, "dx", a->dx, a->dy);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_softmax_grad *a = args;
    const int64_t rows = egi_rows(&t[a->y]), k = egi_columns(&t[a->y]);
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t j = r * k; j < r * k + k; j++)
            sum += egi_get(&t[a->dy], j) * egi_get(&t[a->y], j);
        for (int64_t j = r * k; j < r * k + k; j++)
            egi_set(&t[a->dx], j, egi_get(&t[a->y], j) * (egi_get(&t[a->dy], j) - sum));
    }
}

#define CASE(...)                                                                                                   \
    {                                                                                                               \
        .args = &(const egi_softmax_grad){0}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__), EGI_STATIC_SHAPE(__VA_ARGS__)}, \
        .out = {EGI_STATIC_SHAPE(__VA_ARGS__)}, .fill = {                                                           \
            EGI_FILL_NORMAL,                                                                                        \
            EGI_FILL_UNIT                                                                                           \
        }                                                                                                           \
    }
static const egi_op_case cases[] = {CASE(5, 10), CASE(2, 3, 17), CASE(64, 1000), CASE(3, 1500)};

const egi_op egi_op_softmax_grad = {
    .name = "softmax_grad",
    .size = sizeof(egi_softmax_grad),
    .in = {EGI_FIELD(egi_softmax_grad, dy), EGI_FIELD(egi_softmax_grad, y)},
    .out = {EGI_FIELD(egi_softmax_grad, dx)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
