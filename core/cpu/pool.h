/** core/cpu/pool.h: max pooling of stretches of rows, for kernels that do it in passing. */
#ifndef EGI_CPU_POOL_H
#define EGI_CPU_POOL_H

#include "core/cpu/lanes.h"
#include "core/ops/pool.h"

typedef uint8_t egi_bytes __attribute__((vector_size(16)));
typedef int16_t egi_halves __attribute__((vector_size(16)));
typedef uint64_t egi_words __attribute__((vector_size(16)));
typedef uint64_t egi_word_at __attribute__((aligned(1), may_alias));

/** Eight places to bytes; spelled out, because a plain conversion goes element by element. */
static inline EGI_SIMD_BODY void egi_pool_put_places(const egi_ivec *place, uint8_t *index)
{
    const egi_bytes b = (egi_bytes) __builtin_convertvector(*place, egi_halves);
    *(egi_word_at *)index =
        ((egi_words)__builtin_shufflevector(b, b, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14))[0];
}

/** One more pixel of eight windows, or of a window's eight channels: `v` at place `at`. */
static inline EGI_SIMD_BODY void egi_pool_take(const egi_vec *v, int at, egi_vec *best, egi_ivec *place,
                                               const bool places)
{
    const egi_ivec wins = (egi_ivec)(*v > *best) | (egi_ivec)(*v != *v); /* NaN wins, so that it is seen */
    *best = (egi_vec)(((egi_ivec)*v & wins) | ((egi_ivec)*best & ~wins));
    if (places)
        *place = (wins & at) | (*place & ~wins);
}

/** The larger side is (n, h, w, c), the smaller (n, oh, ow, c). */
typedef struct egi_cpu_pool {
    const egi_pool_geometry *g;
    float *large, *small;
    uint8_t *index;                     /* may be NULL in pooling */
    const float *large_end, *small_end; /* whole vectors stay below */
    int64_t h, w, c, oh, ow;
    int64_t top;      /* row of the larger side that `large` begins with */
    int64_t row, col; /* of the larger side: floats from row to row and from pixel to pixel */
} egi_cpu_pool;

/** Rows [from, to) of the smaller side, those of all samples counted through. A vector that runs over the last channel
 * also writes the next pixel's first, which are written later; at small_end channels go one by one. */
void egi_cpu_maxpool_rows(const egi_cpu_pool *pool, int64_t from, int64_t to);

/** Rows [from, to) of the larger side get the smaller side's values where `index` says so, and zeros elsewhere. */
void egi_cpu_unpool_rows(const egi_cpu_pool *pool, int64_t from, int64_t to);

#endif
