/* GlobalAveragePooling2D: the mean over height and width.  x: (h, w, c)  y: (c), or (1, 1, c) with keepdims. */
#include "core/ops/pool.h"
#include "layers/spatial.h"

typedef struct config {
    bool keepdims;
    int data_format;
} config;

static const egi_field fields[] = {
    EGI_BOOL(config, keepdims, "false", "keep height and width as dimensions of size 1"),
    EGI_DATA_FORMAT(config),
};

static eg_status check(const void *config_)
{
    return egi_check_data_format(((const config *)config_)->data_format);
}

static eg_status build(egi_builder *b, const void *config_)
{
    EG_TRY(egi_want_image(b));
    const int64_t c = egi_in_dim(b, 2);
    if (egi_in_dim(b, 0) < 1 || egi_in_dim(b, 1) < 1)
        return egi_fail(EG_ERR_SHAPE, "input: no positions in %s", egi_shape_format(egi_in_shape(b, 0)).s);
    return egi_out_shape(b, ((const config *)config_)->keepdims ? EGI_SHAPE(1, 1, c) : EGI_SHAPE(c));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    egi_plan *p = egi_emit_plan(e);
    const egi_val x = egi_in(e, 0);
    egi_val y = egi_out(e);
    if (((const config *)config_)->keepdims)
        y = egi_alias(p, y, EGI_SHAPE(egi_dim(p, x, 0), egi_dim(p, x, 3)));
    return EGI_EMIT(p, spatial_mean, .x = x, .y = y);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(5, 3, 4)}, .n_in = 1},
    {.config = "{\"keepdims\": true}", .in = {EGI_STATIC_SHAPE(4, 4, 9)}, .n_in = 1},
    {.config = "{}", .in = {EGI_STATIC_SHAPE(1, 1, 2)}, .n_in = 1},
};

const egi_layer_type egi_layer_global_average_pooling2d = {
    .keras = "GlobalAveragePooling2D",
    .aliases = {"GlobalAvgPool2D"},
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
