#include "core/cpu/update.h"

#include <string.h>

typedef struct piece {
    int segment;
    int64_t begin, end;
} piece;

typedef struct state {
    egi_update_kernel run_piece;
    int64_t n;
    piece *pieces;
    double *sums; /* one a piece, so that their order is fixed */
} state;

static int64_t count_pieces(const egi_update *a)
{
    int64_t n = 0;
    for (int i = 0; i < a->n_segments; i++)
        n += (a->segments[i].end - a->segments[i].begin + EGI_UPDATE_PIECE - 1) / EGI_UPDATE_PIECE;
    return n;
}

static void cut(const egi_update *a, piece *pieces)
{
    for (int i = 0; i < a->n_segments; i++)
        for (int64_t at = a->segments[i].begin; at < a->segments[i].end; at += EGI_UPDATE_PIECE) {
            const int64_t end = at + EGI_UPDATE_PIECE;
            *pieces++ = (piece){.segment = i, .begin = at, .end = end < a->segments[i].end ? end : a->segments[i].end};
        }
}

static egi_update_factors factors_of(const egi_update *a, const egi_segment *s, const egi_update_rates *r, double lr)
{
    return (egi_update_factors){
        .l1 = (float)s->l1,
        .l2 = (float)s->l2,
        .strength = (float)r->strength,
        .clip = (float)r->clip,
        .decay = (float)(lr * s->weight_decay),
        .lr = (float)lr,
        .momentum = (float)a->momentum,
        .one_minus_beta1 = (float)(1 - a->beta1),
        .one_minus_beta2 = (float)(1 - a->beta2),
        .alpha = (float)(lr * r->adam),
        .epsilon = (float)a->epsilon,
        .rho = (float)a->rho,
        .one_minus_rho = (float)(1 - a->rho),
    };
}

static int penalties_of(const egi_update *a, const egi_segment *s, double strength)
{
    const int bits = (s->l1 != 0 || s->l2 != 0 ? EGI_UPDATE_WEIGHTS : 0) | (strength != 0 ? EGI_UPDATE_ANCHOR : 0);
    return bits && a->penalty ? bits | EGI_UPDATE_PENALTY : bits;
}

static float *stream(const egi_kernel *k, egi_val v, int64_t at)
{
    return v == EGI_NONE ? NULL : (float *)k->t[v].data + at;
}

/* The average, of the weights that the piece has just left in the cache: no optimizer is compiled twice for it. */
static inline EGI_SIMD_BODY void average_body(float *ema, const float *w, int64_t n, float keep, float take)
{
    if (keep == 0) { /* what it was is not looked at */
        memcpy(ema, w, (size_t)n * sizeof *ema);
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        ema[i] = keep * ema[i] + take * w[i];
}
EGI_SIMD(average, (float *ema, const float *w, int64_t n, float keep, float take), (ema, w, n, keep, take))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    const egi_update *a = k->args;
    const state *st = k->state;
    const egi_update_rates r = egi_update_rates_of(a, k->t, control);
    const bool averages = a->ema && k->op != &egi_op_update_norm;
    for (int64_t i = begin; i < end; i++) {
        const piece *p = &st->pieces[i];
        const egi_segment *s = &a->segments[p->segment];
        const egi_update_factors f = factors_of(a, s, &r, control->lr * s->lr_scale);
        const egi_update_span span = {
            .w = stream(k, a->w, p->begin),
            .m = stream(k, a->m, p->begin),
            .v = stream(k, a->v, p->begin),
            .grad = stream(k, a->grad, p->begin),
            .anchor = stream(k, a->anchor, p->begin),
            .omega = stream(k, a->omega, p->begin),
            .n = p->end - p->begin,
        };
        st->run_piece(&span, &f, penalties_of(a, s, r.strength), &st->sums[i]);
        if (averages)
            average(stream(k, a->ema, p->begin), span.w, span.n, (float)r.keep, (float)(1 - r.keep));
    }
}

static double run_pieces(const egi_kernel *k, const egi_control *control)
{
    const state *st = k->state;
    egi_cpu_split(k, control, st->n, EGI_UPDATE_PIECE, part);
    double sum = 0;
    for (int64_t i = 0; i < st->n; i++)
        sum += st->sums[i];
    return sum;
}

static eg_status run_update(const egi_kernel *k, const egi_control *control)
{
    const egi_update *a = k->args;
    const double sum = run_pieces(k, control);
    if (a->penalty)
        *(float *)k->t[a->penalty].data = (float)sum;
    return EG_OK;
}

static eg_status run_norm(const egi_kernel *k, const egi_control *control)
{
    const egi_update *a = k->args;
    *(float *)k->t[a->norm].data = (float)sqrt(run_pieces(k, control));
    return EG_OK;
}

eg_status egi_update_prepare(egi_device *device, egi_kernel *out, egi_update_kernel run_piece)
{
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_update *a = out->args;
    const int64_t n = count_pieces(a);
    state *st;
    EG_TRY(egi_cpu_state(&st, device, out, sizeof *st + (size_t)n * (sizeof(piece) + sizeof(double))));
    st->run_piece = run_piece;
    st->n = n;
    st->sums = (double *)(st + 1);
    st->pieces = (piece *)(st->sums + n);
    cut(a, st->pieces);
    out->run = out->op == &egi_op_update_norm ? run_norm : run_update;
    return EG_OK;
}
