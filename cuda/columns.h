/** cuda/columns.h: how kernels that work by column share a matrix (samples, rows, c): sums over rows, and passes whose
 *  factors belong to columns. The shape alone decides, so that sums have the same order on every GPU. */
#ifndef EGI_CUDA_COLUMNS_H
#define EGI_CUDA_COLUMNS_H

#include <stdint.h>

#define EGI_COLUMNS_BLOCK 256 /* threads of a block at most */

/** A block has `lanes` threads side by side over columns, and as many such lines as fit, which take its rows by turns.
 *  A thread has `vector` columns, 1 or 4 (pointers aligned to 16, c a multiple of 4). */
typedef struct egi_cuda_columns {
    int64_t samples, rows, c; /* rows: of a sample */
    int64_t each;             /* rows of a chunk */
    int32_t chunks;           /* of a sample's rows, a block each */
    int32_t tiles;            /* parts of the columns, a block each */
    int32_t lanes, lines;     /* powers of two */
    int32_t vector;
} egi_cuda_columns;

/** 4 where c columns at these addresses, NULL or not, can be read four at a time, else 1. */
#define EGI_COLUMNS_VECTOR(c, ...)                              \
    egi_cuda_columns_vector((c), (const void *[]){__VA_ARGS__}, \
                            (int)(sizeof((const void *[]){__VA_ARGS__}) / sizeof(void *)))
int egi_cuda_columns_vector(int64_t c, const void *const *addresses, int n);

/** For reading or writing the matrix itself. */
egi_cuda_columns egi_cuda_columns_of(int64_t samples, int64_t rows, int64_t c, int vector);

/** For adding up `rows` doubles by column and sample, of which there are few: one block has all rows of its columns. */
egi_cuda_columns egi_cuda_columns_few(int64_t samples, int64_t rows, int64_t c);

static inline int64_t egi_cuda_columns_grid(const egi_cuda_columns *g)
{
    return g->samples * g->chunks * g->tiles;
}

static inline int egi_cuda_columns_block(const egi_cuda_columns *g)
{
    return g->lanes * g->lines;
}

/** Adds a launch of a kernel whose struct, a variable, has its columns in `g`. */
#define EGI_COLUMNS_LAUNCH(k, kernel, a, field)                                               \
    EGI_CUDA_LAUNCH((k), .name = (kernel), .grid = {egi_cuda_columns_grid(&(a).g)},           \
                    .block = egi_cuda_columns_block(&(a).g), .args = &(a), .size = sizeof(a), \
                    .scratch_field = (field))

/** Doubles that one sum by chunk and column takes: (samples, chunks, c). */
static inline int64_t egi_cuda_columns_parts(const egi_cuda_columns *g)
{
    return g->samples * g->chunks * g->c;
}

#endif
