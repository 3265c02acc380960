#include "core/ops/check.h"
#include "core/ops/dense.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_square_column_sum *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 2));
    return egi_check_is(p, "f", a->f, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->x, -1)));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_square_column_sum *a = args;
    const egi_shape *s = &t[a->x].shape;
    const int64_t n = s->dim[0], c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    for (int64_t j = 0; j < c; j++) {
        double total = egi_get(&t[a->f], j);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t r = 0; r < rows; r++)
                sum += egi_get(&t[a->x], (i * rows + r) * c + j);
            total += sum * sum;
        }
        egi_set(&t[a->f], j, total);
    }
}

static const egi_square_column_sum none = {0};
#define CASE(c, ...)                                                                                             \
    {                                                                                                            \
        .args = &none, .in = {EGI_STATIC_SHAPE(__VA_ARGS__), EGI_STATIC_SHAPE(c)}, .out = {EGI_STATIC_SHAPE(c)}, \
        .fill = {                                                                                                \
            EGI_FILL_NORMAL,                                                                                     \
            EGI_FILL_UNIT                                                                                        \
        }                                                                                                        \
    }
static const egi_op_case cases[] = {CASE(7, 5, 7), CASE(1, 1, 1), CASE(6, 3, 5, 5, 6), CASE(33, 40, 3, 33)};

const egi_op egi_op_square_column_sum = {
    .name = "square_column_sum",
    .size = sizeof(egi_square_column_sum),
    .in = {EGI_FIELD(egi_square_column_sum, x), EGI_FIELD(egi_square_column_sum, f)},
    .out = {EGI_FIELD(egi_square_column_sum, f)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
