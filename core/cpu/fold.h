/** core/cpu/fold.h: work by column on (rows, c) matrices. Few columns make short vectors; so `times` rows are seen as
 * one wide row of width times * c, and what is known by column is repeated as often. Sums over rows are taken in f32
 * over short blocks, in double over blocks, in an order that depends on the shape only. */
#ifndef EGI_CPU_FOLD_H
#define EGI_CPU_FOLD_H

#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"

#define EGI_FOLD_WIDTH 256 /* floats of a wide row, unless c is larger */
#define EGI_FOLD_BLOCK 64  /* rows summed in f32 */

typedef struct egi_fold {
    int64_t rows, c, times, width;
    int64_t wide, rest; /* wide rows, and single rows left over */
} egi_fold;

egi_fold egi_fold_make(int64_t rows, int64_t c);

/** Items for egi_cpu_split(): the wide rows, and one for the rest. */
static inline int64_t egi_fold_items(const egi_fold *f)
{
    return f->wide + (f->rest > 0);
}

/** Elements of item `i`, and whether it is a wide row: begin at i * width. */
static inline int64_t egi_fold_item_count(const egi_fold *f, int64_t i)
{
    return i < f->wide ? f->width : f->rest * f->c;
}

/** Repeats by[0..c) over out[0..width). `by` may be `out`. */
void egi_fold_repeat(const egi_fold *f, const float *by, float *out);

/** A gradient to be summed: dz = dy act'(y), with y NULL where act is linear. dz is written where it is not NULL; it
 * may be dy. */
typedef struct egi_fold_gradient {
    const float *dy, *y;
    float *dz;
    egi_act act;
    float alpha;
} egi_fold_gradient;

/** Element `i`; `act` and `write` are constants where this is inlined. */
static inline EGI_SIMD_BODY float egi_fold_gradient_at(const egi_fold_gradient *g, egi_act act, bool write, int64_t i)
{
    const float dz = act == EGI_ACT_LINEAR ? g->dy[i] : g->dy[i] * egi_v_slope(act, g->alpha, -1, 0, g->y[i]);
    if (write)
        g->dz[i] = dz;
    return dz;
}

/** The gradient from element `at` on. */
egi_fold_gradient egi_fold_gradient_from(const egi_fold_gradient *g, int64_t at);

/** Chunk `chunk` of EGI_CPU_CHUNKS: sum[j] = sum of dz, dot[j] = sum of dz (x - shift) over its rows, by column.
 * shift: (width), repeated. */
void egi_fold_sums(const egi_fold *f, int64_t chunk, const egi_fold_gradient *dz, const float *x, const float *shift,
                   double *sum, double *dot);

/** The same over all rows, as one chunk. */
void egi_fold_sums_all(const egi_fold *f, const egi_fold_gradient *dz, const float *x, const float *shift, double *sum,
                       double *dot);

/** Chunk `chunk`: number of rows, and by column their mean and sum of squared distances from it (Chan, Golub & LeVeque
 * 1979). */
int64_t egi_fold_moments(const egi_fold *f, int64_t chunk, const float *x, double *mean, double *m2);

/** Joins the moments of `m` further rows into those of `n` rows, by column. */
void egi_fold_join(int64_t c, int64_t n, double *mean, double *m2, int64_t m, const double *mean_b, const double *m2_b);

#endif
