/* Activation: y = f(x), any of Keras' named activations; softmax runs over the last dimension. */
#include "core/layer.h"

typedef struct config {
    egi_act activation;
} config;

static const egi_field fields[] = {
    EGI_ACTF(config, activation, EGI_REQUIRED, "name of the function"),
};

static eg_status build(egi_builder *b, const void *config_)
{
    if (((const config *)config_)->activation == EGI_ACT_SOFTMAX && egi_in_shape(b, 0)->rank < 1)
        return egi_fail(EG_ERR_SHAPE, "softmax: input has no dimension beside the batch");
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    return egi_emit_act(e, ((const config *)config_)->activation, egi_in(e, 0));
}

static const egi_layer_case cases[] = {
    {.config = "{\"activation\": \"relu\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"relu6\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"sigmoid\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"tanh\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"leaky_relu\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"elu\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"selu\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"softplus\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"softsign\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"exponential\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"silu\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"gelu\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"hard_sigmoid\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"hard_silu\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
    {.config = "{\"activation\": \"softmax\"}", .in = {EGI_STATIC_SHAPE(7, 3)}, .n_in = 1},
    {.config = "{\"activation\": \"linear\"}", .in = {EGI_STATIC_SHAPE(3, 5, 4)}, .n_in = 1},
};

const egi_layer_type egi_layer_activation = {
    .keras = "Activation",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
