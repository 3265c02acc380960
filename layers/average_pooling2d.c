/* AveragePooling2D: the mean of each window; positions outside the input do not count.  x: (h, w, c)  y: (oh, ow, c).
 */
#include "layers/pooling.h"

static const egi_field fields[] = {EGI_POOLING_FIELDS};

static eg_status emit(egi_emit *e, const void *config)
{
    egi_pool_geometry g;
    EG_TRY(egi_pooling_geometry(e, config, &g));
    return EGI_EMIT(egi_emit_plan(e), avgpool, .x = egi_in(e, 0), .y = egi_out(e), .g = g);
}

static const egi_layer_case cases[] = {
    {.config = "{\"pool_size\": 2}", .in = {EGI_STATIC_SHAPE(6, 8, 3)}, .n_in = 1},
    {.config = "{\"pool_size\": [3, 2], \"strides\": [2, 1]}", .in = {EGI_STATIC_SHAPE(7, 5, 2)}, .n_in = 1},
    {.config = "{\"pool_size\": 3, \"strides\": 2, \"padding\": \"same\"}",
     .in = {EGI_STATIC_SHAPE(6, 7, 4)},
     .n_in = 1},
    {.config = "{\"pool_size\": [8, 8]}", .in = {EGI_STATIC_SHAPE(8, 8, 5)}, .n_in = 1},
};

const egi_layer_type egi_layer_average_pooling2d = {
    .keras = "AveragePooling2D",
    .aliases = {"AvgPool2D"},
    .config = sizeof(egi_pooling),
    EGI_FIELDS(fields),
    .build = egi_pooling_build,
    .emit = emit,
    .check = egi_pooling_check,
    EGI_LAYER_CASES(cases),
};
