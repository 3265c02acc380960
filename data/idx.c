/* IDX (yann.lecun.com/exdb/mnist): 0 0 TYPE RANK, then RANK big-endian 32-bit sizes, then big-endian elements. */
#include "data/convert.h"
#include "data/reader.h"

#include <string.h>
#include <unistd.h>

typedef struct idx_file {
    char *path; /* owned */
    egi_file file;
    egi_number type;
    egi_shape shape; /* (n, ...) */
} idx_file;

typedef struct idx_reading {
    eg_context *context;
    idx_file images, labels;
    bool labelled;
    int64_t left; /* examples not yet read */
} idx_reading;

/* Both parts of a set; NULL: not there. */
typedef struct idx_names {
    const char *images[2], *labels[2];
} idx_names;

static bool type_of(unsigned char code, egi_number *out)
{
    static const struct {
        unsigned char code;
        egi_number type;
    } types[] = {{0x08, {'u', 1, true}}, {0x09, {'i', 1, true}}, {0x0B, {'i', 2, true}},
                 {0x0C, {'i', 4, true}}, {0x0D, {'f', 4, true}}, {0x0E, {'f', 8, true}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) {
            *out = types[i].type;
            return true;
        }
    return false;
}

static bool looks_like_idx(const unsigned char *head, int64_t n)
{
    egi_number type;
    return n >= 8 && head[0] == 0 && head[1] == 0 && type_of(head[2], &type) && head[3] >= 1 && head[3] <= EGI_MAX_RANK;
}

static int64_t big_endian32(const unsigned char *b)
{
    return (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static eg_status read_header(idx_file *f)
{
    unsigned char head[4 + 4 * EGI_MAX_RANK];
    const char *path = f->file.path;
    EG_TRY(egi_file_read(&f->file, head, 4));
    if (head[0] || head[1] || !type_of(head[2], &f->type) || head[3] < 1 || head[3] > EGI_MAX_RANK)
        return egi_fail(EG_ERR_DATA, "%s: wanted an IDX header (0 0 TYPE RANK), found %02x %02x %02x %02x", path,
                        head[0], head[1], head[2], head[3]);
    f->shape.rank = head[3];
    EG_TRY(egi_file_read(&f->file, head + 4, 4 * f->shape.rank));
    for (int i = 0; i < f->shape.rank; i++)
        f->shape.dim[i] = big_endian32(head + 4 + 4 * i);
    if (egi_shape_check(&f->shape, path) != EG_OK || egi_shape_count(&f->shape) < 1)
        return egi_fail(EG_ERR_DATA, "%s: impossible shape %s", path, egi_shape_format(&f->shape).s);
    return egi_file_expect_room(&f->file, egi_shape_count(&f->shape) * f->type.size);
}

static eg_status open_idx(idx_file *f, const egi_source *s, const char *name)
{
    if (s->folder)
        EG_TRY(egi_source_join(&f->path, s, name));
    else
        EG_TRY(egi_strdup(&f->path, s->context, name));
    EG_TRY(egi_file_open(&f->file, s->context, f->path));
    return read_header(f);
}

/* Fine when it is not open. */
static void close_idx(idx_file *f, eg_context *context)
{
    egi_file_close(&f->file);
    egi_free(context, f->path);
    f->path = NULL;
}

/* (n, h, w) are images of one channel; other ranks stay as they are. */
static egi_shape example_shape(const egi_shape *all)
{
    egi_shape s = {.rank = all->rank - 1};
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = all->dim[i + 1];
    if (all->rank == 3)
        s.dim[s.rank++] = 1;
    return s;
}

static egi_dtype stored_dtype(const idx_file *f)
{
    return f->type.kind == 'u' ? EGI_U8 : EGI_F32;
}

static eg_status open_images(eg_dataset *d, idx_reading *r, const egi_source *s, const char *name)
{
    idx_file *f = &r->images;
    EG_TRY(open_idx(f, s, name));
    if (f->shape.rank < 2)
        return egi_fail(
            EG_ERR_DATA,
            "%s: wanted images (rank 2 or more), found %s: labels are given by the images' side or by the folder",
            f->path, egi_shape_format(&f->shape).s);
    d->n = r->left = f->shape.dim[0];
    const egi_shape shape = example_shape(&f->shape);
    return egi_fill_shape(d, 0, stored_dtype(f), &shape);
}

static eg_status open_labels(idx_file *f, const egi_source *s, const char *name)
{
    EG_TRY(open_idx(f, s, name));
    if (f->shape.rank != 1 || f->type.kind == 'f')
        return egi_fail(EG_ERR_DATA, "%s: wanted a list of integer labels, found %s of type %c%d", f->path,
                        egi_shape_format(&f->shape).s, f->type.kind, f->type.size);
    return EG_OK;
}

static eg_status scan(idx_file *f, int64_t *classes, const char *subject)
{
    int32_t labels[1024];
    const int64_t n = f->shape.dim[0];
    for (int64_t at = 0; at < n; at += 1024) {
        const int64_t now = n - at < 1024 ? n - at : 1024;
        EG_TRY(egi_convert_file(&f->file, &f->type, EGI_I32, labels, now));
        if (subject)
            EG_TRY(egi_check_labels(labels, now, at, subject));
        for (int64_t i = 0; i < now; i++)
            if (labels[i] >= *classes && labels[i] < EGI_CLASSES_MAX)
                *classes = labels[i] + 1;
    }
    return egi_file_expect_end(&f->file);
}

/* Goes through a file of labels once: *classes becomes at least their number. With `subject` (of messages) they are
 * checked. */
static eg_status scan_labels(int64_t *classes, const egi_source *s, const char *name, const char *subject)
{
    idx_file f = {.file = {.fd = -1}};
    eg_status status = open_labels(&f, s, name);
    if (status == EG_OK)
        status = scan(&f, classes, subject);
    close_idx(&f, s->context);
    return status;
}

/* Labels of `images` are read once to see that they are good, and again with the images. */
static eg_status use_labels(eg_dataset *d, idx_reading *r, const egi_source *s, const char *images, const char *name)
{
    EG_TRY(open_labels(&r->labels, s, name));
    const int64_t n = r->labels.shape.dim[0];
    if (n != d->n)
        return egi_fail(EG_ERR_DATA, "%s: %lld labels, but %s has %lld images", r->labels.path, (long long)n, images,
                        (long long)d->n);
    r->labelled = true;
    return scan_labels(&d->classes, s, name, s->path);
}

static int part_of(const char *name)
{
    return egi_name_has(name, "t10k") || egi_name_has(name, "test");
}

static bool same_but_gz(const char *plain, const char *zipped)
{
    const size_t n = strlen(plain);
    return strncmp(plain, zipped, n) == 0 && strcmp(zipped + n, ".gz") == 0;
}

/* Sorted names: "x" comes before "x.gz", and the plain file is taken. */
static eg_status note(const egi_source *s, const char **slot, const char *name)
{
    if (*slot && !same_but_gz(*slot, name))
        return egi_fail(
            EG_ERR_DATA,
            "%s: two files for one part: %s and %s; give a folder with one set of files, or the images file", s->path,
            *slot, name);
    if (!*slot)
        *slot = name;
    return EG_OK;
}

static bool is_idx_name(const char *name)
{
    return egi_name_has(name, "idx") && (egi_name_has(name, "images") || egi_name_has(name, "labels"));
}

static eg_status find_names(const egi_source *s, idx_names *names)
{
    for (int64_t i = 0; i < s->n_entries; i++) {
        const char *name = s->entries[i].name;
        if (s->entries[i].folder || !is_idx_name(name))
            continue;
        const int part = part_of(name);
        EG_TRY(note(s, egi_name_has(name, "images") ? &names->images[part] : &names->labels[part], name));
    }
    return EG_OK;
}

static eg_status open_folder(eg_dataset *d, idx_reading *r, const egi_source *s, eg_part part)
{
    idx_names names = {0};
    EG_TRY(find_names(s, &names));
    d->has_test = names.images[0] && names.images[1];
    const int wanted = d->has_test ? part == EG_PART_TEST : names.images[1] != NULL;
    if (!names.images[wanted])
        return egi_fail(EG_ERR_DATA, "%s: labels but no images: wanted a file such as train-images-idx3-ubyte.gz",
                        s->path);
    if (wanted == 1 && part == EG_PART_TRAIN)
        return egi_fail(EG_ERR_DATA, "%s: no training part: wanted train-images-idx3-ubyte beside %s", s->path,
                        names.images[1]);
    if (!names.labels[wanted] && (names.labels[0] || names.labels[1]))
        return egi_fail(EG_ERR_DATA, "%s: %s has no labels file beside it", s->path, names.images[wanted]);
    EG_TRY(open_images(d, r, s, names.images[wanted]));
    if (!names.labels[wanted])
        return EG_OK;
    EG_TRY(use_labels(d, r, s, names.images[wanted], names.labels[wanted]));
    return d->has_test && names.labels[!wanted] ? scan_labels(&d->classes, s, names.labels[!wanted], NULL) : EG_OK;
}

/* The labels file beside an images file: "images" becomes "labels" and "idx3" (any rank) "idx1". */
static eg_status labels_beside(char **out, const egi_source *s)
{
    char *name;
    EG_TRY(egi_strdup(&name, s->context, s->path));
    char *base = name + (s->base - s->path), *images = strstr(base, "images"), *rank = strstr(base, "idx");
    if (images)
        memcpy(images, "labels", 6);
    if (rank && rank[3] >= '1' && rank[3] <= '8')
        rank[3] = '1';
    if (!images || access(name, R_OK) != 0) {
        egi_free(s->context, name);
        name = NULL;
    }
    *out = name;
    return EG_OK;
}

static eg_status open_single(eg_dataset *d, idx_reading *r, const egi_source *s)
{
    char *labels;
    EG_TRY(open_images(d, r, s, s->path));
    EG_TRY(labels_beside(&labels, s));
    if (!labels)
        return EG_OK;
    const eg_status status = use_labels(d, r, s, s->path, labels);
    egi_free(s->context, labels);
    return status;
}

static bool is_idx(const egi_source *s)
{
    if (!s->folder)
        return looks_like_idx(s->head, s->head_bytes);
    for (int64_t i = 0; i < s->n_entries; i++)
        if (!s->entries[i].folder && is_idx_name(s->entries[i].name))
            return true;
    return false;
}

static eg_status detect(bool *yes, const egi_source *s)
{
    *yes = is_idx(s);
    return EG_OK;
}

static eg_status open_set(eg_dataset *d, egi_reading *reading, const egi_source *s, eg_part part)
{
    idx_reading *r;
    EG_TRY(egi_alloc(&r, s->context, 1, sizeof *r));
    r->context = s->context;
    r->images.file.fd = r->labels.file.fd = -1;
    reading->state = r;
    EG_TRY(s->folder ? open_folder(d, r, s, part) : open_single(d, r, s));
    reading->labels = r->labelled;
    return EG_OK;
}

static eg_status next_examples(void *state, eg_dataset *d, int64_t at, int64_t n)
{
    idx_reading *r = state;
    const int64_t values = egi_shape_count(&d->shape[0]), bytes = values * (int64_t)egi_dtype_size(d->dtype[0]);
    idx_file *x = &r->images, *y = &r->labels;
    r->left -= n;
    EG_TRY(egi_convert_file(&x->file, &x->type, d->dtype[0], (char *)d->x[0] + at * bytes, n * values));
    if (r->labelled)
        EG_TRY(egi_convert_file(&y->file, &y->type, EGI_I32, d->labels + at, n));
    if (r->left > 0)
        return EG_OK;
    EG_TRY(egi_file_expect_end(&x->file));
    return r->labelled ? egi_file_expect_end(&y->file) : EG_OK;
}

static void close_set(void *state)
{
    idx_reading *r = state;
    close_idx(&r->images, r->context);
    close_idx(&r->labels, r->context);
    egi_free(r->context, r);
}

const egi_reader egi_reader_idx = {
    .format = "IDX",
    .accepts = "a folder of IDX files or an IDX images file",
    .detect = detect,
    .open = open_set,
    .next = next_examples,
    .close = close_set,
};
