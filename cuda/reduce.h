/** cuda/reduce.h: what the kernels of reduce.cu take. */
#ifndef EGI_CUDA_REDUCE_H
#define EGI_CUDA_REDUCE_H

#include "cuda/columns.h"

/** y = sums by sample and column / count. Of several chunks each, or where `to_parts`, they go to `parts` undivided. */
typedef struct egi_cuda_sum_args {
    egi_cuda_columns g;
    const float *x;
    float *y;
    double *parts; /* scratch: (samples, chunks, c) */
    double count;
    int32_t to_parts;
} egi_cuda_sum_args;

/** f += sum over samples of the square of (the sum over chunks of parts), divided by var + epsilon if there is var. */
typedef struct egi_cuda_square_args {
    egi_cuda_columns g; /* rows: the samples */
    int64_t chunks;
    int64_t offset; /* of the sums in `parts` */
    const double *parts;
    const float *var;
    float *f;
    float epsilon;
} egi_cuda_square_args;

typedef struct egi_cuda_spread_args {
    egi_cuda_columns g;
    const float *dy;
    float *dx;
} egi_cuda_spread_args;

#endif
