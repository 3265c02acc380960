/* A model's forward pass, emitted into a plan. */
#include "core/builder.h"
#include "core/ops/pointwise.h"

#include <string.h>

struct egi_emit {
    egi_plan *plan;
    const eg_model *model;
    const egi_call *call;
    const egi_val *tensors; /* values of the model's tensors so far */
    const egi_val *params;
    uint32_t stream;
    egi_val out;
};

egi_plan *egi_emit_plan(const egi_emit *e)
{
    return e->plan;
}

egi_val egi_in(const egi_emit *e, int i)
{
    return e->tensors[e->call->in[i]];
}

int egi_emit_in_count(const egi_emit *e)
{
    return e->call->n_in;
}

egi_val egi_out(egi_emit *e)
{
    if (e->out == EGI_NONE)
        e->out = egi_temp(e->plan, egi_shape_batched(e->plan->batch, &e->model->tensors[e->call->out]));
    return e->out;
}

void egi_out_is(egi_emit *e, egi_val v)
{
    e->out = v;
}

egi_val egi_weight(const egi_emit *e, const char *name)
{
    const int64_t i = egi_model_find_param(e->model, e->call->layer, name);
    return i < 0 ? EGI_NONE : e->params[i];
}

bool egi_emit_training(const egi_emit *e)
{
    return e->plan->training && e->call->training != 0;
}

bool egi_emit_batch_statistics(const egi_emit *e)
{
    const egi_layer *l = &e->model->layers[e->call->layer];
    return egi_emit_training(e) && !e->model->batchnorm_frozen && !l->frozen && l->trainable;
}

uint32_t egi_emit_stream(egi_emit *e)
{
    return e->stream++;
}

int egi_emit_keras(const egi_emit *e)
{
    return e->model->keras_major;
}

eg_status egi_emit_act(egi_emit *e, egi_act act, egi_val x)
{
    egi_plan *p = e->plan;
    if (act == EGI_ACT_LINEAR) {
        egi_out_is(e, x);
        return p->status;
    }
    if (act == EGI_ACT_SOFTMAX)
        return EGI_EMIT(p, softmax, .x = x, .y = egi_out(e));
    return EGI_EMIT(p, activation, .x = x, .y = egi_out(e), .act = act, .alpha = (float)egi_act_default_alpha(act),
                    .max_value = -1);
}

static bool is_trained(const eg_model *m, const egi_param *param)
{
    const egi_layer *l = &m->layers[param->layer];
    return !param->state && !param->frozen && !l->frozen;
}

static egi_val bind(egi_plan *p, const eg_model *m, const egi_param *param, void *arena)
{
    const size_t offset = (size_t)param->offset * egi_dtype_size(m->dtype);
    return egi_plan_bind(p, m->dtype, param->shape, (char *)arena + offset);
}

static void bind_params(const eg_model *m, egi_plan *p, void *grads, void *squares, egi_val *params)
{
    for (int64_t i = 0; i < m->n_params; i++) {
        const egi_param *param = &m->params[i];
        params[i] = bind(p, m, param, m->weights);
        if (!is_trained(m, param) || p->status != EG_OK)
            continue;
        if (grads)
            egi_plan_leaf(p, params[i], bind(p, m, param, grads));
        if (squares && p->status == EG_OK) {
            const egi_val square = bind(p, m, param, squares);
            p->values[params[i]].requires_grad = true;
            p->values[params[i]].square = square;
        }
    }
}

static eg_status emit_calls(const eg_model *m, egi_plan *p, const egi_val *params, egi_val *tensors)
{
    uint32_t stream = 0;
    for (int64_t i = 0; i < m->n_calls && p->status == EG_OK; i++) {
        const egi_call *call = &m->calls[i];
        const egi_layer *l = &m->layers[call->layer];
        egi_emit e = {.plan = p, .model = m, .call = call, .tensors = tensors, .params = params, .stream = stream};
        p->layer = (int)i;
        const eg_status status = l->type->emit(&e, l->config);
        if (p->status == EG_OK)
            p->status = status;
        if (p->status != EG_OK)
            return egi_fail_prefix(p->status, "layer '%s'", l->path);
        tensors[call->out] = e.out;
        stream = e.stream;
    }
    p->layer = -1;
    return p->status;
}

eg_status egi_model_emit(const eg_model *m, egi_plan *p, void *grads, void *squares, egi_model_io *io)
{
    return egi_model_emit_from(m, p, NULL, grads, squares, io);
}

eg_status egi_model_emit_from(const eg_model *m, egi_plan *p, const egi_val *inputs, void *grads, void *squares,
                              egi_model_io *io)
{
    if (m->dtype != p->dtype)
        return egi_fail(EG_ERR_DTYPE, "model holds %s, the plan computes %s", egi_dtype_name(m->dtype),
                        egi_dtype_name(p->dtype));
    egi_val *tensors, *params = NULL;
    p->want_grad = grads || squares;
    EG_TRY(egi_alloc(&tensors, m->context, m->n_tensors, sizeof *tensors));
    eg_status status = egi_alloc(&params, m->context, m->n_params, sizeof *params);
    if (status == EG_OK) {
        bind_params(m, p, grads, squares, params);
        for (int i = 0; i < m->n_inputs; i++)
            io->in[i] = tensors[m->inputs[i]] =
                inputs ? inputs[i]
                       : egi_plan_input(p, p->dtype, egi_shape_batched(p->batch, &m->tensors[m->inputs[i]]));
        status = emit_calls(m, p, params, tensors);
    }
    for (int i = 0; i < m->n_outputs && status == EG_OK; i++) {
        io->out[i] = tensors[m->outputs[i]];
        egi_plan_keep(p, io->out[i]);
    }
    egi_free(m->context, tensors);
    io->params = status == EG_OK ? params : NULL;
    if (status != EG_OK)
        egi_free(m->context, params);
    return status;
}
