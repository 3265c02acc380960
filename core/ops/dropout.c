#include "core/ops/check.h"
#include "core/ops/pointwise.h"
#include "core/rng.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_dropout *a = args;
    if (!(a->rate >= 0 && a->rate < 1))
        return egi_fail(EG_ERR_ARG, "rate: wanted 0 to less than 1, found %g", (double)a->rate);
    EG_TRY(egi_check_real(p, "x", a->x, 0));
    return egi_check_like(p, "y", a->y, a->x);
}

/* The mask depends on the stream, the step and the place only: the same operation on the gradient is the backward pass.
 */
static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_dropout *a = args;
    if (!egi_grad_wanted(g, a->x))
        return EG_OK;
    const egi_val dy = egi_grad_of(g, a->y);
    return EGI_EMIT(p, dropout, .x = dy, .y = egi_grad_into(g, a->x), .rate = a->rate, .stream = a->stream);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    const egi_dropout *a = args;
    const int64_t n = egi_count(&t[a->x]);
    const double scale = 1 / (1 - (double)a->rate);
    egi_philox block = {{0}};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            block = egi_dropout_block(control, a->stream, (uint64_t)i / 4);
        const float u = (float)(block.v[i % 4] >> 8) * 0x1p-24f;
        egi_set(&t[a->y], i, u >= a->rate ? egi_get(&t[a->x], i) * scale : 0);
    }
}

#define CASE(p, ...)                                                                                          \
    {                                                                                                         \
        .args = &(const egi_dropout){.rate = p, .stream = 3}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__)}, .out = { \
            EGI_STATIC_SHAPE(__VA_ARGS__)                                                                     \
        }                                                                                                     \
    }
static const egi_op_case cases[] = {CASE(0.5f, 7, 9), CASE(0, 3, 3), CASE(0.1f, 31, 1033), CASE(0.3f, 5)};

const egi_op egi_op_dropout = {
    .name = "dropout",
    .size = sizeof(egi_dropout),
    .in = {EGI_FIELD(egi_dropout, x)},
    .out = {EGI_FIELD(egi_dropout, y)},
    .over = {EGI_OVER(egi_dropout, y, x)},
    .check = check,
    .grad = grad,
    .reference = reference,
    .varies = true,
    EGI_CASES(cases),
};
