/** finetune/preprocess.h: how stored values become network inputs: said by the user or the file, else found out and
 * said why. */
#ifndef EGI_FINETUNE_PREPROCESS_H
#define EGI_FINETUNE_PREPROCESS_H

#include "core/model.h"
#include "data/dataset.h"

#define EGI_PREPROCESS_SAMPLE 512 /* examples that are looked at, at most */

typedef struct egi_preprocess_choice {
    egi_preprocess p;
    char text[128];   /* what egi_preprocess_parse() takes back */
    char reason[192]; /* "from the file", "asked for", "float data is taken as it is", "98.4 % of 512 kept examples
                         right; none: 11.2 %" */
} egi_preprocess_choice;

/** wanted: "auto" (or NULL) or what egi_preprocess_parse() takes. `data` is what will be fed. For auto: floats are
 * taken as they are; a file that says is believed; else, with bytes, the candidates unit, none, tf, caffe and torch are
 * tried on up to 512 examples of `labelled` (rows: label -> row of `output`, or NULL) and the one with the most right
 * answers is taken; without labels the one whose activations come nearest to the stored statistics of the first batch
 * normalisation; else unit. Errors: CONFIG, SHAPE, NOMEM. */
EG_MUST_USE eg_status egi_preprocess_choose(egi_preprocess_choice *out, const eg_model *model, const char *wanted,
                                            const eg_dataset *data, const eg_dataset *labelled, const int32_t *rows,
                                            int output);

/** Does egi_preprocess_choose() look at no example: is it asked for, said by the file, or of floats? */
bool egi_preprocess_said(const eg_model *model, const char *wanted, const eg_dataset *data);

/** Records the choice in the model's meta; float data leaves what is recorded alone. Errors: NOMEM. */
EG_MUST_USE eg_status egi_preprocess_record(eg_model *model, const egi_preprocess_choice *choice,
                                            const eg_dataset *data);

#endif
