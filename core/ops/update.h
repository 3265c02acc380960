#ifndef EGI_OP_UPDATE_H
#define EGI_OP_UPDATE_H

#include "core/op.h"
#include "core/philox.h"

#include <math.h>

/** A stretch of the arena that is trained, with its penalties. Frozen stretches are in no segment. */
typedef struct egi_segment {
    int64_t begin, end;  /* elements */
    double l1, l2;       /* Keras: l1 |w| and l2 w^2 (no 1/2) */
    double lr_scale;     /* discriminative learning rates; 1 */
    double weight_decay; /* decoupled: w -= lr weight_decay w, before the step */
} egi_segment;

/** One pass over the arena. Per element, with everything read once:
 *    g = grad + l1 sign(w) + 2 l2 w + strength omega (w - anchor)
 *    g *= min(1, clip_norm / norm) where clip_norm > 0
 *    w -= lr weight_decay w
 *    w, m, v by the optimizer's own formula, with lr = control.lr * segment.lr_scale
 *    ema = control.step == 0 ? w : ema_momentum ema + (1 - ema_momentum) w, of the new w (Keras' use_ema)
 *  penalty: scalar: sum l1 |w| + l2 w^2 + strength / 2 omega (w - anchor)^2 of the weights before the update; EGI_NONE:
 * not wanted. w, grad, m, v, anchor, omega, ema: (count). anchor and omega: both or neither; m, v as the optimizer
 * needs; ema: EGI_NONE: no average is kept. w, m, v, ema are read and written (they stand in `in` and `out`). */
typedef struct egi_update {
    egi_val w, grad, m, v, anchor, omega, ema, norm, penalty;
    const egi_segment *segments; /* ascending, apart; borrowed; outlives the plan */
    int n_segments;
    double momentum, beta1, beta2, rho, epsilon, clip_norm, ema_momentum;
    bool nesterov;
} egi_update;

/** The rates of one step: of the run, not of a segment. */
typedef struct egi_update_rates {
    double clip; /* factor of the gradient, 1 without clipping */
    double adam; /* sqrt(1 - beta2^t) / (1 - beta1^t), t = step + 1 */
    double strength;
    double keep; /* of the average, share of what it was; 0 in the first step */
} egi_update_rates;

static inline egi_update_rates egi_update_rates_of(const egi_update *a, const egi_tensor *t, const egi_control *control)
{
    const double steps = (double)(control->step + 1);
    const double norm = a->clip_norm > 0 ? egi_get(&t[a->norm], 0) : 0;
    return (egi_update_rates){
        .clip = a->clip_norm > 0 && !(norm <= a->clip_norm) ? a->clip_norm / norm : 1, /* a NaN norm shows */
        .adam = sqrt(1 - pow(a->beta2, steps)) / (1 - pow(a->beta1, steps)),
        .strength = a->anchor ? control->strength : 0,
        .keep = control->step == 0 ? 0 : a->ema_momentum,
    };
}

/** What the four operations below share (core/ops/update.c). */
eg_status egi_update_check(const egi_plan *plan, const egi_update *a, bool wants_m, bool wants_v);
/** Gradient with penalties, before clipping, of element `i` with weight `w`. */
double egi_update_gradient(const egi_update *a, const egi_segment *s, const egi_tensor *t, double strength, int64_t i,
                           double w);
/** Frozen stretches of the arenas are not touched: egi_op.bytes. */
double egi_update_bytes(const void *args, const egi_tensor *t, double all);
/** Runs `step` over every element of every segment: returns the new weight, changes *m and *v. */
typedef double (*egi_update_step)(const egi_update *a, const egi_update_rates *r, double lr, double w, double g,
                                  double *m, double *v);
void egi_update_reference(const egi_update *a, const egi_tensor *t, const egi_control *control, egi_update_step step);

/** Keras' SGD: no momentum: w -= lr g. Else m = momentum m - lr g; w += m, or with nesterov w += momentum m - lr g. */
typedef egi_update egi_sgd;
/** Keras' Adam: alpha = lr sqrt(1 - beta2^t) / (1 - beta1^t); m += (g - m)(1 - beta1); v += (g^2 - v)(1 - beta2);
 *  w -= alpha m / (sqrt(v) + epsilon). AdamW is this with weight_decay. */
typedef egi_update egi_adam;
/** Keras' RMSprop: v = rho v + (1 - rho) g^2; momentum > 0: m = momentum m + lr g / sqrt(v + epsilon); w -= m; else w
 * -= lr g / sqrt(v + epsilon). */
typedef egi_update egi_rmsprop;

/** norm: scalar, sqrt of the sum over all segments of g^2, with g including the penalties as above (before clipping).
 */
typedef egi_update egi_update_norm;

/** f += x^2, elementwise: squared gradients of one sample. x, f: same count. */
typedef struct egi_square_add {
    egi_val x, f;
} egi_square_add;

/** sums = {x . y, y . y}, in f64 and in an order that the size alone decides.  x, y: (n)  sums: (2) f64. */
typedef struct egi_dot {
    egi_val x, y, sums;
} egi_dot;

/** A-GEM (Chaudhry et al. 2019): y = g - (g . ref / ref . ref) ref where g . ref < 0, else g: a step along y does not
 * raise the loss whose gradient is ref, to first order.  g, ref, y: (n)  sums: (2) f64, what `dot` makes of g and ref.
 */
typedef struct egi_agem_project {
    egi_val g, ref, sums, y;
} egi_agem_project;

/** The share of ref that is taken away; 0: g stays as it is. Sums that are NaN show. */
static inline EGI_HOST_DEVICE double egi_agem_share(const double *sums)
{
    return sums[0] >= 0 || sums[1] == 0 ? 0 : sums[0] / sums[1];
}

#endif
