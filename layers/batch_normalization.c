/* BatchNormalization over all dimensions but the last (Ioffe & Szegedy 2015): y = gamma (x - mean) / sqrt(var +
 * epsilon) + beta. Training: batch statistics, and moving = moving * momentum + batch * (1 - momentum). Else, or
 * frozen: the stored ones. */
#include "core/layer.h"
#include "core/ops/batchnorm.h"

typedef struct config {
    egi_dims axis;
    double epsilon, momentum;
    bool center, scale, renorm;
    int64_t mode;
} config;

static const egi_field fields[] = {
    EGI_DIMS(config, axis, "-1", -EGI_MAX_RANK, EGI_MAX_RANK,
             "the channels' dimension, counted with the batch: only the last"),
    EGI_REAL(config, epsilon, "1e-3", 0, 1e6, "added to the variance"),
    EGI_REAL(config, momentum, "0.99", 0, 1, "share of the moving statistics that stays"),
    EGI_BOOL(config, center, "true", "add beta"),
    EGI_BOOL(config, scale, "true", "multiply by gamma"),
    EGI_BOOL(config, renorm, "false", "batch renormalization: only false"),
    EGI_INT(config, mode, "0", 0, 2, "Keras 1: only 0, per channel"),
};

static eg_status check(const void *config_)
{
    const config *c = config_;
    if (c->axis.n != 1)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: axis with %d dimensions; 1 wanted", c->axis.n);
    if (c->renorm)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: renorm");
    if (c->mode != 0)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: mode %lld; only 0 is", (long long)c->mode);
    return EG_OK;
}

static eg_status build(egi_builder *b, const void *config_)
{
    const config *c = config_;
    const int rank = egi_in_shape(b, 0)->rank;
    if (rank < 1 || (c->axis.v[0] != -1 && c->axis.v[0] != rank))
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: axis %lld of an input with %d dimensions and the batch; only the last",
                        (long long)c->axis.v[0], rank);
    const egi_shape channels = EGI_SHAPE(egi_in_dim(b, -1));
    if (c->scale)
        EG_TRY(egi_param_add(b, "gamma", channels, EGI_ONES));
    if (c->center)
        EG_TRY(egi_param_add(b, "beta", channels, EGI_ZEROS));
    EG_TRY(egi_state_add(b, "moving_mean", channels, EGI_ZEROS));
    EG_TRY(egi_state_add(b, "moving_variance", channels, EGI_ONES));
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const config *c = config_;
    egi_plan *p = egi_emit_plan(e);
    const egi_val x = egi_in(e, 0), gamma = egi_weight(e, "gamma"), beta = egi_weight(e, "beta");
    const egi_val mean = egi_weight(e, "moving_mean"), var = egi_weight(e, "moving_variance");
    if (!egi_emit_batch_statistics(e))
        return EGI_EMIT(p, batchnorm_infer, .x = x, .gamma = gamma, .beta = beta, .mean = mean, .var = var,
                        .y = egi_out(e), .epsilon = (float)c->epsilon, .act = EGI_ACT_LINEAR);
    /* Keras 2 stores N / (N - 1) times the variance only where it runs TensorFlow's fused kernel: on images. */
    const bool unbiased = egi_emit_keras(e) <= 2 && egi_shape_of(p, x)->rank == 4;
    const egi_shape channels = EGI_SHAPE(egi_dim(p, x, -1));
    return EGI_EMIT(p, batchnorm, .x = x, .gamma = gamma, .beta = beta, .moving_mean = mean, .moving_var = var,
                    .y = egi_out(e), .mean = egi_temp(p, channels), .istd = egi_temp(p, channels),
                    .epsilon = (float)c->epsilon, .momentum = (float)c->momentum, .unbiased = unbiased);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(4, 5, 3)}, .n_in = 1},
    {.config = "{\"axis\": [3], \"epsilon\": 1e-5, \"momentum\": 0.9}", .in = {EGI_STATIC_SHAPE(3, 2, 6)}, .n_in = 1},
    {.config = "{\"axis\": 1, \"scale\": false}", .in = {EGI_STATIC_SHAPE(7)}, .n_in = 1},
    {.config = "{\"center\": false, \"epsilon\": 0.01}", .in = {EGI_STATIC_SHAPE(6, 4)}, .n_in = 1},
    {.config = "{\"center\": false, \"scale\": false}", .in = {EGI_STATIC_SHAPE(2, 2, 2)}, .n_in = 1},
};

const egi_layer_type egi_layer_batch_normalization = {
    .keras = "BatchNormalization",
    .aliases = {"BatchNormalizationV1", "BatchNormalizationV2"},
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
