/** core/cpu/tile.h: the kernel of a product for processors with registers of sixteen floats: two tiles of six rows by
 * sixteen columns at once. A header, so that the tests can compile it for what they run on. */
#ifndef EGI_CPU_TILE_H
#define EGI_CPU_TILE_H

#include "core/cpu/lanes.h"

/** Tiles of c, one below the other: `count`, of which a's begin `next` floats apart. `row`, `col`: of a, to the next
 * row and the next in k. `step`: of b, to the next in k. With `add` they are added to c. */
typedef struct egi_tile {
    const float *a, *b;
    float *c;
    int64_t row, col, step, ldc, k, count, next;
    bool add;
} egi_tile;

#define EGI_TILE_ROWS 6

typedef float egi_vec16 __attribute__((vector_size(64)));
typedef float egi_vec16_at __attribute__((vector_size(64), aligned(4), may_alias));

/* `pair`: both tiles, else the first. Sums go along k one after the other, as with eight lanes: the same bits. */
static inline EGI_SIMD_BODY void egi_tile_sixteen_at(const egi_tile *t, const float *a, float *c, const bool pair)
{
    const int rows = pair ? 2 * EGI_TILE_ROWS : EGI_TILE_ROWS;
    egi_vec16 sum[2 * EGI_TILE_ROWS];
    for (int i = 0; i < rows; i++)
        sum[i] = t->add ? (egi_vec16) * (const egi_vec16_at *)(c + i * t->ldc) : (egi_vec16){0};
    const float *at[4] = {a, a + 3 * t->row, a + t->next, a + t->next + 3 * t->row}; /* each serves three rows */
    const float *b = t->b;
    for (int64_t l = 0; l < t->k; l++, b += t->step) {
        const egi_vec16 w = *(const egi_vec16_at *)b;
        for (int i = 0; i < rows; i++)
            sum[i] += at[i / 3][i % 3 * t->row + l * t->col] * w;
    }
    for (int i = 0; i < rows; i++)
        *(egi_vec16_at *)(c + i * t->ldc) = sum[i];
}

static inline EGI_SIMD_BODY void egi_tile_sixteen(const egi_tile *t)
{
    int64_t q = 0;
    for (; q + 2 <= t->count; q += 2)
        egi_tile_sixteen_at(t, t->a + q * t->next, t->c + q * EGI_TILE_ROWS * t->ldc, true);
    if (q < t->count)
        egi_tile_sixteen_at(t, t->a + q * t->next, t->c + q * EGI_TILE_ROWS * t->ldc, false);
}

#endif
