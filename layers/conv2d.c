/* Conv2D: cross-correlation over height and width.  x: (h, w, c)  kernel: (kh, kw, c / groups, filters)  bias:
 * (filters) y: (oh, ow, filters). */
#include "core/ops/conv2d.h"
#include "layers/spatial.h"

typedef struct config {
    int64_t filters, kernel_size[2], strides[2], dilation_rate[2], groups;
    egi_act activation;
    bool use_bias;
    int padding, data_format;
} config;

/* Keras 1 gave the kernel's size as two numbers. */
#define KERNEL_SIDE(key, at)                                                                                       \
    {                                                                                                              \
        .name = (key), .kind = EGI_FIELD_INT, .offset = offsetof(config, kernel_size) + (at) * sizeof(int64_t),    \
        .fallback = "null", .min = 1, .max = EGI_WINDOW_MAX, .help = "Keras 1's kernel_size", .automatic = "null", \
        .automatic_value = -1                                                                                      \
    }

static const egi_field fields[] = {
    {.name = "filters",
     .alias = "nb_filter",
     .kind = EGI_FIELD_INT,
     .offset = offsetof(config, filters),
     .min = 1,
     .max = EGI_DIM_MAX,
     .help = "channels of the output"},
    {.name = "kernel_size",
     .kind = EGI_FIELD_PAIR,
     .offset = offsetof(config, kernel_size),
     .fallback = "null",
     .min = 1,
     .max = EGI_WINDOW_MAX,
     .help = "height and width of the kernel",
     .automatic = "null",
     .automatic_value = -1},
    KERNEL_SIDE("nb_row", 0),
    KERNEL_SIDE("nb_col", 1),
    {.name = "strides",
     .alias = "subsample",
     .kind = EGI_FIELD_PAIR,
     .offset = offsetof(config, strides),
     .fallback = "1",
     .min = 1,
     .max = EGI_WINDOW_MAX,
     .help = "steps down and right"},
    EGI_PADDING(config),
    EGI_DATA_FORMAT(config),
    EGI_PAIR(config, dilation_rate, "1", 1, EGI_WINDOW_MAX, "distance of the kernel's elements"),
    EGI_INT(config, groups, "1", 1, EGI_DIM_MAX, "input and output channels are split into so many independent groups"),
    EGI_ACTF(config, activation, "linear", "applied to the output"),
    {.name = "use_bias",
     .alias = "bias",
     .kind = EGI_FIELD_BOOL,
     .offset = offsetof(config, use_bias),
     .fallback = "true",
     .help = "add a bias"},
};

static eg_status check(const void *config_)
{
    const config *c = config_;
    if (c->kernel_size[0] < 1 || c->kernel_size[1] < 1)
        return egi_fail(EG_ERR_FORMAT, "config key 'kernel_size' is missing");
    if (c->filters % c->groups != 0)
        return egi_fail(EG_ERR_FORMAT, "filters: wanted a multiple of groups (%lld), found %lld", (long long)c->groups,
                        (long long)c->filters);
    return egi_check_data_format(c->data_format);
}

static egi_window window_of(const config *c)
{
    return (egi_window){.size = {c->kernel_size[0], c->kernel_size[1]},
                        .stride = {c->strides[0], c->strides[1]},
                        .dilation = {c->dilation_rate[0], c->dilation_rate[1]},
                        .padding = c->padding};
}

static eg_status build(egi_builder *b, const void *config_)
{
    const config *c = config_;
    EG_TRY(egi_want_image(b));
    const int64_t channels = egi_in_dim(b, -1);
    if (channels < 1 || channels % c->groups != 0)
        return egi_fail(EG_ERR_SHAPE, "input: wanted a multiple of %lld channels (groups), found %lld",
                        (long long)c->groups, (long long)channels);
    const egi_window window = window_of(c);
    int64_t out[2], before[2];
    EG_TRY(egi_window_place(&window, egi_in_dim(b, 0), egi_in_dim(b, 1), out, before));
    EG_TRY(egi_param_add(b, "kernel", EGI_SHAPE(c->kernel_size[0], c->kernel_size[1], channels / c->groups, c->filters),
                         EGI_GLOROT_UNIFORM));
    if (c->use_bias)
        EG_TRY(egi_param_add(b, "bias", EGI_SHAPE(c->filters), EGI_ZEROS));
    return egi_out_shape(b, EGI_SHAPE(out[0], out[1], c->filters));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const config *c = config_;
    egi_plan *p = egi_emit_plan(e);
    const egi_window window = window_of(c);
    const egi_val x = egi_in(e, 0);
    int64_t out[2];
    egi_conv_geometry g = {.stride = {c->strides[0], c->strides[1]},
                           .dilation = {c->dilation_rate[0], c->dilation_rate[1]},
                           .groups = c->groups};
    EG_TRY(egi_window_place(&window, egi_dim(p, x, 1), egi_dim(p, x, 2), out, g.pad));
    const bool fused = egi_act_by_output(c->activation);
    const egi_act act = fused ? c->activation : EGI_ACT_LINEAR;
    const egi_val y = fused ? egi_out(e) : egi_temp_like(p, egi_out(e));
    EG_TRY(EGI_EMIT(p, conv2d, .x = x, .w = egi_weight(e, "kernel"), .b = egi_weight(e, "bias"), .y = y, .g = g,
                    .act = act, .alpha = (float)egi_act_default_alpha(act)));
    return fused ? EG_OK : egi_emit_act(e, c->activation, y);
}

static const egi_layer_case cases[] = {
    {.config = "{\"filters\": 4, \"kernel_size\": [3, 3]}", .in = {EGI_STATIC_SHAPE(6, 7, 2)}, .n_in = 1},
    {.config =
         "{\"filters\": 3, \"kernel_size\": [3, 2], \"strides\": 2, \"padding\": \"same\", \"activation\": \"relu\"}",
     .in = {EGI_STATIC_SHAPE(8, 7, 3)},
     .n_in = 1},
    {.config = "{\"filters\": 2, \"kernel_size\": 3, \"dilation_rate\": [2, 1], \"use_bias\": false}",
     .in = {EGI_STATIC_SHAPE(7, 6, 1)},
     .n_in = 1},
    {.config = "{\"filters\": 6, \"kernel_size\": 3, \"groups\": 2, \"padding\": \"same\", \"activation\": \"silu\"}",
     .in = {EGI_STATIC_SHAPE(5, 5, 4)},
     .n_in = 1},
    {.config = "{\"filters\": 5, \"kernel_size\": 1, \"strides\": [2, 1], \"activation\": \"softmax\"}",
     .in = {EGI_STATIC_SHAPE(5, 4, 3)},
     .n_in = 1},
    {.config = "{\"filters\": 2, \"kernel_size\": [5, 4], \"padding\": \"same\", \"dilation_rate\": 2, \"activation\": "
               "\"tanh\"}",
     .in = {EGI_STATIC_SHAPE(4, 6, 2)},
     .n_in = 1},
};

const egi_layer_type egi_layer_conv2d = {
    .keras = "Conv2D",
    .aliases = {"Convolution2D"},
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
