/** core/builder.h: the insides that core/model.c, core/layer.c and core/emit.c share. */
#ifndef EGI_BUILDER_H
#define EGI_BUILDER_H

#include "core/model.h"

struct egi_builder {
    eg_model *model;
    int layer;
    const egi_call *call;
    bool first_call; /* later calls of a shared layer find its parameters declared */
    int next_param;  /* of later calls */
    egi_shape out;   /* rank -1: not given yet */
};

/** Fills `layer->config` and `trainable` from a Keras config object. Errors: FORMAT, UNSUPPORTED. */
EG_MUST_USE eg_status egi_layer_parse(const eg_model *model, egi_layer *layer, const json_t *config);

#endif
