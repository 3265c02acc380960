#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_spatial_mean_grad *a = args;
    EG_TRY(egi_check_real(p, "dx", a->dx, 3));
    const egi_shape *x = egi_shape_of(p, a->dx);
    return egi_check_is(p, "dy", a->dy, egi_dtype_of(p, a->dx), EGI_SHAPE(x->dim[0], x->dim[x->rank - 1]));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_spatial_mean_grad *a = args;
    const egi_shape *s = &t[a->dx].shape;
    const int64_t n = s->dim[0], c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < c; j++)
                egi_set(&t[a->dx], (i * rows + r) * c + j, egi_get(&t[a->dy], i * c + j) / (double)rows);
}

static const egi_spatial_mean_grad none = {0};
#define CASE(n, c, ...)                                                                               \
    {                                                                                                 \
        .args = &none, .in = {EGI_STATIC_SHAPE(n, c)}, .out = { EGI_STATIC_SHAPE(n, __VA_ARGS__, c) } \
    }
static const egi_op_case cases[] = {CASE(3, 7, 5, 4), CASE(1, 1, 1, 1), CASE(2, 64, 8, 8), CASE(2, 33, 9),
                                    CASE(2, 3, 2, 3, 4)};

const egi_op egi_op_spatial_mean_grad = {
    .name = "spatial_mean_grad",
    .size = sizeof(egi_spatial_mean_grad),
    .in = {EGI_FIELD(egi_spatial_mean_grad, dy)},
    .out = {EGI_FIELD(egi_spatial_mean_grad, dx)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
