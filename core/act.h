/** core/act.h: the activations, their Keras names and their scalar formulas. */
#ifndef EGI_ACT_H
#define EGI_ACT_H

#include "core/status.h"

#include <stdbool.h>

/** name, Keras' name. Kinds before ELU have a derivative that follows from the output alone: they fuse into dense and
 * conv2d. */
#define EGI_ACT_LIST(X)                                                                     \
    X(LINEAR, "linear")                                                                     \
    X(RELU, "relu")                                                                         \
    X(RELU6, "relu6")                                                                       \
    X(SIGMOID, "sigmoid")                                                                   \
    X(TANH, "tanh")                                                                         \
    X(LEAKY_RELU, "leaky_relu") /* slope `alpha` */                                         \
    X(ELU, "elu")               /* alpha (exp(x) - 1) */                                    \
    X(SELU, "selu")                                                                         \
    X(SOFTPLUS, "softplus")                                                                 \
    X(SOFTSIGN, "softsign")                                                                 \
    X(EXPONENTIAL, "exponential")                                                           \
    X(SILU, "silu")                                                                         \
    X(GELU, "gelu")                   /* erf form */                                        \
    X(GELU_TANH, "gelu_tanh")         /* tanh form */                                       \
    X(HARD_SIGMOID, "hard_sigmoid")   /* Keras 3: relu6(x + 3) / 6 */                       \
    X(HARD_SIGMOID2, "hard_sigmoid2") /* Keras 2: clip(0.2 x + 0.5, 0, 1) */                \
    X(HARD_SILU, "hard_silu")                                                               \
    X(RELU_GENERAL, "relu_general") /* the ReLU layer: slope alpha, max_value, threshold */ \
    X(SOFTMAX, "softmax")           /* not pointwise: layers emit the softmax operation for it */

typedef enum egi_act {
#define EGI_ACT_ENUM(name, keras) EGI_ACT_##name,
    EGI_ACT_LIST(EGI_ACT_ENUM)
#undef EGI_ACT_ENUM
        EGI_ACT_COUNT
} egi_act;

/** Keras' name of a kind. */
const char *egi_act_name(egi_act act);

/** The kind for a Keras name of generation `keras_major` (1, 2 or 3; it decides hard_sigmoid). Also "swish",
 * "hard_swish". Errors: UNSUPPORTED, naming it. */
EG_MUST_USE eg_status egi_act_parse(egi_act *out, const char *name, int keras_major);

/** Does the derivative follow from the output alone? */
static inline bool egi_act_by_output(egi_act act)
{
    return act <= EGI_ACT_LEAKY_RELU;
}

/** y = f(x) and dy/dx from x and y, in double: the oracle. */
typedef struct egi_act_args {
    double alpha, max_value, threshold; /* max_value < 0: none */
} egi_act_args;
double egi_act_value(egi_act act, const egi_act_args *a, double x);
double egi_act_slope(egi_act act, const egi_act_args *a, double x, double y);
/** alpha that a plain name means: leaky_relu 0.2, elu 1. */
double egi_act_default_alpha(egi_act act);

#endif
