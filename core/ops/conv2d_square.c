#include "core/ops/check.h"
#include "core/ops/conv2d_cases.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_conv2d_square *a = args;
    EG_TRY(egi_conv_check(p, a->x, a->fw, a->dy, &a->g, &a->pool));
    EG_TRY(egi_conv_check_index(p, a->dy, a->index, &a->pool));
    return egi_check_may(p, "fb", a->fb, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->fw, 3)));
}

/* A product a sample, then its squares are added up. */
static double flops(const void *args, const egi_tensor *t)
{
    const egi_conv2d_square *a = args;
    const double samples = (double)t[a->dy].shape.dim[0];
    return egi_conv_flops(&t[a->fw].shape, &t[a->dy].shape, &a->pool) + 2 * samples * (double)egi_count(&t[a->fw]);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_conv2d_square *a = args;
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->fw].shape, &t[a->dy].shape, &a->pool);
    const egi_conv_dz dz = {&t[a->dy], &t[a->index], &a->pool};
    for (int64_t at = 0; at < egi_count(&t[a->fw]); at++) {
        double sum = egi_get(&t[a->fw], at);
        for (int64_t n = 0; n < d.n; n++) {
            const double g = egi_conv_kernel_gradient(&a->g, &d, &t[a->x], &dz, n, at);
            sum += g * g;
        }
        egi_set(&t[a->fw], at, sum);
    }
    for (int64_t f = 0; a->fb != EGI_NONE && f < d.f; f++) {
        double sum = egi_get(&t[a->fb], f);
        for (int64_t n = 0; n < d.n; n++) {
            const double g = egi_conv_bias_gradient(&d, &dz, n, f);
            sum += g * g;
        }
        egi_set(&t[a->fb], f, sum);
    }
}

#define CASE(geometry, absent, n, h, w, c, kh, kw, cg, f, oh, ow)                                            \
    {                                                                                                        \
        .args = &(const egi_conv2d_square){EGI_CONV_##geometry},                                             \
        .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f), \
               EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)},                                        \
        .out = {EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)}, .in_absent = (absent) << 3 | 4,       \
        .out_absent = (absent), .fill = {                                                                    \
            EGI_FILL_NORMAL,                                                                                 \
            EGI_FILL_NORMAL,                                                                                 \
            EGI_FILL_POSITIONS,                                                                              \
            EGI_FILL_UNIT,                                                                                   \
            EGI_FILL_UNIT                                                                                    \
        }                                                                                                    \
    }
#define GROUPS_POOLED(geometry, absent, places, n, h, w, c, kh, kw, cg, f, oh, ow)                           \
    {                                                                                                        \
        .args = &(const egi_conv2d_square){EGI_CONV_##geometry},                                             \
        .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f), \
               EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)},                                        \
        .out = {EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)}, .in_absent = (absent) << 3,           \
        .out_absent = (absent), .labels = (places), .fill = {                                                \
            EGI_FILL_NORMAL,                                                                                 \
            EGI_FILL_NORMAL,                                                                                 \
            EGI_FILL_POSITIONS,                                                                              \
            EGI_FILL_UNIT,                                                                                   \
            EGI_FILL_UNIT                                                                                    \
        }                                                                                                    \
    }
#define POOLED(geometry, absent, places, n, h, w, c, kh, kw, f, oh, ow) \
    GROUPS_POOLED(geometry, absent, places, n, h, w, c, kh, kw, c, f, oh, ow)
static const egi_op_case cases[] = {
    CASE(VALID, 0, 2, 5, 6, 3, 3, 2, 3, 4, 3, 5),       CASE(VALID, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    CASE(VALID, 0, 5, 4, 5, 9, 1, 1, 9, 7, 4, 5),       CASE(SAME5, 0, 3, 14, 14, 6, 5, 5, 6, 16, 14, 14),
    CASE(STRIDE2, 0, 2, 7, 8, 8, 1, 1, 8, 16, 4, 4),    CASE(STRIDE23, 0, 2, 9, 10, 3, 3, 4, 3, 5, 5, 3),
    CASE(DILATED, 0, 2, 8, 9, 3, 3, 3, 3, 4, 8, 9),     CASE(GROUPED, 0, 3, 5, 5, 6, 3, 3, 3, 4, 5, 5),
    CASE(DEPTHWISE2, 0, 3, 7, 8, 8, 3, 3, 1, 8, 4, 4),  CASE(TWOFOLD, 2, 2, 6, 7, 4, 3, 2, 1, 8, 6, 4),
    CASE(GROUPED2, 0, 2, 7, 6, 8, 3, 3, 4, 16, 4, 6),   CASE(SAME3, 0, 2, 5, 4, 8, 3, 3, 8, 68, 5, 4),
    POOLED(LENET2, 0, 4, 3, 14, 14, 6, 5, 5, 16, 7, 7), POOLED(EDGES, 0, 9, 2, 7, 9, 2, 3, 3, 20, 4, 5),
    POOLED(OVERLAP, 2, 6, 2, 6, 6, 20, 2, 2, 9, 3, 4),  POOLED(SHORT, 0, 4, 3, 8, 8, 2, 3, 3, 6, 4, 4),
    POOLED(SPREAD, 0, 4, 3, 8, 8, 2, 3, 3, 6, 4, 4),    GROUPS_POOLED(APIECE, 0, 4, 2, 6, 5, 5, 3, 3, 1, 5, 3, 2),
};

const egi_op egi_op_conv2d_square = {
    .name = "conv2d_square",
    .size = sizeof(egi_conv2d_square),
    .in = {EGI_FIELD(egi_conv2d_square, x), EGI_FIELD(egi_conv2d_square, dy), EGI_FIELD(egi_conv2d_square, index),
           EGI_FIELD(egi_conv2d_square, fw), EGI_FIELD(egi_conv2d_square, fb)},
    .out = {EGI_FIELD(egi_conv2d_square, fw), EGI_FIELD(egi_conv2d_square, fb)},
    .check = check,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
