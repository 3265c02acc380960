#include "core/cpu/fold.h"

#include "core/cpu/lanes.h"

#include <string.h>

#define TILE 4 /* vectors of columns whose sums stay in registers */

egi_fold egi_fold_make(int64_t rows, int64_t c)
{
    int64_t times = c > 0 && c < EGI_FOLD_WIDTH ? EGI_FOLD_WIDTH / c : 1;
    if (times > rows)
        times = rows > 0 ? rows : 1;
    return (egi_fold){
        .rows = rows, .c = c, .times = times, .width = times * c, .wide = rows / times, .rest = rows % times};
}

void egi_fold_repeat(const egi_fold *f, const float *by, float *out)
{
    if (out != by)
        memcpy(out, by, (size_t)f->c * sizeof *out);
    for (int64_t i = 1; i < f->times; i++)
        memcpy(out + i * f->c, out, (size_t)f->c * sizeof *out);
}

/* How the sums walk: rows of `width`, whose columns fit into registers, one after the other in memory. Made of as many
 * rows as fill whole vectors. */
typedef struct walk {
    int64_t times, width;
} walk;

static walk walk_of(const egi_fold *f)
{
    int64_t times = 1;
    while (times < f->times && (times * f->c % EGI_LANES || times * f->c < TILE * EGI_LANES))
        times++;
    return (walk){times, times * f->c};
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

/* dz *= act'(y), as egi_v_slope(). */
static inline EGI_SIMD_BODY void times_slope(egi_act act, float alpha, const float *at, egi_vec *dz)
{
    const egi_vec y = *(const egi_vec_at *)at, zero = {0}, one = zero + 1;
    const egi_ivec above = (egi_ivec)(y > zero), slope = (egi_ivec)one;
    if (act == EGI_ACT_RELU)
        *dz *= (egi_vec)(above & slope);
    else if (act == EGI_ACT_RELU6)
        *dz *= (egi_vec)(above & (egi_ivec)(y < zero + 6) & slope);
    else if (act == EGI_ACT_LEAKY_RELU)
        *dz *= (egi_vec)((above & slope) | (~above & (egi_ivec)(zero + alpha)));
    else if (act == EGI_ACT_SIGMOID)
        *dz *= y * (one - y);
    else
        *dz *= one - y * y; /* tanh */
}

/* `vectors` columns of vectors: their sums stay in registers while the rows pass by. */
static inline EGI_SIMD_BODY void sums_tile(const egi_fold_gradient *g, egi_act act, bool write, const float *x,
                                           const float *shift, int64_t n, int64_t stride, const int vectors, float *sum,
                                           float *dot)
{
    const float *dy = g->dy, *y = g->y, alpha = g->alpha;
    float *to = g->dz;
    egi_vec s[TILE], d[TILE], m[TILE];
    for (int v = 0; v < vectors; v++) {
        s[v] = d[v] = (egi_vec){0};
        m[v] = *(const egi_vec_at *)(shift + v * EGI_LANES);
    }
    for (; n > 0; n--, dy += stride, x += stride) {
        for (int v = 0; v < vectors; v++) {
            egi_vec dz = *(const egi_vec_at *)(dy + v * EGI_LANES);
            if (act != EGI_ACT_LINEAR)
                times_slope(act, alpha, y + v * EGI_LANES, &dz);
            if (write)
                *(egi_vec_at *)(to + v * EGI_LANES) = dz;
            s[v] += dz;
            d[v] += dz * (*(const egi_vec_at *)(x + v * EGI_LANES) - m[v]);
        }
        y = act == EGI_ACT_LINEAR ? y : y + stride;
        to = write ? to + stride : to;
    }
    for (int v = 0; v < vectors; v++) {
        *(egi_vec_at *)(sum + v * EGI_LANES) = s[v];
        *(egi_vec_at *)(dot + v * EGI_LANES) = d[v];
    }
}

/* All columns: tiles, then vectors, then what is left. */
static inline EGI_SIMD_BODY void sums_loop(const egi_fold_gradient *gradient, egi_act act, bool write, const float *x,
                                           const float *shift, int64_t n, int64_t stride, int64_t w, float *sum,
                                           float *dot)
{
    int64_t j = 0;
    for (; j + TILE * EGI_LANES <= w; j += TILE * EGI_LANES) {
        const egi_fold_gradient g = egi_fold_gradient_from(gradient, j);
        sums_tile(&g, act, write, x + j, shift + j, n, stride, TILE, sum + j, dot + j);
    }
    for (; j + EGI_LANES <= w; j += EGI_LANES) {
        const egi_fold_gradient g = egi_fold_gradient_from(gradient, j);
        sums_tile(&g, act, write, x + j, shift + j, n, stride, 1, sum + j, dot + j);
    }
    for (; j < w; j++) {
        sum[j] = dot[j] = 0;
        for (int64_t i = j; i < j + n * stride; i += stride) {
            const float dz = egi_fold_gradient_at(gradient, act, write, i);
            sum[j] += dz;
            dot[j] += dz * (x[i] - shift[j]);
        }
    }
}

static inline EGI_SIMD_BODY void block_sums_body(const egi_fold_gradient *g, const float *x, const float *shift,
                                                 int64_t n, int64_t stride, int64_t w, float *sum, float *dot)
{
    switch (g->act) {
#define KIND(name)                                                                 \
    case EGI_ACT_##name:                                                           \
        if (g->dz)                                                                 \
            sums_loop(g, EGI_ACT_##name, true, x, shift, n, stride, w, sum, dot);  \
        else                                                                       \
            sums_loop(g, EGI_ACT_##name, false, x, shift, n, stride, w, sum, dot); \
        break;
        EGI_V_FUSED(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(block_sums,
         (const egi_fold_gradient *g, const float *x, const float *shift, int64_t n, int64_t stride, int64_t w,
          float *sum, float *dot),
         (g, x, shift, n, stride, w, sum, dot))

/* Adds `part`, which begins in column `at` of a wide row, to the columns it belongs to. */
static void fold_into(double *sum, int64_t c, const float *part, int64_t at, int64_t w)
{
    for (int64_t j = at % c; w > 0; j = 0) {
        const int64_t n = w < c - j ? w : c - j;
        for (int64_t i = 0; i < n; i++)
            sum[j + i] += (double)part[i];
        part += n;
        w -= n;
    }
}

egi_fold_gradient egi_fold_gradient_from(const egi_fold_gradient *g, int64_t at)
{
    egi_fold_gradient moved = *g;
    moved.dy += at;
    moved.y = g->y ? g->y + at : NULL;
    moved.dz = g->dz ? g->dz + at : NULL;
    return moved;
}

/* `n` rows of `width` from element `first` on; wider than the buffers: in tiles. */
static void add_rows(int64_t c, int64_t width, int64_t n, int64_t first, const egi_fold_gradient *dz, const float *x,
                     const float *shift, double *sum, double *dot)
{
    float s[EGI_FOLD_WIDTH], d[EGI_FOLD_WIDTH];
    for (int64_t at = 0; at < width; at += EGI_FOLD_WIDTH) {
        const int64_t w = width - at < EGI_FOLD_WIDTH ? width - at : EGI_FOLD_WIDTH;
        const egi_fold_gradient g = egi_fold_gradient_from(dz, first + at);
        block_sums(&g, x + first + at, shift + at, n, width, w, s, d);
        fold_into(dot, c, d, at, w);
        fold_into(sum, c, s, at, w);
    }
}

/* Rows [begin, end) of width c. */
static void sums_of(const egi_fold *f, int64_t begin, int64_t end, const egi_fold_gradient *dz, const float *x,
                    const float *shift, double *sum, double *dot)
{
    const walk w = walk_of(f);
    memset(sum, 0, (size_t)f->c * sizeof *sum);
    memset(dot, 0, (size_t)f->c * sizeof *dot);
    for (; begin + w.times <= end;) {
        const int64_t left = (end - begin) / w.times, n = left < EGI_FOLD_BLOCK ? left : EGI_FOLD_BLOCK;
        add_rows(f->c, w.width, n, begin * f->c, dz, x, shift, sum, dot);
        begin += n * w.times;
    }
    if (begin < end)
        add_rows(f->c, f->c, end - begin, begin * f->c, dz, x, shift, sum, dot);
}

/* Single rows of a chunk; the last one has what is left over. */
static void rows_of(const egi_fold *f, int64_t chunk, int64_t *begin, int64_t *end)
{
    egi_cpu_chunk(f->wide, chunk, begin, end);
    *begin *= f->times;
    *end = chunk == EGI_CPU_CHUNKS - 1 ? f->rows : *end * f->times;
}

void egi_fold_sums(const egi_fold *f, int64_t chunk, const egi_fold_gradient *dz, const float *x, const float *shift,
                   double *sum, double *dot)
{
    int64_t begin, end;
    rows_of(f, chunk, &begin, &end);
    sums_of(f, begin, end, dz, x, shift, sum, dot);
}

void egi_fold_sums_all(const egi_fold *f, const egi_fold_gradient *dz, const float *x, const float *shift, double *sum,
                       double *dot)
{
    sums_of(f, 0, f->rows, dz, x, shift, sum, dot);
}

/* --- moments ------------------------------------------------------------------------------------------------------ */

/* mean, and s1, s2: sums of the distances from it and of their squares, of `n` rows that stay in the first cache. */
static inline EGI_SIMD_BODY void moments_tile(const float *x, int64_t n, int64_t stride, const int vectors, float *mean,
                                              float *s1, float *s2)
{
    egi_vec m[TILE], a[TILE], b[TILE];
    const float each = 1 / (float)n;
    for (int v = 0; v < vectors; v++)
        m[v] = a[v] = b[v] = (egi_vec){0};
    const float *at = x;
    for (int64_t r = 0; r < n; r++, at += stride)
        for (int v = 0; v < vectors; v++)
            m[v] += *(const egi_vec_at *)(at + v * EGI_LANES);
    for (int v = 0; v < vectors; v++)
        m[v] *= each;
    at = x;
    for (int64_t r = 0; r < n; r++, at += stride)
        for (int v = 0; v < vectors; v++) {
            const egi_vec d = *(const egi_vec_at *)(at + v * EGI_LANES) - m[v];
            a[v] += d;
            b[v] += d * d;
        }
    for (int v = 0; v < vectors; v++) {
        *(egi_vec_at *)(mean + v * EGI_LANES) = m[v];
        *(egi_vec_at *)(s1 + v * EGI_LANES) = a[v];
        *(egi_vec_at *)(s2 + v * EGI_LANES) = b[v];
    }
}

static inline EGI_SIMD_BODY void moments_column(const float *x, int64_t n, int64_t stride, float *mean, float *s1,
                                                float *s2)
{
    float m = 0;
    for (int64_t r = 0; r < n; r++)
        m += x[r * stride];
    *mean = m * (1 / (float)n);
    *s1 = *s2 = 0;
    for (int64_t r = 0; r < n; r++) {
        const float d = x[r * stride] - *mean;
        *s1 += d;
        *s2 += d * d;
    }
}

static inline EGI_SIMD_BODY void block_moments_body(const float *x, int64_t n, int64_t stride, int64_t w, float *mean,
                                                    float *s1, float *s2)
{
    int64_t j = 0;
    for (; j + TILE * EGI_LANES <= w; j += TILE * EGI_LANES)
        moments_tile(x + j, n, stride, TILE, mean + j, s1 + j, s2 + j);
    for (; j + EGI_LANES <= w; j += EGI_LANES)
        moments_tile(x + j, n, stride, 1, mean + j, s1 + j, s2 + j);
    for (; j < w; j++)
        moments_column(x + j, n, stride, mean + j, s1 + j, s2 + j);
}
EGI_SIMD(block_moments, (const float *x, int64_t n, int64_t stride, int64_t w, float *mean, float *s1, float *s2),
         (x, n, stride, w, mean, s1, s2))

void egi_fold_join(int64_t c, int64_t n, double *mean, double *m2, int64_t m, const double *mean_b, const double *m2_b)
{
    const double share = (double)m / (double)(n + m), both = share * (double)n;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        const double delta = mean_b[j] - mean[j];
        mean[j] += delta * share;
        m2[j] += m2_b[j] + delta * delta * both;
    }
}

/* `n` rows of `width` join what `seen` rows gave; the new number of rows. */
static int64_t join_rows(int64_t c, int64_t width, int64_t n, const float *x, int64_t seen, double *mean, double *m2)
{
    float m[EGI_FOLD_WIDTH], s1[EGI_FOLD_WIDTH], s2[EGI_FOLD_WIDTH];
    double mean_b[EGI_FOLD_WIDTH], m2_b[EGI_FOLD_WIDTH];
    const int64_t times = width / c;
    for (int64_t at = 0; at < width; at += EGI_FOLD_WIDTH) {
        const int64_t w = width - at < EGI_FOLD_WIDTH ? width - at : EGI_FOLD_WIDTH;
        block_moments(x + at, n, width, w, m, s1, s2);
        for (int64_t j = 0; j < w; j++) {
            const double away = (double)s1[j] / (double)n; /* what rounding left between m and the mean */
            mean_b[j] = (double)m[j] + away;
            m2_b[j] = (double)s2[j] - away * (double)s1[j];
        }
        if (times == 1)
            egi_fold_join(w, seen, mean + at, m2 + at, n, mean_b, m2_b);
        for (int64_t i = 0; times > 1 && i < times; i++)
            egi_fold_join(c, seen + i * n, mean, m2, n, mean_b + i * c, m2_b + i * c);
    }
    return seen + times * n;
}

int64_t egi_fold_moments(const egi_fold *f, int64_t chunk, const float *x, double *mean, double *m2)
{
    const walk w = walk_of(f);
    int64_t begin, end, seen = 0;
    rows_of(f, chunk, &begin, &end);
    memset(mean, 0, (size_t)f->c * sizeof *mean);
    memset(m2, 0, (size_t)f->c * sizeof *m2);
    for (; begin + w.times <= end;) {
        const int64_t left = (end - begin) / w.times, n = left < EGI_FOLD_BLOCK ? left : EGI_FOLD_BLOCK;
        seen = join_rows(f->c, w.width, n, x + begin * f->c, seen, mean, m2);
        begin += n * w.times;
    }
    if (begin < end)
        seen = join_rows(f->c, f->c, end - begin, x + begin * f->c, seen, mean, m2);
    return seen;
}
