/** data/reader.h: what a reader of data sets is, and what it may call. A reader is one file and one line in
 * readers.def. */
#ifndef EGI_READER_H
#define EGI_READER_H

#include "data/dataset.h"
#include "data/file.h"

#define EGI_HEAD_BYTES  512
#define EGI_CLASSES_MAX (1 << 20) /* a label above it is an error in the file, not a class */

/** One entry of a folder; entries are sorted by name (bytes), names that begin with '.' are left out. */
typedef struct egi_entry {
    char *name;
    bool folder;
} egi_entry;

/** What a path points to, looked at once for all readers. */
typedef struct egi_source {
    eg_context *context;
    char *path;       /* as given, without ":train", no '/' at the end */
    const char *base; /* its last part, in `path` */
    bool folder;
    egi_entry *entries; /* of a folder */
    int64_t n_entries;
    unsigned char head[EGI_HEAD_BYTES]; /* of a file: its first bytes, inflated */
    int64_t head_bytes;
} egi_source;

EG_MUST_USE eg_status egi_source_open(egi_source *s, eg_context *context, const char *path);
void egi_source_close(egi_source *s);

/** Does `name` end in `ending`, in any case, where ".gz" behind both is ignored? */
bool egi_name_ends(const char *name, const char *ending);
/** Is `part` in `name`, in any case? */
bool egi_name_has(const char *name, const char *part);
/** The entry called `name` or `name`.gz, or NULL. */
const egi_entry *egi_source_find(const egi_source *s, const char *name);
/** "PATH/name"; owner: caller, egi_free(). */
EG_MUST_USE eg_status egi_source_join(char **out, const egi_source *s, const char *name);

/** A part of a set while it is read. */
typedef struct egi_reading {
    void *state;        /* the reader's; NULL: everything is in the data set already */
    bool labels, files; /* what comes with each example of input 0 */
} egi_reading;

typedef struct egi_reader {
    const char *format;  /* eg_dataset_info.format */
    const char *accepts; /* for the message that lists what can be read */
    /** By content, then by name; *yes is false before. Cheap: looks at the source, at most at folders in it. Errors:
     * NOMEM. */
    eg_status (*detect)(bool *yes, const egi_source *s);
    /** Opens TRAIN or TEST; without parts of its own it gives all. Sets has_test of the blank `d` (context, name and
     * format are set), then either reads everything into it, or says what there is (n, egi_fill_shape(), classes, class
     * names) and sets `r`: next() brings the examples. Labels that are read here, and names, are checked by the caller;
     * what `d` and `r` own is freed by the caller, also after a failure. */
    eg_status (*open)(eg_dataset *d, egi_reading *r, const egi_source *s, eg_part part);
    /** Puts the next n examples into rows at, at + 1, ... of `d`, which has room for them; d->files takes the names
     * over. With the last one it checks that nothing follows. Allocates nothing from the context. NULL where open()
     * reads everything. */
    eg_status (*next)(void *state, eg_dataset *d, int64_t at, int64_t n);
    /** Puts example `index` into row `at`, before next() was called; NULL where examples can only be read in order. */
    eg_status (*pick)(void *state, eg_dataset *d, int64_t at, int64_t index);
    void (*close)(void *state);
} egi_reader;

#define EG_READER(name) extern const egi_reader egi_reader_##name;
#include "data/readers.def"
#undef EG_READER

/* --- filling a data set (data/fill.c) ----------------------------------------------------------------------------- */

/** Says what input `i` is: n examples of shape and dtype. Errors: DATA (impossible shape). */
EG_MUST_USE eg_status egi_fill_shape(eg_dataset *d, int i, egi_dtype dtype, const egi_shape *shape);
/** The same, and allocates it. Errors: DATA, NOMEM. */
EG_MUST_USE eg_status egi_fill_input(eg_dataset *d, int i, egi_dtype dtype, const egi_shape *shape);
EG_MUST_USE eg_status egi_fill_labels(eg_dataset *d);
/** Room for a weight an example, and the check of what was put there. Errors: NOMEM; DATA (0 to 1e6 wanted). */
EG_MUST_USE eg_status egi_fill_weights(eg_dataset *d);
EG_MUST_USE eg_status egi_check_weights(const eg_dataset *d, const char *subject);
EG_MUST_USE eg_status egi_fill_targets(eg_dataset *d, const egi_shape *shape);
/** Are these n labels, of example `first` and on, 0 to EGI_CLASSES_MAX? `subject` names the file. Errors: DATA. */
EG_MUST_USE eg_status egi_check_labels(const int32_t *labels, int64_t n, int64_t first, const char *subject);
/** Labels 0 to EGI_CLASSES_MAX; classes becomes at least their number. `subject` names the file. Errors: DATA with the
 * place. */
EG_MUST_USE eg_status egi_fill_classes(eg_dataset *d, const char *subject);
/** Targets whose rows have two columns or more, one 1 and else 0, are classes too: labels and classes are filled. */
EG_MUST_USE eg_status egi_fill_one_hot(eg_dataset *d);
/** Class names from a text file, a name a line; nothing happens when the folder has no such file. Errors: DATA (fewer
 * names than classes, an empty line between). */
EG_MUST_USE eg_status egi_fill_class_names(eg_dataset *d, const egi_source *s, const char *file);
/** Makes room for the names of d->classes classes. */
EG_MUST_USE eg_status egi_fill_name_list(eg_dataset *d);

/** A blank set, and freeing one that is half filled. */
EG_MUST_USE eg_status egi_dataset_create(eg_dataset **out, eg_context *context, const char *name, const char *format);

#endif
