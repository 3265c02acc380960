#include "core/stage.h"

#include <string.h>

eg_status egi_plan_create(egi_plan **out, eg_context *context, int64_t batch, egi_dtype dtype, bool training)
{
    if (batch < 1 || (dtype != EGI_F32 && dtype != EGI_F64))
        return egi_fail(EG_ERR_ARG, "plan: batch %lld of %s", (long long)batch, egi_dtype_name(dtype));
    egi_plan *p;
    EG_TRY(egi_alloc(&p, context, 1, sizeof *p));
    *p = (egi_plan){.context = context,
                    .dtype = dtype,
                    .batch = batch,
                    .training = training,
                    .layer = -1,
                    .n_forward = -1,
                    .n_backward = -1,
                    .n_once = -1};
    if (egi_temp_of(p, dtype, EGI_SCALAR) != EGI_NONE || p->status != EG_OK) { /* takes index 0: EGI_NONE */
        const eg_status status = p->status;
        egi_plan_free(p);
        return status;
    }
    p->t[EGI_NONE] = (egi_tensor){0};
    *out = p;
    return EG_OK;
}

static void release_kernels(egi_plan *p)
{
    for (int i = 0; i < p->n_kernels; i++)
        if (p->kernels[i].destroy)
            p->kernels[i].destroy(p->context->device, &p->kernels[i]);
    egi_free(p->context, p->kernels);
    p->kernels = NULL;
    p->n_kernels = 0;
}

void egi_plan_free(egi_plan *p)
{
    if (!p)
        return;
    eg_context *c = p->context;
    egi_device *d = c->device;
    release_kernels(p);
    for (int64_t i = 0; i < p->n_nodes; i++)
        egi_free(c, p->nodes[i].args);
    egi_stage_release(p);
    d->type->release(d, p->workspace);
    d->type->release(d, p->scratch);
    egi_free(c, p->one);
    egi_free(c, p->times);
    egi_free(c, p->nodes);
    egi_free(c, p->values);
    egi_free(c, p->t);
    egi_free(c, p);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static egi_val new_value(egi_plan *p, egi_value_kind kind, egi_dtype dtype, egi_shape shape)
{
    if (p->status == EG_OK)
        p->status = egi_shape_check(&shape, "value");
    if (p->status == EG_OK)
        p->status = EGI_RESERVE(p->context, p->values, p->n_values, p->values_capacity);
    if (p->status == EG_OK)
        p->status = EGI_RESERVE(p->context, p->t, p->n_values, p->tensors_capacity);
    if (p->status != EG_OK)
        return EGI_NONE;
    const egi_val v = (egi_val)p->n_values++;
    p->values[v] = (egi_value){.kind = kind};
    p->t[v] = (egi_tensor){.dtype = dtype, .shape = shape};
    return v;
}

egi_val egi_temp(egi_plan *p, egi_shape shape)
{
    return new_value(p, EGI_VAL_TEMP, p->dtype, shape);
}

egi_val egi_temp_of(egi_plan *p, egi_dtype dtype, egi_shape shape)
{
    return new_value(p, EGI_VAL_TEMP, dtype, shape);
}

egi_val egi_temp_like(egi_plan *p, egi_val v)
{
    const egi_tensor t = p->t[v];
    return new_value(p, EGI_VAL_TEMP, t.dtype, t.shape);
}

egi_val egi_plan_input(egi_plan *p, egi_dtype dtype, egi_shape shape)
{
    return new_value(p, EGI_VAL_KEPT, dtype, shape);
}

egi_val egi_plan_bind(egi_plan *p, egi_dtype dtype, egi_shape shape, void *data)
{
    const egi_val v = new_value(p, EGI_VAL_BOUND, dtype, shape);
    if (v != EGI_NONE)
        p->t[v].data = data;
    return v;
}

egi_val egi_alias(egi_plan *p, egi_val of, egi_shape shape)
{
    if (of == EGI_NONE)
        return EGI_NONE;
    const egi_value source = p->values[of];
    if (p->status == EG_OK && egi_shape_count(&shape) != egi_shape_count(&p->t[of].shape))
        p->status = egi_fail(EG_ERR_SHAPE, "reshape: %s does not hold as many elements as %s",
                             egi_shape_format(&shape).s, egi_shape_format(&p->t[of].shape).s);
    const egi_val v = new_value(p, source.kind, p->t[of].dtype, shape);
    if (v != EGI_NONE) {
        p->values[v].alias_of = source.alias_of ? source.alias_of : of;
        p->values[v].requires_grad = source.requires_grad;
        p->t[v].data = p->t[of].data;
    }
    return v;
}

egi_val egi_root(const egi_plan *p, egi_val v)
{
    return p->values[v].alias_of ? p->values[v].alias_of : v;
}

void egi_plan_keep(egi_plan *p, egi_val v)
{
    const egi_val root = egi_root(p, v);
    if (root != EGI_NONE && p->values[root].kind == EGI_VAL_TEMP)
        p->values[root].kind = EGI_VAL_KEPT;
}

void egi_plan_leaf(egi_plan *p, egi_val v, egi_val grad)
{
    p->values[v].requires_grad = v != EGI_NONE;
    p->values[v].grad = grad;
}

const egi_shape *egi_shape_of(const egi_plan *p, egi_val v)
{
    return &p->t[v].shape;
}

egi_dtype egi_dtype_of(const egi_plan *p, egi_val v)
{
    return p->t[v].dtype;
}

/* --- emitting ----------------------------------------------------------------------------------------------------- */

static bool any_input_requires_grad(const egi_plan *p, const egi_op *op, const void *args)
{
    for (int i = 0; op->in[i]; i++) {
        const egi_val v = egi_arg(args, op->in[i]);
        if (v != EGI_NONE && p->values[egi_root(p, v)].requires_grad)
            return true;
    }
    return false;
}

static void mark_outputs(egi_plan *p, const egi_op *op, const void *args)
{
    if (!op->grad || !any_input_requires_grad(p, op, args))
        return;
    for (int i = 0; op->out[i]; i++) {
        const egi_val v = egi_arg(args, op->out[i]);
        if (v != EGI_NONE && p->values[egi_root(p, v)].kind != EGI_VAL_BOUND) {
            p->values[v].requires_grad = true;
            p->values[egi_root(p, v)].requires_grad = true;
        }
    }
}

eg_status egi_plan_emit(egi_plan *p, const egi_op *op, const void *args)
{
    if (p->status != EG_OK)
        return p->status;
    p->status = op->check ? op->check(p, args) : EG_OK;
    if (p->status != EG_OK)
        return p->status = egi_fail_prefix(p->status, "%s", op->name);
    p->status = EGI_RESERVE(p->context, p->nodes, p->n_nodes, p->nodes_capacity);
    void *copy = NULL;
    if (p->status == EG_OK)
        p->status = egi_alloc(&copy, p->context, 1, op->size);
    if (p->status != EG_OK)
        return p->status;
    memcpy(copy, args, op->size);
    p->nodes[p->n_nodes++] = (egi_node){.op = op, .args = copy, .layer = p->layer};
    mark_outputs(p, op, copy);
    return EG_OK;
}

egi_node *egi_plan_producer(const egi_plan *p, egi_val v)
{
    const egi_val root = egi_root(p, v);
    for (int64_t i = p->n_nodes - 1; i >= 0; i--) {
        egi_node *node = &p->nodes[i];
        for (int k = 0; !node->dead && node->op->out[k]; k++) {
            const egi_val out = egi_arg(node->args, node->op->out[k]);
            if (out != EGI_NONE && egi_root(p, out) == root)
                return node;
        }
    }
    return NULL;
}

int egi_plan_uses(const egi_plan *p, egi_val v)
{
    const egi_val root = egi_root(p, v);
    int n = 0;
    for (int64_t i = 0; i < p->n_nodes; i++)
        for (int k = 0; !p->nodes[i].dead && p->nodes[i].op->in[k]; k++) {
            const egi_val in = egi_arg(p->nodes[i].args, p->nodes[i].op->in[k]);
            n += in != EGI_NONE && egi_root(p, in) == root;
        }
    return n;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

void *egi_plan_data(const egi_plan *p, egi_val v)
{
    return p->t[v].data;
}

eg_status egi_plan_refill(egi_plan *p)
{
    return p->inlet ? egi_stage_refill(p) : EG_OK;
}

void egi_plan_point(egi_plan *p, egi_val v, const void *data)
{
    for (egi_val u = v; u < p->n_values; u++)
        if (egi_root(p, u) == v)
            p->t[u].data = (void *)(uintptr_t)data; /* no operation writes to an input */
}

static eg_status run_range(egi_plan *p, int from, int to, const egi_control *control)
{
    egi_device *d = p->context->device;
    EG_TRY(egi_stage_in(p, from > 0));
    EG_TRY(d->type->run(d, p->kernels + from, to - from, control));
    return egi_stage_out(p);
}

eg_status egi_plan_run(egi_plan *p, const egi_control *control)
{
    return run_range(p, 0, p->n_kernels, control);
}

eg_status egi_plan_run_forward(egi_plan *p, const egi_control *control)
{
    return run_range(p, 0, p->n_forward_kernels, control);
}

eg_status egi_plan_run_backward(egi_plan *p, const egi_control *control)
{
    return run_range(p, p->n_forward_kernels, p->n_kernels, control);
}
