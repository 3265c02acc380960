/** engram/dataset.h: examples with labels. */
#ifndef ENGRAM_DATASET_H
#define ENGRAM_DATASET_H

#include "engram/context.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eg_dataset eg_dataset;

typedef enum eg_dtype { EG_DTYPE_F32 = 0, EG_DTYPE_U8 = 2 } eg_dtype;

typedef enum eg_part { EG_PART_TRAIN = 0, EG_PART_TEST = 1, EG_PART_ALL = 2 } eg_part;

/** Loads a part of a data set: a folder of IDX files, of CIFAR binary files, of one folder per class of PNG/JPEG (with
 * train/ and test/ above them or not); an .npy/.npz, .csv, .idx file; each gzipped or not. "PATH:train" and "PATH:test"
 * override `part`. A set without a test part: asking for TEST gives all of it, and eg_dataset_has_test() is false.
 *  Owner: caller, eg_dataset_free(). Errors: IO, DATA (what, wanted, found), NOMEM. */
EG_API EG_MUST_USE eg_status eg_dataset_load(eg_dataset **out, eg_context *context, const char *path, eg_part part);

/** A set over arrays that are copied. x: (n, shape) of dtype; labels: (n) or NULL. Errors: ARG, NOMEM. */
EG_API EG_MUST_USE eg_status eg_dataset_from_arrays(eg_dataset **out, eg_context *context, const void *x,
                                                    eg_dtype dtype, int64_t n, const int64_t *shape, int rank,
                                                    const int32_t *labels);

/** How much each example counts in the loss (Keras' sample_weight; the sum is divided by the batch's size, as Keras
 * does). weights: (n), 0 to 1e6, copied. An NPZ file brings its own as array `sample_weight`. Errors: ARG, DATA, NOMEM.
 */
EG_API EG_MUST_USE eg_status eg_dataset_set_weights(eg_dataset *dataset, const float *weights);
EG_API void eg_dataset_free(eg_dataset *dataset);

typedef struct eg_dataset_info {
    const char *name;   /**< last part of the path */
    const char *format; /**< "IDX", "CIFAR binary", "image folder", "NPZ", "CSV" */
    int64_t n, classes; /**< classes 0: no labels, or regression targets */
    int inputs;
    int rank;
    int64_t shape[8]; /**< of input 0, per sample */
    eg_dtype dtype;   /**< as stored */
    bool has_test;    /**< the set brings its own test part */
} eg_dataset_info;

EG_API void eg_dataset_get_info(const eg_dataset *dataset, eg_dataset_info *out);

/** Name of a class ("0", "1" ... where the set names none). Owner: the data set. */
EG_API const char *eg_dataset_class_name(const eg_dataset *dataset, int64_t index);

/** Label of example `index`; -1 without labels. */
EG_API int32_t eg_dataset_label(const eg_dataset *dataset, int64_t index);

/** Where example `index` came from: a file name, or "name[index]". Owner: the data set; valid until the next call. */
EG_API const char *eg_dataset_source(const eg_dataset *dataset, int64_t index);

/** Examples [first, first + count) of an input as stored, converted to f32, nothing else done to them. y: (count, shape
 * of the input), the caller's. Errors: ARG. */
EG_API EG_MUST_USE eg_status eg_dataset_read(const eg_dataset *dataset, int input, int64_t first, int64_t count,
                                             float *y);

/* --- streams ------------------------------------------------------------------------------------------------------ */

/** A data set that is read front to back, some examples at a time: for sets larger than memory. */
typedef struct eg_stream eg_stream;

/** Opens what eg_dataset_load() would load, and checks all that can be checked without the examples: headers, counts,
 *  labels, names, sizes of images. IDX, NPY, CIFAR and images then come from the disk chunk by chunk; CSV, NPZ and NPY
 * in Fortran order are read whole here, and chunks are windows of them. What grows with the number of examples is only
 * the list of an image folder's files. Owner: caller, eg_stream_free(). Errors: as eg_dataset_load(). */
EG_API EG_MUST_USE eg_status eg_stream_open(eg_stream **out, eg_context *context, const char *path, eg_part part);
EG_API void eg_stream_free(eg_stream *stream);

/** As of the whole set: `n` is how many examples it has, read or not. Owner of the strings: the stream. */
EG_API void eg_stream_get_info(const eg_stream *stream, eg_dataset_info *out);

/** The next examples, at most `max` (1 or more); *chunk is NULL after the last one. Classes and their names are the
 *  whole set's, and eg_dataset_source() counts from its beginning. Owner: the stream, and the memory is used again: a
 *  chunk is valid until the next call. Errors: ARG, NOMEM, and what can be wrong in the middle of a file: DATA, IO;
 *  after those two the stream is at its end and gives STATE. */
EG_API EG_MUST_USE eg_status eg_stream_next(eg_stream *stream, int64_t max, const eg_dataset **chunk);

/** Examples of `b` whose bytes are equal to an example of `a` (by 128-bit hash of the stored bytes). Errors: NOMEM. */
EG_API EG_MUST_USE eg_status eg_dataset_duplicates(const eg_dataset *a, const eg_dataset *b, int64_t *count);

#ifdef __cplusplus
}
#endif
#endif
