/* cuda/philox.cuh: the draws of core/rng.h, for kernels. */
#ifndef EGI_CUDA_PHILOX_CUH
#define EGI_CUDA_PHILOX_CUH

#include "core/rng.h"

/* Block `index` of the stream that egi_rng_make(seed, purpose, step) begins. */
__device__ __forceinline__ egi_philox eg_rng_block(uint64_t seed, egi_purpose purpose, uint32_t step, uint64_t index)
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), step, (uint32_t)purpose};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    return egi_philox_block(counter, key);
}

/* Uniform in [0, 1) with 53 bits, as egi_rng_uniform64() makes it of two words. */
__device__ __forceinline__ double eg_uniform64(uint32_t first, uint32_t second)
{
    return (double)((uint64_t)(first >> 5) << 26 | second >> 6) * 0x1p-53;
}

#endif
