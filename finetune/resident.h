/** finetune/resident.h: training data in the memory of a device of its own: batches are put together there, and only
 * indices, labels and weights go over from step to step. */
#ifndef EGI_RESIDENT_H
#define EGI_RESIDENT_H

#include "finetune/batches.h"

typedef enum egi_resident_mode { EGI_RESIDENT_AUTO, EGI_RESIDENT_ON, EGI_RESIDENT_OFF } egi_resident_mode;

/** Brings the inputs of n sources over. *done: it did. It does not where the device computes in the host's memory, the
 * model is not of f32, or (auto) the data would take more than half of what is free. The sources do not change until
 * egi_resident_end(). Errors: NOMEM (on). */
EG_MUST_USE eg_status egi_resident_begin(bool *done, const eg_model *model, const egi_source *sources, int64_t n,
                                         egi_resident_mode mode);
void egi_resident_end(const eg_model *model, const egi_source *sources, int64_t n);

/** Appends what puts the model's inputs together: from example index[s][row] of source s, where that is not -1.
 * inputs: one value an input; index: one a source, inputs of the plan. Errors: SHAPE. */
EG_MUST_USE eg_status egi_resident_emit(egi_val *inputs, egi_val *index, const eg_model *model, egi_plan *plan,
                                        const egi_source *sources, int64_t n, egi_augment augment);

#endif
