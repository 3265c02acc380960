/* Softmax over the last dimension. */
#include "core/layer.h"

typedef struct config {
    egi_dims axis;
} config;

static const egi_field fields[] = {
    EGI_DIMS(config, axis, "-1", -EGI_MAX_RANK, EGI_MAX_RANK,
             "dimension of the sum, counted with the batch: only the last"),
};

static eg_status build(egi_builder *b, const void *config_)
{
    const egi_dims *axis = &((const config *)config_)->axis;
    const int rank = egi_in_shape(b, 0)->rank;
    if (rank < 1 || axis->n != 1 || (axis->v[0] != -1 && axis->v[0] != rank))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: softmax over another axis than the last of %d and the batch",
                        rank);
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    (void)config_;
    return egi_emit_act(e, EGI_ACT_SOFTMAX, egi_in(e, 0));
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(10)}, .n_in = 1},
    {.config = "{\"axis\": 3}", .in = {EGI_STATIC_SHAPE(3, 2, 5)}, .n_in = 1},
    {.config = "{\"axis\": -1}", .in = {EGI_STATIC_SHAPE(4, 3)}, .n_in = 1},
};

const egi_layer_type egi_layer_softmax = {
    .keras = "Softmax",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    EGI_LAYER_CASES(cases),
};
