/** cuda/filter.h: what the kernels of filter.cu take. */
#ifndef EGI_CUDA_FILTER_H
#define EGI_CUDA_FILTER_H

#include <stdint.h>

/** An address: `data`, or, where that is NULL, so many bytes into scratch. */
typedef struct egi_cuda_place {
    void *data;
    int64_t at;
} egi_cuda_place;

/** to (columns, rows) = from (rows, columns), transposed: our kernels (h, w, c, f) are cuDNN's (f, h, w, c) so. */
typedef struct egi_cuda_transpose_args {
    char *scratch;
    egi_cuda_place from, to;
    int64_t rows, columns;
} egi_cuda_transpose_args;

/** to = from in bf16. */
typedef struct egi_cuda_round_args {
    char *scratch;
    egi_cuda_place from, to;
    int64_t n;
    int32_t vector; /* both aligned for four at once */
} egi_cuda_round_args;

/** y = act(x + b + r), of `pixels` rows of f. */
typedef struct egi_cuda_finish_args {
    char *scratch;
    egi_cuda_place x;
    const float *b, *r; /* b: (f); either may be NULL */
    float *y;
    uint32_t pixels;
    int32_t f, lanes; /* lanes: threads of a block that share a pixel, a power of two */
    int32_t act;      /* egi_act */
    float alpha;
} egi_cuda_finish_args;

#endif
