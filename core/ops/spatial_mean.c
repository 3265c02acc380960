#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_spatial_mean *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 3));
    const egi_shape *x = egi_shape_of(p, a->x);
    if (egi_shape_span(x, 1, x->rank - 1) < 1)
        return egi_fail(EG_ERR_SHAPE, "x: wanted at least one position, found %s", egi_shape_format(x).s);
    return egi_check_is(p, "y", a->y, egi_dtype_of(p, a->x), EGI_SHAPE(x->dim[0], x->dim[x->rank - 1]));
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_spatial_mean *a = args;
    const egi_val dy = egi_grad_of(g, a->y);
    if (dy == EGI_NONE || !egi_grad_wanted(g, a->x))
        return EG_OK;
    return EGI_EMIT(p, spatial_mean_grad, .dy = dy, .dx = egi_grad_into(g, a->x));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_spatial_mean *a = args;
    const egi_shape *s = &t[a->x].shape;
    const int64_t n = s->dim[0], c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < c; j++) {
            double sum = 0;
            for (int64_t r = 0; r < rows; r++)
                sum += egi_get(&t[a->x], (i * rows + r) * c + j);
            egi_set(&t[a->y], i * c + j, sum / (double)rows);
        }
}

static const egi_spatial_mean none = {0};
#define CASE(n, c, ...)                                                                               \
    {                                                                                                 \
        .args = &none, .in = {EGI_STATIC_SHAPE(n, __VA_ARGS__, c)}, .out = { EGI_STATIC_SHAPE(n, c) } \
    }
static const egi_op_case cases[] = {CASE(3, 7, 5, 4), CASE(1, 1, 1, 1), CASE(2, 64, 8, 8), CASE(2, 33, 9),
                                    CASE(2, 3, 2, 3, 4)};

const egi_op egi_op_spatial_mean = {
    .name = "spatial_mean",
    .size = sizeof(egi_spatial_mean),
    .in = {EGI_FIELD(egi_spatial_mean, x)},
    .out = {EGI_FIELD(egi_spatial_mean, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
