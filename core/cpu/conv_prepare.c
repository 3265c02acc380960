/* Turns a convolution, or its gradient towards the input, into passes of the direct kernel. */
#include "core/cpu/winograd.h"

static void destroy(egi_device *device, egi_kernel *k)
{
    egi_direct *d = k->state;
    egi_free(device->context, d->runs);
    egi_free(device->context, d->taps);
    egi_free(device->context, d->kept);
    egi_free(device->context, d);
}

static eg_status begin(egi_device *device, egi_direct **out, int64_t positions)
{
    egi_direct *d;
    EG_TRY(egi_alloc(&d, device->context, 1, sizeof *d));
    d->version = -1; /* of no weights */
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
static void add_position(egi_direct *d, egi_direct_pass *p, int64_t at, int64_t tap)
{
    egi_direct_run *runs = d->runs + (p->runs - d->runs), *last = runs + p->n_runs - 1;
    if (p->n_runs && last->at + last->count == at)
        last->count += (int32_t)d->in;
    else
        runs[p->n_runs++] = (egi_direct_run){.at = (int32_t)at, .count = (int32_t)d->in};
    d->taps[d->n_taps++] = (int32_t)tap;
}

/* Vectors along the channels leave lanes empty where channels are few; vectors along the rows cost a tenth more for
 * their sums. */
static egi_direct_layout layout_of(const egi_direct *d)
{
    if (d->in % EGI_LANES == 0 && 11 * egi_round_up(d->out, EGI_DIRECT_DOTS) < 10 * egi_round_up(d->out, EGI_LANES))
        return EGI_DIRECT_BY_ROWS;
    return !d->transposed && d->out <= 2 * EGI_LANES && d->out % EGI_LANES == 0 ? EGI_DIRECT_PLAIN : EGI_DIRECT_BLOCKS;
}

/* What is known once the passes are: layout, room for weights, bias and a frame a thread. */
static eg_status finish(egi_device *device, egi_kernel *out, egi_direct *d)
{
    const int64_t vectors = egi_round_up(d->out, EGI_LANES), rows = d->n_taps * d->in;
    const int64_t cache = 24 * 1024; /* floats of input that the second cache holds beside weights and output */
    d->layout = layout_of(d);
    if (d->layout != EGI_DIRECT_PLAIN)
        d->packed_size = rows * (d->layout == EGI_DIRECT_BLOCKS ? vectors : egi_round_up(d->out, EGI_DIRECT_DOTS));
    d->chunk = cache / d->passes[0].in_col > 96 ? cache / d->passes[0].in_col : 96;
    d->parts = egi_direct_parts(d->samples, out->threads);
    if (!d->transposed && d->packed_size) {
        const eg_status status = egi_alloc(&d->kept, device->context, d->packed_size, sizeof *d->kept);
        if (status != EG_OK) {
            out->state = d;
            destroy(device, out);
            return status;
        }
    }
    d->bias_at = d->kept ? 0 : egi_round_up(d->packed_size, 16);
    d->frames_at = d->bias_at + egi_round_up(vectors, 16);
    const int64_t frames =
        d->spreads || egi_direct_copies(&d->frame) ? out->threads * egi_direct_frame_size(&d->frame) : 0;
    out->scratch_bytes = (size_t)(d->frames_at + frames) * sizeof(float);
    out->state = d;
    out->run = egi_direct_run_kernel;
    out->destroy = destroy;
    return EG_OK;
}

/* --- forward ------------------------------------------------------------------------------------------------------ */

/* Without values; the caller adds them. */
static eg_status forward(egi_device *device, egi_kernel *out, const egi_conv_dims *s, const egi_conv_geometry *g,
                         egi_direct **made)
{
    if (!egi_cpu_is_f32(out) || !egi_direct_suits(s, g))
        return EGI_CPU_DECLINE;
    egi_direct *d;
    EG_TRY(begin(device, &d, s->kh * s->kw));
    *made = d;
    d->in = s->c;
    d->out = s->f;
    d->samples = s->n;
    d->y_size = s->oh * s->ow * s->f;
    d->frame = egi_direct_frame_of(s, g);
    const int64_t row = d->frame.pw * s->c;
    egi_direct_pass *p = &d->passes[d->n_passes++];
    *p = (egi_direct_pass){.rows = s->oh,
                           .cols = s->ow,
                           .in_row = g->stride[0] * row,
                           .in_col = g->stride[1] * s->c,
                           .out_row = s->ow * s->f,
                           .out_col = s->f,
                           .runs = d->runs};
    for (int64_t ki = 0; ki < s->kh; ki++)
        for (int64_t kj = 0; kj < s->kw; kj++)
            add_position(d, p, ki * g->dilation[0] * row + kj * g->dilation[1] * s->c, ki * s->kw + kj);
    return finish(device, out, d);
}

eg_status egi_cpu_conv2d_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &t[a->y].shape, NULL);
    egi_direct *d;
    EG_TRY(forward(device, out, &s, &a->g, &d));
    d->x = &t[a->x];
    d->w = t[a->w].data;
    d->b = t[a->b].data;
    d->r = t[a->r].data;
    d->y = t[a->y].data;
    d->act = a->act;
    d->alpha = a->alpha;
    return EG_OK;
}

/* Rows of the convolution that are made at a time: few, so that the first cache holds them, but enough to read the
 * weights for; each pixel with room for whole vectors where that is not much more. */
static void plan_bands(egi_direct *d, egi_kernel *out)
{
    const int64_t cache = 4 * 1024, enough = 96; /* floats; pixels */
    egi_direct_pass *p = &d->passes[0];
    const egi_pool_geometry *g = &d->pool->g;
    const int64_t vectors = egi_round_up(d->out, EGI_LANES);
    d->padded = 2 * vectors <= 3 * d->out;
    p->out_col = d->padded ? vectors : d->out;
    p->out_row = p->cols * p->out_col;
    const int64_t fit = cache / p->out_row, least = (enough + p->cols - 1) / p->cols, rows = fit > least ? fit : least;
    d->band = rows > g->window[0] ? (rows - g->window[0]) / g->stride[0] + 1 : 1;
    const int64_t most = (d->band - 1) * g->stride[0] + g->window[0], made = most < p->rows ? most : p->rows;
    d->band_size = egi_round_up(made * p->out_row + EGI_LANES, 16);
    d->bands_at = (int64_t)(out->scratch_bytes / sizeof(float));
    out->scratch_bytes += (size_t)(out->threads * d->band_size) * sizeof(float);
}

eg_status egi_cpu_conv2d_maxpool(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_maxpool *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &t[a->y].shape, &a->pool);
    if (s.kh * s.kw == 1 || egi_wino_suits(&s, &a->g)) /* two operations do better */
        return EGI_CPU_DECLINE;
    egi_direct *d;
    EG_TRY(forward(device, out, &s, &a->g, &d));
    d->x = &t[a->x];
    d->w = t[a->w].data;
    d->b = a->b == EGI_NONE ? NULL : t[a->b].data;
    d->y = t[a->y].data;
    d->act = a->act;
    d->alpha = a->alpha;
    d->pool = &a->pool;
    d->index = a->index == EGI_NONE ? NULL : t[a->index].data;
    d->pooled[0] = t[a->y].shape.dim[1];
    d->pooled[1] = t[a->y].shape.dim[2];
    plan_bands(d, out);
    out->run = egi_direct_run_pooled;
    return EG_OK;
}

/* --- towards the input -------------------------------------------------------------------------------------------- */

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

static void add_phase(egi_direct *d, const egi_conv_dims *s, const egi_conv_geometry *g, int64_t a, int64_t b)
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
                add_position(d, p, (i + d->frame.top) * row + (j + d->frame.left) * s->f, ki * s->kw + kj);
}

eg_status egi_cpu_conv2d_dx_direct(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->dx].shape, &t[a->w].shape, &t[a->dy].shape, &a->pool);
    const egi_conv_geometry *g = &a->g;
    if (!egi_cpu_is_f32(out) || !egi_direct_suits(&s, g))
        return EGI_CPU_DECLINE;
    egi_direct *d;
    EG_TRY(begin(device, &d, s.kh * s.kw));
    d->in = s.f;
    d->out = s.c;
    d->transposed = true;
    d->samples = s.n;
    d->y_size = s.h * s.w * s.c;
    d->x = &t[a->dy];
    d->w = t[a->w].data;
    d->y = t[a->dx].data;
    d->spreads = a->index != EGI_NONE;
    if (d->spreads) {
        d->pool = &a->pool;
        d->index = t[a->index].data;
        d->pooled[0] = t[a->dy].shape.dim[1];
        d->pooled[1] = t[a->dy].shape.dim[2];
    }
    int64_t bottom, right;
    d->frame = (egi_direct_frame){.h = s.oh, .w = s.ow, .c = s.f};
    margins(g, 0, s.h, s.kh, s.oh, &d->frame.top, &bottom);
    margins(g, 1, s.w, s.kw, s.ow, &d->frame.left, &right);
    d->frame.ph = d->frame.top + s.oh + bottom;
    d->frame.pw = d->frame.left + s.ow + right;
    for (int64_t i = 0; i < g->stride[0] && i < s.h; i++)
        for (int64_t j = 0; j < g->stride[1] && j < s.w; j++)
            add_phase(d, &s, g, i, j);
    return finish(device, out, d);
}
