/* Which threads and blocks take which rows and columns. */
#include "cuda/columns.h"

#define LANES  32   /* of a warp: 128 or 512 bytes of a row */
#define EACH   16   /* rows that a thread has at least, before rows are cut into chunks */
#define BLOCKS 1024 /* that fill the largest GPU a few times over; more would only make more parts to add up */

static int32_t power_from(int64_t n, int32_t most)
{
    int32_t power = 1;
    while (power < n && power < most)
        power *= 2;
    return power;
}

static int64_t parts(int64_t n, int64_t each)
{
    return (n + each - 1) / each;
}

static int64_t clamp(int64_t n, int64_t least, int64_t most)
{
    return n > most ? most : n < least ? least : n;
}

int egi_cuda_columns_vector(int64_t c, const void *const *addresses, int n)
{
    uintptr_t bits = (uintptr_t)c * sizeof(float);
    for (int i = 0; i < n; i++)
        bits |= (uintptr_t)addresses[i];
    return bits % 16 == 0 ? 4 : 1;
}

egi_cuda_columns egi_cuda_columns_of(int64_t samples, int64_t rows, int64_t c, int vector)
{
    egi_cuda_columns g = {.samples = samples, .rows = rows, .c = c, .vector = vector};
    g.lanes = power_from(c / vector, LANES);
    g.lines = power_from(parts(rows, 4), EGI_COLUMNS_BLOCK / g.lanes); /* a few rows each, to load them together */
    g.tiles = (int32_t)parts(c, (int64_t)g.lanes * vector);
    const int64_t alone = samples * g.tiles;
    const int64_t wanted = clamp(parts(rows, (int64_t)g.lines * EACH), 1, alone ? clamp(BLOCKS / alone, 1, BLOCKS) : 1);
    g.each = clamp(parts(rows, wanted), 1, rows);
    g.chunks = rows > 0 ? (int32_t)parts(rows, g.each) : 1; /* one even of no rows: their sums are 0 */
    return g;
}

egi_cuda_columns egi_cuda_columns_few(int64_t samples, int64_t rows, int64_t c)
{
    egi_cuda_columns g = {.samples = samples, .rows = rows, .c = c, .each = rows, .chunks = 1, .vector = 1};
    g.lanes = power_from(c, 4); /* 32 bytes: what memory reads at once */
    g.lines = power_from(rows, EGI_COLUMNS_BLOCK / g.lanes);
    g.tiles = (int32_t)parts(c, g.lanes);
    return g;
}
