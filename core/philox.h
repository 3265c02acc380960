/** core/philox.h: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), for C and for
 * kernels of CUDA: the same words everywhere. */
#ifndef EGI_PHILOX_H
#define EGI_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__
#define EGI_HOST_DEVICE __host__ __device__
#else
#define EGI_HOST_DEVICE
#endif

typedef struct egi_philox {
    uint32_t v[4];
} egi_philox;

/** The raw block: ten rounds on `counter` with `key`. */
static inline EGI_HOST_DEVICE egi_philox egi_philox_block(const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
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
    const egi_philox block = {{c0, c1, c2, c3}};
    return block;
}

#endif
