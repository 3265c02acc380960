/* InputLayer: names the shape of an input; what arrives passes through. */
#include "core/layer.h"

typedef struct config {
    egi_dims batch_shape; /* with the batch in front; empty: not given */
} config;

static const egi_field fields[] = {
    {.name = "batch_shape",
     .alias = "batch_input_shape",
     .kind = EGI_FIELD_DIMS,
     .offset = offsetof(config, batch_shape),
     .fallback = "[]",
     .min = 0,
     .max = EGI_DIM_MAX,
     .help = "shape of the input with the batch in front; null: any"},
};

static eg_status build(egi_builder *b, const void *config_)
{
    const egi_dims *wanted = &((const config *)config_)->batch_shape;
    const egi_shape *in = egi_in_shape(b, 0);
    bool fits = wanted->n == 0 || wanted->n == in->rank + 1;
    for (int i = 1; fits && i < wanted->n; i++)
        fits = wanted->v[i] < 0 || wanted->v[i] == in->dim[i - 1];
    if (!fits) {
        egi_shape shape = {.rank = wanted->n - 1};
        for (int i = 1; i < wanted->n; i++)
            shape.dim[i - 1] = wanted->v[i];
        return egi_fail(EG_ERR_SHAPE, "input: wanted %s, found %s", egi_shape_format(&shape).s, egi_shape_format(in).s);
    }
    return egi_out_shape(b, *in);
}

static eg_status emit(egi_emit *e, const void *config_)
{
    (void)config_;
    egi_out_is(e, egi_in(e, 0));
    return egi_emit_plan(e)->status;
}

static const egi_layer_case cases[] = {
    {.config = "{\"batch_shape\": [null, 4, 3, 2]}", .in = {EGI_STATIC_SHAPE(4, 3, 2)}, .n_in = 1},
    {.config = "{\"batch_shape\": [null, 7]}", .in = {EGI_STATIC_SHAPE(7)}, .n_in = 1},
    {.config = "{\"batch_shape\": [null, null, 3]}", .in = {EGI_STATIC_SHAPE(5, 3)}, .n_in = 1},
};

const egi_layer_type egi_layer_input_layer = {
    .keras = "InputLayer",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
