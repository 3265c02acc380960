/* Convolution and max pooling of 2 x 2 in one, where channels are too few to fill a vector: vectors run along the
 * pooled pixels instead. The image's even and odd columns lie apart, so that what eight windows side by side read for
 * one tap is a vector; the four places of the windows stay in registers, and only the largest leaves them. */
#include "core/cpu/direct.h"
#include "core/cpu/pool.h"

#include <string.h>

#define GROUP    3 /* channels whose sums stay in registers, for the four places */
#define PLACES   4
#define CHANNELS 9 /* room for EGI_LANES channels in whole groups */

typedef struct few {
    egi_direct_frame frame;
    int64_t half, frame_size; /* floats of a row of even (or odd) columns; of a thread's image */
    int64_t f, groups, taps, samples, oh, ow;
    const egi_tensor *x; /* its address may change from run to run */
    const float *w, *b;
    float *y;
    uint8_t *index;
    egi_act act;
    float alpha;
    int64_t frames_at; /* floats; behind the packed weights in the scratch */
    int64_t at[];      /* for each tap, where the left and the right places of the first window begin */
} few;

/* --- kernels ------------------------------------------------------------------------------------------------------ */

/* Eight windows side by side for one group of channels. w: (taps + 1, GROUP), the bias last. */
static inline EGI_SIMD_BODY void group_of_windows(const few *s, const float *image, const float *w, egi_vec *best,
                                                  egi_ivec *place)
{
    egi_vec sum[PLACES][GROUP];
    const float *bias = w + s->taps * GROUP;
    for (int c = 0; c < GROUP; c++)
        for (int p = 0; p < PLACES; p++)
            sum[p][c] = (egi_vec){0} + bias[c];
    const float *below = image + 2 * s->half;
    for (int64_t t = 0; t < s->taps; t++, w += GROUP)
        for (int p = 0; p < PLACES; p++) {
            const egi_vec x = *(const egi_vec_at *)((p < 2 ? image : below) + s->at[2 * t + p % 2]);
            for (int c = 0; c < GROUP; c++)
                sum[p][c] += x * w[c];
        }
    for (int c = 0; c < GROUP; c++) {
        place[c] = (egi_ivec){0};
        for (int p = 0; p < PLACES; p++)
            egi_direct_activate(&sum[p][c], s->act, s->alpha);
        best[c] = sum[0][c];
        for (int p = 1; p < PLACES; p++)
            egi_pool_take(&sum[p][c], p, &best[c], &place[c], true);
    }
}

/* Eight pixels of `f` channels side by side; a whole vector may be written for the first `room` of them. */
static inline EGI_SIMD_BODY void put_pixels(const egi_vec *v, int64_t f, int64_t room, float *y)
{
    if (room >= EGI_LANES) {
        for (int j = 0; j < EGI_LANES; j++)
            *(egi_vec_at *)(y + j * f) = v[j];
        return;
    }
    for (int j = 0; j < EGI_LANES; j++)
        memcpy(y + j * f, &v[j], (size_t)(j < room ? EGI_LANES : f) * sizeof *y);
}

/* The same of their places, a byte each: place[c][j] becomes byte c of pixel j. */
static inline EGI_SIMD_BODY void put_places(const egi_ivec *place, int64_t f, int64_t room, uint8_t *index)
{
    const egi_ivec low = place[0] | place[1] << 8 | place[2] << 16 | place[3] << 24,
                   high = place[4] | place[5] << 8 | place[6] << 16 | place[7] << 24;
    union {
        egi_ivec v[2];
        uint8_t bytes[EGI_LANES][EGI_LANES];
    } pixels = {{EGI_SHUFFLE(low, high, 0, 8, 1, 9, 2, 10, 3, 11), EGI_SHUFFLE(low, high, 4, 12, 5, 13, 6, 14, 7, 15)}};
    for (int j = 0; j < EGI_LANES; j++)
        if (room >= EGI_LANES)
            memcpy(index + j * f, pixels.bytes[j], EGI_LANES);
        else
            memcpy(index + j * f, pixels.bytes[j], (size_t)f);
}

/* Eight windows side by side, all channels: from vectors along the windows to vectors along the channels. */
static inline EGI_SIMD_BODY void windows_body(const few *s, const float *image, const float *w, float *y,
                                              uint8_t *index, int64_t room)
{
    egi_vec best[CHANNELS];
    egi_ivec place[CHANNELS];
    for (int64_t g = 0; g < s->groups; g++)
        group_of_windows(s, image, w + g * (s->taps + 1) * GROUP, best + g * GROUP, place + g * GROUP);
    for (int64_t c = s->groups * GROUP; c < EGI_LANES; c++) {
        best[c] = (egi_vec){0};
        place[c] = (egi_ivec){0};
    }
    egi_vec_transpose(best);
    put_pixels(best, s->f, room, y);
    if (index)
        put_places(place, s->f, room, index);
}
EGI_SIMD(windows, (const few *s, const float *image, const float *w, float *y, uint8_t *index, int64_t room),
         (s, image, w, y, index, room))

static inline EGI_SIMD_BODY void every_other_body(const float *x, int64_t n, int64_t step, float *to)
{
    if (step == 2)
        for (int64_t i = 0; i < n; i++)
            to[i] = x[2 * i];
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = x[i * step];
}
EGI_SIMD(every_other, (const float *x, int64_t n, int64_t step, float *to), (x, n, step, to))

/* --- one sample --------------------------------------------------------------------------------------------------- */

/* Copies the inside of the image: (c, row, even and odd, half). */
static void split_columns(const few *s, const float *x, float *image)
{
    const egi_direct_frame *f = &s->frame;
    const int64_t rows = f->h < f->ph - f->top ? f->h : f->ph - f->top;
    const int64_t cols = f->w < f->pw - f->left ? f->w : f->pw - f->left;
    for (int64_t c = 0; c < f->c; c++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t first = 0; first < 2 && first < cols; first++) {
                const int64_t at = f->left + first;
                every_other(x + (i * f->w + first) * f->c + c, (cols - first + 1) / 2, 2 * f->c,
                            image + ((c * f->ph + f->top + i) * 2 + at % 2) * s->half + at / 2);
            }
}

/* One row of the output. end: of what this thread may write. */
static void pooled_row(const few *s, const float *image, const float *w, int64_t row, int64_t i, const float *end)
{
    for (int64_t j = 0; j < s->ow; j += EGI_LANES) {
        const int64_t first = j + EGI_LANES <= s->ow ? j : s->ow - EGI_LANES; /* some are done twice */
        const int64_t at = (row * s->ow + first) * s->f, room = end - (s->y + at) - EGI_LANES;
        windows(s, image + i * 4 * s->half + first, w, s->y + at, s->index ? s->index + at : NULL,
                room < 0 ? 0 : room / s->f + 1);
    }
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void pack(const few *s, float *packed)
{
    for (int64_t g = 0; g < s->groups; g++)
        for (int64_t t = 0; t <= s->taps; t++)
            for (int64_t f = g * GROUP; f < (g + 1) * GROUP; f++) {
                const float *from = t < s->taps ? s->w + t * s->f : s->b;
                *packed++ = from && f < s->f ? from[f] : 0;
            }
}

typedef struct job {
    const few *s;
    float *scratch;
    int64_t pieces, parts; /* of the samples; of each of them */
} job;

static void run_piece(void *arg, int64_t piece, int thread)
{
    const job *j = arg;
    const few *s = j->s;
    float *image = j->scratch + s->frames_at + thread * s->frame_size;
    int64_t from, to;
    egi_team_share(s->samples * s->oh, 1, piece, j->pieces, &from, &to);
    memset(image, 0, (size_t)s->frame_size * sizeof *image);
    for (int64_t row = from; row < to; row++) {
        const int64_t sample = row / s->oh, i = row % s->oh;
        if (row == from || i == 0)
            split_columns(s, (const float *)s->x->data + sample * s->frame.h * s->frame.w * s->frame.c, image);
        pooled_row(s, image, j->scratch, row, i, s->y + to * s->ow * s->f);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const few *s = k->state;
    job j = {.s = s, .scratch = k->scratch};
    j.pieces = egi_cpu_pieces(k, s->samples * s->oh, s->ow * s->f * s->taps);
    pack(s, k->scratch);
    egi_cpu_run(k, j.pieces, run_piece, &j);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

/* Few channels, and 2 x 2 windows side by side that no edge cuts. */
static bool suits(const egi_kernel *k, const egi_conv_dims *d, const egi_conv2d_maxpool *a, const egi_shape *y)
{
    const egi_pool_geometry *p = &a->pool.g;
    bool good = egi_cpu_is_f32(k) && egi_direct_suits(d, &a->g) && egi_direct_activates(a->act);
    for (int i = 0; i < 2; i++)
        good = good && p->window[i] == 2 && p->stride[i] == 2 && p->pad[i] == 0 && a->g.stride[i] == 1 &&
               a->g.dilation[i] == 1 && 2 * y->dim[1 + i] <= a->pool.size[i];
    return good && d->c <= 4 && d->f < EGI_LANES && y->dim[2] >= EGI_LANES;
}

static void geometry(few *s, const egi_conv_dims *d, const egi_conv_geometry *g)
{
    s->frame = egi_direct_frame_of(d, g);
    s->half = (s->frame.pw + 1) / 2;
    s->frame_size = egi_round_up(s->frame.c * s->frame.ph * 2 * s->half + EGI_LANES, 16);
    for (int64_t t = 0; t < s->taps; t++) {
        const int64_t c = t % d->c, kj = t / d->c % d->kw, ki = t / (d->c * d->kw);
        for (int64_t right = 0; right < 2; right++) {
            const int64_t col = kj + right;
            s->at[2 * t + right] = ((c * s->frame.ph + ki) * 2 + col % 2) * s->half + col / 2;
        }
    }
}

eg_status egi_cpu_conv2d_maxpool_few(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_maxpool *a = out->args;
    const egi_tensor *t = out->t, *y = &t[a->y];
    const egi_conv_dims d = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &y->shape, &a->pool);
    if (!suits(out, &d, a, &y->shape))
        return EGI_CPU_DECLINE;
    few *s;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s + 2 * (size_t)(d.kh * d.kw * d.c) * sizeof *s->at));
    *s = (few){.f = d.f,
               .groups = (d.f + GROUP - 1) / GROUP,
               .taps = d.kh * d.kw * d.c,
               .samples = d.n,
               .oh = y->shape.dim[1],
               .ow = y->shape.dim[2],
               .x = &t[a->x],
               .w = t[a->w].data,
               .b = t[a->b].data,
               .y = y->data,
               .index = t[a->index].data,
               .act = a->act,
               .alpha = a->alpha};
    geometry(s, &d, &a->g);
    s->frames_at = egi_round_up(s->groups * GROUP * (s->taps + 1), 16);
    out->scratch_bytes = (size_t)(s->frames_at + out->threads * s->frame_size) * sizeof(float);
    out->run = run;
    return EG_OK;
}
