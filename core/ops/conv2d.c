#include "core/ops/conv2d.h"

#include "core/ops/check.h"
#include "core/ops/conv2d_cases.h"
#include "core/ops/dense.h"
#include "core/plan.h"

void egi_conv_same(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t *out, int64_t *before)
{
    const int64_t extent = (kernel - 1) * dilation + 1;
    *out = (in + stride - 1) / stride;
    const int64_t total = (*out - 1) * stride + extent - in;
    *before = total > 0 ? total / 2 : 0;
}

int64_t egi_conv_valid(int64_t in, int64_t kernel, int64_t stride, int64_t dilation)
{
    const int64_t free = in - ((kernel - 1) * dilation + 1);
    return free < 0 ? 0 : free / stride + 1;
}

egi_conv_dims egi_conv_dims_of(const egi_shape *x, const egi_shape *k, const egi_shape *y, const egi_conv_pool *pool)
{
    const int64_t *out = pool && pool->size[0] ? pool->size : &y->dim[1];
    return (egi_conv_dims){.n = x->dim[0],
                           .h = x->dim[1],
                           .w = x->dim[2],
                           .c = x->dim[3],
                           .oh = out[0],
                           .ow = out[1],
                           .f = k->dim[3],
                           .kh = k->dim[0],
                           .kw = k->dim[1],
                           .cg = k->dim[2],
                           .fg = k->dim[2] ? k->dim[3] / (x->dim[3] / k->dim[2]) : 0};
}

double egi_conv_flops(const egi_shape *k, const egi_shape *y, const egi_conv_pool *pool)
{
    const bool pooled = pool && pool->size[0];
    const int64_t places = pooled ? pool->size[0] * pool->size[1] : y->dim[1] * y->dim[2];
    const double outputs = (double)(y->dim[0] * places * y->dim[3]);
    return 2.0 * (double)egi_shape_span(k, 0, 3) * outputs; /* cg taps an output: groups are in it */
}

static eg_status check_axis(const char *axis, int64_t in, int64_t kernel, int64_t out, const egi_conv_geometry *g,
                            int i)
{
    const int64_t limit = (int64_t)1 << 31;
    if (g->stride[i] < 1 || g->stride[i] >= limit || g->dilation[i] < 1 || g->dilation[i] >= limit || g->pad[i] < 0)
        return egi_fail(EG_ERR_ARG,
                        "%s: wanted stride and dilation of at least 1 and no negative padding, found %lld, %lld, %lld",
                        axis, (long long)g->stride[i], (long long)g->dilation[i], (long long)g->pad[i]);
    if (in < 1 || kernel < 1 || out < 1 || in >= limit || kernel >= limit || out >= limit)
        return egi_fail(EG_ERR_SHAPE, "%s: input %lld, kernel %lld, output %lld: wanted at least 1 each", axis,
                        (long long)in, (long long)kernel, (long long)out);
    const int64_t extent = (kernel - 1) * g->dilation[i] + 1,
                  after = (out - 1) * g->stride[i] + extent - g->pad[i] - in;
    if (g->pad[i] >= extent || after >= extent || after <= -g->stride[i])
        return egi_fail(
            EG_ERR_SHAPE, "%s: an input of %lld, a window of %lld, stride %lld and padding %lld do not make %lld", axis,
            (long long)in, (long long)extent, (long long)g->stride[i], (long long)g->pad[i], (long long)out);
    return EG_OK;
}

/* What pooling sees. */
static egi_shape before_pooling(const egi_shape *y, const egi_conv_pool *pool)
{
    return EGI_SHAPE(y->dim[0], pool->size[0], pool->size[1], y->dim[3]);
}

eg_status egi_conv_check_index(const egi_plan *p, egi_val dy, egi_val index, const egi_conv_pool *pool)
{
    if (pool->size[0])
        return egi_check_is(p, "index", index, EGI_U8, *egi_shape_of(p, dy));
    return index == EGI_NONE ? EG_OK : egi_fail(EG_ERR_ARG, "index: there is no pooling");
}

eg_status egi_conv_check(const egi_plan *p, egi_val x, egi_val kernel, egi_val y, const egi_conv_geometry *g,
                         const egi_conv_pool *pool)
{
    EG_TRY(egi_check_rank(p, "x", x, 4));
    EG_TRY(egi_check_rank(p, "kernel", kernel, 4));
    EG_TRY(egi_check_rank(p, "y", y, 4));
    const egi_shape *xs = egi_shape_of(p, x), *ks = egi_shape_of(p, kernel), *ys = egi_shape_of(p, y);
    if (g->groups < 1 || xs->dim[3] < 1 || ks->dim[3] < 1 || g->groups > xs->dim[3] || xs->dim[3] % g->groups ||
        ks->dim[3] % g->groups)
        return egi_fail(EG_ERR_SHAPE, "x is %s, kernel is %s: wanted channels that %lld groups divide",
                        egi_shape_format(xs).s, egi_shape_format(ks).s, (long long)g->groups);
    if (ks->dim[2] != xs->dim[3] / g->groups)
        return egi_fail(EG_ERR_SHAPE, "x is %s, kernel is %s: wanted a kernel for %lld channels",
                        egi_shape_format(xs).s, egi_shape_format(ks).s, (long long)(xs->dim[3] / g->groups));
    if (ys->dim[0] != xs->dim[0] || ys->dim[3] != ks->dim[3])
        return egi_fail(EG_ERR_SHAPE, "x is %s, kernel is %s, y is %s: wanted y of %lld samples and %lld channels",
                        egi_shape_format(xs).s, egi_shape_format(ks).s, egi_shape_format(ys).s, (long long)xs->dim[0],
                        (long long)ks->dim[3]);
    EG_TRY(egi_check_is(p, "kernel", kernel, egi_dtype_of(p, x), *ks));
    EG_TRY(egi_check_is(p, "y", y, egi_dtype_of(p, x), *ys));
    const egi_shape full = pool && pool->size[0] ? before_pooling(ys, pool) : *ys;
    EG_TRY(check_axis("height", xs->dim[1], ks->dim[0], full.dim[1], g, 0));
    EG_TRY(check_axis("width", xs->dim[2], ks->dim[1], full.dim[2], g, 1));
    return pool && pool->size[0] ? egi_pool_check_shapes(&full, ys, &pool->g) : EG_OK;
}

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_conv2d *a = args;
    EG_TRY(egi_conv_check(p, a->x, a->w, a->y, &a->g, NULL));
    EG_TRY(egi_check_may(p, "b", a->b, egi_dtype_of(p, a->x), EGI_SHAPE(egi_dim(p, a->w, 3))));
    EG_TRY(egi_check_may(p, "r", a->r, egi_dtype_of(p, a->x), *egi_shape_of(p, a->y)));
    return egi_check_fused(a->act, a->alpha);
}

eg_status egi_conv_grad(egi_plan *p, egi_grads *g, const egi_conv2d_maxpool *a, egi_val r)
{
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    if (dz == EGI_NONE)
        return EG_OK;
    const bool bias = egi_grad_wanted(g, a->b);
    if (egi_grad_wanted(g, a->w))
        EG_TRY(EGI_EMIT(p, conv2d_dw, .x = a->x, .dy = dz, .index = a->index, .dw = egi_grad_into(g, a->w),
                        .db = bias ? egi_grad_into(g, a->b) : EGI_NONE, .g = a->g, .pool = a->pool));
    else if (bias) /* a window's gradient counts once, wherever it goes */
        EG_TRY(EGI_EMIT(p, column_sum, .x = dz, .y = egi_grad_into(g, a->b)));
    if (egi_grad_wanted(g, a->x))
        EG_TRY(EGI_EMIT(p, conv2d_dx, .dy = dz, .index = a->index, .w = a->w, .dx = egi_grad_into(g, a->x), .g = a->g,
                        .pool = a->pool));
    if (egi_grad_wanted(g, r))
        egi_grad_pass(g, r, dz);
    return p->status;
}

eg_status egi_conv_square(egi_plan *p, egi_grads *g, const egi_conv2d_maxpool *a)
{
    const egi_val fw = egi_square_of(g, a->w), fb = egi_square_of(g, a->b);
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    if (dz == EGI_NONE || (fw == EGI_NONE && fb == EGI_NONE))
        return EG_OK;
    if (fw == EGI_NONE)
        return EGI_EMIT(p, square_column_sum, .x = dz, .f = fb);
    return EGI_EMIT(p, conv2d_square, .x = a->x, .dy = dz, .index = a->index, .fw = fw, .fb = fb, .g = a->g,
                    .pool = a->pool);
}

static egi_conv2d_maxpool unpooled(const egi_conv2d *a)
{
    return (egi_conv2d_maxpool){
        .x = a->x, .w = a->w, .b = a->b, .y = a->y, .g = a->g, .act = a->act, .alpha = a->alpha};
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_conv2d_maxpool a = unpooled(args);
    return egi_conv_grad(p, g, &a, ((const egi_conv2d *)args)->r);
}

static eg_status square(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_conv2d_maxpool a = unpooled(args);
    return egi_conv_square(p, g, &a);
}

double egi_conv_element(const egi_conv2d *a, const egi_conv_dims *d, const egi_tensor *t, int64_t n, int64_t i,
                        int64_t j, int64_t f)
{
    const egi_act_args act = {.alpha = a->alpha};
    const int64_t first = f / d->fg * d->cg;
    double sum = a->b == EGI_NONE ? 0 : egi_get(&t[a->b], f);
    if (a->r != EGI_NONE)
        sum += egi_get(&t[a->r], ((n * d->oh + i) * d->ow + j) * d->f + f);
    for (int64_t ki = 0; ki < d->kh; ki++)
        for (int64_t kj = 0; kj < d->kw; kj++) {
            const int64_t r = egi_conv_at(&a->g, 0, i, ki), s = egi_conv_at(&a->g, 1, j, kj);
            if (r < 0 || r >= d->h || s < 0 || s >= d->w)
                continue;
            for (int64_t c = 0; c < d->cg; c++)
                sum += egi_get(&t[a->x], ((n * d->h + r) * d->w + s) * d->c + first + c) *
                       egi_get(&t[a->w], ((ki * d->kw + kj) * d->cg + c) * d->f + f);
        }
    return egi_act_value(a->act, &act, sum);
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_conv2d *a = args;
    return egi_conv_flops(&t[a->w].shape, &t[a->y].shape, NULL);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_conv2d *a = args;
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &t[a->y].shape, NULL);
    int64_t at = 0;
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t i = 0; i < d.oh; i++)
            for (int64_t j = 0; j < d.ow; j++)
                for (int64_t f = 0; f < d.f; f++)
                    egi_set(&t[a->y], at++, egi_conv_element(a, &d, t, n, i, j, f));
}

static const egi_conv2d valid = {EGI_CONV_VALID}, same3 = {EGI_CONV_SAME3},
                        same3_relu = {EGI_CONV_SAME3, .act = EGI_ACT_RELU},
                        same5_relu = {EGI_CONV_SAME5, .act = EGI_ACT_RELU},
                        same5_tanh = {EGI_CONV_SAME5, .act = EGI_ACT_TANH}, stride2 = {EGI_CONV_STRIDE2},
                        stride2_relu = {EGI_CONV_STRIDE2, .act = EGI_ACT_RELU}, stride23 = {EGI_CONV_STRIDE23},
                        stride2_sigmoid = {EGI_CONV_GEOMETRY(2, 2, 1, 1, 1, 1, 1), .act = EGI_ACT_SIGMOID},
                        dilated = {EGI_CONV_DILATED}, grouped = {EGI_CONV_GROUPED},
                        depthwise = {EGI_CONV_DEPTHWISE, .act = EGI_ACT_RELU6},
                        depthwise2 = {EGI_CONV_DEPTHWISE2, .act = EGI_ACT_RELU6}, depthwise5 = {EGI_CONV_DEPTHWISE5},
                        twofold = {EGI_CONV_TWOFOLD, .act = EGI_ACT_TANH},
                        grouped2 = {EGI_CONV_GROUPED2, .act = EGI_ACT_RELU}, many = {EGI_CONV_MANY},
                        common = {EGI_CONV_COMMON}, beyond = {EGI_CONV_BEYOND},
                        leaky = {EGI_CONV_VALID, .act = EGI_ACT_LEAKY_RELU, .alpha = 0.3f},
                        leaky3 = {EGI_CONV_SAME3, .act = EGI_ACT_LEAKY_RELU, .alpha = 0.2f};

#define NO_R (1 << 3)
#define CASE(args_, absent, n, h, w, c, kh, kw, cg, f, oh, ow)                                     \
    {                                                                                              \
        .args = &args_,                                                                            \
        .in = {EGI_STATIC_SHAPE(n, h, w, c), EGI_STATIC_SHAPE(kh, kw, cg, f), EGI_STATIC_SHAPE(f), \
               EGI_STATIC_SHAPE(n, oh, ow, f)},                                                    \
        .out = {EGI_STATIC_SHAPE(n, oh, ow, f)}, .in_absent = (absent)                             \
    }
static const egi_op_case cases[] = {
    CASE(valid, NO_R, 2, 5, 6, 3, 3, 2, 3, 4, 3, 5),          /* kernel not square */
    CASE(valid, NO_R | 1 << 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), /* size 1, no bias */
    CASE(valid, NO_R, 3, 7, 5, 2, 7, 5, 2, 3, 1, 1),          /* the window is the image */
    CASE(valid, NO_R, 2, 4, 5, 9, 1, 1, 9, 7, 4, 5),          /* 1x1 */
    CASE(same3, NO_R | 1 << 2, 2, 5, 7, 3, 3, 3, 3, 8, 5, 7), /* no bias */
    CASE(same3_relu, NO_R, 3, 8, 8, 16, 3, 3, 16, 16, 8, 8),  /* ResNet-8 */
    CASE(same3_relu, NO_R, 2, 9, 9, 3, 3, 3, 3, 16, 9, 9),    /* its first layer */
    CASE(same5_relu, NO_R, 3, 28, 28, 1, 5, 5, 1, 6, 28, 28), /* LeNet-5 */
    CASE(same5_tanh, NO_R, 3, 14, 14, 6, 5, 5, 6, 16, 14, 14),
    CASE(same5_relu, NO_R, 1, 1, 2, 2, 5, 5, 2, 3, 1, 2), /* the window is larger than the image */
    CASE(stride2, NO_R, 2, 7, 8, 4, 1, 1, 4, 6, 4, 4),    /* strided 1x1 */
    CASE(stride2, NO_R, 2, 7, 8, 8, 1, 1, 8, 16, 4, 4),
    CASE(stride2, NO_R, 2, 8, 8, 3, 3, 3, 3, 5, 4, 4),   /* `same` of an even input: only after */
    CASE(stride23, NO_R, 2, 9, 10, 3, 3, 4, 3, 5, 5, 3), /* unequal strides, some input unused */
    CASE(stride2_sigmoid, NO_R, 2, 9, 9, 4, 3, 3, 4, 5, 5, 5),
    CASE(dilated, NO_R, 2, 8, 9, 3, 3, 3, 3, 4, 8, 9),
    CASE(grouped, NO_R, 2, 5, 5, 6, 3, 3, 3, 4, 5, 5),
    CASE(depthwise, NO_R, 2, 6, 5, 5, 3, 3, 1, 5, 6, 5),
    CASE(leaky, NO_R, 2, 5, 5, 2, 2, 2, 2, 3, 4, 4),
    CASE(same3, NO_R, 0, 5, 5, 2, 3, 3, 2, 3, 5, 5), /* no sample */
    CASE(same3_relu, 0, 3, 8, 8, 16, 3, 3, 16, 16, 8, 8),
    CASE(same3_relu, 1 << 2, 2, 7, 5, 32, 3, 3, 32, 16, 7, 5),
    CASE(same3_relu, 0, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1),
    CASE(same5_tanh, 0, 2, 6, 5, 6, 5, 5, 6, 13, 6, 5),
    CASE(leaky, 0, 2, 5, 5, 2, 2, 2, 2, 3, 4, 4),
    CASE(valid, 0, 2, 4, 5, 9, 1, 1, 9, 11, 4, 5),
    CASE(valid, 0, 3, 7, 9, 9, 1, 1, 9, 19, 7, 9), /* two blocks of rows of a product */
    CASE(stride2_sigmoid, 1 << 2, 2, 9, 9, 8, 3, 3, 8, 8, 5, 5),
    CASE(stride2_relu, 0, 2, 7, 8, 8, 1, 1, 8, 16, 4, 4),
    CASE(depthwise, 0, 2, 6, 5, 5, 3, 3, 1, 5, 6, 5),
    CASE(stride2, NO_R, 2, 8, 8, 16, 3, 3, 16, 24, 4, 4),
    CASE(same3, NO_R, 5, 7, 9, 16, 3, 3, 16, 40, 7, 9), /* Winograd: tiles over the edge, panels of 16 and 8 */
    CASE(valid, NO_R | 1 << 2, 1, 5, 4, 24, 3, 3, 24, 16, 3, 2),
    CASE(leaky3, NO_R, 2, 1, 1, 32, 3, 3, 32, 16, 1, 1),
    CASE(depthwise2, 0, 2, 7, 8, 8, 3, 3, 1, 8, 4, 4),
    CASE(depthwise5, 1 << 2, 2, 6, 5, 12, 5, 5, 1, 12, 6, 5),
    CASE(twofold, NO_R, 2, 6, 7, 4, 3, 2, 1, 8, 6, 4),
    CASE(grouped2, 0, 2, 7, 6, 8, 3, 3, 4, 16, 4, 6),
    CASE(many, NO_R, 1, 10, 13, 264, 1, 1, 4, 4488, 10, 13),
    CASE(common, NO_R, 2, 9, 13, 2, 3, 2, 2, 3, 2, 2),
    CASE(beyond, NO_R, 2, 7, 9, 3, 2, 2, 3, 4, 2, 2),
};

const egi_op egi_op_conv2d = {
    .name = "conv2d",
    .size = sizeof(egi_conv2d),
    .in = {EGI_FIELD(egi_conv2d, x), EGI_FIELD(egi_conv2d, w), EGI_FIELD(egi_conv2d, b), EGI_FIELD(egi_conv2d, r)},
    .out = {EGI_FIELD(egi_conv2d, y)},
    .check = check,
    .grad = grad,
    .square = square,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
