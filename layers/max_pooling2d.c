/* MaxPooling2D: the largest value of each window.  x: (h, w, c)  y: (oh, ow, c). */
#include "layers/pooling.h"

static const egi_field fields[] = {EGI_POOLING_FIELDS};

static eg_status emit(egi_emit *e, const void *config)
{
    egi_plan *p = egi_emit_plan(e);
    egi_pool_geometry g;
    EG_TRY(egi_pooling_geometry(e, config, &g));
    const egi_val y = egi_out(e);
    const bool gradient = p->training || p->want_grad;
    const egi_val index = gradient ? egi_temp_of(p, EGI_U8, *egi_shape_of(p, y)) : EGI_NONE;
    return EGI_EMIT(p, maxpool, .x = egi_in(e, 0), .y = y, .index = index, .g = g);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(6, 8, 3)}, .n_in = 1},
    {.config = "{\"pool_size\": [3, 2], \"strides\": [2, 1]}", .in = {EGI_STATIC_SHAPE(7, 5, 2)}, .n_in = 1},
    {.config = "{\"pool_size\": 3, \"strides\": 2, \"padding\": \"same\"}",
     .in = {EGI_STATIC_SHAPE(6, 7, 4)},
     .n_in = 1},
    {.config = "{\"pool_size\": 2, \"padding\": \"same\"}", .in = {EGI_STATIC_SHAPE(5, 3, 1)}, .n_in = 1},
};

const egi_layer_type egi_layer_max_pooling2d = {
    .keras = "MaxPooling2D",
    .aliases = {"MaxPool2D"},
    .config = sizeof(egi_pooling),
    EGI_FIELDS(fields),
    .build = egi_pooling_build,
    .emit = emit,
    .check = egi_pooling_check,
    EGI_LAYER_CASES(cases),
};
