#include "core/ops/check.h"
#include "core/ops/conv2d_cases.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_conv2d_dw *a = args;
    EG_TRY(egi_conv_check(p, a->x, a->dw, a->dy, &a->g, &a->pool));
    EG_TRY(egi_conv_check_index(p, a->dy, a->index, &a->pool));
    return egi_check_may(p, "db", a->db, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->dw, 3)));
}

double egi_conv_dz_at(const egi_conv_dz *z, const egi_conv_dims *d, int64_t n, int64_t i, int64_t j, int64_t f)
{
    if (!z->pool->size[0])
        return egi_get(z->dy, ((n * d->oh + i) * d->ow + j) * d->f + f);
    const egi_pool_geometry *g = &z->pool->g;
    const int64_t oh = z->dy->shape.dim[1], ow = z->dy->shape.dim[2];
    double sum = 0;
    for (int64_t k = 0; k < g->window[0]; k++)
        for (int64_t l = 0; l < g->window[1]; l++) { /* the window in which (i, j) has place (k, l), if any */
            const int64_t r = i + g->pad[0] - k, s = j + g->pad[1] - l;
            if (r < 0 || s < 0 || r % g->stride[0] || s % g->stride[1] || r / g->stride[0] >= oh ||
                s / g->stride[1] >= ow)
                continue;
            const int64_t at = ((n * oh + r / g->stride[0]) * ow + s / g->stride[1]) * d->f + f;
            if ((int64_t)egi_get(z->index, at) == k * g->window[1] + l)
                sum += egi_get(z->dy, at);
        }
    return sum;
}

double egi_conv_kernel_gradient(const egi_conv_geometry *g, const egi_conv_dims *d, const egi_tensor *x,
                                const egi_conv_dz *dz, int64_t n, int64_t at)
{
    const int64_t f = at % d->f, c = at / d->f % d->cg, kj = at / (d->f * d->cg) % d->kw,
                  ki = at / (d->f * d->cg * d->kw);
    double sum = 0;
    for (int64_t i = 0; i < d->oh; i++)
        for (int64_t j = 0; j < d->ow; j++) {
            const int64_t r = egi_conv_at(g, 0, i, ki), s = egi_conv_at(g, 1, j, kj);
            if (r < 0 || r >= d->h || s < 0 || s >= d->w)
                continue;
            const double z = egi_conv_dz_at(dz, d, n, i, j, f);
            if (z != 0 || !dz->pool->size[0])
                sum += egi_get(x, ((n * d->h + r) * d->w + s) * d->c + f / d->fg * d->cg + c) * z;
        }
    return sum;
}

double egi_conv_bias_gradient(const egi_conv_dims *d, const egi_conv_dz *dz, int64_t n, int64_t f)
{
    double sum = 0;
    for (int64_t i = 0; i < d->oh; i++)
        for (int64_t j = 0; j < d->ow; j++)
            sum += egi_conv_dz_at(dz, d, n, i, j, f);
    return sum;
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_conv2d_dw *a = args;
    return egi_conv_flops(&t[a->dw].shape, &t[a->dy].shape, &a->pool);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dw *a = args;
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->dw].shape, &t[a->dy].shape, &a->pool);
    const egi_conv_dz dz = {&t[a->dy], &t[a->index], &a->pool};
    for (int64_t at = 0; at < egi_count(&t[a->dw]); at++) {
        double sum = 0;
        for (int64_t n = 0; n < d.n; n++)
            sum += egi_conv_kernel_gradient(&a->g, &d, &t[a->x], &dz, n, at);
        egi_set(&t[a->dw], at, sum);
    }
    for (int64_t f = 0; a->db != EGI_NONE && f < d.f; f++) {
        double sum = 0;
        for (int64_t n = 0; n < d.n; n++)
            sum += egi_conv_bias_gradient(&d, &dz, n, f);
        egi_set(&t[a->db], f, sum);
    }
}

#define CASE(geometry, absent, n, h, w, c, kh, kw, cg, f, oh, ow)                                             \
    {                                                                                                         \
        .args = &(const egi_conv2d_dw){EGI_CONV_##geometry},                                                  \
        .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(n, oh, ow, f)},                                 \
        .out = {EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)}, .in_absent = 4, .out_absent = (absent) \
    }
#define GROUPS_POOLED(geometry, absent, places, n, h, w, c, kh, kw, cg, f, oh, ow)                                 \
    {                                                                                                              \
        .args = &(const egi_conv2d_dw){EGI_CONV_##geometry},                                                       \
        .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f)},      \
        .out = {EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)}, .out_absent = (absent), .labels = (places), \
        .fill = {                                                                                                  \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_POSITIONS                                                                                     \
        }                                                                                                          \
    }
#define POOLED(geometry, absent, places, n, h, w, c, kh, kw, f, oh, ow) \
    GROUPS_POOLED(geometry, absent, places, n, h, w, c, kh, kw, c, f, oh, ow)
static const egi_op_case cases[] = {
    CASE(VALID, 0, 2, 5, 6, 3, 3, 2, 3, 4, 3, 5),       CASE(VALID, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    CASE(VALID, 0, 3, 7, 5, 2, 7, 5, 2, 3, 1, 1),       CASE(VALID, 0, 2, 4, 5, 9, 1, 1, 9, 7, 4, 5),
    CASE(SAME3, 2, 2, 5, 7, 3, 3, 3, 3, 8, 5, 7),       CASE(SAME3, 0, 3, 8, 8, 16, 3, 3, 16, 16, 8, 8),
    CASE(SAME3, 0, 3, 9, 9, 3, 3, 3, 3, 16, 9, 9),      CASE(SAME5, 0, 3, 14, 14, 6, 5, 5, 6, 16, 14, 14),
    CASE(SAME5, 0, 3, 28, 28, 1, 5, 5, 1, 6, 28, 28),   CASE(SAME5, 0, 1, 1, 2, 2, 5, 5, 2, 3, 1, 2),
    CASE(STRIDE2, 0, 2, 7, 8, 4, 1, 1, 4, 6, 4, 4),     CASE(STRIDE2, 0, 2, 7, 8, 8, 1, 1, 8, 16, 4, 4),
    CASE(STRIDE2, 0, 2, 8, 8, 3, 3, 3, 3, 5, 4, 4),     CASE(STRIDE23, 0, 2, 9, 10, 3, 3, 4, 3, 5, 5, 3),
    CASE(DILATED, 0, 2, 8, 9, 3, 3, 3, 3, 4, 8, 9),     CASE(GROUPED, 0, 2, 5, 5, 6, 3, 3, 3, 4, 5, 5),
    CASE(STRIDE2, 0, 2, 8, 8, 16, 3, 3, 16, 24, 4, 4),  CASE(SAME3, 0, 5, 7, 9, 16, 3, 3, 16, 40, 7, 9),
    CASE(VALID, 2, 2, 5, 4, 24, 3, 3, 24, 16, 3, 2),    CASE(SAME3, 0, 2, 1, 1, 32, 3, 3, 32, 16, 1, 1),
    CASE(DEPTHWISE2, 0, 2, 7, 8, 8, 3, 3, 1, 8, 4, 4),  CASE(DEPTHWISE5, 2, 2, 6, 5, 12, 5, 5, 1, 12, 6, 5),
    CASE(TWOFOLD, 0, 2, 6, 7, 4, 3, 2, 1, 8, 6, 4),     CASE(GROUPED2, 0, 2, 7, 6, 8, 3, 3, 4, 16, 4, 6),
    CASE(SAME3, 0, 2, 5, 4, 8, 3, 3, 8, 68, 5, 4),      CASE(COMMON, 0, 2, 9, 13, 2, 3, 2, 2, 3, 2, 2),
    CASE(DEPTHWISE, 0, 2, 6, 5, 5, 3, 3, 1, 5, 6, 5),   POOLED(LENET1, 0, 4, 5, 28, 28, 1, 5, 5, 6, 14, 14),
    POOLED(LENET2, 0, 4, 3, 14, 14, 6, 5, 5, 16, 7, 7), POOLED(ODD, 2, 4, 2, 9, 7, 3, 3, 3, 5, 4, 3),
    POOLED(EDGES, 0, 9, 2, 7, 9, 2, 3, 3, 20, 4, 5), /* an index may say a place outside */
    POOLED(OVERLAP, 0, 6, 2, 6, 6, 20, 2, 2, 9, 3, 4),  POOLED(GAPS, 0, 2, 2, 15, 10, 4, 2, 3, 7, 3, 3),
    POOLED(SMALL, 0, 1, 1, 1, 1, 1, 5, 3, 1, 1, 1),     POOLED(SHORT, 0, 4, 2, 8, 8, 2, 3, 3, 6, 4, 4),
    POOLED(SPREAD, 0, 4, 2, 8, 8, 2, 3, 3, 6, 4, 4),    GROUPS_POOLED(APIECE, 0, 4, 2, 6, 5, 5, 3, 3, 1, 5, 3, 2),
};

const egi_op egi_op_conv2d_dw = {
    .name = "conv2d_dw",
    .size = sizeof(egi_conv2d_dw),
    .in = {EGI_FIELD(egi_conv2d_dw, x), EGI_FIELD(egi_conv2d_dw, dy), EGI_FIELD(egi_conv2d_dw, index)},
    .out = {EGI_FIELD(egi_conv2d_dw, dw), EGI_FIELD(egi_conv2d_dw, db)},
    .check = check,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
