#include "core/ops/check.h"
#include "core/ops/dense.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_column_sum *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 1));
    return egi_check_is(p, "y", a->y, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->x, -1)));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_column_sum *a = args;
    const egi_shape *s = &t[a->x].shape;
    const int64_t c = s->dim[s->rank - 1], rows = egi_shape_span(s, 0, s->rank - 1);
    for (int64_t j = 0; j < c; j++) {
        double sum = 0;
        for (int64_t i = 0; i < rows; i++)
            sum += egi_get(&t[a->x], i * c + j);
        egi_set(&t[a->y], j, sum);
    }
}

static const egi_column_sum none = {0};
static const egi_op_case cases[] = {
    {.args = &none, .in = {EGI_STATIC_SHAPE(5, 7)}, .out = {EGI_STATIC_SHAPE(7)}},
    {.args = &none, .in = {EGI_STATIC_SHAPE(1, 1)}, .out = {EGI_STATIC_SHAPE(1)}},
    {.args = &none, .in = {EGI_STATIC_SHAPE(9)}, .out = {EGI_STATIC_SHAPE(9)}},
    {.args = &none, .in = {EGI_STATIC_SHAPE(3, 5, 5, 6)}, .out = {EGI_STATIC_SHAPE(6)}},
    {.args = &none, .in = {EGI_STATIC_SHAPE(128, 120)}, .out = {EGI_STATIC_SHAPE(120)}},
    {.args = &none, .in = {EGI_STATIC_SHAPE(1000, 33)}, .out = {EGI_STATIC_SHAPE(33)}},
};

const egi_op egi_op_column_sum = {
    .name = "column_sum",
    .size = sizeof(egi_column_sum),
    .in = {EGI_FIELD(egi_column_sum, x)},
    .out = {EGI_FIELD(egi_column_sum, y)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
