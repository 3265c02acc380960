/* A model to the same flavour of file that it came from: order, names and attributes as they were. The optimizer's
 * state is not written: it belongs to weights that have moved on, and Keras starts a fresh one when there is none. */
#include "checkpoints/keras_graph.h"
#include "checkpoints/keras_source.h"
#include "core/mirror.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- values ------------------------------------------------------------------------------------------------------- */

float egi_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    uint32_t bits;
    float value;
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * ldexpf((float)mantissa, -24);
    bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t egi_float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const float size = fabsf(value);
    if (isnan(value))
        return sign | 0x7e00;
    if (size >= 65520) /* above the middle between the largest half and the next */
        return sign | 0x7c00;
    if (size < 6.103515625e-05f) /* subnormal: multiples of 2^-24 */
        return sign | (uint16_t)lrintf(ldexpf(size, 24));
    const uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)(((rounded >> 23 & 255) - 112) << 10 | (rounded >> 13 & 0x3ff));
}

/* Elements that did not change since loading give back the bytes they were loaded from. */
static void store_double(double *to, const egi_tensor *t, const double *raw)
{
    for (int64_t i = 0; i < egi_count(t); i++) {
        const double value = egi_get(t, i);
        const bool same = raw && (t->dtype == EGI_F32 ? (double)(float)raw[i] == value : raw[i] == value);
        to[i] = same ? raw[i] : value;
    }
}

static void store(void *to, const egi_keras_weight *w, const egi_tensor *t, const void *raw)
{
    if (w->info.type.size == 8) {
        store_double(to, t, raw);
        return;
    }
    for (int64_t i = 0; i < egi_count(t); i++)
        if (w->info.type.size == 4)
            ((float *)to)[i] = (float)egi_get(t, i);
        else
            ((uint16_t *)to)[i] = egi_float_to_half((float)egi_get(t, i));
}

/* --- names of what is new ----------------------------------------------------------------------------------------- */

typedef struct saver {
    const eg_model *m;
    eg_context *context;
    egi_keras_source *s; /* a copy that is brought up to date and then written */
    egi_h5_out *file;
    const char *base; /* "/model_weights" or "" */
} saver;

/* Does the file name tensors as Keras 3 does, without ":0"? */
static bool names_like_keras3(const saver *v)
{
    for (int64_t i = 0; i < v->s->n_groups; i++)
        if (v->s->groups[i].n_weights > 0)
            return strchr(v->s->groups[i].weights[0].name, ':') == NULL;
    return v->m->keras_major >= 3;
}

static bool is_sequential(const eg_model *m)
{
    const char *class_name = json_string_value(json_object_get(m->config, "class_name"));
    return class_name && strcmp(class_name, "Sequential") == 0;
}

/* As the file's generation would name it: "dense_1_W:0", "dense/kernel:0", "model/dense/kernel". */
static eg_status new_name(char **out, const saver *v, int64_t param)
{
    const egi_param *p = &v->m->params[param];
    const egi_layer *l = &v->m->layers[p->layer];
    if (names_like_keras3(v))
        return egi_format(out, v->context, "%s%s%s/%s", is_sequential(v->m) ? v->m->name : "",
                          is_sequential(v->m) ? "/" : "", l->path, p->name);
    const bool kernel = strcmp(p->name, "kernel") == 0, bias = strcmp(p->name, "bias") == 0;
    if (v->m->keras_major == 1)
        return egi_format(out, v->context, "%s_%s:0", l->name, kernel ? "W" : bias ? "b" : p->name);
    return egi_format(out, v->context, "%s/%s:0", l->name, p->name);
}

/* --- bringing the source up to date ------------------------------------------------------------------------------- */

static int64_t param_of(const eg_model *m, const egi_keras_weight *w)
{
    const int layer = w->layer ? egi_model_find_layer(m, w->layer) : -1;
    return layer < 0 ? -1 : egi_model_find_param(m, layer, w->param);
}

static void free_weight(eg_context *context, egi_keras_weight *w)
{
    egi_free(context, w->name);
    egi_free(context, w->layer);
    egi_free(context, w->param);
    egi_free(context, w->raw);
    egi_h5_attrs_free(context, &w->attrs);
}

static eg_status write_weight_names(const saver *v, egi_keras_group *g, const egi_h5_type *style)
{
    char **names;
    EG_TRY(egi_alloc(&names, v->context, g->n_weights, sizeof *names));
    for (int64_t i = 0; i < g->n_weights; i++)
        names[i] = g->weights[i].name;
    const eg_status status = egi_keras_names_write(&g->attrs, v->context, "weight_names", names, g->n_weights, style);
    egi_free(v->context, names);
    return status;
}

/* Tensors whose parameter is gone leave; what nobody ever asked for stays. Sets `known` for parameters that have a
 * tensor. */
static eg_status drop_lost(const saver *v, const egi_h5_type *style, uint8_t *known)
{
    for (int64_t i = 0; i < v->s->n_groups; i++) {
        egi_keras_group *g = &v->s->groups[i];
        int64_t kept = 0;
        for (int64_t k = 0; k < g->n_weights; k++) {
            egi_keras_weight *w = &g->weights[k];
            const int64_t param = param_of(v->m, w);
            const bool carried = !w->param && w->raw;
            if (param < 0 && !carried) {
                free_weight(v->context, w);
                continue;
            }
            if (param >= 0)
                known[param] = 1;
            g->weights[kept++] = *w;
        }
        const bool changed = kept != g->n_weights;
        g->n_weights = kept;
        if (changed)
            EG_TRY(write_weight_names(v, g, style));
    }
    return EG_OK;
}

static egi_keras_group *find_group(const egi_keras_source *s, const char *name)
{
    for (int64_t i = 0; i < s->n_groups; i++)
        if (strcmp(s->groups[i].name, name) == 0)
            return &s->groups[i];
    return NULL;
}

static eg_status top_of(char **out, eg_context *context, const char *path)
{
    EG_TRY(egi_strdup(out, context, path));
    char *slash = strchr(*out, '/');
    if (slash)
        *slash = '\0';
    return EG_OK;
}

static eg_status add_weight(const saver *v, egi_keras_group *g, int64_t param)
{
    egi_keras_weight *w;
    char *name;
    EG_TRY(new_name(&name, v, param));
    const eg_status status = egi_keras_source_add_weight(&w, v->context, g, name);
    egi_free(v->context, name);
    EG_TRY(status);
    w->info.type = (egi_h5_type){.kind = EGI_H5_FLOAT, .size = (uint32_t)egi_dtype_size(v->m->dtype)};
    EG_TRY(egi_strdup(&w->layer, v->context, v->m->layers[v->m->params[param].layer].path));
    return egi_strdup(&w->param, v->context, v->m->params[param].name);
}

static eg_status add_new(const saver *v, const egi_h5_type *style, const uint8_t *known)
{
    for (int64_t i = 0; i < v->m->n_params; i++) {
        char *top;
        if (known[i])
            continue;
        EG_TRY(top_of(&top, v->context, v->m->layers[v->m->params[i].layer].path));
        egi_keras_group *g = find_group(v->s, top);
        eg_status status = g ? EG_OK : egi_keras_source_add_group(&g, v->context, v->s, top, true);
        egi_free(v->context, top);
        if (status == EG_OK)
            status = add_weight(v, g, i);
        if (status == EG_OK)
            status = write_weight_names(v, g, style);
        EG_TRY(status);
    }
    return EG_OK;
}

/* --- the list of layers ------------------------------------------------------------------------------------------- */

/* Keras lists every layer of the model but a Sequential's InputLayer. */
static bool is_listed(const eg_model *m, const json_t *layer)
{
    const char *class_name = json_string_value(json_object_get(layer, "class_name"));
    return egi_keras_layer_name(layer) && !(is_sequential(m) && class_name && strcmp(class_name, "InputLayer") == 0);
}

static egi_h5_attrs *top_attrs(const saver *v)
{
    return v->s->in_group ? &v->s->top : &v->s->root;
}

/* Puts the groups into the order of the architecture, adds those of new layers without weights, drops those of lost
 * layers. */
static eg_status relist(const saver *v, const egi_h5_type *style)
{
    const json_t *layers = egi_keras_layers(v->m->config);
    const int64_t n = (int64_t)json_array_size(layers);
    char **names;
    int64_t count = 0;
    EG_TRY(egi_alloc(&names, v->context, n, sizeof *names));
    eg_status status = EG_OK;
    for (int64_t i = 0; i < v->s->n_groups; i++)
        v->s->groups[i].listed = false;
    for (int64_t i = 0; i < n && status == EG_OK; i++) {
        const json_t *layer = json_array_get(layers, (size_t)i);
        if (!is_listed(v->m, layer))
            continue;
        names[count] = (char *)egi_keras_layer_name(layer);
        egi_keras_group *g = find_group(v->s, names[count++]);
        if (!g)
            status = egi_keras_source_add_group(&g, v->context, v->s, names[count - 1], true);
        if (status == EG_OK)
            g->listed = true;
        if (status == EG_OK && g->n_weights == 0)
            status = write_weight_names(v, g, style);
    }
    if (status == EG_OK)
        status = egi_keras_names_write(top_attrs(v), v->context, "layer_names", names, count, style);
    egi_free(v->context, names);
    return status;
}

/* Style of the names in the file: Keras wrote them in fixed size up to 2.6. */
static const egi_h5_type *name_style(const saver *v)
{
    const egi_h5_attr *a = egi_h5_attr_find(top_attrs(v), "layer_names");
    if (!a)
        a = egi_h5_attr_find(top_attrs(v), "layer_names0");
    return a && (a->type.kind == EGI_H5_STRING || a->type.kind == EGI_H5_TEXT) ? &a->type : NULL;
}

static eg_status describe_new_file(const saver *v)
{
    static const char *const version[] = {"1.2.2", "2.15.0", "3.0.0"};
    const int major = v->m->keras_major < 1 ? 1 : v->m->keras_major > 3 ? 3 : v->m->keras_major;
    v->s->full = v->s->in_group = true;
    EG_TRY(egi_keras_text_write(&v->s->root, v->context, "backend", "tensorflow"));
    EG_TRY(egi_keras_text_write(&v->s->root, v->context, "keras_version", version[major - 1]));
    EG_TRY(egi_keras_text_write(&v->s->top, v->context, "backend", "tensorflow"));
    return egi_keras_text_write(&v->s->top, v->context, "keras_version", version[major - 1]);
}

static eg_status update_architecture(const saver *v)
{
    char *text;
    if (!v->s->full || (v->s->config && json_equal(v->s->config, v->m->config)))
        return EG_OK;
    EG_TRY(egi_keras_dump(&text, v->context, v->m->config, 0));
    const eg_status status = egi_keras_text_write(&v->s->root, v->context, "model_config", text);
    egi_free(v->context, text);
    return status;
}

static eg_status update(const saver *v)
{
    uint8_t *known;
    egi_h5_type style;
    const egi_h5_type *found = name_style(v);
    if (found)
        style = *found;
    EG_TRY(egi_alloc(&known, v->context, v->m->n_params, 1));
    eg_status status = drop_lost(v, found ? &style : NULL, known);
    if (status == EG_OK)
        status = add_new(v, found ? &style : NULL, known);
    egi_free(v->context, known);
    EG_TRY(status);
    if (!v->s->config || !json_equal(v->s->config, v->m->config))
        EG_TRY(relist(v, found ? &style : NULL));
    return update_architecture(v);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const egi_h5_attr *)a)->name, ((const egi_h5_attr *)b)->name);
}

/* In the order of their names: libhdf5 does not keep another one, and so a file saved twice has the same bytes. */
static eg_status write_attrs(const saver *v, const char *path, egi_h5_attrs *attrs)
{
    if (attrs->n > 1)
        qsort(attrs->list, (size_t)attrs->n, sizeof *attrs->list, by_name);
    for (int64_t i = 0; i < attrs->n; i++) {
        if (attrs->list[i].type.kind == EGI_H5_OTHER)
            egi_log(v->context, EG_LOG_WARNING, "attribute '%s' is of an unknown type: not carried along",
                    attrs->list[i].name);
        else
            EG_TRY(egi_h5_out_attr(v->file, path, &attrs->list[i]));
    }
    return EG_OK;
}

static eg_status write_values(const saver *v, const egi_keras_weight *w, const char *path)
{
    const int64_t param = param_of(v->m, w);
    if (param < 0)
        return egi_h5_out_data(v->file, path, &w->info, w->raw, false);
    const egi_tensor t = egi_param_view(v->m, param);
    const bool reshaped = !egi_shape_equal(&t.shape, &w->info.shape);
    const egi_h5_data info = {.type = w->info.type, .shape = t.shape, .count = egi_count(&t)};
    void *data;
    EG_TRY(egi_host_reads(v->context, t.data));
    EG_TRY(egi_alloc(&data, v->context, info.count, info.type.size));
    store(data, w, &t, reshaped ? NULL : w->raw);
    const eg_status status = egi_h5_out_data(v->file, path, &info, data, false);
    egi_free(v->context, data);
    return status;
}

static eg_status write_weight(const saver *v, const char *group, egi_keras_weight *w)
{
    char *path;
    EG_TRY(egi_format(&path, v->context, "%s/%s", group, w->name));
    eg_status status = write_values(v, w, path);
    if (status == EG_OK)
        status = write_attrs(v, path, &w->attrs);
    egi_free(v->context, path);
    return status;
}

static eg_status write_group(const saver *v, egi_keras_group *g)
{
    char *path;
    EG_TRY(egi_format(&path, v->context, "%s/%s", v->base, g->name));
    eg_status status = egi_h5_out_group(v->file, path);
    if (status == EG_OK)
        status = write_attrs(v, path, &g->attrs);
    for (int64_t i = 0; i < g->n_weights && status == EG_OK; i++)
        status = write_weight(v, path, &g->weights[i]);
    egi_free(v->context, path);
    return status;
}

/* A group that was listed and is not any more belonged to a layer that is gone. */
static bool is_lost(const egi_keras_source *before, const egi_keras_group *g)
{
    const egi_keras_group *old = before ? find_group(before, g->name) : NULL;
    return old && old->listed && !g->listed;
}

static int by_group(const void *a, const void *b)
{
    return strcmp(((const egi_keras_group *)a)->name, ((const egi_keras_group *)b)->name);
}

static eg_status write_file(const saver *v)
{
    if (v->s->n_groups > 1) /* layer_names has the order that counts */
        qsort(v->s->groups, (size_t)v->s->n_groups, sizeof *v->s->groups, by_group);
    EG_TRY(write_attrs(v, "/", &v->s->root));
    if (v->s->in_group) {
        EG_TRY(egi_h5_out_group(v->file, "/model_weights"));
        EG_TRY(write_attrs(v, "/model_weights", &v->s->top));
    }
    for (int64_t i = 0; i < v->s->n_groups; i++)
        if (!is_lost(v->m->source, &v->s->groups[i]))
            EG_TRY(write_group(v, &v->s->groups[i]));
    return egi_engram_write(v->m, v->file, !v->s->full);
}

static eg_status prepare(saver *v)
{
    if (!v->m->config)
        return egi_fail(EG_ERR_STATE, "model '%s' has no Keras architecture to save", v->m->name);
    if (v->m->source) {
        v->s = egi_keras_source_clone(v->context, v->m->source);
        if (!v->s)
            return EG_ERR_NOMEM; /* the message is there */
    } else {
        EG_TRY(egi_keras_source_create(&v->s, v->context));
        EG_TRY(describe_new_file(v));
    }
    v->base = v->s->in_group ? "/model_weights" : "";
    EG_TRY(update(v));
    return egi_h5_out_create(&v->file, v->context);
}

eg_status eg_model_save(const eg_model *m, const char *path)
{
    if (!m || !path)
        return egi_fail(EG_ERR_ARG, "model: model and path must not be NULL");
    saver v = {.m = m, .context = m->context};
    eg_status status = prepare(&v);
    if (status == EG_OK)
        status = write_file(&v);
    if (status == EG_OK)
        status = egi_h5_out_commit(v.file, path);
    egi_h5_out_free(v.file);
    egi_keras_source_free(v.context, v.s);
    return status;
}
