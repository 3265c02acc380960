/** checkpoints/keras_graph.h: a parsed architecture: layers, nested models and the nodes that connect them. */
#ifndef EGI_KERAS_GRAPH_H
#define EGI_KERAS_GRAPH_H

#include "checkpoints/keras_config.h"

typedef struct egi_keras_graph egi_keras_graph;

/** "output `tensor` of call `node` of layer `layer`". */
typedef struct egi_keras_ref {
    int64_t layer, node, tensor;
} egi_keras_ref;

/** One call of a layer. */
typedef struct egi_keras_node {
    egi_keras_ref *in;
    int64_t n_in, in_capacity;
    int training; /* -1: as the pass; 0: recorded training=False */
    int state;    /* while a graph runs: 0 to do, 1 waits for its inputs, 2 done */
    int *out;     /* tensors of the model */
    int n_out;
} egi_keras_node;

typedef struct egi_keras_layer {
    const char *name, *class_name; /* borrowed from the JSON */
    const json_t *config;
    const egi_layer_type *type; /* NULL: a nested model, or unsupported */
    egi_keras_graph *model;     /* nested */
    const char *why;            /* unsupported for this reason, or NULL */
    char *why_text;             /* owned */
    bool is_input;
    int layer; /* index in the built model, -1: not yet */
    egi_keras_node *nodes;
    int64_t n_nodes, nodes_capacity;
    int64_t first_in, first_out; /* number of the first node as inputs and as outputs count them */
} egi_keras_layer;

struct egi_keras_graph {
    eg_context *context;
    const char *name; /* borrowed */
    char *path;       /* of the model in its outer model, "" for the whole */
    bool sequential;
    egi_keras_layer *layers;
    int64_t n_layers, layers_capacity;
    json_t *index; /* name -> number */
    egi_keras_ref *inputs, *outputs;
    int64_t n_inputs, inputs_capacity, n_outputs, outputs_capacity;
    const json_t *input_shape; /* of a Sequential: with the batch in front; NULL: not said */
};

/** Parses `config`. Layers that are not supported are marked, not refused. Owner: caller, egi_keras_graph_free().
 *  Errors: FORMAT, NOMEM. `config` must outlive it. */
EG_MUST_USE eg_status egi_keras_graph_parse(egi_keras_graph **out, eg_context *context, const json_t *config);
void egi_keras_graph_free(egi_keras_graph *graph);

/** "outer/inner" or "inner". Owner: caller, egi_free(). */
EG_MUST_USE eg_status egi_keras_path(char **out, eg_context *context, const char *outer, const char *name);

/** JSON text, ASCII only; `flags` are jansson's. Owner: caller, egi_free(). */
EG_MUST_USE eg_status egi_keras_dump(char **out, eg_context *context, const json_t *json, size_t flags);

/** The array of layer objects of a model's config, of any generation; NULL: none. */
json_t *egi_keras_layers(const json_t *config);
/** A layer object's name; NULL: none. */
const char *egi_keras_layer_name(const json_t *layer);

#endif
