#include "core/ops/check.h"
#include "core/ops/update.h"
#include "core/ops/update_cases.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_update *a = args;
    EG_TRY(egi_update_check(p, a, false, false));
    return egi_check_is(p, "norm", a->norm, egi_dtype_of(p, a->w), EGI_SCALAR);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    const egi_update *a = args;
    const double strength = a->anchor ? control->strength : 0;
    double sum = 0;
    for (int k = 0; k < a->n_segments; k++) {
        const egi_segment *s = &a->segments[k];
        for (int64_t i = s->begin; i < s->end; i++) {
            const double g = egi_update_gradient(a, s, t, strength, i, egi_get(&t[a->w], i));
            sum += g * g;
        }
    }
    egi_set(&t[a->norm], 0, sqrt(sum));
}

#define CASE(segments_, count, absent)                                                                                 \
    {                                                                                                                  \
        .args = &(const egi_update){.segments = segments_, .n_segments = (int)(sizeof segments_ / sizeof *segments_)}, \
        .in = {EGI_STATIC_SHAPE(count), EGI_STATIC_SHAPE(count), EGI_STATIC_SHAPE(count), EGI_STATIC_SHAPE(count)},    \
        .out = {{0}}, .in_absent = absent, .fill = {                                                                   \
            EGI_FILL_AWAY,                                                                                             \
            EGI_FILL_NORMAL,                                                                                           \
            EGI_FILL_NORMAL,                                                                                           \
            EGI_FILL_POSITIVE                                                                                          \
        }                                                                                                              \
    }
static const egi_op_case cases[] = {
    CASE(egi_update_small, EGI_UPDATE_SMALL_COUNT, 0),
    CASE(egi_update_large, EGI_UPDATE_LARGE_COUNT, 0),
    CASE(egi_update_large, EGI_UPDATE_LARGE_COUNT, 1 << 2 | 1 << 3),
};

const egi_op egi_op_update_norm = {
    .name = "update_norm",
    .size = sizeof(egi_update),
    .in = {EGI_FIELD(egi_update, w), EGI_FIELD(egi_update, grad), EGI_FIELD(egi_update, anchor),
           EGI_FIELD(egi_update, omega)},
    .out = {EGI_FIELD(egi_update, norm)},
    .check = check,
    .reference = reference,
    .bytes = egi_update_bytes,
    EGI_CASES(cases),
};
