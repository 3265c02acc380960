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

#define FILES 6 /* of a part, at most */

typedef struct cifar_file {
    char *path; /* owned */
    egi_file file;
    int64_t n, read;      /* records; how many were read */
    int64_t row, wanted;  /* of the chunk that is being read */
    unsigned char *piece; /* room for RECORDS records */
    eg_status status;     /* of a thread, carried to the caller's */
    char message[512];
} cifar_file;

typedef struct cifar_reading {
    eg_context *context;
    const layout *layout;
    cifar_file files[FILES];
    int n_files;
    eg_dataset *d; /* of the chunk that is being read */
} cifar_reading;

/* Takes the wanted records of `f` into the rows of the chunk. */
static eg_status read_records(eg_dataset *d, cifar_file *f, const layout *l)
{
    const int record = l->label_bytes + PIXELS;
    for (int64_t done = 0; done < f->wanted;) {
        const int64_t now = f->wanted - done < RECORDS ? f->wanted - done : RECORDS;
        EG_TRY(egi_file_read(&f->file, f->piece, now * record));
        for (int64_t i = 0; i < now; i++, done++, f->read++) {
            const unsigned char *r = f->piece + i * record, label = r[l->label_bytes - 1];
            if (label >= l->classes)
                return egi_fail(EG_ERR_DATA, "%s: label of record %lld is %d, wanted 0 to %d", f->path,
                                (long long)f->read, label, l->classes - 1);
            d->labels[f->row + done] = label;
            interleave(r + l->label_bytes, (unsigned char *)d->x[0] + (f->row + done) * PIXELS);
        }
    }
    return f->read == f->n ? egi_file_expect_end(&f->file) : EG_OK;
}

static void read_one(void *arg, int64_t i, int thread)
{
    (void)thread;
    cifar_reading *r = arg;
    cifar_file *f = &r->files[i];
    if (!f->wanted)
        return;
    f->status = read_records(r->d, f, r->layout);
    if (f->status != EG_OK)
        snprintf(f->message, sizeof f->message, "%s", eg_last_message());
}

/* The files at the same time: inflating is all the work. */
static eg_status next_records(void *state, eg_dataset *d, int64_t at, int64_t n)
{
    cifar_reading *r = state;
    r->d = d;
    for (int i = 0; i < r->n_files; i++) {
        cifar_file *f = &r->files[i];
        f->row = at;
        f->wanted = f->n - f->read < n ? f->n - f->read : n;
        at += f->wanted;
        n -= f->wanted;
    }
    egi_team_run(r->context->team, r->context->threads, r->n_files, read_one, r);
    for (int i = 0; i < r->n_files; i++)
        if (r->files[i].status != EG_OK)
            return egi_fail(r->files[i].status, "%s", r->files[i].message);
    return EG_OK;
}

/* Takes over `path`. */
static eg_status add_file(eg_dataset *d, cifar_reading *r, char *path)
{
    cifar_file *f = &r->files[r->n_files++];
    f->path = path;
    f->file.fd = -1;
    EG_TRY(egi_file_open(&f->file, r->context, path));
    EG_TRY(count_records(&f->file, r->layout, &f->n));
    d->n += f->n;
    return egi_alloc(&f->piece, r->context, RECORDS, (size_t)(r->layout->label_bytes + PIXELS));
}

static eg_status open_folder(eg_dataset *d, cifar_reading *r, const egi_source *s, eg_part part)
{
    const layout *l = r->layout;
    const egi_entry *train[FILES] = {0}, *test = file_called(s, l->test);
    int n_train = 0;
    for (int i = 0; l->train[i]; i++)
        if (file_called(s, l->train[i]))
            train[n_train++] = file_called(s, l->train[i]);
    d->has_test = n_train > 0 && test;
    if (n_train == 0 && part == EG_PART_TRAIN)
        return egi_fail(EG_ERR_DATA, "%s: no training part: wanted %s beside %s", s->path, l->train[0], l->test);
    const bool use_test = test && part == EG_PART_TEST;
    if (use_test)
        train[0] = test;
    for (int i = 0; i < (use_test ? 1 : n_train); i++) {
        char *path;
        EG_TRY(egi_source_join(&path, s, train[i]->name));
        EG_TRY(add_file(d, r, path));
    }
    d->classes = l->classes;
    return egi_fill_class_names(d, s, l->names);
}

static eg_status open_file(eg_dataset *d, cifar_reading *r, const egi_source *s)
{
    char *path;
    EG_TRY(egi_strdup(&path, s->context, s->path));
    d->classes = r->layout->classes;
    return add_file(d, r, path);
}

static eg_status open_cifar(eg_dataset *d, egi_reading *reading, const egi_source *s, eg_part part)
{
    cifar_reading *r;
    EG_TRY(egi_alloc(&r, s->context, 1, sizeof *r));
    r->context = s->context;
    r->layout = s->folder ? folder_layout(s) : file_layout(s);
    reading->state = r;
    reading->labels = true;
    EG_TRY(s->folder ? open_folder(d, r, s, part) : open_file(d, r, s));
    return egi_fill_shape(d, 0, EGI_U8, &EGI_SHAPE(SIDE, SIDE, 3));
}

static void close_cifar(void *state)
{
    cifar_reading *r = state;
    for (int i = 0; i < r->n_files; i++) {
        egi_file_close(&r->files[i].file);
        egi_free(r->context, r->files[i].path);
        egi_free(r->context, r->files[i].piece);
    }
    egi_free(r->context, r);
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

const egi_reader egi_reader_cifar = {
    .format = "CIFAR binary",
    .accepts = "a folder of CIFAR binary files or one of them",
    .detect = detect,
    .open = open_cifar,
    .next = next_records,
    .close = close_cifar,
};
