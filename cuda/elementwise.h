/** cuda/elementwise.h: what the kernels of elementwise.cu take. */
#ifndef EGI_CUDA_ELEMENTWISE_H
#define EGI_CUDA_ELEMENTWISE_H

#include <stdint.h>

typedef struct egi_cuda_add_args {
    const float *a, *b;
    float *y;
    int64_t n;
    int32_t act; /* egi_act */
    float alpha;
} egi_cuda_add_args;

#endif
