/** cuda/norm.h: what the kernels of norm.cu take. */
#ifndef EGI_CUDA_NORM_H
#define EGI_CUDA_NORM_H

#include "cuda/columns.h"

/** Forward. scatter: istd, or the variances where statistics are `stored`. */
typedef struct egi_cuda_batchnorm_args {
    egi_cuda_columns g;
    int64_t rows, chunks; /* of the matrix, where g is of its parts */
    const float *x, *r, *gamma, *beta, *scatter;
    float *y, *mean, *istd, *moving_mean, *moving_var;
    double *parts; /* scratch: 2 x (chunks, c): sums of x - x_0, and of its squares */
    float epsilon, momentum, alpha;
    int32_t unbiased, stored, act;
} egi_cuda_batchnorm_args;

/** Backward. scatter: as forward. sums: of dz and of dz (x - mean), by sample, chunk and column. */
typedef struct egi_cuda_batchnorm_grad_args {
    egi_cuda_columns g;
    int64_t rows, parts; /* of the matrix; (samples, chunks, c) doubles of a sum */
    const float *dy, *y, *x, *gamma, *mean, *scatter;
    float *dz, *dx, *dgamma, *dbeta;
    double *sums; /* scratch: 2 x parts; then two floats by column, the factors of dx */
    float epsilon, alpha;
    int32_t stored, act;
    int32_t summed; /* wanted: sums */
} egi_cuda_batchnorm_grad_args;

typedef struct egi_cuda_batchnorm_fold_args {
    egi_cuda_columns g;
    const float *w, *b, *gamma, *beta, *mean, *var;
    float *fw, *fb;
    float epsilon;
} egi_cuda_batchnorm_fold_args;

#endif
