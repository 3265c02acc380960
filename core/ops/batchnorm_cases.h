/** core/ops/batchnorm_cases.h: what the cases of batch normalisation share: one list whether the statistics are the
 * batch's or stored. */
#ifndef EGI_OP_BATCHNORM_CASES_H
#define EGI_OP_BATCHNORM_CASES_H

#include "core/ops/batchnorm.h"

/** Of the forward operations: x, gamma, beta, mean, variance, r. */
#define EGI_BATCHNORM_IN(c, ...)                                                                         \
    {                                                                                                    \
        EGI_STATIC_SHAPE(__VA_ARGS__, c), EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(c), \
            EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(__VA_ARGS__, c)                                        \
    }
#define EGI_BATCHNORM_FILL                                                                      \
    {                                                                                           \
        EGI_FILL_NORMAL, EGI_FILL_POSITIVE, EGI_FILL_NORMAL, EGI_FILL_NORMAL, EGI_FILL_POSITIVE \
    }

/** One of a gradient. args_(...): the args struct, given its fields. */
#define EGI_BATCHNORM_GRAD_FUSED(args_, kind, slope, y_fill, absent, unwanted, c, ...)      \
    {                                                                                       \
        .args = &args_(.act = EGI_ACT_##kind, .alpha = slope),                              \
        .in = {EGI_STATIC_SHAPE(__VA_ARGS__, c),                                            \
               EGI_STATIC_SHAPE(__VA_ARGS__, c),                                            \
               EGI_STATIC_SHAPE(c),                                                         \
               EGI_STATIC_SHAPE(c),                                                         \
               EGI_STATIC_SHAPE(c),                                                         \
               EGI_STATIC_SHAPE(__VA_ARGS__, c)},                                           \
        .out = {EGI_STATIC_SHAPE(__VA_ARGS__, c), EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(c), \
                EGI_STATIC_SHAPE(__VA_ARGS__, c)},                                          \
        .in_absent = absent, .out_absent = unwanted, .fill = {                              \
            EGI_FILL_NORMAL,                                                                \
            EGI_FILL_NORMAL,                                                                \
            EGI_FILL_POSITIVE,                                                              \
            EGI_FILL_NORMAL,                                                                \
            EGI_FILL_POSITIVE,                                                              \
            EGI_FILL_##y_fill                                                               \
        }                                                                                   \
    }
#define EGI_BATCHNORM_NO_DR (1 << 3)
#define EGI_BATCHNORM_GRAD_PLAIN(args_, absent, unwanted, c, ...)                                              \
    EGI_BATCHNORM_GRAD_FUSED(args_, LINEAR, 0, NORMAL, 1 << 5 | (absent), EGI_BATCHNORM_NO_DR | (unwanted), c, \
                             __VA_ARGS__)

/** All of a gradient. */
#define EGI_BATCHNORM_GRAD_CASES(args_)                                                                              \
    EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 0, 5, 4, 3, 3), EGI_BATCHNORM_GRAD_PLAIN(args_, 1 << 2, 1 << 1, 3, 11),       \
        EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 6, 17, 6, 2), EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 1, 17, 6, 2),            \
        EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 0, 1, 7), EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 0, 130, 9),                  \
        EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 0, 16, 32, 12, 11), EGI_BATCHNORM_GRAD_PLAIN(args_, 0, 0, 3, 13, 17, 19), \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU, 0, AWAY, 0, EGI_BATCHNORM_NO_DR, 5, 4, 3, 3),                          \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU6, 0, AWAY, 0, 0, 17, 6, 2),                                             \
        EGI_BATCHNORM_GRAD_FUSED(args_, SIGMOID, 0, UNIT, 1 << 2, 1 << 1, 3, 11),                                    \
        EGI_BATCHNORM_GRAD_FUSED(args_, TANH, 0, UNIT, 0, EGI_BATCHNORM_NO_DR | 6, 17, 6, 2),                        \
        EGI_BATCHNORM_GRAD_FUSED(args_, LEAKY_RELU, 0.2f, AWAY, 0, 1, 130, 9),                                       \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU, 0, AWAY, 0, 0, 1, 7),                                                  \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU, 0, AWAY, 0, 6, 4, 1),                                                  \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU, 0, AWAY, 0, EGI_BATCHNORM_NO_DR, 16, 32, 12, 11),                      \
        EGI_BATCHNORM_GRAD_FUSED(args_, RELU, 0, AWAY, 0, 0, 3, 13, 17, 19)

#endif
