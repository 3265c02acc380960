#include "core/ops/check.h"
#include "core/ops/pool.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_maxpool_grad *a = args;
    EG_TRY(egi_pool_check(p, a->dx, a->dy, &a->g));
    return egi_check_is(p, "index", a->index, EGI_U8, *egi_shape_of(p, a->dy));
}

/* Windows overlap where the stride is smaller: gradients add up. An index outside the input is ignored. */
static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_maxpool_grad *a = args;
    const egi_tensor *dx = &t[a->dx];
    const egi_shape *s = &t[a->dy].shape;
    const int64_t h = dx->shape.dim[1], w = dx->shape.dim[2], channels = s->dim[3], width = a->g.window[1];
    for (int64_t i = 0; i < egi_count(dx); i++)
        egi_set(dx, i, 0);
    int64_t at = 0;
    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < s->dim[1]; i++)
            for (int64_t j = 0; j < s->dim[2]; j++)
                for (int64_t c = 0; c < channels; c++, at++) {
                    const int64_t position = (int64_t)egi_get(&t[a->index], at);
                    const int64_t r = i * a->g.stride[0] - a->g.pad[0] + position / width;
                    const int64_t q = j * a->g.stride[1] - a->g.pad[1] + position % width;
                    if (r < 0 || r >= h || q < 0 || q >= w)
                        continue;
                    const int64_t to = ((n * h + r) * w + q) * channels + c;
                    egi_set(dx, to, egi_get(dx, to) + egi_get(&t[a->dy], at));
                }
}

#define GEOMETRY(k0, k1, s0, s1, p0, p1)                                \
    {                                                                   \
        .g = {.window = {k0, k1}, .stride = {s0, s1}, .pad = {p0, p1} } \
    }
static const egi_maxpool_grad two = GEOMETRY(2, 2, 2, 2, 0, 0), three = GEOMETRY(3, 3, 2, 2, 1, 1),
                              overlap = GEOMETRY(3, 2, 1, 1, 0, 0), gaps = GEOMETRY(1, 2, 3, 3, 0, 0);

#define CASE(args_, positions, n, h, w, c, oh, ow)                                                                  \
    {                                                                                                               \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, oh, ow, c), EGI_STATIC_SHAPE(n, oh, ow, c)},                     \
        .out = {EGI_STATIC_SHAPE(n, h, w, c)}, .fill = {EGI_FILL_NORMAL, EGI_FILL_POSITIONS}, .labels = (positions) \
    }
static const egi_op_case cases[] = {
    CASE(two, 4, 3, 28, 28, 6, 14, 14), CASE(two, 4, 2, 14, 14, 16, 7, 7), CASE(two, 4, 2, 5, 7, 3, 2, 3),
    CASE(two, 4, 2, 6, 6, 33, 3, 3),    CASE(three, 9, 2, 7, 9, 5, 4, 5),  CASE(overlap, 6, 2, 5, 5, 9, 3, 4),
    CASE(gaps, 2, 2, 7, 8, 4, 3, 3),
};

const egi_op egi_op_maxpool_grad = {
    .name = "maxpool_grad",
    .size = sizeof(egi_maxpool_grad),
    .in = {EGI_FIELD(egi_maxpool_grad, dy), EGI_FIELD(egi_maxpool_grad, index)},
    .out = {EGI_FIELD(egi_maxpool_grad, dx)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
