#include "data/dataset.h"

eg_status eg_dataset_read(const eg_dataset *d, int input, int64_t first, int64_t count, float *y)
{
    if (input < 0 || input >= d->n_inputs || first < 0 || count < 0 || count > d->n - first)
        return egi_fail(EG_ERR_ARG, "data set '%s': examples %lld to %lld of input %d, it has %lld of %d inputs",
                        d->name, (long long)first, (long long)(first + count), input, (long long)d->n, d->n_inputs);
    const int64_t width = egi_shape_count(&d->shape[input]);
    for (int64_t at = 0; at < count;) {
        int64_t index[256], n = 0;
        for (; n < 256 && at + n < count; n++)
            index[n] = first + at + n;
        EG_TRY(egi_batch_fill(d, input, index, n, NULL, &d->shape[input], y + at * width));
        at += n;
    }
    return EG_OK;
}
