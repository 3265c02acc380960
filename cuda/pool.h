/** cuda/pool.h: what the kernels of pool.cu take. */
#ifndef EGI_CUDA_POOL_H
#define EGI_CUDA_POOL_H

#include <stdint.h>

#define EGI_POOL_BLOCK 256 /* threads of a block at most */

/** Large side (n, h, w, c), small side (n, oh, ow, c). A thread has `vector` channels, 1 or 4, of one pixel of the side
 * that is written; `each` such threads are a sample. */
typedef struct egi_cuda_pool_args {
    const float *x; /* read */
    float *y;       /* written */
    uint8_t *index; /* which place won, or NULL */
    int64_t n;
    int32_t h, w, c, oh, ow;
    int32_t window[2], stride[2], pad[2];
    uint32_t each;
    int32_t vector;
} egi_cuda_pool_args;

#endif
