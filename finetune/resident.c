#include "finetune/resident.h"

#include "core/mirror.h"
#include "core/ops/ops.h"

static size_t bytes_of(const eg_dataset *d, int input)
{
    return (size_t)(d->n * egi_shape_count(&d->shape[input])) * egi_dtype_size(d->dtype[input]);
}

/* INT64_MAX: an index of 32 bits does not reach. */
static size_t all_bytes(const eg_model *model, const egi_source *sources, int64_t n)
{
    size_t bytes = 0;
    for (int64_t s = 0; s < n; s++) {
        if (sources[s].data->n > INT32_MAX)
            return INT64_MAX;
        for (int i = 0; i < model->n_inputs; i++)
            bytes += bytes_of(sources[s].data, i);
    }
    return bytes;
}

static eg_status fits(bool *out, const eg_model *model, const egi_source *sources, int64_t n, egi_resident_mode mode)
{
    egi_device *d = model->context->device;
    const size_t wanted = all_bytes(model, sources, n);
    size_t free_bytes;
    EG_TRY(d->type->free_bytes(d, &free_bytes));
    *out = wanted <= (mode == EGI_RESIDENT_ON ? free_bytes : free_bytes / 2);
    if (!*out && mode == EGI_RESIDENT_ON)
        return egi_fail(EG_ERR_NOMEM,
                        "finetune.resident: the training data takes %zu bytes, found %zu free; "
                        "finetune.resident=auto sends batches instead",
                        wanted, free_bytes);
    return EG_OK;
}

eg_status egi_resident_begin(bool *done, const eg_model *model, const egi_source *sources, int64_t n,
                             egi_resident_mode mode)
{
    eg_context *c = model->context;
    *done = false;
    if (mode == EGI_RESIDENT_OFF || !c->device->type->upload || model->dtype != EGI_F32)
        return EG_OK;
    EG_TRY(fits(done, model, sources, n, mode));
    eg_status status = EG_OK;
    for (int64_t s = 0; *done && s < n; s++)
        for (int i = 0; i < model->n_inputs && status == EG_OK; i++)
            status = egi_mirror_borrow(c, sources[s].data->x[i], bytes_of(sources[s].data, i));
    if (status != EG_OK)
        egi_resident_end(model, sources, n);
    return status;
}

void egi_resident_end(const eg_model *model, const egi_source *sources, int64_t n)
{
    for (int64_t s = 0; s < n; s++)
        for (int i = 0; i < model->n_inputs; i++)
            egi_mirror_return(model->context, sources[s].data->x[i]);
}

/* Input `i` of the batch, source by source: each leaves the rows that are not its own. */
static eg_status emit_input(egi_val *out, const egi_val *index, int i, const eg_model *model, egi_plan *p,
                            const egi_source *sources, int64_t n, egi_augment augment)
{
    const egi_shape *wanted = &model->tensors[model->inputs[i]];
    egi_picture picture;
    *out = EGI_NONE;
    for (int64_t s = 0; s < n; s++) {
        const eg_dataset *d = sources[s].data;
        egi_gather g = {.index = index[s], .base = *out};
        EG_TRY(egi_batch_gather(&g, d, i, sources[s].preprocess, wanted));
        if (egi_picture_of(&d->shape[i], wanted, &picture))
            g.augment = augment;
        g.x = egi_plan_bind(p, d->dtype[i], egi_shape_batched(d->n, &d->shape[i]), d->x[i]);
        g.y = *out = egi_temp(p, egi_shape_batched(p->batch, wanted));
        EG_TRY(egi_plan_emit(p, &egi_op_gather, &g));
    }
    return EG_OK;
}

eg_status egi_resident_emit(egi_val *inputs, egi_val *index, const eg_model *model, egi_plan *p,
                            const egi_source *sources, int64_t n, egi_augment augment)
{
    for (int64_t s = 0; s < n; s++)
        index[s] = egi_plan_input(p, EGI_I32, EGI_SHAPE(p->batch));
    for (int i = 0; i < model->n_inputs; i++)
        EG_TRY(emit_input(&inputs[i], index, i, model, p, sources, n, augment));
    return p->status;
}
