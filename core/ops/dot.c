#include "core/ops/check.h"
#include "core/ops/update.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_dot *a = args;
    EG_TRY(egi_check_rank(p, "x", a->x, 1));
    EG_TRY(egi_check_like(p, "y", a->y, a->x));
    return egi_check_is(p, "sums", a->sums, EGI_F64, EGI_SHAPE(2));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_dot *a = args;
    const int64_t n = egi_count(&t[a->x]);
    double xy = 0, yy = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = egi_get(&t[a->x], i), y = egi_get(&t[a->y], i);
        xy += x * y;
        yy += y * y;
    }
    egi_set(&t[a->sums], 0, xy);
    egi_set(&t[a->sums], 1, yy);
}

#define CASE(n)                                                                                                       \
    {                                                                                                                 \
        .args = &(const egi_dot){0}, .in = {EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(n)}, .out = { EGI_STATIC_SHAPE(2) } \
    }
static const egi_op_case cases[] = {CASE(7), CASE(1), CASE(1027), CASE(70001)};

const egi_op egi_op_dot = {
    .name = "dot",
    .size = sizeof(egi_dot),
    .in = {EGI_FIELD(egi_dot, x), EGI_FIELD(egi_dot, y)},
    .out = {EGI_FIELD(egi_dot, sums)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
