#include "finetune/cache.h"

#include <string.h>

#define ABSENT INT64_MIN /* an example that has no row */

/* A row whose example is not computed yet; and back. */
static int64_t pending(int64_t row)
{
    return -1 - row;
}

/* A source and its rows. */
typedef struct shelf {
    eg_dataset rows; /* what the back sees: inputs are the front's outputs, labels and the like as in the data set */
    int64_t *row;    /* (examples of the data set) its row once that is computed, until then pending(row); owned */
} shelf;

struct egi_cache {
    eg_context *context;
    egi_cut cut;
    const egi_source *sources;
    egi_source *served; /* (n) the same with the shelves' rows; owned */
    shelf *shelves;     /* (n) owned */
    int64_t n, rows, most;
    egi_plan *front;
    egi_model_io io;
    egi_feed feed;
    egi_item *missing; /* (most) scratch; owned */
    int64_t *index;    /* (most) scratch; owned */
};

/* --- shelves ------------------------------------------------------------------------------------------------------ */

static void shelf_release(shelf *s, eg_context *c)
{
    for (int i = 0; i < s->rows.n_inputs; i++)
        egi_free(c, s->rows.x[i]);
    egi_free(c, s->rows.labels);
    egi_free(c, s->rows.targets);
    egi_free(c, s->rows.weights);
    egi_free(c, s->row);
}

static void place(shelf *s, const int64_t *index, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (s->row[index[i]] == ABSENT)
            s->row[index[i]] = pending(s->rows.n++);
}

static eg_status shelf_rooms(shelf *s, eg_context *c, const egi_cut *cut)
{
    eg_dataset *r = &s->rows;
    for (; r->n_inputs < cut->back.n_inputs; r->n_inputs++) {
        const int i = r->n_inputs;
        r->shape[i] = cut->back.tensors[cut->back.inputs[i]];
        r->dtype[i] = EGI_F32;
        EG_TRY(egi_alloc(&r->x[i], c, r->n * egi_shape_count(&r->shape[i]), sizeof(float)));
    }
    return EG_OK;
}

/* What examples are compared with goes with them to their rows. */
static eg_status shelf_answers(shelf *s, eg_context *c, const eg_dataset *d)
{
    eg_dataset *r = &s->rows;
    const int64_t count = egi_shape_count(&d->target_shape);
    if (d->labels)
        EG_TRY(egi_alloc(&r->labels, c, r->n, sizeof *r->labels));
    if (d->targets)
        EG_TRY(egi_alloc(&r->targets, c, r->n * count, sizeof *r->targets));
    if (d->weights)
        EG_TRY(egi_alloc(&r->weights, c, r->n, sizeof *r->weights));
    for (int64_t i = 0; i < d->n; i++) {
        const int64_t row = s->row[i] == ABSENT ? -1 : pending(s->row[i]);
        if (row >= 0 && r->labels)
            r->labels[row] = d->labels[i];
        if (row >= 0 && r->targets)
            memcpy(r->targets + row * count, d->targets + i * count, (size_t)count * sizeof *r->targets);
        if (row >= 0 && r->weights)
            r->weights[row] = d->weights[i];
    }
    return EG_OK;
}

static eg_status shelf_make(shelf *s, const egi_cache *cache, const eg_dataset *d, const egi_cache_need *need)
{
    s->rows = (eg_dataset){.context = d->context,
                           .name = d->name,
                           .format = d->format,
                           .target_shape = d->target_shape,
                           .classes = d->classes,
                           .class_names = d->class_names};
    EG_TRY(egi_alloc(&s->row, cache->context, d->n, sizeof *s->row));
    for (int64_t i = 0; i < d->n; i++)
        s->row[i] = ABSENT;
    place(s, need->train, need->n_train);
    place(s, need->select, need->n_select);
    EG_TRY(shelf_rooms(s, cache->context, &cache->cut));
    return shelf_answers(s, cache->context, d);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static eg_status compile_front(egi_cache *c, int64_t batch)
{
    EG_TRY(egi_plan_create(&c->front, c->context, batch, c->cut.front.dtype, false));
    EG_TRY(egi_model_emit(&c->cut.front, c->front, NULL, NULL, &c->io));
    EG_TRY(egi_feed_create(&c->feed, &c->cut.front, c->front, &c->io));
    EG_TRY(egi_plan_fuse(c->front));
    return egi_plan_compile(c->front);
}

static eg_status fill_cache(egi_cache *c, const egi_cache_need *needs, int64_t batch)
{
    EG_TRY(egi_alloc(&c->shelves, c->context, c->n, sizeof *c->shelves));
    EG_TRY(egi_alloc(&c->served, c->context, c->n, sizeof *c->served));
    EG_TRY(egi_alloc(&c->missing, c->context, c->most, sizeof *c->missing));
    EG_TRY(egi_alloc(&c->index, c->context, c->most, sizeof *c->index));
    for (int64_t i = 0; i < c->n; i++) {
        EG_TRY(shelf_make(&c->shelves[i], c, c->sources[i].data, &needs[i]));
        c->rows += c->shelves[i].rows.n;
        c->served[i] = c->sources[i];
        c->served[i].data = &c->shelves[i].rows;
        c->served[i].preprocess = NULL;
    }
    return compile_front(c, batch);
}

eg_status egi_cache_create(egi_cache **out, egi_cut *cut, const egi_source *sources, int64_t n_sources,
                           const egi_cache_need *needs, int64_t most, int64_t batch)
{
    egi_cache *c;
    EG_TRY(egi_alloc(&c, cut->front.context, 1, sizeof *c));
    *c = (egi_cache){.context = cut->front.context, .cut = *cut, .sources = sources, .n = n_sources, .most = most};
    const eg_status status = fill_cache(c, needs, batch);
    if (status != EG_OK) {
        c->cut = (egi_cut){.floats = 0}; /* still the caller's */
        egi_cache_free(c);
        return status;
    }
    *cut = (egi_cut){.floats = 0};
    *out = c;
    return EG_OK;
}

void egi_cache_free(egi_cache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; c->shelves && i < c->n; i++)
        shelf_release(&c->shelves[i], c->context);
    egi_feed_release(&c->feed);
    egi_plan_free(c->front);
    egi_cut_release(&c->cut);
    egi_free(c->context, c->io.params);
    egi_free(c->context, c->shelves);
    egi_free(c->context, c->served);
    egi_free(c->context, c->missing);
    egi_free(c->context, c->index);
    egi_free(c->context, c);
}

eg_model *egi_cache_model(egi_cache *c)
{
    return &c->cut.back;
}

const egi_source *egi_cache_sources(const egi_cache *c)
{
    return c->served;
}

const egi_cut *egi_cache_cut(const egi_cache *c)
{
    return &c->cut;
}

int64_t egi_cache_rows(const egi_cache *c)
{
    return c->rows;
}

int64_t egi_cache_bytes(const egi_cache *c)
{
    return c->rows * c->cut.floats * (int64_t)sizeof(float);
}

/* --- filling and serving ------------------------------------------------------------------------------------------ */

/* Row `at` of the front's outputs goes to the shelf. */
static void put(egi_cache *c, const egi_item *item, int64_t at)
{
    shelf *s = &c->shelves[item->source];
    const int64_t row = s->row[item->index];
    for (int i = 0; i < s->rows.n_inputs; i++) {
        const int64_t count = egi_shape_count(&s->rows.shape[i]);
        const float *from = egi_plan_data(c->front, c->io.out[i]);
        memcpy((float *)s->rows.x[i] + row * count, from + at * count, (size_t)count * sizeof *from);
    }
}

static eg_status compute(egi_cache *c, int64_t n)
{
    const egi_control control = {.weights_version = 1}; /* the front's weights never change */
    for (int64_t at = 0; at < n; at += c->feed.n) {
        const int64_t some = n - at < c->feed.n ? n - at : c->feed.n;
        EG_TRY(egi_feed_fill(&c->feed, c->sources, c->n, c->missing + at, some));
        EG_TRY(egi_plan_run(c->front, &control));
        for (int64_t i = 0; i < some; i++)
            put(c, &c->feed.sorted[i], i); /* filling groups them by source */
    }
    return EG_OK;
}

/* Notes an example that is not computed yet; returns its row, -1: it has none. What is noted counts as computed at
 * once, so that an example that a batch holds twice is not noted twice. */
static int64_t want(egi_cache *c, const egi_item *item, int64_t *n_missing)
{
    int64_t *row = &c->shelves[item->source].row[item->index];
    if (*row >= 0)
        return *row;
    if (*row == ABSENT)
        return -1;
    *row = pending(*row);
    c->missing[(*n_missing)++] = *item;
    return *row;
}

static eg_status unknown_example(const egi_cache *c, const egi_item *item)
{
    return egi_fail(EG_ERR_INTERNAL, "cache: example %lld of data set %s has no row", (long long)item->index,
                    c->sources[item->source].data->name);
}

eg_status egi_cache_items(egi_cache *c, egi_item *items, int64_t n)
{
    int64_t missing = 0;
    if (n > c->most)
        return egi_fail(EG_ERR_INTERNAL, "cache: %lld examples at once, %lld planned", (long long)n,
                        (long long)c->most);
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = want(c, &items[i], &missing);
        if (row < 0)
            return unknown_example(c, &items[i]);
        items[i].index = row;
    }
    return compute(c, missing);
}

eg_status egi_cache_set(egi_cache *c, int64_t source, egi_eval_set *set)
{
    int64_t missing = 0;
    if (set->n > c->most)
        return egi_fail(EG_ERR_INTERNAL, "cache: %lld examples at once, %lld planned", (long long)set->n,
                        (long long)c->most);
    for (int64_t i = 0; i < set->n; i++) {
        const egi_item item = {.index = set->index[i], .source = (int32_t)source};
        c->index[i] = want(c, &item, &missing);
        if (c->index[i] < 0)
            return unknown_example(c, &item);
    }
    EG_TRY(compute(c, missing));
    set->data = &c->shelves[source].rows;
    set->preprocess = NULL;
    set->index = c->index;
    return EG_OK;
}
