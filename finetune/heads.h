/** finetune/heads.h: head surgery: room for new classes without touching what the old ones learned. */
#ifndef EGI_HEADS_H
#define EGI_HEADS_H

#include "finetune/config.h"
#include "finetune/tasks.h"

/** What the new head looks like and where each label goes. */
typedef struct egi_head_map {
    int output;   /* the model's output that the new task trains */
    egi_act head; /* EGI_ACT_SOFTMAX, EGI_ACT_SIGMOID or EGI_ACT_LINEAR, as the network computes that output */
    int64_t before, classes; /* rows of the old head (output 0 for MULTI) and of the new task's output */
    int64_t added;           /* rows that did not exist before */
    int32_t *new_rows;       /* (new data classes) label -> row of `output`, -1 where a class does not occur; owned */
    int64_t n_keep;
    int32_t **keep_rows; /* per old data set: label -> row of keep_output[i]; -1: none; owned */
    int *keep_output;    /* owned */
    char task[128];      /* the name under which the new task is recorded */
    char line[160];      /* "head dense_3(10) -> extend to 20" */
    eg_context *context;
} egi_head_map;

/** A new model whose head fits `data`: the layers, weights, names and the memory of `model`, which stays as it is.
 *  EXTEND: rows of the old head are kept byte for byte, new ones are added behind them. REPLACE: a fresh head of as
 * many rows as new classes occur. MULTI: a second head beside the old one. KEEP: labels are rows (or real class names)
 * of the head as it is. ASK: the head as it is; classes that it does not know have no row, and nothing is recorded.
 * Rows meet labels by real class names where both sides have them, by the task's record where this very data set was
 * trained before; only classes that occur get a row. New kernels are Glorot uniform (Glorot and Bengio 2010), as Keras
 * initialises a Dense layer: of the scale that the loaded rows grew from, so new logits neither drown nor dominate the
 * old ones; new biases are 0. keep: data sets of old tasks, n_keep (may be 0). Owner of *out: caller, eg_model_free();
 * of *map: caller, egi_head_map_free(). Errors: UNSUPPORTED (no Dense head, one sigmoid unit: says what to do), DATA
 * (labels and head do not meet), NOMEM. */
EG_MUST_USE eg_status egi_heads_apply(eg_model **out, egi_head_map **map, const eg_model *model, egi_classes mode,
                                      const eg_dataset *data, const eg_dataset *const *keep, int64_t n_keep);
void egi_head_map_free(egi_head_map *map);

/** The layer whose kernel holds the rows of `output` (the Dense before its softmax or sigmoid); -1 when there is none.
 */
int egi_head_layer(const eg_model *model, int output);

/** A plain warning for before training: new classes compete with old ones in one softmax and no old example will be
 * shown (van de Ven and Tolias 2019: weight penalties alone score near chance there). "" when there is nothing to warn
 * of. */
void egi_heads_warning(const egi_head_map *map, egi_classes mode, bool rehearsal, const char *method, char *text,
                       size_t room);

#endif
