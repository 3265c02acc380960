#include "core/ops/check.h"
#include "core/ops/conv2d_cases.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_conv2d_dx *a = args;
    EG_TRY(egi_conv_check(p, a->dx, a->w, a->dy, &a->g, &a->pool));
    return egi_conv_check_index(p, a->dy, a->index, &a->pool);
}

/* Output rows whose tap `k` reads input row `r`: at most one a tap; -1: none. */
static int64_t reader(const egi_conv_geometry *g, int axis, int64_t r, int64_t k, int64_t outputs)
{
    const int64_t shifted = r + g->pad[axis] - k * g->dilation[axis];
    if (shifted < 0 || shifted % g->stride[axis] || shifted / g->stride[axis] >= outputs)
        return -1;
    return shifted / g->stride[axis];
}

static double element(const egi_conv2d_dx *a, const egi_conv_dims *d, const egi_tensor *t, int64_t n, int64_t r,
                      int64_t s, int64_t c)
{
    const int64_t first = c / d->cg * d->fg;
    const egi_conv_dz dz = {&t[a->dy], &t[a->index], &a->pool};
    double sum = 0;
    for (int64_t ki = 0; ki < d->kh; ki++)
        for (int64_t kj = 0; kj < d->kw; kj++) {
            const int64_t i = reader(&a->g, 0, r, ki, d->oh), j = reader(&a->g, 1, s, kj, d->ow);
            if (i < 0 || j < 0)
                continue;
            for (int64_t f = first; f < first + d->fg; f++) {
                const double z = egi_conv_dz_at(&dz, d, n, i, j, f);
                if (z != 0 || !a->pool.size[0])
                    sum += z * egi_get(&t[a->w], ((ki * d->kw + kj) * d->cg + c % d->cg) * d->f + f);
            }
        }
    return sum;
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_conv2d_dx *a = args;
    return egi_conv_flops(&t[a->w].shape, &t[a->dy].shape, &a->pool);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dx *a = args;
    const egi_conv_dims d = egi_conv_dims_of(&t[a->dx].shape, &t[a->w].shape, &t[a->dy].shape, &a->pool);
    int64_t at = 0;
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t r = 0; r < d.h; r++)
            for (int64_t s = 0; s < d.w; s++)
                for (int64_t c = 0; c < d.c; c++)
                    egi_set(&t[a->dx], at++, element(a, &d, t, n, r, s, c));
}

#define CASE(geometry, n, h, w, c, kh, kw, cg, f, oh, ow)                                                        \
    {                                                                                                            \
        .args = &(const egi_conv2d_dx){EGI_CONV_##geometry},                                                     \
        .in = {EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(kh, kw, cg, f)}, \
        .out = {EGI_STATIC_SHAPE(n, h, w, c)}, .in_absent = 2                                                    \
    }
#define GROUPS_POOLED(geometry, places, n, h, w, c, kh, kw, cg, f, oh, ow)                                       \
    {                                                                                                            \
        .args = &(const egi_conv2d_dx){EGI_CONV_##geometry},                                                     \
        .in = {EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(kh, kw, cg, f)}, \
        .out = {EGI_STATIC_SHAPE(n, h, w, c)}, .labels = (places), .fill = {                                     \
            EGI_FILL_NORMAL,                                                                                     \
            EGI_FILL_POSITIONS                                                                                   \
        }                                                                                                        \
    }
#define POOLED(geometry, places, n, h, w, c, kh, kw, f, oh, ow) \
    GROUPS_POOLED(geometry, places, n, h, w, c, kh, kw, c, f, oh, ow)
static const egi_op_case cases[] = {
    CASE(VALID, 2, 5, 6, 3, 3, 2, 3, 4, 3, 5),          CASE(VALID, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    CASE(VALID, 3, 7, 5, 2, 7, 5, 2, 3, 1, 1),          CASE(VALID, 2, 4, 5, 9, 1, 1, 9, 7, 4, 5),
    CASE(SAME3, 2, 5, 7, 3, 3, 3, 3, 8, 5, 7),          CASE(SAME3, 3, 8, 8, 16, 3, 3, 16, 16, 8, 8),
    CASE(SAME5, 3, 14, 14, 6, 5, 5, 6, 16, 14, 14),     CASE(SAME5, 2, 28, 28, 1, 5, 5, 1, 6, 28, 28),
    CASE(STRIDE2, 2, 8, 8, 16, 3, 3, 16, 24, 4, 4),     CASE(SAME3, 5, 7, 9, 16, 3, 3, 16, 40, 7, 9),
    CASE(VALID, 2, 5, 4, 24, 3, 3, 24, 16, 3, 2),       CASE(SAME3, 2, 1, 1, 32, 3, 3, 32, 16, 1, 1),
    CASE(SAME5, 1, 1, 2, 2, 5, 5, 2, 3, 1, 2),          CASE(STRIDE2, 2, 7, 8, 4, 1, 1, 4, 6, 4, 4),
    CASE(STRIDE2, 2, 7, 8, 8, 1, 1, 8, 16, 4, 4),       CASE(STRIDE2, 2, 8, 8, 3, 3, 3, 3, 5, 4, 4),
    CASE(STRIDE23, 2, 9, 10, 3, 3, 4, 3, 5, 5, 3),      CASE(DILATED, 2, 8, 9, 3, 3, 3, 3, 4, 8, 9),
    CASE(GROUPED, 2, 5, 5, 6, 3, 3, 3, 4, 5, 5),        CASE(DEPTHWISE, 2, 6, 5, 5, 3, 3, 1, 5, 6, 5),
    POOLED(LENET2, 4, 3, 14, 14, 6, 5, 5, 16, 7, 7),    POOLED(ODD, 4, 2, 9, 7, 3, 3, 3, 5, 4, 3),
    POOLED(EDGES, 9, 2, 7, 9, 2, 3, 3, 20, 4, 5),       POOLED(OVERLAP, 6, 2, 6, 6, 20, 2, 2, 9, 3, 4),
    POOLED(GAPS, 2, 2, 15, 10, 4, 2, 3, 7, 3, 3),       POOLED(APART, 4, 1, 8, 12, 5, 2, 2, 6, 2, 3), /* no border */
    CASE(DEPTHWISE2, 2, 7, 8, 8, 3, 3, 1, 8, 4, 4),     CASE(DEPTHWISE5, 2, 6, 5, 12, 5, 5, 1, 12, 6, 5),
    CASE(TWOFOLD, 2, 6, 7, 4, 3, 2, 1, 8, 6, 4),        CASE(GROUPED2, 2, 7, 6, 8, 3, 3, 4, 16, 4, 6),
    CASE(MANY, 1, 10, 13, 4488, 1, 1, 68, 264, 10, 13), CASE(COMMON, 2, 9, 13, 2, 3, 2, 2, 3, 2, 2),
    CASE(BEYOND, 2, 7, 9, 3, 2, 2, 3, 4, 2, 2),         POOLED(SHORT, 4, 2, 8, 8, 2, 3, 3, 6, 4, 4),
    POOLED(SPREAD, 4, 2, 8, 8, 2, 3, 3, 6, 4, 4),       GROUPS_POOLED(APIECE, 4, 2, 6, 5, 5, 3, 3, 1, 5, 3, 2),
};

const egi_op egi_op_conv2d_dx = {
    .name = "conv2d_dx",
    .size = sizeof(egi_conv2d_dx),
    .in = {EGI_FIELD(egi_conv2d_dx, dy), EGI_FIELD(egi_conv2d_dx, index), EGI_FIELD(egi_conv2d_dx, w)},
    .out = {EGI_FIELD(egi_conv2d_dx, dx)},
    .check = check,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
