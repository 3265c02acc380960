/* Asking a model, and predicting with it. */
#include "checkpoints/keras_source.h"
#include "finetune/eval.h"
#include "finetune/memory.h"
#include "finetune/tasks.h"

#include <stdio.h>
#include <string.h>

/* What is kept from call to call. Predicting at one batch size after another compiles again only when the size changes.
 */
typedef struct cache {
    eg_context *context;
    egi_plan *plan; /* NULL: not yet */
    egi_model_io io;
    void *own[16]; /* the plan's memory for each input */
    char preprocess[192], memory[512];
} cache;

static void drop_plan(cache *c)
{
    egi_plan_free(c->plan);
    egi_free(c->context, c->io.params);
    c->plan = NULL;
    c->io = (egi_model_io){0};
}

static void cache_free(eg_context *context, void *block)
{
    drop_plan(block);
    egi_free(context, block);
}

/* NULL: no memory. */
static cache *cache_of(const eg_model *model)
{
    eg_model *m = (eg_model *)(uintptr_t)model; /* not part of what the model is */
    if (m->cache)
        return m->cache;
    cache *c;
    if (egi_alloc(&c, m->context, 1, sizeof *c) != EG_OK)
        return NULL;
    c->context = m->context;
    m->cache = c;
    m->cache_free = cache_free;
    return c;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void count_parameters(const eg_model *model, eg_model_info *info)
{
    for (int64_t i = 0; i < model->n_params; i++) {
        info->parameters += model->params[i].count;
        if (!model->params[i].state && model->layers[model->params[i].layer].trainable)
            info->trainable_parameters += model->params[i].count;
    }
}

static void describe_preprocess(const eg_model *model, char *text, size_t room)
{
    const char *said = json_string_value(json_object_get(model->meta, "preprocess"));
    egi_preprocess p;
    text[0] = 0;
    if (said && egi_preprocess_parse(&p, said) == EG_OK)
        egi_preprocess_print(&p, text, room);
}

void eg_model_get_info(const eg_model *model, eg_model_info *out)
{
    *out = (eg_model_info){.name = model->name,
                           .keras_major = model->keras_major,
                           .layers = model->n_layers,
                           .inputs = model->n_inputs,
                           .outputs = model->n_outputs,
                           .classes = egi_output_rows(model, 0),
                           .report = model->report,
                           .preprocess = "",
                           .preprocess_reason = "",
                           .memory = "",
                           .memory_examples = egi_memory_examples(model)};
    egi_keras_info(model, out);
    count_parameters(model, out);
    cache *c = cache_of(model);
    if (!c)
        return;
    describe_preprocess(model, c->preprocess, sizeof c->preprocess);
    egi_memory_describe(model, c->memory, sizeof c->memory);
    out->preprocess = c->preprocess;
    out->memory = c->memory;
    const char *reason = json_string_value(json_object_get(model->meta, "preprocess_reason"));
    if (*c->preprocess)
        out->preprocess_reason = reason ? reason : "from the file";
}

static const egi_shape *layer_shape(const eg_model *model, int layer)
{
    for (int64_t i = 0; i < model->n_calls; i++)
        if (model->calls[i].layer == layer)
            return &model->tensors[model->calls[i].out];
    return NULL;
}

static int copy_shape(const egi_shape *shape, int64_t *out)
{
    for (int i = 0; shape && i < shape->rank; i++)
        out[i] = shape->dim[i];
    return shape ? shape->rank : 0;
}

eg_status eg_model_get_layer(const eg_model *model, int64_t index, eg_layer_info *out)
{
    if (index < 0 || index >= model->n_layers)
        return egi_fail(EG_ERR_ARG, "layer %lld: the model has %lld", (long long)index, (long long)model->n_layers);
    const egi_layer *l = &model->layers[index];
    *out = (eg_layer_info){.name = l->path, .class_name = l->type->keras, .trainable = l->trainable};
    for (int64_t i = 0; i < model->n_params; i++)
        if (model->params[i].layer == index)
            out->parameters += model->params[i].count;
    out->rank = copy_shape(layer_shape(model, (int)index), out->shape);
    return EG_OK;
}

int eg_model_input_shape(const eg_model *model, int index, int64_t *shape)
{
    return index < 0 || index >= model->n_inputs ? 0 : copy_shape(&model->tensors[model->inputs[index]], shape);
}

int eg_model_output_shape(const eg_model *model, int index, int64_t *shape)
{
    return index < 0 || index >= model->n_outputs ? 0 : copy_shape(&model->tensors[model->outputs[index]], shape);
}

const char *eg_model_class_name(const eg_model *model, int64_t index)
{
    if (index < 0)
        return NULL;
    return json_string_value(json_array_get(json_object_get(model->meta, "classes"), (size_t)index));
}

/* --- predicting --------------------------------------------------------------------------------------------------- */

static eg_status build(egi_plan **plan, egi_model_io *io, const eg_model *model, int64_t batch, bool training,
                       void *grads)
{
    EG_TRY(egi_plan_create(plan, model->context, batch, model->dtype, training));
    EG_TRY(egi_model_emit(model, *plan, grads, NULL, io));
    return egi_plan_fuse(*plan);
}

static eg_status prepare(cache *c, const eg_model *model, int64_t batch)
{
    if (c->plan && c->plan->batch == batch)
        return EG_OK;
    drop_plan(c);
    eg_status status = build(&c->plan, &c->io, model, batch, false, NULL);
    if (status == EG_OK)
        status = egi_plan_compile(c->plan);
    for (int i = 0; status == EG_OK && i < model->n_inputs; i++)
        c->own[i] = egi_plan_data(c->plan, c->io.in[i]);
    if (status != EG_OK)
        drop_plan(c);
    return status;
}

/* Rows between the caller's floats and a value of the plan, which is f32 but in tests. A whole batch is read where it
 * lies. */
static void put_rows(cache *c, int input, const float *from, int64_t count)
{
    egi_tensor t = c->plan->t[c->io.in[input]];
    const bool f32 = t.dtype == EGI_F32, whole = f32 && count == egi_count(&t);
    t.data = c->own[input];
    egi_plan_point(c->plan, c->io.in[input], whole ? (const void *)from : t.data);
    if (f32 && !whole)
        memcpy(t.data, from, (size_t)count * sizeof *from);
    for (int64_t i = 0; !f32 && i < count; i++)
        egi_set(&t, i, from[i]);
}

static void get_rows(const egi_tensor *t, float *to, int64_t count)
{
    if (t->dtype == EGI_F32)
        memcpy(to, t->data, (size_t)count * sizeof *to);
    for (int64_t i = 0; t->dtype != EGI_F32 && i < count; i++)
        to[i] = (float)egi_get(t, i);
}

static egi_tensor value_of(const egi_plan *plan, egi_val v)
{
    egi_tensor t = plan->t[v];
    t.data = egi_plan_data(plan, v);
    return t;
}

static eg_status predict_rows(cache *c, const eg_model *model, const float *const *x, int64_t at, int64_t n,
                              float *const *y)
{
    for (int i = 0; i < model->n_inputs; i++) {
        const int64_t count = egi_shape_count(&model->tensors[model->inputs[i]]);
        put_rows(c, i, x[i] + at * count, n * count);
    }
    const egi_control control = {.weights_version = 1}; /* whoever changes weights drops the plan */
    EG_TRY(egi_plan_run(c->plan, &control));
    for (int i = 0; i < model->n_outputs; i++) {
        const int64_t count = egi_shape_count(&model->tensors[model->outputs[i]]);
        const egi_tensor t = value_of(c->plan, c->io.out[i]);
        get_rows(&t, y[i] + at * count, n * count);
    }
    return EG_OK;
}

static eg_status check_predict(const eg_model *model, const float *const *x, int64_t n, float *const *y)
{
    if (!model || !x || !y || n < 0)
        return egi_fail(EG_ERR_ARG, "prediction: the model, x or y is NULL, or n is negative");
    for (int i = 0; i < model->n_inputs; i++)
        if (!x[i] && n > 0)
            return egi_fail(EG_ERR_ARG, "prediction: x[%d] is NULL", i);
    for (int i = 0; i < model->n_outputs; i++)
        if (!y[i] && n > 0)
            return egi_fail(EG_ERR_ARG, "prediction: y[%d] is NULL", i);
    return EG_OK;
}

eg_status eg_model_predict(eg_model *model, const float *const *x, int64_t n, float *const *y)
{
    EG_TRY(check_predict(model, x, n, y));
    cache *c = cache_of(model);
    if (!c)
        return EG_ERR_NOMEM;
    const int64_t most = egi_eval_batch(model, 0), batch = n < most ? n : most;
    for (int64_t at = 0; at < n; at += batch) {
        const int64_t rows = n - at < batch ? n - at : batch;
        EG_TRY(prepare(c, model, batch));
        EG_TRY(predict_rows(c, model, x, at, rows, y));
    }
    return EG_OK;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* A training plan's backward pass begins at the outputs with gradients of the outputs' shape, as a loss would give
 * them. */
static eg_status emit_backward(egi_plan *plan, const egi_model_io *io)
{
    egi_val logits;
    egi_act head;
    EG_TRY(egi_plan_logits(plan, io->out[0], &logits, &head));
    return egi_plan_backward_from(plan, logits, egi_plan_input(plan, plan->dtype, *egi_shape_of(plan, logits)), false);
}

static eg_status measure(int64_t *bytes, egi_plan **plan, egi_model_io *io, const eg_model *model, int64_t batch,
                         bool training, void *grads)
{
    EG_TRY(build(plan, io, model, batch, training, grads));
    if (training)
        EG_TRY(emit_backward(*plan, io));
    EG_TRY(egi_plan_compile(*plan));
    const int64_t arenas =
        training ? 3 * model->arena_count * (int64_t)egi_dtype_size(model->dtype) : 0; /* gradients and two moments */
    *bytes = (int64_t)((*plan)->workspace_bytes + (*plan)->scratch_bytes) + arenas;
    return EG_OK;
}

eg_status eg_model_plan_bytes(eg_model *model, int64_t batch, bool training, int64_t *bytes)
{
    if (!model || !bytes || batch < 1)
        return egi_fail(EG_ERR_ARG, "plan: the model or bytes is NULL, or the batch is below 1");
    egi_plan *plan = NULL;
    egi_model_io io = {0};
    void *grads = NULL;
    eg_status status = training ? egi_model_arena(&grads, model) : EG_OK;
    if (status == EG_OK)
        status = measure(bytes, &plan, &io, model, batch, training, grads);
    egi_plan_free(plan);
    egi_free(model->context, io.params);
    egi_free(model->context, grads);
    return status;
}
