#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

#include <math.h>

static eg_status check_axis(const char *axis, int64_t in, int64_t out, const egi_pool_geometry *g, int i)
{
    const int64_t window = g->window[i], stride = g->stride[i], pad = g->pad[i], limit = (int64_t)1 << 31;
    if (window < 1 || window >= limit || stride < 1 || stride >= limit || pad < 0)
        return egi_fail(EG_ERR_ARG,
                        "%s: wanted a window and stride of at least 1 and no negative padding, found %lld, %lld, %lld",
                        axis, (long long)window, (long long)stride, (long long)pad);
    if (in < 1 || out < 1 || in >= limit || out >= limit)
        return egi_fail(EG_ERR_SHAPE, "%s: input %lld, output %lld: wanted at least 1 each", axis, (long long)in,
                        (long long)out);
    const int64_t after = (out - 1) * stride + window - pad - in;
    if (pad >= window || after >= window || after <= -stride)
        return egi_fail(EG_ERR_SHAPE,
                        "%s: an input of %lld, a window of %lld, stride %lld and padding %lld do not make %lld", axis,
                        (long long)in, (long long)window, (long long)stride, (long long)pad, (long long)out);
    return EG_OK;
}

eg_status egi_pool_check(const egi_plan *p, egi_val x, egi_val y, const egi_pool_geometry *g)
{
    EG_TRY(egi_check_rank(p, "input", x, 4));
    EG_TRY(egi_check_rank(p, "output", y, 4));
    EG_TRY(egi_check_is(p, "output", y, egi_dtype_of(p, x), *egi_shape_of(p, y)));
    return egi_pool_check_shapes(egi_shape_of(p, x), egi_shape_of(p, y), g);
}

eg_status egi_pool_check_shapes(const egi_shape *xs, const egi_shape *ys, const egi_pool_geometry *g)
{
    if (xs->dim[0] != ys->dim[0] || xs->dim[3] != ys->dim[3])
        return egi_fail(EG_ERR_SHAPE, "input is %s, output is %s: wanted as many samples and channels",
                        egi_shape_format(xs).s, egi_shape_format(ys).s);
    EG_TRY(check_axis("height", xs->dim[1], ys->dim[1], g, 0));
    return check_axis("width", xs->dim[2], ys->dim[2], g, 1);
}

int64_t egi_pool_range(const egi_pool_geometry *g, int axis, int64_t o, int64_t in, int64_t *from, int64_t *to)
{
    const int64_t begin = o * g->stride[axis] - g->pad[axis], end = begin + g->window[axis];
    *from = begin < 0 ? 0 : begin;
    *to = end > in ? in : end;
    return begin;
}

eg_status egi_pool_check_index(const egi_pool_geometry *g)
{
    if (g->window[0] <= 255 && g->window[0] * g->window[1] <= 255)
        return EG_OK;
    return egi_fail(EG_ERR_UNSUPPORTED,
                    "unsupported: gradient of a window of %lld x %lld; wanted at most 255 positions",
                    (long long)g->window[0], (long long)g->window[1]);
}

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_maxpool *a = args;
    EG_TRY(egi_pool_check(p, a->x, a->y, &a->g));
    if (a->index != EGI_NONE)
        EG_TRY(egi_pool_check_index(&a->g));
    return egi_check_may(p, "index", a->index, EGI_U8, *egi_shape_of(p, a->y));
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_maxpool *a = args;
    const egi_val dy = egi_grad_of(g, a->y);
    if (dy == EGI_NONE || !egi_grad_wanted(g, a->x))
        return EG_OK;
    if (a->index == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "maxpool: a gradient is wanted but no index was kept");
    return EGI_EMIT(p, maxpool_grad, .dy = dy, .index = a->index, .dx = egi_grad_into(g, a->x), .g = a->g);
}

double egi_pool_largest(const egi_pool_geometry *g, const egi_pool_pixels *x, int64_t i, int64_t j, int64_t *position)
{
    int64_t r0, r1, s0, s1;
    const int64_t top = egi_pool_range(g, 0, i, x->h, &r0, &r1), left = egi_pool_range(g, 1, j, x->w, &s0, &s1);
    double best = -INFINITY;
    *position = (r0 - top) * g->window[1] + s0 - left;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t s = s0; s < s1; s++) {
            const double v = x->at(x->context, r, s);
            if (!(v > best) && v == v) /* NaN wins, so that it is seen */
                continue;
            best = v;
            *position = (r - top) * g->window[1] + s - left;
        }
    return best;
}

/* Channel `c` of sample `n`. */
typedef struct plane {
    const egi_tensor *x;
    int64_t n, c;
} plane;

static double pixel(const void *context, int64_t row, int64_t column)
{
    const plane *p = context;
    const int64_t *dim = p->x->shape.dim;
    return egi_get(p->x, ((p->n * dim[1] + row) * dim[2] + column) * dim[3] + p->c);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_maxpool *a = args;
    const egi_shape *s = &t[a->y].shape;
    plane from = {.x = &t[a->x]};
    const egi_pool_pixels x = {pixel, &from, from.x->shape.dim[1], from.x->shape.dim[2]};
    int64_t at = 0, position;
    for (from.n = 0; from.n < s->dim[0]; from.n++)
        for (int64_t i = 0; i < s->dim[1]; i++)
            for (int64_t j = 0; j < s->dim[2]; j++)
                for (from.c = 0; from.c < s->dim[3]; from.c++, at++) {
                    egi_set(&t[a->y], at, egi_pool_largest(&a->g, &x, i, j, &position));
                    if (a->index != EGI_NONE)
                        egi_set(&t[a->index], at, (double)position);
                }
}

#define GEOMETRY(k0, k1, s0, s1, p0, p1)                                \
    {                                                                   \
        .g = {.window = {k0, k1}, .stride = {s0, s1}, .pad = {p0, p1} } \
    }
static const egi_maxpool two = GEOMETRY(2, 2, 2, 2, 0, 0), three = GEOMETRY(3, 3, 2, 2, 1, 1),
                         overlap = GEOMETRY(3, 2, 1, 1, 0, 0), gaps = GEOMETRY(1, 2, 3, 3, 0, 0),
                         one = GEOMETRY(1, 1, 1, 1, 0, 0), wide = GEOMETRY(1, 5, 1, 2, 0, 2);

#define CASE(args_, absent, n, h, w, c, oh, ow)                                                               \
    {                                                                                                         \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, h, w, c)},                                                 \
        .out = {EGI_STATIC_SHAPE(n, oh, ow, c), EGI_STATIC_SHAPE(n, oh, ow, c)}, .out_absent = (absent) << 1, \
        .fill = {                                                                                             \
            EGI_FILL_DISTINCT                                                                                 \
        }                                                                                                     \
    }
static const egi_op_case cases[] = {
    CASE(two, 0, 3, 28, 28, 6, 14, 14), CASE(two, 0, 2, 14, 14, 16, 7, 7), CASE(two, 1, 2, 5, 7, 3, 2, 3),
    CASE(two, 0, 2, 6, 6, 33, 3, 3),    CASE(three, 0, 2, 7, 9, 5, 4, 5),  CASE(three, 0, 1, 1, 1, 1, 1, 1),
    CASE(overlap, 0, 2, 5, 5, 9, 3, 4), CASE(gaps, 0, 2, 7, 8, 4, 3, 3),   CASE(one, 0, 1, 3, 2, 2, 3, 2),
    CASE(wide, 0, 2, 3, 9, 10, 3, 5),
};

const egi_op egi_op_maxpool = {
    .name = "maxpool",
    .size = sizeof(egi_maxpool),
    .in = {EGI_FIELD(egi_maxpool, x)},
    .out = {EGI_FIELD(egi_maxpool, y), EGI_FIELD(egi_maxpool, index)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
