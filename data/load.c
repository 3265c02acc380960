/* From a path to a data set or a stream: the part, the reader. */
#include "data/stream.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const egi_reader *const readers[] = {
#define EG_READER(name) &egi_reader_##name,
#include "data/readers.def"
#undef EG_READER
};
#define N_READERS ((int)(sizeof readers / sizeof *readers))

/* "PATH:train": a part in the path wins over the argument. A file that really is called so is taken as it is. */
static size_t split_part(const char *path, eg_part *part)
{
    static const struct {
        const char *suffix;
        eg_part part;
    } parts[] = {{":train", EG_PART_TRAIN}, {":test", EG_PART_TEST}, {":all", EG_PART_ALL}};
    struct stat st;
    const size_t n = strlen(path);
    if (stat(path, &st) == 0)
        return n;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t m = strlen(parts[i].suffix);
        if (n > m && strcasecmp(path + n - m, parts[i].suffix) == 0) {
            *part = parts[i].part;
            return n - m;
        }
    }
    return n;
}

/* *out is NULL where no reader knows the source. */
static eg_status find_reader(const egi_reader **out, const egi_source *s)
{
    bool yes = false;
    *out = NULL;
    for (int i = 0; i < N_READERS && !*out; i++) {
        EG_TRY(readers[i]->detect(&yes, s));
        *out = yes ? readers[i] : NULL;
    }
    return EG_OK;
}

static eg_status unknown_format(const egi_source *s)
{
    char list[400] = "";
    size_t at = 0;
    if (s->head_bytes >= 8 && memcmp(s->head, "\x89HDF\r\n\x1a\n", 8) == 0)
        return egi_fail(EG_ERR_DATA,
                        "%s: unsupported: an HDF5 file as a data set; write its arrays with numpy.savez(x=..., y=...)",
                        s->path);
    for (int i = 0; i < N_READERS && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", readers[i]->accepts);
    return egi_fail(EG_ERR_DATA, "%s: not a data set; wanted %s", s->path, list);
}

static eg_status open_plain(eg_stream **out, eg_context *context, const char *path, eg_part part)
{
    egi_source s;
    EG_TRY(egi_source_open(&s, context, path));
    const egi_reader *reader = NULL;
    eg_status status = find_reader(&reader, &s);
    if (status == EG_OK && !reader)
        status = unknown_format(&s);
    else if (status == EG_OK)
        status = egi_stream_begin(out, &s, reader, part);
    egi_source_close(&s);
    return status;
}

eg_status eg_stream_open(eg_stream **out, eg_context *context, const char *path, eg_part part)
{
    if (!out || !context || !path || !*path)
        return egi_fail(EG_ERR_ARG, "data set: out, context and path must not be NULL or empty");
    if (part != EG_PART_TRAIN && part != EG_PART_TEST && part != EG_PART_ALL)
        return egi_fail(EG_ERR_ARG, "%s: wanted part train, test or all, found number %d", path, (int)part);
    const size_t length = split_part(path, &part);
    char *plain;
    EG_TRY(egi_format(&plain, context, "%.*s", (int)length, path));
    const eg_status status = open_plain(out, context, plain, part);
    egi_free(context, plain);
    return status;
}

eg_status eg_dataset_load(eg_dataset **out, eg_context *context, const char *path, eg_part part)
{
    eg_stream *stream = NULL;
    EG_TRY(eg_stream_open(out ? &stream : NULL, context, path, part));
    const eg_status status = egi_stream_take(out, stream);
    eg_stream_free(stream);
    return status;
}
