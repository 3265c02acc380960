/** engram/model.h: networks: load, look at, predict, save. */
#ifndef ENGRAM_MODEL_H
#define ENGRAM_MODEL_H

#include "engram/context.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eg_model eg_model;

typedef struct eg_load_options {
    size_t struct_size;
    const char *arch; /**< path of an architecture JSON, for a file that brings none (weights only); or NULL */
} eg_load_options;
#define EG_LOAD_OPTIONS_INIT          \
    {                                 \
        sizeof(eg_load_options), NULL \
    }

/** How the tensors of a file found their parameters. */
typedef struct eg_load_report {
    int64_t wanted;      /**< parameters of the network */
    int64_t by_path;     /**< found by path and name */
    int64_t by_position; /**< found by position, shapes checked (a warning was logged) */
    int64_t skipped;     /**< tensors of the file that no parameter asked for */
} eg_load_report;

/** Loads a Keras HDF5 file (full, or weights only with `arch`). `options` may be NULL. Owner: caller, eg_model_free().
 *  Errors: IO, FORMAT (malformed or hostile file), UNSUPPORTED (names all unsupported layers at once), SHAPE, NOMEM. */
EG_API EG_MUST_USE eg_status eg_model_load(eg_model **out, eg_context *context, const char *path,
                                           const eg_load_options *options);

/** Writes the same flavour of file that was loaded, by atomic rename. Errors: IO, NOMEM. */
EG_API EG_MUST_USE eg_status eg_model_save(const eg_model *model, const char *path);

/** A deep copy. Owner: caller. */
EG_API EG_MUST_USE eg_status eg_model_clone(eg_model **out, const eg_model *model);

/** NULL is fine. */
EG_API void eg_model_free(eg_model *model);

typedef struct eg_model_info {
    const char *name;
    int keras_major;           /**< generation of the file: 1, 2, 3 */
    const char *keras_version; /**< as the file says, "" when it does not */
    const char *flavour;       /**< "full h5", "weights h5" */
    int64_t layers, parameters, trainable_parameters;
    int inputs, outputs;
    int64_t classes; /**< size of the last dimension of output 0 */
    eg_load_report report;
    const char *preprocess;        /**< e.g. "unit (x/255)"; "" when unknown */
    const char *preprocess_reason; /**< e.g. "from the file", "inferred: caffe weights" */
    int64_t memory_examples;       /**< exemplars carried in the file */
    const char *memory;            /**< one line about the memory carried in the file; "" when none */
} eg_model_info;

/** Owner of the strings: the model. */
EG_API void eg_model_get_info(const eg_model *model, eg_model_info *out);

typedef struct eg_layer_info {
    const char *name, *class_name;
    int64_t parameters;
    bool trainable;
    int rank;
    int64_t shape[8]; /**< of the output, without the batch */
} eg_layer_info;

/** Layer `index` of info.layers. Errors: ARG. */
EG_API EG_MUST_USE eg_status eg_model_get_layer(const eg_model *model, int64_t index, eg_layer_info *out);

/** Per-sample shape of an input or output; returns the rank, 0 when there is none. `shape` has room for 8. */
EG_API int eg_model_input_shape(const eg_model *model, int index, int64_t *shape);
EG_API int eg_model_output_shape(const eg_model *model, int index, int64_t *shape);

/** Name of class `index` of the head, or NULL when the file names none. Owner: the model. */
EG_API const char *eg_model_class_name(const eg_model *model, int64_t index);

/** Bytes that a batch of this size needs beside the parameters. Errors: NOMEM. */
EG_API EG_MUST_USE eg_status eg_model_plan_bytes(eg_model *model, int64_t batch, bool training, int64_t *bytes);

/** Raw outputs: x[i]: (n, input shape i) f32, y[j]: (n, output shape j) f32, both the caller's. No preprocessing is
 * done. Errors: ARG, NOMEM, DEVICE. */
EG_API EG_MUST_USE eg_status eg_model_predict(eg_model *model, const float *const *x, int64_t n, float *const *y);

/** How far the parameters of layer `index` of `a` moved in `b` (same path and shapes): |b - a| / |a|, 0 where a layer
 * has none, NaN where `b` has no such layer or other shapes. Errors: ARG. */
EG_API EG_MUST_USE eg_status eg_model_drift(const eg_model *a, const eg_model *b, int64_t index, double *drift);

/** Trains a small network on synthetic data on this context's device and checks gradients against the reference
 * kernels. *out: the findings in lines; caller, eg_text_free(). *ok: all good. Errors: NOMEM, DEVICE. */
EG_API EG_MUST_USE eg_status eg_selftest(char **out, bool *ok, eg_context *context);

/** All layers of a file that this version cannot run, as lines "name (ClassName): why"; "" when it can run all.
 *  Works where eg_model_load() fails with UNSUPPORTED. Owner of *out: caller, eg_text_free(). */
EG_API EG_MUST_USE eg_status eg_model_unsupported(char **out, eg_context *context, const char *path,
                                                  const eg_load_options *options);

EG_API void eg_text_free(eg_context *context, char *text);

#ifdef __cplusplus
}
#endif
#endif
