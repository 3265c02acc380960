#include "core/cpu/direct.h"

#include "core/cpu/finish.h"
#include "core/cpu/pool.h"

#include <string.h>

#define MAX_PIXELS 8
#define WIDE       (2 * EGI_LANES)

/* --- kernels ------------------------------------------------------------------------------------------------------ */

/* What a tile of pixels needs beside their addresses. */
typedef struct tile {
    const egi_direct_run *runs;
    int n_runs;
    const float *w, *bias; /* of the tile's channels; whole vectors can be read */
    int tail;              /* channels in the last vector, EGI_LANES: all */
    bool spill;            /* the last vector may be stored whole: what lies behind is written later */
    egi_act act;
    float alpha;
} tile;

static inline EGI_SIMD_BODY void store(const egi_vec *v, float *y, int lanes)
{
    if (lanes == EGI_LANES) {
        *(egi_vec_at *)y = *v;
    } else {
        for (int i = 0; i < lanes; i++)
            y[i] = (*v)[i];
    }
}

/* `pixels` x `vectors` sums stay in registers while all runs pass by; the first `n` pixels are stored, in order. */
static inline EGI_SIMD_BODY void tile_any(const tile *t, const float *const *x, float *const *y, int n,
                                          const int pixels, const int vectors)
{
    egi_vec sum[MAX_PIXELS][2];
    for (int v = 0; v < vectors; v++) {
        const egi_vec start = *(const egi_vec_at *)(t->bias + v * EGI_LANES);
        for (int i = 0; i < pixels; i++)
            sum[i][v] = start;
    }
    const float *w = t->w;
    for (int r = 0; r < t->n_runs; r++) {
        const float *at[MAX_PIXELS];
        for (int i = 0; i < pixels; i++)
            at[i] = x[i] + t->runs[r].at;
        for (int64_t l = 0; l < t->runs[r].count; l++, w += vectors * EGI_LANES) {
            egi_vec row[2];
            for (int v = 0; v < vectors; v++)
                row[v] = *(const egi_vec_at *)(w + v * EGI_LANES);
            for (int i = 0; i < pixels; i++)
                for (int v = 0; v < vectors; v++)
                    sum[i][v] += at[i][l] * row[v];
        }
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < vectors; v++) {
            egi_direct_activate(&sum[i][v], t->act, t->alpha);
            store(&sum[i][v], y[i] + v * EGI_LANES, v < vectors - 1 || t->spill ? EGI_LANES : t->tail);
        }
}

static inline EGI_SIMD_BODY void tile_wide_body(const tile *t, const float *const *x, float *const *y, int n)
{
    tile_any(t, x, y, n, 6, 2);
}
EGI_SIMD(tile_wide, (const tile *t, const float *const *x, float *const *y, int n), (t, x, y, n))

static inline EGI_SIMD_BODY void tile_narrow_body(const tile *t, const float *const *x, float *const *y, int n)
{
    tile_any(t, x, y, n, 8, 1);
}
EGI_SIMD(tile_narrow, (const tile *t, const float *const *x, float *const *y, int n), (t, x, y, n))

/* Pixels of a grey image that lie side by side: one address serves all, so that more of them fit into the registers. */
static inline EGI_SIMD_BODY void tile_grey(const tile *t, const float *x, float *y, int64_t step, const int pixels)
{
    egi_vec sum[14];
    for (int i = 0; i < pixels; i++)
        sum[i] = *(const egi_vec_at *)t->bias;
    const float *w = t->w;
    for (int r = 0; r < t->n_runs; r++) {
        const float *at = x + t->runs[r].at;
        for (const float *end = at + t->runs[r].count; at < end; at++, w += EGI_LANES) {
            __asm__(""
                    : "+r"(at)); /* keeps the compiler from carrying pixels over in registers that it does not have */
            const egi_vec row = *(const egi_vec_at *)w;
            for (int i = 0; i < pixels; i++)
                sum[i] += at[i] * row;
        }
    }
    for (int i = 0; i < pixels; i++, y += step) {
        egi_direct_activate(&sum[i], t->act, t->alpha);
        store(&sum[i], y, t->spill ? EGI_LANES : t->tail);
    }
}

static inline EGI_SIMD_BODY void grey_14_body(const tile *t, const float *x, float *y, int64_t step)
{
    tile_grey(t, x, y, step, 14);
}
EGI_SIMD(grey_14, (const tile *t, const float *x, float *y, int64_t step), (t, x, y, step))

static inline EGI_SIMD_BODY void grey_12_body(const tile *t, const float *x, float *y, int64_t step)
{
    tile_grey(t, x, y, step, 12);
}
EGI_SIMD(grey_12, (const tile *t, const float *x, float *y, int64_t step), (t, x, y, step))

static inline EGI_SIMD_BODY void grey_8_body(const tile *t, const float *x, float *y, int64_t step)
{
    tile_grey(t, x, y, step, 8);
}
EGI_SIMD(grey_8, (const tile *t, const float *x, float *y, int64_t step), (t, x, y, step))

/* Sums over the lanes of four vectors: a tree that never leaves the registers. */
static inline EGI_SIMD_BODY void lanes_of_four(const egi_vec *s, float *sums)
{
#define PAIR(a, b) (EGI_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + EGI_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15))
    const egi_vec a = PAIR(s[0], s[1]), b = PAIR(s[2], s[3]);
#undef PAIR
    const egi_vec four = EGI_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + EGI_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    const egi_vec all = four + EGI_SHUFFLE(four, four, 4, 5, 6, 7, 0, 1, 2, 3);
    for (int i = 0; i < 4; i++)
        sums[i] = all[i];
}

#define DOT_PIXELS 4

/* Four pixels by three channels, each sum a vector over the inputs: for channels that would leave lanes empty.
 * sums: (3, 4). */
static inline EGI_SIMD_BODY void tile_dots_body(const tile *t, const float *const *x, float *sums)
{
    egi_vec sum[EGI_DIRECT_DOTS][DOT_PIXELS];
    for (int c = 0; c < EGI_DIRECT_DOTS; c++)
        for (int i = 0; i < DOT_PIXELS; i++)
            sum[c][i] = (egi_vec){0};
    const float *w = t->w;
    for (int r = 0; r < t->n_runs; r++) {
        const float *at[DOT_PIXELS];
        for (int i = 0; i < DOT_PIXELS; i++)
            at[i] = x[i] + t->runs[r].at;
        for (int64_t l = 0; l < t->runs[r].count; l += EGI_LANES, w += EGI_DIRECT_DOTS * EGI_LANES)
            for (int i = 0; i < DOT_PIXELS; i++) {
                const egi_vec v = *(const egi_vec_at *)(at[i] + l);
                for (int c = 0; c < EGI_DIRECT_DOTS; c++)
                    sum[c][i] += v * *(const egi_vec_at *)(w + c * EGI_LANES);
            }
    }
    for (int c = 0; c < EGI_DIRECT_DOTS; c++)
        lanes_of_four(sum[c], sums + c * DOT_PIXELS);
}
EGI_SIMD(tile_dots, (const tile *t, const float *const *x, float *sums), (t, x, sums))

/* --- pixels of one pass ------------------------------------------------------------------------------------------- */

/* A place among the pixels of a pass. */
typedef struct place {
    int64_t i, j;
} place;

/* Addresses of the `n` pixels from `at` on, which moves behind them; what lacks to `room` repeats the last. */
static void addresses(const egi_direct_pass *p, const float *image, float *y, int n, int room, place *at,
                      const float **x_at, float **y_at)
{
    for (int k = 0; k < n; k++) {
        x_at[k] = image + p->in + at->i * p->in_row + at->j * p->in_col;
        y_at[k] = y + p->out + at->i * p->out_row + at->j * p->out_col;
        if (++at->j == p->cols) {
            at->j = 0;
            at->i++;
        }
    }
    for (int k = n; k < room; k++) {
        x_at[k] = x_at[n - 1];
        y_at[k] = y_at[n - 1];
    }
}

/* Work on pixels [from, to) of a pass; up to `spill_to` a last vector may run over into the next pixels, which come
 * later. */
typedef struct strip {
    const egi_direct *d;
    const egi_direct_pass *p;
    const float *image;
    float *y; /* first channel of the strip, pixel 0 of the sample */
    int64_t from, to, spill_to;
    tile t;
} strip;

static void strip_tiles(strip *s, bool wide)
{
    const int pixels = wide ? 6 : 8;
    place at = {s->from / s->p->cols, s->from % s->p->cols};
    for (int64_t k = s->from; k < s->to; k += pixels) {
        const int n = s->to - k < pixels ? (int)(s->to - k) : pixels;
        const float *x_at[MAX_PIXELS];
        float *y_at[MAX_PIXELS];
        addresses(s->p, s->image, s->y, n, pixels, &at, x_at, y_at);
        s->t.spill = s->t.tail == EGI_LANES || k + n <= s->spill_to;
        if (wide)
            tile_wide(&s->t, x_at, y_at, n);
        else
            tile_narrow(&s->t, x_at, y_at, n);
    }
}

/* Pixels in a tile of a grey row: the fewest loads for `cols` of them. */
static int grey_pixels(int64_t cols)
{
    static const int sizes[] = {14, 12, 8};
    int best = 8;
    int64_t least = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        const int64_t loads = (cols + sizes[i] - 1) / sizes[i] * (sizes[i] + 1);
        if (cols >= sizes[i] && loads < least) {
            least = loads;
            best = sizes[i];
        }
    }
    return best;
}

/* Whole rows of at least eight pixels; the last tile of a row may do some pixels of the one before again. */
static void strip_grey(strip *s)
{
    const egi_direct_pass *p = s->p;
    const int pixels = grey_pixels(p->cols);
    for (int64_t i = s->from / p->cols; i < s->to / p->cols; i++)
        for (int64_t j = 0; j < p->cols; j += pixels) {
            const int64_t at = j + pixels <= p->cols ? j : p->cols - pixels;
            const float *x = s->image + p->in + i * p->in_row + at;
            float *y = s->y + p->out + i * p->out_row + at * p->out_col;
            s->t.spill = s->t.tail == EGI_LANES || i * p->cols + at + pixels <= s->spill_to;
            if (pixels == 14)
                grey_14(&s->t, x, y, p->out_col);
            else if (pixels == 12)
                grey_12(&s->t, x, y, p->out_col);
            else
                grey_8(&s->t, x, y, p->out_col);
        }
}

static inline void put_dots(float *const *y, const float *sums, const float *bias, int64_t first, int pixels,
                            int channels)
{
    if (pixels == DOT_PIXELS && channels == EGI_DIRECT_DOTS) { /* the usual case, unrolled */
        for (int i = 0; i < DOT_PIXELS; i++)
            for (int c = 0; c < EGI_DIRECT_DOTS; c++)
                y[i][first + c] = sums[c * DOT_PIXELS + i] + bias[c];
        return;
    }
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            y[i][first + c] = sums[c * DOT_PIXELS + i] + bias[c];
}

/* A tile's pixels for one group of channels after the other. */
static void strip_dots(strip *s, const float *bias)
{
    const float *w = s->t.w;
    const int64_t group = s->d->n_taps * s->d->in * EGI_DIRECT_DOTS; /* floats of a group's weights */
    place at = {s->from / s->p->cols, s->from % s->p->cols};
    for (int64_t k = s->from; k < s->to; k += DOT_PIXELS) {
        const int n = s->to - k < DOT_PIXELS ? (int)(s->to - k) : DOT_PIXELS;
        const float *x_at[DOT_PIXELS];
        float *y_at[DOT_PIXELS], sums[EGI_DIRECT_DOTS * DOT_PIXELS];
        addresses(s->p, s->image, s->y, n, DOT_PIXELS, &at, x_at, y_at);
        s->t.w = w;
        for (int64_t c = 0; c < s->d->out; c += EGI_DIRECT_DOTS, s->t.w += group) {
            tile_dots(&s->t, x_at, sums);
            const int64_t left = s->d->out - c;
            put_dots(y_at, sums, bias + c, c, n, left < EGI_DIRECT_DOTS ? (int)left : EGI_DIRECT_DOTS);
        }
    }
}

/* Do rows of this pass lie side by side in a grey image? */
static bool is_grey(const egi_direct *d, const egi_direct_pass *p)
{
    return p->in_col == 1 && d->out <= EGI_LANES && p->cols >= 8;
}

/* Pixels [from, to) for the block of channels that begins with `channel`. */
static void block(const egi_direct *d, const egi_direct_pass *p, const float *image, float *y, const float *w,
                  const float *bias, int64_t from, int64_t to, int64_t channel)
{
    const int64_t left = d->out - channel, rows = d->n_taps * d->in;
    const bool wide = left > EGI_LANES;
    const int width = wide ? WIDE : EGI_LANES;
    strip s = {.d = d, .p = p, .image = image, .y = y + channel, .from = from, .to = to, .spill_to = -1};
    s.t = (tile){.runs = p->runs,
                 .n_runs = p->n_runs,
                 .w = w + channel * rows + p->weights * width,
                 .bias = bias + channel,
                 .tail = left >= width ? EGI_LANES : (int)(left % EGI_LANES),
                 .act = d->r ? EGI_ACT_LINEAR : d->act,
                 .alpha = d->alpha};
    const bool alone = d->out <= width && p->out_col == d->out && p->out_row == p->cols * d->out;
    if (d->padded)
        s.spill_to = to;
    else if (alone) /* a vector runs over at most so many pixels */
        s.spill_to = to - (EGI_LANES - s.t.tail + d->out - 1) / d->out;
    if (is_grey(d, p) && from % p->cols == 0 && to % p->cols == 0)
        strip_grey(&s);
    else
        strip_tiles(&s, wide);
}

/* What the tiles have left to do to pixels that follow one another, while they are in the cache. */
static void finish(const egi_direct *d, float *y, int64_t floats)
{
    const bool done = d->layout != EGI_DIRECT_BY_ROWS && !d->r && egi_direct_activates(d->act);
    const egi_finish f = {.r = d->r ? d->r + (y - d->y) : NULL, .act = d->act, .alpha = d->alpha};
    if (!done)
        egi_cpu_finish_block(y, floats, 1, floats, &f);
}

static void chunk(const egi_direct *d, const egi_direct_pass *p, const float *image, float *y, const float *w,
                  const float *bias, int64_t from, int64_t to)
{
    if (d->layout == EGI_DIRECT_BY_ROWS) {
        strip s = {.d = d, .p = p, .image = image, .y = y, .from = from, .to = to};
        s.t = (tile){.runs = p->runs, .n_runs = p->n_runs, .w = w + p->weights * EGI_DIRECT_DOTS};
        strip_dots(&s, bias);
    }
    for (int64_t channel = 0; channel < d->out && d->layout != EGI_DIRECT_BY_ROWS; channel += WIDE)
        block(d, p, image, y, w, bias, from, to, channel);
    if (!d->transposed)
        finish(d, y + from * p->out_col, (to - from) * p->out_col);
}

void egi_direct_rows(const egi_direct_job *j, const egi_direct_pass *p, const float *image, float *y, int64_t rows)
{
    const int64_t step = (j->d->chunk + p->cols - 1) / p->cols * p->cols, to = rows * p->cols;
    for (int64_t from = 0; from < to; from += step)
        chunk(j->d, p, image, y, j->w, j->bias, from, to - from < step ? to : from + step);
}

/* Part `part` of one sample. */
static void sample_part(const egi_direct_job *j, const float *image, float *y, int part)
{
    const egi_direct *d = j->d;
    for (int i = 0; i < d->n_passes; i++) {
        const egi_direct_pass *p = &d->passes[i];
        int64_t from, to;
        egi_team_share(p->rows, 1, part, d->parts, &from, &to);
        egi_direct_rows(j, p, image + from * p->in_row, y + from * p->out_row, to - from);
    }
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* Weight of row `row` (kernel position, input) and column `c`. */
static inline float weight(const egi_direct *d, const float *position, int64_t in, int64_t c)
{
    return d->transposed ? position[c * d->in + in] : position[in * d->out + c];
}

static void pack_dots(const egi_direct *d, int64_t tap, float *packed)
{
    const float *position = d->w + d->taps[tap] * d->in * d->out;
    const int64_t group = d->n_taps * d->in * EGI_DIRECT_DOTS;
    for (int64_t first = 0; first < d->out; first += EGI_DIRECT_DOTS, packed += group) {
        float *to = packed + tap * d->in * EGI_DIRECT_DOTS;
        for (int64_t in = 0; in < d->in; in += EGI_LANES)
            for (int64_t c = first; c < first + EGI_DIRECT_DOTS; c++)
                for (int64_t l = 0; l < EGI_LANES; l++)
                    *to++ = c < d->out ? weight(d, position, in + l, c) : 0;
    }
}

static void pack_blocks(const egi_direct *d, int64_t tap, float *packed)
{
    const float *position = d->w + d->taps[tap] * d->in * d->out;
    const int64_t rows = d->n_taps * d->in;
    for (int64_t channel = 0; channel < d->out; channel += WIDE) {
        const int64_t width = d->out - channel > EGI_LANES ? WIDE : EGI_LANES;
        const int64_t whole = d->out - channel < width ? d->out - channel : width;
        float *to = packed + channel * rows + tap * d->in * width;
        for (int64_t in = 0; in < d->in; in++, to += width) {
            for (int64_t c = 0; c < whole; c++)
                to[c] = weight(d, position, in, channel + c);
            for (int64_t c = whole; c < width; c++)
                to[c] = 0;
        }
    }
}

static const float *weights_of(egi_direct *d, float *scratch, int64_t version)
{
    if (d->layout == EGI_DIRECT_PLAIN)
        return d->w;
    if (d->kept && d->version == version)
        return d->kept;
    float *packed = d->kept ? d->kept : scratch;
    for (int64_t tap = 0; tap < d->n_taps; tap++)
        if (d->layout == EGI_DIRECT_BY_ROWS)
            pack_dots(d, tap, packed);
        else
            pack_blocks(d, tap, packed);
    d->version = version;
    return packed;
}

static const float *bias_of(const egi_direct *d, float *scratch)
{
    float *bias = scratch + d->bias_at;
    for (int64_t f = 0; f < d->frames_at - d->bias_at; f++)
        bias[f] = d->b && f < d->out ? d->b[f] : 0;
    return bias;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

egi_direct_job egi_direct_job_of(const egi_kernel *k, const egi_control *control)
{
    egi_direct *d = k->state;
    float *scratch = k->scratch;
    egi_direct_job j = {.d = d, .scratch = scratch, .units = d->samples * d->parts};
    j.w = weights_of(d, scratch, control->weights_version);
    j.bias = bias_of(d, scratch);
    j.pieces = egi_cpu_pieces(k, j.units, d->y_size / d->parts * d->n_taps * d->in / 4);
    return j;
}

float *egi_direct_frame_open(const egi_direct_job *j, int thread)
{
    const egi_direct_frame *f = &j->d->frame;
    float *frame = j->scratch + j->d->frames_at + thread * egi_direct_frame_size(f);
    if (j->d->spreads || egi_direct_copies(f))
        egi_direct_frame_clear(f, frame);
    return frame;
}

/* The gradient of a convolution's output from that of the pooled output. */
static void spread(const egi_direct *d, int64_t sample, float *frame)
{
    const egi_direct_frame *f = &d->frame;
    const int64_t pooled = d->pooled[0] * d->pooled[1] * f->c, row = f->pw * f->c;
    float *small = d->x->data;
    const egi_cpu_pool p = {.g = &d->pool->g,
                            .large = frame + f->top * row + f->left * f->c,
                            .small = small + sample * pooled,
                            .index = d->index + sample * pooled,
                            .large_end = frame + (f->top + f->h) * row, /* the border stays */
                            .small_end = small + d->samples * pooled,
                            .h = f->h,
                            .w = f->w,
                            .c = f->c,
                            .oh = d->pooled[0],
                            .ow = d->pooled[1],
                            .row = row,
                            .col = f->c};
    egi_cpu_unpool_rows(&p, 0, f->h);
}

const float *egi_direct_image(const egi_direct_job *j, int64_t sample, float *frame)
{
    const egi_direct_frame *f = &j->d->frame;
    if (j->d->spreads) {
        spread(j->d, sample, frame);
        return frame;
    }
    const float *x = (const float *)j->d->x->data + sample * f->h * f->w * f->c;
    if (!egi_direct_copies(f))
        return x;
    egi_direct_frame_fill(f, x, frame);
    return frame;
}

static void run_piece(void *arg, int64_t piece, int thread)
{
    const egi_direct_job *j = arg;
    const egi_direct *d = j->d;
    float *frame = egi_direct_frame_open(j, thread);
    int64_t from, to;
    egi_team_share(j->units, 1, piece, j->pieces, &from, &to);
    for (int64_t u = from; u < to; u++) {
        const int64_t sample = u / d->parts;
        sample_part(j, egi_direct_image(j, sample, frame), d->y + sample * d->y_size, (int)(u % d->parts));
    }
}

eg_status egi_direct_run_kernel(const egi_kernel *k, const egi_control *control)
{
    egi_direct_job j = egi_direct_job_of(k, control);
    egi_cpu_run(k, j.pieces, run_piece, &j);
    return EG_OK;
}
