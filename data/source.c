/* Looking at a path once: a folder's entries, a file's first bytes. */
#include "data/reader.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static size_t stem_length(const char *name)
{
    const size_t n = strlen(name);
    return n > 3 && strcasecmp(name + n - 3, ".gz") == 0 ? n - 3 : n;
}

bool egi_name_ends(const char *name, const char *ending)
{
    const size_t n = stem_length(name), m = strlen(ending);
    return n >= m && strncasecmp(name + n - m, ending, m) == 0;
}

bool egi_name_has(const char *name, const char *part)
{
    return strcasestr(name, part) != NULL;
}

const egi_entry *egi_source_find(const egi_source *s, const char *name)
{
    const egi_entry *zipped = NULL;
    for (int64_t i = 0; i < s->n_entries; i++) {
        const char *e = s->entries[i].name;
        if (strcmp(e, name) == 0)
            return &s->entries[i];
        if (stem_length(e) == strlen(name) && strncmp(e, name, stem_length(e)) == 0)
            zipped = &s->entries[i];
    }
    return zipped;
}

eg_status egi_source_join(char **out, const egi_source *s, const char *name)
{
    return egi_format(out, s->context, "%s/%s", s->path, name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const egi_entry *)a)->name, ((const egi_entry *)b)->name);
}

/* Asks the file system only where the listing did not say: folders of a million images are read twice. */
static eg_status entry_kind(egi_source *s, const struct dirent *e, bool *there, bool *folder)
{
    struct stat st;
    char *path;
    *there = true;
    *folder = e->d_type == DT_DIR;
    if (e->d_type == DT_REG || e->d_type == DT_DIR)
        return EG_OK;
    EG_TRY(egi_source_join(&path, s, e->d_name));
    *there = stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode));
    *folder = *there && S_ISDIR(st.st_mode);
    egi_free(s->context, path);
    return EG_OK;
}

static eg_status add_entry(egi_source *s, int64_t *capacity, const struct dirent *e)
{
    bool there, folder;
    EG_TRY(entry_kind(s, e, &there, &folder));
    if (!there)
        return EG_OK;
    EG_TRY(EGI_RESERVE(s->context, s->entries, s->n_entries, *capacity));
    EG_TRY(egi_strdup(&s->entries[s->n_entries].name, s->context, e->d_name));
    s->entries[s->n_entries++].folder = folder;
    return EG_OK;
}

static eg_status list_folder(egi_source *s)
{
    int64_t capacity = 0;
    eg_status status = EG_OK;
    DIR *dir = opendir(s->path);
    if (!dir)
        return egi_fail(EG_ERR_IO, "%s: cannot list: %s", s->path, strerror(errno));
    for (struct dirent *e; status == EG_OK && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            status = add_entry(s, &capacity, e);
    closedir(dir);
    if (status == EG_OK && s->n_entries > 1)
        qsort(s->entries, (size_t)s->n_entries, sizeof *s->entries, by_name);
    return status;
}

static eg_status read_head(egi_source *s)
{
    egi_file f;
    EG_TRY(egi_file_open(&f, s->context, s->path));
    const eg_status status = egi_file_read_some(&f, s->head, EGI_HEAD_BYTES, &s->head_bytes);
    egi_file_close(&f);
    return status;
}

static eg_status look(egi_source *s, const char *path)
{
    struct stat st;
    EG_TRY(egi_strdup(&s->path, s->context, path));
    for (size_t n = strlen(s->path); n > 1 && s->path[n - 1] == '/'; n--)
        s->path[n - 1] = '\0';
    const char *slash = strrchr(s->path, '/');
    s->base = slash && slash[1] ? slash + 1 : s->path;
    if (stat(s->path, &st) != 0)
        return egi_fail(EG_ERR_IO, "%s: cannot open: %s", s->path, strerror(errno));
    s->folder = S_ISDIR(st.st_mode);
    return s->folder ? list_folder(s) : read_head(s);
}

eg_status egi_source_open(egi_source *s, eg_context *context, const char *path)
{
    *s = (egi_source){.context = context};
    const eg_status status = look(s, path);
    if (status != EG_OK)
        egi_source_close(s);
    return status;
}

void egi_source_close(egi_source *s)
{
    for (int64_t i = 0; i < s->n_entries; i++)
        egi_free(s->context, s->entries[i].name);
    egi_free(s->context, s->entries);
    egi_free(s->context, s->path);
    *s = (egi_source){.context = s->context};
}
