/* Add: the sum of two or more inputs of the same shape. */
#include "core/layer.h"
#include "core/ops/pointwise.h"

static eg_status build(egi_builder *b, const void *config)
{
    (void)config;
    const egi_shape *first = egi_in_shape(b, 0);
    if (egi_in_count(b) < 2)
        return egi_fail(EG_ERR_SHAPE, "inputs: wanted at least 2, found %d", egi_in_count(b));
    for (int i = 1; i < egi_in_count(b); i++)
        if (!egi_shape_equal(first, egi_in_shape(b, i)))
            return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: adding inputs of different shapes, %s and %s",
                            egi_shape_format(first).s, egi_shape_format(egi_in_shape(b, i)).s);
    return egi_out_shape(b, *first);
}

static eg_status emit(egi_emit *e, const void *config)
{
    (void)config;
    egi_plan *p = egi_emit_plan(e);
    const int n = egi_emit_in_count(e);
    egi_val sum = egi_in(e, 0);
    for (int i = 1; i < n; i++) {
        const egi_val y = i == n - 1 ? egi_out(e) : egi_temp_like(p, sum);
        EG_TRY(EGI_EMIT(p, add, .a = sum, .b = egi_in(e, i), .y = y));
        sum = y;
    }
    return p->status;
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(6), EGI_STATIC_SHAPE(6)}, .n_in = 2},
    {.config = "{}",
     .in = {EGI_STATIC_SHAPE(3, 2, 4), EGI_STATIC_SHAPE(3, 2, 4), EGI_STATIC_SHAPE(3, 2, 4)},
     .n_in = 3},
    {.config = "{}",
     .in = {EGI_STATIC_SHAPE(5, 2), EGI_STATIC_SHAPE(5, 2), EGI_STATIC_SHAPE(5, 2), EGI_STATIC_SHAPE(5, 2)},
     .n_in = 4},
};

const egi_layer_type egi_layer_add = {
    .keras = "Add",
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
