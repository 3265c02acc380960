/** data/dataset.h: the inside of a data set, and the way from stored bytes to the batch a network sees. */
#ifndef EGI_DATASET_H
#define EGI_DATASET_H

#include "core/ops/data.h"
#include "core/tensor.h"
#include "engram/dataset.h"

#define EGI_INPUTS_MAX 16

struct eg_dataset {
    eg_context *context;
    char *name, *format;
    int64_t n, first; /* first: where in its set a chunk of a stream begins; else 0 */
    int n_inputs;
    egi_shape shape[EGI_INPUTS_MAX]; /* per sample; images (h, w, c) */
    egi_dtype dtype[EGI_INPUTS_MAX]; /* U8 or F32, as stored */
    void *x[EGI_INPUTS_MAX];         /* (n, shape), row-major; owned unless view */
    int32_t *labels;                 /* (n) or NULL; owned unless view */
    float *targets;                  /* (n, target_shape) or NULL: regression, or several labels at once */
    egi_shape target_shape;
    float *weights; /* (n) or NULL: how much each example counts in the loss, 0 or more; owned */
    int64_t classes;
    char **class_names;  /* classes, or NULL; owned */
    char (*numbers)[24]; /* classes: "0", "1" ... where the set names none; owned */
    char **files;        /* (n) or NULL: names of image files; owned */
    bool has_test;
    char source_text[256]; /* eg_dataset_source() */
};

/** Writes the numbers that eg_dataset_class_name() gives for classes without names. Errors: NOMEM. */
EG_MUST_USE eg_status egi_dataset_number_classes(eg_dataset *d);

/** What a stream reads: everything but the examples; n is how many they are in all. Owner: the stream. */
const eg_dataset *egi_stream_set(const eg_stream *stream);
/** Are the examples in that set too, because their format cannot be read in pieces? */
bool egi_stream_whole(const eg_stream *stream);

/** Every (n / count)th example of a stream that has given none yet, without names. *out is NULL where files
 * can only be read in order, and where all are in memory already. Owner: caller, eg_dataset_free(). Errors: DATA, IO,
 * NOMEM. */
EG_MUST_USE eg_status egi_stream_sample(eg_dataset **out, eg_stream *stream, int64_t count);

/** Are these two parts of one set: the same inputs, the same kind of answers? Errors: DATA, naming both. */
EG_MUST_USE eg_status egi_dataset_alike(const eg_dataset *a, const eg_dataset *b);

/** A set with the examples `index[0..n)` of `d` copied, in that order. Owner: caller. */
EG_MUST_USE eg_status egi_dataset_pick(eg_dataset **out, const eg_dataset *d, const int64_t *index, int64_t n);

/** The examples of `a`, then those of `b`. Owner: caller. Errors: DATA (shapes or types differ). */
EG_MUST_USE eg_status egi_dataset_join(eg_dataset **out, const eg_dataset *a, const eg_dataset *b);

/** n examples whose inputs are uniform in [0, 1), f32, of these per-sample shapes; with labels in [0, classes), or,
 * where classes is 0, targets of the shape `target`, uniform too. Owner: caller. Errors: DATA (impossible shape),
 * NOMEM. */
EG_MUST_USE eg_status egi_dataset_random(eg_dataset **out, eg_context *context, int64_t n, const egi_shape *inputs,
                                         int n_inputs, int64_t classes, const egi_shape *target, uint64_t seed);

/** A seeded split: `share` (0 to 1) of the examples, drawn per class in proportion, go to *second, the rest to *first.
 * Index lists, each sorted; owner: caller, egi_free(). Every class with at least 2 examples has one on both sides. */
EG_MUST_USE eg_status egi_dataset_split(int64_t **first, int64_t *n_first, int64_t **second, int64_t *n_second,
                                        const eg_dataset *d, double share, uint64_t seed);

/** How stored values become what a network expects: y_c = (x_c' - shift_c) * scale_c, c' reversed where bgr. */
typedef enum egi_preprocess_kind {
    EGI_PRE_NONE,
    EGI_PRE_UNIT,
    EGI_PRE_TF,
    EGI_PRE_CAFFE,
    EGI_PRE_TORCH,
    EGI_PRE_CUSTOM
} egi_preprocess_kind;

typedef struct egi_preprocess {
    egi_preprocess_kind kind;
    bool bgr;
    int channels;             /* 1: the same for all channels */
    float shift[4], scale[4]; /* the formula above; values are computed in Keras' order (data/preprocess.h) */
    float std[4];             /* custom: divided by */
} egi_preprocess;

/** "none", "unit" (x/255), "tf" (x/127.5 - 1), "caffe" (BGR minus means), "torch" (x/255, ImageNet mean and std), or
 * "MEAN/STD" with one number or three separated by commas. Errors: CONFIG. */
EG_MUST_USE eg_status egi_preprocess_parse(egi_preprocess *out, const char *text);
/** e.g. "unit (x/255)" */
void egi_preprocess_print(const egi_preprocess *p, char *text, size_t room);

/** Fills dst (count, shape of input i) with examples index[0..count), converted by `p` (NULL: values as they are).
 *  A network shape that differs from the stored one is served where nothing is guessed: (h, w) <-> (h, w, 1), and any
 *  reshape of the same count to a flat vector; else SHAPE names both. Runs on the context's threads; does not allocate.
 */
EG_MUST_USE eg_status egi_batch_fill(const eg_dataset *d, int input, const int64_t *index, int64_t count,
                                     const egi_preprocess *p, const egi_shape *wanted, float *dst);

/** What a training batch is augmented with, and the place of its first example: the draws are those of `gather`. */
typedef struct egi_augmenting {
    egi_augment how;
    const egi_control *control; /* seed and step */
    int64_t row;
} egi_augmenting;

/** The same with every example augmented. Errors: SHAPE too where examples are no images, (h, w) or (h, w, c). */
EG_MUST_USE eg_status egi_batch_augment(const eg_dataset *d, int input, const int64_t *index, int64_t count,
                                        const egi_preprocess *p, const egi_shape *wanted, const egi_augmenting *how,
                                        float *dst);

/** The same as an operation on a device: fills the affine map of `out`, whose values and augmentation are the caller's.
 * Whatever egi_batch_fill() serves is served, with the same bits. Errors: SHAPE, naming both. */
EG_MUST_USE eg_status egi_batch_gather(egi_gather *out, const eg_dataset *d, int input, const egi_preprocess *p,
                                       const egi_shape *wanted);

/** Can examples of `d` be fed to an input of this per-sample shape? Errors: SHAPE, naming both. */
EG_MUST_USE eg_status egi_dataset_fits(const eg_dataset *d, int input, const egi_shape *wanted);

/* --- exemplar buffers --------------------------------------------------------------------------------------------- */

typedef enum egi_buffer_kind { EGI_BUFFER_RESERVOIR, EGI_BUFFER_BALANCED, EGI_BUFFER_HERDING } egi_buffer_kind;

/** Chooses at most `count` examples of `d` to remember; index list, owner: caller.
 *  reservoir: uniform (algorithm R, item n kept with probability count / n, the draw inclusive); balanced: the same
 * number a class, as far as there are; herding (Rebuffi et al. 2017, iCaRL): greedily the mean of L2-normalised
 * `features` (n, dim), per class; features may be NULL for the other kinds.
 * Indices ascend; those of herding go class by class in the order of choice, best first. */
EG_MUST_USE eg_status egi_buffer_choose(int64_t **index, int64_t *n, const eg_dataset *d, egi_buffer_kind kind,
                                        int64_t count, const float *features, int64_t dim, uint64_t seed);

#endif
