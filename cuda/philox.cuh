/* cuda/philox.cuh: Philox4x32-10 of core/rng.h, for kernels: the same words from the same counters. */
#ifndef EGI_CUDA_PHILOX_CUH
#define EGI_CUDA_PHILOX_CUH

#include "core/rng.h"

__device__ __forceinline__ egi_philox eg_philox_block(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

/* Block `index` of the stream that egi_rng_make(seed, purpose, step) begins. */
__device__ __forceinline__ egi_philox eg_rng_block(uint64_t seed, egi_purpose purpose, uint32_t step, uint64_t index)
{
    return eg_philox_block((uint32_t)index, (uint32_t)(index >> 32), step, purpose, seed);
}

/* Uniform in [0, 1) with 53 bits, as egi_rng_uniform64() makes it of two words. */
__device__ __forceinline__ double eg_uniform64(uint32_t first, uint32_t second)
{
    return (double)((uint64_t)(first >> 5) << 26 | second >> 6) * 0x1p-53;
}

#endif
