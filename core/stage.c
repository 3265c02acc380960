/* Plans on a device with memory of its own: `t` is what the host sees, `kt` what the kernels see. Inputs and memory of
 * others go over before a run, what is kept comes back after it; temporaries have no place at the host. */
#include "core/stage.h"

#include "core/mirror.h"

static bool is_separate(const egi_plan *p)
{
    return p->context->device->type->upload != NULL;
}

static size_t bytes_of(const egi_plan *p, egi_val v)
{
    return (size_t)egi_count(&p->t[v]) * egi_dtype_size(p->t[v].dtype);
}

/* Which values live operations read and write. */
static void mark_use(egi_plan *p)
{
    for (int64_t i = 0; i < p->n_nodes; i++) {
        const egi_node *node = &p->nodes[i];
        for (int k = 0; !node->dead && node->op->in[k]; k++)
            p->stage[egi_root(p, egi_arg(node->args, node->op->in[k]))].read = true;
        for (int k = 0; !node->dead && node->op->out[k]; k++)
            p->stage[egi_root(p, egi_arg(node->args, node->op->out[k]))].written = true;
    }
}

/* Memory of somebody else: part of a mirrored arena, or an array that this plan alone keeps a copy of. */
static eg_status stage_bound(egi_plan *p, egi_val v)
{
    egi_device *d = p->context->device;
    egi_stage *s = &p->stage[v];
    egi_mirror *m = egi_mirror_find(p->context, p->t[v].data);
    if (!s->read && !s->written)
        return EG_OK;
    if (m) {
        s->mirror = m;
        EG_TRY(egi_mirror_upload(p->context, m));
        p->kt[v].data = (char *)m->device + ((char *)p->t[v].data - m->host);
        return EG_OK;
    }
    EG_TRY(d->type->alloc(d, &s->device, bytes_of(p, v)));
    p->kt[v].data = s->device;
    return EG_OK;
}

static eg_status stage_value(egi_plan *p, egi_val v)
{
    if (p->values[v].kind == EGI_VAL_BOUND)
        return stage_bound(p, v);
    p->kt[v].data = p->t[v].data;
    p->t[v].data = NULL;
    if (p->values[v].kind != EGI_VAL_KEPT)
        return EG_OK;
    EG_TRY(egi_alloc(&p->stage[v].host, p->context, egi_count(&p->t[v]), egi_dtype_size(p->t[v].dtype)));
    p->t[v].data = p->stage[v].host;
    return EG_OK;
}

eg_status egi_stage_make(egi_plan *p)
{
    p->kt = p->t;
    if (!is_separate(p))
        return EG_OK;
    EG_TRY(egi_alloc(&p->stage, p->context, p->n_values, sizeof *p->stage));
    p->kt = NULL;
    EG_TRY(egi_alloc(&p->kt, p->context, p->n_values, sizeof *p->kt));
    for (egi_val v = 0; v < p->n_values; v++)
        p->kt[v] = (egi_tensor){.dtype = p->t[v].dtype, .shape = p->t[v].shape};
    mark_use(p);
    for (egi_val v = 1; v < p->n_values; v++)
        if (!p->values[v].alias_of)
            EG_TRY(stage_value(p, v));
    for (egi_val v = 1; v < p->n_values; v++)
        if (p->values[v].alias_of) {
            p->kt[v].data = p->kt[p->values[v].alias_of].data;
            p->t[v].data = p->t[p->values[v].alias_of].data;
        }
    return EG_OK;
}

void egi_stage_release(egi_plan *p)
{
    egi_device *d = p->context->device;
    for (egi_val v = 0; p->stage && v < p->n_values; v++) {
        egi_free(p->context, p->stage[v].host);
        d->type->release(d, p->stage[v].device);
    }
    egi_free(p->context, p->stage);
    if (p->kt != p->t)
        egi_free(p->context, p->kt);
    p->stage = NULL;
    p->kt = NULL;
}

static bool comes_from_host(const egi_plan *p, egi_val v)
{
    const egi_stage *s = &p->stage[v];
    return s->device || (s->host && s->read && !s->written);
}

eg_status egi_stage_in(egi_plan *p)
{
    egi_device *d = p->context->device;
    for (egi_val v = 1; p->stage && v < p->n_values; v++) {
        if (p->stage[v].mirror)
            EG_TRY(egi_mirror_upload(p->context, p->stage[v].mirror));
        else if (comes_from_host(p, v))
            EG_TRY(d->type->upload(d, p->kt[v].data, p->t[v].data, bytes_of(p, v)));
    }
    return EG_OK;
}

eg_status egi_stage_out(egi_plan *p)
{
    egi_device *d = p->context->device;
    for (egi_val v = 1; p->stage && v < p->n_values; v++) {
        if (!p->stage[v].written || p->values[v].alias_of)
            continue;
        if (p->stage[v].mirror)
            p->stage[v].mirror->newer = EGI_NEWER_DEVICE;
        else if (p->t[v].data)
            EG_TRY(d->type->download(d, p->t[v].data, p->kt[v].data, bytes_of(p, v)));
    }
    return EG_OK;
}
