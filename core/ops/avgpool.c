#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_avgpool *a = args;
    return egi_pool_check(p, a->x, a->y, &a->g);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_avgpool *a = args;
    const egi_val dy = egi_grad_of(g, a->y);
    if (dy == EGI_NONE || !egi_grad_wanted(g, a->x))
        return EG_OK;
    return EGI_EMIT(p, avgpool_grad, .dy = dy, .dx = egi_grad_into(g, a->x), .g = a->g);
}

static double mean(const egi_avgpool *a, const egi_tensor *x, int64_t n, int64_t i, int64_t j, int64_t c)
{
    const int64_t h = x->shape.dim[1], w = x->shape.dim[2], channels = x->shape.dim[3];
    int64_t r0, r1, s0, s1;
    egi_pool_range(&a->g, 0, i, h, &r0, &r1);
    egi_pool_range(&a->g, 1, j, w, &s0, &s1);
    double sum = 0;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t s = s0; s < s1; s++)
            sum += egi_get(x, ((n * h + r) * w + s) * channels + c);
    return sum / (double)((r1 - r0) * (s1 - s0));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_avgpool *a = args;
    const egi_shape *s = &t[a->y].shape;
    int64_t at = 0;
    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < s->dim[1]; i++)
            for (int64_t j = 0; j < s->dim[2]; j++)
                for (int64_t c = 0; c < s->dim[3]; c++)
                    egi_set(&t[a->y], at++, mean(a, &t[a->x], n, i, j, c));
}

#define GEOMETRY(k0, k1, s0, s1, p0, p1)                                \
    {                                                                   \
        .g = {.window = {k0, k1}, .stride = {s0, s1}, .pad = {p0, p1} } \
    }
static const egi_avgpool two = GEOMETRY(2, 2, 2, 2, 0, 0), three = GEOMETRY(3, 3, 2, 2, 1, 1),
                         overlap = GEOMETRY(3, 2, 1, 1, 0, 0), gaps = GEOMETRY(1, 2, 3, 3, 0, 0),
                         all = GEOMETRY(8, 8, 8, 8, 0, 0);

#define CASE(args_, n, h, w, c, oh, ow)                                                                 \
    {                                                                                                   \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, h, w, c)}, .out = { EGI_STATIC_SHAPE(n, oh, ow, c) } \
    }
static const egi_op_case cases[] = {
    CASE(two, 3, 28, 28, 6, 14, 14), CASE(two, 2, 5, 7, 3, 2, 3),   CASE(two, 2, 6, 6, 33, 3, 3),
    CASE(three, 2, 7, 9, 5, 4, 5),   CASE(three, 1, 1, 1, 1, 1, 1), CASE(overlap, 2, 5, 5, 9, 3, 4),
    CASE(gaps, 2, 7, 8, 4, 3, 3),    CASE(all, 2, 8, 8, 64, 1, 1),
};

const egi_op egi_op_avgpool = {
    .name = "avgpool",
    .size = sizeof(egi_avgpool),
    .in = {EGI_FIELD(egi_avgpool, x)},
    .out = {EGI_FIELD(egi_avgpool, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
