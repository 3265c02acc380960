/* Pooling over NHWC, vectorised over channels. A vector that runs over the last channel also writes the next pixel's
 * first channels, which are written after it; where that is not so (the end of a thread's share, the end of a tensor)
 * channels go one by one. */
#include "core/cpu/pool.h"
#include "core/cpu/parallel.h"

#include <string.h>

/* Eight bytes to places; spelled out, because a plain conversion goes element by element. */
static inline EGI_SIMD_BODY void get_places(const uint8_t *index, egi_ivec *place)
{
    const egi_bytes b = (egi_bytes)(egi_words){*(const egi_word_at *)index, 0}, zero = {0};
    const egi_halves h =
        (egi_halves)__builtin_shufflevector(b, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *place = __builtin_convertvector(h, egi_ivec);
}

typedef egi_cpu_pool pool;

static pool pool_of(const egi_kernel *k, egi_val large, egi_val small, egi_val index, const egi_pool_geometry *g)
{
    const egi_tensor *l = &k->t[large], *s = &k->t[small];
    const int64_t w = l->shape.dim[2], c = l->shape.dim[3];
    return (pool){.g = g,
                  .large = l->data,
                  .small = s->data,
                  .index = index == EGI_NONE ? NULL : k->t[index].data,
                  .large_end = (const float *)l->data + egi_count(l),
                  .small_end = (const float *)s->data + egi_count(s),
                  .h = l->shape.dim[1],
                  .w = w,
                  .c = c,
                  .oh = s->shape.dim[1],
                  .ow = s->shape.dim[2],
                  .row = w * c,
                  .col = c};
}

/* The part of a window that lies inside the large side. */
typedef struct window {
    const float *x;
    int64_t rows, cols, row, col; /* row, col: steps in floats */
    int first, width;             /* place of its first pixel, and places in a row of the whole window */
} window;

/* Rows of the window of output row `i` of sample `n`; x is its first row's first pixel. */
static inline EGI_SIMD_BODY window window_rows(const pool *p, int64_t n, int64_t i)
{
    const int64_t top = i * p->g->stride[0] - p->g->pad[0], r0 = top < 0 ? 0 : top;
    const int64_t end = top + p->g->window[0], r1 = end < p->h ? end : p->h;
    return (window){.x = p->large + (n * p->h + r0 - p->top) * p->row,
                    .rows = r1 - r0,
                    .row = p->row,
                    .col = p->col,
                    .first = (int)((r0 - top) * p->g->window[1]),
                    .width = (int)p->g->window[1]};
}

/* Narrows them to the columns of output column `j`. */
static inline EGI_SIMD_BODY window window_cols(const pool *p, window a, int64_t j)
{
    const int64_t left = j * p->g->stride[1] - p->g->pad[1], s0 = left < 0 ? 0 : left;
    const int64_t end = left + p->g->window[1];
    a.cols = (end < p->w ? end : p->w) - s0;
    a.x += s0 * p->col;
    a.first += (int)(s0 - left);
    return a;
}

/* How many pixels of a row of the smaller side may use whole vectors, though they run over the last channel. rows: the
 * larger side's. */
static inline EGI_SIMD_BODY int64_t whole_pixels(const pool *p, const window *rows, const float *y)
{
    if (p->c % EGI_LANES == 0)
        return p->ow;
    const int64_t width = (p->c + EGI_LANES - 1) / EGI_LANES * EGI_LANES, room = p->small_end - y;
    if (rows->x + rows->rows * rows->row + EGI_LANES > p->large_end || room < width)
        return 0;
    const int64_t n = (room - width) / p->c + 1;
    return n < p->ow ? n : p->ow;
}

/* --- maximum ------------------------------------------------------------------------------------------------------ */

static inline EGI_SIMD_BODY void largest(const window *a, const float *x, int64_t rows, int64_t cols, float *y,
                                         uint8_t *index, const bool places)
{
    egi_vec best = *(const egi_vec_at *)x;
    egi_ivec place = (egi_ivec){0} + a->first;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const egi_vec v = *(const egi_vec_at *)(x + i * a->row + j * a->col);
            egi_pool_take(&v, a->first + (int)i * a->width + (int)j, &best, &place, places);
        }
    *(egi_vec_at *)y = best;
    if (places)
        egi_pool_put_places(&place, index);
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

static inline EGI_SIMD_BODY void max_pixel(const pool *p, const window *a, float *y, bool whole)
{
    uint8_t *index = p->index ? p->index + (y - p->small) : NULL;
    int64_t c = 0;
    for (; c < (whole ? p->c : p->c / EGI_LANES * EGI_LANES); c += EGI_LANES)
        if (!index)
            largest(a, a->x + c, a->rows, a->cols, y + c, NULL, false);
        else if (a->rows == 2 && a->cols == 2)
            largest(a, a->x + c, 2, 2, y + c, index + c, true);
        else
            largest(a, a->x + c, a->rows, a->cols, y + c, index + c, true);
    for (; c < p->c; c++)
        largest_one(a, a->x + c, y + c, index ? index + c : NULL);
}

/* --- mean --------------------------------------------------------------------------------------------------------- */

static inline EGI_SIMD_BODY void mean_pixel(const pool *p, const window *a, float *y, bool whole)
{
    const float share = 1.0f / (float)(a->rows * a->cols);
    int64_t c = 0;
    for (; c < (whole ? p->c : p->c / EGI_LANES * EGI_LANES); c += EGI_LANES) {
        egi_vec sum = {0};
        for (int64_t i = 0; i < a->rows; i++)
            for (int64_t j = 0; j < a->cols; j++)
                sum += *(const egi_vec_at *)(a->x + c + i * a->row + j * a->col);
        *(egi_vec_at *)(y + c) = sum * share;
    }
    for (; c < p->c; c++) {
        float sum = 0;
        for (int64_t i = 0; i < a->rows; i++)
            for (int64_t j = 0; j < a->cols; j++)
                sum += a->x[c + i * a->row + j * a->col];
        y[c] = sum * share;
    }
}

/* --- both --------------------------------------------------------------------------------------------------------- */

/* The first `n` pixels of a row whose windows are whole and 2 x 2: the usual case. */
static inline EGI_SIMD_BODY void max_squares(const pool *p, const window *a, int64_t n, float *y, const bool places)
{
    const int64_t step = p->g->stride[1] * p->col;
    const float *x = a->x;
    uint8_t *index = places ? p->index + (y - p->small) : NULL;
    for (int64_t j = 0; j < n; j++, x += step)
        for (int64_t c = 0; c < p->c; c += EGI_LANES)
            largest(a, x + c, 2, 2, y + j * p->c + c, places ? index + j * p->c + c : NULL, places);
}

/* How many pixels of a row max_squares() can do. */
static inline EGI_SIMD_BODY int64_t square_pixels(const pool *p, const window *rows, int64_t whole)
{
    const egi_pool_geometry *g = p->g;
    if (rows->rows != 2 || g->window[0] != 2 || g->window[1] != 2 || g->pad[1] != 0 || p->w < 2)
        return 0;
    const int64_t inside = (p->w - 2) / g->stride[1] + 1;
    return inside < whole ? inside : whole;
}

/* Rows [from, to) of the smaller side. */
static inline EGI_SIMD_BODY void pool_rows(const pool *p, int64_t from, int64_t to, const bool max)
{
    for (int64_t row = from; row < to; row++) {
        const window rows = window_rows(p, row / p->oh, row % p->oh);
        float *y = p->small + row * p->ow * p->c;
        const int64_t whole = whole_pixels(p, &rows, y);
        int64_t j = max ? square_pixels(p, &rows, whole) : 0;
        if (max && p->index)
            max_squares(p, &rows, j, y, true);
        else if (max)
            max_squares(p, &rows, j, y, false);
        for (y += j * p->c; j < p->ow; j++, y += p->c) {
            const window a = window_cols(p, rows, j);
            if (max)
                max_pixel(p, &a, y, j < whole);
            else
                mean_pixel(p, &a, y, j < whole);
        }
    }
}

static inline EGI_SIMD_BODY void max_rows_body(const pool *p, int64_t from, int64_t to)
{
    pool_rows(p, from, to, true);
}
EGI_SIMD(max_rows, (const pool *p, int64_t from, int64_t to), (p, from, to))

void egi_cpu_maxpool_rows(const egi_cpu_pool *p, int64_t from, int64_t to)
{
    max_rows(p, from, to);
}

static void max_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool *a = k->args;
    pool p = pool_of(k, a->x, a->y, a->index, &a->g);
    p.small_end = p.small + to * p.ow * p.c;
    max_rows(&p, from, to);
}

static eg_status run_max(const egi_kernel *k, const egi_control *control)
{
    const egi_maxpool *a = k->args;
    const egi_shape *y = &k->t[a->y].shape;
    egi_cpu_split(k, control, y->dim[0] * y->dim[1], y->dim[2] * y->dim[3] * a->g.window[0] * a->g.window[1], max_part);
    return EG_OK;
}

static inline EGI_SIMD_BODY void mean_rows_body(const pool *p, int64_t from, int64_t to)
{
    pool_rows(p, from, to, false);
}
EGI_SIMD(mean_rows, (const pool *p, int64_t from, int64_t to), (p, from, to))

static void mean_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_avgpool *a = k->args;
    pool p = pool_of(k, a->x, a->y, EGI_NONE, &a->g);
    p.small_end = p.small + to * p.ow * p.c;
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

/* --- gradients of windows that do not overlap: every input pixel is written once ---------------------------------- */

/* One pixel's channels from one window: dy where `place` won. */
static inline EGI_SIMD_BODY void give_one(const float *dy, const uint8_t *index, int place, int64_t c, bool whole,
                                          float *dx)
{
    int64_t k = 0;
    for (; k < (whole ? c : c / EGI_LANES * EGI_LANES); k += EGI_LANES) {
        const egi_vec d = *(const egi_vec_at *)(dy + k);
        egi_ivec won;
        get_places(index + k, &won);
        *(egi_vec_at *)(dx + k) = (egi_vec)((egi_ivec)d & (egi_ivec)(won == place));
    }
    for (; k < c; k++)
        dx[k] = index[k] == place ? dy[k] : 0;
}

/* A row of whole windows two pixels wide that follow one another, of at most eight channels: the usual case. */
static inline EGI_SIMD_BODY void give_pairs(const float *dy, const uint8_t *index, int place, int64_t windows,
                                            int64_t c, int64_t col, float *dx)
{
    for (int64_t j = 0; j < windows; j++, dy += c, index += c, dx += 2 * col) {
        const egi_vec d = *(const egi_vec_at *)dy;
        egi_ivec won;
        get_places(index, &won);
        *(egi_vec_at *)dx = (egi_vec)((egi_ivec)d & (egi_ivec)(won == place));
        *(egi_vec_at *)(dx + col) = (egi_vec)((egi_ivec)d & (egi_ivec)(won == place + 1));
    }
}

/* One row of dx from row `k` of the windows whose outputs begin at dy. Pixels are written in order, because a vector
 * over the last channels of one runs over into the next; `whole`: it may. */
static inline EGI_SIMD_BODY void give_row(const pool *p, const float *dy, const uint8_t *index, int64_t k, bool whole,
                                          float *dx)
{
    const int64_t width = p->g->window[1], stride = p->g->stride[1], c = p->c, col = p->col;
    int64_t done = 0; /* pixels of the row that are written */
    if (whole && c <= EGI_LANES && width == 2 && stride == 2 && p->g->pad[1] == 0 && 2 * p->ow <= p->w) {
        give_pairs(dy, index, (int)(k * width), p->ow, c, col, dx);
        done = 2 * p->ow;
    } else {
        for (int64_t j = 0; j < p->ow; j++, dy += c, index += c) {
            const int64_t left = j * stride - p->g->pad[1], end = left + width < p->w ? left + width : p->w;
            for (; done < left; done++)
                memset(dx + done * col, 0, (size_t)c * sizeof *dx);
            for (; done < end; done++)
                give_one(dy, index, (int)(k * width + done - left), c, whole, dx + done * col);
        }
    }
    memset(dx + done * col, 0, (size_t)((p->w - done) * col) * sizeof *dx);
}

static inline EGI_SIMD_BODY void give_rows_body(const pool *p, int64_t from, int64_t to)
{
    const int64_t size = p->w * p->col;
    for (int64_t row = from; row < to; row++) {
        float *dx = p->large + (row - p->top) * p->row;
        const int64_t at = row % p->h + p->g->pad[0], i = at / p->g->stride[0], k = at % p->g->stride[0];
        if (i >= p->oh || k >= p->g->window[0]) { /* no window covers it */
            memset(dx, 0, (size_t)size * sizeof *dx);
            continue;
        }
        const int64_t from_small = (row / p->h * p->oh + i) * p->ow * p->c;
        const float *dy = p->small + from_small;
        const bool whole = p->c % EGI_LANES == 0 ||
                           (dx + size + EGI_LANES <= p->large_end && dy + p->ow * p->c + EGI_LANES <= p->small_end);
        give_row(p, dy, p->index + from_small, k, whole, dx);
        if (whole && p->row > size) /* what ran over into the border */
            memset(dx + size, 0, (EGI_LANES - 1) * sizeof *dx);
    }
}
EGI_SIMD(give_rows, (const pool *p, int64_t from, int64_t to), (p, from, to))

/* --- gradients of windows that overlap: added up ------------------------------------------------------------------ */

/* Adds one window's row of pixels where they lie in rows [from, to) of sample `n`. */
static void scatter_pixels(const pool *p, int64_t n, int64_t i, int64_t from, int64_t to)
{
    const egi_pool_geometry *g = p->g;
    int64_t at = (n * p->oh + i) * p->ow * p->c;
    for (int64_t j = 0; j < p->ow; j++)
        for (int64_t c = 0; c < p->c; c++, at++) {
            const int64_t r = i * g->stride[0] - g->pad[0] + p->index[at] / g->window[1];
            const int64_t s = j * g->stride[1] - g->pad[1] + p->index[at] % g->window[1];
            if (r >= from && r < to && s >= 0 && s < p->w)
                p->large[(n * p->h + r - p->top) * p->row + s * p->col + c] += p->small[at];
        }
}

static void scatter_rows(const pool *p, int64_t from, int64_t to)
{
    for (int64_t row = from; row < to; row++)
        memset(p->large + (row - p->top) * p->row, 0, (size_t)(p->w * p->col) * sizeof(float));
    for (int64_t row = from; row < to;) { /* the rows of one sample after the other */
        const int64_t n = row / p->h, begin = row - n * p->h, end = to - n * p->h < p->h ? to - n * p->h : p->h;
        for (int64_t i = 0; i < p->oh; i++)
            scatter_pixels(p, n, i, begin, end);
        row = n * p->h + end;
    }
}

/* --- both gradients ----------------------------------------------------------------------------------------------- */

static bool overlaps(const egi_pool_geometry *g)
{
    return g->window[0] > g->stride[0] || g->window[1] > g->stride[1];
}

void egi_cpu_unpool_rows(const egi_cpu_pool *p, int64_t from, int64_t to)
{
    if (overlaps(p->g))
        scatter_rows(p, from, to);
    else
        give_rows(p, from, to);
}

static void give_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool_grad *a = k->args;
    pool p = pool_of(k, a->dx, a->dy, a->index, &a->g);
    p.large_end = p.large + to * p.row;
    give_rows(&p, from, to);
}

static eg_status run_give(const egi_kernel *k, const egi_control *control)
{
    const egi_maxpool_grad *a = k->args;
    const egi_shape *dx = &k->t[a->dx].shape;
    egi_cpu_split(k, control, dx->dim[0] * dx->dim[1], dx->dim[2] * dx->dim[3], give_part);
    return EG_OK;
}

static void scatter_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_maxpool_grad *a = k->args;
    const pool p = pool_of(k, a->dx, a->dy, a->index, &a->g);
    scatter_rows(&p, from * p.h, to * p.h);
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
                const window a = window_cols(p, window_rows(p, n, i), j);
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
    out->run = overlaps(&a->g) ? run_scatter : run_give;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}

eg_status egi_cpu_avgpool_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run_spread;
    return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;
}
