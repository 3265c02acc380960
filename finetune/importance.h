/** finetune/importance.h: how much each parameter matters for what was learned (the diagonal Fisher information), and
 * the quadratic anchor that it makes. */
#ifndef EGI_IMPORTANCE_H
#define EGI_IMPORTANCE_H

#include "core/ops/loss.h"
#include "finetune/batches.h"

/** Which examples the Fisher information is estimated from, and how. Everything is borrowed. */
typedef struct egi_fisher_request {
    const egi_source *sources;
    int64_t n_sources;
    const egi_item *items; /* (n), n >= 1 */
    int64_t n;
    egi_fisher_mode mode;
    int64_t classes;         /* EXACT: only the first so many rows can be the answer; 0: all */
    egi_objective objective; /* which outputs have examples and what their loss is */
    int64_t batch;           /* samples at a time; the result does not depend on it */
    uint64_t seed;           /* of the draws of SAMPLE */
    bool one_by_one;         /* for tests: squared gradients of single samples, without the operations' square rules */
} egi_fisher_request;

/** omega_i = 1/n sum over samples of (d log p / d theta_i)^2 at the model's weights, in inference mode (Kirkpatrick et
 * al. 2017, eq. 3; EXACT: the expectation over y ~ p(y|x), K backward passes; SAMPLE: one y ~ p(y|x); EMPIRICAL: y =
 * label). Squares are summed batch-wise by the operations' square rules; where a parameter is used twice or an
 * operation has none, one sample at a time (slow; logged). omega: an arena, overwritten; 0 for what is not trained.
 * Errors: UNSUPPORTED, SHAPE, DATA, NOMEM, NUMERIC (not finite). */
EG_MUST_USE eg_status egi_fisher(void *omega, const eg_model *model, const egi_fisher_request *request);

/** Which estimate AUTO means for a head of `classes`: exact where that costs little. */
egi_fisher_mode egi_fisher_choose(egi_fisher_choice wanted, int64_t classes, int64_t n);

/** Divides by the mean over trained parameters, so that a strength means the same for every network. Returns that mean;
 * 1, and nothing is done, where it is 0. */
double egi_importance_normalise(const eg_model *model, void *omega);

/** into = factor * into + add, elementwise over arenas. */
void egi_arena_blend(const eg_model *model, void *into, double factor, const void *add);
/** Is every element of an arena finite? */
bool egi_arena_finite(const eg_model *model, const void *arena);

/** sum of quadratic anchors, as one: 1/2 sum_i omega_i (theta_i - anchor_i)^2 plus a constant. */
typedef struct egi_anchor {
    void *theta, *omega; /* arenas; owned; NULL until one is added */
} egi_anchor;

/** Adds weight/2 sum_i omega_i (theta_i - anchor_i)^2. */
EG_MUST_USE eg_status egi_anchor_add(egi_anchor *anchor, const eg_model *model, const void *theta, const void *omega,
                                     double weight);
void egi_anchor_release(egi_anchor *anchor, eg_context *context);

#endif
