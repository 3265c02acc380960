/** cuda/depthwise.h: what the kernels of depthwise.cu take. */
#ifndef EGI_CUDA_DEPTHWISE_H
#define EGI_CUDA_DEPTHWISE_H

#include "cuda/conv.h"

/** A convolution in which each channel in makes `times` channels out. */
typedef struct egi_cuda_depthwise {
    int32_t size[2], out[2]; /* rows and columns of the input and of the output */
    int32_t kernel[2], stride[2], pad[2], dilation[2];
    int32_t c, f, times;
} egi_cuda_depthwise;

/** y = act(x * w + b + r), or, backwards, dx of dz. */
typedef struct egi_cuda_depthwise_args {
    egi_cuda_depthwise d;
    egi_divisor rows, columns;  /* what pixels of y are counted in */
    const float *x, *w, *b, *r; /* backwards: x is dz */
    float *y;
    uint32_t pixels; /* of y */
    int32_t act;     /* egi_act */
    float alpha;
    int32_t lanes;
} egi_cuda_depthwise_args;

/** Parts as egi_cuda_conv_dw_args': matrices of (taps + 1) x f. */
typedef struct egi_cuda_depthwise_dw_args {
    egi_cuda_depthwise d;
    egi_divisor rows, columns; /* of dz */
    const float *x, *dz;       /* dz NULL: where scratch begins */
    float *scratch;
    int64_t parts;
    uint32_t pixels, each, unit; /* of all samples, of a split, of what is squared by itself */
    int32_t square;
} egi_cuda_depthwise_dw_args;

#define EGI_DEPTHWISE_TAPS 9 /* of a block */

#endif
