#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static eg_status fail_io(const char *path, const char *what)
{
    const int error = errno;
    char words[128];
    return egi_fail(EG_ERR_IO, "%s: cannot %s: %s", path, what, strerror_r(error, words, sizeof words));
}

eg_status egi_file_temporary(char **out, eg_context *context, const char *path)
{
    return egi_format(out, context, "%s.%ld.part", path, (long)getpid());
}

/* A rename is safe on the disk once its folder is. Some file systems refuse to flush folders; the data is flushed
 * before. */
static void flush_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096] = ".";
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static eg_status flush_file(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(path, "open");
    const int failed = fsync(fd);
    const int error = errno;
    close(fd);
    errno = error;
    return failed ? fail_io(path, "flush") : EG_OK;
}

eg_status egi_file_commit(eg_context *context, const char *temporary, const char *path)
{
    (void)context;
    eg_status status = flush_file(temporary);
    if (status == EG_OK && rename(temporary, path) != 0)
        status = fail_io(path, "write");
    if (status != EG_OK)
        unlink(temporary);
    else
        flush_folder(path);
    return status;
}

static eg_status write_all(const char *path, const char *data, size_t bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_io(path, "write");
    while (bytes > 0) {
        const ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            const eg_status status = fail_io(path, "write");
            close(fd);
            return status;
        }
        data += n;
        bytes -= (size_t)n;
    }
    return close(fd) == 0 ? EG_OK : fail_io(path, "write");
}

eg_status egi_file_write_atomic(eg_context *context, const char *path, const void *data, size_t bytes)
{
    char *temporary;
    EG_TRY(egi_file_temporary(&temporary, context, path));
    eg_status status = write_all(temporary, data, bytes);
    if (status == EG_OK)
        status = egi_file_commit(context, temporary, path);
    else
        unlink(temporary);
    egi_free(context, temporary);
    return status;
}

eg_status egi_folder_create(eg_context *context, const char *path)
{
    char *copy;
    EG_TRY(egi_strdup(&copy, context, path));
    eg_status status = EG_OK;
    for (char *s = copy + 1; *copy && status == EG_OK; s++) {
        const char was = *s;
        if (was != '/' && was != 0)
            continue;
        *s = 0;
        struct stat st;
        if (mkdir(copy, 0777) != 0 && (errno != EEXIST || stat(copy, &st) != 0))
            status = fail_io(copy, "make the folder");
        else if (stat(copy, &st) == 0 && !S_ISDIR(st.st_mode))
            status = egi_fail(EG_ERR_IO, "%s: wanted a folder, found a file", copy);
        *s = was;
        if (!was)
            break;
    }
    egi_free(context, copy);
    return status;
}

static eg_status read_open(char **out, size_t *bytes, eg_context *context, const char *path, FILE *file, size_t limit)
{
    char *text = NULL;
    int64_t n = 0, capacity = 0;
    eg_status status = EG_OK;
    for (;;) {
        const int64_t room = capacity ? capacity * 2 : 4096;
        if (n + 1 >= capacity) {
            EG_TRY_GOTO(status, egi_grow(&text, context, capacity, room, 1));
            capacity = room;
        }
        const size_t got = fread(text + n, 1, (size_t)(capacity - n - 1), file);
        n += (int64_t)got;
        if ((size_t)n > limit)
            status = egi_fail(EG_ERR_FORMAT, "%s: larger than the %zu bytes allowed", path, limit);
        else if (ferror(file))
            status = fail_io(path, "read");
        if (status != EG_OK || got == 0)
            break;
    }
done:
    if (status != EG_OK) {
        egi_free(context, text);
        return status;
    }
    text[n] = 0;
    *out = text;
    *bytes = (size_t)n;
    return EG_OK;
}

eg_status egi_file_slurp(char **out, size_t *bytes, eg_context *context, const char *path, size_t limit)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail_io(path, "open");
    const eg_status status = read_open(out, bytes, context, path, file, limit);
    fclose(file);
    return status;
}
