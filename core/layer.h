/** core/layer.h: what a layer type is, and what its build and emit functions may call. One file and one line in
 * layers/list.def. */
#ifndef EGI_LAYER_H
#define EGI_LAYER_H

#include "core/fields.h"
#include "core/plan.h"

typedef struct egi_builder egi_builder;
typedef struct egi_emit egi_emit;

typedef enum egi_init { EGI_ZEROS, EGI_ONES, EGI_GLOROT_UNIFORM } egi_init;

/** One example of a layer for the generic tests: config in JSON and the per-sample input shapes. */
typedef struct egi_layer_case {
    const char *config;
    egi_shape in[4];
    int n_in;
} egi_layer_case;

typedef struct egi_layer_type {
    const char *keras;      /* Keras class name */
    const char *aliases[4]; /* other class names that mean this, e.g. "Convolution2D", "MaxPool2D" */
    size_t config;          /* size of the config struct, 0: none */
    const egi_field *fields;
    int n_fields;
    /** Shapes in, parameters declared, shapes out. Called once a call of the layer. Messages need not name the layer:
     * the caller does. */
    eg_status (*build)(egi_builder *b, const void *config);
    /** Emits the forward pass. */
    eg_status (*emit)(egi_emit *e, const void *config);
    /** Refuses a config that parsed but is not supported (e.g. channels_first); may be NULL. */
    eg_status (*check)(const void *config);
    const egi_layer_case *cases;
    int n_cases;
} egi_layer_type;

#define EGI_FIELDS(array)      .fields = (array), .n_fields = (int)(sizeof(array) / sizeof *(array))
#define EGI_LAYER_CASES(array) .cases = (array), .n_cases = (int)(sizeof(array) / sizeof *(array))

/* --- build -------------------------------------------------------------------------------------------------------- */

/** Per-sample shape of input `i`; n inputs. */
const egi_shape *egi_in_shape(const egi_builder *b, int i);
int egi_in_count(const egi_builder *b);
/** Dimension of input 0; negative axes count from the end. */
int64_t egi_in_dim(const egi_builder *b, int axis);
/** Declares a trainable parameter; `name` is Keras' ("kernel", "bias", "gamma"). Order is Keras' order in files. */
eg_status egi_param_add(egi_builder *b, const char *name, egi_shape shape, egi_init init);
/** Declares state that is saved but not trained by gradient ("moving_mean"). */
eg_status egi_state_add(egi_builder *b, const char *name, egi_shape shape, egi_init init);
/** Sets the per-sample shape of the output. */
eg_status egi_out_shape(egi_builder *b, egi_shape shape);
/** Output like input 0 with its last dimension replaced. */
eg_status egi_out_last(egi_builder *b, int64_t last);

/* --- emit --------------------------------------------------------------------------------------------------------- */

egi_plan *egi_emit_plan(const egi_emit *e);
egi_val egi_in(const egi_emit *e, int i);
/** How many inputs this call has. */
int egi_emit_in_count(const egi_emit *e);
/** The output value, shaped as build said (with the batch in front), for an operation to write. */
egi_val egi_out(egi_emit *e);
/** Instead of egi_out(): the output is this value (Flatten, Dropout in inference). */
void egi_out_is(egi_emit *e, egi_val v);
/** A parameter of this layer by name; EGI_NONE when build did not declare it. */
egi_val egi_weight(const egi_emit *e, const char *name);
/** Is this a training pass (dropout on)? */
bool egi_emit_training(const egi_emit *e);
/** Does batch norm use and update batch statistics here? (training pass, layer not frozen, call not recorded
 * training=False) */
bool egi_emit_batch_statistics(const egi_emit *e);
/** Number that tells this dropout from the others of the plan. */
uint32_t egi_emit_stream(egi_emit *e);
/** Keras generation of the file, 1 to 3. */
int egi_emit_keras(const egi_emit *e);

/** Emits y = act(x) into egi_out(): any named activation, softmax too. For layers whose main operation cannot fuse
 * `act`: `x` is that operation's output. */
eg_status egi_emit_act(egi_emit *e, egi_act act, egi_val x);

#endif
