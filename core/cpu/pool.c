/* Pooling over NHWC, vectorised over channels. A vector that runs over the last channel also writes the next pixel's
 * first channels, which are written after it; where that is not so (the end of a thread's share, the end of a tensor)
 * channels go one by one. */
#include "core/ops/pool.h"
#include "core/cpu/direct.h"
#include "core/cpu/parallel.h"

#include <string.h>

typedef uint8_t bytes __attribute__((vector_size(8)));
typedef uint8_t bytes_at __attribute__((vector_size(8), aligned(1), may_alias));

/* The larger side is (n, h, w, c), the smaller (n, oh, ow, c). */
typedef struct pool {
    const egi_pool_geometry *g;
    float *large, *small;
    uint8_t *index; /* may be NULL */
    const float *large_end;
    int64_t h, w, c, oh, ow;
} pool;

static pool pool_of(const egi_kernel *k, egi_val large, egi_val small, egi_val index, const egi_pool_geometry *g)
{
    const egi_tensor *l = &k->t[large], *s = &k->t[small];
    return (pool){.g = g,
                  .large = l->data,
                  .small = s->data,
                  .index = index == EGI_NONE ? NULL : k->t[index].data,
                  .large_end = (const float *)l->data + egi_count(l),
                  .h = l->shape.dim[1],
                  .w = l->shape.dim[2],
                  .c = l->shape.dim[3],
                  .oh = s->shape.dim[1],
                  .ow = s->shape.dim[2]};
}

/* Where the window of output (i, j) lies in the large side. */
typedef struct window {
    const float *x;
    int64_t rows, cols, row, col; /* row, col: steps in floats */
    int first, width;             /* place of its first pixel, and places in a row of the whole window */
} window;

static inline EGI_SIMD_BODY window window_at(const pool *p, int64_t n, int64_t i, int64_t j)
{
    int64_t r0, r1, s0, s1;
    const int64_t top = i * p->g->stride[0] - p->g->pad[0], left = j * p->g->stride[1] - p->g->pad[1];
    r0 = top < 0 ? 0 : top;
    s0 = left < 0 ? 0 : left;
    r1 = top + p->g->window[0] < p->h ? top + p->g->window[0] : p->h;
    s1 = left + p->g->window[1] < p->w ? left + p->g->window[1] : p->w;
    return (window){.x = p->large + ((n * p->h + r0) * p->w + s0) * p->c,
                    .rows = r1 - r0,
                    .cols = s1 - s0,
                    .row = p->w * p->c,
                    .col = p->c,
                    .first = (int)((r0 - top) * p->g->window[1] + s0 - left),
                    .width = (int)p->g->window[1]};
}

/* --- maximum ------------------------------------------------------------------------------------------------------ */

static inline EGI_SIMD_BODY void largest(const window *a, const float *x, int64_t rows, int64_t cols, float *y,
                                         uint8_t *index)
{
    egi_vec best = *(const egi_vec_at *)x;
    egi_ivec place = (egi_ivec){0} + a->first;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const egi_vec v = *(const egi_vec_at *)(x + i * a->row + j * a->col);
            const egi_ivec wins = (egi_ivec)(v > best) | (egi_ivec)(v != v); /* NaN wins, so that it is seen */
            best = (egi_vec)(((egi_ivec)v & wins) | ((egi_ivec)best & ~wins));
            place = (wins & (a->first + (int)i * a->width + (int)j)) | (place & ~wins);
        }
    *(egi_vec_at *)y = best;
    if (index)
        *(bytes_at *)index = __builtin_convertvector(place, bytes);
}

static inline EGI_SIMD_BODY void largest_one(const window *a, const float *x, float *y, uint8_t *index)
{
    float best = *x;
    int place = a->first;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            const float v = x[i * a->row + j * a->col];
            if (!(v > best) && v == v)
                continue;
            best = v;
            place = a->first + (int)i * a->width + (int)j;
        }
    *y = best;
    if (index)
        *index = (uint8_t)place;
}

/* May eight channels be read from the window's last pixel and written at y, where `end` ends this share? */
static inline EGI_SIMD_BODY bool fits(const pool *p, const window *a, const float *x, const float *y, const float *end)
{
    return x + (a->rows - 1) * a->row + (a->cols - 1) * a->col + EGI_LANES <= p->large_end && y + EGI_LANES <= end;
}

static inline EGI_SIMD_BODY void max_pixel(const pool *p, const window *a, float *y, uint8_t *index, const float *end)
{
    for (int64_t c = 0; c < p->c; c += EGI_LANES) {
        uint8_t *at = index ? index + c : NULL;
        if (p->c - c < EGI_LANES && !fits(p, a, a->x + c, y + c, end))
            for (int64_t i = c; i < p->c; i++)
                largest_one(a, a->x + i, y + i, index ? index + i : NULL);
        else if (a->rows == 2 && a->cols == 2)
            largest(a, a->x + c, 2, 2, y + c, at);
        else
            largest(a, a->x + c, a->rows, a->cols, y + c, at);
    }
}

/* Rows [from, to) of the small side. */
static inline EGI_SIMD_BODY void max_rows_body(const pool *p, int64_t from, int64_t to)
{
    const float *end = p->small + to * p->ow * p->c;
    for (int64_t row = from; row < to; row++)
        for (int64_t j = 0; j < p->ow; j++) {
            const window a = window_at(p, row / p->oh, row % p->oh, j);
            const int64_t at = (row * p->ow + j) * p->c;
            max_pixel(p, &a, p->small + at, p->index ? p->index + at : NULL, end);
        }
}
EGI_SIMD(max_rows, (const pool *p, int64_t from, int64_t to), (p, from, to))

static void max_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool *a = k->args;
    const pool p = pool_of(k, a->x, a->y, a->index, &a->g);
    max_rows(&p, from, to);
}

static eg_status run_max(const egi_kernel *k, const egi_control *control)
{
    const egi_maxpool *a = k->args;
    const egi_shape *y = &k->t[a->y].shape;
    egi_cpu_split(k, control, y->dim[0] * y->dim[1], y->dim[2] * y->dim[3] * a->g.window[0] * a->g.window[1], max_part);
    return EG_OK;
}

/* --- mean --------------------------------------------------------------------------------------------------------- */

static inline EGI_SIMD_BODY void mean_pixel(const pool *p, const window *a, float *y, const float *end)
{
    const float share = 1.0f / (float)(a->rows * a->cols);
    for (int64_t c = 0; c < p->c; c += EGI_LANES) {
        if (p->c - c < EGI_LANES && !fits(p, a, a->x + c, y + c, end)) {
            for (int64_t k = c; k < p->c; k++) {
                float sum = 0;
                for (int64_t i = 0; i < a->rows; i++)
                    for (int64_t j = 0; j < a->cols; j++)
                        sum += a->x[k + i * a->row + j * a->col];
                y[k] = sum * share;
            }
            continue;
        }
        egi_vec sum = {0};
        for (int64_t i = 0; i < a->rows; i++)
            for (int64_t j = 0; j < a->cols; j++)
                sum += *(const egi_vec_at *)(a->x + c + i * a->row + j * a->col);
        *(egi_vec_at *)(y + c) = sum * share;
    }
}

static inline EGI_SIMD_BODY void mean_rows_body(const pool *p, int64_t from, int64_t to)
{
    const float *end = p->small + to * p->ow * p->c;
    for (int64_t row = from; row < to; row++)
        for (int64_t j = 0; j < p->ow; j++) {
            const window a = window_at(p, row / p->oh, row % p->oh, j);
            mean_pixel(p, &a, p->small + (row * p->ow + j) * p->c, end);
        }
}
EGI_SIMD(mean_rows, (const pool *p, int64_t from, int64_t to), (p, from, to))

static void mean_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_avgpool *a = k->args;
    const pool p = pool_of(k, a->x, a->y, EGI_NONE, &a->g);
    mean_rows(&p, from, to);
}

static eg_status run_mean(const egi_kernel *k, const egi_control *control)
{
    const egi_avgpool *a = k->args;
    const egi_shape *y = &k->t[a->y].shape;
    egi_cpu_split(k, control, y->dim[0] * y->dim[1], y->dim[2] * y->dim[3] * a->g.window[0] * a->g.window[1],
                  mean_part);
    return EG_OK;
}

eg_status egi_cpu_maxpool(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run_max;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}

eg_status egi_cpu_avgpool(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run_mean;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}

/* --- gradients of windows that do not overlap: every input pixel is written once
 * -------------------------------------- */

/* Eight channels of a window's row: dy where this place won, for each of its `cols` pixels from x on. */
static inline EGI_SIMD_BODY void give(const float *dy, const uint8_t *index, int place, int64_t cols, int64_t c,
                                      float *dx)
{
    const egi_vec d = *(const egi_vec_at *)dy;
    const egi_ivec won = __builtin_convertvector(*(const bytes_at *)index, egi_ivec);
    for (int64_t j = 0; j < cols; j++)
        *(egi_vec_at *)(dx + j * c) = (egi_vec)((egi_ivec)d & (egi_ivec)(won == place + (int)j));
}

/* One row of dx: window row `i`, its row `k`; i < 0: no window covers it. `end` ends this share of dx, `dy_end` dy. */
static inline EGI_SIMD_BODY void give_row(const pool *p, int64_t n, int64_t i, int64_t k, float *dx, const float *end,
                                          const float *dy_end)
{
    const int64_t width = p->g->window[1], c = p->c;
    if (i < 0) {
        memset(dx, 0, (size_t)(p->w * c) * sizeof *dx);
        return;
    }
    int64_t done = 0; /* pixels of the row that are written */
    for (int64_t j = 0; j < p->ow; j++) {
        const int64_t left = j * p->g->stride[1] - p->g->pad[1], s0 = left < 0 ? 0 : left;
        const int64_t cols = (left + width < p->w ? left + width : p->w) - s0;
        const float *dy = p->small + ((n * p->oh + i) * p->ow + j) * c;
        const uint8_t *index = p->index + (dy - p->small);
        memset(dx + done * c, 0, (size_t)((s0 - done) * c) * sizeof *dx);
        done = s0 + cols;
        const int place = (int)(k * width + s0 - left);
        /* A vector over channels c.. of pixel s spills on pixel s + 1, so pixels are written in order. */
        const bool whole = dx + (done - 1) * c + (c + EGI_LANES - 1) / EGI_LANES * EGI_LANES <= end &&
                           dy + (c + EGI_LANES - 1) / EGI_LANES * EGI_LANES <= dy_end;
        if (whole && c <= EGI_LANES) {
            if (cols == 2)
                give(dy, index, place, 2, c, dx + s0 * c);
            else
                give(dy, index, place, cols, c, dx + s0 * c);
            continue;
        }
        for (int64_t s = 0; s < cols; s++) {
            float *to = dx + (s0 + s) * c;
            int64_t q = 0;
            for (; q < (whole ? c : c / EGI_LANES * EGI_LANES); q += EGI_LANES)
                give(dy + q, index + q, place + (int)s, 1, c, to + q);
            for (; q < c; q++)
                to[q] = index[q] == place + s ? dy[q] : 0;
        }
    }
    memset(dx + done * c, 0, (size_t)((p->w - done) * c) * sizeof *dx);
}

/* Rows [from, to) of dx. */
static inline EGI_SIMD_BODY void give_rows_body(const pool *p, int64_t from, int64_t to, const float *dy_end)
{
    const float *end = p->large + to * p->w * p->c;
    for (int64_t row = from; row < to; row++) {
        const int64_t at = row % p->h + p->g->pad[0], i = at / p->g->stride[0], k = at % p->g->stride[0];
        give_row(p, row / p->h, i < p->oh && k < p->g->window[0] ? i : -1, k, p->large + row * p->w * p->c, end,
                 dy_end);
    }
}
EGI_SIMD(give_rows, (const pool *p, int64_t from, int64_t to, const float *dy_end), (p, from, to, dy_end))

static void give_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool_grad *a = k->args;
    const pool p = pool_of(k, a->dx, a->dy, a->index, &a->g);
    give_rows(&p, from, to, p.small + egi_count(&k->t[a->dy]));
}

static eg_status run_give(const egi_kernel *k, const egi_control *control)
{
    const egi_maxpool_grad *a = k->args;
    const egi_shape *dx = &k->t[a->dx].shape;
    egi_cpu_split(k, control, dx->dim[0] * dx->dim[1], dx->dim[2] * dx->dim[3], give_part);
    return EG_OK;
}

/* --- gradients of windows that overlap: added up, a sample a thread
 * --------------------------------------------------- */

static void scatter_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool_grad *a = k->args;
    const pool p = pool_of(k, a->dx, a->dy, a->index, &a->g);
    const int64_t size = p.h * p.w * p.c, width = a->g.window[1];
    memset(p.large + from * size, 0, (size_t)((to - from) * size) * sizeof(float));
    int64_t at = from * p.oh * p.ow * p.c;
    for (int64_t n = from; n < to; n++)
        for (int64_t i = 0; i < p.oh; i++)
            for (int64_t j = 0; j < p.ow; j++)
                for (int64_t c = 0; c < p.c; c++, at++) {
                    const int64_t r = i * a->g.stride[0] - a->g.pad[0] + p.index[at] / width;
                    const int64_t s = j * a->g.stride[1] - a->g.pad[1] + p.index[at] % width;
                    if (r >= 0 && r < p.h && s >= 0 && s < p.w)
                        p.large[((n * p.h + r) * p.w + s) * p.c + c] += p.small[at];
                }
}

static eg_status run_scatter(const egi_kernel *k, const egi_control *control)
{
    const egi_maxpool_grad *a = k->args;
    const egi_shape *dx = &k->t[a->dx].shape;
    egi_cpu_split(k, control, dx->dim[0], egi_shape_span(dx, 1, 4), scatter_part);
    return EG_OK;
}

static inline EGI_SIMD_BODY void spread_samples_body(const pool *p, int64_t from, int64_t to)
{
    const int64_t size = p->h * p->w * p->c;
    memset(p->large + from * size, 0, (size_t)((to - from) * size) * sizeof(float));
    for (int64_t n = from; n < to; n++)
        for (int64_t i = 0; i < p->oh; i++)
            for (int64_t j = 0; j < p->ow; j++) {
                const window a = window_at(p, n, i, j);
                const float *dy = p->small + ((n * p->oh + i) * p->ow + j) * p->c,
                            share = 1.0f / (float)(a.rows * a.cols);
                float *dx = p->large + (a.x - p->large);
                for (int64_t r = 0; r < a.rows; r++)
                    for (int64_t s = 0; s < a.cols; s++)
                        for (int64_t c = 0; c < p->c; c++)
                            dx[r * a.row + s * a.col + c] += dy[c] * share;
            }
}
EGI_SIMD(spread_samples, (const pool *p, int64_t from, int64_t to), (p, from, to))

static void spread_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_avgpool_grad *a = k->args;
    const pool p = pool_of(k, a->dx, a->dy, EGI_NONE, &a->g);
    spread_samples(&p, from, to);
}

static eg_status run_spread(const egi_kernel *k, const egi_control *control)
{
    const egi_avgpool_grad *a = k->args;
    const egi_shape *dx = &k->t[a->dx].shape;
    egi_cpu_split(k, control, dx->dim[0], egi_shape_span(dx, 1, 4), spread_part);
    return EG_OK;
}

eg_status egi_cpu_maxpool_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_maxpool_grad *a = out->args;
    const bool overlap = a->g.window[0] > a->g.stride[0] || a->g.window[1] > a->g.stride[1];
    out->run = overlap ? run_scatter : run_give;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}

eg_status egi_cpu_avgpool_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run_spread;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}
