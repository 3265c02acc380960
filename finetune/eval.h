/** finetune/eval.h: the evaluator: one compiled inference plan that measures any data set with the model's weights of
 * the moment. */
#ifndef EGI_EVAL_H
#define EGI_EVAL_H

#include "core/model.h"
#include "data/dataset.h"
#include "engram/finetune.h"
#include "finetune/config.h"

/** What is measured. Everything is borrowed. */
typedef struct egi_eval_set {
    const eg_dataset *data;
    const egi_preprocess *preprocess; /* NULL: values as they are */
    const int64_t *index;             /* (n) which examples; NULL: the first n */
    int64_t n;
    const int32_t *rows; /* (data->classes) label -> row, -1: counts as wrong; NULL: the label is the row */
    int output;          /* which output of the model */
    bool restricted;     /* only the rows in `rows` compete: the task is known at test time */
} egi_eval_set;

/** Everything in [0, 1] or in the loss's unit.
 *  accuracy: softmax, or a linear head with class labels: share of rows whose largest value is the label's; one sigmoid
 * unit: share on the right side of 0.5; several sigmoid units: with labels the largest, with targets the mean over
 * units of being on the right side (Keras' binary_accuracy); regression: NaN. loss: mean over the examples whose label
 * has a row; NaN without any. */
typedef struct egi_eval_figures {
    int64_t n;
    double accuracy, loss;
    double seconds;
} egi_eval_figures;

typedef struct egi_evaluator egi_evaluator;

/** Compiles a plan for `batch` samples (0: automatic) that reads the model's arena as it is at each run. `loss`: an
 * egi_loss_name; AUTO: the head's own. The model must outlive it and keep its arena. Owner: caller,
 * egi_evaluator_free(). */
EG_MUST_USE eg_status egi_evaluator_create(egi_evaluator **out, const eg_model *model, egi_loss_name loss,
                                           double label_smoothing, int64_t batch);
void egi_evaluator_free(egi_evaluator *evaluator);

/** Measures. predicted: (set->n) winning row (one sigmoid unit: 0 or 1; no classes: -1), or NULL. correct: (set->n) 1
 * right, 0 wrong (targets of several sigmoid units: all right), or NULL. Allocates nothing. Errors: SHAPE, DATA
 * (targets do not fit), DEVICE. */
EG_MUST_USE eg_status egi_evaluator_run(egi_evaluator *evaluator, const egi_eval_set *set, int32_t *predicted,
                                        uint8_t *correct, egi_eval_figures *out);

/** Outputs of set->n examples: y: (n, rows of set->output) f32: probabilities of softmax and sigmoid heads, raw values
 * of the others. Where `logits`: the values before softmax or sigmoid. Labels are not looked at. */
EG_MUST_USE eg_status egi_evaluator_outputs(egi_evaluator *evaluator, const egi_eval_set *set, bool logits, float *y);

/** EGI_ACT_SOFTMAX, EGI_ACT_SIGMOID or EGI_ACT_LINEAR. */
egi_act egi_evaluator_head(const egi_evaluator *evaluator, int output);

/** A batch size whose activations stay in cache and memory. */
int64_t egi_eval_batch(const eg_model *model, int64_t wanted);

#endif
