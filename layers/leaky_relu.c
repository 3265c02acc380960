/* LeakyReLU: y = x, or negative_slope x where x is negative (Maas et al. 2013). */
#include "core/layer.h"
#include "core/ops/pointwise.h"

typedef struct config {
    double negative_slope;
} config;

static const egi_field fields[] = {
    {.name = "negative_slope",
     .alias = "alpha",
     .kind = EGI_FIELD_REAL,
     .offset = offsetof(config, negative_slope),
     .fallback = "0.3",
     .min = 0,
     .max = 1e30,
     .help = "slope of negative inputs"},
};

static eg_status build(egi_builder *b, const void *config_)
{
    (void)config_;
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    return EGI_EMIT(egi_emit_plan(e), activation, .x = egi_in(e, 0), .y = egi_out(e), .act = EGI_ACT_LEAKY_RELU,
                    .alpha = (float)((const config *)config_)->negative_slope, .max_value = -1);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(4, 5)}, .n_in = 1},
    {.config = "{\"negative_slope\": 0.05}", .in = {EGI_STATIC_SHAPE(3, 3, 2)}, .n_in = 1},
    {.config = "{\"negative_slope\": 0.0}", .in = {EGI_STATIC_SHAPE(9)}, .n_in = 1},
};

const egi_layer_type egi_layer_leaky_relu = {
    .keras = "LeakyReLU",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
