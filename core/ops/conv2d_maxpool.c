#include "core/ops/check.h"
#include "core/ops/conv2d_cases.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_conv2d_maxpool *a = args;
    if (a->pool.size[0] < 1)
        return egi_fail(EG_ERR_ARG, "pooling: wanted an input of at least 1 row, found %lld",
                        (long long)a->pool.size[0]);
    EG_TRY(egi_conv_check(p, a->x, a->w, a->y, &a->g, &a->pool));
    EG_TRY(egi_check_may(p, "b", a->b, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->w, 3))));
    if (a->index != EGI_NONE)
        EG_TRY(egi_pool_check_index(&a->pool.g));
    EG_TRY(egi_check_may(p, "index", a->index, EGI_U8, *egi_shape_of(p, a->y)));
    return egi_check_fused(a->act, a->alpha);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_conv2d_maxpool *a = args;
    if (a->index == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "conv2d_maxpool: a gradient is wanted but no index was kept");
    return egi_conv_grad(p, g, a, EGI_NONE);
}

static eg_status square(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_conv2d_maxpool *a = args;
    if (a->index == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "conv2d_maxpool: a square is wanted but no index was kept");
    return egi_conv_square(p, g, a);
}

/* The convolution's output, element by element: channel `f` of sample `n`. */
typedef struct source {
    egi_conv2d conv;
    egi_conv_dims d;
    const egi_tensor *t;
    int64_t n, f;
} source;

static double pixel(const void *context, int64_t row, int64_t column)
{
    const source *s = context;
    return egi_conv_element(&s->conv, &s->d, s->t, s->n, row, column, s->f);
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_conv2d_maxpool *a = args;
    return egi_conv_flops(&t[a->w].shape, &t[a->y].shape, &a->pool);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_conv2d_maxpool *a = args;
    const egi_shape *y = &t[a->y].shape;
    source from = {.conv = {.x = a->x, .w = a->w, .b = a->b, .g = a->g, .act = a->act, .alpha = a->alpha},
                   .d = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, y, &a->pool),
                   .t = t};
    const egi_pool_pixels x = {pixel, &from, a->pool.size[0], a->pool.size[1]};
    int64_t at = 0, position;
    for (from.n = 0; from.n < y->dim[0]; from.n++)
        for (int64_t i = 0; i < y->dim[1]; i++)
            for (int64_t j = 0; j < y->dim[2]; j++)
                for (from.f = 0; from.f < y->dim[3]; from.f++, at++) {
                    egi_set(&t[a->y], at, egi_pool_largest(&a->pool.g, &x, i, j, &position));
                    if (a->index != EGI_NONE)
                        egi_set(&t[a->index], at, (double)position);
                }
}

static const egi_conv2d_maxpool lenet1 = {EGI_CONV_LENET1, .act = EGI_ACT_RELU},
                                lenet2 = {EGI_CONV_LENET2, .act = EGI_ACT_RELU},
                                tanh2 = {EGI_CONV_ODD, .act = EGI_ACT_TANH},
                                overlap = {EGI_CONV_EDGES, .act = EGI_ACT_SIGMOID},
                                dense = {EGI_CONV_OVERLAP, .act = EGI_ACT_LEAKY_RELU, .alpha = 0.3f},
                                gaps = {EGI_CONV_GEOMETRY(2, 1, 1, 0, 1, 2, 1), EGI_CONV_POOL(7, 8, 1, 2, 3, 3, 0, 0)},
                                wide = {EGI_CONV_SAME3, EGI_CONV_POOL(3, 9, 1, 5, 1, 2, 0, 2), .act = EGI_ACT_RELU6},
                                tiny = {EGI_CONV_SAME3, EGI_CONV_POOL(1, 1, 2, 2, 2, 2, 1, 1)},
                                apiece = {EGI_CONV_APIECE, .act = EGI_ACT_RELU},
                                quads = {EGI_CONV_SAME3, EGI_CONV_POOL(7, 9, 1, 4, 2, 4, 0, 1)},
                                grouped = {EGI_CONV_GROUPED, EGI_CONV_POOL(5, 5, 2, 2, 2, 2, 0, 0)},
                                cut = {EGI_CONV_SAME3, EGI_CONV_POOL(17, 17, 2, 2, 2, 2, 0, 0), .act = EGI_ACT_RELU},
                                deep = {EGI_CONV_SAME3, EGI_CONV_POOL(12, 10, 2, 2, 2, 2, 0, 0), .act = EGI_ACT_RELU},
                                large = {EGI_CONV_SAME3, EGI_CONV_POOL(64, 62, 3, 3, 2, 2, 0, 0), .act = EGI_ACT_RELU};

#define CASE(args_, absent, no_index, n, h, w, c, kh, kw, cg, f, oh, ow)                                            \
    {                                                                                                               \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f)}, \
        .out = {EGI_STATIC_SHAPE(n, oh, ow, f), EGI_STATIC_SHAPE(n, oh, ow, f)}, .in_absent = (absent),             \
        .out_absent = (no_index) << 1                                                                               \
    }
static const egi_op_case cases[] = {
    CASE(lenet1, 0, 0, 3, 28, 28, 1, 5, 5, 1, 6, 14, 14),
    CASE(lenet1, 0, 1, 1, 28, 28, 1, 5, 5, 1, 6, 14, 14), /* inference */
    CASE(lenet2, 0, 0, 3, 14, 14, 6, 5, 5, 6, 16, 7, 7),
    CASE(lenet2, 4, 1, 2, 14, 14, 6, 5, 5, 6, 16, 7, 7),
    CASE(tanh2, 0, 0, 2, 9, 7, 1, 3, 3, 1, 5, 4, 3), /* the last row and column are in no window */
    CASE(overlap, 4, 0, 2, 7, 9, 2, 3, 3, 2, 9, 4, 5),
    CASE(dense, 0, 0, 2, 6, 6, 8, 2, 2, 8, 3, 3, 4), /* vectors along the inputs */
    CASE(gaps, 0, 0, 2, 14, 10, 4, 3, 2, 4, 7, 3, 3),
    CASE(wide, 0, 0, 2, 3, 9, 2, 3, 3, 2, 10, 3, 5),
    CASE(tiny, 0, 0, 2, 1, 1, 1, 3, 3, 1, 1, 1, 1),
    CASE(grouped, 0, 0, 2, 5, 5, 4, 3, 3, 2, 6, 2, 2),
    CASE(apiece, 0, 0, 2, 6, 5, 5, 3, 3, 1, 5, 3, 2),
    CASE(quads, 0, 0, 2, 7, 9, 4, 3, 3, 4, 20, 4, 3), /* vectors, windows of four in a row */
    CASE(deep, 0, 0, 2, 12, 10, 16, 3, 3, 16, 33, 6, 5),
    CASE(cut, 0, 0, 2, 17, 17, 1, 3, 3, 1, 5, 9, 9),      /* windows that the edge cuts */
    CASE(large, 0, 0, 1, 64, 62, 3, 3, 3, 3, 20, 31, 30), /* more than the cache holds */
    CASE(lenet2, 0, 0, 0, 14, 14, 6, 5, 5, 6, 16, 7, 7),  /* no sample */
};

const egi_op egi_op_conv2d_maxpool = {
    .name = "conv2d_maxpool",
    .size = sizeof(egi_conv2d_maxpool),
    .in = {EGI_FIELD(egi_conv2d_maxpool, x), EGI_FIELD(egi_conv2d_maxpool, w), EGI_FIELD(egi_conv2d_maxpool, b)},
    .out = {EGI_FIELD(egi_conv2d_maxpool, y), EGI_FIELD(egi_conv2d_maxpool, index)},
    .check = check,
    .grad = grad,
    .square = square,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
