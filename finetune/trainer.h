/** finetune/trainer.h: compiled training steps: forward, losses, backward and the optimizer's pass in one plan a batch
 * size. */
#ifndef EGI_TRAINER_H
#define EGI_TRAINER_H

#include "finetune/batches.h"
#include "finetune/profile.h"
#include "finetune/resident.h"
#include "optim/optim.h"

typedef struct egi_trainer egi_trainer;

#define EGI_BATCH_DEFAULT 64 /* examples a step where there are many */

/** Everything is borrowed until egi_trainer_free(). */
typedef struct egi_trainer_options {
    egi_objective objective;
    const egi_source *sources;
    int64_t n_sources;
    const egi_optimizer_type *optimizer;
    egi_optimizer_settings settings;
    egi_penalties penalties;
    const void *anchor, *omega; /* arenas of the quadratic anchor, both or neither */
    bool log_penalty;           /* the reported loss has the penalties in it; costs a reduction a step */
    egi_augment augment;        /* of the examples of every step */
    uint64_t seed;
    egi_resident_mode resident; /* may the sources be brought over to a device of its own? They do not change then */
} egi_trainer_options;

/** What a step found before its update. */
typedef struct egi_step_result {
    double loss;    /* of the examples */
    double penalty; /* of the weights, where it is logged; else 0 */
    double correct; /* rows that were right, over all outputs */
    int64_t n;
} egi_step_result;

/** The optimizer, its settings, the penalties and augmentation as a configuration says; the rest of `out` stays. */
void egi_trainer_configure(egi_trainer_options *out, const egi_run_config *config);

/** Makes gradient and moment arenas. Layers' `frozen` and the model's `batchnorm_frozen` are as they shall be. Owner:
 * caller. Errors: STATE (nothing is trained), NOMEM. */
EG_MUST_USE eg_status egi_trainer_create(egi_trainer **out, eg_model *model, const egi_trainer_options *options);
void egi_trainer_free(egi_trainer *trainer);

/** Compiles the step of a batch size, unless it is there already. */
EG_MUST_USE eg_status egi_trainer_prepare(egi_trainer *trainer, int64_t batch);

#define EGI_STEPS_OPEN 32

/** Trains on n examples, n having been prepared; on a device of its own only begins to. `strength` multiplies the
 * quadratic anchor. What the step found is kept for egi_trainer_results(), of at most EGI_STEPS_OPEN steps. Does not
 * allocate. Errors: SHAPE, DATA, DEVICE. */
EG_MUST_USE eg_status egi_trainer_begin_step(egi_trainer *trainer, const egi_item *items, int64_t n, double lr,
                                             double strength);

/** Steps whose results were not asked for yet. */
int64_t egi_trainer_open(const egi_trainer *trainer);

/** Does asking for results wait for a device? Then it is worth asking for several at once. */
bool egi_trainer_waits(const egi_trainer *trainer);

/** What the open steps found, in their order; waits for them. `out` has room for EGI_STEPS_OPEN. A loss that is not
 * finite is a result, not an error. Errors: DEVICE. */
EG_MUST_USE eg_status egi_trainer_results(egi_trainer *trainer, egi_step_result *out, int64_t *n);

/** Both: a step, and what it found. */
EG_MUST_USE eg_status egi_trainer_step(egi_trainer *trainer, const egi_item *items, int64_t n, double lr,
                                       double strength, egi_step_result *result);

/** The compiled step of a batch size, or NULL. Owner: the trainer. */
const egi_plan *egi_trainer_plan(const egi_trainer *trainer, int64_t batch);
/** Steps done; Adam's t. */
int64_t egi_trainer_steps(const egi_trainer *trainer);
/** Bytes of gradients, moments, averages and the compiled steps. */
int64_t egi_trainer_bytes(const egi_trainer *trainer);

/** From now on steps measure what they take, and what each of their operations does, from zero. `laps` is borrowed. */
EG_MUST_USE eg_status egi_trainer_measure(egi_trainer *trainer, egi_laps *laps);
/** Adds what the operations of all steps took, while they were measured, to a profile. */
EG_MUST_USE eg_status egi_trainer_profile(const egi_trainer *trainer, eg_profile *profile);

/** With settings.ema_momentum above 0: puts the running averages in place of the trained weights (`on`), to be measured
 * and kept, or the weights back, which steps go on from. Nothing without averages, before the first step, or where they
 * are there already. Errors: DEVICE. */
EG_MUST_USE eg_status egi_trainer_average(egi_trainer *trainer, bool on);

/** A copy of weights, moments, averages and step counter, to come back to. Owner: the trainer, one at a time. Allocates
 * the first time. */
EG_MUST_USE eg_status egi_trainer_mark(egi_trainer *trainer);
EG_MUST_USE eg_status egi_trainer_return(egi_trainer *trainer);

#endif
