/* Batches: stored bytes become what the network sees. Nothing allocates: this runs in every training step. */
#include "core/team.h"
#include "data/preprocess.h"

#include <string.h>

#define PARALLEL_FROM (1 << 16) /* numbers in a batch below which a second thread costs more than it saves */
#define AHEAD         12        /* examples that are fetched while one is converted: they lie anywhere in memory */
#define AHEAD_BYTES   4096      /* of each: the processor sees where it goes on */
#define LINE          64

/* How stored element e of channel e % channels becomes element e of the batch. */
typedef struct conversion {
    const egi_preprocess *p;
    int channels; /* 1, or 3 where channels are treated apart */
    bool bgr;
    egi_affine affine;   /* one channel */
    float table[3][256]; /* three, bytes: all that can happen */
} conversion;

static bool equal_without_last_one(const egi_shape *longer, const egi_shape *shorter)
{
    if (longer->rank != shorter->rank + 1 || longer->dim[longer->rank - 1] != 1)
        return false;
    for (int i = 0; i < shorter->rank; i++)
        if (longer->dim[i] != shorter->dim[i] && longer->dim[i] >= 0 && shorter->dim[i] >= 0)
            return false;
    return true;
}

/* A negative dimension of the network means any size. */
static bool equal_or_any(const egi_shape *stored, const egi_shape *wanted)
{
    if (stored->rank != wanted->rank)
        return false;
    for (int i = 0; i < stored->rank; i++)
        if (wanted->dim[i] >= 0 && stored->dim[i] != wanted->dim[i])
            return false;
    return true;
}

static bool fits(const egi_shape *stored, const egi_shape *wanted)
{
    if (equal_or_any(stored, wanted) || equal_without_last_one(stored, wanted) ||
        equal_without_last_one(wanted, stored))
        return true;
    for (int i = 0; i < wanted->rank; i++)
        if (wanted->dim[i] < 0)
            return false;
    if (egi_shape_count(stored) != egi_shape_count(wanted))
        return false;
    /* to a flat vector; and from one to an image of one channel, where rows after rows is the only order there is */
    return wanted->rank == 1 || (stored->rank == 1 && wanted->rank == 3 && wanted->dim[2] == 1);
}

eg_status egi_dataset_fits(const eg_dataset *d, int input, const egi_shape *wanted)
{
    if (input < 0 || input >= d->n_inputs)
        return egi_fail(EG_ERR_SHAPE, "%s: the network wants input %d, the data set has %d", d->name, input,
                        d->n_inputs);
    if (fits(&d->shape[input], wanted))
        return EG_OK;
    return egi_fail(EG_ERR_SHAPE, "%s: the network's input %d wants examples of %s, the data set has %s", d->name,
                    input, egi_shape_format(wanted).s, egi_shape_format(&d->shape[input]).s);
}

static eg_status plan_conversion(conversion *c, const eg_dataset *d, int input, const egi_preprocess *p)
{
    const egi_shape *s = &d->shape[input];
    c->p = p;
    c->bgr = p && p->bgr;
    c->channels = p && (p->channels == 3 || p->bgr) ? 3 : 1;
    if (c->channels == 3 && (s->rank < 1 || s->dim[s->rank - 1] != 3)) {
        char words[160];
        egi_preprocess_print(p, words, sizeof words);
        return egi_fail(EG_ERR_SHAPE, "%s: preprocessing %s wants 3 channels, the data set has examples of %s", d->name,
                        words, egi_shape_format(s).s);
    }
    c->affine = egi_preprocess_affine(p);
    for (int k = 0; k < 3 && c->channels == 3 && d->dtype[input] == EGI_U8; k++)
        for (int v = 0; v < 256; v++)
            c->table[k][v] = egi_preprocess_value(p, k, (float)v);
    return EG_OK;
}

static void convert_bytes(const conversion *c, const uint8_t *restrict from, float *restrict to, int64_t n)
{
    if (c->channels == 1) {
        const egi_affine a = c->affine;
        for (int64_t i = 0; i < n; i++)
            to[i] = ((float)from[i] - a.before) / a.by - a.after;
        return;
    }
    const int first = c->bgr ? 2 : 0, last = 2 - first;
    for (int64_t i = 0; i < n; i += 3) {
        to[i] = c->table[0][from[i + first]];
        to[i + 1] = c->table[1][from[i + 1]];
        to[i + 2] = c->table[2][from[i + last]];
    }
}

static void convert_floats(const conversion *c, const float *restrict from, float *restrict to, int64_t n)
{
    if (!c->p || c->p->kind == EGI_PRE_NONE) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    if (c->channels == 1) {
        const egi_affine a = c->affine;
        for (int64_t i = 0; i < n; i++)
            to[i] = (from[i] - a.before) / a.by - a.after;
        return;
    }
    for (int64_t i = 0; i < n; i += 3)
        for (int k = 0; k < 3; k++)
            to[i + k] = egi_preprocess_value(c->p, k, from[i + (c->bgr ? 2 - k : k)]);
}

static int64_t example_bytes(const eg_dataset *d, int input, int64_t n)
{
    return n * (d->dtype[input] == EGI_U8 ? 1 : (int64_t)sizeof(float));
}

/* Into the second cache: what is fetched into the first one waits for one of its few places for misses. */
static void fetch_example(const eg_dataset *d, int input, int64_t example, int64_t bytes)
{
    const char *from = (const char *)d->x[input] + example * bytes;
    for (int64_t at = 0; at < bytes && at < AHEAD_BYTES; at += LINE)
        __builtin_prefetch(from + at, 0, 2);
}

static void convert_example(const conversion *c, const eg_dataset *d, int input, int64_t example, float *to, int64_t n)
{
    if (d->dtype[input] == EGI_U8)
        convert_bytes(c, (const uint8_t *)d->x[input] + example * n, to, n);
    else
        convert_floats(c, (const float *)d->x[input] + example * n, to, n);
}

/* Examples of a batch, `n` values each, cut into pieces. */
typedef struct filling {
    const conversion *c;
    const eg_dataset *d;
    const int64_t *index;
    int input;
    int64_t count, n, pieces;
    float *dst;
} filling;

static void fill_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const filling *f = arg;
    int64_t from, to;
    const int64_t bytes = example_bytes(f->d, f->input, f->n);
    egi_team_share(f->count, 1, piece, f->pieces, &from, &to);
    for (int64_t i = from; i < to; i++) {
        if (i + AHEAD < to)
            fetch_example(f->d, f->input, f->index[i + AHEAD], bytes);
        convert_example(f->c, f->d, f->input, f->index[i], f->dst + i * f->n, f->n);
    }
}

eg_status egi_batch_fill(const eg_dataset *d, int input, const int64_t *index, int64_t count, const egi_preprocess *p,
                         const egi_shape *wanted, float *dst)
{
    conversion c;
    EG_TRY(egi_dataset_fits(d, input, wanted));
    EG_TRY(plan_conversion(&c, d, input, p));
    for (int64_t i = 0; i < count; i++)
        if (index[i] < 0 || index[i] >= d->n)
            return egi_fail(EG_ERR_ARG, "%s: no example %lld, the set has %lld", d->name, (long long)index[i],
                            (long long)d->n);
    const int64_t n = egi_shape_count(&d->shape[input]);
    filling f = {.c = &c, .d = d, .input = input, .index = index, .count = count, .n = n, .dst = dst};
    f.pieces = count * n >= PARALLEL_FROM ? 2 * (int64_t)d->context->threads : 1;
    egi_team_run(d->context->team, d->context->threads, f.pieces, fill_piece, &f);
    return EG_OK;
}
