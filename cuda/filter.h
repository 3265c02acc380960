/** cuda/filter.h: what the kernels of filter.cu take. */
#ifndef EGI_CUDA_FILTER_H
#define EGI_CUDA_FILTER_H

#include <stdint.h>

/* Of activations and kernels, those in bf16 lie as uint16_t. */

/** to (columns, rows) = from (rows, columns), transposed: our kernels (h, w, c, f) are cuDNN's (f, h, w, c) so. */
typedef struct egi_cuda_transpose_args {
    const void *from;
    void *to;
    int64_t rows, columns;
} egi_cuda_transpose_args;

/** to = from in bf16. */
typedef struct egi_cuda_round_args {
    const void *from;
    void *to;
    int64_t n;
    int32_t vector; /* both aligned for four at once */
} egi_cuda_round_args;

/** y = act(x + b + r), of `pixels` rows of f. */
typedef struct egi_cuda_finish_args {
    const void *x;
    const float *b, *r; /* b: (f); either may be NULL */
    float *y;
    uint32_t pixels;
    int32_t f, lanes; /* lanes: threads of a block that share a pixel, a power of two */
    int32_t act;      /* egi_act */
    float alpha;
} egi_cuda_finish_args;

#endif
