/* ReLU: max_value where x is at least that, x over the threshold, negative_slope (x - threshold) up to it. */
#include "core/layer.h"
#include "core/ops/pointwise.h"

typedef struct config {
    double max_value, negative_slope, threshold; /* max_value -1: none */
} config;

static const egi_field fields[] = {
    {.name = "max_value",
     .kind = EGI_FIELD_REAL,
     .offset = offsetof(config, max_value),
     .fallback = "null",
     .min = 0,
     .max = 1e30,
     .help = "largest output; null: none",
     .automatic = "null",
     .automatic_value = -1},
    {.name = "negative_slope",
     .alias = "alpha",
     .kind = EGI_FIELD_REAL,
     .offset = offsetof(config, negative_slope),
     .fallback = "0",
     .min = 0,
     .max = 1e30,
     .help = "slope below the threshold"},
    EGI_REAL(config, threshold, "0", 0, 1e30, "below it the slope begins"),
};

static eg_status check(const void *config_)
{
    const config *c = config_;
    if (c->max_value >= 0 && c->max_value < c->threshold)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: max_value %g below threshold %g", c->max_value, c->threshold);
    return EG_OK;
}

static eg_status build(egi_builder *b, const void *config_)
{
    (void)config_;
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

/* The simplest kind that computes this: those before ELU fuse into what comes before. */
static egi_act kind_of(const config *c)
{
    if (c->threshold == 0 && c->max_value < 0)
        return c->negative_slope == 0 ? EGI_ACT_RELU : EGI_ACT_LEAKY_RELU;
    if (c->threshold == 0 && c->max_value == 6 && c->negative_slope == 0)
        return EGI_ACT_RELU6;
    return EGI_ACT_RELU_GENERAL;
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const config *c = config_;
    return EGI_EMIT(egi_emit_plan(e), activation, .x = egi_in(e, 0), .y = egi_out(e), .act = kind_of(c),
                    .alpha = (float)c->negative_slope, .max_value = (float)c->max_value,
                    .threshold = (float)c->threshold);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(4, 5)}, .n_in = 1},
    {.config = "{\"max_value\": 6.0}", .in = {EGI_STATIC_SHAPE(3, 3, 2)}, .n_in = 1},
    {.config = "{\"negative_slope\": 0.1}", .in = {EGI_STATIC_SHAPE(9)}, .n_in = 1},
    {.config = "{\"max_value\": 1.25, \"negative_slope\": 0.25, \"threshold\": 0.5}",
     .in = {EGI_STATIC_SHAPE(6, 4)},
     .n_in = 1},
    {.config = "{\"max_value\": null, \"threshold\": 1.0}", .in = {EGI_STATIC_SHAPE(12)}, .n_in = 1},
};

const egi_layer_type egi_layer_relu = {
    .keras = "ReLU",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
