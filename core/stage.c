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

/* How live operations use a value. */
enum { READ_FIRST = 1, READ_AGAIN = 2, WRITTEN = 4 };

static void mark_use(const egi_plan *p, uint8_t *use)
{
    for (int64_t i = 0; i < p->n_nodes; i++) {
        const egi_node *node = &p->nodes[i];
        const uint8_t read = p->n_once >= 0 && i >= p->n_once ? READ_AGAIN : READ_FIRST;
        for (int k = 0; !node->dead && node->op->in[k]; k++)
            use[egi_root(p, egi_arg(node->args, node->op->in[k]))] |= read;
        for (int k = 0; !node->dead && node->op->out[k]; k++)
            use[egi_root(p, egi_arg(node->args, node->op->out[k]))] |= WRITTEN;
    }
}

/* Memory of somebody else: part of a mirrored arena, or an array that this plan alone keeps a copy of. */
static eg_status stage_bound(egi_plan *p, egi_stage *s, uint8_t use)
{
    egi_device *d = p->context->device;
    s->in = true;
    s->again = !(use & READ_FIRST);
    s->out = use & WRITTEN;
    s->mirror = egi_mirror_find(p->context, p->t[s->v].data);
    if (!s->mirror) {
        EG_TRY(d->type->alloc(d, &s->device, bytes_of(p, s->v)));
        p->kt[s->v].data = s->device;
        return EG_OK;
    }
    EG_TRY(egi_mirror_upload(p->context, s->mirror));
    p->kt[s->v].data = (char *)s->mirror->device + ((char *)p->t[s->v].data - s->mirror->host);
    return EG_OK;
}

/* What the forward part has read was filled before it, and need not go over again. */
static eg_status stage_kept(egi_plan *p, egi_stage *s, uint8_t use)
{
    s->out = use & WRITTEN;
    s->in = !s->out && use;
    s->again = s->in && !(use & READ_FIRST);
    if (!s->out)
        return EG_OK; /* its place is in the inlet */
    EG_TRY(egi_alloc(&s->host, p->context, egi_count(&p->t[s->v]), egi_dtype_size(p->t[s->v].dtype)));
    p->t[s->v].data = s->host;
    return EG_OK;
}

static eg_status stage_value(egi_plan *p, egi_val v, uint8_t use)
{
    const egi_value_kind kind = p->values[v].kind;
    egi_stage *s = &p->stage[p->n_stage];
    if (kind != EGI_VAL_BOUND) {
        p->kt[v].data = p->t[v].data;
        p->t[v].data = NULL;
    }
    if (kind == EGI_VAL_TEMP || (kind == EGI_VAL_BOUND && !use))
        return EG_OK;
    s->v = v;
    p->n_stage++;
    return kind == EGI_VAL_BOUND ? stage_bound(p, s, use) : stage_kept(p, s, use);
}

static eg_status stage_values(egi_plan *p, uint8_t *use)
{
    mark_use(p, use);
    for (egi_val v = 1; v < p->n_values; v++)
        if (!p->values[v].alias_of)
            EG_TRY(stage_value(p, v, use[v]));
    for (egi_val v = 1; v < p->n_values; v++)
        if (p->values[v].alias_of) {
            p->kt[v].data = p->kt[p->values[v].alias_of].data;
            p->t[v].data = p->t[p->values[v].alias_of].data;
        }
    return EG_OK;
}

static bool is_input(const egi_plan *p, egi_val v)
{
    const egi_value *root = &p->values[egi_root(p, v)];
    return v != EGI_NONE && root->kind == EGI_VAL_KEPT && !root->written;
}

/* Inputs lie at the workspace's beginning: how far, and which. */
static size_t list_inputs(egi_plan *p)
{
    size_t bytes = 0;
    for (egi_val v = 1; v < p->n_values; v++) {
        if (!is_input(p, v))
            continue;
        const size_t end = (size_t)((char *)p->kt[v].data - (char *)p->workspace) + bytes_of(p, v);
        p->inlet_value[p->n_inlet++] = v;
        bytes = end > bytes ? end : bytes;
    }
    return bytes;
}

static eg_status make_inlet(egi_plan *p)
{
    egi_device *d = p->context->device;
    EG_TRY(egi_alloc(&p->inlet_value, p->context, p->n_values, sizeof *p->inlet_value));
    const size_t bytes = list_inputs(p);
    if (p->n_inlet == 0)
        return EG_OK;
    EG_TRY(d->type->inlet->create(&p->inlet, d, p->workspace, bytes));
    EG_TRY(egi_stage_refill(p));
    p->refilled = false;
    return EG_OK;
}

eg_status egi_stage_refill(egi_plan *p)
{
    void *host;
    EG_TRY(p->context->device->type->inlet->turn(p->inlet, &host));
    for (int64_t i = 0; i < p->n_inlet; i++) {
        const egi_val v = p->inlet_value[i];
        p->t[v].data = (char *)host + ((char *)p->kt[v].data - (char *)p->workspace);
    }
    p->refilled = true;
    return EG_OK;
}

eg_status egi_stage_make(egi_plan *p)
{
    uint8_t *use;
    egi_tensor *kt;
    p->kt = p->t;
    if (!is_separate(p))
        return EG_OK;
    EG_TRY(egi_alloc(&kt, p->context, p->n_values, sizeof *kt));
    p->kt = kt;
    for (egi_val v = 0; v < p->n_values; v++)
        p->kt[v] = (egi_tensor){.dtype = p->t[v].dtype, .shape = p->t[v].shape};
    EG_TRY(egi_alloc(&p->stage, p->context, p->n_values, sizeof *p->stage));
    EG_TRY(egi_alloc(&use, p->context, p->n_values, sizeof *use));
    const eg_status status = stage_values(p, use);
    egi_free(p->context, use);
    return status == EG_OK ? make_inlet(p) : status;
}

void egi_stage_release(egi_plan *p)
{
    egi_device *d = p->context->device;
    for (int64_t i = 0; i < p->n_stage; i++) {
        egi_free(p->context, p->stage[i].host);
        d->type->release(d, p->stage[i].device);
    }
    if (p->inlet)
        d->type->inlet->release(p->inlet);
    egi_free(p->context, p->inlet_value);
    egi_free(p->context, p->stage);
    p->inlet = NULL;
    p->inlet_value = NULL;
    p->n_inlet = 0;
    if (p->kt != p->t)
        egi_free(p->context, p->kt);
    p->stage = NULL;
    p->kt = NULL;
    p->n_stage = 0;
}

static eg_status stage_in(egi_plan *p, const egi_stage *s, bool again, bool sent)
{
    egi_device *d = p->context->device;
    if (s->mirror)
        return egi_mirror_upload(p->context, s->mirror);
    if (!(again ? s->again : s->in) || (sent && is_input(p, s->v)))
        return EG_OK;
    return d->type->upload(d, p->kt[s->v].data, p->t[s->v].data, bytes_of(p, s->v));
}

eg_status egi_stage_in(egi_plan *p, bool again)
{
    const bool send = p->refilled && !again;
    for (int64_t i = 0; i < p->n_stage; i++)
        EG_TRY(stage_in(p, &p->stage[i], again, send));
    if (!send)
        return EG_OK;
    p->refilled = false;
    return p->context->device->type->inlet->send(p->inlet);
}

eg_status egi_stage_out(egi_plan *p)
{
    egi_device *d = p->context->device;
    for (int64_t i = 0; i < p->n_stage; i++) {
        const egi_stage *s = &p->stage[i];
        if (s->out && s->mirror)
            s->mirror->newer = EGI_NEWER_DEVICE;
        else if (s->out)
            EG_TRY(d->type->download(d, p->t[s->v].data, p->kt[s->v].data, bytes_of(p, s->v)));
    }
    return EG_OK;
}
