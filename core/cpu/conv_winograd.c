/* 3x3 convolutions forward, and towards the input, which is the same with the kernel turned round. */
#include "core/cpu/product.h"
#include "core/cpu/winograd.h"

#include <string.h>

typedef struct wino {
    egi_wino_tiles s;
    int64_t in, out, oh, ow, samples, parts; /* in, out: channels that are read and written */
    bool turned;
    const egi_tensor *x; /* its address may change from run to run */
    const float *w, *b, *r;
    float *y;
    egi_act act;
    float alpha;
    float *kept;                   /* transformed weights that outlive a run, or NULL: they begin the scratch */
    int64_t version, u_size, room; /* room: floats of a thread: frame, tiles, products */
} wino;

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1) of three vectors. */
static inline EGI_SIMD_BODY void rows_of_g(const egi_vec *g, egi_vec *t)
{
    const egi_vec ends = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
    t[0] = g[0];
    t[1] = ends + middle;
    t[2] = ends - middle;
    t[3] = g[2];
}

/* G g G' for eight filters side by side: u[place]. `tap`: floats between the kernel's places; turned: from the last. */
static inline EGI_SIMD_BODY void kernel_tile(const float *w, int64_t tap, bool turned, egi_vec *u)
{
    egi_vec g[4][3], t[4];
    for (int j = 0; j < 3; j++) {
        egi_vec column[3];
        for (int i = 0; i < 3; i++)
            column[i] = *(const egi_vec_at *)(w + (turned ? 8 - (3 * i + j) : 3 * i + j) * tap);
        rows_of_g(column, t);
        for (int i = 0; i < 4; i++)
            g[i][j] = t[i];
    }
    for (int i = 0; i < 4; i++) {
        rows_of_g(g[i], t);
        for (int j = 0; j < 4; j++)
            u[4 * i + j] = t[j];
    }
}

/* Where row `i` of columns [j, j + 8) of a place lies in panels of two vectors, the last maybe of one. */
static inline int64_t panel_at(const wino *d, int64_t i, int64_t j)
{
    const int64_t panel = j / (2 * EGI_LANES) * (2 * EGI_LANES);
    const int64_t width = d->out - panel > EGI_LANES ? 2 * EGI_LANES : EGI_LANES;
    return panel * d->in + i * width + j % (2 * EGI_LANES);
}

/* The kernel is (3, 3, c, f): rows are inputs, or turned, outputs of the sums. */
static inline EGI_SIMD_BODY void weights_body(const wino *d, float *to)
{
    const int64_t c = d->turned ? d->out : d->in, f = d->turned ? d->in : d->out, place = d->in * d->out;
    for (int64_t i = 0; i < c; i += EGI_LANES)
        for (int64_t j = 0; j < f; j += EGI_LANES) {
            egi_vec u[EGI_LANES][EGI_WINO];
            for (int r = 0; r < EGI_LANES; r++)
                kernel_tile(d->w + (i + r) * f + j, c * f, d->turned, u[r]);
            for (int p = 0; p < EGI_WINO; p++) {
                egi_vec rows[EGI_LANES];
                for (int r = 0; r < EGI_LANES; r++)
                    rows[r] = u[r][p];
                if (d->turned)
                    egi_vec_transpose(rows);
                for (int r = 0; r < EGI_LANES; r++)
                    *(egi_vec_at *)(to + p * place + (d->turned ? panel_at(d, j + r, i) : panel_at(d, i + r, j))) =
                        rows[r];
            }
        }
}
EGI_SIMD(weights, (const wino *d, float *to), (d, to))

static const float *weights_of(wino *d, float *scratch, int64_t version)
{
    if (d->kept && d->version == version)
        return d->kept;
    weights(d, d->kept ? d->kept : scratch);
    d->version = version;
    return d->kept ? d->kept : scratch;
}

/* --- output ------------------------------------------------------------------------------------------------------- */

/* A' = (1 1 1 0; 0 1 -1 -1) of four vectors. */
static inline EGI_SIMD_BODY void rows_of_a(const egi_vec *m, egi_vec *y)
{
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
}

/* A' m A + b of eight channels. */
static inline EGI_SIMD_BODY void output_tile(const float *m, int64_t place, const egi_vec *b, egi_vec *y)
{
    egi_vec half[2][4], t[2];
    for (int j = 0; j < 4; j++) {
        egi_vec column[4];
        for (int i = 0; i < 4; i++)
            column[i] = *(const egi_vec_at *)(m + (4 * i + j) * place);
        rows_of_a(column, t);
        half[0][j] = t[0];
        half[1][j] = t[1];
    }
    for (int i = 0; i < 2; i++) {
        rows_of_a(half[i], t);
        for (int j = 0; j < 2; j++)
            y[2 * i + j] = t[j] + *b;
    }
}

/* The activation of what is there and, where it is not NULL, of the residual. */
static inline EGI_SIMD_BODY void put(const wino *d, const float *r, egi_vec *v, float *y)
{
    if (r)
        *v += *(const egi_vec_at *)r;
    egi_direct_activate(v, d->act, d->alpha);
    *(egi_vec_at *)y = *v;
}

static inline EGI_SIMD_BODY void output_body(const wino *d, const float *m, int64_t from, int64_t n, float *y)
{
    const int64_t place = d->s.block * d->out, row = d->ow * d->out;
    for (int64_t t = 0; t < n; t++) {
        const int64_t i = (from + t) / d->s.tw * 2, j = (from + t) % d->s.tw * 2;
        float *at = y + i * row + j * d->out;
        const float *r = d->r ? d->r + (at - d->y) : NULL;
        const bool below = i + 1 < d->oh, right = j + 1 < d->ow;
        for (int64_t k = 0; k < d->out; k += EGI_LANES) {
            egi_vec four[4], b = d->b ? (egi_vec) * (const egi_vec_at *)(d->b + k) : (egi_vec){0};
            output_tile(m + t * d->out + k, place, &b, four);
            for (int p = 0; p < 4; p++) {
                const int64_t pixel = (p / 2) * row + (p % 2) * d->out + k;
                if ((p < 2 || below) && (p % 2 == 0 || right))
                    put(d, r ? r + pixel : NULL, &four[p], at + pixel);
            }
        }
    }
}
EGI_SIMD(output, (const wino *d, const float *m, int64_t from, int64_t n, float *y), (d, m, from, n, y))

/* --- running ------------------------------------------------------------------------------------------------------ */

/* Tiles [from, to) of one framed sample. */
static void tiles(const wino *d, const float *frame, const float *u, int64_t from, int64_t to, float *v, float *y)
{
    float *m = v + EGI_WINO * d->s.block * d->in;
    for (int64_t n; from < to; from += n) {
        n = to - from < d->s.block ? to - from : d->s.block;
        egi_wino_input(&d->s, frame, from, n, d->s.block, v);
        for (int p = 0; p < EGI_WINO; p++)
            egi_cpu_multiply_panels(&(egi_panels){.a = v + p * d->s.block * d->in,
                                                  .row = d->in,
                                                  .next = 6 * d->in,
                                                  .col = 1,
                                                  .panels = u + p * d->in * d->out,
                                                  .c = m + p * d->s.block * d->out,
                                                  .ldc = d->out,
                                                  .rows = n,
                                                  .cols = d->out,
                                                  .k = d->in});
        output(d, m, from, n, y);
    }
}

/* Samples, or rows of tiles of one, cut into pieces. */
typedef struct job {
    const wino *d;
    const float *u;
    float *rooms; /* one a thread */
    int64_t units, pieces;
} job;

static void run_piece(void *arg, int64_t piece, int thread)
{
    const job *j = arg;
    const wino *d = j->d;
    float *frame = j->rooms + thread * d->room, *v = frame + egi_direct_frame_size(&d->s.frame);
    int64_t from, to;
    egi_team_share(j->units, 1, piece, j->pieces, &from, &to);
    egi_direct_frame_clear(&d->s.frame, frame);
    for (int64_t u = from; u < to; u++) {
        const int64_t sample = u / d->parts;
        int64_t begin, end;
        egi_team_share(d->s.th, 1, u % d->parts, d->parts, &begin, &end);
        egi_direct_frame_fill(&d->s.frame, (const float *)d->x->data + sample * d->s.frame.h * d->s.frame.w * d->in,
                              frame);
        tiles(d, frame, j->u, begin * d->s.tw, end * d->s.tw, v, d->y + sample * d->oh * d->ow * d->out);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    wino *d = k->state;
    float *scratch = k->scratch;
    job j = {.d = d, .units = d->samples * d->parts};
    j.u = weights_of(d, scratch, control->weights_version);
    j.rooms = scratch + (d->kept ? 0 : d->u_size);
    j.pieces = egi_cpu_pieces(k, j.units, d->oh * d->ow * d->in * d->out / d->parts);
    egi_cpu_run(k, j.pieces, run_piece, &j);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

static void destroy(egi_device *device, egi_kernel *k)
{
    wino *d = k->state;
    egi_free(device->context, d->kept);
    egi_free(device->context, d);
}

static eg_status prepare(egi_device *device, egi_kernel *out, const wino *values)
{
    wino *d;
    EG_TRY(egi_alloc(&d, device->context, 1, sizeof *d));
    *d = *values;
    d->version = -1; /* of no weights */
    d->s.block = egi_wino_block(d->in, 8 * 1024);
    d->parts = egi_direct_parts(d->samples, out->threads);
    d->u_size = EGI_WINO * d->in * d->out;
    d->room = egi_direct_frame_size(&d->s.frame) + EGI_WINO * d->s.block * (d->in + d->out);
    out->state = d;
    if (!d->turned) {
        const eg_status status = egi_alloc(&d->kept, device->context, d->u_size, sizeof *d->kept);
        if (status != EG_OK) {
            destroy(device, out);
            return status;
        }
    }
    out->scratch_bytes = (size_t)((d->kept ? 0 : d->u_size) + out->threads * d->room) * sizeof(float);
    out->run = run;
    out->destroy = destroy;
    return EG_OK;
}

eg_status egi_cpu_conv2d_winograd(egi_device *device, egi_kernel *out)
{
    const egi_conv2d *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->x].shape, &t[a->w].shape, &t[a->y].shape, NULL);
    if (!egi_cpu_is_f32(out) || !egi_wino_suits(&s, &a->g) || !egi_direct_activates(a->act))
        return EGI_CPU_DECLINE;
    return prepare(device, out,
                   &(wino){.s = egi_wino_tiles_of(s.h, s.w, s.c, s.oh, s.ow, a->g.pad[0], a->g.pad[1]),
                           .in = s.c,
                           .out = s.f,
                           .oh = s.oh,
                           .ow = s.ow,
                           .samples = s.n,
                           .x = &t[a->x],
                           .w = t[a->w].data,
                           .b = t[a->b].data,
                           .r = t[a->r].data,
                           .y = t[a->y].data,
                           .act = a->act,
                           .alpha = a->alpha});
}

eg_status egi_cpu_conv2d_dx_winograd(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    const egi_tensor *t = out->t;
    const egi_conv_dims s = egi_conv_dims_of(&t[a->dx].shape, &t[a->w].shape, &t[a->dy].shape, &a->pool);
    if (a->index != EGI_NONE || !egi_cpu_is_f32(out) || !egi_wino_suits(&s, &a->g))
        return EGI_CPU_DECLINE;
    return prepare(device, out,
                   &(wino){.s = egi_wino_tiles_of(s.oh, s.ow, s.f, s.h, s.w, 2 - a->g.pad[0], 2 - a->g.pad[1]),
                           .in = s.f,
                           .out = s.c,
                           .oh = s.h,
                           .ow = s.w,
                           .samples = s.n,
                           .turned = true,
                           .x = &t[a->dy],
                           .w = t[a->w].data,
                           .y = t[a->dx].data});
}
