/** cuda/gemm.h: what the kernels of gemm.cu take. */
#ifndef EGI_CUDA_GEMM_H
#define EGI_CUDA_GEMM_H

#include <stdint.h>

/** c = act(op(a) op(b) + bias (+ c where `accumulate`)), row-major. Block z of the grid sums k in [z chunk, (z + 1)
 *  chunk). Where there are several, their sums go to `parts` (splits, m, n) and a second pass adds them up. */
typedef struct egi_cuda_gemm_args {
    const float *a, *b, *bias; /* bias: (n) or NULL */
    float *c;
    float *parts; /* scratch, or NULL: one block sums all of k */
    int64_t m, n, k, chunk;
    int32_t splits;
    int32_t quads_a, quads_b, quads_c; /* rows start at 16 bytes, and have whole float4 */
    int32_t accumulate;
    int32_t precision; /* egi_precision: of a and b */
    int32_t act;       /* egi_act */
    float alpha;
} egi_cuda_gemm_args;

#endif
