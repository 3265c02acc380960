#include "core/ops/check.h"
#include "core/ops/update.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_square_add *a = args;
    EG_TRY(egi_check_real(p, "x", a->x, 0));
    EG_TRY(egi_check_real(p, "f", a->f, 0));
    const int64_t n = egi_shape_count(egi_shape_of(p, a->x)), m = egi_shape_count(egi_shape_of(p, a->f));
    if (n != m)
        return egi_fail(EG_ERR_SHAPE, "x has %lld elements, f has %lld", (long long)n, (long long)m);
    return EG_OK;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_square_add *a = args;
    const int64_t n = egi_count(&t[a->x]);
    for (int64_t i = 0; i < n; i++) {
        const double x = egi_get(&t[a->x], i);
        egi_set(&t[a->f], i, egi_get(&t[a->f], i) + x * x);
    }
}

#define CASE(...)                                                                                                 \
    {                                                                                                             \
        .args = &(const egi_square_add){0}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__), EGI_STATIC_SHAPE(__VA_ARGS__)}, \
        .out = {                                                                                                  \
            EGI_STATIC_SHAPE(__VA_ARGS__)                                                                         \
        }                                                                                                         \
    }
static const egi_op_case cases[] = {CASE(3, 7), CASE(1), CASE(70001)};

const egi_op egi_op_square_add = {
    .name = "square_add",
    .size = sizeof(egi_square_add),
    .in = {EGI_FIELD(egi_square_add, x), EGI_FIELD(egi_square_add, f)},
    .out = {EGI_FIELD(egi_square_add, f)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
