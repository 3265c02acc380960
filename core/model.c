#include "core/model.h"

#include "core/builder.h"
#include "core/mirror.h"
#include "core/rng.h"

#include <math.h>
#include <string.h>

eg_status egi_model_create(eg_model **out, eg_context *context, egi_dtype dtype, int keras_major)
{
    eg_model *m;
    EG_TRY(egi_alloc(&m, context, 1, sizeof *m));
    m->context = context;
    m->dtype = dtype;
    m->keras_major = keras_major;
    m->meta = json_object();
    eg_status status = m->meta ? egi_strdup(&m->name, context, "model") : egi_fail(EG_ERR_NOMEM, "model: no memory");
    if (status != EG_OK) {
        eg_model_free(m);
        return status;
    }
    *out = m;
    return EG_OK;
}

static void release_layers(eg_model *m)
{
    for (int64_t i = 0; i < m->n_layers; i++) {
        egi_free(m->context, m->layers[i].name);
        egi_free(m->context, m->layers[i].path);
        egi_free(m->context, m->layers[i].config);
    }
    for (int64_t i = 0; i < m->n_params; i++) {
        egi_free(m->context, m->params[i].name);
        egi_free(m->context, m->params[i].path);
    }
    egi_free(m->context, m->layers);
    egi_free(m->context, m->params);
    egi_free(m->context, m->calls);
    egi_free(m->context, m->tensors);
    egi_free(m->context, m->weights);
}

void egi_model_drop_cache(eg_model *m)
{
    if (m->cache_free)
        m->cache_free(m->context, m->cache);
    m->cache = NULL;
    m->cache_free = NULL;
}

void eg_model_free(eg_model *m)
{
    if (!m)
        return;
    egi_model_drop_cache(m);
    release_layers(m);
    for (int64_t i = 0; i < m->n_extras; i++) {
        egi_free(m->context, m->extras[i].name);
        egi_free(m->context, m->extras[i].t.data);
    }
    egi_free(m->context, m->extras);
    if (m->source_free)
        m->source_free(m->context, m->source);
    json_decref(m->config);
    json_decref(m->meta);
    egi_free(m->context, m->name);
    egi_free(m->context, m);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

eg_status egi_model_add_layer(eg_model *m, const egi_layer_type *type, const json_t *config, const char *path,
                              int *layer)
{
    EG_TRY(EGI_RESERVE(m->context, m->layers, m->n_layers, m->layers_capacity));
    egi_layer *l = &m->layers[m->n_layers];
    *l = (egi_layer){.type = type, .first_param = -1};
    const char *name = json_string_value(json_object_get(config, "name"));
    eg_status status = egi_strdup(&l->name, m->context, name ? name : type->keras);
    if (status == EG_OK)
        status = egi_strdup(&l->path, m->context, path ? path : l->name);
    if (status == EG_OK)
        status = egi_layer_parse(m, l, config);
    if (status != EG_OK) {
        status = egi_fail_prefix(status, "layer '%s' (%s)", path ? path : l->name ? l->name : "", type->keras);
        egi_free(m->context, l->name);
        egi_free(m->context, l->path);
        egi_free(m->context, l->config);
        return status;
    }
    *layer = (int)m->n_layers++;
    return EG_OK;
}

static eg_status new_tensor(eg_model *m, const egi_shape *shape, int *tensor)
{
    EG_TRY(egi_shape_check(shape, "tensor"));
    if (shape->rank + 1 > EGI_MAX_RANK)
        return egi_fail(EG_ERR_SHAPE, "tensor: %d dimensions, at most %d", shape->rank, EGI_MAX_RANK - 1);
    EG_TRY(EGI_RESERVE(m->context, m->tensors, m->n_tensors, m->tensors_capacity));
    m->tensors[m->n_tensors] = *shape;
    *tensor = (int)m->n_tensors++;
    return EG_OK;
}

eg_status egi_model_add_input(eg_model *m, const egi_shape *shape, int *tensor)
{
    if (m->n_inputs == (int)(sizeof m->inputs / sizeof *m->inputs))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a model with more than %d inputs", m->n_inputs);
    EG_TRY(new_tensor(m, shape, tensor));
    m->inputs[m->n_inputs++] = *tensor;
    return EG_OK;
}

eg_status egi_model_add_output(eg_model *m, int tensor)
{
    if (m->n_outputs == (int)(sizeof m->outputs / sizeof *m->outputs))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a model with more than %d outputs", m->n_outputs);
    m->outputs[m->n_outputs++] = tensor;
    return EG_OK;
}

eg_status egi_model_call(eg_model *m, int layer, const int *in, int n_in, int training, int *out)
{
    egi_layer *l = &m->layers[layer];
    if (n_in < 1 || n_in > EGI_CALL_MAX)
        return egi_fail(EG_ERR_UNSUPPORTED, "layer '%s': %d inputs, 1 to %d wanted", l->path, n_in, EGI_CALL_MAX);
    EG_TRY(EGI_RESERVE(m->context, m->calls, m->n_calls, m->calls_capacity));
    egi_call call = {.layer = layer, .n_in = n_in, .training = training};
    memcpy(call.in, in, (size_t)n_in * sizeof *in);

    egi_builder b = {.model = m, .layer = layer, .call = &call, .first_call = l->first_param < 0, .out = {.rank = -1}};
    if (b.first_call)
        l->first_param = (int)m->n_params;
    eg_status status = l->type->build(&b, l->config);
    if (status == EG_OK && b.out.rank < 0)
        status = egi_fail(EG_ERR_INTERNAL, "build gave no output shape");
    if (status != EG_OK)
        return egi_fail_prefix(status, "layer '%s' (%s)", l->path, l->type->keras);
    EG_TRY(new_tensor(m, &b.out, &call.out));
    m->calls[m->n_calls++] = call;
    *out = call.out;
    return EG_OK;
}

/* Keras' defaults for fresh parameters. Glorot & Bengio 2010: uniform in +-sqrt(6 / (fan_in + fan_out)). */
static void draw(const eg_model *m, int64_t index)
{
    const egi_param *param = &m->params[index];
    const egi_tensor view = egi_param_view(m, index);
    const egi_shape *s = &param->shape;
    double limit = 0;
    if (param->init == EGI_GLOROT_UNIFORM && s->rank >= 2) {
        const double field = (double)egi_shape_span(s, 0, s->rank - 2);
        limit = sqrt(6 / (field * (double)(s->dim[s->rank - 2] + s->dim[s->rank - 1])));
    }
    egi_rng rng = egi_rng_make(m->context->seed, EGI_RNG_INIT, (uint32_t)index);
    for (int64_t i = 0; i < param->count; i++)
        egi_set(&view, i, param->init == EGI_ONES ? 1 : limit * (2 * egi_rng_uniform64(&rng) - 1));
}

eg_status egi_model_finish(eg_model *m)
{
    if (m->n_outputs == 0)
        return egi_fail(EG_ERR_FORMAT, "model '%s': no output", m->name);
    int64_t at = 0;
    for (int state = 0; state < 2; state++) /* trained parameters first, then state */
        for (int64_t i = 0; i < m->n_params; i++) {
            egi_param *param = &m->params[i];
            if (param->state != (state == 1))
                continue;
            param->offset = at;
            at += (param->count + EGI_ARENA_ALIGN - 1) / EGI_ARENA_ALIGN * EGI_ARENA_ALIGN;
            if (at > EGI_DIM_MAX)
                return egi_fail(EG_ERR_SHAPE, "model '%s': too many parameters", m->name);
        }
    m->arena_count = at;
    EG_TRY(egi_mirror_alloc(&m->weights, m->context, at, egi_dtype_size(m->dtype)));
    for (int64_t i = 0; i < m->n_params; i++)
        draw(m, i);
    return EG_OK;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

int egi_model_find_layer(const eg_model *m, const char *path)
{
    for (int64_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].path, path) == 0)
            return (int)i;
    return -1;
}

egi_tensor egi_param_view(const eg_model *m, int64_t index)
{
    const egi_param *p = &m->params[index];
    const size_t offset = (size_t)p->offset * egi_dtype_size(m->dtype);
    return (egi_tensor){.data = (char *)m->weights + offset, .dtype = m->dtype, .shape = p->shape};
}

int64_t egi_model_find_param(const eg_model *m, int layer, const char *name)
{
    const egi_layer *l = &m->layers[layer];
    for (int64_t i = l->first_param; i >= 0 && i < l->first_param + l->n_params; i++)
        if (strcmp(m->params[i].name, name) == 0)
            return i;
    return -1;
}

eg_status egi_model_arena(void *out, const eg_model *m)
{
    return egi_mirror_alloc(out, m->context, m->arena_count, egi_dtype_size(m->dtype));
}

static int64_t find_extra(const eg_model *m, const char *name)
{
    for (int64_t i = 0; i < m->n_extras; i++)
        if (strcmp(m->extras[i].name, name) == 0)
            return i;
    return -1;
}

const egi_tensor *egi_model_extra(const eg_model *m, const char *name)
{
    const int64_t i = find_extra(m, name);
    return i < 0 ? NULL : &m->extras[i].t;
}

eg_status egi_model_set_extra(eg_model *m, const char *name, const egi_tensor *t)
{
    egi_tensor copy = *t;
    EG_TRY(egi_alloc(&copy.data, m->context, egi_count(t), egi_dtype_size(t->dtype)));
    memcpy(copy.data, t->data, (size_t)egi_count(t) * egi_dtype_size(t->dtype));
    int64_t i = find_extra(m, name);
    if (i < 0) {
        char *own = NULL;
        eg_status status = EGI_RESERVE(m->context, m->extras, m->n_extras, m->extras_capacity);
        if (status == EG_OK)
            status = egi_strdup(&own, m->context, name);
        if (status != EG_OK) {
            egi_free(m->context, copy.data);
            return status;
        }
        i = m->n_extras++;
        m->extras[i] = (egi_extra){.name = own};
    }
    egi_free(m->context, m->extras[i].t.data);
    m->extras[i].t = copy;
    return EG_OK;
}

void egi_model_drop_extras(eg_model *m, const char *prefix)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < m->n_extras; i++) {
        if (strncmp(m->extras[i].name, prefix, strlen(prefix)) != 0) {
            m->extras[kept++] = m->extras[i];
            continue;
        }
        egi_free(m->context, m->extras[i].name);
        egi_free(m->context, m->extras[i].t.data);
    }
    m->n_extras = kept;
}

/* --- cloning ------------------------------------------------------------------------------------------------------ */

static eg_status copy_block(void *out, eg_context *c, const void *block, int64_t count, size_t size)
{
    void *copy;
    EG_TRY(egi_alloc(&copy, c, count, size));
    if (count > 0 && block)
        memcpy(copy, block, (size_t)count * size);
    memcpy(out, &copy, sizeof copy);
    return EG_OK;
}

static eg_status clone_layers(eg_model *c, const eg_model *m)
{
    EG_TRY(copy_block(&c->layers, c->context, m->layers, m->n_layers, sizeof *m->layers));
    c->layers_capacity = m->n_layers;
    for (int64_t i = 0; i < m->n_layers; i++) {
        egi_layer *l = &c->layers[i];
        l->name = l->path = NULL;
        l->config = NULL;
        c->n_layers = i + 1;
        EG_TRY(egi_strdup(&l->name, c->context, m->layers[i].name));
        EG_TRY(egi_strdup(&l->path, c->context, m->layers[i].path));
        EG_TRY(copy_block(&l->config, c->context, m->layers[i].config, 1, l->type->config));
    }
    EG_TRY(copy_block(&c->params, c->context, m->params, m->n_params, sizeof *m->params));
    c->params_capacity = m->n_params;
    for (int64_t i = 0; i < m->n_params; i++) {
        c->params[i].name = c->params[i].path = NULL;
        c->n_params = i + 1;
        EG_TRY(egi_strdup(&c->params[i].name, c->context, m->params[i].name));
        if (m->params[i].path)
            EG_TRY(egi_strdup(&c->params[i].path, c->context, m->params[i].path));
    }
    return EG_OK;
}

static eg_status clone_graph(eg_model *c, const eg_model *m)
{
    EG_TRY(copy_block(&c->calls, c->context, m->calls, m->n_calls, sizeof *m->calls));
    c->n_calls = c->calls_capacity = m->n_calls;
    EG_TRY(copy_block(&c->tensors, c->context, m->tensors, m->n_tensors, sizeof *m->tensors));
    c->n_tensors = c->tensors_capacity = m->n_tensors;
    memcpy(c->inputs, m->inputs, sizeof m->inputs);
    memcpy(c->outputs, m->outputs, sizeof m->outputs);
    c->n_inputs = m->n_inputs;
    c->n_outputs = m->n_outputs;
    c->arena_count = m->arena_count;
    EG_TRY(egi_host_reads(m->context, m->weights));
    EG_TRY(egi_model_arena(&c->weights, c));
    memcpy(c->weights, m->weights, (size_t)m->arena_count * egi_dtype_size(m->dtype));
    return EG_OK;
}

static eg_status clone_rest(eg_model *c, const eg_model *m)
{
    for (int64_t i = 0; i < m->n_extras; i++)
        EG_TRY(egi_model_set_extra(c, m->extras[i].name, &m->extras[i].t));
    json_decref(c->meta);
    c->meta = json_deep_copy(m->meta);
    c->config = m->config ? json_deep_copy(m->config) : NULL;
    if (!c->meta || (m->config && !c->config))
        return egi_fail(EG_ERR_NOMEM, "model: no memory for a copy");
    c->batchnorm_frozen = m->batchnorm_frozen;
    c->report = m->report;
    c->source_free = m->source_free;
    c->source_clone = m->source_clone;
    if (m->source && m->source_clone) {
        c->source = m->source_clone(c->context, m->source);
        if (!c->source)
            return egi_fail(EG_ERR_NOMEM, "model: no memory for a copy");
    }
    return EG_OK;
}

eg_status eg_model_clone(eg_model **out, const eg_model *m)
{
    eg_model *c;
    EG_TRY(egi_model_create(&c, m->context, m->dtype, m->keras_major));
    egi_free(c->context, c->name);
    c->name = NULL;
    eg_status status = egi_strdup(&c->name, c->context, m->name);
    if (status == EG_OK)
        status = clone_layers(c, m);
    if (status == EG_OK)
        status = clone_graph(c, m);
    if (status == EG_OK)
        status = clone_rest(c, m);
    if (status != EG_OK) {
        eg_model_free(c);
        return status;
    }
    *out = c;
    return EG_OK;
}
