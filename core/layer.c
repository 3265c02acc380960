/* What a layer type's build may call, and the config keys that all Keras layers share. */
#include "core/builder.h"

#include <string.h>

/* --- config ------------------------------------------------------------------------------------------------------- */

/* Keys that say nothing about what is computed here, or that are read elsewhere. */
static bool is_generic_key(const char *key)
{
    static const char *const names[] = {"name",
                                        "trainable",
                                        "dtype",
                                        "batch_input_shape",
                                        "batch_shape",
                                        "input_dtype",
                                        "input_shape",
                                        "input_dim",
                                        "input_length",
                                        "sparse",
                                        "ragged",
                                        "seed",
                                        "noise_shape",
                                        "build_config",
                                        "optional",
                                        "autocast",
                                        "lora_rank",
                                        "synchronized",
                                        "init",
                                        "weights",
                                        "registered_name",
                                        "virtual_batch_size",
                                        "adjustment",
                                        "renorm",
                                        "renorm_momentum",
                                        "renorm_clipping",
                                        "fused",
                                        "quantization_config",
                                        "cache_read_only",
                                        "module",
                                        "lora_alpha",
                                        "zero_output_for_mask",
                                        "_keras_shape",
                                        "supports_masking",
                                        "create_input",
                                        "batch_size"};
    static const char *const suffixes[] = {"_initializer", "_regularizer", "_constraint", "_init"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const size_t n = strlen(key), m = strlen(suffixes[i]);
        if (n > m && strcmp(key + n - m, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* null, false, "", [] and {} ask for nothing. */
static bool is_empty(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

static eg_status parse_fields(const eg_model *m, const egi_layer *l, const json_t *config)
{
    const char *key;
    json_t *value;
    EG_TRY(egi_fields_defaults(l->type->fields, l->type->n_fields, l->config));
    json_object_foreach((json_t *)config, key, value)
    {
        const egi_field *field = egi_field_find(l->type->fields, l->type->n_fields, key);
        if (field)
            EG_TRY(egi_field_from_json(field, l->config, value, m->keras_major));
        else if (!is_generic_key(key) && !is_empty(value))
            return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: config key '%s'", key);
    }
    return EG_OK;
}

/* Under its name, its alias, or those of another field that fills the same place. */
static bool is_given(const egi_layer_type *type, const egi_field *field, const json_t *config)
{
    for (int k = 0; k < type->n_fields; k++) {
        const egi_field *other = &type->fields[k];
        if (other->offset == field->offset &&
            (json_object_get(config, other->name) || (other->alias && json_object_get(config, other->alias))))
            return true;
    }
    return false;
}

static eg_status require_fields(const egi_layer *l, const json_t *config)
{
    for (int i = 0; i < l->type->n_fields; i++) {
        const egi_field *field = &l->type->fields[i];
        if (!field->fallback && !is_given(l->type, field, config))
            return egi_fail(EG_ERR_FORMAT, "config key '%s' is missing", field->name);
    }
    return EG_OK;
}

static void warn_ignored(const eg_model *m, const egi_layer *l, const json_t *config)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value)
    {
        const bool constraint = strstr(key, "_constraint") != NULL, activity = strcmp(key, "activity_regularizer") == 0;
        if ((constraint || activity) && !is_empty(value))
            egi_log(m->context, EG_LOG_WARNING, "layer '%s': %s of the file is not applied in training", l->path, key);
    }
}

/* Keras 3 {"class_name": "L2", "config": {"l2": 0.01}}, Keras 2 "L1L2", Keras 1 {"name": "L1L2Regularizer", "l1": ...},
 * or "l2". */
static eg_status parse_penalty(const json_t *value, egi_regularizer *out)
{
    if (json_is_string(value)) {
        const char *name = json_string_value(value);
        out->l1 = strstr(name, "l1") || strstr(name, "L1") ? 0.01 : 0; /* Keras' default strength */
        out->l2 = strstr(name, "l2") || strstr(name, "L2") ? 0.01 : 0;
        return out->l1 > 0 || out->l2 > 0 ? EG_OK : egi_fail(EG_ERR_UNSUPPORTED, "unsupported: regularizer '%s'", name);
    }
    const char *name = json_string_value(json_object_get(value, "class_name"));
    const json_t *inner = json_object_get(value, "config");
    if (!name)
        name = json_string_value(json_object_get(value, "name"));
    if (!inner)
        inner = value;
    const json_t *l1 = json_object_get(inner, "l1"), *l2 = json_object_get(inner, "l2");
    if (!l1 && !l2)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: regularizer '%s'", name ? name : "?");
    out->l1 = json_number_value(l1);
    out->l2 = json_number_value(l2);
    if (!(out->l1 >= 0 && out->l1 < 1e6 && out->l2 >= 0 && out->l2 < 1e6))
        return egi_fail(EG_ERR_FORMAT, "regularizer: l1 and l2 of 0 to 1e6 wanted, found %g and %g", out->l1, out->l2);
    return EG_OK;
}

static eg_status parse_regularizers(egi_layer *l, const json_t *config)
{
    static const char suffix[] = "_regularizer";
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach((json_t *)config, key, value)
    {
        const char *end = strstr(key, suffix);
        if (!end || end[sizeof suffix - 1] || is_empty(value) || strcmp(key, "activity_regularizer") == 0)
            continue;
        egi_regularizer *r = &l->regularizers[n];
        if (n + 1 >= sizeof l->regularizers / sizeof *l->regularizers || (size_t)(end - key) >= sizeof r->param)
            return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: '%s'", key);
        EG_TRY(parse_penalty(value, r));
        /* Keras 1 called kernel and bias W and b. */
        const bool old_kernel = strcmp(key, "W_regularizer") == 0, old_bias = strcmp(key, "b_regularizer") == 0;
        memcpy(r->param, key, (size_t)(end - key));
        if (old_kernel || old_bias)
            memcpy(r->param, old_kernel ? "kernel" : "bias", old_kernel ? 7 : 5);
        n++;
    }
    return EG_OK;
}

eg_status egi_layer_parse(const eg_model *m, egi_layer *l, const json_t *config)
{
    if (!json_is_object(config))
        return egi_fail(EG_ERR_FORMAT, "config is not an object");
    EG_TRY(egi_alloc(&l->config, m->context, 1, l->type->config));
    EG_TRY(parse_fields(m, l, config));
    EG_TRY(require_fields(l, config));
    EG_TRY(parse_regularizers(l, config));
    const json_t *trainable = json_object_get(config, "trainable");
    l->trainable = !json_is_false(trainable);
    warn_ignored(m, l, config);
    return l->type->check ? l->type->check(l->config) : EG_OK;
}

/* --- build -------------------------------------------------------------------------------------------------------- */

const egi_shape *egi_in_shape(const egi_builder *b, int i)
{
    return &b->model->tensors[b->call->in[i]];
}

int egi_in_count(const egi_builder *b)
{
    return b->call->n_in;
}

int64_t egi_in_dim(const egi_builder *b, int axis)
{
    const egi_shape *s = egi_in_shape(b, 0);
    const int at = axis < 0 ? s->rank + axis : axis;
    return at >= 0 && at < s->rank ? s->dim[at] : 0;
}

static eg_status same_as_first_call(egi_builder *b, const char *name, const egi_shape *shape)
{
    const egi_layer *l = &b->model->layers[b->layer];
    const egi_param *param = &b->model->params[l->first_param + b->next_param++];
    if (!egi_shape_equal(&param->shape, shape))
        return egi_fail(EG_ERR_SHAPE, "shared layer: %s is %s, this input wants %s", name,
                        egi_shape_format(&param->shape).s, egi_shape_format(shape).s);
    return EG_OK;
}

static eg_status declare(egi_builder *b, const char *name, egi_shape shape, egi_init init, bool state)
{
    eg_model *m = b->model;
    if (!b->first_call)
        return same_as_first_call(b, name, &shape);
    EG_TRY(egi_shape_check(&shape, name));
    EG_TRY(EGI_RESERVE(m->context, m->params, m->n_params, m->params_capacity));
    egi_param *param = &m->params[m->n_params];
    *param =
        (egi_param){.layer = b->layer, .shape = shape, .count = egi_shape_count(&shape), .state = state, .init = init};
    for (const egi_regularizer *r = m->layers[b->layer].regularizers; r->param[0]; r++)
        if (strcmp(r->param, name) == 0) {
            param->l1 = r->l1;
            param->l2 = r->l2;
        }
    EG_TRY(egi_strdup(&param->name, m->context, name));
    m->n_params++;
    m->layers[b->layer].n_params++;
    return EG_OK;
}

eg_status egi_param_add(egi_builder *b, const char *name, egi_shape shape, egi_init init)
{
    return declare(b, name, shape, init, false);
}

eg_status egi_state_add(egi_builder *b, const char *name, egi_shape shape, egi_init init)
{
    return declare(b, name, shape, init, true);
}

eg_status egi_out_shape(egi_builder *b, egi_shape shape)
{
    b->out = shape;
    return EG_OK;
}

eg_status egi_out_last(egi_builder *b, int64_t last)
{
    b->out = *egi_in_shape(b, 0);
    if (b->out.rank < 1)
        return egi_fail(EG_ERR_SHAPE, "input has no dimension beside the batch");
    b->out.dim[b->out.rank - 1] = last;
    return EG_OK;
}
