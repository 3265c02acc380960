/** cuda/mlp.h: what the kernels of mlp.cu take. */
#ifndef EGI_CUDA_MLP_H
#define EGI_CUDA_MLP_H

#include "core/ops/mlp.h"
#include "cuda/loss.h"

#define EGI_MLP_BLOCK 256 /* threads */
#define EGI_MLP_TILE  32  /* rows and columns of dw that a block has */
#define EGI_MLP_DEPTH 64  /* examples that it takes at a time */

typedef struct egi_cuda_mlp_layer {
    const float *w, *b; /* b may be NULL, and then db */
    float *dw, *db;
    int64_t y, dz;           /* where its outputs and their gradients lie in scratch: (rows, pitch) */
    int32_t in, out, pitch;  /* pitch: out, rounded up to four */
    int32_t at;              /* where its outputs lie in shared memory, in floats a row */
    int32_t slices;          /* of the sums over `in` */
    int32_t first;           /* its first block in eg_mlp_grads */
    int32_t quads, quads_dw; /* may four neighbours of w, of dw be had at once? */
    int32_t act;             /* egi_act */
    float alpha;
} egi_cuda_mlp_layer;

/** Of all kernels. */
typedef struct egi_cuda_mlp_args {
    egi_cuda_mlp_layer layer[EGI_MLP_LAYERS];
    egi_cuda_xent xent; /* rows: of the batch */
    const float *x;
    float *scratch; /* (blocks, 2) doubles: loss and correct; then y and dz of the layers */
    float *loss, *correct;
    int32_t layers, blocks; /* blocks: of the first kernel */
    int32_t grads;          /* blocks that the second has for dw and db */
    int32_t quads_x;
} egi_cuda_mlp_args;

#endif
