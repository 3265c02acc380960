/** cuda/loss.h: what the kernels of loss.cu take. Values that are not wanted are NULL. */
#ifndef EGI_CUDA_LOSS_H
#define EGI_CUDA_LOSS_H

#include "core/device.h"
#include "core/ops/loss.h"

/* Where a loss and its correct go: to the scalars from a single block, else to the block's place in `partials`, which
 * eg_loss_sum adds up in the order of the blocks. */
typedef struct egi_cuda_loss_sums {
    double *partials; /* (blocks, 2): loss, correct */
    float *loss, *correct;
} egi_cuda_loss_sums;

typedef struct egi_cuda_loss_sum_args {
    egi_cuda_loss_sums sums;
    int64_t blocks;
} egi_cuda_loss_sum_args;

/** What the rows of a softmax cross-entropy are compared with. */
typedef struct egi_cuda_xent {
    const float *targets; /* NULL: labels count */
    const int32_t *labels;
    const float *weights;
    int64_t rows, columns;
    double scale;       /* of every row's loss */
    float keep, spread; /* target = keep * raw + spread */
    int32_t hits;       /* are correct answers counted? */
} egi_cuda_xent;

typedef struct egi_cuda_xent_args {
    egi_cuda_xent x;
    const float *z;
    float *dz;
    egi_cuda_loss_sums sums;
    int32_t lanes; /* threads that share a row */
} egi_cuda_xent_args;

typedef struct egi_cuda_pointwise_args {
    const float *y, *targets, *weights;
    float *dy;
    egi_cuda_loss_sums sums;
    int64_t n, each;    /* elements, of a row */
    double scale;       /* of every element's loss */
    float keep, spread; /* target = keep * raw + spread */
    float threshold;    /* y above it means yes */
    int32_t kind;       /* egi_pointwise_kind */
} egi_cuda_pointwise_args;

typedef struct egi_cuda_distill_args {
    const float *z, *teacher, *weights;
    float *dz;
    egi_cuda_loss_sums sums;
    int64_t rows, columns, begin, old; /* the teacher's `old` columns are those of z from `begin` on */
    double scale;                      /* of every row's loss */
    float cool;                        /* 1 / temperature */
    int32_t lanes;                     /* threads that share a row */
} egi_cuda_distill_args;

typedef struct egi_cuda_fisher_args {
    const float *z, *targets;
    const int32_t *labels;
    const float *weights;
    float *dz;
    const egi_control *control;
    int64_t rows, columns;
    int32_t head, mode; /* egi_fisher_head, egi_fisher_mode */
    int32_t lanes;      /* threads that share a row; softmax only */
} egi_cuda_fisher_args;

/** What `a`, a loss over rows x columns, compares with; z, dz and loss of it are not looked at. */
egi_cuda_xent egi_cuda_xent_of(const egi_kernel *k, const egi_softmax_xent *a, int64_t rows, int64_t columns);

#endif
