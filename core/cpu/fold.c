#include "core/cpu/fold.h"

#include <string.h>

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

/* --- sums --------------------------------------------------------------------------------------------------------- */

/* Four rows at a time: the sums are loaded and stored a quarter as often. */
static inline EGI_SIMD_BODY void sums_loop(const egi_fold_gradient *gradient, egi_act act, bool write, const float *x,
                                           const float *shift, int64_t n, int64_t stride, int64_t w, float *sum,
                                           float *dot)
{
    const egi_fold_gradient g = *gradient;
    for (int64_t j = 0; j < w; j++)
        sum[j] = dot[j] = 0;
    int64_t r = 0;
    for (; r + 4 <= n; r += 4) {
        const int64_t a = r * stride, b = a + stride, c = b + stride, d = c + stride;
#pragma omp simd
        for (int64_t j = 0; j < w; j++) {
            const float m = shift[j], da = egi_fold_gradient_at(&g, act, write, a + j),
                        db = egi_fold_gradient_at(&g, act, write, b + j),
                        dc = egi_fold_gradient_at(&g, act, write, c + j),
                        dd = egi_fold_gradient_at(&g, act, write, d + j);
            sum[j] += (da + db) + (dc + dd);
            dot[j] += (da * (x[a + j] - m) + db * (x[b + j] - m)) + (dc * (x[c + j] - m) + dd * (x[d + j] - m));
        }
    }
    for (; r < n; r++) {
#pragma omp simd
        for (int64_t j = 0; j < w; j++) {
            const float dz = egi_fold_gradient_at(&g, act, write, r * stride + j);
            sum[j] += dz;
            dot[j] += dz * (x[r * stride + j] - shift[j]);
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
        EGI_FOLD_KINDS(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(block_sums,
         (const egi_fold_gradient *g, const float *x, const float *shift, int64_t n, int64_t stride, int64_t w,
          float *sum, float *dot),
         (g, x, shift, n, stride, w, sum, dot))

static inline EGI_SIMD_BODY void block_sum_body(const float *x, int64_t n, int64_t stride, int64_t w, float *sum)
{
    for (int64_t j = 0; j < w; j++)
        sum[j] = 0;
    int64_t r = 0;
    for (; r + 4 <= n; r += 4, x += 4 * stride) {
        const float *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
#pragma omp simd
        for (int64_t j = 0; j < w; j++)
            sum[j] += (x[j] + x1[j]) + (x2[j] + x3[j]);
    }
    for (; r < n; r++, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < w; j++)
            sum[j] += x[j];
    }
}
EGI_SIMD(block_sum, (const float *x, int64_t n, int64_t stride, int64_t w, float *sum), (x, n, stride, w, sum))

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

static void sums_of(const egi_fold *f, int64_t begin, int64_t end, bool rest, const egi_fold_gradient *dz,
                    const float *x, const float *shift, double *sum, double *dot)
{
    memset(sum, 0, (size_t)f->c * sizeof *sum);
    memset(dot, 0, (size_t)f->c * sizeof *dot);
    for (int64_t r = begin; r < end; r += EGI_FOLD_BLOCK) {
        const int64_t n = end - r < EGI_FOLD_BLOCK ? end - r : EGI_FOLD_BLOCK;
        add_rows(f->c, f->width, n, r * f->width, dz, x, shift, sum, dot);
    }
    if (rest && f->rest)
        add_rows(f->c, f->c, f->rest, f->wide * f->width, dz, x, shift, sum, dot);
}

void egi_fold_sums(const egi_fold *f, int64_t chunk, const egi_fold_gradient *dz, const float *x, const float *shift,
                   double *sum, double *dot)
{
    int64_t begin, end;
    egi_cpu_chunk(f->wide, chunk, &begin, &end);
    sums_of(f, begin, end, chunk == EGI_CPU_CHUNKS - 1, dz, x, shift, sum, dot);
}

void egi_fold_sums_all(const egi_fold *f, const egi_fold_gradient *dz, const float *x, const float *shift, double *sum,
                       double *dot)
{
    sums_of(f, 0, f->wide, true, dz, x, shift, sum, dot);
}

/* --- moments ------------------------------------------------------------------------------------------------------ */

/* s1, s2: sums of the distances from `mean` and of their squares. */
static inline EGI_SIMD_BODY void block_distances_body(const float *x, int64_t n, int64_t stride, int64_t w,
                                                      const float *mean, float *s1, float *s2)
{
    for (int64_t j = 0; j < w; j++)
        s1[j] = s2[j] = 0;
    int64_t r = 0;
    for (; r + 4 <= n; r += 4, x += 4 * stride) {
        const float *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
#pragma omp simd
        for (int64_t j = 0; j < w; j++) {
            const float m = mean[j], a = x[j] - m, b = x1[j] - m, c = x2[j] - m, d = x3[j] - m;
            s1[j] += (a + b) + (c + d);
            s2[j] += (a * a + b * b) + (c * c + d * d);
        }
    }
    for (; r < n; r++, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < w; j++) {
            const float d = x[j] - mean[j];
            s1[j] += d;
            s2[j] += d * d;
        }
    }
}
EGI_SIMD(block_distances,
         (const float *x, int64_t n, int64_t stride, int64_t w, const float *mean, float *s1, float *s2),
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
        block_sum(x + at, n, width, w, m);
        for (int64_t j = 0; j < w; j++)
            m[j] *= 1 / (float)n;
        block_distances(x + at, n, width, w, m, s1, s2);
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
    int64_t begin, end, seen = 0;
    egi_cpu_chunk(f->wide, chunk, &begin, &end);
    memset(mean, 0, (size_t)f->c * sizeof *mean);
    memset(m2, 0, (size_t)f->c * sizeof *m2);
    for (int64_t r = begin; r < end; r += EGI_FOLD_BLOCK) {
        const int64_t n = end - r < EGI_FOLD_BLOCK ? end - r : EGI_FOLD_BLOCK;
        seen = join_rows(f->c, f->width, n, x + r * f->width, seen, mean, m2);
    }
    if (chunk == EGI_CPU_CHUNKS - 1 && f->rest)
        seen = join_rows(f->c, f->c, f->rest, x + f->wide * f->width, seen, mean, m2);
    return seen;
}
