/* PNG and JPEG files: a folder per class (with train/ and test/ above them or not), a flat folder without labels, or a
 * single file. */
#include "core/team.h"
#include "data/image.h"
#include "data/reader.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

/* The files found, in order. */
typedef struct image_list {
    char **paths;
    int32_t *labels;
    int64_t n, paths_capacity, labels_capacity;
} image_list;

static bool ends_in_any(const char *name, const char *const *endings)
{
    for (; *endings; endings++)
        if (egi_name_ends(name, *endings))
            return true;
    return false;
}

static bool is_image(const char *name)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", NULL};
    return ends_in_any(name, endings);
}

static bool is_other_image(const char *name)
{
    static const char *const endings[] = {".bmp", ".gif", ".webp", ".tif",  ".tiff",
                                          ".ppm", ".pgm", ".heic", ".avif", NULL};
    return ends_in_any(name, endings);
}

static bool holds_images(const egi_source *s)
{
    for (int64_t i = 0; i < s->n_entries; i++)
        if (!s->entries[i].folder && is_image(s->entries[i].name))
            return true;
    return false;
}

static bool holds_folders(const egi_source *s)
{
    for (int64_t i = 0; i < s->n_entries; i++)
        if (s->entries[i].folder)
            return true;
    return false;
}

static eg_status open_inside(egi_source *out, const egi_source *s, const char *name)
{
    char *path;
    EG_TRY(egi_source_join(&path, s, name));
    const eg_status status = egi_source_open(out, s->context, path);
    egi_free(s->context, path);
    return status;
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

static const char *const train_names[] = {"train", "training", NULL};
static const char *const test_names[] = {"test", "testing", NULL};
static const char *const val_names[] = {"val", "valid", "validation", NULL};

/* Is it there, and has it folders in it? A folder that cannot be listed is no part; a class may be called "train" too.
 */
static eg_status is_part(bool *yes, const egi_source *s, const char *name)
{
    egi_source inside;
    const eg_status status = open_inside(&inside, s, name);
    if (status == EG_ERR_NOMEM)
        return status;
    *yes = status == EG_OK && holds_folders(&inside);
    if (status == EG_OK)
        egi_source_close(&inside);
    return EG_OK;
}

/* *out stays where there is no folder of such a name. */
static eg_status part_folder(const char **out, const egi_source *s, const char *const *names)
{
    for (; *names; names++)
        for (int64_t i = 0; i < s->n_entries; i++) {
            const egi_entry *e = &s->entries[i];
            bool yes = false;
            if (e->folder && strcasecmp(e->name, *names) == 0)
                EG_TRY(is_part(&yes, s, e->name));
            if (yes) {
                *out = e->name;
                return EG_OK;
            }
        }
    return EG_OK;
}

typedef struct parts {
    const char *train, *test; /* names of folders, or NULL */
} parts;

static eg_status find_parts(parts *out, const egi_source *s)
{
    const char *val = NULL;
    *out = (parts){NULL, NULL};
    EG_TRY(part_folder(&out->train, s, train_names));
    EG_TRY(part_folder(&out->test, s, test_names));
    EG_TRY(part_folder(&val, s, val_names));
    if (out->test && val)
        egi_log(s->context, EG_LOG_INFO, "%s: %s is the test part, %s is not used", s->path, out->test, val);
    if (!out->test)
        out->test = val;
    return EG_OK;
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

static int64_t class_index(const eg_dataset *d, const char *name)
{
    for (int64_t k = 0; k < d->classes; k++)
        if (d->class_names[k] && strcmp(d->class_names[k], name) == 0)
            return k;
    return -1;
}

/* Inserts the folders of `s` into the sorted list of classes. */
static eg_status add_classes(eg_dataset *d, const egi_source *s)
{
    for (int64_t i = 0; i < s->n_entries; i++) {
        const char *name = s->entries[i].name;
        if (!s->entries[i].folder || class_index(d, name) >= 0)
            continue;
        char *copy;
        EG_TRY(egi_strdup(&copy, d->context, name));
        const eg_status status =
            egi_grow(&d->class_names, d->context, d->classes, d->classes + 1, sizeof *d->class_names);
        if (status != EG_OK) {
            egi_free(d->context, copy);
            return status;
        }
        int64_t at = d->classes++;
        for (; at > 0 && strcmp(d->class_names[at - 1], name) > 0; at--)
            d->class_names[at] = d->class_names[at - 1];
        d->class_names[at] = copy;
    }
    return EG_OK;
}

static eg_status add_classes_of(eg_dataset *d, const egi_source *s, const char *part)
{
    egi_source inside;
    if (!part)
        return EG_OK;
    EG_TRY(open_inside(&inside, s, part));
    const eg_status status = add_classes(d, &inside);
    egi_source_close(&inside);
    return status;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static eg_status add_file(image_list *l, const egi_source *s, const char *name, int32_t label)
{
    EG_TRY(EGI_RESERVE(s->context, l->paths, l->n, l->paths_capacity));
    EG_TRY(EGI_RESERVE(s->context, l->labels, l->n, l->labels_capacity));
    if (name)
        EG_TRY(egi_source_join(&l->paths[l->n], s, name));
    else
        EG_TRY(egi_strdup(&l->paths[l->n], s->context, s->path));
    l->labels[l->n++] = label;
    return EG_OK;
}

static eg_status add_files(image_list *l, const egi_source *s, int32_t label, bool allow_folders)
{
    for (int64_t i = 0; i < s->n_entries; i++) {
        const char *name = s->entries[i].name;
        if (s->entries[i].folder && !allow_folders)
            return egi_fail(EG_ERR_DATA, "%s: wanted images, found a folder '%s' in the folder of a class", s->path,
                            name);
        if (!s->entries[i].folder && is_other_image(name))
            return egi_fail(EG_ERR_DATA, "%s/%s: unsupported: wanted PNG or JPEG; convert it", s->path, name);
        if (!s->entries[i].folder && is_image(name))
            EG_TRY(add_file(l, s, name, label));
    }
    return EG_OK;
}

static eg_status add_class_folders(image_list *l, const eg_dataset *d, const egi_source *s)
{
    if (holds_images(s))
        return egi_fail(EG_ERR_DATA, "%s: images beside the folders of classes: move them into one, or away", s->path);
    for (int64_t i = 0; i < s->n_entries; i++) {
        egi_source inside;
        if (!s->entries[i].folder)
            continue;
        EG_TRY(open_inside(&inside, s, s->entries[i].name));
        const eg_status status = add_files(l, &inside, (int32_t)class_index(d, s->entries[i].name), false);
        egi_source_close(&inside);
        EG_TRY(status);
    }
    return EG_OK;
}

static eg_status add_part(image_list *l, const eg_dataset *d, const egi_source *s, const char *part)
{
    egi_source inside;
    EG_TRY(open_inside(&inside, s, part));
    const eg_status status = add_class_folders(l, d, &inside);
    egi_source_close(&inside);
    return status;
}

/* Class names of both parts, files of the wanted one. */
static eg_status collect(image_list *l, eg_dataset *d, const egi_source *s, eg_part part)
{
    if (!s->folder)
        return add_file(l, s, NULL, -1);
    parts p;
    EG_TRY(find_parts(&p, s));
    if (!p.train && !p.test) {
        if (!holds_folders(s))
            return add_files(l, s, -1, false);
        EG_TRY(add_classes(d, s));
        return add_class_folders(l, d, s);
    }
    if (!p.train && part == EG_PART_TRAIN)
        return egi_fail(EG_ERR_DATA, "%s: no training part: wanted a folder 'train' beside '%s'", s->path, p.test);
    d->has_test = p.train && p.test;
    EG_TRY(add_classes_of(d, s, p.train));
    EG_TRY(add_classes_of(d, s, p.test));
    return add_part(l, d, s, p.test && part == EG_PART_TEST ? p.test : p.train);
}

/* --- pixels ------------------------------------------------------------------------------------------------------- */

static eg_status image_error(const char *path, const char *why)
{
    return egi_fail(EG_ERR_DATA, "%s: %s", path, why);
}

/* Some files of a list, a few a piece; `failed` is the first that could not be read. */
typedef struct pictures {
    char *const *paths; /* (n) */
    int64_t n;
    egi_image *sizes; /* (n): where probed */
    const egi_image *image;
    uint8_t *x; /* where decoded */
    atomic_llong failed;
} pictures;

#define PICTURES 8    /* a piece */
#define PROBED   4096 /* sizes in memory at a time */

static bool read_picture(const pictures *p, int64_t i, char *why)
{
    if (!p->x)
        return egi_image_probe(&p->sizes[i], p->paths[i], why);
    const int64_t bytes = p->image->width * p->image->height * p->image->channels;
    return egi_image_decode(p->image, p->paths[i], p->x + i * bytes, why);
}

static void read_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    pictures *p = arg;
    char why[EGI_IMAGE_WHY];
    const int64_t end = (piece + 1) * PICTURES < p->n ? (piece + 1) * PICTURES : p->n;
    for (int64_t i = piece * PICTURES; i < end; i++) {
        if (read_picture(p, i, why))
            continue;
        long long first = atomic_load(&p->failed);
        while (i < first && !atomic_compare_exchange_weak(&p->failed, &first, i))
            continue;
    }
}

/* The first failure is asked again on this thread for its words. */
static eg_status read_pictures(pictures *p, eg_context *c)
{
    atomic_init(&p->failed, p->n);
    egi_team_run(c->team, c->threads, (p->n + PICTURES - 1) / PICTURES, read_piece, p);
    const int64_t failed = atomic_load(&p->failed);
    if (failed == p->n)
        return EG_OK;
    char why[EGI_IMAGE_WHY] = "changed while it was read";
    read_picture(p, failed, why);
    return image_error(p->paths[failed], why);
}

/* Sizes must be one; the most channels are taken. */
static eg_status same_size(egi_image *image, const egi_image *sizes, char *const *paths, int64_t n, const char *first)
{
    for (int64_t i = 0; i < n; i++) {
        if (sizes[i].width != image->width || sizes[i].height != image->height)
            return egi_fail(EG_ERR_DATA,
                            "%s: %lld x %lld pixels, but %s has %lld x %lld: wanted one size; resize the images",
                            paths[i], (long long)sizes[i].width, (long long)sizes[i].height, first,
                            (long long)image->width, (long long)image->height);
        if (sizes[i].channels > image->channels)
            image->channels = sizes[i].channels;
    }
    return EG_OK;
}

/* Looks at the heads of all files. */
static eg_status probe_all(egi_image *image, const image_list *l, eg_context *c)
{
    egi_image *sizes;
    eg_status status = EG_OK;
    EG_TRY(egi_alloc(&sizes, c, l->n < PROBED ? l->n : PROBED, sizeof *sizes));
    for (int64_t at = 0; at < l->n && status == EG_OK; at += PROBED) {
        pictures p = {.paths = l->paths + at, .n = l->n - at < PROBED ? l->n - at : PROBED, .sizes = sizes};
        status = read_pictures(&p, c);
        if (at == 0)
            *image = sizes[0];
        if (status == EG_OK)
            status = same_size(image, sizes, p.paths, p.n, l->paths[0]);
    }
    egi_free(c, sizes);
    return status;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

typedef struct folder_reading {
    eg_context *context;
    image_list list; /* names go to the data set with their pictures */
    egi_image image;
    int64_t at;
} folder_reading;

static eg_status open_folder(eg_dataset *d, egi_reading *r, const egi_source *s, eg_part part)
{
    folder_reading *f;
    EG_TRY(egi_alloc(&f, s->context, 1, sizeof *f));
    f->context = s->context;
    r->state = f;
    EG_TRY(collect(&f->list, d, s, part));
    if (f->list.n == 0)
        return egi_fail(EG_ERR_DATA, "%s: no images: wanted PNG or JPEG files in a folder per class", s->path);
    EG_TRY(probe_all(&f->image, &f->list, s->context));
    r->labels = d->class_names != NULL;
    r->files = true;
    d->n = f->list.n;
    return egi_fill_shape(d, 0, EGI_U8, &EGI_SHAPE(f->image.height, f->image.width, f->image.channels));
}

static eg_status next_pictures(void *state, eg_dataset *d, int64_t at, int64_t n)
{
    folder_reading *f = state;
    const image_list *l = &f->list;
    const int64_t bytes = f->image.width * f->image.height * f->image.channels;
    pictures p = {.paths = l->paths + f->at, .n = n, .image = &f->image, .x = (uint8_t *)d->x[0] + at * bytes};
    EG_TRY(read_pictures(&p, f->context));
    for (int64_t i = 0; i < n; i++, f->at++) {
        d->files[at + i] = l->paths[f->at];
        l->paths[f->at] = NULL;
        if (d->labels)
            d->labels[at + i] = l->labels[f->at];
    }
    return EG_OK;
}

static eg_status pick_picture(void *state, eg_dataset *d, int64_t at, int64_t index)
{
    folder_reading *f = state;
    const int64_t bytes = f->image.width * f->image.height * f->image.channels;
    pictures p = {.paths = f->list.paths + index, .n = 1, .image = &f->image, .x = (uint8_t *)d->x[0] + at * bytes};
    if (d->labels)
        d->labels[at] = f->list.labels[index];
    return read_pictures(&p, f->context);
}

static void close_folder(void *state)
{
    folder_reading *f = state;
    for (int64_t i = 0; i < f->list.n; i++)
        egi_free(f->context, f->list.paths[i]);
    egi_free(f->context, f->list.paths);
    egi_free(f->context, f->list.labels);
    egi_free(f->context, f);
}

/* --- the reader --------------------------------------------------------------------------------------------------- */

/* Is there an image in it, in a folder of it, or in a folder of its parts? */
static eg_status find_image(bool *found, const egi_source *s, int depth)
{
    *found = holds_images(s);
    for (int64_t i = 0; i < s->n_entries && depth > 0 && !*found; i++) {
        egi_source inside;
        if (!s->entries[i].folder)
            continue;
        eg_status status = open_inside(&inside, s, s->entries[i].name);
        if (status == EG_OK) {
            status = find_image(found, &inside, depth - 1);
            egi_source_close(&inside);
        }
        if (status == EG_ERR_NOMEM)
            return status;
    }
    return EG_OK;
}

static eg_status detect(bool *yes, const egi_source *s)
{
    if (s->folder)
        return find_image(yes, s, 2);
    *yes = egi_image_magic(s->head, s->head_bytes);
    return EG_OK;
}

const egi_reader egi_reader_folder = {
    .format = "image folder",
    .accepts = "a folder per class of PNG or JPEG images",
    .detect = detect,
    .open = open_folder,
    .next = next_pictures,
    .pick = pick_picture,
    .close = close_folder,
};
