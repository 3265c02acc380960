/** core/cpu/pool.h: max pooling of stretches of rows, for kernels that do it in passing. */
#ifndef EGI_CPU_POOL_H
#define EGI_CPU_POOL_H

#include "core/cpu/lanes.h"
#include "core/ops/pool.h"

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
