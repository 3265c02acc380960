/** cuda/softmax.h: what the kernels of softmax.cu take. */
#ifndef EGI_CUDA_SOFTMAX_H
#define EGI_CUDA_SOFTMAX_H

#include <stdint.h>

/* softmax: x, y; softmax_grad: dy, y, dx */
typedef struct egi_cuda_softmax_args {
    const float *x, *dy;
    float *y, *dx;
    int64_t rows, columns;
    int32_t lanes; /* threads that share a row */
} egi_cuda_softmax_args;

#endif
