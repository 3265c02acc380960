/** core/cut.h: a model in two: what makes the same of an example in every training step, and the rest. */
#ifndef EGI_CUT_H
#define EGI_CUT_H

#include "core/model.h"

/** Both halves are views: only `calls` is their own, layers, parameters and weights are the model's, which must outlive
 * them and keep its arena. The outputs of `front` are the inputs of `back`. */
typedef struct egi_cut {
    eg_model front; /* without calls where there is nothing to gain */
    eg_model back;  /* has the model's outputs */
    int64_t floats; /* of an example, between the two */
    int64_t wanted; /* the same of the best cut, had `most` been no limit; 0: there is none */
} egi_cut;

/** Cuts a training pass behind its frozen layers. In front is only what no trained parameter, no dropout and no
 * statistics of a batch have touched; what makes the answers stays behind, so that losses find their logits.
 *  The later the cut, the less is left for every step. Calls without parameters cost little: among the cuts that differ
 * by them alone the narrowest is taken. Where it has more than `most` floats an example, an earlier one is looked for.
 *  Owner: caller, egi_cut_release(). Errors: NOMEM. */
EG_MUST_USE eg_status egi_cut_find(egi_cut *out, const eg_model *model, int64_t most);
void egi_cut_release(egi_cut *cut);

#endif
