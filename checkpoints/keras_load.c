/* Keras .h5, full or weights only, to a model. */
#include "checkpoints/keras_source.h"

#include "core/file.h"

#include <math.h>
#include <string.h>

#define ARCHITECTURE_MAX ((size_t)64 << 20)

/* --- where things lie --------------------------------------------------------------------------------------------- */

typedef struct loader {
    eg_context *context;
    egi_h5 *file;
    egi_keras_source *source;
    int64_t weights; /* node of the group with layer_names */
    json_t *config;
    int keras_major;
} loader;

static bool has_names(const egi_h5_attrs *attrs)
{
    return egi_h5_attr_find(attrs, "layer_names") || egi_h5_attr_find(attrs, "layer_names0");
}

static eg_status find_weights(loader *l)
{
    egi_keras_source *s = l->source;
    l->weights = 0;
    if (has_names(&s->root))
        return EG_OK;
    l->weights = egi_h5_find(l->file, 0, "model_weights");
    if (l->weights >= 0 && egi_h5_kind_of(l->file, l->weights) == EGI_H5_GROUP) {
        s->in_group = true;
        EG_TRY(egi_h5_attrs_read(&s->top, l->file, l->weights));
        if (has_names(&s->top))
            return EG_OK;
        return egi_fail(EG_ERR_FORMAT,
                        "group model_weights has no attribute layer_names; not written by Keras, or damaged");
    }
    if (egi_h5_find(l->file, 0, "layers") >= 0 || egi_h5_find(l->file, 0, "_layer_checkpoint_dependencies") >= 0)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: the .weights.h5 form of Keras 3; save with model.save('name.h5')");
    return egi_fail(EG_ERR_FORMAT, "neither attribute layer_names nor group model_weights; not a Keras file");
}

static eg_status read_text(char **out, const loader *l, const char *name)
{
    const egi_h5_attr *a = egi_h5_attr_find(&l->source->root, name);
    if (!a && l->source->in_group)
        a = egi_h5_attr_find(&l->source->top, name);
    *out = NULL;
    return a ? egi_h5_attr_text(out, l->context, a, 0) : EG_OK;
}

/* --- the architecture --------------------------------------------------------------------------------------------- */

/* JSON text; a text inside the JSON is JSON once more (json.dump(model.to_json())). */
static eg_status parse_config(json_t **out, const char *text, const char *subject)
{
    json_t *root;
    EG_TRY(egi_keras_parse(&root, text[0] == '"' ? "{}" : text, subject));
    if (text[0] == '"') {
        json_error_t error;
        json_decref(root);
        json_t *inner = json_loads(text, JSON_DECODE_ANY, &error);
        const eg_status status = json_is_string(inner) ? egi_keras_parse(&root, json_string_value(inner), subject)
                                                       : egi_fail(EG_ERR_FORMAT, "%s: JSON wanted, line %d: %s",
                                                                  subject, error.line, error.text);
        json_decref(inner);
        EG_TRY(status);
    }
    *out = root;
    return EG_OK;
}

static eg_status read_architecture_file(loader *l, const char *path)
{
    char *text;
    size_t bytes;
    EG_TRY(egi_file_slurp(&text, &bytes, l->context, path, ARCHITECTURE_MAX));
    const eg_status status =
        strlen(text) == bytes ? parse_config(&l->config, text, path) : egi_fail(EG_ERR_FORMAT, "%s: not a text", path);
    egi_free(l->context, text);
    return status;
}

/* What the file brings is its own; options->arch serves files that bring none, so that one option serves two models. */
static eg_status find_config(loader *l, const eg_load_options *options)
{
    char *text;
    EG_TRY(read_text(&text, l, "model_config"));
    l->source->full = text != NULL;
    if (!text)
        EG_TRY(egi_engram_read_architecture(&text, l->context, l->file));
    eg_status status = EG_OK;
    if (text)
        status = parse_config(&l->config, text, "model_config");
    else if (options && options->arch)
        status = read_architecture_file(l, options->arch);
    else
        status = egi_fail(EG_ERR_FORMAT, "weights only; give the architecture's JSON (model.to_json()) with --arch");
    egi_free(l->context, text);
    return status;
}

static eg_status find_version(loader *l)
{
    char *version;
    EG_TRY(read_text(&version, l, "keras_version"));
    l->keras_major = egi_keras_generation(version, l->config);
    if (!version)
        return EG_OK;
    egi_free(l->context, l->source->version);
    l->source->version = version;
    return EG_OK;
}

/* --- groups and tensors ------------------------------------------------------------------------------------------- */

/* Parts with a slash between them, none of them empty or a dot: a name that leads down, and only down. */
static eg_status check_name(const char *name, const char *list)
{
    bool good = name[0] != '\0';
    for (const char *at = name; good && at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        const size_t n = strcspn(at, "/");
        good = n > 0 && !(n == 1 && at[0] == '.');
    }
    return good ? EG_OK : egi_fail(EG_ERR_FORMAT, "%s: '%s' is no name of an object below", list, name);
}

static eg_status add_weight(loader *l, egi_keras_group *g, int64_t group, const char *name)
{
    egi_keras_weight *w;
    EG_TRY(check_name(name, "weight_names"));
    const int64_t node = egi_h5_find(l->file, group, name);
    if (node < 0 || egi_h5_kind_of(l->file, node) != EGI_H5_DATASET)
        return egi_fail(EG_ERR_FORMAT, "group '%s': tensor '%s' of its weight_names is not there", g->name, name);
    for (int64_t i = 0; i < g->n_weights; i++)
        if (strcmp(g->weights[i].name, name) == 0)
            return egi_fail(EG_ERR_FORMAT, "group '%s': weight_names has '%s' twice", g->name, name);
    EG_TRY(egi_keras_source_add_weight(&w, l->context, g, name));
    EG_TRY(egi_h5_data_info(&w->info, l->file, node));
    return egi_h5_attrs_read(&w->attrs, l->file, node);
}

static eg_status add_weights(loader *l, egi_keras_group *g, int64_t node)
{
    char **names;
    int64_t n;
    bool found;
    EG_TRY(egi_h5_attrs_read(&g->attrs, l->file, node));
    EG_TRY(egi_keras_names_read(&names, &n, &found, l->context, &g->attrs, "weight_names"));
    eg_status status = EG_OK;
    if (!found && g->listed)
        status = egi_fail(EG_ERR_FORMAT, "no attribute weight_names");
    for (int64_t i = 0; i < n && status == EG_OK; i++)
        status = add_weight(l, g, node, names[i]);
    egi_keras_names_free(l->context, names, n);
    return status == EG_OK ? status : egi_fail_prefix(status, "group '%s'", g->name);
}

static bool has_group(const egi_keras_source *s, const char *name)
{
    for (int64_t i = 0; i < s->n_groups; i++)
        if (strcmp(s->groups[i].name, name) == 0)
            return true;
    return false;
}

static eg_status add_group(loader *l, const char *name, int64_t node, bool listed)
{
    egi_keras_group *g;
    EG_TRY(egi_keras_source_add_group(&g, l->context, l->source, name, listed));
    return add_weights(l, g, node);
}

static eg_status add_listed(loader *l, char *const *names, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        EG_TRY(check_name(names[i], "layer_names"));
        const int64_t node = egi_h5_find(l->file, l->weights, names[i]);
        if (node < 0 || egi_h5_kind_of(l->file, node) != EGI_H5_GROUP)
            return egi_fail(EG_ERR_FORMAT, "group '%s' of layer_names is not there", names[i]);
        EG_TRY(add_group(l, names[i], node, true));
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return egi_fail(EG_ERR_FORMAT, "layer_names has '%s' twice", names[i]);
    return EG_OK;
}

/* Groups beside those of layer_names ("top_level_model_weights"), kept as they are. */
static eg_status add_unlisted(loader *l)
{
    int64_t first;
    const int64_t n = egi_h5_children(l->file, l->weights, &first);
    for (int64_t i = first; i < first + n; i++) {
        const char *name = egi_h5_name(l->file, i);
        const bool ours = l->weights == 0 && (strcmp(name, "engram") == 0 || strcmp(name, "optimizer_weights") == 0);
        if (egi_h5_kind_of(l->file, i) == EGI_H5_GROUP && !ours && !has_group(l->source, name))
            EG_TRY(add_group(l, name, i, false));
    }
    return EG_OK;
}

static eg_status add_groups(loader *l)
{
    char **names;
    int64_t n;
    bool found;
    const egi_h5_attrs *attrs = l->source->in_group ? &l->source->top : &l->source->root;
    EG_TRY(egi_keras_names_read(&names, &n, &found, l->context, attrs, "layer_names"));
    eg_status status = add_listed(l, names, n);
    if (status == EG_OK)
        status = add_unlisted(l);
    egi_keras_names_free(l->context, names, n);
    return status;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static double stored_value(const egi_keras_weight *w, const void *raw, int64_t i)
{
    if (w->info.type.size == 8)
        return ((const double *)raw)[i];
    if (w->info.type.size == 4)
        return ((const float *)raw)[i];
    return egi_half_to_float(((const uint16_t *)raw)[i]);
}

static eg_status convert(const egi_tensor *to, const egi_keras_weight *w, const void *raw)
{
    for (int64_t i = 0; i < w->info.count; i++) {
        const double stored = stored_value(w, raw, i);
        const double value = to->dtype == EGI_F32 ? (float)stored : stored;
        if (!isfinite(value))
            return egi_fail(EG_ERR_FORMAT, "layer '%s': %s: element %lld is %s%s; weights must be finite", w->layer,
                            w->param, (long long)i,
                            isnan(stored)   ? "nan"
                            : isinf(stored) ? "inf"
                                            : "too large for",
                            isnan(stored) || isinf(stored) ? "" : " single precision");
        if (to->dtype == EGI_F32)
            ((float *)to->data)[i] = (float)value;
        else
            ((double *)to->data)[i] = value;
    }
    return EG_OK;
}

static eg_status load_weight(loader *l, eg_model *m, egi_keras_weight *w, int64_t node)
{
    EG_TRY(egi_alloc(&w->raw, l->context, w->info.count, w->info.type.size));
    EG_TRY(egi_h5_data_read(w->raw, l->file, node, &w->info));
    if (!w->param)
        return EG_OK;
    const int64_t param = egi_model_find_param(m, egi_model_find_layer(m, w->layer), w->param);
    const egi_tensor view = egi_param_view(m, param);
    EG_TRY(convert(&view, w, w->raw));
    EG_TRY(egi_strdup(&m->params[param].path, l->context, w->name));
    if (w->info.type.size > egi_dtype_size(m->dtype)) /* the arena rounds: the bytes are kept for saving */
        return EG_OK;
    egi_free(l->context, w->raw);
    w->raw = NULL;
    return EG_OK;
}

static eg_status load_weights(loader *l, eg_model *m)
{
    for (int64_t i = 0; i < l->source->n_groups; i++) {
        egi_keras_group *g = &l->source->groups[i];
        const int64_t group = egi_h5_find(l->file, l->weights, g->name);
        for (int64_t k = 0; k < g->n_weights; k++) {
            egi_keras_weight *w = &g->weights[k];
            if (!w->param && w->info.type.kind == EGI_H5_OTHER) {
                egi_log(l->context, EG_LOG_WARNING,
                        "tensor '%s' of group '%s' is of an unknown type: not carried along", w->name, g->name);
                continue;
            }
            EG_TRY(load_weight(l, m, w, egi_h5_find(l->file, group, w->name)));
        }
    }
    return EG_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static eg_status open_file(loader *l, const char *path, const eg_load_options *options)
{
    EG_TRY(egi_h5_open(&l->file, l->context, path));
    EG_TRY(egi_keras_source_create(&l->source, l->context));
    EG_TRY(egi_h5_attrs_read(&l->source->root, l->file, 0));
    EG_TRY(find_weights(l));
    EG_TRY(find_config(l, options));
    return find_version(l);
}

/* Theano turned kernels around; Keras since 2.4 no longer turns them back, and so do we. */
static eg_status warn_theano(const loader *l, const eg_model *m)
{
    char *backend;
    EG_TRY(read_text(&backend, l, "backend"));
    for (int64_t i = 0; backend && strcmp(backend, "theano") == 0 && i < m->n_params; i++)
        if (m->params[i].shape.rank > 2)
            egi_log(l->context, EG_LOG_WARNING,
                    "layer '%s': the file is from the theano backend; its kernel is taken as it stands, as keras does",
                    m->layers[m->params[i].layer].path);
    egi_free(l->context, backend);
    return EG_OK;
}

static eg_status fill_model(loader *l, eg_model *m)
{
    m->source_free = egi_keras_source_free;
    m->source_clone = egi_keras_source_clone;
    EG_TRY(add_groups(l));
    l->source->config = json_deep_copy(l->config);
    if (!l->source->config)
        return egi_fail(EG_ERR_NOMEM, "model: no memory for the architecture");
    EG_TRY(egi_keras_match(&m->report, l->source, m));
    EG_TRY(load_weights(l, m));
    EG_TRY(warn_theano(l, m));
    EG_TRY(egi_engram_read(m, l->file));
    m->source = l->source;
    l->source = NULL;
    return EG_OK;
}

static eg_status load(eg_model **out, loader *l, const char *path, const eg_load_options *options)
{
    eg_model *m;
    EG_TRY(open_file(l, path, options));
    EG_TRY(egi_keras_build(&m, l->context, l->config, EGI_F32, l->keras_major));
    const eg_status status = fill_model(l, m);
    if (status != EG_OK) {
        eg_model_free(m);
        return status;
    }
    *out = m;
    return EG_OK;
}

static void close_loader(loader *l)
{
    egi_h5_close(l->file);
    egi_keras_source_free(l->context, l->source);
    json_decref(l->config);
}

static eg_status check_arguments(const void *out, const eg_context *context, const char *path,
                                 const eg_load_options *options)
{
    if (!out || !context || !path)
        return egi_fail(EG_ERR_ARG, "model: out, context and path must not be NULL");
    if (options && options->struct_size != sizeof *options)
        return egi_fail(EG_ERR_ARG, "model: the load options were made for another version");
    return EG_OK;
}

eg_status eg_model_load(eg_model **out, eg_context *context, const char *path, const eg_load_options *options)
{
    EG_TRY(check_arguments(out, context, path, options));
    loader l = {.context = context};
    const eg_status status = load(out, &l, path, options);
    close_loader(&l);
    return status == EG_OK ? status : egi_fail_prefix(status, "%s", path);
}

eg_status eg_model_unsupported(char **out, eg_context *context, const char *path, const eg_load_options *options)
{
    EG_TRY(check_arguments(out, context, path, options));
    loader l = {.context = context};
    int64_t count;
    eg_status status = open_file(&l, path, options);
    if (status == EG_OK)
        status = egi_keras_unsupported(out, &count, context, l.config, l.keras_major);
    close_loader(&l);
    return status == EG_OK ? status : egi_fail_prefix(status, "%s", path);
}
