/* CIFAR-10 and CIFAR-100, binary version (cs.toronto.edu/~kriz/cifar.html): records of 1 or 2 label bytes and 3 x 32 x
 * 32 planar pixels. */
#include "core/team.h"
#include "data/reader.h"

#include <stdio.h>
#include <string.h>

#define SIDE    32
#define PLANE   (SIDE * SIDE)
#define PIXELS  (3 * PLANE)
#define RECORDS 64 /* read at once */

/* The two layouts. CIFAR-100's first byte is the coarse class, the second the fine one, which is the label. */
typedef struct layout {
    int label_bytes, classes;
    const char *train[6], *test, *names;
} layout;

static const layout layouts[] = {
    {1,
     10,
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
     "test_batch.bin",
     "batches.meta.txt"},
    {2, 100, {"train.bin"}, "test.bin", "fine_label_names.txt"},
};

static const egi_entry *file_called(const egi_source *s, const char *name)
{
    const egi_entry *e = egi_source_find(s, name);
    return e && !e->folder ? e : NULL;
}

static const layout *folder_layout(const egi_source *s)
{
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
        if (file_called(s, layouts[k].test))
            return &layouts[k];
        for (int i = 0; layouts[k].train[i]; i++)
            if (file_called(s, layouts[k].train[i]))
                return &layouts[k];
    }
    return NULL;
}

static const layout *file_layout(const egi_source *s)
{
    if (egi_name_has(s->base, "data_batch") || egi_name_has(s->base, "test_batch"))
        return &layouts[0];
    return egi_name_ends(s->base, "train.bin") || egi_name_ends(s->base, "test.bin") ? &layouts[1] : NULL;
}

/* Number of records in a file of that many bytes. */
static eg_status count_records(const egi_file *f, const layout *l, int64_t *n)
{
    int64_t bytes;
    const int record = l->label_bytes + PIXELS;
    EG_TRY(egi_file_size(f, &bytes));
    if (bytes == 0 || bytes % record)
        return egi_fail(EG_ERR_DATA, "%s: wanted records of %d bytes, found %lld bytes: cut off, or not CIFAR-%d",
                        f->path, record, (long long)bytes, l->classes);
    *n = bytes / record;
    return EG_OK;
}

static void interleave(const unsigned char *planes, unsigned char *pixels)
{
    for (int i = 0; i < PLANE; i++) {
        pixels[3 * i] = planes[i];
        pixels[3 * i + 1] = planes[PLANE + i];
        pixels[3 * i + 2] = planes[2 * PLANE + i];
    }
}

/* Takes `n` records of `f` as examples first, first + 1, ... `piece` has room for RECORDS of them. */
static eg_status read_records(eg_dataset *d, egi_file *f, const layout *l, int64_t first, int64_t n,
                              unsigned char *piece)
{
    const int record = l->label_bytes + PIXELS;
    for (int64_t done = 0; done < n;) {
        const int64_t now = n - done < RECORDS ? n - done : RECORDS;
        EG_TRY(egi_file_read(f, piece, now * record));
        for (int64_t i = 0; i < now; i++, done++) {
            const unsigned char *r = piece + i * record, label = r[l->label_bytes - 1];
            if (label >= l->classes)
                return egi_fail(EG_ERR_DATA, "%s: label of record %lld is %d, wanted 0 to %d", f->path, (long long)done,
                                label, l->classes - 1);
            d->labels[first + done] = label;
            interleave(r + l->label_bytes, (unsigned char *)d->x[0] + (first + done) * PIXELS);
        }
    }
    return egi_file_expect_end(f);
}

/* A failure in a thread, carried to the caller's. */
typedef struct outcome {
    eg_status status;
    char message[512];
} outcome;

static void read_file(outcome *out, eg_dataset *d, egi_file *f, const layout *l, int64_t first, int64_t n,
                      unsigned char *piece)
{
    out->status = read_records(d, f, l, first, n, piece);
    if (out->status != EG_OK)
        snprintf(out->message, sizeof out->message, "%s", eg_last_message());
}

typedef struct reading {
    outcome *outcomes;
    eg_dataset *d;
    egi_file *files;
    const layout *l;
    const int64_t *first, *counts;
    unsigned char *pieces; /* `piece_bytes` a file */
    size_t piece_bytes;
} reading;

static void read_one(void *arg, int64_t i, int thread)
{
    (void)thread;
    const reading *r = arg;
    read_file(&r->outcomes[i], r->d, &r->files[i], r->l, r->first[i], r->counts[i],
              r->pieces + (size_t)i * r->piece_bytes);
}

/* The files at the same time: inflating is all the work. Nothing in there allocates from the context. */
static eg_status read_opened(eg_dataset *d, egi_file *files, const int64_t *counts, int n_files, const layout *l)
{
    const size_t piece_bytes = (size_t)RECORDS * (size_t)(l->label_bytes + PIXELS);
    unsigned char *pieces;
    outcome *outcomes;
    int64_t first[6] = {0};
    EG_TRY(egi_fill_input(d, 0, EGI_U8, &EGI_SHAPE(SIDE, SIDE, 3)));
    EG_TRY(egi_fill_labels(d));
    EG_TRY(egi_alloc(&pieces, d->context, n_files, piece_bytes));
    eg_status status = egi_alloc(&outcomes, d->context, n_files, sizeof *outcomes);
    if (status != EG_OK) {
        egi_free(d->context, pieces);
        return status;
    }
    for (int i = 1; i < n_files; i++)
        first[i] = first[i - 1] + counts[i - 1];
    reading r = {.outcomes = outcomes, .d = d, .files = files, .l = l, .first = first, .counts = counts};
    r.pieces = pieces;
    r.piece_bytes = piece_bytes;
    egi_team_run(d->context->team, d->context->threads, n_files, read_one, &r);
    for (int i = 0; i < n_files && status == EG_OK; i++)
        if (outcomes[i].status != EG_OK)
            status = egi_fail(outcomes[i].status, "%s", outcomes[i].message);
    egi_free(d->context, pieces);
    egi_free(d->context, outcomes);
    return status;
}

static eg_status read_files(eg_dataset *d, char **paths, int n_files, const layout *l)
{
    egi_file files[6];
    int64_t counts[6];
    int opened = 0;
    eg_status status = EG_OK;
    for (; opened < n_files && status == EG_OK; opened++) {
        status = egi_file_open(&files[opened], d->context, paths[opened]);
        if (status == EG_OK)
            status = count_records(&files[opened], l, &counts[opened]);
        if (status == EG_OK)
            d->n += counts[opened];
    }
    d->classes = l->classes;
    if (status == EG_OK)
        status = read_opened(d, files, counts, n_files, l);
    while (opened > 0)
        egi_file_close(&files[--opened]);
    return status;
}

static eg_status read_folder(eg_dataset *d, const egi_source *s, const layout *l, eg_part part)
{
    const egi_entry *train[6] = {0}, *test = file_called(s, l->test);
    int n_train = 0, n = 0;
    char *paths[6] = {0};
    for (int i = 0; l->train[i]; i++)
        if (file_called(s, l->train[i]))
            train[n_train++] = file_called(s, l->train[i]);
    d->has_test = n_train > 0 && test;
    if (n_train == 0 && part == EG_PART_TRAIN)
        return egi_fail(EG_ERR_DATA, "%s: no training part: wanted %s beside %s", s->path, l->train[0], l->test);
    const bool use_test = test && part == EG_PART_TEST;
    if (use_test)
        train[0] = test;
    eg_status status = EG_OK;
    for (; n < (use_test ? 1 : n_train) && status == EG_OK; n++)
        status = egi_source_join(&paths[n], s, train[n]->name);
    if (status == EG_OK)
        status = read_files(d, paths, n, l);
    while (n > 0)
        egi_free(s->context, paths[--n]);
    return status == EG_OK ? egi_fill_class_names(d, s, l->names) : status;
}

static bool is_cifar(const egi_source *s)
{
    return s->folder ? folder_layout(s) != NULL : file_layout(s) != NULL;
}

static eg_status detect(bool *yes, const egi_source *s)
{
    *yes = is_cifar(s);
    return EG_OK;
}

static eg_status read_cifar(eg_dataset *d, const egi_source *s, eg_part part)
{
    if (s->folder)
        return read_folder(d, s, folder_layout(s), part);
    return read_files(d, &(char *){s->path}, 1, file_layout(s));
}

const egi_reader egi_reader_cifar = {
    .format = "CIFAR binary",
    .accepts = "a folder of CIFAR binary files or one of them",
    .detect = detect,
    .read = read_cifar,
};
