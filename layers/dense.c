/* Dense: y = act(x kernel + bias) on the last dimension.  x: (..., in)  kernel: (in, units)  bias: (units)  y: (...,
 * units). */
#include "core/ops/dense.h"
#include "core/layer.h"
#include "core/ops/conv2d.h"

typedef struct config {
    int64_t units;
    egi_act activation;
    bool use_bias;
} config;

static const egi_field fields[] = {
    {.name = "units",
     .alias = "output_dim",
     .kind = EGI_FIELD_INT,
     .offset = offsetof(config, units),
     .min = 1,
     .max = EGI_DIM_MAX,
     .help = "size of the output's last dimension"},
    EGI_ACTF(config, activation, "linear", "applied to the output"),
    {.name = "use_bias",
     .alias = "bias",
     .kind = EGI_FIELD_BOOL,
     .offset = offsetof(config, use_bias),
     .fallback = "true",
     .help = "add a bias"},
};

static eg_status build(egi_builder *b, const void *config_)
{
    const config *c = config_;
    if (egi_in_shape(b, 0)->rank < 1 || egi_in_dim(b, -1) < 1)
        return egi_fail(EG_ERR_SHAPE, "input: wanted a last dimension of at least 1, found %s",
                        egi_shape_format(egi_in_shape(b, 0)).s);
    EG_TRY(egi_param_add(b, "kernel", EGI_SHAPE(egi_in_dim(b, -1), c->units), EGI_GLOROT_UNIFORM));
    if (c->use_bias)
        EG_TRY(egi_param_add(b, "bias", EGI_SHAPE(c->units), EGI_ZEROS));
    return egi_out_last(b, c->units);
}

static egi_val as_rows(egi_plan *p, egi_val v)
{
    const egi_shape s = *egi_shape_of(p, v);
    return s.rank == 2 ? v : egi_alias(p, v, EGI_SHAPE(egi_shape_span(&s, 0, s.rank - 1), s.dim[s.rank - 1]));
}

static egi_val as_image(egi_plan *p, egi_val v)
{
    const egi_shape s = *egi_shape_of(p, v);
    return egi_alias(p, v, EGI_SHAPE(s.dim[0], 1, egi_shape_span(&s, 1, s.rank - 1), s.dim[s.rank - 1]));
}

/* Over several positions a sample's gradient is the sum over its positions before it is squared: as a 1 x 1 convolution
 * the operation still knows which rows are one sample. */
static eg_status emit_positions(egi_plan *p, egi_val x, egi_val w, egi_val b, egi_val y, egi_act act, float alpha)
{
    const egi_shape k = *egi_shape_of(p, w);
    return EGI_EMIT(p, conv2d, .x = as_image(p, x), .w = egi_alias(p, w, EGI_SHAPE(1, 1, k.dim[0], k.dim[1])), .b = b,
                    .y = as_image(p, y), .g = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1}, .act = act,
                    .alpha = alpha);
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const config *c = config_;
    egi_plan *p = egi_emit_plan(e);
    const bool fused = egi_act_by_output(c->activation);
    const egi_act act = fused ? c->activation : EGI_ACT_LINEAR;
    const float alpha = (float)egi_act_default_alpha(act);
    const egi_val x = egi_in(e, 0), w = egi_weight(e, "kernel"), b = egi_weight(e, "bias");
    const egi_val y = fused ? egi_out(e) : egi_temp_like(p, egi_out(e));
    if (p->status != EG_OK)
        return p->status;
    if (p->values[w].square != EGI_NONE && egi_shape_of(p, x)->rank > 2)
        EG_TRY(emit_positions(p, x, w, b, y, act, alpha));
    else
        EG_TRY(EGI_EMIT(p, dense, .x = as_rows(p, x), .w = w, .b = b, .y = as_rows(p, y), .act = act, .alpha = alpha));
    return fused ? EG_OK : egi_emit_act(e, c->activation, y);
}

static const egi_layer_case cases[] = {
    {.config = "{\"units\": 7}", .in = {EGI_STATIC_SHAPE(5)}, .n_in = 1},
    {.config = "{\"units\": 3, \"activation\": \"relu\"}", .in = {EGI_STATIC_SHAPE(11)}, .n_in = 1},
    {.config = "{\"units\": 1, \"use_bias\": false, \"activation\": \"sigmoid\"}",
     .in = {EGI_STATIC_SHAPE(4)},
     .n_in = 1},
    {.config = "{\"units\": 5, \"activation\": \"softmax\"}", .in = {EGI_STATIC_SHAPE(6)}, .n_in = 1},
    {.config = "{\"units\": 4, \"activation\": \"tanh\"}", .in = {EGI_STATIC_SHAPE(3, 2, 6)}, .n_in = 1},
    {.config = "{\"units\": 3, \"activation\": \"gelu\"}", .in = {EGI_STATIC_SHAPE(4, 5)}, .n_in = 1},
};

const egi_layer_type egi_layer_dense = {
    .keras = "Dense",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
