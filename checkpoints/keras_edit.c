/* Head surgery on architectures, and building a changed one in place. */
#include "checkpoints/keras_graph.h"
#include "checkpoints/keras_source.h"

#include <string.h>

#define CHAIN_MAX 16 /* layers behind a head */

/* --- finding ------------------------------------------------------------------------------------------------------ */

/* The layer object at `path`; names may contain slashes themselves. *layers: the list it stands in. */
static json_t *find_layer(const json_t *config, const char *path, json_t **layers)
{
    json_t *list = egi_keras_layers(config);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *layer = json_array_get(list, i);
        const char *name = egi_keras_layer_name(layer);
        const size_t n = name ? strlen(name) : 0;
        if (n == 0 || strncmp(path, name, n) != 0)
            continue;
        if (path[n] == '\0') {
            *layers = list;
            return layer;
        }
        json_t *inner = path[n] == '/' ? find_layer(layer, path + n + 1, layers) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}

static eg_status find_dense(json_t **out, json_t **layers, const json_t *config, const char *path)
{
    json_t *layer = find_layer(config, path, layers);
    const char *class_name = json_string_value(json_object_get(layer, "class_name"));
    if (!layer)
        return egi_fail(EG_ERR_ARG, "head: no layer '%s' in the architecture", path);
    if (!class_name || strcmp(class_name, "Dense") != 0)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: head '%s' is a %s; a Dense layer wanted", path,
                        class_name ? class_name : "layer without a class");
    *out = layer;
    return EG_OK;
}

static eg_status no_memory(bool failed)
{
    return failed ? egi_fail(EG_ERR_NOMEM, "architecture: no memory") : EG_OK;
}

/* --- shapes that Keras 3 writes beside every input ---------------------------------------------------------------- */

/* The last dimension of recorded shapes of layer `name`'s output. */
static void set_recorded(json_t *value, const char *name, int64_t units)
{
    json_t *config = json_object_get(value, "config");
    const json_t *history = json_object_get(config, "keras_history");
    const char *from = json_string_value(json_array_get(history, 0)), *key;
    json_t *shape = json_object_get(config, "shape"), *child;
    size_t i;
    if (from && json_array_size(shape) > 0) {
        if (strcmp(from, name) == 0)
            json_array_set_new(shape, json_array_size(shape) - 1, json_integer(units));
        return;
    }
    json_array_foreach(value, i, child) set_recorded(child, name, units);
    if (json_is_object(value))
        json_object_foreach(value, key, child) set_recorded(child, name, units);
}

static bool refers_to(const json_t *value, const char *name)
{
    const char *first = json_string_value(json_array_get(value, 0)), *key;
    json_t *child;
    size_t i;
    if (first && json_is_integer(json_array_get(value, 1)))
        return strcmp(first, name) == 0;
    json_array_foreach(value, i, child) if (refers_to(child, name)) return true;
    if (json_is_object(value))
        json_object_foreach((json_t *)value, key, child) if (refers_to(child, name)) return true;
    return false;
}

/* Layers whose output is as large as their input. */
static bool keeps_shape(const json_t *layer)
{
    static const char *const names[] = {"Activation", "Softmax", "ReLU", "LeakyReLU", "Dropout"};
    const char *class_name = json_string_value(json_object_get(layer, "class_name"));
    for (size_t i = 0; class_name && i < sizeof names / sizeof *names; i++)
        if (strcmp(class_name, names[i]) == 0)
            return true;
    return false;
}

/* build_config and the like of a layer behind the head. */
static void set_build_shape(json_t *layer, int64_t units)
{
    json_t *shape = json_object_get(json_object_get(layer, "build_config"), "input_shape");
    if (json_array_size(shape) > 0 && !json_is_array(json_array_get(shape, 0)))
        json_array_set_new(shape, json_array_size(shape) - 1, json_integer(units));
}

/* Follows the head's output through layers that keep its shape. */
static void set_shapes_behind(json_t *layers, const char *name, int64_t units, bool sequential)
{
    bool behind = false;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        json_t *layer = json_array_get(layers, i), *nodes = json_object_get(layer, "inbound_nodes");
        const char *own = egi_keras_layer_name(layer);
        if (sequential ? behind : refers_to(nodes, name)) {
            set_recorded(nodes, name, units);
            set_build_shape(layer, units);
            if (!keeps_shape(layer))
                return;
            if (!sequential && own)
                set_shapes_behind(layers, own, units, false);
        }
        behind |= own && strcmp(own, name) == 0;
    }
}

/* --- units -------------------------------------------------------------------------------------------------------- */

static eg_status set_units(json_t *layer, int64_t units)
{
    json_t *config = json_object_get(layer, "config");
    const char *key = json_object_get(config, "units")        ? "units"
                      : json_object_get(config, "output_dim") ? "output_dim"
                                                              : "units";
    return no_memory(json_object_set_new(config, key, json_integer(units)) != 0);
}

eg_status egi_keras_config_set_units(json_t *config, const char *layer_path, int64_t units)
{
    json_t *layer = NULL, *layers = NULL;
    if (units < 1)
        return egi_fail(EG_ERR_ARG, "head: units of at least 1 wanted, found %lld", (long long)units);
    EG_TRY(find_dense(&layer, &layers, config, layer_path));
    EG_TRY(set_units(layer, units));
    const bool sequential = json_object_get(layer, "inbound_nodes") == NULL;
    set_shapes_behind(layers, egi_keras_layer_name(layer), units, sequential);
    return EG_OK;
}

/* --- a Sequential becomes Functional ------------------------------------------------------------------------------ */

/* [null, 10] of the tensor that the layer at `path` gives; of the model's input for a layer that is new. */
static json_t *shape_of(const eg_model *m, const char *path)
{
    const int layer = egi_model_find_layer(m, path);
    int tensor = m->inputs[0];
    for (int64_t i = m->n_calls - 1; i >= 0; i--)
        if (m->calls[i].layer == layer)
            tensor = m->calls[i].out;
    json_t *shape = json_pack("[n]");
    for (int k = 0; k < m->tensors[tensor].rank; k++)
        json_array_append_new(shape, json_integer(m->tensors[tensor].dim[k]));
    return shape;
}

/* inbound_nodes of a layer that reads `from` once. */
static json_t *make_nodes(const eg_model *m, const char *from, json_t *shape, bool keras3)
{
    if (!keras3) {
        json_decref(shape);
        return m->keras_major == 1 ? json_pack("[[[s, i, i]]]", from, 0, 0)
                                   : json_pack("[[[s, i, i, {}]]]", from, 0, 0);
    }
    return json_pack("[{s: [{s: s, s: {s: o, s: s, s: [s, i, i]}}], s: {}}]", "args", "class_name", "__keras_tensor__",
                     "config", "shape", shape, "dtype", "float32", "keras_history", from, 0, 0, "kwargs");
}

static eg_status refuse_nested(const json_t *layers)
{
    size_t i;
    json_t *layer;
    json_array_foreach((json_t *)layers, i, layer)
    {
        const char *name = egi_keras_layer_name(layer);
        if (egi_keras_layers(layer))
            return egi_fail(EG_ERR_UNSUPPORTED,
                            "unsupported: a second head beside the nested model '%s' of a Sequential; "
                            "extend or replace the head",
                            name ? name : "?");
    }
    return EG_OK;
}

/* A Sequential may begin without an InputLayer: its first layer then says the shape. */
static eg_status add_input_layer(json_t *layers, const eg_model *m)
{
    const char *class_name = json_string_value(json_object_get(json_array_get(layers, 0), "class_name"));
    if (class_name && strcmp(class_name, "InputLayer") == 0)
        return EG_OK;
    json_t *layer = json_pack("{s: s, s: {s: o, s: s, s: s}}", "class_name", "InputLayer", "config",
                              m->keras_major == 3 ? "batch_shape" : "batch_input_shape", shape_of(m, ""),
                              m->keras_major == 1 ? "input_dtype" : "dtype", "float32", "name", "input_1");
    return no_memory(!layer || json_array_insert_new(layers, 0, layer) != 0);
}

static eg_status make_functional(json_t *config, const eg_model *m)
{
    json_t *layers = egi_keras_layers(config);
    EG_TRY(refuse_nested(layers));
    EG_TRY(add_input_layer(layers, m));
    const char *before = NULL;
    bool failed = false;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        json_t *layer = json_array_get(layers, i);
        const char *name = egi_keras_layer_name(layer);
        json_t *nodes = before ? make_nodes(m, before, shape_of(m, before), m->keras_major == 3) : json_array();
        failed |= !nodes || json_object_set_new(layer, "inbound_nodes", nodes) != 0;
        failed |= json_object_set_new(layer, "name", json_string(name)) != 0;
        before = name;
    }
    const char *first = egi_keras_layer_name(json_array_get(layers, 0));
    json_t *inner = json_pack("{s: s, s: b, s: O, s: [[s, i, i]], s: [[s, i, i]]}", "name", m->name, "trainable", 1,
                              "layers", layers, "input_layers", first, 0, 0, "output_layers", before, 0, 0);
    failed |= !inner || json_object_set_new(config, "config", inner) != 0;
    failed |= json_object_set_new(config, "class_name", json_string(m->keras_major < 3 ? "Model" : "Functional")) != 0;
    return no_memory(failed);
}

/* --- a second head ------------------------------------------------------------------------------------------------ */

/* Renames references to `from` into references to `to`, in one layer's inbound_nodes. */
static void rename_inputs(json_t *value, const char *from, const char *to)
{
    const char *first = json_string_value(json_array_get(value, 0)), *key;
    json_t *child;
    size_t i;
    if (first && json_is_integer(json_array_get(value, 1))) {
        if (strcmp(first, from) == 0)
            json_array_set_new(value, 0, json_string(to));
        return;
    }
    json_array_foreach(value, i, child) rename_inputs(child, from, to);
    if (json_is_object(value))
        json_object_foreach(value, key, child) rename_inputs(child, from, to);
}

static eg_status rename_layer(json_t *layer, const char *name)
{
    json_t *config = json_object_get(layer, "config");
    bool failed = json_object_set_new(config, "name", json_string(name)) != 0;
    failed |= json_object_set_new(layer, "name", json_string(name)) != 0;
    return no_memory(failed);
}

static eg_status copy_name(char **out, const eg_model *m, const json_t *layers, const char *name, const char *suffix)
{
    EG_TRY(egi_format(out, m->context, "%s_%s", name, suffix));
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const char *other = egi_keras_layer_name(json_array_get(layers, i));
        if (!other || strcmp(other, *out) != 0)
            continue;
        const eg_status status = egi_fail(EG_ERR_ARG, "head: there is a layer '%s' already; choose another name", *out);
        egi_free(m->context, *out);
        return status;
    }
    return EG_OK;
}

static size_t place_of(const json_t *layers, const json_t *layer)
{
    size_t i = 0;
    while (json_array_get(layers, i) != layer)
        i++;
    return i;
}

/* Copies `layer` behind itself under a new name; *copy is borrowed. */
static eg_status copy_layer(json_t **copy, json_t *layers, json_t *layer, const char *name)
{
    json_t *own = json_deep_copy(layer);
    EG_TRY(no_memory(!own));
    const size_t at = place_of(layers, layer);
    EG_TRY(no_memory(json_array_insert_new(layers, at + 1, own) != 0));
    *copy = own;
    return rename_layer(own, name);
}

/* The one layer that reads `name`, or NULL; *many: there are several. */
static json_t *reader_of(const json_t *layers, const char *name, bool *many)
{
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        json_t *layer = json_array_get(layers, i);
        if (!refers_to(json_object_get(layer, "inbound_nodes"), name))
            continue;
        *many |= found != NULL;
        found = layer;
    }
    return found;
}

static bool has_params(const eg_model *m, const char *name)
{
    const int layer = egi_model_find_layer(m, name);
    return layer < 0 || m->layers[layer].n_params > 0;
}

static eg_status append_output(json_t *config, const char *name)
{
    json_t *inner = json_object_get(config, "config"), *outputs = json_object_get(inner, "output_layers");
    if (json_is_object(outputs))
        return no_memory(json_object_set_new(outputs, name, json_pack("[s, i, i]", name, 0, 0)) != 0);
    if (json_is_string(json_array_get(outputs, 0))) { /* a single output without a list around it */
        json_t *list = json_pack("[O]", outputs);
        EG_TRY(no_memory(!list || json_object_set_new(inner, "output_layers", list) != 0));
        outputs = list;
    }
    return no_memory(json_array_append_new(outputs, json_pack("[s, i, i]", name, 0, 0)) != 0);
}

typedef struct head {
    json_t *config, *layers;
    const eg_model *m;
    const char *suffix;
    int64_t units;
} head;

/* The copy of one layer of the chain; it reads `new_input` where the original reads `old_input` (NULL: the Dense layer
 * itself). */
static eg_status copy_one(char **new_name, const head *h, json_t *layer, const char *old_input, const char *new_input)
{
    json_t *copy;
    EG_TRY(copy_name(new_name, h->m, h->layers, egi_keras_layer_name(layer), h->suffix));
    EG_TRY(copy_layer(&copy, h->layers, layer, *new_name));
    if (!old_input)
        return set_units(copy, h->units);
    json_t *nodes = json_object_get(copy, "inbound_nodes");
    set_recorded(nodes, old_input, h->units);
    set_build_shape(copy, h->units);
    rename_inputs(nodes, old_input, new_input);
    return EG_OK;
}

static eg_status check_chained(const head *h, json_t *layer, int place)
{
    const char *name = egi_keras_layer_name(layer);
    if (json_array_size(json_object_get(layer, "inbound_nodes")) != 1)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: a second head beside '%s', which is called more than once; extend "
                        "or replace the head",
                        name);
    if (place > 0 && has_params(h->m, name))
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: a second head where '%s', which has weights, follows the first; "
                        "extend or replace the head",
                        name);
    return place < CHAIN_MAX
               ? EG_OK
               : egi_fail(EG_ERR_UNSUPPORTED, "unsupported: more than %d layers behind a head", CHAIN_MAX);
}

static eg_status copy_next(char **names, int *n, const head *h, json_t **layer, const char **old)
{
    bool many = false;
    EG_TRY(check_chained(h, *layer, *n));
    EG_TRY(copy_one(&names[*n], h, *layer, *old, *n ? names[*n - 1] : NULL));
    ++*n;
    *old = egi_keras_layer_name(*layer);
    *layer = reader_of(h->layers, *old, &many);
    return many ? egi_fail(EG_ERR_UNSUPPORTED,
                           "unsupported: a second head where several layers read '%s'; extend or replace "
                           "the head",
                           *old)
                : EG_OK;
}

/* Copies the Dense layer and, one after the other, what reads it; the last copy becomes an output. */
static eg_status copy_chain(char **first, const head *h, json_t *layer)
{
    char *names[CHAIN_MAX] = {NULL};
    const char *old = NULL;
    int n = 0;
    eg_status status = EG_OK;
    while (layer && status == EG_OK)
        status = copy_next(names, &n, h, &layer, &old);
    if (status == EG_OK)
        status = append_output(h->config, names[n - 1]);
    if (status == EG_OK) {
        *first = names[0];
        names[0] = NULL;
    }
    for (int i = 0; i < CHAIN_MAX; i++)
        egi_free(h->m->context, names[i]);
    return status;
}

eg_status egi_keras_config_add_head(char **new_path, json_t *config, const eg_model *model, const char *layer_path,
                                    const char *suffix, int64_t units)
{
    json_t *layer = NULL, *layers = NULL;
    if (units < 1)
        return egi_fail(EG_ERR_ARG, "head: units of at least 1 wanted, found %lld", (long long)units);
    EG_TRY(find_dense(&layer, &layers, config, layer_path));
    if (layers != egi_keras_layers(config))
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: a second head inside the nested model of '%s'; extend or replace the "
                        "head",
                        layer_path);
    if (!json_object_get(layer, "inbound_nodes"))
        EG_TRY(make_functional(config, model));
    const head h = {config, layers, model, suffix, units};
    return copy_chain(new_path, &h, layer);
}

/* --- building again ----------------------------------------------------------------------------------------------- */

static eg_status keep_values(eg_model *fresh, const eg_model *m)
{
    for (int64_t i = 0; i < fresh->n_params; i++) {
        egi_param *p = &fresh->params[i];
        const int layer = egi_model_find_layer(m, fresh->layers[p->layer].path);
        const int64_t old = layer < 0 ? -1 : egi_model_find_param(m, layer, p->name);
        if (old < 0)
            continue;
        p->frozen = m->params[old].frozen;
        if (m->params[old].path)
            EG_TRY(egi_strdup(&p->path, m->context, m->params[old].path));
        if (!egi_shape_equal(&p->shape, &m->params[old].shape))
            continue;
        const egi_tensor to = egi_param_view(fresh, i), from = egi_param_view(m, old);
        memcpy(to.data, from.data, (size_t)p->count * egi_dtype_size(m->dtype));
    }
    for (int64_t i = 0; i < fresh->n_layers; i++) {
        const int old = egi_model_find_layer(m, fresh->layers[i].path);
        if (old >= 0)
            fresh->layers[i].frozen = m->layers[old].frozen;
    }
    return EG_OK;
}

/* What belongs to the file or to this run moves over; the rest of `fresh` is new. */
static void move_rest(eg_model *fresh, eg_model *m)
{
    json_t *meta = fresh->meta;
    fresh->meta = m->meta;
    m->meta = meta;
    fresh->extras = m->extras;
    fresh->n_extras = m->n_extras;
    fresh->extras_capacity = m->extras_capacity;
    m->extras = NULL;
    m->n_extras = m->extras_capacity = 0;
    fresh->source = m->source;
    fresh->source_free = m->source_free;
    fresh->source_clone = m->source_clone;
    m->source = NULL;
    fresh->report = m->report;
    fresh->batchnorm_frozen = m->batchnorm_frozen;
}

eg_status egi_keras_rebuild(eg_model *m, json_t *new_config)
{
    eg_model *fresh;
    EG_TRY(egi_keras_build(&fresh, m->context, new_config, m->dtype, m->keras_major));
    const eg_status status = keep_values(fresh, m);
    if (status != EG_OK) {
        eg_model_free(fresh);
        return status;
    }
    egi_model_drop_cache(m);
    move_rest(fresh, m);
    const eg_model old = *m;
    *m = *fresh;
    *fresh = old;
    eg_model_free(fresh);
    return EG_OK;
}

/* --- as text ------------------------------------------------------------------------------------------------------ */

eg_status egi_keras_architecture(char **out, const eg_model *m)
{
    if (!m->config)
        return egi_fail(EG_ERR_STATE, "model '%s' has no Keras architecture", m->name);
    eg_model_info info;
    egi_keras_info(m, &info);
    json_t *copy = json_copy(m->config);
    EG_TRY(no_memory(!copy));
    if (info.keras_version[0] && !json_object_get(copy, "keras_version"))
        json_object_set_new(copy, "keras_version", json_string(info.keras_version));
    const eg_status status = egi_keras_dump(out, m->context, copy, 0);
    json_decref(copy);
    return status;
}
