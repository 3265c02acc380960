/* Batches: stored bytes become what the network sees. Nothing allocates: this runs in every training step. */
#include "core/cpu/gather.h"
#include "core/team.h"
#include "data/preprocess.h"

#define PARALLEL_FROM (1 << 16) /* numbers in a batch below which a second thread costs more than it saves */

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

eg_status egi_batch_gather(egi_gather *out, const eg_dataset *d, int input, const egi_preprocess *p,
                           const egi_shape *wanted)
{
    EG_TRY(egi_dataset_fits(d, input, wanted));
    const egi_shape *s = &d->shape[input];
    out->affine = egi_preprocess_affine(p);
    if (out->affine.channels == 3 && (s->rank < 1 || s->dim[s->rank - 1] != 3)) {
        char words[160];
        egi_preprocess_print(p, words, sizeof words);
        return egi_fail(EG_ERR_SHAPE, "%s: preprocessing %s wants 3 channels, the data set has examples of %s", d->name,
                        words, egi_shape_format(s).s);
    }
    return EG_OK;
}

/* Examples of a batch, cut into pieces. */
typedef struct filling {
    const egi_conversion *c;
    const void *x;
    const int64_t *index;
    int64_t count, pieces;
    const egi_augmenting *augmenting; /* NULL: examples as they are */
    float *dst;
} filling;

static void fill_example(const filling *f, int64_t i)
{
    float *to = f->dst + i * f->c->n;
    if (!f->augmenting) {
        egi_conversion_run(f->c, f->x, f->index[i], NULL, to);
        return;
    }
    const egi_augmenting *a = f->augmenting;
    const egi_augmentation drawn = egi_augment_draw(a->how, a->control, a->row + i);
    egi_conversion_run(f->c, f->x, f->index[i], &drawn, to);
}

static void fill_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const filling *f = arg;
    int64_t from, to;
    egi_team_share(f->count, 1, piece, f->pieces, &from, &to);
    for (int64_t i = from; i < to; i++) {
        if (i + EGI_CONVERSION_AHEAD < to)
            egi_conversion_fetch(f->c, f->x, f->index[i + EGI_CONVERSION_AHEAD]);
        fill_example(f, i);
    }
}

static eg_status fill(const eg_dataset *d, int input, const egi_conversion *c, filling *f)
{
    for (int64_t i = 0; i < f->count; i++)
        if (f->index[i] < 0 || f->index[i] >= d->n)
            return egi_fail(EG_ERR_ARG, "%s: no example %lld, the set has %lld", d->name, (long long)f->index[i],
                            (long long)d->n);
    f->c = c;
    f->x = d->x[input];
    f->pieces = f->count * c->n >= PARALLEL_FROM ? 2 * (int64_t)d->context->threads : 1;
    egi_team_run(d->context->team, d->context->threads, f->pieces, fill_piece, f);
    return EG_OK;
}

static eg_status make_conversion(egi_conversion *c, const eg_dataset *d, int input, const egi_preprocess *p,
                                 const egi_shape *wanted)
{
    egi_gather how = {0};
    EG_TRY(egi_batch_gather(&how, d, input, p, wanted));
    egi_conversion_make(c, &how.affine, d->dtype[input], egi_shape_count(&d->shape[input]));
    return EG_OK;
}

eg_status egi_batch_fill(const eg_dataset *d, int input, const int64_t *index, int64_t count, const egi_preprocess *p,
                         const egi_shape *wanted, float *dst)
{
    egi_conversion c;
    filling f = {.index = index, .count = count, .dst = dst};
    EG_TRY(make_conversion(&c, d, input, p, wanted));
    return fill(d, input, &c, &f);
}

eg_status egi_batch_augment(const eg_dataset *d, int input, const int64_t *index, int64_t count,
                            const egi_preprocess *p, const egi_shape *wanted, const egi_augmenting *how, float *dst)
{
    egi_conversion c;
    filling f = {.index = index, .count = count, .augmenting = how, .dst = dst};
    EG_TRY(make_conversion(&c, d, input, p, wanted));
    if (!egi_picture_of(&d->shape[input], wanted, &c.picture))
        return egi_fail(EG_ERR_SHAPE, "%s: data.augment: wanted images, (h, w) or (h, w, c), found examples of %s",
                        d->name, egi_shape_format(&d->shape[input]).s);
    return fill(d, input, &c, &f);
}
