#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_avgpool_grad *a = args;
    return egi_pool_check(p, a->dx, a->dy, &a->g);
}

/* Adds one output's share to its window. */
static void spread(const egi_avgpool_grad *a, const egi_tensor *dx, int64_t n, int64_t i, int64_t j, int64_t c,
                   double dy)
{
    const int64_t h = dx->shape.dim[1], w = dx->shape.dim[2], channels = dx->shape.dim[3];
    int64_t r0, r1, s0, s1;
    egi_pool_range(&a->g, 0, i, h, &r0, &r1);
    egi_pool_range(&a->g, 1, j, w, &s0, &s1);
    const double share = dy / (double)((r1 - r0) * (s1 - s0));
    for (int64_t r = r0; r < r1; r++)
        for (int64_t s = s0; s < s1; s++) {
            const int64_t to = ((n * h + r) * w + s) * channels + c;
            egi_set(dx, to, egi_get(dx, to) + share);
        }
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_avgpool_grad *a = args;
    const egi_shape *s = &t[a->dy].shape;
    for (int64_t i = 0; i < egi_count(&t[a->dx]); i++)
        egi_set(&t[a->dx], i, 0);
    int64_t at = 0;
    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < s->dim[1]; i++)
            for (int64_t j = 0; j < s->dim[2]; j++)
                for (int64_t c = 0; c < s->dim[3]; c++)
                    spread(a, &t[a->dx], n, i, j, c, egi_get(&t[a->dy], at++));
}

#define GEOMETRY(k0, k1, s0, s1, p0, p1)                                \
    {                                                                   \
        .g = {.window = {k0, k1}, .stride = {s0, s1}, .pad = {p0, p1} } \
    }
static const egi_avgpool_grad two = GEOMETRY(2, 2, 2, 2, 0, 0), three = GEOMETRY(3, 3, 2, 2, 1, 1),
                              overlap = GEOMETRY(3, 2, 1, 1, 0, 0), gaps = GEOMETRY(1, 2, 3, 3, 0, 0);

#define CASE(args_, n, h, w, c, oh, ow)                                                                 \
    {                                                                                                   \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, oh, ow, c)}, .out = { EGI_STATIC_SHAPE(n, h, w, c) } \
    }
static const egi_op_case cases[] = {
    CASE(two, 3, 28, 28, 6, 14, 14), CASE(two, 2, 5, 7, 3, 2, 3),     CASE(two, 2, 6, 6, 33, 3, 3),
    CASE(three, 2, 7, 9, 5, 4, 5),   CASE(overlap, 2, 5, 5, 9, 3, 4), CASE(gaps, 2, 7, 8, 4, 3, 3),
};

const egi_op egi_op_avgpool_grad = {
    .name = "avgpool_grad",
    .size = sizeof(egi_avgpool_grad),
    .in = {EGI_FIELD(egi_avgpool_grad, dy)},
    .out = {EGI_FIELD(egi_avgpool_grad, dx)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
