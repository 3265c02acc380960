#ifndef EGI_OP_MLP_H
#define EGI_OP_MLP_H

#include "core/act.h"
#include "core/op.h"

#define EGI_MLP_LAYERS 6   /* at most */
#define EGI_MLP_WIDTH  256 /* of a layer's output, at most */

/** A whole training step of a chain of dense layers under softmax cross-entropy, up to the gradients of its parameters:
 * y_0 = x, y_l+1 = act_l(y_l w_l + b_l) for l < layers; loss and correct of the last one as softmax_xent has them; dw_l
 * and db_l are the loss's gradients. Nothing in between is a value, and x gets no gradient. x: (n, in), of any width
 * w_l: (width of y_l, width of y_l+1)  b_l: (width of y_l+1) or EGI_NONE  dw_l, db_l: like w_l, b_l; db_l is EGI_NONE
 * where b_l is. labels, targets, weights, scale, label_smoothing: as in egi_softmax_xent. What is beyond `layers` is
 * EGI_NONE. Plans get it from egi_plan_fuse_step(), where the device has a kernel for it. */
typedef struct egi_mlp_step {
    egi_val x, labels, targets, weights, w[EGI_MLP_LAYERS], b[EGI_MLP_LAYERS];
    egi_val loss, correct, dw[EGI_MLP_LAYERS], db[EGI_MLP_LAYERS];
    int layers;
    egi_act act[EGI_MLP_LAYERS]; /* kinds whose slope follows from the output */
    float alpha[EGI_MLP_LAYERS]; /* of leaky_relu */
    float scale, label_smoothing;
} egi_mlp_step;

#endif
