/* Streams: parts of a set one after the other, through one set of buffers. */
#include "data/stream.h"

#include <string.h>

#define PARTS 2 /* training, test */

struct eg_stream {
    eg_context *context;
    const egi_reader *reader;
    eg_dataset *set; /* everything but the examples, which are all in it where `whole`; else rows of the chunk */
    bool whole, failed;
    egi_reading parts[PARTS]; /* not where `whole` */
    int64_t left[PARTS];      /* examples not yet read */
    int64_t at, room;         /* examples given; rows that the set has memory for */
    eg_dataset chunk;         /* borrows from `set` */
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* What a reader's work must pass. */
static eg_status finish(eg_dataset *d, const egi_reading *r, const egi_source *s)
{
    if (d->n < 1 || d->n_inputs < 1)
        return egi_fail(EG_ERR_DATA, "%s: no examples", s->path);
    EG_TRY(egi_fill_one_hot(d));
    if (d->labels)
        EG_TRY(egi_fill_classes(d, s->path));
    if (d->labels || r->labels)
        EG_TRY(egi_fill_class_names(d, s, "classes.txt"));
    return egi_dataset_number_classes(d);
}

static eg_status open_part(eg_dataset **out, eg_stream *stream, int i, const egi_source *s, eg_part part)
{
    eg_dataset *d;
    egi_reading *r = &stream->parts[i];
    EG_TRY(egi_dataset_create(&d, s->context, s->base, stream->reader->format));
    eg_status status = stream->reader->open(d, r, s, part);
    if (status == EG_OK)
        status = finish(d, r, s);
    if (status != EG_OK) {
        eg_dataset_free(d);
        return status;
    }
    stream->left[i] = d->n;
    *out = d;
    return EG_OK;
}

/* Two parts that are read later: one describes both, the one that knows more classes. */
static eg_status describe_both(eg_dataset **out, const eg_stream *s, eg_dataset *train, eg_dataset *test)
{
    EG_TRY(egi_dataset_alike(train, test));
    if (s->parts[0].labels != s->parts[1].labels)
        return egi_fail(EG_ERR_DATA, "%s: only one of its parts has labels", train->name);
    const int64_t n = train->n + test->n;
    const bool first = train->classes >= test->classes;
    eg_dataset_free(first ? test : train);
    *out = first ? train : test;
    (*out)->n = n;
    return EG_OK;
}

static eg_status open_both(eg_stream *s, eg_dataset *train, const egi_source *source)
{
    eg_dataset *test, *both = NULL;
    eg_status status = open_part(&test, s, 1, source, EG_PART_TEST);
    if (status != EG_OK) {
        eg_dataset_free(train);
        return status;
    }
    const bool whole = !s->parts[0].state;
    status = whole ? egi_dataset_join(&both, train, test) : describe_both(&both, s, train, test);
    if (whole || status != EG_OK) {
        eg_dataset_free(train);
        eg_dataset_free(test);
    }
    s->set = both;
    return status;
}

static eg_status open_parts(eg_stream *s, const egi_source *source, eg_part part)
{
    eg_dataset *d;
    EG_TRY(open_part(&d, s, 0, source, part == EG_PART_ALL ? EG_PART_TRAIN : part));
    if (part == EG_PART_ALL && d->has_test)
        EG_TRY(open_both(s, d, source));
    else
        s->set = d;
    s->whole = !s->parts[0].state;
    s->room = s->whole ? s->set->n : 0;
    return EG_OK;
}

eg_status egi_stream_begin(eg_stream **out, const egi_source *source, const egi_reader *reader, eg_part part)
{
    eg_stream *s;
    EG_TRY(egi_alloc(&s, source->context, 1, sizeof *s));
    s->context = source->context;
    s->reader = reader;
    const eg_status status = open_parts(s, source, part);
    if (status != EG_OK) {
        eg_stream_free(s);
        return status;
    }
    *out = s;
    return EG_OK;
}

void eg_stream_free(eg_stream *s)
{
    if (!s)
        return;
    for (int i = 0; i < PARTS; i++)
        if (s->parts[i].state)
            s->reader->close(s->parts[i].state);
    if (s->set)
        s->set->n = s->room; /* as many names of files as there are places */
    eg_dataset_free(s->set);
    egi_free(s->context, s);
}

const eg_dataset *egi_stream_set(const eg_stream *s)
{
    return s->set;
}

bool egi_stream_whole(const eg_stream *s)
{
    return s->whole;
}

void eg_stream_get_info(const eg_stream *s, eg_dataset_info *out)
{
    eg_dataset_get_info(s->set, out);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void release_names(eg_stream *s)
{
    for (int64_t i = 0; s->set->files && i < s->room; i++) {
        egi_free(s->context, s->set->files[i]);
        s->set->files[i] = NULL;
    }
}

static void release_rows(eg_stream *s)
{
    eg_dataset *d = s->set;
    release_names(s);
    egi_free(s->context, d->x[0]);
    egi_free(s->context, d->labels);
    egi_free(s->context, d->files);
    d->x[0] = NULL;
    d->labels = NULL;
    d->files = NULL;
    s->room = 0;
}

/* Memory for n examples; what was there before is used again. */
static eg_status make_room(eg_stream *s, int64_t n)
{
    eg_dataset *d = s->set;
    if (n <= s->room)
        return EG_OK;
    release_rows(s);
    EG_TRY(egi_alloc(&d->x[0], s->context, n * egi_shape_count(&d->shape[0]), egi_dtype_size(d->dtype[0])));
    if (s->parts[0].labels)
        EG_TRY(egi_alloc(&d->labels, s->context, n, sizeof *d->labels));
    if (s->parts[0].files)
        EG_TRY(egi_alloc(&d->files, s->context, n, sizeof *d->files));
    s->room = n;
    return EG_OK;
}

/* Labels were counted when the stream was opened: another one can only come from a file that somebody wrote to since.
 */
static eg_status check_classes(const eg_dataset *d, int64_t n)
{
    for (int64_t i = 0; d->labels && i < n; i++)
        if (d->labels[i] < 0 || d->labels[i] >= d->classes)
            return egi_fail(EG_ERR_DATA, "%s: changed while it was read: label %d of %lld classes", d->name,
                            d->labels[i], (long long)d->classes);
    return EG_OK;
}

static eg_status read_rows(eg_stream *s, int64_t n)
{
    int part = s->left[0] ? 0 : 1;
    release_names(s);
    for (int64_t done = 0; done < n; part++) {
        const int64_t now = s->left[part] < n - done ? s->left[part] : n - done;
        EG_TRY(s->reader->next(s->parts[part].state, s->set, done, now));
        s->left[part] -= now;
        done += now;
    }
    return check_classes(s->set, n);
}

/* n examples from row `row` of the set on. */
static void show(eg_stream *s, int64_t row, int64_t n)
{
    eg_dataset *c = &s->chunk;
    *c = *s->set;
    c->n = n;
    c->first = s->at;
    for (int i = 0; i < c->n_inputs; i++)
        c->x[i] = (char *)c->x[i] + (size_t)(row * egi_shape_count(&c->shape[i])) * egi_dtype_size(c->dtype[i]);
    c->labels = c->labels ? c->labels + row : NULL;
    c->targets = c->targets ? c->targets + row * egi_shape_count(&c->target_shape) : NULL;
    c->weights = c->weights ? c->weights + row : NULL;
    c->files = c->files ? c->files + row : NULL;
}

eg_status eg_stream_next(eg_stream *s, int64_t max, const eg_dataset **chunk)
{
    if (!s || !chunk || max < 1)
        return egi_fail(EG_ERR_ARG, "stream: wanted a stream, a place for the chunk and 1 example or more");
    if (s->failed)
        return egi_fail(EG_ERR_STATE, "%s: reading failed before", s->set->name);
    const int64_t left = s->set->n - s->at, n = left < max ? left : max;
    if (n > 0 && !s->whole) {
        EG_TRY(make_room(s, n));
        const eg_status status = read_rows(s, n);
        s->failed = status != EG_OK;
        EG_TRY(status);
    }
    if (n > 0)
        show(s, s->whole ? s->at : 0, n);
    s->at += n;
    *chunk = n > 0 ? &s->chunk : NULL;
    return EG_OK;
}

static eg_status pick_spread(eg_dataset *d, const eg_stream *s)
{
    EG_TRY(egi_fill_input(d, 0, s->set->dtype[0], &s->set->shape[0]));
    if (s->parts[0].labels)
        EG_TRY(egi_fill_labels(d));
    for (int64_t i = 0; i < d->n; i++) {
        const int64_t index = (int64_t)((double)i * (double)s->set->n / (double)d->n);
        const int part = index >= s->left[0];
        EG_TRY(s->reader->pick(s->parts[part].state, d, i, part ? index - s->left[0] : index));
    }
    return EG_OK;
}

eg_status egi_stream_sample(eg_dataset **out, eg_stream *s, int64_t count)
{
    eg_dataset *d = NULL;
    if (s->at > 0)
        return egi_fail(EG_ERR_STATE, "data '%s': examples of the stream were read before", s->set->name);
    if (!s->whole && s->reader->pick) {
        EG_TRY(egi_dataset_create(&d, s->context, s->set->name, s->set->format));
        d->n = count < s->set->n ? count : s->set->n;
        d->classes = s->set->classes;
        const eg_status status = pick_spread(d, s);
        if (status != EG_OK) {
            eg_dataset_free(d);
            return status;
        }
    }
    *out = d;
    return EG_OK;
}

eg_status egi_stream_take(eg_dataset **out, eg_stream *s)
{
    const eg_dataset *all;
    EG_TRY(eg_stream_next(s, s->set->n, &all));
    *out = s->set;
    s->set = NULL;
    return EG_OK;
}
