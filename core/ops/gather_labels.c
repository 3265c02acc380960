#include "core/ops/check.h"
#include "core/ops/data.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_gather_labels *a = args;
    if (a->x == EGI_NONE || a->index == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "%s: no value given", a->x == EGI_NONE ? "x" : "index");
    const egi_shape x = *egi_shape_of(p, a->x), index = *egi_shape_of(p, a->index);
    if (x.rank != 1 || index.rank != 1)
        return egi_fail(EG_ERR_SHAPE, "wanted x and index of one dimension, found %s and %s", egi_shape_format(&x).s,
                        egi_shape_format(&index).s);
    EG_TRY(egi_check_is(p, "x", a->x, EGI_I32, x));
    EG_TRY(egi_check_is(p, "index", a->index, EGI_I32, index));
    return egi_check_is(p, "y", a->y, EGI_I32, index);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_gather_labels *a = args;
    const int64_t n = egi_count(&t[a->x]), batch = egi_count(&t[a->y]);
    for (int64_t i = 0; i < batch; i++) {
        const double at = egi_get(&t[a->index], i);
        egi_set(&t[a->y], i, at >= 0 && at < (double)n ? egi_get(&t[a->x], (int64_t)at) : -1);
    }
}

static double bytes(const void *args, const egi_tensor *t, double all)
{
    (void)all;
    return 12.0 * (double)egi_count(&t[((const egi_gather_labels *)args)->y]);
}

#define CASE(n, batch)                                                                               \
    {                                                                                                \
        .args = &(const egi_gather_labels){0}, .in = {EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(batch)}, \
        .out = {EGI_STATIC_SHAPE(batch)}, .fill = {EGI_FILL_LABELS, EGI_FILL_ROWS}, .labels = n      \
    }
static const egi_op_case cases[] = {CASE(23, 7), CASE(13, 1), CASE(5, 0), CASE(301, 700)};

const egi_op egi_op_gather_labels = {
    .name = "gather_labels",
    .size = sizeof(egi_gather_labels),
    .in = {EGI_FIELD(egi_gather_labels, x), EGI_FIELD(egi_gather_labels, index)},
    .out = {EGI_FIELD(egi_gather_labels, y)},
    .check = check,
    .reference = reference,
    .bytes = bytes,
    EGI_CASES(cases),
};
