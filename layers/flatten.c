/* Flatten: all dimensions of a sample become one; nothing is copied. */
#include "layers/spatial.h"

typedef struct config {
    int data_format;
} config;

static const egi_field fields[] = {EGI_DATA_FORMAT(config)};

static eg_status check(const void *config_)
{
    return egi_check_data_format(((const config *)config_)->data_format);
}

static eg_status build(egi_builder *b, const void *config_)
{
    (void)config_;
    return egi_out_shape(b, EGI_SHAPE(egi_shape_count(egi_in_shape(b, 0))));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    (void)config_;
    egi_plan *p = egi_emit_plan(e);
    const egi_shape s = *egi_shape_of(p, egi_in(e, 0));
    egi_out_is(e, egi_alias(p, egi_in(e, 0), EGI_SHAPE(s.dim[0], egi_shape_span(&s, 1, s.rank))));
    return p->status;
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(3, 4, 2)}, .n_in = 1},
    {.config = "{\"data_format\": \"channels_last\"}", .in = {EGI_STATIC_SHAPE(5, 2)}, .n_in = 1},
    {.config = "{}", .in = {EGI_STATIC_SHAPE(7)}, .n_in = 1},
};

const egi_layer_type egi_layer_flatten = {
    .keras = "Flatten",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
