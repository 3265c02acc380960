#include "core/cpu/direct.h"

#include "core/cpu/finish.h"

#include <string.h>

#define MAX_PIXELS 8

/* One convolution as passes over a frame; see direct.h. */
typedef struct direct {
    egi_direct_frame frame;
    egi_direct_pass passes[EGI_DIRECT_PASSES];
    int n_passes;
    egi_direct_run *runs;
    int32_t *taps; /* of packed weights: row block `i` holds kernel position taps[i] */
    int64_t n_taps;
    int64_t in, out; /* channels that are read and written */
    int64_t width;   /* floats between rows of the weights: `out`, or that rounded up to whole vectors where packed */
    bool packed, transposed;
    int64_t samples, y_size;
    int parts, threads;
    const float *x, *w, *b;
    float *y;
    egi_act act;
    float alpha;
    int64_t bias_at, frames_at; /* in the scratch, floats; packed weights begin it */
} direct;

/* --- the kernel --------------------------------------------------------------------------------------------------- */

/* What a tile of pixels needs beside their addresses. */
typedef struct tile {
    const egi_direct_run *runs;
    int n_runs;
    const float *w, *bias; /* first of the tile's channels; whole vectors can be read */
    int64_t width;
    int tail;   /* channels in the last vector, EGI_LANES: all */
    bool spill; /* the last vector may be stored whole: what lies behind is written later */
    egi_act act;
    float alpha;
} tile;

/* The cheap activations, in registers; NaN comes through. */
static inline EGI_SIMD_BODY void finish(egi_vec *v, egi_act act, float alpha)
{
    const egi_ivec below = (egi_ivec)(*v < (egi_vec){0});
    if (act == EGI_ACT_RELU)
        *v = (egi_vec)((egi_ivec)*v & ~below);
    else if (act == EGI_ACT_LEAKY_RELU)
        *v = (egi_vec)(((egi_ivec)*v & ~below) | ((egi_ivec)(*v * alpha) & below));
}

static bool is_cheap(egi_act act)
{
    return act == EGI_ACT_LINEAR || act == EGI_ACT_RELU || act == EGI_ACT_LEAKY_RELU;
}

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
        for (int64_t l = 0; l < t->runs[r].count; l++, w += t->width) {
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
            finish(&sum[i][v], t->act, t->alpha);
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

/* --- one sample --------------------------------------------------------------------------------------------------- */

/* Adds the addresses of the `n` pixels after (*i, *j); what lacks to MAX_PIXELS repeats the last. */
static void addresses(const egi_direct_pass *p, const float *image, float *y, int n, int64_t *i, int64_t *j,
                      const float **x_at, float **y_at)
{
    for (int k = 0; k < MAX_PIXELS; k++) {
        x_at[k] = k < n ? image + p->in + *i * p->in_row + *j * p->in_col : x_at[n - 1];
        y_at[k] = k < n ? y + p->out + *i * p->out_row + *j * p->out_col : y_at[n - 1];
        if (k < n && ++*j == p->cols) {
            *j = 0;
            ++*i;
        }
    }
}

/* Pixels [from, to) of a pass, `vectors` vectors of channels from `channel` on. */
static void strip(const direct *d, const egi_direct_pass *p, const float *image, float *y, const float *w,
                  const float *bias, int64_t from, int64_t to, int64_t channel)
{
    const int64_t left = d->out - channel;
    const bool wide = left > EGI_LANES;
    const int pixels = wide ? 6 : 8, tail = left >= (wide ? 2 : 1) * EGI_LANES ? EGI_LANES : (int)(left % EGI_LANES);
    tile t = {.runs = p->runs,
              .n_runs = p->n_runs,
              .w = w + p->weights * d->width + channel,
              .bias = bias + channel,
              .width = d->width,
              .tail = tail,
              .act = d->act,
              .alpha = d->alpha};
    /* Alone in the row and followed by pixels of this strip, a vector may run over into what is written next. */
    const bool may_spill =
        channel == 0 && d->out <= 2 * EGI_LANES && p->out_col == d->out && p->out_row == p->cols * d->out;
    const int64_t last_spill = may_spill ? to - 1 - (EGI_LANES - tail + d->out - 1) / d->out : -1;
    int64_t i = from / p->cols, j = from % p->cols;
    for (int64_t at = from; at < to; at += pixels) {
        const int n = to - at < pixels ? (int)(to - at) : pixels;
        const float *x_at[MAX_PIXELS];
        float *y_at[MAX_PIXELS];
        addresses(p, image, y, n, &i, &j, x_at, y_at);
        t.spill = tail == EGI_LANES || at + n - 1 <= last_spill;
        if (wide)
            tile_wide(&t, x_at, y_at, n);
        else
            tile_narrow(&t, x_at, y_at, n);
    }
}

static void unit(const direct *d, const float *image, float *y, const float *w, const float *bias, int part)
{
    for (int i = 0; i < d->n_passes; i++) {
        const egi_direct_pass *p = &d->passes[i];
        int64_t from, to;
        egi_cpu_share(p->rows * p->cols, 1, part, d->parts, &from, &to);
        for (int64_t channel = 0; channel < d->out && from < to; channel += 2 * EGI_LANES)
            strip(d, p, image, y, w, bias, from, to, channel);
        if (!is_cheap(d->act)) /* only forward: one pass, packed pixels */
            egi_cpu_activate_part(y + from * d->out, (to - from) * d->out, d->act, d->alpha);
    }
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

static void pack_rows(const direct *d, float *packed)
{
    const int64_t rows = d->n_taps * d->in;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t f = 0; f < d->width; f++)
            packed[r * d->width + f] = f < d->out ? d->w[r * d->out + f] : 0;
}

/* The gradient reads kernel position taps[i] as (in, out) of the other direction: transposed. */
static void pack_transposed(const direct *d, float *packed)
{
    for (int64_t i = 0; i < d->n_taps; i++) {
        const float *w = d->w + d->taps[i] * d->in * d->out;
        for (int64_t f = 0; f < d->in; f++, packed += d->width)
            for (int64_t c = 0; c < d->width; c++)
                packed[c] = c < d->out ? w[c * d->in + f] : 0;
    }
}

static const float *prepare_weights(const direct *d, float *scratch)
{
    if (d->transposed)
        pack_transposed(d, scratch);
    else if (d->packed)
        pack_rows(d, scratch);
    float *bias = scratch + d->bias_at;
    for (int64_t f = 0; f < d->frames_at - d->bias_at; f++)
        bias[f] = d->b && f < d->out ? d->b[f] : 0;
    return d->packed ? scratch : d->w;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const direct *d = k->state;
    float *scratch = k->scratch;
    const float *w = prepare_weights(d, scratch), *bias = scratch + d->bias_at;
    const bool copies = egi_direct_copies(&d->frame);
    const int64_t x_size = d->frame.h * d->frame.w * d->frame.c, units = d->samples * d->parts;
#pragma omp parallel for schedule(static, 1) num_threads(d->threads)
    for (int thread = 0; thread < d->threads; thread++) {
        float *copy = scratch + d->frames_at + thread * egi_direct_frame_size(&d->frame);
        int64_t from, to;
        egi_cpu_share(units, 1, thread, d->threads, &from, &to);
        if (copies && from < to)
            egi_direct_frame_clear(&d->frame, copy);
        for (int64_t u = from; u < to; u++) {
            const int64_t sample = u / d->parts;
            const float *x = d->x + sample * x_size;
            if (copies)
                egi_direct_frame_fill(&d->frame, x, copy);
            unit(d, copies ? copy : x, d->y + sample * d->y_size, w, bias, (int)(u % d->parts));
        }
    }
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

static void destroy(egi_device *device, egi_kernel *k)
{
    direct *d = k->state;
    egi_free(device->context, d->runs);
    egi_free(device->context, d->taps);
    egi_free(device->context, d);
}

/* Room for everything in the scratch: weights, bias, a frame a thread. */
static void finish_prepare(egi_kernel *out, direct *d)
{
    const int64_t vectors = (d->out + EGI_LANES - 1) / EGI_LANES * EGI_LANES;
    d->packed = d->transposed || d->out % EGI_LANES;
    d->width = d->packed ? vectors : d->out;
    d->bias_at = d->packed ? (d->n_taps * d->in * d->width + 15) / 16 * 16 : 0;
    d->frames_at = d->bias_at + (vectors + 15) / 16 * 16;
    d->parts = egi_direct_parts(d->samples, d->threads);
    const int64_t frames = egi_direct_copies(&d->frame) ? d->threads * egi_direct_frame_size(&d->frame) : 0;
    out->scratch_bytes = (size_t)(d->frames_at + frames) * sizeof(float);
    out->state = d;
    out->run = run;
    out->destroy = destroy;
}

static eg_status begin(egi_device *device, direct **out, int64_t positions)
{
    direct *d;
    EG_TRY(egi_alloc(&d, device->context, 1, sizeof *d));
    d->threads = device->context->threads;
    eg_status status = egi_alloc(&d->runs, device->context, positions, sizeof *d->runs);
    if (status == EG_OK)
        status = egi_alloc(&d->taps, device->context, positions, sizeof *d->taps);
    if (status != EG_OK) {
        egi_free(device->context, d->runs);
        egi_free(device->context, d);
        return status;
    }
    *out = d;
    return EG_OK;
}

/* Appends a kernel position to a pass: `at` is where the frame meets it; positions that follow one another become one
 * run. */
static void add_position(direct *d, egi_direct_pass *p, int64_t at, int32_t tap)
{
    egi_direct_run *run = (egi_direct_run *)p->runs + p->n_runs - 1;
    if (p->n_runs && run->at + run->count == at) {
        run->count += (int32_t)d->in;
    } else {
        run[1] = (egi_direct_run){.at = (int32_t)at, .count = (int32_t)d->in};
        p->n_runs++;
    }
    d->taps[d->n_taps++] = tap;
}

eg_status egi_cpu_conv2d_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &t[a->y].shape);
    const egi_conv_geometry *g = &a->g;
    if (!egi_cpu_is_f32(out) || !egi_direct_suits(&s, g))
        return EGI_CPU_DECLINE;
    direct *d;
    EG_TRY(begin(device, &d, s.kh * s.kw));
    d->in = s.c;
    d->out = s.f;
    d->samples = s.n;
    d->y_size = s.oh * s.ow * s.f;
    d->x = t[a->x].data;
    d->w = t[a->w].data;
    d->b = a->b == EGI_NONE ? NULL : t[a->b].data;
    d->y = t[a->y].data;
    d->act = a->act;
    d->alpha = a->alpha;
    const int64_t need_h = (s.oh - 1) * g->stride[0] + (s.kh - 1) * g->dilation[0] + 1;
    const int64_t need_w = (s.ow - 1) * g->stride[1] + (s.kw - 1) * g->dilation[1] + 1;
    const bool inside = g->pad[0] == 0 && g->pad[1] == 0 && need_h <= s.h && need_w <= s.w;
    d->frame = (egi_direct_frame){.h = s.h,
                                  .w = s.w,
                                  .c = s.c,
                                  .top = g->pad[0],
                                  .left = g->pad[1],
                                  .ph = inside ? s.h : need_h,
                                  .pw = inside ? s.w : need_w};
    const int64_t row = d->frame.pw * s.c;
    egi_direct_pass *p = &d->passes[d->n_passes++];
    *p = (egi_direct_pass){.rows = s.oh,
                           .cols = s.ow,
                           .in_row = g->stride[0] * row,
                           .in_col = g->stride[1] * s.c,
                           .out_row = s.ow * s.f,
                           .out_col = s.f,
                           .runs = d->runs};
    for (int64_t ki = 0; ki < s.kh; ki++)
        for (int64_t kj = 0; kj < s.kw; kj++)
            add_position(d, p, ki * g->dilation[0] * row + kj * g->dilation[1] * s.c, (int32_t)(ki * s.kw + kj));
    finish_prepare(out, d);
    return EG_OK;
}

/* --- the input's gradient ----------------------------------------------------------------------------------------- */

/* Along one axis: does kernel position `k` meet phase `phase`? *shift: output position minus the count of strides. */
static bool meets(const egi_conv_geometry *g, int axis, int64_t phase, int64_t k, int64_t *shift)
{
    const int64_t at = phase + g->pad[axis] - k * g->dilation[axis], stride = g->stride[axis];
    *shift = at / stride;
    return at % stride == 0;
}

/* Zeros wanted before and after dy along one axis, so that every read lies inside. */
static void margins(const egi_conv_geometry *g, int axis, int64_t in, int64_t kernel, int64_t out, int64_t *before,
                    int64_t *after)
{
    *before = *after = 0;
    for (int64_t phase = 0; phase < g->stride[axis] && phase < in; phase++)
        for (int64_t k = 0; k < kernel; k++) {
            int64_t shift;
            if (!meets(g, axis, phase, k, &shift))
                continue;
            const int64_t last = shift + (in - 1 - phase) / g->stride[axis];
            if (-shift > *before)
                *before = -shift;
            if (last - (out - 1) > *after)
                *after = last - (out - 1);
        }
}

static void add_phase(direct *d, const egi_conv_dims *s, const egi_conv_geometry *g, int64_t a, int64_t b)
{
    egi_direct_pass *p = &d->passes[d->n_passes++];
    const int64_t row = d->frame.pw * s->f;
    *p = (egi_direct_pass){.rows = (s->h - a + g->stride[0] - 1) / g->stride[0],
                           .cols = (s->w - b + g->stride[1] - 1) / g->stride[1],
                           .in_row = row,
                           .in_col = s->f,
                           .out = (a * s->w + b) * s->c,
                           .out_row = g->stride[0] * s->w * s->c,
                           .out_col = g->stride[1] * s->c,
                           .runs = d->runs + d->n_taps,
                           .weights = d->n_taps * s->f};
    int64_t i, j;
    for (int64_t ki = s->kh - 1; ki >= 0; ki--)
        for (int64_t kj = s->kw - 1; kj >= 0; kj--)
            if (meets(g, 0, a, ki, &i) && meets(g, 1, b, kj, &j))
                add_position(d, p, (i + d->frame.top) * row + (j + d->frame.left) * s->f, (int32_t)(ki * s->kw + kj));
}

eg_status egi_cpu_conv2d_dx_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->dx].shape, &t[a->w].shape, &t[a->dy].shape);
    const egi_conv_geometry *g = &a->g;
    if (!egi_cpu_is_f32(out) || !egi_direct_suits(&s, g))
        return EGI_CPU_DECLINE;
    direct *d;
    EG_TRY(begin(device, &d, s.kh * s.kw));
    d->in = s.f;
    d->out = s.c;
    d->transposed = true;
    d->samples = s.n;
    d->y_size = s.h * s.w * s.c;
    d->x = t[a->dy].data;
    d->w = t[a->w].data;
    d->y = t[a->dx].data;
    int64_t bottom, right;
    d->frame = (egi_direct_frame){.h = s.oh, .w = s.ow, .c = s.f};
    margins(g, 0, s.h, s.kh, s.oh, &d->frame.top, &bottom);
    margins(g, 1, s.w, s.kw, s.ow, &d->frame.left, &right);
    d->frame.ph = d->frame.top + s.oh + bottom;
    d->frame.pw = d->frame.left + s.ow + right;
    for (int64_t i = 0; i < g->stride[0] && i < s.h; i++)
        for (int64_t j = 0; j < g->stride[1] && j < s.w; j++)
            add_phase(d, &s, g, i, j);
    finish_prepare(out, d);
    return EG_OK;
}
