/* Reshape: a sample under another shape of the same count, row-major; nothing is copied. */
#include "core/layer.h"

typedef struct config {
    egi_dims target_shape;
} config;

static const egi_field fields[] = {
    EGI_DIMS(config, target_shape, EGI_REQUIRED, -1, EGI_DIM_MAX,
             "shape of a sample; one dimension may be -1: what is left"),
};

/* The shape, with -1 filled in for an input of `count` elements; rank 9 dims never come here: DIMS holds at most 8. */
static eg_status resolve(const egi_dims *target, const egi_shape *in, egi_shape *out)
{
    const int64_t count = egi_shape_count(in);
    int64_t known = 1;
    int free = -1;
    if (target->n >= EGI_MAX_RANK)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: target_shape of %d dimensions, at most %d", target->n,
                        EGI_MAX_RANK - 1);
    *out = (egi_shape){.rank = target->n};
    for (int i = 0; i < target->n; i++) {
        out->dim[i] = target->v[i];
        if (target->v[i] >= 0 && __builtin_mul_overflow(known, target->v[i], &known))
            return egi_fail(EG_ERR_SHAPE, "target_shape: too many elements");
        if (target->v[i] < 0 && free >= 0)
            return egi_fail(EG_ERR_FORMAT, "target_shape: wanted at most one -1");
        if (target->v[i] < 0)
            free = i;
    }
    if (free >= 0)
        out->dim[free] = known > 0 ? count / known : 0;
    if (free >= 0 ? known < 1 || count % known != 0 : known != count)
        return egi_fail(EG_ERR_SHAPE, "target_shape: %lld elements%s do not hold an input of %s", (long long)known,
                        free >= 0 ? " a step of -1" : "", egi_shape_format(in).s);
    return EG_OK;
}

static eg_status build(egi_builder *b, const void *config_)
{
    egi_shape out;
    EG_TRY(resolve(&((const config *)config_)->target_shape, egi_in_shape(b, 0), &out));
    return egi_out_shape(b, out);
}

static eg_status emit(egi_emit *e, const void *config_)
{
    egi_plan *p = egi_emit_plan(e);
    const egi_shape s = *egi_shape_of(p, egi_in(e, 0));
    egi_shape sample = {.rank = s.rank - 1}, out;
    for (int i = 0; i < sample.rank; i++)
        sample.dim[i] = s.dim[i + 1];
    EG_TRY(resolve(&((const config *)config_)->target_shape, &sample, &out));
    egi_out_is(e, egi_alias(p, egi_in(e, 0), egi_shape_batched(s.dim[0], &out)));
    return p->status;
}

static const egi_layer_case cases[] = {
    {.config = "{\"target_shape\": [4, 3, 2]}", .in = {EGI_STATIC_SHAPE(24)}, .n_in = 1},
    {.config = "{\"target_shape\": [-1, 5]}", .in = {EGI_STATIC_SHAPE(3, 10)}, .n_in = 1},
    {.config = "{\"target_shape\": [-1]}", .in = {EGI_STATIC_SHAPE(2, 3, 2)}, .n_in = 1},
};

const egi_layer_type egi_layer_reshape = {
    .keras = "Reshape",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
