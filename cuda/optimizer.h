/** cuda/optimizer.h: what the kernels of optimizer.cu take. */
#ifndef EGI_CUDA_OPTIMIZER_H
#define EGI_CUDA_OPTIMIZER_H

#include <stdint.h>

/** Elements a block does at once: its threads times four. Pieces begin at multiples of it in the arena, so that a
 *  thread's four are aligned wherever the segment begins. */
#define EGI_CUDA_PIECE 1024

/** An egi_segment as kernels want it, with the number of its first piece. */
typedef struct egi_cuda_segment {
    int64_t begin, end, first;
    float l1, l2, lr_scale, weight_decay;
} egi_cuda_segment;

struct egi_control;

typedef struct egi_cuda_update_args {
    float *w, *m, *v;
    float *ema; /* NULL: no average is kept */
    const float *grad, *anchor, *omega;
    const float *norm; /* scalar; NULL: no clipping */
    double *sums;      /* scratch: one a block; NULL: the sum is not wanted */
    const egi_cuda_segment *segments;
    const struct egi_control *control;
    int64_t pieces;
    int32_t n_segments;
    int32_t quads; /* all arenas start at 16 bytes */
    float ema_momentum, clip_norm, momentum, rho, one_minus_rho, one_minus_beta1, one_minus_beta2, epsilon;
    float log_beta1, log_beta2;
} egi_cuda_update_args;

/** *y = the sum of n numbers, or its square root. */
typedef struct egi_cuda_update_sum_args {
    const double *sums;
    float *y;
    int64_t n;
    int32_t root;
} egi_cuda_update_sum_args;

typedef struct egi_cuda_square_add_args {
    const float *x;
    float *f;
    int64_t n;
    int32_t quads; /* both start at 16 bytes */
} egi_cuda_square_add_args;

#endif
