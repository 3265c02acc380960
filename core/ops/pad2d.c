#include "core/ops/check.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

eg_status egi_frame_check(const egi_plan *p, egi_val small, egi_val large, int64_t top, int64_t left)
{
    EG_TRY(egi_check_rank(p, "the smaller one", small, 4));
    EG_TRY(egi_check_rank(p, "the larger one", large, 4));
    EG_TRY(egi_check_is(p, "the larger one", large, egi_dtype_of(p, small), *egi_shape_of(p, large)));
    const egi_shape *s = egi_shape_of(p, small), *l = egi_shape_of(p, large);
    if (s->dim[0] != l->dim[0] || s->dim[3] != l->dim[3] || top < 0 || left < 0 || s->dim[1] > l->dim[1] ||
        s->dim[2] > l->dim[2] || top > l->dim[1] - s->dim[1] || left > l->dim[2] - s->dim[2])
        return egi_fail(EG_ERR_SHAPE, "%s does not lie inside %s at (%lld, %lld)", egi_shape_format(s).s,
                        egi_shape_format(l).s, (long long)top, (long long)left);
    return EG_OK;
}

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_pad2d *a = args;
    return egi_frame_check(p, a->x, a->y, a->top, a->left);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_pad2d *a = args;
    const egi_val dy = egi_grad_of(g, a->y);
    if (dy == EGI_NONE || !egi_grad_wanted(g, a->x))
        return EG_OK;
    return EGI_EMIT(p, crop2d, .x = dy, .y = egi_grad_into(g, a->x), .top = a->top, .left = a->left);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_pad2d *a = args;
    const egi_shape *x = &t[a->x].shape, *y = &t[a->y].shape;
    int64_t at = 0;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t i = 0; i < y->dim[1]; i++)
            for (int64_t j = 0; j < y->dim[2]; j++)
                for (int64_t c = 0; c < y->dim[3]; c++) {
                    const int64_t r = i - a->top, s = j - a->left;
                    const bool inside = r >= 0 && r < x->dim[1] && s >= 0 && s < x->dim[2];
                    egi_set(&t[a->y], at++,
                            inside ? egi_get(&t[a->x], ((n * x->dim[1] + r) * x->dim[2] + s) * x->dim[3] + c) : 0);
                }
}

static const egi_pad2d none = {0}, one = {.top = 1, .left = 1}, uneven = {.top = 2, .left = 0};
#define CASE(args_, n, h, w, c, oh, ow)                                                                 \
    {                                                                                                   \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, h, w, c)}, .out = { EGI_STATIC_SHAPE(n, oh, ow, c) } \
    }
static const egi_op_case cases[] = {CASE(one, 2, 5, 4, 3, 7, 6), CASE(uneven, 2, 3, 3, 5, 5, 6),
                                    CASE(one, 1, 1, 1, 1, 3, 3), CASE(none, 2, 3, 4, 2, 3, 4),
                                    CASE(uneven, 2, 3, 5, 8, 6, 7)};

const egi_op egi_op_pad2d = {
    .name = "pad2d",
    .size = sizeof(egi_pad2d),
    .in = {EGI_FIELD(egi_pad2d, x)},
    .out = {EGI_FIELD(egi_pad2d, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
