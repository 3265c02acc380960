/* A parsed architecture to a model: layers are declared once, then every node becomes a call. */
#include "checkpoints/keras_graph.h"

#include <string.h>

#define LAYERS_MAX  10000  /* of all nested models together */
#define CALLS_MAX   100000 /* nested shared models multiply */
#define WAIT_MAX    1000   /* layers that stand in the file before their inputs */
#define OUTPUTS_MAX 64     /* of a nested model */
#define LINES_MAX   200    /* unsupported layers that are named */

/* --- declaring layers --------------------------------------------------------------------------------------------- */

static eg_status declare_layers(eg_model *m, egi_keras_graph *g)
{
    for (int64_t i = 0; i < g->n_layers; i++) {
        egi_keras_layer *l = &g->layers[i];
        if (l->model) {
            EG_TRY(declare_layers(m, l->model));
            continue;
        }
        char *path;
        if (m->n_layers == LAYERS_MAX)
            return egi_fail(EG_ERR_FORMAT, "architecture: more than %d layers", LAYERS_MAX);
        EG_TRY(egi_keras_path(&path, m->context, g->path, l->name));
        const eg_status status = egi_model_add_layer(m, l->type, l->config, path, &l->layer);
        egi_free(m->context, path);
        EG_TRY(status);
    }
    return EG_OK;
}

/* [null, 28, 28, 1] without the batch. */
static eg_status take_shape(egi_shape *out, const char *layer, const json_t *json)
{
    const size_t n = json_array_size(json);
    if (!json_is_array(json) || n < 1 || n > EGI_MAX_RANK)
        return egi_fail(EG_ERR_FORMAT,
                        "architecture: '%s': a shape with the batch in front wanted (batch_shape, "
                        "batch_input_shape)",
                        layer);
    egi_shape s = {.rank = (int)n - 1};
    for (size_t i = 1; i < n; i++) {
        const json_t *dim = json_array_get(json, i);
        s.dim[i - 1] = json_integer_value(dim);
        if (json_is_null(dim))
            return egi_fail(EG_ERR_UNSUPPORTED,
                            "unsupported: '%s': dimension %zu of the input is open (null); save the "
                            "model with a fixed size",
                            layer, i);
        if (!json_is_integer(dim) || s.dim[i - 1] < 1 || s.dim[i - 1] > EGI_DIM_MAX)
            return egi_fail(EG_ERR_FORMAT, "architecture: '%s': dimension %zu of the input is no positive integer",
                            layer, i);
    }
    *out = s;
    return EG_OK;
}

static eg_status add_input(eg_model *m, const char *layer, const json_t *shape, const json_t *config, int *tensor)
{
    egi_shape s;
    if (json_is_true(json_object_get(config, "sparse")) || json_is_true(json_object_get(config, "ragged")))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: '%s': sparse and ragged inputs", layer);
    EG_TRY(take_shape(&s, layer, shape));
    const eg_status status = egi_model_add_input(m, &s, tensor);
    return status == EG_OK ? status : egi_fail_prefix(status, "'%s'", layer);
}

/* --- calling ------------------------------------------------------------------------------------------------------ */

typedef struct run {
    eg_model *m;
    egi_keras_graph *g;
    int training; /* of the call of the model: -1 or 0 */
    int *waiting; /* nodes that wait for their inputs, in all models: bounds the stack */
} run;

static eg_status call_model(const run *outer, egi_keras_graph *g, const int *in, int64_t n_in, int training);

static eg_status set_outputs(run *r, egi_keras_node *node, const int *out, int n)
{
    egi_free(r->m->context, node->out);
    node->out = NULL;
    EG_TRY(egi_alloc(&node->out, r->m->context, n, sizeof *node->out));
    memcpy(node->out, out, (size_t)n * sizeof *out);
    node->n_out = n;
    node->state = 2;
    return EG_OK;
}

static eg_status resolve(const run *r, const char *subject, const egi_keras_ref *ref, bool output,
                         egi_keras_node **node)
{
    egi_keras_layer *from = &r->g->layers[ref->layer];
    const int64_t first = output ? from->first_out : from->first_in, at = ref->node - first;
    if (at < 0 || at >= from->n_nodes)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' refers to call %lld of '%s', which has %lld", subject,
                        (long long)ref->node, from->name, (long long)from->n_nodes);
    *node = &from->nodes[at];
    return EG_OK;
}

static eg_status tensor_of(const run *r, const char *subject, const egi_keras_ref *ref, const egi_keras_node *node,
                           int *tensor)
{
    if (ref->tensor < 0 || ref->tensor >= node->n_out)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' refers to output %lld of '%s', which has %d", subject,
                        (long long)ref->tensor, r->g->layers[ref->layer].name, node->n_out);
    *tensor = node->out[ref->tensor];
    return EG_OK;
}

static eg_status run_node(run *r, egi_keras_layer *l, egi_keras_node *node);

/* The tensors that a node reads; nodes that were not run yet are run first. */
static eg_status gather(run *r, egi_keras_layer *l, egi_keras_node *node, int *in)
{
    for (int64_t i = 0; i < node->n_in; i++) {
        egi_keras_node *from = NULL;
        EG_TRY(resolve(r, l->name, &node->in[i], false, &from));
        EG_TRY(run_node(r, &r->g->layers[node->in[i].layer], from));
        EG_TRY(tensor_of(r, l->name, &node->in[i], from, &in[i]));
    }
    return EG_OK;
}

static eg_status call_layer(run *r, egi_keras_layer *l, egi_keras_node *node, const int *in, int64_t n, int training)
{
    int out;
    if (r->m->n_calls == CALLS_MAX)
        return egi_fail(EG_ERR_FORMAT, "architecture: more than %d calls of layers", CALLS_MAX);
    EG_TRY(egi_model_call(r->m, l->layer, in, (int)n, training, &out));
    return set_outputs(r, node, &out, 1);
}

static eg_status run_layer(run *r, egi_keras_layer *l, egi_keras_node *node, const int *in)
{
    const int training = node->training >= 0 ? node->training : r->training;
    if (!l->model)
        return call_layer(r, l, node, in, node->n_in, training);
    EG_TRY(call_model(r, l->model, in, node->n_in, training));
    int out[OUTPUTS_MAX];
    const int64_t n = l->model->n_outputs;
    const run inner = {.m = r->m, .g = l->model};
    for (int64_t i = 0; i < n; i++) {
        egi_keras_node *from = NULL;
        EG_TRY(resolve(&inner, l->name, &l->model->outputs[i], true, &from));
        EG_TRY(tensor_of(&inner, l->name, &l->model->outputs[i], from, &out[i]));
    }
    return set_outputs(r, node, out, (int)n);
}

static eg_status run_node(run *r, egi_keras_layer *l, egi_keras_node *node)
{
    int in[EGI_CALL_MAX];
    if (node->state == 2)
        return EG_OK;
    if (node->state == 1)
        return egi_fail(EG_ERR_FORMAT, "architecture: layer '%s' is its own input (a cycle)", l->name);
    if (node->n_in < 1)
        return egi_fail(EG_ERR_FORMAT, "architecture: layer '%s' has no input", l->name);
    if (node->n_in > EGI_CALL_MAX)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: layer '%s' has %lld inputs, at most %d", l->name,
                        (long long)node->n_in, EGI_CALL_MAX);
    if (*r->waiting == WAIT_MAX)
        return egi_fail(EG_ERR_FORMAT, "architecture: more than %d layers stand before their inputs", WAIT_MAX);
    node->state = 1;
    ++*r->waiting;
    EG_TRY(gather(r, l, node, in));
    EG_TRY(run_layer(r, l, node, in));
    --*r->waiting;
    return EG_OK;
}

static void forget_outputs(egi_keras_graph *g)
{
    for (int64_t i = 0; i < g->n_layers; i++)
        for (int64_t k = 0; k < g->layers[i].n_nodes; k++) {
            g->layers[i].nodes[k].state = 0;
            g->layers[i].nodes[k].n_out = 0;
        }
}

/* An InputLayer passes its tensor on, and checks its shape. */
static eg_status feed(run *r, egi_keras_layer *l, int tensor)
{
    if (l->n_nodes == 0) {
        EG_TRY(EGI_RESERVE(r->m->context, l->nodes, l->n_nodes, l->nodes_capacity));
        l->nodes[l->n_nodes++] = (egi_keras_node){.training = -1};
    }
    return call_layer(r, l, &l->nodes[0], &tensor, 1, -1);
}

static eg_status feed_inputs(run *r, const int *in, int64_t n_in)
{
    egi_keras_graph *g = r->g;
    const int64_t wanted = g->sequential ? 1 : g->n_inputs;
    if (n_in != wanted)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' is called with %lld inputs, it has %lld", g->name,
                        (long long)n_in, (long long)wanted);
    if (!g->sequential) {
        for (int64_t i = 0; i < n_in; i++)
            EG_TRY(feed(r, &g->layers[g->inputs[i].layer], in[i]));
        return EG_OK;
    }
    egi_keras_layer *first = &g->layers[0];
    first->nodes[0].state = 1;
    if (first->is_input)
        return feed(r, first, in[0]);
    first->nodes[0].n_in = 1; /* the reference itself is not looked at: the tensor is given */
    const eg_status status = run_layer(r, first, &first->nodes[0], in);
    first->nodes[0].n_in = 0;
    return status;
}

static eg_status call_model(const run *outer, egi_keras_graph *g, const int *in, int64_t n_in, int training)
{
    run r = {.m = outer->m, .g = g, .training = training, .waiting = outer->waiting};
    if (g->n_outputs < 1 || g->n_outputs > OUTPUTS_MAX)
        return egi_fail(EG_ERR_FORMAT, "architecture: '%s' has %lld outputs, 1 to %d wanted", g->name,
                        (long long)g->n_outputs, OUTPUTS_MAX);
    forget_outputs(g);
    EG_TRY(feed_inputs(&r, in, n_in));
    for (int64_t i = 0; i < g->n_layers; i++) {
        if (g->layers[i].is_input && g->layers[i].n_nodes == 0)
            return egi_fail(EG_ERR_FORMAT, "architecture: '%s': the input layer '%s' is not among input_layers",
                            g->name, g->layers[i].name);
        for (int64_t k = 0; k < g->layers[i].n_nodes; k++)
            EG_TRY(run_node(&r, &g->layers[i], &g->layers[i].nodes[k]));
    }
    return EG_OK;
}

/* --- the whole model ---------------------------------------------------------------------------------------------- */

static eg_status add_inputs(eg_model *m, egi_keras_graph *g, int *in, int64_t *n)
{
    if (g->sequential) {
        *n = 1;
        if (!g->input_shape)
            return egi_fail(EG_ERR_UNSUPPORTED,
                            "unsupported: '%s' does not say the shape of its input; build the model "
                            "with an Input layer before saving it",
                            g->name);
        return add_input(m, g->layers[0].name, g->input_shape, g->layers[0].config, &in[0]);
    }
    if (g->n_inputs < 1 || g->n_inputs > 16)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: '%s' has %lld inputs, 1 to 16 wanted", g->name,
                        (long long)g->n_inputs);
    for (*n = 0; *n < g->n_inputs; ++*n) {
        const egi_keras_layer *l = &g->layers[g->inputs[*n].layer];
        const json_t *shape = json_object_get(l->config, "batch_input_shape");
        EG_TRY(add_input(m, l->name, shape ? shape : json_object_get(l->config, "batch_shape"), l->config, &in[*n]));
    }
    return EG_OK;
}

static eg_status fill(eg_model *m, egi_keras_graph *g)
{
    int in[16];
    int64_t n = 0;
    EG_TRY(declare_layers(m, g));
    EG_TRY(add_inputs(m, g, in, &n));
    int waiting = 0;
    const run r = {.m = m, .g = g, .waiting = &waiting};
    EG_TRY(call_model(&r, g, in, n, -1));
    for (int64_t i = 0; i < g->n_outputs; i++) {
        egi_keras_node *node = NULL;
        int tensor = -1;
        EG_TRY(resolve(&r, "output_layers", &g->outputs[i], true, &node));
        EG_TRY(tensor_of(&r, "output_layers", &g->outputs[i], node, &tensor));
        EG_TRY(egi_model_add_output(m, tensor));
    }
    egi_free(m->context, m->name);
    m->name = NULL;
    EG_TRY(egi_strdup(&m->name, m->context, g->name));
    return egi_model_finish(m);
}

/* --- what is unsupported ------------------------------------------------------------------------------------------ */

typedef struct listing {
    eg_context *context;
    eg_model *scratch; /* layers are tried out here */
    char *text;
    int64_t count;
} listing;

static const char *advice(const char *class_name)
{
    if (strcmp(class_name, "Lambda") == 0)
        return "python code inside the file; replace it by a layer";
    if (strncmp(class_name, "TFOp", 4) == 0 || strcmp(class_name, "TensorFlowOpLayer") == 0 ||
        strcmp(class_name, "SlicingOpLambda") == 0)
        return "a tensorflow operation outside any layer; replace it by a layer";
    return "no such layer in this version";
}

static eg_status add_line(listing *s, const char *path, const char *class_name, const char *why)
{
    if (s->count++ >= LINES_MAX)
        return EG_OK;
    char *text;
    EG_TRY(egi_format(&text, s->context, "%s%s (%s): %s\n", s->text, path, class_name, why));
    egi_free(s->context, s->text);
    s->text = text;
    return EG_OK;
}

/* "layer 'a' (Conv2D): unsupported: why" to "why". */
static const char *last_reason(void)
{
    static const char mark[] = "unsupported: ";
    const char *text = eg_last_message(), *at = strstr(text, mark);
    return at ? at + sizeof mark - 1 : text;
}

static eg_status try_layer(listing *s, const egi_keras_layer *l, const char *path)
{
    int unused;
    if (l->why)
        return add_line(s, path, l->class_name, l->why);
    if (!l->type)
        return add_line(s, path, l->class_name, advice(l->class_name));
    const eg_status status = egi_model_add_layer(s->scratch, l->type, l->config, path, &unused);
    return status == EG_ERR_UNSUPPORTED ? add_line(s, path, l->class_name, last_reason()) : status;
}

static eg_status list_unsupported(listing *s, const egi_keras_graph *g)
{
    for (int64_t i = 0; i < g->n_layers; i++) {
        const egi_keras_layer *l = &g->layers[i];
        char *path;
        EG_TRY(egi_keras_path(&path, s->context, g->path, l->name));
        eg_status status = EG_OK;
        if (l->model && l->why)
            status = add_line(s, path, l->class_name, l->why);
        if (status == EG_OK)
            status = l->model ? list_unsupported(s, l->model) : try_layer(s, l, path);
        egi_free(s->context, path);
        EG_TRY(status);
    }
    return EG_OK;
}

static eg_status list_graph(char **out, int64_t *count, eg_context *context, const egi_keras_graph *g, int keras_major)
{
    listing s = {.context = context};
    const eg_log_fn log = context->log;
    context->log = NULL; /* warnings about layers come when they are built */
    eg_status status = egi_strdup(&s.text, context, "");
    if (status == EG_OK)
        status = egi_model_create(&s.scratch, context, EGI_F32, keras_major);
    if (status == EG_OK)
        status = list_unsupported(&s, g);
    context->log = log;
    eg_model_free(s.scratch);
    if (status != EG_OK) {
        egi_free(context, s.text);
        return status;
    }
    *out = s.text;
    *count = s.count;
    return EG_OK;
}

eg_status egi_keras_unsupported(char **out, int64_t *count, eg_context *context, const json_t *config, int keras_major)
{
    egi_keras_graph *g;
    EG_TRY(egi_keras_graph_parse(&g, context, config));
    const eg_status status = list_graph(out, count, context, g, keras_major);
    egi_keras_graph_free(g);
    return status;
}

/* One line with as many names as fit. */
static eg_status refuse(const char *lines, int64_t count)
{
    char names[300] = "";
    size_t used = 0;
    int64_t named = 0;
    for (const char *at = lines; *at; at = strchr(at, '\n') + 1) {
        const char *end = strstr(at, "): ");
        const size_t n = (size_t)(end ? end + 1 - at : 0);
        if (n == 0 || used + n + 3 > sizeof names)
            break;
        if (named++)
            names[used++] = ',', names[used++] = ' ';
        memcpy(names + used, at, n);
        used += n;
    }
    names[used] = '\0';
    if (count == 1) {
        const char *why = strstr(lines, "): ");
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported layer: %s: %.*s", names, why ? (int)strcspn(why + 3, "\n") : 0,
                        why ? why + 3 : "");
    }
    if (named < count)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "%lld unsupported layers: %s and %lld more; 'inspect' names all and says why", (long long)count,
                        names, (long long)(count - named));
    return egi_fail(EG_ERR_UNSUPPORTED, "%lld unsupported layers: %s; 'inspect' says why", (long long)count, names);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static eg_status build(eg_model **out, eg_context *context, egi_keras_graph *g, egi_dtype dtype, int keras_major)
{
    char *lines;
    int64_t count;
    EG_TRY(list_graph(&lines, &count, context, g, keras_major));
    eg_status status = count ? refuse(lines, count) : EG_OK;
    egi_free(context, lines);
    EG_TRY(status);
    eg_model *m;
    EG_TRY(egi_model_create(&m, context, dtype, keras_major));
    status = fill(m, g);
    if (status != EG_OK) {
        eg_model_free(m);
        return status;
    }
    *out = m;
    return EG_OK;
}

eg_status egi_keras_build(eg_model **out, eg_context *context, json_t *config, egi_dtype dtype, int keras_major)
{
    egi_keras_graph *g;
    eg_model *m;
    EG_TRY(egi_keras_graph_parse(&g, context, config));
    const eg_status status = build(&m, context, g, dtype, keras_major);
    egi_keras_graph_free(g);
    EG_TRY(status);
    m->config = json_incref(config);
    *out = m;
    return EG_OK;
}
