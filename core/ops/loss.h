#ifndef EGI_OP_LOSS_H
#define EGI_OP_LOSS_H

#include "core/op.h"

/** Losses are roots: their gradient rule takes the gradient that arrives as 1 and passes `d...`, which the operation
 * computed in the same pass. Scalars have shape EGI_SCALAR. Several losses are summed with `add`. */

/** Softmax cross-entropy: loss = scale / n sum_i weight_i (-sum_k t_ik log softmax(z_i)_k); t is one-hot of labels, or
 * `targets`, mixed with label_smoothing / K as Keras does. dz = scale / n weight_i (softmax(z_i) - t_i) (times sum t_i
 * where targets do not sum to 1). z: (n, K)  labels: (n) i32, or targets: (n, K) (one of them is EGI_NONE)  weights:
 * (n) or EGI_NONE loss: scalar  dz: (n, K)  correct: scalar, number of rows with weight > 0 whose largest z (the first
 * of equals) is the (largest) target; EGI_NONE: not wanted. A negative label means: this row does not count (its weight
 * is 0). Rows with weight 0 must not produce NaN. Keras divides by n, not by the sum of weights. */
typedef struct egi_softmax_xent {
    egi_val z, labels, targets, weights, loss, dz, correct;
    float scale, label_smoothing;
} egi_softmax_xent;

typedef enum egi_pointwise_kind {
    EGI_LOSS_BCE_LOGITS, /* max(z, 0) - z t + log(1 + exp(-|z|)); smoothing: t (1 - s) + s / 2 */
    EGI_LOSS_BCE, /* of probabilities, clipped to [1e-7, 1 - 1e-7] as Keras does; the gradient is 0 where clipped */
    EGI_LOSS_MSE,
    EGI_LOSS_MAE /* gradient 0 where equal */
} egi_pointwise_kind;

/** loss = scale / n sum_i weight_i mean_k l(y_ik, t_ik).  y, targets, dy: (n, ...)  weights: (n) or EGI_NONE
 *  correct: scalar, mean over k of (y > threshold) == (t > 0.5), summed over rows with weight > 0; threshold 0 for
 * logits, else 0.5. */
typedef struct egi_pointwise_loss {
    egi_val y, targets, weights, loss, dy, correct;
    egi_pointwise_kind kind;
    float scale, label_smoothing;
} egi_pointwise_loss;

#define EGI_RECORD_MOST 8

/** What steps found, for the host to read when it comes to it: row (control.step modulo the rows) of `ring` gets x[i]
 * in column first + i. x: scalars; EGI_NONE: the column stays as it is  ring: (rows, columns), in place. */
typedef struct egi_record {
    egi_val x[EGI_RECORD_MOST], ring;
    int64_t first;
} egi_record;

typedef enum egi_fisher_head { EGI_HEAD_SOFTMAX, EGI_HEAD_SIGMOID, EGI_HEAD_LINEAR } egi_fisher_head;
typedef enum egi_fisher_mode { EGI_FISHER_EXACT, EGI_FISHER_SAMPLE, EGI_FISHER_EMPIRICAL } egi_fisher_mode;

/** The gradient at the logits that a Fisher estimate sends back (Kirkpatrick et al. 2017; exact form: sum over y of
 * p(y|x) g_y^2). softmax exact, class c = control.fisher_class: sqrt(p_c) (e_c - p); sample: e_y - p with y ~ p by
 * Philox (control.seed, EGI_RNG_FISHER, control.step, row); empirical: e_label - p. sigmoid exact: sqrt(p_c (1 - p_c))
 * e_c; sample, empirical: t - p.  linear (unit Gaussian): exact: e_c; sample: N(0, 1); empirical: t - z. z: (n, K)
 * labels: (n) i32 or EGI_NONE  targets: (n, K) or EGI_NONE  weights: (n), 0 for rows that only pad the batch  dz: (n,
 * K). */
typedef struct egi_fisher_seed {
    egi_val z, labels, targets, weights, dz;
    egi_fisher_head head;
    egi_fisher_mode mode;
} egi_fisher_seed;

#endif
