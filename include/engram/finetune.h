/** engram/finetune.h: learn new data, keep the old, measure both. */
#ifndef ENGRAM_FINETUNE_H
#define ENGRAM_FINETUNE_H

#include "engram/config.h"
#include "engram/dataset.h"
#include "engram/model.h"
#include "engram/profile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- evaluation --------------------------------------------------------------------------------------------------- */

typedef struct eg_eval_options {
    size_t struct_size;
    const char *task; /**< which task's classes the labels mean; NULL: by data set name, then class names, then index */
    const char *preprocess; /**< NULL or "auto": as the model file says */
    int64_t batch;          /**< 0: automatic */
} eg_eval_options;
#define EG_EVAL_OPTIONS_INIT                   \
    {                                          \
        sizeof(eg_eval_options), NULL, NULL, 0 \
    }

typedef struct eg_eval_result {
    int64_t n, classes;             /**< examples; rows of the confusion matrix (classes of the head) */
    double accuracy, loss;          /**< accuracy in [0, 1]; NaN for regression. loss: mean, as the head's loss */
    double *per_class;              /**< (classes): recall, NaN where a class has no example */
    int64_t *confusion;             /**< (classes, classes): [true][predicted] */
    int32_t *predicted;             /**< (n): class a row */
    uint8_t *correct;               /**< (n): 1 right, 0 wrong */
    const char *const *class_names; /**< (classes): names of the head's rows, NULL where there is none */
    const char *preprocess;         /**< what was done to the inputs, and why */
    const char *mapping;            /**< how labels met classes: "task mnist", "class names", "index" */
    double seconds;
} eg_eval_result;

/** Owner: caller, eg_eval_result_free(). Errors: SHAPE, DATA, NOMEM. */
EG_API EG_MUST_USE eg_status eg_eval(eg_eval_result **out, eg_model *model, const eg_dataset *data,
                                     const eg_eval_options *options);
EG_API void eg_eval_result_free(eg_eval_result *result);

/** Probabilities (softmax or sigmoid as the head says, raw values otherwise) of data set examples, preprocessed as the
 * file says. y: (n, classes) f32, the caller's. */
EG_API EG_MUST_USE eg_status eg_predict_dataset(eg_model *model, const eg_dataset *data, int64_t first, int64_t count,
                                                const eg_eval_options *options, float *y);

/** Some rows of a prediction. Everything is borrowed until the callback returns. */
typedef struct eg_rows {
    const eg_dataset *data; /**< these examples, 0 to count - 1: ask it for sources and labels */
    int64_t first, count;   /**< they are examples first to first + count - 1 of the whole set */
    int output;             /**< of the model: the one whose task the data is */
    int64_t columns;        /**< values an example: all of that output's shape */
    const float *y;         /**< (count, columns) */
} eg_rows;

/** Receives the rows of a prediction in order. Returns false to stop. */
typedef bool (*eg_rows_fn)(void *user, const eg_rows *rows);

/** What eg_predict_dataset() gives for all examples of a stream that has given none yet, chunk by chunk: memory does
 * not grow with their number. Task and preprocessing are settled once. Where neither the file nor the options say how
 * bytes are preprocessed, examples from all over an image folder decide, of other sets that are read in order the first
 * chunk. `options` may be NULL. Errors: ARG, STATE (examples were read before), SHAPE (before anything is read), NOMEM,
 * CANCELLED (on_rows returned false), and of the stream DATA, IO; rows given before that are good. */
EG_API EG_MUST_USE eg_status eg_predict_stream(eg_model *model, eg_stream *stream, const eg_eval_options *options,
                                               eg_rows_fn on_rows, void *user);

/* --- fine-tuning -------------------------------------------------------------------------------------------------- */

typedef struct eg_epoch_result {
    int64_t epoch;          /**< 1, 2, ...; 0: before training */
    double loss, accuracy;  /**< of the training examples as they were met; NaN for epoch 0 */
    double validation_loss; /**< on the new task's selection split; NaN without one */
    double new_accuracy;    /**< on the new task's selection split (training part when there is none) */
    double keep_accuracy;   /**< mean over old tasks, selection split; NaN without old data */
    double lr, strength, mix, examples_per_second, seconds;
    bool best; /**< best so far */
} eg_epoch_result;

typedef struct eg_keep_result {
    const char *name;
    int64_t n; /**< test examples */
    double before, after, drop, budget;
    bool met;
    int64_t negative_flips, positive_flips; /**< old right & new wrong; old wrong & new right */
    double drop_upper; /**< one-sided 95 % upper bound of the drop (Newcombe 1998, paired, by discordant pairs) */
} eg_keep_result;

typedef struct eg_finetune_result {
    eg_keep_result *keep;
    int64_t n_keep;
    const char *new_name;
    int64_t new_n;
    double new_before, new_after;
    eg_epoch_result *epochs; /**< epochs_run + 1 entries, the first is the state before training */
    int64_t epochs_run, best_epoch, steps;
    bool stopped_early, budget_met, diverged, cancelled;
    double blend; /**< share of the way from old to new weights that was kept; 1: all */
    double average_accuracy, backward_transfer,
        forgetting; /**< over all tasks, test parts; forgetting: mean of (max over time - end) */
    double seconds, examples_per_second;
    const char *method;       /**< as resolved, e.g. "rehearsal+ewc" */
    const char *verdict;      /**< over- or underfitting in plain words, with what to try */
    const char *warning;      /**< given before training; "" none */
    const char *const *wrote; /**< NULL-ended list of files */
    const char *model_path;   /**< "" when nothing was written */
    eg_profile *profile;      /**< of the training steps; NULL unless run.profile. Owner: the result */
} eg_finetune_result;

typedef struct eg_progress {
    int64_t epoch, epochs, step, steps; /**< step of this epoch */
    double loss, examples_per_second, seconds_left;
    const eg_epoch_result *finished; /**< not NULL: an epoch ended */
} eg_progress;

/** Returns false to stop: the run ends as cancelled, with what was best so far. Files of an earlier run stay as they
 * are; the model goes to stopped.h5 where at least one epoch ended. */
typedef bool (*eg_progress_fn)(void *user, const eg_progress *progress);
/** Receives the head of a run ("model ...", "data ...", "before ...") line by line as it becomes known. */
typedef void (*eg_line_fn)(void *user, const char *line);

typedef struct eg_finetune_job {
    size_t struct_size;
    const eg_config *config;     /**< NULL: all defaults */
    const eg_dataset *new_train; /**< NULL: loaded from data.new */
    const eg_dataset *new_test;  /**< NULL: its test part when it was loaded by path; else a split of new_train */
    const eg_dataset *const *keep_train, *const *keep_test; /**< n_keep each, or NULL */
    int64_t n_keep;
    const char *out_dir; /**< NULL: nothing is written */
    eg_progress_fn progress;
    eg_line_fn line;
    void *user;
} eg_finetune_job;
#define EG_FINETUNE_JOB_INIT                                  \
    {                                                         \
        sizeof(eg_finetune_job), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/** Fine-tunes `model` in place. Owner of *out: caller, eg_finetune_result_free(). A missed budget and a cancelled run
 * are results, not errors. Errors: CONFIG, DATA, SHAPE, UNSUPPORTED, NUMERIC (diverged after recovery), IO, NOMEM; the
 * model is then as before. */
EG_API EG_MUST_USE eg_status eg_finetune(eg_finetune_result **out, eg_model *model, const eg_finetune_job *job);
EG_API void eg_finetune_result_free(eg_finetune_result *result);

/** The result as one JSON object: the text of report.json. NaN is null. Owner of *out: caller, eg_text_free(). Errors:
 * NOMEM. */
EG_API EG_MUST_USE eg_status eg_finetune_json(char **out, eg_context *context, const eg_finetune_result *result);

/** Dry run: everything eg_finetune() does before its first epoch, and one step on a copy. *out: a report in lines;
 * caller, eg_text_free(). */
EG_API EG_MUST_USE eg_status eg_finetune_check(char **out, eg_model *model, const eg_finetune_job *job);

#ifdef __cplusplus
}
#endif
#endif
