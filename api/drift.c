#include "core/model.h"

#include <math.h>

eg_status eg_model_drift(const eg_model *a, const eg_model *b, int64_t index, double *drift)
{
    if (index < 0 || index >= a->n_layers)
        return egi_fail(EG_ERR_ARG, "drift: layer %lld, the model has %lld", (long long)index, (long long)a->n_layers);
    const egi_layer *layer = &a->layers[index];
    const int other = egi_model_find_layer(b, layer->path);
    double moved = 0, size = 0;
    for (int64_t i = layer->first_param; i >= 0 && i < layer->first_param + layer->n_params; i++) {
        const int64_t k = other < 0 ? -1 : egi_model_find_param(b, other, a->params[i].name);
        if (k < 0 || !egi_shape_equal(&a->params[i].shape, &b->params[k].shape)) {
            *drift = NAN;
            return EG_OK;
        }
        const egi_tensor x = egi_param_view(a, i), y = egi_param_view(b, k);
        for (int64_t e = 0; e < a->params[i].count; e++) {
            const double d = egi_get(&y, e) - egi_get(&x, e);
            moved += d * d;
            size += egi_get(&x, e) * egi_get(&x, e);
        }
    }
    *drift = moved == 0 ? 0 : sqrt(moved / size);
    return EG_OK;
}
