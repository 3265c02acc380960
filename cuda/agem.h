/** cuda/agem.h: what the kernels of agem.cu take. `quads`: every array starts at 16 bytes. */
#ifndef EGI_CUDA_AGEM_H
#define EGI_CUDA_AGEM_H

#include <stdint.h>

typedef struct egi_cuda_dot_args {
    const float *x, *y;
    double *partials; /* scratch: (blocks, 2) */
    double *sums;     /* (2): written where there is one block */
    int64_t n;        /* elements; of eg_dot_sum: blocks */
    int32_t quads;
} egi_cuda_dot_args;

typedef struct egi_cuda_project_args {
    const float *g, *ref;
    const double *sums;
    float *y;
    int64_t n;
    int32_t quads;
} egi_cuda_project_args;

#endif
