/** cuda/gather.h: what the kernels of gather.cu take. */
#ifndef EGI_CUDA_GATHER_H
#define EGI_CUDA_GATHER_H

#include "core/ops/data.h"

typedef struct egi_cuda_gather_args {
    const void *x; /* u8 or float */
    const int32_t *index;
    const float *base; /* NULL: zeros; may be y */
    float *y;
    const egi_control *control;
    int64_t examples, batch;
    int32_t n;                       /* values an example */
    int32_t lanes;                   /* threads that share a piece of an example */
    int32_t width, height, channels; /* of the image; augmented only */
    egi_affine affine;
    egi_augment augment;
} egi_cuda_gather_args;

typedef struct egi_cuda_gather_labels_args {
    const int32_t *x, *index;
    int32_t *y;
    int64_t n, batch;
} egi_cuda_gather_labels_args;

#endif
