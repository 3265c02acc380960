/* The gradient towards the input of a convolution that is pooled. The winners of one window reach a patch of the input
 * together: its rows are summed in registers, over those channels whose gradient is not zero, and added to the image
 * once. Weights are packed with zeros around, so that wherever in the window a channel won, its weights cover the
 * patch.
 */
#include "core/cpu/winners.h"

#include <string.h>

#define MAX_VECTORS 6
#define ROWS        2

typedef struct winners {
    egi_direct_frame frame;
    int64_t frame_size;          /* floats of a thread's, with room for a last vector */
    int64_t rows, vectors;       /* of a patch */
    int64_t row, in_row, in_col; /* in the frame: from row to row and from window to window */
    int64_t kh, len, c, f, pooled[2], samples;
    int64_t above, beside;                  /* places of a window, less one: zeros around the weights */
    int64_t channel;                        /* floats of one channel's packed weights */
    int64_t frames_at, lists_at, list_size; /* floats; in the scratch, behind the packed weights */
    const float *dy, *w;
    const uint8_t *index;
    float *dx;
    int32_t place[]; /* where the packed weights for a place begin */
} winners;

/* --- kernels ------------------------------------------------------------------------------------------------------ */

/* Some rows of a window's patch. */
typedef struct tile {
    const egi_winner *list, *end;
    const float *w;
    int64_t step, row; /* from row to row of the weights and of the image */
    float *x;
} tile;

static inline EGI_SIMD_BODY void tile_any(const tile *t, const int rows, const int vectors)
{
    egi_vec sum[ROWS][MAX_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (egi_vec){0};
    for (const egi_winner *at = t->list; at < t->end; at++) {
        const float *w = t->w + at->at, d = at->d;
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] += d * *(const egi_vec_at *)(w + r * t->step + v * EGI_LANES);
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            *(egi_vec_at *)(t->x + r * t->row + v * EGI_LANES) += sum[r][v];
}

/* The same rows of the patches of all windows of a sample. ends: where the windows' lists end. */
typedef struct band {
    const egi_winner *list, *const *ends;
    int64_t down, across, in_row, in_col; /* windows, and how far apart in the image */
    tile t;
} band;

static inline EGI_SIMD_BODY void band_any(const band *b, const int rows, const int vectors)
{
    tile t = b->t;
    const egi_winner *const *end = b->ends;
    t.list = b->list;
    for (int64_t i = 0; i < b->down; i++)
        for (int64_t j = 0; j < b->across; j++, t.list = *end++) {
            t.x = b->t.x + i * b->in_row + j * b->in_col;
            t.end = *end;
            tile_any(&t, rows, vectors);
        }
}

static inline EGI_SIMD_BODY void band_run_body(const band *b, int64_t rows, int64_t vectors)
{
#define OF(v)                     \
    case v:                       \
        if (rows == ROWS)         \
            band_any(b, ROWS, v); \
        else                      \
            band_any(b, 1, v);    \
        break;
    switch (vectors) {
        OF(1)
        OF(2)
        OF(3)
        OF(4)
        OF(5)
        OF(6)
    }
#undef OF
}
EGI_SIMD(band_run, (const band *b, int64_t rows, int64_t vectors), (b, rows, vectors))

/* --- one sample --------------------------------------------------------------------------------------------------- */

/* Lists each window's winners, and where its list ends. */
static void list_winners(const winners *s, int64_t sample, egi_winner *list, const egi_winner **ends)
{
    const int64_t windows = s->pooled[0] * s->pooled[1], f = s->f;
    const float *dy = s->dy + sample * windows * f;
    const uint8_t *index = s->index + sample * windows * f;
    const int32_t *place = s->place, channel = (int32_t)s->channel;
    for (int64_t i = 0; i < windows; i++, dy += f, index += f) {
        for (int64_t c = 0; c < f; c++) {
            *list = (egi_winner){.at = place[index[c]] + (int32_t)c * channel, .d = dy[c]}; /* stays if not zero */
            list += dy[c] != 0;
        }
        ends[i] = list;
    }
}

static void add_sample(const winners *s, const float *packed, const egi_winner *list, const egi_winner *const *ends,
                       float *frame)
{
    const int64_t step = s->vectors * EGI_LANES;
    band b = {.list = list,
              .ends = ends,
              .down = s->pooled[0],
              .across = s->pooled[1],
              .in_row = s->in_row,
              .in_col = s->in_col,
              .t = {.step = step, .row = s->row}};
    for (int64_t v = 0; v < s->vectors; v += MAX_VECTORS)
        for (int64_t r = 0; r < s->rows; r += ROWS) { /* few rows of the weights, for all windows */
            b.t.w = packed + r * step + v * EGI_LANES;
            b.t.x = frame + r * s->row + v * EGI_LANES;
            band_run(&b, s->rows - r < ROWS ? 1 : ROWS, s->vectors - v < MAX_VECTORS ? s->vectors - v : MAX_VECTORS);
        }
}

/* The image without its border: with a stride of 1 the frame holds all of it. */
static void copy_out(const winners *s, const float *frame, float *dx)
{
    const egi_direct_frame *f = &s->frame;
    for (int64_t i = 0; i < f->h; i++)
        memcpy(dx + i * f->w * f->c, frame + ((f->top + i) * f->pw + f->left) * f->c,
               (size_t)(f->w * f->c) * sizeof *dx);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/* For each column of the window and each channel: rows of zeros, the kernel's rows, as far in as the column says, and
 * rows of zeros. */
static void pack(const winners *s, float *packed)
{
    const int64_t step = s->vectors * EGI_LANES;
    memset(packed, 0, (size_t)((s->beside + 1) * s->f * s->channel) * sizeof *packed);
    for (int64_t b = 0; b <= s->beside; b++)
        for (int64_t f = 0; f < s->f; f++, packed += s->channel)
            for (int64_t r = 0; r < s->kh; r++)
                for (int64_t l = 0; l < s->len; l++)
                    packed[(s->above + r) * step + b * s->c + l] = s->w[(r * s->len + l) * s->f + f];
}

typedef struct job {
    const winners *s;
    float *scratch;
    int64_t pieces;
} job;

static void run_piece(void *arg, int64_t piece, int thread)
{
    const job *j = arg;
    const winners *s = j->s;
    float *frame = j->scratch + s->frames_at + thread * s->frame_size;
    float *lists = j->scratch + s->lists_at + thread * s->list_size;
    const egi_winner **ends = (const egi_winner **)lists;
    egi_winner *list = (egi_winner *)(ends + s->pooled[0] * s->pooled[1]);
    int64_t from, to;
    egi_team_share(s->samples, 1, piece, j->pieces, &from, &to);
    for (int64_t i = from; i < to; i++) {
        memset(frame, 0, (size_t)s->frame_size * sizeof *frame);
        list_winners(s, i, list, ends);
        add_sample(s, j->scratch, list, ends, frame);
        copy_out(s, frame, s->dx + i * s->frame.h * s->frame.w * s->frame.c);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const winners *s = k->state;
    const int64_t cost = s->pooled[0] * s->pooled[1] * s->f * s->rows * s->vectors;
    job j = {.s = s, .scratch = k->scratch, .pieces = egi_cpu_pieces(k, s->samples, cost)};
    pack(s, k->scratch);
    egi_cpu_run(k, j.pieces, run_piece, &j);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

static void geometry(winners *s, const egi_conv_dims *d, const egi_conv_geometry *g, const egi_pool_geometry *pool)
{
    s->frame = egi_direct_frame_of(d, g);
    s->row = s->frame.pw * d->c;
    s->in_row = pool->stride[0] * s->row;
    s->in_col = pool->stride[1] * d->c;
    s->kh = d->kh;
    s->len = d->kw * d->c;
    s->c = d->c;
    s->above = pool->window[0] - 1;
    s->beside = pool->window[1] - 1;
    s->rows = s->above + d->kh;
    s->vectors = (s->beside * d->c + s->len + EGI_LANES - 1) / EGI_LANES;
    s->channel = (2 * s->above + d->kh) * s->vectors * EGI_LANES;
    s->frame_size = egi_direct_frame_size(&s->frame) + 16;
    for (int64_t i = 0; i < pool->window[0]; i++)
        for (int64_t j = 0; j < pool->window[1]; j++)
            s->place[i * pool->window[1] + j] =
                (int32_t)(j * d->f * s->channel + (s->above - i) * s->vectors * EGI_LANES);
}

/* A larger window or a longer stride would make patches of mostly zeros. */
static bool suits(const egi_kernel *k, const egi_conv_dims *d, const egi_conv_geometry *g, const egi_conv_pool *pool,
                  const egi_shape *dy)
{
    return egi_winners_suit(k, d, g, pool, dy) && pool->g.window[0] <= 2 && pool->g.window[1] <= 2 &&
           g->stride[0] == 1 && g->stride[1] == 1 && g->dilation[0] == 1 && d->kh > 2 && d->kw > 2;
}

eg_status egi_cpu_conv2d_dx_winners(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    const egi_tensor *t = out->t, *dy = &t[a->dy];
    const egi_conv_dims d = egi_conv_dims_of(&t[a->dx].shape, &t[a->w].shape, &dy->shape, &a->pool);
    if (a->index == EGI_NONE || !suits(out, &d, &a->g, &a->pool, &dy->shape))
        return EGI_CPU_DECLINE;
    const int64_t windows = dy->shape.dim[1] * dy->shape.dim[2], places = a->pool.g.window[0] * a->pool.g.window[1];
    winners *s;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s + (size_t)places * sizeof *s->place));
    s->samples = d.n;
    s->f = d.f;
    s->pooled[0] = dy->shape.dim[1];
    s->pooled[1] = dy->shape.dim[2];
    s->dy = dy->data;
    s->index = t[a->index].data;
    s->w = t[a->w].data;
    s->dx = t[a->dx].data;
    geometry(s, &d, &a->g, &a->pool.g);
    s->frames_at = egi_round_up((s->beside + 1) * d.f * s->channel, 16);
    s->lists_at = s->frames_at + out->threads * s->frame_size;
    const size_t list = (size_t)windows * sizeof(egi_winner *) + (size_t)(windows * d.f + 1) * sizeof(egi_winner);
    s->list_size = egi_round_up((int64_t)(list / sizeof(float)), 16);
    out->scratch_bytes = (size_t)(s->lists_at + out->threads * s->list_size) * sizeof(float);
    out->run = run;
    return EG_OK;
}
