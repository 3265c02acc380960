/* Dropout: in training each element is 0 with probability `rate` and else divided by 1 - rate (Srivastava et al. 2014).
 */
#include "core/layer.h"
#include "core/ops/pointwise.h"

typedef struct config {
    double rate;
    egi_dims noise_shape;
} config;

static const egi_field fields[] = {
    {.name = "rate",
     .alias = "p",
     .kind = EGI_FIELD_REAL,
     .offset = offsetof(config, rate),
     .min = 0,
     .max = 1,
     .help = "probability of 0"},
    EGI_DIMS(config, noise_shape, "[]", 1, EGI_DIM_MAX, "shape of the mask: only null, that of the input"),
};

static eg_status check(const void *config_)
{
    if (((const config *)config_)->noise_shape.n)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: noise_shape");
    return EG_OK;
}

static eg_status build(egi_builder *b, const void *config_)
{
    (void)config_;
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const config *c = config_;
    egi_plan *p = egi_emit_plan(e);
    if (!egi_emit_training(e) || c->rate == 0) {
        egi_out_is(e, egi_in(e, 0));
        return p->status;
    }
    return EGI_EMIT(p, dropout, .x = egi_in(e, 0), .y = egi_out(e), .rate = (float)c->rate,
                    .stream = egi_emit_stream(e));
}

static const egi_layer_case cases[] = {
    {.config = "{\"rate\": 0.5}", .in = {EGI_STATIC_SHAPE(40)}, .n_in = 1},
    {.config = "{\"rate\": 0.25}", .in = {EGI_STATIC_SHAPE(3, 5, 2)}, .n_in = 1},
    {.config = "{\"rate\": 0.0}", .in = {EGI_STATIC_SHAPE(6)}, .n_in = 1},
};

const egi_layer_type egi_layer_dropout = {
    .keras = "Dropout",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
