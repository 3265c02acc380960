/* Architecture JSON to a graph: Sequential (a list in Keras 1, an object later), Functional (nested lists in Keras 1
 * and 2,
 * __keras_tensor__ in Keras 3). */
#include "checkpoints/keras_graph.h"

#include "layers/layers.h"

#include <string.h>

#define LAYERS_MAX 10000 /* of one model */
#define NESTED_MAX 16    /* models inside models */
#define LISTS_MAX  8     /* lists inside lists of a call's inputs */

/* --- small things ------------------------------------------------------------------------------------------------- */

eg_status egi_keras_parse(json_t **out, const char *text, const char *subject)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return egi_fail(EG_ERR_FORMAT, "%s: JSON wanted, line %d: %s", subject, error.line, error.text);
    *out = root;
    return EG_OK;
}

eg_status egi_keras_dump(char **out, eg_context *context, const json_t *json, size_t flags)
{
    char *text;
    flags |= JSON_ENSURE_ASCII;
    const size_t bytes = json_dumpb(json, NULL, 0, flags);
    if (bytes == 0)
        return egi_fail(EG_ERR_INTERNAL, "json: a value that cannot be written");
    EG_TRY(egi_alloc(&text, context, (int64_t)bytes + 1, 1));
    json_dumpb(json, text, bytes, flags);
    *out = text;
    return EG_OK;
}

eg_status egi_keras_path(char **out, eg_context *context, const char *outer, const char *name)
{
    return outer[0] ? egi_format(out, context, "%s/%s", outer, name) : egi_strdup(out, context, name);
}

json_t *egi_keras_layers(const json_t *config)
{
    json_t *inner = json_object_get(config, "config");
    json_t *list = json_is_array(inner) ? inner : json_object_get(inner, "layers");
    return json_is_array(list) ? list : NULL;
}

const char *egi_keras_layer_name(const json_t *layer)
{
    const char *name = json_string_value(json_object_get(layer, "name"));
    return name ? name : json_string_value(json_object_get(json_object_get(layer, "config"), "name"));
}

static const char *json_kind(const json_t *v)
{
    static const char *const names[] = {"an object", "a list", "text", "a number", "a number", "true", "false", "null"};
    return v ? names[json_typeof(v)] : "nothing";
}

static eg_status wrong(const char *layer, const char *key, const char *wanted, const json_t *found)
{
    return egi_fail(EG_ERR_FORMAT, "architecture: '%s': %s: %s wanted, found %s", layer, key, wanted, json_kind(found));
}

void egi_keras_graph_free(egi_keras_graph *g)
{
    if (!g)
        return;
    eg_context *c = g->context;
    for (int64_t i = 0; i < g->n_layers; i++) {
        egi_keras_layer *l = &g->layers[i];
        for (int64_t k = 0; k < l->n_nodes; k++) {
            egi_free(c, l->nodes[k].in);
            egi_free(c, l->nodes[k].out);
        }
        egi_free(c, l->nodes);
        egi_free(c, l->why_text);
        egi_keras_graph_free(l->model);
    }
    egi_free(c, g->layers);
    egi_free(c, g->inputs);
    egi_free(c, g->outputs);
    egi_free(c, g->path);
    json_decref(g->index);
    egi_free(c, g);
}

static bool is_model_class(const char *name)
{
    return strcmp(name, "Sequential") == 0 || strcmp(name, "Functional") == 0 || strcmp(name, "Model") == 0;
}

/* The first reason stays. */
static eg_status mark(egi_keras_graph *g, egi_keras_layer *l, const char *format, const char *what)
{
    if (l->why)
        return EG_OK;
    EG_TRY(egi_format(&l->why_text, g->context, format, what));
    l->why = l->why_text;
    return EG_OK;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static eg_status push_ref(egi_keras_graph *g, egi_keras_ref **list, int64_t *n, int64_t *capacity, egi_keras_ref ref)
{
    EG_TRY(egi_reserve(g->context, list, *n, capacity, sizeof **list));
    (*list)[(*n)++] = ref;
    return EG_OK;
}

/* [name, node, tensor, ...]. */
static eg_status take_ref(egi_keras_ref *out, const egi_keras_graph *g, const char *subject, const json_t *list)
{
    const char *name = json_string_value(json_array_get(list, 0));
    const json_t *node = json_array_get(list, 1), *tensor = json_array_get(list, 2);
    if (!name || !json_is_integer(node) || !json_is_integer(tensor))
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s': an input [layer, call, output] wanted, found %s", subject,
                        json_kind(list));
    const json_t *index = json_object_get(g->index, name);
    if (!index)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' refers to layer '%s', which is not there", subject, name);
    *out = (egi_keras_ref){json_integer_value(index), json_integer_value(node), json_integer_value(tensor)};
    return EG_OK;
}

static bool is_nothing(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/* Arguments of a call beside its inputs: training=False is understood, nothing is ignored, the rest is unsupported. */
static eg_status take_arguments(egi_keras_graph *g, egi_keras_layer *l, egi_keras_node *node, const json_t *arguments)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)arguments, key, value)
    {
        if (strcmp(key, "training") == 0 && (json_is_false(value) || json_integer_value(value) == 0)) {
            if (json_is_false(value) || json_is_integer(value))
                node->training = 0;
            else if (!json_is_null(value))
                EG_TRY(mark(g, l, "it is always called with %s=True", key));
        } else if (!is_nothing(value)) {
            EG_TRY(mark(g, l, "it is called with the argument '%s'", key));
        }
    }
    return EG_OK;
}

/* Keras 1 and 2: references in lists in lists; a reference may end in an object of arguments. */
static eg_status take_lists(egi_keras_graph *g, egi_keras_layer *l, egi_keras_node *node, const json_t *list, int depth)
{
    if (json_is_string(json_array_get(list, 0))) {
        egi_keras_ref ref;
        EG_TRY(take_ref(&ref, g, l->name, list));
        EG_TRY(take_arguments(g, l, node, json_array_get(list, 3)));
        return push_ref(g, &node->in, &node->n_in, &node->in_capacity, ref);
    }
    if (!json_is_array(list) || depth == LISTS_MAX)
        return wrong(l->name, "inbound_nodes", "lists of inputs", list);
    for (size_t i = 0; i < json_array_size(list); i++)
        EG_TRY(take_lists(g, l, node, json_array_get(list, i), depth + 1));
    return EG_OK;
}

/* Keras 3: tensors, lists of tensors, and for operations numbers too. */
static eg_status take_tensors(egi_keras_graph *g, egi_keras_layer *l, egi_keras_node *node, const json_t *arg,
                              int depth)
{
    const char *class_name = json_string_value(json_object_get(arg, "class_name"));
    if (class_name && strcmp(class_name, "__keras_tensor__") == 0) {
        egi_keras_ref ref;
        const json_t *history = json_object_get(json_object_get(arg, "config"), "keras_history");
        EG_TRY(take_ref(&ref, g, l->name, history));
        return push_ref(g, &node->in, &node->n_in, &node->in_capacity, ref);
    }
    if (json_is_null(arg))
        return EG_OK;
    if (!json_is_array(arg) || depth == LISTS_MAX)
        return mark(g, l, "it is an operation on %s", json_kind(arg));
    for (size_t i = 0; i < json_array_size(arg); i++)
        EG_TRY(take_tensors(g, l, node, json_array_get(arg, i), depth + 1));
    return EG_OK;
}

static eg_status take_node(egi_keras_graph *g, egi_keras_layer *l, const json_t *json)
{
    EG_TRY(EGI_RESERVE(g->context, l->nodes, l->n_nodes, l->nodes_capacity));
    egi_keras_node *node = &l->nodes[l->n_nodes++];
    *node = (egi_keras_node){.training = -1};
    const json_t *args = json_object_get(json, "args");
    if (json_is_array(json))
        return take_lists(g, l, node, json, 0);
    if (!json_is_array(args))
        return wrong(l->name, "inbound_nodes", "a list, or an object with args", json);
    for (size_t i = 0; i < json_array_size(args); i++)
        EG_TRY(take_tensors(g, l, node, json_array_get(args, i), 0));
    return take_arguments(g, l, node, json_object_get(json, "kwargs"));
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

static eg_status parse_model(egi_keras_graph **out, eg_context *context, const json_t *config, const char *path,
                             int depth);

static eg_status take_layer(egi_keras_graph *g, const json_t *json, int depth)
{
    egi_keras_layer l = {.layer = -1};
    l.class_name = json_string_value(json_object_get(json, "class_name"));
    l.name = egi_keras_layer_name(json);
    l.config = json_object_get(json, "config");
    if (!l.class_name || !l.name || !l.name[0])
        return egi_fail(EG_ERR_FORMAT, "architecture: layer %lld of '%s': class_name and name wanted, found %s",
                        (long long)g->n_layers, g->name, l.class_name ? l.class_name : json_kind(json));
    if (json_object_get(g->index, l.name))
        return egi_fail(EG_ERR_FORMAT, "architecture: two layers of '%s' have the name '%s'", g->name, l.name);
    if (g->n_layers == LAYERS_MAX)
        return egi_fail(EG_ERR_FORMAT, "architecture: more than %d layers", LAYERS_MAX);
    if (json_object_set_new(g->index, l.name, json_integer(g->n_layers)) != 0)
        return egi_fail(EG_ERR_NOMEM, "architecture: no memory");
    EG_TRY(EGI_RESERVE(g->context, g->layers, g->n_layers, g->layers_capacity));
    egi_keras_layer *own = &g->layers[g->n_layers++];
    *own = l;
    if (is_model_class(l.class_name)) {
        char *path;
        EG_TRY(egi_keras_path(&path, g->context, g->path, l.name));
        const eg_status status = parse_model(&own->model, g->context, json, path, depth + 1);
        egi_free(g->context, path);
        return status;
    }
    if (!json_is_object(l.config))
        return wrong(l.name, "config", "an object", l.config);
    own->is_input = strcmp(l.class_name, "InputLayer") == 0;
    own->type = egi_layer_type_find(l.class_name);
    return EG_OK;
}

static eg_status take_refs(egi_keras_graph *g, const char *key, const json_t *json, egi_keras_ref **list, int64_t *n,
                           int64_t *capacity, int depth)
{
    const bool array = json_is_array(json);
    if (array && json_is_string(json_array_get(json, 0))) {
        egi_keras_ref ref;
        EG_TRY(take_ref(&ref, g, key, json));
        return push_ref(g, list, n, capacity, ref);
    }
    if ((!array && !json_is_object(json)) || depth == LISTS_MAX)
        return wrong(g->name, key, "a list", json);
    for (size_t i = 0; array && i < json_array_size(json); i++)
        EG_TRY(take_refs(g, key, json_array_get(json, i), list, n, capacity, depth + 1));
    const char *name;
    json_t *value;
    if (!array)
        json_object_foreach((json_t *)json, name, value) EG_TRY(take_refs(g, key, value, list, n, capacity, depth + 1));
    return EG_OK;
}

/* --- functional --------------------------------------------------------------------------------------------------- */

/* Keras 1 and 2 count a nested model's own construction as call 0 (for those built with an input), Keras 3 only in
 * output_layers and only for Functional models. Every recorded call is referred to, so the largest number tells. */
static void number_nodes(egi_keras_graph *g, bool keras3)
{
    for (int64_t i = 0; i < g->n_layers; i++)
        for (int64_t k = 0; k < g->layers[i].n_nodes; k++)
            for (int64_t r = 0; r < g->layers[i].nodes[k].n_in; r++) {
                const egi_keras_ref *ref = &g->layers[i].nodes[k].in[r];
                egi_keras_layer *from = &g->layers[ref->layer];
                if (from->model && ref->node == from->n_nodes)
                    from->first_in = from->first_out = 1;
            }
    for (int64_t i = 0; i < g->n_outputs; i++) {
        egi_keras_layer *from = &g->layers[g->outputs[i].layer];
        if (from->model && keras3)
            from->first_out = strcmp(from->class_name, "Sequential") != 0;
        else if (from->model && g->outputs[i].node == from->n_nodes)
            from->first_in = from->first_out = 1;
    }
}

static eg_status parse_functional(egi_keras_graph *g, const json_t *config, const json_t *layers)
{
    bool keras3 = false;
    for (int64_t i = 0; i < g->n_layers; i++) {
        const json_t *nodes = json_object_get(json_array_get(layers, (size_t)i), "inbound_nodes");
        if (!json_is_array(nodes))
            return wrong(g->layers[i].name, "inbound_nodes", "a list", nodes);
        for (size_t k = 0; k < json_array_size(nodes); k++) {
            EG_TRY(take_node(g, &g->layers[i], json_array_get(nodes, k)));
            keras3 |= json_is_object(json_array_get(nodes, k));
        }
    }
    EG_TRY(take_refs(g, "input_layers", json_object_get(config, "input_layers"), &g->inputs, &g->n_inputs,
                     &g->inputs_capacity, 0));
    EG_TRY(take_refs(g, "output_layers", json_object_get(config, "output_layers"), &g->outputs, &g->n_outputs,
                     &g->outputs_capacity, 0));
    for (int64_t i = 0; i < g->n_inputs; i++)
        if (!g->layers[g->inputs[i].layer].is_input)
            return egi_fail(EG_ERR_FORMAT, "architecture: '%s': input_layers names '%s', which is a %s", g->name,
                            g->layers[g->inputs[i].layer].name, g->layers[g->inputs[i].layer].class_name);
    number_nodes(g, keras3);
    return EG_OK;
}

/* --- sequential --------------------------------------------------------------------------------------------------- */

static const json_t *shape_of_layer(const egi_keras_layer *l)
{
    const json_t *shape = json_object_get(l->config, "batch_input_shape");
    return shape ? shape : json_object_get(l->config, "batch_shape");
}

static eg_status parse_sequential(egi_keras_graph *g, const json_t *config)
{
    if (g->n_layers == 0)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' has no layers", g->name);
    for (int64_t i = 0; i < g->n_layers; i++) {
        egi_keras_layer *l = &g->layers[i];
        EG_TRY(EGI_RESERVE(g->context, l->nodes, l->n_nodes, l->nodes_capacity));
        l->nodes[l->n_nodes++] = (egi_keras_node){.training = -1};
        if (i > 0)
            EG_TRY(push_ref(g, &l->nodes[0].in, &l->nodes[0].n_in, &l->nodes[0].in_capacity,
                            (egi_keras_ref){.layer = i - 1}));
    }
    const egi_keras_layer *first = &g->layers[0];
    g->input_shape = first->model ? first->model->input_shape : shape_of_layer(first);
    if (first->model && first->model->n_inputs == 1)
        g->input_shape = shape_of_layer(&first->model->layers[first->model->inputs[0].layer]);
    if (!g->input_shape)
        g->input_shape = json_object_get(json_object_get(config, "config"), "build_input_shape");
    return push_ref(g, &g->outputs, &g->n_outputs, &g->outputs_capacity, (egi_keras_ref){.layer = g->n_layers - 1});
}

/* --- models ------------------------------------------------------------------------------------------------------- */

static eg_status fill_model(egi_keras_graph *g, const json_t *config, const char *path, int depth)
{
    const char *class_name = json_string_value(json_object_get(config, "class_name"));
    const json_t *layers = egi_keras_layers(config);
    EG_TRY(egi_strdup(&g->path, g->context, path));
    if (!class_name || !is_model_class(class_name))
        return egi_fail(class_name ? EG_ERR_UNSUPPORTED : EG_ERR_FORMAT,
                        "architecture: class_name Sequential, Functional or Model wanted, found %s",
                        class_name ? class_name : json_kind(json_object_get(config, "class_name")));
    if (depth == NESTED_MAX)
        return egi_fail(EG_ERR_FORMAT, "architecture: models are nested more than %d deep", NESTED_MAX);
    g->sequential = strcmp(class_name, "Sequential") == 0;
    const char *name = egi_keras_layer_name(config);
    g->name = name ? name : "model";
    g->index = json_object();
    if (!g->index)
        return egi_fail(EG_ERR_NOMEM, "architecture: no memory");
    if (!layers)
        return wrong(g->name, "layers", "a list", json_object_get(json_object_get(config, "config"), "layers"));
    for (size_t i = 0; i < json_array_size(layers); i++)
        EG_TRY(take_layer(g, json_array_get(layers, i), depth));
    return g->sequential ? parse_sequential(g, config) : parse_functional(g, json_object_get(config, "config"), layers);
}

static eg_status parse_model(egi_keras_graph **out, eg_context *context, const json_t *config, const char *path,
                             int depth)
{
    egi_keras_graph *g;
    EG_TRY(egi_alloc(&g, context, 1, sizeof *g));
    g->context = context;
    const eg_status status = fill_model(g, config, path, depth);
    if (status != EG_OK) {
        egi_keras_graph_free(g);
        return status;
    }
    *out = g;
    return EG_OK;
}

eg_status egi_keras_graph_parse(egi_keras_graph **out, eg_context *context, const json_t *config)
{
    return parse_model(out, context, config, "", 0);
}

int egi_keras_generation(const char *version, const json_t *config)
{
    if (version && version[0] >= '1' && version[0] <= '3' && (version[1] == '.' || version[1] == '\0'))
        return version[0] - '0';
    const char *text = json_string_value(json_object_get(config, "keras_version"));
    if (text && text[0] >= '1' && text[0] <= '3')
        return text[0] - '0';
    const json_t *inner = json_object_get(config, "config"), *first = json_array_get(egi_keras_layers(config), 0);
    if (json_is_array(inner))
        return 1;
    /* Keras 3 writes batch_shape; tf.keras 2 files without a version are the common rest. */
    return json_object_get(json_object_get(first, "config"), "batch_shape") ? 3 : 2;
}
