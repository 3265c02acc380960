#ifndef EGI_OP_POINTWISE_H
#define EGI_OP_POINTWISE_H

#include "core/act.h"
#include "core/op.h"
#include "core/rng.h"

/** y = f(x), any kind but softmax. */
typedef struct egi_activation {
    egi_val x, y;
    egi_act act;
    float alpha, max_value, threshold; /* max_value < 0: none */
} egi_activation;

/** dx = dy f'(.). Kinds whose slope follows from the output need `y`, the others `x`; the other one may be EGI_NONE. */
typedef struct egi_activation_grad {
    egi_val dy, x, y, dx;
    egi_act act;
    float alpha, max_value, threshold;
} egi_activation_grad;

/** Softmax over the last dimension, with the maximum subtracted. */
typedef struct egi_softmax {
    egi_val x, y;
} egi_softmax;

/** dx = y (dy - sum(dy y)). */
typedef struct egi_softmax_grad {
    egi_val dy, y, dx;
} egi_softmax_grad;

/** y_i = x_i / (1 - rate) where u_i >= rate, else 0. u: Philox keyed by (control.seed, EGI_RNG_DROPOUT), counter (i /
 * 4, stream, control.step), word i % 4: the backward pass is the same operation on the gradient. */
typedef struct egi_dropout {
    egi_val x, y;
    float rate;
    uint32_t stream; /* tells the dropout layers of a plan apart */
} egi_dropout;

/** The four words that decide elements 4 `block` to 4 `block` + 3. */
static inline EGI_HOST_DEVICE egi_philox egi_dropout_block(const egi_control *control, uint32_t stream, uint64_t block)
{
    const uint32_t counter[4] = {(uint32_t)block, stream, (uint32_t)control->step,
                                 EGI_RNG_DROPOUT | (uint32_t)(block >> 32) << 8};
    const uint32_t key[2] = {(uint32_t)control->seed, (uint32_t)(control->seed >> 32)};
    return egi_philox_block(counter, key);
}

/** y = act(a + b), same shapes. */
typedef struct egi_add {
    egi_val a, b, y;
    egi_act act; /* a kind whose slope follows from the output */
    float alpha;
} egi_add;

/** y = x; converts between f32 and f64 where the dtypes differ. */
typedef struct egi_copy {
    egi_val x, y;
} egi_copy;

/** Does the smaller NHWC value lie inside the larger one at (top, left)? Errors: SHAPE, naming both. */
EG_MUST_USE eg_status egi_frame_check(const egi_plan *plan, egi_val small, egi_val large, int64_t top, int64_t left);

/** Zeros around.  x: (n, h, w, c)  y: (n, H, W, c)  y[top + i, left + j] = x[i, j]. */
typedef struct egi_pad2d {
    egi_val x, y;
    int64_t top, left;
} egi_pad2d;

/** y[i, j] = x[top + i, left + j]. */
typedef struct egi_crop2d {
    egi_val x, y;
    int64_t top, left;
} egi_crop2d;

#endif
