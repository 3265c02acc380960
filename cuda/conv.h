/** cuda/conv.h: what the kernels of conv.cu and conv_dw.cu take. */
#ifndef EGI_CUDA_CONV_H
#define EGI_CUDA_CONV_H

#include <stdint.h>

/** Division of numbers below 2^31 by a constant: (number * multiplier) >> (32 + shift), or the number where that is 0.
 */
typedef struct egi_divisor {
    uint32_t by, multiplier, shift;
} egi_divisor;

/* `lanes`, in args: threads of a block that share a pixel, a power of two; each has channels of its own. */

/** Pixels of an image by output pixel and tap: in each axis, coordinate = pixel * scale + origin + tap * step. */
typedef struct egi_cuda_gather {
    const float *x;
    int64_t sample, width;                /* floats of a sample, of a pixel */
    int32_t size[2];                      /* rows and columns of a sample */
    int32_t scale[2], origin[2], step[2]; /* step: of a tap */
    egi_divisor rows, columns;            /* what output pixels are counted in */
    egi_divisor channels;                 /* of a group: taps are counted in them */
} egi_cuda_gather;

/** A pooling window, and the pooled image. */
typedef struct egi_cuda_window {
    int32_t window[2], stride[2], pad[2];
    int32_t size[2];           /* what is pooled */
    egi_divisor rows, columns; /* of the pooled image */
} egi_cuda_window;

/** y = act(patches * w + b + r), as a product of m x k and k x n a group. */
typedef struct egi_cuda_conv_args {
    egi_cuda_gather g; /* of x */
    const float *w, *b, *r;
    float *y;
    uint8_t *index; /* where pooling is fused */
    uint32_t m, k;
    int32_t n, f; /* channels out: of a group, of all */
    int32_t kw;
    int32_t precision; /* egi_precision: of x and w */
    int32_t act;       /* egi_act */
    float alpha;
    int32_t size[2], window[2], stride[2], pad[2]; /* of fused pooling; size: what is pooled */
    int32_t area;                                  /* of its window: 1, 2, 4 or 8 */
} egi_cuda_conv_args;

/** dx = patches of dz * transposed w. Rows and columns of dx that are equal modulo the stride are a phase: each of
 * them meets its own taps, one in `every`. */
typedef struct egi_cuda_conv_dx_args {
    egi_cuda_gather g; /* of dz */
    const float *w;
    float *dx;
    uint32_t m, tiles; /* pixels of a phase, and blocks for them */
    int32_t n, c, f;   /* channels of dx: of a group, of all; of dz: all */
    int32_t size[2], kernel[2], stride[2], pad[2], dilation[2], every[2];
    int32_t phases;    /* columns of phases */
    int32_t precision; /* egi_precision: of dz and w */
} egi_cuda_conv_dx_args;

/** Parts of dw and db, or of their squares: `splits` matrices of (m + 1) x f, the last row db. */
typedef struct egi_cuda_conv_dw_args {
    egi_cuda_gather g; /* of x */
    const float *dz;   /* NULL: where scratch begins */
    float *scratch;
    int64_t parts;                 /* where in scratch the parts lie, in floats */
    uint32_t m;                    /* rows of dw */
    uint32_t pixels, each, sample; /* output pixels: of all samples, of a split, of a sample */
    int32_t n, f, kw, splits;
    int32_t precision; /* egi_precision: of x and dz */
} egi_cuda_conv_dw_args;

/** y = the sum of the parts, in order, added to y where `add`. */
typedef struct egi_cuda_parts_args {
    const float *scratch;
    float *dw, *db;      /* db may be NULL */
    int64_t parts, part; /* where parts lie, in floats, and how long one is */
    int64_t n_dw, n;     /* elements of dw, and of dw and db */
    int32_t splits, add;
} egi_cuda_parts_args;

/** y and index: the largest of each window of x, and which. */
typedef struct egi_cuda_conv_pool_args {
    egi_cuda_window window;
    const float *x;
    float *y;
    uint8_t *index;  /* may be NULL */
    uint32_t pixels; /* of y */
    int32_t f, lanes;
} egi_cuda_conv_pool_args;

/** dz: the gradient before pooling. */
typedef struct egi_cuda_unpool_args {
    egi_cuda_window window;
    egi_divisor rows, columns; /* of dz */
    const float *dy;
    const uint8_t *index;
    float *dz;
    uint32_t pixels; /* of dz */
    int32_t f, lanes;
} egi_cuda_unpool_args;

#endif
