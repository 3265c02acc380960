/* What each example is for: training, selection (epoch, budget, early stopping), final figures. */
#include "finetune/run.h"

#include <string.h>

#define SPLIT_TEST   1 /* streams of the seed, so that the splits of a run are independent */
#define SPLIT_SELECT 2
#define SPLIT_LIMIT  3
#define SPLIT_CAP    4

static uint64_t stream_seed(const egi_run *run, int stream)
{
    return run->seed ^ (uint64_t)stream * 0x9E3779B97F4A7C15u;
}

void egi_part_release(egi_part *part, eg_context *context)
{
    egi_free(context, part->train_index);
    egi_free(context, part->select_index);
    egi_free(context, part->test_index);
    part->train_index = part->select_index = part->test_index = NULL;
}

/* A list of examples; NULL index: all of them. */
typedef struct list {
    int64_t *index, n;
} list;

static eg_status all_of(list *out, const eg_dataset *d)
{
    EG_TRY(egi_alloc(&out->index, d->context, d->n, sizeof *out->index));
    out->n = d->n;
    for (int64_t i = 0; i < d->n; i++)
        out->index[i] = i;
    return EG_OK;
}

/* Positions in `of` become the examples at them. */
static void through(list *l, const list *of)
{
    for (int64_t i = 0; i < l->n; i++)
        l->index[i] = of->index[l->index[i]];
}

eg_status egi_label_view(eg_dataset *out, const eg_dataset *d, const int64_t *index, int64_t n)
{
    eg_dataset view = *d;
    view.n = n;
    view.labels = NULL;
    for (int i = 0; i < EGI_INPUTS_MAX; i++)
        view.x[i] = NULL;
    if (d->labels) {
        EG_TRY(egi_alloc(&view.labels, d->context, n, sizeof *view.labels));
        for (int64_t i = 0; i < n; i++)
            view.labels[i] = d->labels[index[i]];
    }
    *out = view;
    return EG_OK;
}

/* Divides the examples of `from`: a share of each class goes to *second. */
static eg_status divide(list *first, list *second, const eg_dataset *d, const list *from, double share, uint64_t seed)
{
    eg_dataset some;
    list a = {NULL, 0}, b = {NULL, 0};
    EG_TRY(egi_label_view(&some, d, from->index, from->n));
    const eg_status status = egi_dataset_split(&a.index, &a.n, &b.index, &b.n, &some, share, seed);
    egi_free(d->context, some.labels);
    EG_TRY(status);
    through(&a, from);
    through(&b, from);
    *first = a;
    *second = b;
    return EG_OK;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* At most EGI_SELECT_MAX of a list, drawn with the seed, in stored order. */
static void cap(list *l, uint64_t seed)
{
    if (l->n <= EGI_SELECT_MAX)
        return;
    egi_rng rng = egi_rng_make(seed, EGI_RNG_SPLIT, SPLIT_CAP);
    egi_rng_shuffle(&rng, l->index, l->n);
    l->n = EGI_SELECT_MAX;
    qsort(l->index, (size_t)l->n, sizeof *l->index, by_value);
}

/* Only `limit` examples of a list, chosen by the buffer's rule: the list of the others is given up. */
static eg_status limit_to(egi_run *run, list *l, const eg_dataset *d, int64_t limit)
{
    eg_dataset some;
    list chosen = {NULL, 0};
    int kind = run->config->remember.buffer_kind;
    if (kind == EGI_BUFFER_HERDING) /* needs features, and the head is not known yet */
        kind = EGI_BUFFER_BALANCED;
    EG_TRY(egi_label_view(&some, d, l->index, l->n));
    const eg_status status = egi_buffer_choose(&chosen.index, &chosen.n, &some, (egi_buffer_kind)kind, limit, NULL, 0,
                                               stream_seed(run, SPLIT_LIMIT));
    egi_free(run->context, some.labels);
    EG_TRY(status);
    through(&chosen, l);
    egi_free(run->context, l->index);
    *l = chosen;
    return EG_OK;
}

/* Without a test part, data.validation of the set is held back for the final figures; nothing where that is 0. */
static eg_status hold_back(egi_run *run, egi_part *part, list *rest)
{
    const double share = run->config->data.validation;
    list all, test;
    EG_TRY(all_of(&all, part->train));
    if (part->test || share == 0) {
        part->test_is_train = !part->test;
        part->test = part->test ? part->test : part->train;
        part->n_test = part->test->n;
        *rest = all;
        return EG_OK;
    }
    const eg_status status = divide(rest, &test, part->train, &all, share, stream_seed(run, SPLIT_TEST));
    egi_free(run->context, all.index);
    EG_TRY(status);
    part->test = part->train;
    part->test_index = test.index;
    part->n_test = test.n;
    return EG_OK;
}

/* data.validation of what is left selects; without it, training examples stand in. */
static eg_status select_from(egi_run *run, egi_part *part, list *rest)
{
    const double share = run->config->data.validation;
    list train, select;
    if (share > 0) {
        const eg_status status = divide(&train, &select, part->train, rest, share, stream_seed(run, SPLIT_SELECT));
        egi_free(run->context, rest->index);
        rest->index = NULL;
        EG_TRY(status);
    } else {
        train = *rest;
        select.n = train.n;
        EG_TRY(egi_alloc(&select.index, run->context, train.n, sizeof *select.index));
        memcpy(select.index, train.index, (size_t)train.n * sizeof *select.index);
        rest->index = NULL;
        part->select_is_train = true;
    }
    cap(&select, stream_seed(run, SPLIT_SELECT));
    part->train_index = train.index;
    part->n_train = train.n;
    part->select_index = select.index;
    part->n_select = select.n;
    return EG_OK;
}

eg_status egi_run_split(egi_run *run, egi_part *part, const eg_dataset *train, const eg_dataset *test, int64_t limit)
{
    list rest = {NULL, 0};
    part->train = train;
    part->test = test;
    eg_status status;
    EG_TRY_GOTO(status, hold_back(run, part, &rest));
    if (limit > 0 && limit < rest.n)
        EG_TRY_GOTO(status, limit_to(run, &rest, train, limit));
    EG_TRY_GOTO(status, select_from(run, part, &rest));
    if (part->n_train == 0)
        status = egi_fail(EG_ERR_DATA, "data set %s: nothing is left to train on; lower data.validation", train->name);
done:
    egi_free(run->context, rest.index);
    return status;
}
