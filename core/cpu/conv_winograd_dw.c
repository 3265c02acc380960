/* The gradient of a 3x3 kernel: each tile of the input with its tile of dy, summed over tiles before it is turned back.
 */
#include "core/cpu/product.h"
#include "core/cpu/winograd.h"

#include <string.h>

typedef struct wino_dw {
    egi_wino_tiles s; /* of x */
    int64_t c, f, oh, ow, samples, shares;
    const float *x, *dy;
    float *dw, *db;
    int64_t sums, room; /* floats of a share: (place, c, f), then the bias; of a thread: frame, tiles of x and dy */
} wino_dw;

/* --- dy ----------------------------------------------------------------------------------------------------------- */

/* A = (1 0; 1 1; 1 -1; 0 -1) of two vectors. */
static inline EGI_SIMD_BODY void rows_of_a(const egi_vec *y, egi_vec *t)
{
    t[0] = y[0];
    t[1] = y[0] + y[1];
    t[2] = y[0] - y[1];
    t[3] = -y[1];
}

/* A dy A' of eight channels; `place`: floats from one place to the next. */
static inline EGI_SIMD_BODY void gradient_tile(const egi_vec *dy, float *to, int64_t place)
{
    egi_vec half[4][2], t[4];
    for (int j = 0; j < 2; j++) {
        const egi_vec column[2] = {dy[j], dy[2 + j]};
        rows_of_a(column, t);
        for (int i = 0; i < 4; i++)
            half[i][j] = t[i];
    }
    for (int i = 0; i < 4; i++) {
        rows_of_a(half[i], t);
        for (int j = 0; j < 4; j++)
            *(egi_vec_at *)(to + (4 * i + j) * place) = t[j];
    }
}

/* Tiles [from, from + n) of a sample's dy into panels of two vectors, the last maybe of one: (place, panel, tile, .).
 * Adds up the bias. What stands over the edge is zero. */
static inline EGI_SIMD_BODY void gradients_body(const wino_dw *d, const float *dy, int64_t from, int64_t n, float *to,
                                                float *bias)
{
    const int64_t row = d->ow * d->f, place = d->s.block * d->f;
    for (int64_t t = 0; t < n; t++) {
        const int64_t i = (from + t) / d->s.tw * 2, j = (from + t) % d->s.tw * 2;
        const float *at = dy + i * row + j * d->f;
        const bool below = i + 1 < d->oh, right = j + 1 < d->ow;
        for (int64_t k = 0; k < d->f; k += EGI_LANES) {
            const int64_t panel = k / (2 * EGI_LANES) * (2 * EGI_LANES);
            const int64_t width = d->f - panel > EGI_LANES ? 2 * EGI_LANES : EGI_LANES;
            egi_vec four[4] = {*(const egi_vec_at *)(at + k), {0}, {0}, {0}};
            if (right)
                four[1] = *(const egi_vec_at *)(at + d->f + k);
            if (below)
                four[2] = *(const egi_vec_at *)(at + row + k);
            if (below && right)
                four[3] = *(const egi_vec_at *)(at + row + d->f + k);
            gradient_tile(four, to + panel * n + t * width + k % (2 * EGI_LANES), place);
            *(egi_vec_at *)(bias + k) += (four[0] + four[1]) + (four[2] + four[3]);
        }
    }
}
EGI_SIMD(gradients, (const wino_dw *d, const float *dy, int64_t from, int64_t n, float *to, float *bias),
         (d, dy, from, n, to, bias))

/* --- a share of the samples --------------------------------------------------------------------------------------- */

static void add_sample(const wino_dw *d, const float *frame, const float *dy, float *v, float *sums)
{
    float *g = v + EGI_WINO * d->s.block * d->c;
    const int64_t all = d->s.th * d->s.tw;
    for (int64_t n, from = 0; from < all; from += n) {
        n = all - from < d->s.block ? all - from : d->s.block;
        egi_wino_input(&d->s, frame, from, n, d->s.block, v);
        gradients(d, dy, from, n, g, sums + EGI_WINO * d->c * d->f);
        for (int p = 0; p < EGI_WINO; p++)
            egi_cpu_multiply_panels(&(egi_panels){.a = v + p * d->s.block * d->c,
                                                  .row = 1,
                                                  .next = 6,
                                                  .col = d->c,
                                                  .panels = g + p * d->s.block * d->f,
                                                  .c = sums + p * d->c * d->f,
                                                  .ldc = d->f,
                                                  .rows = d->c,
                                                  .cols = d->f,
                                                  .k = n,
                                                  .add = true});
    }
}

typedef struct job {
    const wino_dw *d;
    float *scratch; /* the shares' sums, then the threads' rooms */
} job;

static void run_share(void *arg, int64_t share, int thread)
{
    const job *j = arg;
    const wino_dw *d = j->d;
    float *sums = j->scratch + share * d->sums, *frame = j->scratch + d->shares * d->sums + thread * d->room;
    int64_t from, to;
    egi_team_share(d->samples, 1, share, d->shares, &from, &to);
    memset(sums, 0, (size_t)d->sums * sizeof *sums);
    egi_direct_frame_clear(&d->s.frame, frame);
    for (int64_t n = from; n < to; n++) {
        egi_direct_frame_fill(&d->s.frame, d->x + n * d->s.frame.h * d->s.frame.w * d->c, frame);
        add_sample(d, frame, d->dy + n * d->oh * d->ow * d->f, frame + egi_direct_frame_size(&d->s.frame), sums);
    }
}

/* --- turning back ------------------------------------------------------------------------------------------------- */

/* G' = (1 1/2 1/2 0; 0 1/2 -1/2 0; 0 1/2 1/2 1) of four vectors. */
static inline EGI_SIMD_BODY void rows_of_g(const egi_vec *m, egi_vec *t)
{
    const egi_vec sum = 0.5f * (m[1] + m[2]);
    t[0] = m[0] + sum;
    t[1] = 0.5f * (m[1] - m[2]);
    t[2] = sum + m[3];
}

static inline EGI_SIMD_BODY void kernel_tile(const egi_vec *m, float *w, int64_t tap)
{
    egi_vec half[3][4], t[3];
    for (int j = 0; j < 4; j++) {
        const egi_vec column[4] = {m[j], m[4 + j], m[8 + j], m[12 + j]};
        rows_of_g(column, t);
        for (int i = 0; i < 3; i++)
            half[i][j] = t[i];
    }
    for (int i = 0; i < 3; i++) {
        rows_of_g(half[i], t);
        for (int j = 0; j < 3; j++)
            *(egi_vec_at *)(w + (3 * i + j) * tap) = t[j];
    }
}

/* Floats [begin, end) of a place, (c, f) in all, in whole vectors. */
static inline EGI_SIMD_BODY void turn_back_body(const wino_dw *d, const float *sums, int64_t begin, int64_t end)
{
    const int64_t place = d->c * d->f;
    for (int64_t at = begin; at < end; at += EGI_LANES) {
        egi_vec m[EGI_WINO];
        for (int p = 0; p < EGI_WINO; p++) {
            m[p] = *(const egi_vec_at *)(sums + p * place + at);
            for (int64_t i = 1; i < d->shares; i++)
                m[p] += *(const egi_vec_at *)(sums + i * d->sums + p * place + at);
        }
        kernel_tile(m, d->dw + at, place);
    }
}
EGI_SIMD(turn_back, (const wino_dw *d, const float *sums, int64_t begin, int64_t end), (d, sums, begin, end))

static void turn_back_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    turn_back(k->state, k->scratch, begin * EGI_LANES, end * EGI_LANES);
}

static void turn_back_bias(const wino_dw *d, const float *sums)
{
    const float *bias = sums + EGI_WINO * d->c * d->f;
    for (int64_t j = 0; j < d->f; j++) {
        d->db[j] = bias[j];
        for (int64_t i = 1; i < d->shares; i++)
            d->db[j] += bias[i * d->sums + j];
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const wino_dw *d = k->state;
    egi_cpu_run(k, d->shares, run_share, &(job){.d = d, .scratch = k->scratch});
    egi_cpu_split(k, control, d->c * d->f / EGI_LANES, EGI_WINO * EGI_LANES * d->shares, turn_back_part);
    if (d->db)
        turn_back_bias(d, k->scratch);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

eg_status egi_cpu_conv2d_dw_winograd(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dw *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->dw].shape, &t[a->dy].shape, &a->pool);
    if (a->index != EGI_NONE || !egi_cpu_is_f32(out) || !egi_wino_suits(&s, &a->g) || s.n < out->threads)
        return EGI_CPU_DECLINE;
    wino_dw *d;
    EG_TRY(egi_cpu_state(&d, device, out, sizeof *d));
    *d = (wino_dw){.s = egi_wino_tiles_of(s.h, s.w, s.c, s.oh, s.ow, a->g.pad[0], a->g.pad[1]),
                   .c = s.c,
                   .f = s.f,
                   .oh = s.oh,
                   .ow = s.ow,
                   .samples = s.n,
                   .shares = out->threads,
                   .x = t[a->x].data,
                   .dy = t[a->dy].data,
                   .dw = t[a->dw].data,
                   .db = t[a->db].data};
    const int64_t most = 48; /* with more, the tiles leave the second cache; with fewer, the sums come and go */
    d->s.block = egi_wino_block(s.c, 32 * 1024);
    d->s.block = d->s.block < most ? d->s.block : most;
    d->sums = EGI_WINO * s.c * s.f + s.f;
    d->room = egi_direct_frame_size(&d->s.frame) + EGI_WINO * d->s.block * (s.c + s.f);
    out->scratch_bytes = (size_t)(d->shares * d->sums + out->threads * d->room) * sizeof(float);
    out->run = run;
    return EG_OK;
}
