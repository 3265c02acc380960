/** cuda/elementwise.h: what the kernels of elementwise.cu take. `vector`: every pointer is aligned to 16 bytes. */
#ifndef EGI_CUDA_ELEMENTWISE_H
#define EGI_CUDA_ELEMENTWISE_H

#include "core/op.h"

typedef struct egi_cuda_add_args {
    const float *a, *b;
    float *y;
    int64_t n;
    int32_t act; /* egi_act */
    float alpha;
    int32_t vector;
} egi_cuda_add_args;

/* activation: y = f(x); activation_grad: y = x f'(at). */
typedef struct egi_cuda_act_args {
    const float *x, *at;
    float *y;
    int64_t n;
    int32_t act; /* egi_act */
    float alpha, max_value, threshold;
    int32_t vector;
} egi_cuda_act_args;

typedef struct egi_cuda_copy_args {
    const float *x;
    float *y;
    int64_t n;
    int32_t vector;
} egi_cuda_copy_args;

typedef struct egi_cuda_dropout_args {
    const float *x;
    float *y;
    const egi_control *control;
    int64_t n;
    uint32_t stream, keep; /* an element is dropped where its 24 random bits are less than `keep` */
    float scale;
    int32_t vector;
} egi_cuda_dropout_args;

/* pad2d and crop2d: y[r, s] = x[r - top, s - left], 0 where x has no such place. Rows run over all images; columns and
 * `left` count elements of the kernel: floats or float4. */
typedef struct egi_cuda_frame_args {
    const void *x;
    void *y;
    int64_t rows, y_height, x_height, y_columns, x_columns, top, left;
    int32_t lanes; /* threads that share a row */
} egi_cuda_frame_args;

/* record: `ring` is at the first column. */
typedef struct egi_cuda_record_args {
    const float *x[8];
    float *ring;
    const egi_control *control;
    int64_t rows, columns;
} egi_cuda_record_args;

#endif
