/* Examples that mean nothing: for measuring how long a network takes. */
#include "core/rng.h"
#include "data/reader.h"

static void draw(egi_rng *rng, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = egi_rng_uniform(rng);
}

static eg_status fill(eg_dataset *d, const egi_shape *inputs, int n_inputs, const egi_shape *target, egi_rng *rng)
{
    for (int i = 0; i < n_inputs; i++) {
        EG_TRY(egi_fill_input(d, i, EGI_F32, &inputs[i]));
        draw(rng, d->x[i], d->n * egi_shape_count(&inputs[i]));
    }
    if (d->classes == 0) {
        EG_TRY(egi_fill_targets(d, target));
        draw(rng, d->targets, d->n * egi_shape_count(target));
        return EG_OK;
    }
    EG_TRY(egi_fill_labels(d));
    for (int64_t i = 0; i < d->n; i++)
        d->labels[i] = (int32_t)egi_rng_below(rng, (uint64_t)d->classes);
    return egi_dataset_number_classes(d);
}

eg_status egi_dataset_random(eg_dataset **out, eg_context *context, int64_t n, const egi_shape *inputs, int n_inputs,
                             int64_t classes, const egi_shape *target, uint64_t seed)
{
    eg_dataset *d;
    egi_rng rng = egi_rng_make(seed, EGI_RNG_TEST, 0);
    EG_TRY(egi_dataset_create(&d, context, "random", "random"));
    d->n = n;
    d->classes = classes;
    const eg_status status = fill(d, inputs, n_inputs, target, &rng);
    if (status != EG_OK) {
        eg_dataset_free(d);
        return status;
    }
    *out = d;
    return EG_OK;
}
