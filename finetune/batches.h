/** finetune/batches.h: from data sets to the batches that a plan reads: which examples, in which order, and how they
 * get into a plan's inputs. */
#ifndef EGI_BATCHES_H
#define EGI_BATCHES_H

#include "core/model.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "finetune/config.h"

/** A data set as a trainer sees it. Everything is borrowed. */
typedef struct egi_source {
    const eg_dataset *data;
    const egi_preprocess *preprocess; /* NULL: values as they are */
    const int32_t *rows;              /* (data->classes) label -> row of the output, -1: not trained; NULL: the same */
    int output;                       /* which output of the model its labels belong to */
    const float *class_weights;       /* (data->classes) or NULL: 1 */
} egi_source;

/** One example. */
typedef struct egi_item {
    int64_t index;
    int32_t source;
} egi_item;

/** The row that an example's label means; -1: none. 0 for a data set without labels. */
int32_t egi_source_row(const egi_source *source, int64_t index);

/* --- the order of examples ---------------------------------------------------------------------------------------- */

/** Examples drawn without replacement: each pass visits every item once, in an order that depends on (seed, purpose,
 * pass) alone. */
typedef struct egi_pool {
    eg_context *context;
    egi_item *items; /* (n); owned */
    int64_t *order;  /* (n); owned */
    int64_t n, at;
    uint32_t pass;
    uint64_t seed;
    egi_purpose purpose;
    bool shuffle;
} egi_pool;

/** Takes ownership of `items` (of egi_alloc()), on failure too. The first pass is number 0. */
EG_MUST_USE eg_status egi_pool_create(egi_pool *out, eg_context *context, egi_item *items, int64_t n, uint64_t seed,
                                      egi_purpose purpose, bool shuffle);
void egi_pool_release(egi_pool *pool);
/** Goes to a place: the first `at` items of pass `pass` are behind. Undoes draws. */
void egi_pool_seek(egi_pool *pool, uint32_t pass, int64_t at);
/** The next `n` items, going on with the next pass where one ends. The pool is not empty. Does not allocate. */
void egi_pool_draw(egi_pool *pool, int64_t n, egi_item *out);

/* --- into a plan's inputs ----------------------------------------------------------------------------------------- */

#define EGI_OUTPUTS_MAX 16

/** What each trained output is compared with. */
typedef struct egi_objective {
    egi_loss_name loss; /* AUTO: by the head */
    float label_smoothing;
    bool weighted;                    /* examples have weights: class weights, padded batches */
    bool used[EGI_OUTPUTS_MAX];       /* outputs with an example of their own */
    bool by_targets[EGI_OUTPUTS_MAX]; /* the sources of this output have targets, not labels */
} egi_objective;

/** The objective for these sources. Errors: DATA (neither labels nor targets; both kinds at one output). */
EG_MUST_USE eg_status egi_objective_make(egi_objective *out, const eg_model *model, const egi_run_config *config,
                                         const egi_source *sources, int64_t n);

/** The inputs of a plan, before compiling as values, after it as addresses. */
typedef struct egi_feed {
    eg_context *context;
    const eg_model *model;
    egi_plan *plan;
    int64_t n; /* rows */
    egi_val x[EGI_INPUTS_MAX];
    /* a used output has labels or targets, and weights where they differ; else EGI_NONE */
    egi_val labels[EGI_OUTPUTS_MAX], targets[EGI_OUTPUTS_MAX], weights[EGI_OUTPUTS_MAX];
    bool by_targets[EGI_OUTPUTS_MAX]; /* targets are the data set's, else what labels mean */
    int64_t *index;                   /* (n) scratch; owned */
    float *staging;                   /* the largest input of a batch, where the plan does not compute in f32; owned */
    egi_item *sorted;                 /* (n) scratch; owned */
    const egi_val *resident;          /* a source's rows of the batch, as an input; borrowed. NULL: inputs are filled */
    egi_augment augment;              /* of inputs that are images; set by who trains */
    const egi_control *control;       /* what draws it; borrowed */
} egi_feed;

/** Makes the feed of a plan that is not yet compiled. `io` is what egi_model_emit() gave. */
EG_MUST_USE eg_status egi_feed_create(egi_feed *out, const eg_model *model, egi_plan *plan, const egi_model_io *io);
void egi_feed_release(egi_feed *feed);

/** Fills the inputs of a compiled plan with n <= feed->n examples; rows behind them count nothing (the objective is
 * then `weighted`). Neighbours of one source are read together. Does not allocate. Errors: SHAPE, DATA. */
EG_MUST_USE eg_status egi_feed_fill(egi_feed *feed, const egi_source *sources, int64_t n_sources, const egi_item *items,
                                    int64_t n);

/* --- losses ------------------------------------------------------------------------------------------------------- */

/** The loss that AUTO means: softmax: categorical; sigmoid: binary; linear: class labels are told apart (categorical,
 * on raw values), numbers are met (mse). Never AUTO, never SPARSE_CATEGORICAL. */
egi_loss_name egi_objective_loss(const egi_objective *objective, int output, egi_act head, int64_t units);

/** What egi_objective_emit() appended. */
typedef struct egi_loss_values {
    egi_val loss;                     /* scalar: sum over outputs of the mean over the batch */
    egi_val correct[EGI_OUTPUTS_MAX]; /* kept scalars: rows that were right; EGI_NONE where there is no such thing */
    egi_val logits[EGI_OUTPUTS_MAX];  /* before softmax or sigmoid */
    egi_act head[EGI_OUTPUTS_MAX];
} egi_loss_values;

/** Appends the losses of all used outputs, on logits where the head has some, and declares in `feed` the labels,
 * targets and weights that they read. Errors: UNSUPPORTED (a loss that does not go with the head). */
EG_MUST_USE eg_status egi_objective_emit(egi_loss_values *out, egi_plan *plan, const egi_model_io *io, egi_feed *feed,
                                         const egi_objective *objective);

#endif
