/* The kernel's gradient, and its square a sample, of a convolution that is pooled: of each pooling window only the
 * pixel that won has a gradient, so only its part of the input counts. For a kernel row that part is a stretch of
 * floats, which meets a row of the sums that stays in registers. */
#include "core/cpu/winners.h"

#include <string.h>

#define MAX_VECTORS 4

typedef struct winners {
    egi_direct_frame frame;
    int64_t frame_size;          /* floats of a thread's, with room for a last vector */
    int64_t kh, len, vectors;    /* rows of the kernel, floats of one, the same in whole vectors */
    int64_t row, in_row, in_col; /* in the frame: from kernel row to kernel row, from window to window */
    int64_t f, pooled[2], samples, shares;
    int64_t sums, sums_at, lists_at; /* floats: of a share; places in the scratch */
    bool square;
    const float *x, *dy;
    const uint8_t *index;
    float *dw, *db;
    int32_t place[]; /* where the places of a window lie in the frame */
} winners;

/* --- kernels ------------------------------------------------------------------------------------------------------ */

/* All winners of one channel against `rows` rows of its sums. */
typedef struct tile {
    const egi_winner *list;
    int64_t n, row, step; /* step: from row to row of the sums */
    const float *x;
    float *sum;
    int64_t rows, vectors;
} tile;

static inline EGI_SIMD_BODY void tile_any(const tile *t, const int rows, const int vectors)
{
    egi_vec sum[5][MAX_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = *(const egi_vec_at *)(t->sum + r * t->step + v * EGI_LANES);
    const int64_t row = t->row;
    for (const egi_winner *w = t->list, *end = w + t->n; w < end; w++) {
        const float *x = t->x + w->at, d = w->d;
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] += d * *(const egi_vec_at *)(x + r * row + v * EGI_LANES);
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            *(egi_vec_at *)(t->sum + r * t->step + v * EGI_LANES) = sum[r][v];
}

static inline EGI_SIMD_BODY void tile_run_body(const tile *t)
{
#define OF(v, r)               \
    case (v)*8 + (r):          \
        tile_any(t, (r), (v)); \
        break;
#define UP_TO_3(v) OF(v, 1) OF(v, 2) OF(v, 3)
    switch (t->vectors * 8 + t->rows) {
        UP_TO_3(1)
        UP_TO_3(2)
        UP_TO_3(3)
        UP_TO_3(4)
        OF(1, 5)
    }
#undef UP_TO_3
#undef OF
}
EGI_SIMD(tile_run, (const tile *t), (t))

static inline EGI_SIMD_BODY void add_square_body(const float *x, int64_t n, float *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}
EGI_SIMD(add_square, (const float *x, int64_t n, float *sum), (x, n, sum))

/* --- one sample --------------------------------------------------------------------------------------------------- */

/* Lists the winners of channel `c` of a sample; returns how many. *total: the sum of their gradients. */
static int64_t list_winners(const winners *s, int64_t sample, int64_t c, egi_winner *list, float *total)
{
    const int64_t f = s->f, first = sample * s->pooled[0] * s->pooled[1] * f + c;
    const float *dy = s->dy + first;
    const uint8_t *index = s->index + first;
    const int32_t *place = s->place;
    egi_winner *next = list;
    float sum = 0;
    for (int64_t i = 0; i < s->pooled[0]; i++) {
        int32_t at = (int32_t)(i * s->in_row);
        for (int64_t j = 0; j < s->pooled[1]; j++, dy += f, index += f, at += (int32_t)s->in_col) {
            const float d = *dy;
            *next = (egi_winner){.at = at + place[*index], .d = d}; /* stays where d is not zero */
            next += d != 0;
            sum += d;
        }
    }
    *total = sum;
    return next - list;
}

/* Adds one channel's winners to its sums, (kh, vectors). */
static void channel(const winners *s, const float *frame, const egi_winner *list, int64_t n, float *sum)
{
    tile t = {.list = list, .n = n, .row = s->row, .step = s->vectors * EGI_LANES};
    for (int64_t v = 0; v < s->vectors; v += t.vectors) {
        t.vectors = s->vectors - v < MAX_VECTORS ? s->vectors - v : MAX_VECTORS;
        for (int64_t r = 0; r < s->kh; r += t.rows) {
            const int64_t left = s->kh - r;
            t.rows = t.vectors == 1 && left >= 5 ? 5 : left < 3 ? left : 3;
            t.x = frame + r * s->row + v * EGI_LANES;
            t.sum = sum + r * t.step + v * EGI_LANES;
            tile_run(&t);
        }
    }
}

/* Floats of the kernel's sums; those of the bias follow. */
static int64_t kernel_sums(const winners *s)
{
    return s->f * s->kh * s->vectors * EGI_LANES;
}

static void add_sample(const winners *s, int64_t sample, const float *frame, egi_winner *list, float *sums)
{
    float *bias = sums + kernel_sums(s);
    for (int64_t c = 0; c < s->f; c++) {
        float total;
        const int64_t n = list_winners(s, sample, c, list, &total);
        channel(s, frame, list, n, sums + c * s->kh * s->vectors * EGI_LANES);
        bias[c] += total;
    }
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static int64_t list_size(const winners *s) /* floats of a thread's */
{
    return (s->pooled[0] * s->pooled[1] + 1) / 2 * 4;
}

typedef struct job {
    const winners *s;
    float *scratch;
} job;

/* A share of the samples, with sums of its own. */
static void run_share(void *arg, int64_t piece, int thread)
{
    const job *j = arg;
    const winners *s = j->s;
    float *frame = j->scratch + thread * s->frame_size, *sums = j->scratch + s->sums_at + piece * s->sums;
    egi_winner *lists = (egi_winner *)(j->scratch + s->lists_at + thread * list_size(s));
    const int64_t all = kernel_sums(s) + s->f;
    int64_t from, to;
    egi_team_share(s->samples, 1, piece, s->shares, &from, &to);
    memset(sums, 0, (size_t)s->sums * sizeof *sums);
    memset(frame, 0, (size_t)s->frame_size * sizeof *frame);
    for (int64_t i = from; i < to; i++) {
        egi_direct_frame_fill(&s->frame, s->x + i * s->frame.h * s->frame.w * s->frame.c, frame);
        add_sample(s, i, frame, lists, sums);
        if (s->square) { /* the sample's gradient becomes its square, added behind */
            add_square(sums, all, sums + all);
            memset(sums, 0, (size_t)all * sizeof *sums);
        }
    }
}

/* The shares' sums of one element, in their order. */
static float total(const winners *s, const float *scratch, int64_t at)
{
    const float *sums = scratch + s->sums_at + (s->square ? s->sums / 2 : 0) + at;
    float sum = 0;
    for (int64_t i = 0; i < s->shares; i++)
        sum += sums[i * s->sums];
    return sum;
}

static inline void put(const winners *s, float *out, float value)
{
    *out = s->square ? *out + value : value;
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const winners *s = k->state;
    egi_cpu_run(k, s->shares, run_share, &(job){.s = s, .scratch = k->scratch});
    const int64_t step = s->vectors * EGI_LANES;
    for (int64_t r = 0; r < s->kh; r++)
        for (int64_t l = 0; l < s->len; l++)
            for (int64_t f = 0; f < s->f; f++)
                put(s, s->dw + (r * s->len + l) * s->f + f, total(s, k->scratch, (f * s->kh + r) * step + l));
    for (int64_t f = 0; s->db && f < s->f; f++)
        put(s, s->db + f, total(s, k->scratch, kernel_sums(s) + f));
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

bool egi_winners_suit(const egi_kernel *k, const egi_conv_dims *d, const egi_conv_geometry *g,
                      const egi_conv_pool *pool, const egi_shape *dy)
{
    bool inside = true;
    for (int i = 0; i < 2; i++)
        inside = inside && pool->g.pad[i] == 0 &&
                 (dy->dim[1 + i] - 1) * pool->g.stride[i] + pool->g.window[i] <= pool->size[i];
    return inside && egi_cpu_is_f32(k) && egi_direct_suits(d, g) && (g->dilation[1] == 1 || d->kw == 1);
}

static void geometry(winners *s, const egi_conv_dims *d, const egi_conv_geometry *g, const egi_pool_geometry *pool)
{
    s->frame = egi_direct_frame_of(d, g);
    s->frame_size = egi_direct_frame_size(&s->frame) + 16;
    const int64_t row = s->frame.pw * d->c, down = g->stride[0] * row, right = g->stride[1] * d->c;
    s->row = g->dilation[0] * row;
    s->in_row = pool->stride[0] * down;
    s->in_col = pool->stride[1] * right;
    for (int64_t i = 0; i < pool->window[0]; i++)
        for (int64_t j = 0; j < pool->window[1]; j++)
            s->place[i * pool->window[1] + j] = (int32_t)(i * down + j * right);
}

static eg_status prepare(egi_device *device, egi_kernel *out, const egi_conv_dims *d, const egi_conv_geometry *g,
                         const egi_conv_pool *pool, const winners *values, const egi_shape *dy)
{
    const int64_t places = pool->g.window[0] * pool->g.window[1];
    winners *s;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s + (size_t)places * sizeof *s->place));
    *s = *values;
    s->samples = d->n;
    s->f = d->f;
    s->kh = d->kh;
    s->len = d->kw * d->c;
    s->vectors = (s->len + EGI_LANES - 1) / EGI_LANES;
    s->pooled[0] = dy->dim[1];
    s->pooled[1] = dy->dim[2];
    geometry(s, d, g, &pool->g);
    s->shares = out->threads * (out->threads > 1 ? 2 : 1);
    s->sums = (kernel_sums(s) + s->f) * (s->square ? 2 : 1);
    s->sums_at = out->threads * s->frame_size;
    s->lists_at = egi_round_up(s->sums_at + s->shares * s->sums, 16);
    out->scratch_bytes = (size_t)(s->lists_at + out->threads * list_size(s)) * sizeof(float);
    out->run = run;
    return EG_OK;
}

eg_status egi_cpu_conv2d_dw_winners(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dw *a = out->args;
    const egi_tensor *t = out->t, *dy = &t[a->dy];
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->dw].shape, &dy->shape, &a->pool);
    if (a->index == EGI_NONE || !egi_winners_suit(out, &d, &a->g, &a->pool, &dy->shape))
        return EGI_CPU_DECLINE;
    const winners values = {
        .x = t[a->x].data, .dy = dy->data, .index = t[a->index].data, .dw = t[a->dw].data, .db = t[a->db].data};
    return prepare(device, out, &d, &a->g, &a->pool, &values, &dy->shape);
}

eg_status egi_cpu_conv2d_square_winners(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_square *a = out->args;
    const egi_tensor *t = out->t, *dy = &t[a->dy];
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->fw].shape, &dy->shape, &a->pool);
    if (a->index == EGI_NONE || !egi_winners_suit(out, &d, &a->g, &a->pool, &dy->shape))
        return EGI_CPU_DECLINE;
    const winners values = {.square = true,
                            .x = t[a->x].data,
                            .dy = dy->data,
                            .index = t[a->index].data,
                            .dw = t[a->fw].data,
                            .db = t[a->fb].data};
    return prepare(device, out, &d, &a->g, &a->pool, &values, &dy->shape);
}
