/** optim/optim.h: optimizers, learning-rate schedules and weight penalties. One file and one line in list.def each. */
#ifndef EGI_OPTIM_H
#define EGI_OPTIM_H

#include "core/model.h"
#include "core/ops/update.h"

/* --- optimizers --------------------------------------------------------------------------------------------------- */

/** What Keras calls the arguments of an optimizer. A kind uses those that it has. */
typedef struct egi_optimizer_settings {
    double momentum, beta1, beta2, rho, epsilon;
    double weight_decay; /* decoupled, of every trained parameter as Keras does: w -= lr weight_decay w */
    double clip_norm;    /* of the gradient of all trained parameters together (Keras' global_clipnorm); 0: none */
    double ema_momentum; /* of the running average of the weights, where there is an arena for it (Keras' use_ema) */
    bool nesterov;
} egi_optimizer_settings;

typedef struct egi_optimizer_type {
    const char *name;
    const egi_op *op;
    egi_optimizer_settings fallback; /* Keras' defaults */
    double lr;                       /* a good peak rate for fine-tuning */
    bool has_momentum, has_nesterov; /* which of the settings it has, of those that a user may ask for in vain */
    bool (*needs_m)(const egi_optimizer_settings *s);
    bool (*needs_v)(const egi_optimizer_settings *s);
} egi_optimizer_type;

/** All optimizers in the order of list.def, NULL at the end. */
extern const egi_optimizer_type *const egi_optimizer_types[];
const egi_optimizer_type *egi_optimizer_find(const char *name); /* NULL: unknown */

/** The arenas an optimizer works on, all of the model's layout and dtype. */
typedef struct egi_optimizer_arenas {
    void *w, *grad;
    void *m, *v;          /* NULL where the optimizer does not need them */
    void *ema;            /* running average of w; NULL: none is kept */
    void *anchor, *omega; /* of the quadratic anchor: both or neither */
    int64_t count;
} egi_optimizer_arenas;

/** Appends the update to a plan whose gradients are in `a->grad`: the norm first where clipping is on. *penalty (a kept
 * scalar) is the penalties' part of the loss before the update; `penalty` NULL: not computed. `segments` outlives the
 * plan. */
EG_MUST_USE eg_status egi_optimizer_emit(egi_plan *plan, const egi_optimizer_type *type,
                                         const egi_optimizer_settings *s, const egi_optimizer_arenas *a,
                                         const egi_segment *segments, int n_segments, egi_val *penalty);

/* --- penalties ---------------------------------------------------------------------------------------------------- */

/** Penalties of a run. Keras: l1 |w| + l2 w^2, without 1/2. */
typedef struct egi_penalties {
    double l1, l2; /* of kernels, added to what the file says: of parameters with two dimensions or more, so neither of
                      biases nor of norm parameters */
    double weight_decay;    /* of all trained parameters */
    const double *lr_scale; /* (n_layers): multiplier of each layer's rate, or NULL: 1 */
} egi_penalties;

/** The trained stretches of the arena: neighbours with equal settings are one segment. Frozen parameters and state are
 * in none. Owner of *out: caller, egi_free(); *n may be 0. */
EG_MUST_USE eg_status egi_segments_build(egi_segment **out, int *n, const eg_model *model,
                                         const egi_penalties *penalties);

/* --- schedules ---------------------------------------------------------------------------------------------------- */

typedef struct egi_schedule egi_schedule;

typedef struct egi_schedule_type {
    const char *name;
    /** Share of the peak rate at `step` steps after the warm-up. */
    double (*share)(const egi_schedule *s, int64_t step);
    /** Told the monitored value (lower is better) after each epoch; may be NULL. */
    void (*epoch)(egi_schedule *s, double value);
} egi_schedule_type;

struct egi_schedule {
    const egi_schedule_type *type;
    double lr;        /* the peak */
    int64_t warmup;   /* steps in which the rate rises from 0 to lr, as Keras' CosineDecay does */
    int64_t total;    /* steps of the whole run, warm-up included */
    int64_t every;    /* step, exponential: steps in which the rate falls by `factor` */
    double factor;    /* step, exponential, plateau */
    double floor;     /* lowest share of lr that cosine and plateau reach */
    int64_t patience; /* plateau: epochs without improvement */
    double min_delta; /* plateau: smaller improvements do not count */
    /* state of plateau */
    double level, best;
    int64_t waited;
    bool told;
};

/** All schedules in the order of list.def, NULL at the end. */
extern const egi_schedule_type *const egi_schedule_types[];
const egi_schedule_type *egi_schedule_find(const char *name); /* NULL: unknown */

/** The rate of a step (0 is the first). */
double egi_schedule_lr(const egi_schedule *s, int64_t step);
/** An epoch ended with this monitored value. */
void egi_schedule_epoch(egi_schedule *s, double value);

#define EG_OPTIMIZER(name) extern const egi_optimizer_type egi_optimizer_##name;
#define EG_SCHEDULE(name)  extern const egi_schedule_type egi_schedule_##name;
#include "optim/list.def"
#undef EG_OPTIMIZER
#undef EG_SCHEDULE

#endif
