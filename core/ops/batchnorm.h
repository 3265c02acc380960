#ifndef EGI_OP_BATCHNORM_H
#define EGI_OP_BATCHNORM_H

#include "core/act.h"
#include "core/op.h"

/** Training: y = act(gamma (x - mean) / sqrt(var + epsilon) + beta + r) over all dimensions but the last; statistics in
 * double or by two passes, never in low precision. moving = moving * momentum + batch * (1 - momentum), in place; the
 * variance is the biased one unless `unbiased` (Keras 2's fused path: N / (N - 1), N = 1 counts as biased). x: (..., c)
 * gamma, beta: (c) or EGI_NONE  moving_*: (c), read and written  r: like x, what a residual network adds, or EGI_NONE
 * y: like x  mean, istd: (c), for the gradient. Gradient (Ioffe & Szegedy 2015): batchnorm_grad. */
typedef struct egi_batchnorm {
    egi_val x, gamma, beta, moving_mean, moving_var, r, y, mean, istd;
    float epsilon, momentum;
    bool unbiased;
    egi_act act; /* a kind whose slope follows from the output */
    float alpha;
} egi_batchnorm;

/** Given dz = dy act'(y). y: EGI_NONE where `act` is linear. dx, dgamma, dbeta: each may be EGI_NONE, not all. dr: dz,
 * which is the gradient of r, or EGI_NONE. */
typedef struct egi_batchnorm_grad {
    egi_val dy, x, gamma, mean, istd, y, dx, dgamma, dbeta, dr;
    egi_act act;
    float alpha;
} egi_batchnorm_grad;

/** Inference or frozen: y = act(gamma (x - mean) / sqrt(var + epsilon) + beta + r) with the stored statistics. */
typedef struct egi_batchnorm_infer {
    egi_val x, gamma, beta, mean, var, r, y;
    float epsilon;
    egi_act act; /* a kind whose slope follows from the output */
    float alpha;
} egi_batchnorm_infer;

/** As batchnorm_grad, through the stored statistics. */
typedef struct egi_batchnorm_infer_grad {
    egi_val dy, x, gamma, mean, var, y, dx, dgamma, dbeta, dr;
    float epsilon;
    egi_act act;
    float alpha;
} egi_batchnorm_infer_grad;

/** fgamma += sum_n (sum over positions of dy xhat)^2, fbeta += sum_n (sum over positions of dy)^2. Either may be
 * EGI_NONE. dy, x: (n, ..., c). */
typedef struct egi_batchnorm_infer_square {
    egi_val dy, x, mean, var, fgamma, fbeta;
    float epsilon;
} egi_batchnorm_infer_square;

/** A convolution or dense layer that does what batchnorm_infer would do to its result: fw = w s, fb = beta + (b - mean)
 * s with s = gamma / sqrt(var + epsilon) by output channel, the last dimension of w. fw and fb hold from run to run: a
 * kernel may leave them as they are while control.weights_version does not change. */
typedef struct egi_batchnorm_fold {
    egi_val w, b, gamma, beta, mean, var, fw, fb;
    float epsilon;
} egi_batchnorm_fold;

#endif
