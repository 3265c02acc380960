/* The kernel's gradient, and its square a sample, for few channels: sums over pixels stay in registers for a tile of
 * kernel rows. */
#include "core/cpu/direct.h"
#include "core/cpu/pool.h"

#include <string.h>

#define MAX_ROWS 9
#define WIDE     (2 * EGI_LANES)

typedef struct direct_dw {
    egi_direct_frame frame;
    int64_t n_rows, f, width;              /* width: f in whole vectors */
    int64_t step;                          /* from pixel to pixel of the gradient */
    int64_t oh, ow, in_row, in_col, chunk; /* chunk: output rows that fit the first cache together with their input */
    int64_t samples;
    int parts, shares;    /* of a sample; of the samples, each with sums of its own */
    bool square, gathers; /* gathers: dy is copied block by block */
    const float *x, *dy;
    float *dw, *db;
    const egi_conv_pool *pool; /* max pooling between the convolution and dy, or NULL */
    uint8_t *index;
    int64_t pooled[2], spread_at, spread; /* the gradient before pooling, a thread; floats */
    /* In the scratch, floats: frames, then sums a thread, then blocks of dy a thread, then the last samples' dy. */
    int64_t sums_at, sums, blocks_at, ends_at, ends; /* ends: how many samples */
    int32_t rows[]; /* where kernel row r = (ki, kj, c) meets the frame, for output pixel (0, 0) */
} direct_dw;

/* Kernel rows by vectors of channels, over `rows` output rows: adds to `sum`. */
typedef struct tile {
    const float *x[MAX_ROWS], *dy;
    float *sum[MAX_ROWS];
    int64_t rows, cols, in_row, in_col, out_row, out_col;
} tile;

static inline EGI_SIMD_BODY void tile_any(const tile *t, const int rows, const int vectors)
{
    egi_vec sum[MAX_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = *(const egi_vec_at *)(t->sum[r] + v * EGI_LANES);
    for (int64_t i = 0; i < t->rows; i++) {
        const float *x[MAX_ROWS], *dy = t->dy + i * t->out_row;
        for (int r = 0; r < rows; r++)
            x[r] = t->x[r] + i * t->in_row;
        for (int64_t j = 0, at = 0; j < t->cols; j++, at += t->in_col, dy += t->out_col) {
            egi_vec d[2];
            for (int v = 0; v < vectors; v++)
                d[v] = *(const egi_vec_at *)(dy + v * EGI_LANES);
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++)
                    sum[r][v] += x[r][at] * d[v];
        }
    }
    for (int r = rows - 1; r >= 0; r--) /* rows that only fill the tile repeat the first ones, which are stored last */
        for (int v = 0; v < vectors; v++)
            *(egi_vec_at *)(t->sum[r] + v * EGI_LANES) = sum[r][v];
}

static inline EGI_SIMD_BODY void tile_wide_body(const tile *t)
{
    tile_any(t, 6, 2);
}
EGI_SIMD(tile_wide, (const tile *t), (t))

static inline EGI_SIMD_BODY void tile_narrow_body(const tile *t)
{
    tile_any(t, MAX_ROWS, 1);
}
EGI_SIMD(tile_narrow, (const tile *t), (t))

static inline EGI_SIMD_BODY void bias_body(const float *dy, int64_t pixels, int64_t f, int64_t width, float *sum)
{
    for (int64_t v = 0; v < width; v += EGI_LANES) {
        egi_vec s = *(const egi_vec_at *)(sum + v);
        for (int64_t p = 0; p < pixels; p++)
            s += *(const egi_vec_at *)(dy + p * f + v);
        *(egi_vec_at *)(sum + v) = s;
    }
}
EGI_SIMD(bias, (const float *dy, int64_t pixels, int64_t f, int64_t width, float *sum), (dy, pixels, f, width, sum))

/* --- one sample --------------------------------------------------------------------------------------------------- */

static void rows_of_chunk(const direct_dw *d, tile *t, const float *image, float *sums, int64_t channel)
{
    const bool wide = d->width - channel > EGI_LANES;
    const int rows = wide ? 6 : MAX_ROWS;
    for (int64_t first = 0; first < d->n_rows; first += rows) {
        for (int r = 0; r < rows; r++) {
            const int64_t row =
                first + r < d->n_rows ? first + r : first + (first + r - d->n_rows) % (d->n_rows - first);
            t->x[r] = image + d->rows[row];
            t->sum[r] = sums + row * d->width + channel;
        }
        if (wide)
            tile_wide(t);
        else
            tile_narrow(t);
    }
}

/* Copies one block of channels of a chunk's pixels side by side: far apart they would fall into few sets of the cache.
 */
static void gather_block(const direct_dw *d, const float *dy, int64_t pixels, int64_t channel, float *block)
{
    const int64_t n = d->f - channel < WIDE ? d->f - channel : WIDE;
    for (int64_t p = 0; p < pixels; p++, dy += d->step, block += WIDE) {
        if (n == WIDE) {
            memcpy(block, dy + channel, WIDE * sizeof *block);
            continue;
        }
        for (int64_t c = 0; c < WIDE; c++)
            block[c] = c < n ? dy[channel + c] : 0;
    }
}

/* Adds output rows [from, to) of a sample to the sums: kernel rows first, then the bias. block: room for a chunk of one
 * block of channels. */
static void sample_rows(const direct_dw *d, const float *image, const float *dy, float *sums, float *block,
                        int64_t from, int64_t to)
{
    const int64_t step = d->gathers ? WIDE : d->step;
    tile t = {.cols = d->ow, .in_row = d->in_row, .in_col = d->in_col, .out_row = d->ow * step, .out_col = step};
    for (int64_t row = from; row < to; row += t.rows) {
        const float *chunk = dy + row * d->ow * d->step;
        t.rows = to - row < d->chunk ? to - row : d->chunk;
        for (int64_t channel = 0; channel < d->width; channel += WIDE) {
            if (d->gathers)
                gather_block(d, chunk, t.rows * d->ow, channel, block);
            t.dy = d->gathers ? block : chunk + channel;
            rows_of_chunk(d, &t, image + row * d->in_row, sums, channel);
        }
    }
    if (d->db)
        bias(dy + from * d->ow * d->step, (to - from) * d->ow, d->step, d->width, sums + d->n_rows * d->width);
}

static inline EGI_SIMD_BODY void add_square_body(const float *x, int64_t n, float *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}
EGI_SIMD(add_square, (const float *x, int64_t n, float *sum), (x, n, sum))

static inline EGI_SIMD_BODY void add_body(const float *x, int64_t n, float *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i];
}
EGI_SIMD(add, (const float *x, int64_t n, float *sum), (x, n, sum))

/* --- running ------------------------------------------------------------------------------------------------------ */

/* Whole vectors are read from dy, in its last samples beyond its end: those are read from a copy. */
static const float *gradient_of(const direct_dw *d, int64_t sample, float *scratch)
{
    const int64_t size = d->oh * d->ow * d->f, first = d->samples - d->ends;
    return sample < first ? d->dy + sample * size : scratch + d->ends_at + (sample - first) * size;
}

/* The gradient before pooling, rows [from, to) of one sample, in the thread's memory. */
static const float *spread(const direct_dw *d, int64_t sample, int64_t from, int64_t to, float *all)
{
    const int64_t pooled = d->pooled[0] * d->pooled[1] * d->f;
    const egi_cpu_pool p = {.g = &d->pool->g,
                            .large = all,
                            .small = (float *)d->dy + sample * pooled,
                            .index = d->index + sample * pooled,
                            .large_end = all + d->spread,
                            .small_end = d->dy + d->samples * pooled,
                            .h = d->oh,
                            .w = d->ow,
                            .c = d->f,
                            .oh = d->pooled[0],
                            .ow = d->pooled[1],
                            .row = d->ow * d->step,
                            .col = d->step};
    egi_cpu_unpool_rows(&p, from, to);
    return all;
}

/* Share `piece` of the samples, with sums of its own. */
static void share(const direct_dw *d, float *scratch, int64_t piece, int thread)
{
    float *copy = scratch + thread * egi_direct_frame_size(&d->frame), *sums = scratch + d->sums_at + piece * d->sums;
    float *block = scratch + d->blocks_at + thread * d->chunk * d->ow * WIDE;
    const bool copies = egi_direct_copies(&d->frame);
    const int64_t all = (d->n_rows + 1) * d->width;
    int64_t from, to;
    egi_team_share(d->samples * d->parts, 1, piece, d->shares, &from, &to);
    memset(sums, 0, (size_t)d->sums * sizeof *sums);
    if (copies && from < to)
        egi_direct_frame_clear(&d->frame, copy);
    for (int64_t u = from; u < to; u++) {
        const int64_t sample = u / d->parts;
        const float *x = d->x + sample * d->frame.h * d->frame.w * d->frame.c;
        int64_t begin, end;
        egi_team_share(d->oh, 1, u % d->parts, d->parts, &begin, &end);
        if (copies)
            egi_direct_frame_fill(&d->frame, x, copy);
        const float *dy = d->pool ? spread(d, sample, begin, end, scratch + d->spread_at + thread * d->spread)
                                  : gradient_of(d, sample, scratch);
        sample_rows(d, copies ? copy : x, dy, sums, block, begin, end);
        if (d->square) { /* the sample's gradient becomes its square, added behind */
            add_square(sums, all, sums + all);
            memset(sums, 0, (size_t)all * sizeof *sums);
        }
    }
}

/* One row of the result: the shares' sums in their order. */
static void gather(const direct_dw *d, const float *scratch, int64_t row, float *out)
{
    const float *sums = scratch + d->sums_at + (d->square ? d->sums / 2 : 0) + row * d->width;
    if (!d->square)
        memset(out, 0, (size_t)d->f * sizeof *out);
    for (int i = 0; i < d->shares; i++)
        add(sums + i * d->sums, d->f, out);
}

typedef struct job {
    const direct_dw *d;
    float *scratch;
} job;

static void run_share(void *arg, int64_t piece, int thread)
{
    const job *j = arg;
    share(j->d, j->scratch, piece, thread);
}

static void gather_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const direct_dw *d = k->state;
    for (int64_t row = begin; row < end; row++)
        gather(d, k->scratch, row, d->dw + row * d->f);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const direct_dw *d = k->state;
    float *scratch = k->scratch;
    const int64_t size = d->oh * d->ow * d->f, copied = d->ends * size;
    if (copied) {
        memcpy(scratch + d->ends_at, d->dy + d->samples * size - copied, (size_t)copied * sizeof(float));
        memset(scratch + d->ends_at + copied, 0, EGI_LANES * sizeof(float));
    }
    egi_cpu_run(k, d->shares, run_share, &(job){.d = d, .scratch = scratch});
    egi_cpu_split(k, control, d->n_rows, d->f * d->shares, gather_part);
    if (d->db)
        gather(d, scratch, d->n_rows, d->db);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

static void geometry(direct_dw *d, const egi_conv_dims *s, const egi_conv_geometry *g)
{
    d->frame = egi_direct_frame_of(s, g);
    const int64_t row = d->frame.pw * s->c;
    d->in_row = g->stride[0] * row;
    d->in_col = g->stride[1] * s->c;
    for (int64_t r = 0; r < d->n_rows; r++) {
        const int64_t c = r % s->c, kj = r / s->c % s->kw, ki = r / (s->c * s->kw);
        d->rows[r] = (int32_t)(ki * g->dilation[0] * row + kj * g->dilation[1] * s->c + c);
    }
    const int64_t floats = d->in_row + s->ow * s->f, cache = 5 * 1024, enough = 64; /* of a row; of the cache; pixels */
    d->chunk = cache / floats > 1 ? cache / floats : 1;
    if (d->chunk * s->ow < enough)
        d->chunk = (enough + s->ow - 1) / s->ow;
}

/* What is between the convolution and dy. */
static void add_pool(direct_dw *d, const egi_tensor *t, egi_val dy, egi_val index, const egi_conv_pool *pool)
{
    if (index == EGI_NONE)
        return;
    d->pool = pool;
    d->index = t[index].data;
    d->pooled[0] = t[dy].shape.dim[1];
    d->pooled[1] = t[dy].shape.dim[2];
}

static eg_status prepare(egi_device *device, egi_kernel *out, const egi_conv_dims *s, const egi_conv_geometry *g,
                         const direct_dw *values)
{
    if (!egi_cpu_is_f32(out) || !egi_direct_suits(s, g))
        return EGI_CPU_DECLINE;
    const int64_t n_rows = s->kh * s->kw * s->c;
    direct_dw *d;
    EG_TRY(egi_cpu_state(&d, device, out, sizeof *d + (size_t)n_rows * sizeof *d->rows));
    *d = *values;
    d->n_rows = n_rows;
    d->samples = s->n;
    d->parts = d->square ? 1 : egi_direct_parts(s->n, out->threads); /* a sample's square wants all of the sample */
    d->f = s->f;
    d->width = egi_round_up(s->f, EGI_LANES);
    d->step = d->pool && 2 * d->width <= 3 * d->f ? d->width : d->f;
    d->oh = s->oh;
    d->ow = s->ow;
    geometry(d, s, g);
    d->sums = (d->n_rows + 1) * d->width * (d->square ? 2 : 1);
    const int64_t few = 8192; /* sums that are cheap to add up: more shares then balance the threads */
    d->shares = out->threads * (out->threads > 1 && d->n_rows * d->width < few ? 2 : 1);
    d->sums_at = egi_direct_copies(&d->frame) ? out->threads * egi_direct_frame_size(&d->frame) : 0;
    d->gathers = d->f > WIDE;
    if (d->f != d->width && !d->pool) {
        const int64_t size = s->oh * s->ow * s->f, reached = (EGI_LANES - 1 + size - 1) / size + 1;
        d->ends = reached < s->n ? reached : s->n;
    }
    d->blocks_at = d->sums_at + d->shares * d->sums;
    d->ends_at = d->blocks_at + (d->gathers ? out->threads * d->chunk * d->ow * WIDE : 0);
    d->spread_at = egi_round_up(d->ends_at + d->ends * s->oh * s->ow * s->f + EGI_LANES, 16);
    if (d->pool)
        d->spread = egi_round_up(s->oh * s->ow * d->step + EGI_LANES, 16);
    out->scratch_bytes = (size_t)(d->spread_at + out->threads * d->spread) * sizeof(float);
    out->run = run;
    return EG_OK;
}

eg_status egi_cpu_conv2d_dw_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dw *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->dw].shape, &t[a->dy].shape, &a->pool);
    direct_dw values = {
        .x = t[a->x].data, .dy = t[a->dy].data, .dw = t[a->dw].data, .db = a->db == EGI_NONE ? NULL : t[a->db].data};
    add_pool(&values, t, a->dy, a->index, &a->pool);
    return prepare(device, out, &s, &a->g, &values);
}

eg_status egi_cpu_conv2d_square_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_square *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->fw].shape, &t[a->dy].shape, &a->pool);
    direct_dw values = {.square = true,
                        .x = t[a->x].data,
                        .dy = t[a->dy].data,
                        .dw = t[a->fw].data,
                        .db = a->fb == EGI_NONE ? NULL : t[a->fb].data};
    add_pool(&values, t, a->dy, a->index, &a->pool);
    return prepare(device, out, &s, &a->g, &values);
}
