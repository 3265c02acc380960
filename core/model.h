/** core/model.h: a graph of layers whose parameters lie in one flat arena. */
#ifndef EGI_MODEL_H
#define EGI_MODEL_H

#include "core/layer.h"
#include "engram/model.h"

#define EGI_ARENA_ALIGN 16 /* elements: every parameter begins on a cache line */

typedef struct egi_param {
    char *name; /* Keras' name in its layer: "kernel" */
    char *path; /* weight name in the file, e.g. "conv/kernel:0"; NULL for new ones; owned */
    int layer;
    egi_shape shape;
    int64_t offset, count; /* elements in the arena */
    bool state;            /* moving statistics: saved, not trained by gradient */
    bool frozen;           /* no gradient, no update */
    double l1, l2;         /* from the file's regularizers, Keras' convention (no 1/2) */
    egi_init init;
} egi_param;

/** What "<param>_regularizer" of a layer's config asks for. */
typedef struct egi_regularizer {
    char param[24]; /* "kernel"; "" ends the list */
    double l1, l2;
} egi_regularizer;

typedef struct egi_layer {
    const egi_layer_type *type;
    char *name; /* Keras' name, unique in its (sub)model */
    char *path; /* "outer/inner/name" for nested models, else the name */
    void *config;
    bool trainable; /* as the file says */
    bool frozen;    /* as this run says: no gradient; batch norm in inference mode */
    int first_param, n_params;
    egi_regularizer regularizers[6];
} egi_layer;

#define EGI_CALL_MAX 64

/** One use of a layer: tensors in, tensor out. In topological order. */
typedef struct egi_call {
    int layer;
    int n_in;
    int in[EGI_CALL_MAX];
    int out;
    int training; /* -1: as the pass; 0: recorded training=False */
} egi_call;

/** A named array or text carried in the file's group `engram`. */
typedef struct egi_extra {
    char *name;   /* path in the group, e.g. "memory/x"; letters, digits, '_', '.', '/' */
    egi_tensor t; /* owned data */
} egi_extra;

struct eg_model {
    eg_context *context;
    egi_dtype dtype; /* of the arena: f32; f64 in tests */
    int keras_major; /* generation of the file: 1, 2, 3 */
    char *name;

    egi_layer *layers;
    int64_t n_layers, layers_capacity;
    egi_call *calls;
    int64_t n_calls, calls_capacity;
    egi_shape *tensors; /* per-sample shapes */
    int64_t n_tensors, tensors_capacity;
    int inputs[16], outputs[16];
    int n_inputs, n_outputs;

    egi_param *params;
    int64_t n_params, params_capacity;
    void *weights;         /* the arena */
    int64_t arena_count;   /* elements, with padding */
    bool batchnorm_frozen; /* this run: batch norm uses its stored statistics and does not move them (default false) */

    /* What the file said, kept so that saving gives it back; owned by whoever set it. */
    json_t *config; /* the architecture: {"class_name": ..., "config": ...}, owned reference; NULL: none */
    void *source;   /* checkpoints/: flavour, attributes, weight names */
    void (*source_free)(eg_context *context, void *source);
    void *(*source_clone)(eg_context *context, const void *source); /* NULL on failure */

    json_t *meta; /* object: class names, preprocessing, scores...; group `engram`, attribute `meta`; never NULL once
                     finished */
    egi_extra *extras; /* arrays of the group `engram`: the memory */
    int64_t n_extras, extras_capacity;
    eg_load_report report;

    void
        *cache; /* api/: the plan of eg_model_predict(), the texts of eg_model_get_info(); stands on the layout above */
    void (*cache_free)(eg_context *context, void *cache);
};

/* --- building (checkpoints/ and tests do this) -------------------------------------------------------------------- */

EG_MUST_USE eg_status egi_model_create(eg_model **out, eg_context *context, egi_dtype dtype, int keras_major);
/** Adds a layer with its Keras config (an object; generic keys such as name, dtype, initializers are understood,
 * unknown keys with a value other than null/false/empty are refused). `path` may be NULL: the name. Sets *layer. */
EG_MUST_USE eg_status egi_model_add_layer(eg_model *model, const egi_layer_type *type, const json_t *config,
                                          const char *path, int *layer);
/** Adds a model input of per-sample `shape`; sets its tensor. */
EG_MUST_USE eg_status egi_model_add_input(eg_model *model, const egi_shape *shape, int *tensor);
/** Calls a layer on tensors; runs its build; sets the output tensor. */
EG_MUST_USE eg_status egi_model_call(eg_model *model, int layer, const int *in, int n_in, int training, int *out);
EG_MUST_USE eg_status egi_model_add_output(eg_model *model, int tensor);
/** Lays out and allocates the arena; fresh parameters are drawn by their initializers with (context seed, EGI_RNG_INIT,
 * parameter). */
EG_MUST_USE eg_status egi_model_finish(eg_model *model);

/** Whoever changes layers, calls or weights of a model that may have predicted calls this first. */
void egi_model_drop_cache(eg_model *model);

/* --- asking ------------------------------------------------------------------------------------------------------- */

int egi_model_find_layer(const eg_model *model, const char *path); /* -1: none */
/** A view of a parameter in the arena. */
egi_tensor egi_param_view(const eg_model *model, int64_t param);
/** Index of a layer's parameter by name; -1: none. */
int64_t egi_model_find_param(const eg_model *model, int layer, const char *name);
/** A zeroed arena of the model's layout (gradients, moments, importance, anchors). Owner: caller, egi_free(). */
EG_MUST_USE eg_status egi_model_arena(void *out, const eg_model *model);

/** Carries an array in the file's group `engram`; replaces one of the same name; `data` is copied. */
EG_MUST_USE eg_status egi_model_set_extra(eg_model *model, const char *name, const egi_tensor *t);
const egi_tensor *egi_model_extra(const eg_model *model, const char *name); /* NULL: none */
void egi_model_drop_extras(eg_model *model, const char *prefix);

/* --- running ------------------------------------------------------------------------------------------------------ */

typedef struct egi_model_io {
    egi_val in[16], out[16];
    egi_val *params; /* a bound value a parameter; owned by the caller, egi_free(); NULL after a failure */
} egi_model_io;

/** Emits the forward pass. Parameters are bound to the model's arena; where `grads` (an arena) is not NULL, unfrozen
 * parameters are leaves whose gradients go there; where `squares` is not NULL, their squared per-sample gradients are
 * summed there. */
EG_MUST_USE eg_status egi_model_emit(const eg_model *model, egi_plan *plan, void *grads, void *squares,
                                     egi_model_io *io);
/** The same on values that the plan computes, one an input (of the plan's dtype and the input's shape in a batch). */
EG_MUST_USE eg_status egi_model_emit_from(const eg_model *model, egi_plan *plan, const egi_val *inputs, void *grads,
                                          void *squares, egi_model_io *io);

#endif
