/** finetune/run.h: one fine-tune from its configuration to its files: what the steps of eg_finetune() share. */
#ifndef EGI_RUN_H
#define EGI_RUN_H

#include "finetune/budget.h"
#include "finetune/cache.h"
#include "finetune/eval.h"
#include "finetune/heads.h"
#include "finetune/importance.h"
#include "finetune/memory.h"
#include "finetune/methods/method.h"
#include "finetune/metrics.h"
#include "finetune/preprocess.h"
#include "finetune/report.h"
#include "finetune/trainer.h"

#define EGI_SELECT_MAX  5000 /* examples of a selection split that are measured every epoch */
#define EGI_METHODS_MAX 8

/** Examples of one data set and what each is for. */
typedef struct egi_part {
    const eg_dataset *train, *test; /* the same where there is no test part and nothing is held back */
    int64_t *train_index, *select_index, *test_index; /* owned; test_index NULL: all */
    int64_t n_train, n_select, n_test;
    bool select_is_train, test_is_train; /* measured on examples that are trained on, and said so */
} egi_part;

/** An old task: given as data, or remembered in the model file. */
typedef struct egi_old_task {
    char *name; /* owned */
    egi_part part;
    egi_preprocess_choice preprocess;
    const int32_t *rows; /* label -> row after head surgery; NULL: the same */
    int output;
    int32_t *rows_before; /* in the head as it was; owned */
    int output_before;
    bool remembered;
    bool answerable;                     /* the new head still has rows for it; not so after data.classes=replace */
    uint8_t *right_before, *right_after; /* (part.n_test) owned */
    double select_before, select_now;    /* accuracies on the selection split; NaN for regression */
    double before, after;                /* on the test part */
} egi_old_task;

struct egi_run {
    eg_context *context;
    const eg_finetune_job *job;
    eg_config *config_owned; /* a checked copy of the job's */
    const egi_run_config *config;
    uint64_t seed;
    double started; /* seconds of a steady clock */

    const eg_model *before; /* the caller's */
    eg_model *model;        /* the one that is trained; owned */
    egi_head_map *map;
    egi_memory *memory; /* as the file had it */

    eg_dataset **loaded; /* owned data sets */
    int64_t n_loaded, loaded_capacity;
    egi_part new_part;
    const eg_dataset *new_train;
    egi_preprocess_choice new_preprocess;
    float *class_weights; /* (new classes) or NULL; owned */
    egi_old_task *old;
    int64_t n_old, n_given; /* the first n_given came as data, the rest from the memory */
    egi_source *sources;    /* 0: the new task, 1 + i: old task i */
    int64_t n_sources;

    egi_method methods[EGI_METHODS_MAX];
    int n_methods;
    char method_name[128];
    egi_anchor anchor;
    egi_protection protect;   /* strength of the anchor; share of old examples in a batch, 0 without rehearsal */
    int64_t batch, batch_new; /* examples a step; how many of them are new */
    bool rehearses;
    void *start; /* arena: weights before training */
    void *best;  /* arena: weights of the best epoch */

    egi_objective objective;
    egi_trainer *trainer;
    egi_evaluator *evaluator;
    egi_cache *cache;     /* NULL: the whole network runs in every step */
    egi_evaluator *quick; /* measures cached examples; NULL without a cache */
    egi_schedule schedule;
    egi_laps laps; /* of training steps, where run.profile */
    egi_pool new_pool;
    egi_item *items; /* (batch) */
    egi_budget budget;
    egi_report *report;

    double new_before, new_after;
    eg_epoch_result *epochs; /* epochs_run + 1; owned */
    int64_t epochs_run, epochs_capacity, examples_seen;
    double train_seconds, blend;
    bool stopped_early, cancelled, timed_out, recovered;
    eg_status line_status;             /* the first failure to log a line */
    double train_accuracy, train_loss; /* of the final weights, on training examples */
    char warning[512], verdict[512], frozen_line[256];
};

/* --- in the order of a run ---------------------------------------------------------------------------------------- */

/** finetune.c: an empty run with its configuration checked; egi_run_release() ends it, after a failure too. */
EG_MUST_USE eg_status egi_run_begin(egi_run *run, const eg_model *model, const eg_finetune_job *job);
/** Everything before the first epoch. */
EG_MUST_USE eg_status egi_run_prepare(egi_run *run);
void egi_run_release(egi_run *run);
/** load.c: data sets. */
EG_MUST_USE eg_status egi_run_load(egi_run *run);
/** setup.c: preprocessing, head surgery, freezing, memory, what is for training and what for measuring, sources. */
EG_MUST_USE eg_status egi_run_setup(egi_run *run);
/** split.c: divides a data set. limit: at most so many training examples, 0: all. */
EG_MUST_USE eg_status egi_run_split(egi_run *run, egi_part *part, const eg_dataset *train, const eg_dataset *test,
                                    int64_t limit);
void egi_part_release(egi_part *part, eg_context *context);
/** The labels of some examples as a set without inputs: enough to split and to choose by, without a copy of the images.
 * Only out->labels is owned, by the caller: egi_free(). */
EG_MUST_USE eg_status egi_label_view(eg_dataset *out, const eg_dataset *d, const int64_t *index, int64_t n);
/** method.c: which methods, and their begin_task. */
EG_MUST_USE eg_status egi_run_methods(egi_run *run);
EG_MUST_USE eg_status egi_run_begin_methods(egi_run *run);
EG_MUST_USE eg_status egi_run_end_methods(egi_run *run);
/** Adds a quadratic anchor; `strength` is what auto means for it, on its own. */
EG_MUST_USE eg_status egi_run_anchor(egi_run *run, const void *theta, const void *omega, double strength);
/** measure.c: accuracies before training, of an epoch, at the end. */
EG_MUST_USE eg_status egi_run_measure_before(egi_run *run);
EG_MUST_USE eg_status egi_run_measure_epoch(egi_run *run, eg_epoch_result *epoch);
EG_MUST_USE eg_status egi_run_measure_after(egi_run *run);
/** The drop that the selection splits may show: remember.budget, but never less than two examples of the largest split,
 * which say nothing. Infinite without an answerable old task. */
double egi_run_budget(const egi_run *run);
/** Largest drop over answerable old tasks on their selection splits, as last measured; NaN without any. Where two
 * examples of a small split are more than egi_run_budget(), its drop counts for as much less. */
double egi_run_drop(const egi_run *run);
/** loop.c: builds the trainer; trains. */
EG_MUST_USE eg_status egi_run_build(egi_run *run);
EG_MUST_USE eg_status egi_run_train(egi_run *run);
/** frozen.c: makes the cache where it is wanted and serves; epoch_steps: planned a pass over the new data. Errors:
 * CONFIG (finetune.cache=on, and it cannot be). */
EG_MUST_USE eg_status egi_run_cache(egi_run *run, int64_t epoch_steps);
/** A few steps: the loss of the first, and seconds that the first epoch and each later one will take. */
EG_MUST_USE eg_status egi_run_probe(egi_run *run, double *loss, double *first, double *later);
/** New examples of a batch for a share of old ones: at least one of each kind. */
int64_t egi_run_new_share(int64_t batch, double mix);
/** blend.c: part of the way back to the old weights where the budget is missed. */
EG_MUST_USE eg_status egi_run_blend(egi_run *run);
/** curves.c: over- and underfitting in plain words. */
EG_MUST_USE eg_status egi_run_verdict(egi_run *run);
/** remember.c: the memory that the written file carries. */
EG_MUST_USE eg_status egi_run_remember(egi_run *run);
/** finish.c: memory into the model, files, the result. */
EG_MUST_USE eg_status egi_run_finish(egi_run *run, eg_finetune_result **out);

/** freeze.c: marks layers and parameters as frozen by finetune.freeze and finetune.batchnorm; sets finetune.dropout.
 * Errors: CONFIG (a pattern that no layer matches). */
EG_MUST_USE eg_status egi_freeze_apply(eg_model *model, const egi_run_config *config);
/** Takes the marks off again; dropout rates are those of `before` again. */
void egi_freeze_release(eg_model *model, const eg_model *before);
/** Rate multipliers of layers, (n_layers), for finetune.lr_decay_per_layer; NULL where it is 1. Owner: caller. */
EG_MUST_USE eg_status egi_freeze_rates(double **out, const eg_model *model, const egi_run_config *config);

/** features.c: what the head sees of n examples: (n, *dim) f32: the input of the last dense layer, else the logits.
 * Owner: caller. */
EG_MUST_USE eg_status egi_features(float **out, int64_t *dim, const eg_model *model, const egi_source *source,
                                   const int64_t *index, int64_t n);

/* --- shared by the steps ------------------------------------------------------------------------------------------ */

/** A line for the user: to the job's callback (`head`) and into log.txt. */
void egi_run_line(egi_run *run, bool head, const char *format, ...) EGI_PRINTF(3, 4);
/** Marks elements of parameters that did not exist before (new rows of a head, new heads): sets them in `arena` to
 * `value`. */
void egi_run_mark_fresh(const egi_run *run, void *arena, double value);
/** Keeps a data set until the end of the run; frees it on failure. */
EG_MUST_USE eg_status egi_run_own(egi_run *run, eg_dataset *data);

#endif
