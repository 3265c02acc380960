#include "core/ops/check.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_crop2d *a = args;
    return egi_frame_check(p, a->y, a->x, a->top, a->left);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_crop2d *a = args;
    const egi_val dy = egi_grad_of(g, a->y);
    if (dy == EGI_NONE || !egi_grad_wanted(g, a->x))
        return EG_OK;
    return EGI_EMIT(p, pad2d, .x = dy, .y = egi_grad_into(g, a->x), .top = a->top, .left = a->left);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_crop2d *a = args;
    const egi_shape *x = &t[a->x].shape, *y = &t[a->y].shape;
    int64_t at = 0;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t i = 0; i < y->dim[1]; i++)
            for (int64_t j = 0; j < y->dim[2]; j++)
                for (int64_t c = 0; c < y->dim[3]; c++)
                    egi_set(
                        &t[a->y], at++,
                        egi_get(&t[a->x], ((n * x->dim[1] + i + a->top) * x->dim[2] + j + a->left) * x->dim[3] + c));
}

static const egi_crop2d none = {0}, one = {.top = 1, .left = 1}, uneven = {.top = 2, .left = 0};
#define CASE(args_, n, h, w, c, oh, ow)                                                                 \
    {                                                                                                   \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, h, w, c)}, .out = { EGI_STATIC_SHAPE(n, oh, ow, c) } \
    }
static const egi_op_case cases[] = {CASE(one, 2, 7, 6, 3, 5, 4), CASE(uneven, 2, 5, 6, 5, 3, 3),
                                    CASE(one, 1, 3, 3, 1, 1, 1), CASE(none, 2, 3, 4, 2, 3, 4),
                                    CASE(uneven, 2, 6, 7, 8, 3, 5)};

const egi_op egi_op_crop2d = {
    .name = "crop2d",
    .size = sizeof(egi_crop2d),
    .in = {EGI_FIELD(egi_crop2d, x)},
    .out = {EGI_FIELD(egi_crop2d, y)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
