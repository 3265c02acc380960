#include "data/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GZ_EXPANSION 1032 /* the most that deflate can expand */

static eg_status read_error(const egi_file *f)
{
    return egi_fail(EG_ERR_IO, "%s: cannot read: %s", f->path, strerror(errno));
}

/* As many bytes as there are, up to `bytes`. */
static eg_status read_disk(egi_file *f, void *dst, int64_t bytes, int64_t *got)
{
    int64_t total = 0;
    while (total < bytes) {
        const ssize_t n = read(f->fd, (char *)dst + total, (size_t)(bytes - total));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return read_error(f);
        if (n == 0)
            break;
        total += n;
    }
    f->disk_left -= total;
    *got = total;
    return EG_OK;
}

static eg_status open_regular(egi_file *f)
{
    struct stat st;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return egi_fail(EG_ERR_IO, "%s: cannot open: %s", f->path, strerror(errno));
    if (fstat(f->fd, &st) != 0)
        return read_error(f);
    if (!S_ISREG(st.st_mode))
        return egi_fail(EG_ERR_IO, "%s: wanted a file, found %s", f->path,
                        S_ISDIR(st.st_mode) ? "a folder" : "something that is neither file nor folder");
    f->disk_bytes = f->disk_left = st.st_size;
    return EG_OK;
}

static eg_status start_gzip(egi_file *f)
{
    unsigned char magic[2];
    if (f->disk_bytes < 18 || pread(f->fd, magic, 2, 0) != 2 || magic[0] != 0x1f || magic[1] != 0x8b)
        return EG_OK;
    EG_TRY(egi_alloc(&f->buffer, f->context, EGI_FILE_BUFFER, 1));
    if (inflateInit2(&f->z, 15 + 16) != Z_OK)
        return egi_fail(EG_ERR_NOMEM, "%s: no memory to inflate", f->path);
    f->gz = true;
    return EG_OK;
}

eg_status egi_file_open(egi_file *f, eg_context *context, const char *path)
{
    *f = (egi_file){.context = context, .path = path, .fd = -1};
    eg_status status = open_regular(f);
    if (status == EG_OK)
        status = start_gzip(f);
    if (status != EG_OK)
        egi_file_close(f);
    return status;
}

void egi_file_close(egi_file *f)
{
    if (f->gz)
        inflateEnd(&f->z);
    if (f->buffer)
        egi_free(f->context, f->buffer);
    if (f->fd >= 0)
        close(f->fd);
    *f = (egi_file){.fd = -1};
}

static eg_status refill(egi_file *f)
{
    int64_t got = 0;
    if (f->z.avail_in > 0)
        return EG_OK;
    EG_TRY(read_disk(f, f->buffer, EGI_FILE_BUFFER, &got));
    f->z.next_in = f->buffer;
    f->z.avail_in = (uInt)got;
    return EG_OK;
}

/* One call of inflate(). A gzip file may be several members one after the other. */
static eg_status inflate_some(egi_file *f)
{
    EG_TRY(refill(f));
    if (f->z.avail_in == 0)
        return egi_fail(EG_ERR_DATA, "%s: truncated: the gzip stream has no end", f->path);
    const int rc = inflate(&f->z, Z_NO_FLUSH);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return egi_fail(EG_ERR_DATA, "%s: broken gzip: %s", f->path, f->z.msg ? f->z.msg : "invalid stream");
    if (rc != Z_STREAM_END)
        return EG_OK;
    EG_TRY(refill(f));
    f->at_end = f->z.avail_in == 0;
    if (!f->at_end && inflateReset(&f->z) != Z_OK)
        return egi_fail(EG_ERR_INTERNAL, "%s: zlib refused to go on", f->path);
    return EG_OK;
}

static eg_status read_gzip(egi_file *f, void *dst, int64_t bytes, int64_t *got)
{
    int64_t total = 0;
    while (total < bytes && !f->at_end) {
        const uInt chunk = bytes - total > INT_MAX ? INT_MAX : (uInt)(bytes - total);
        f->z.next_out = (unsigned char *)dst + total;
        f->z.avail_out = chunk;
        while (f->z.avail_out > 0 && !f->at_end)
            EG_TRY(inflate_some(f));
        total += chunk - f->z.avail_out;
    }
    *got = total;
    return EG_OK;
}

eg_status egi_file_read_some(egi_file *f, void *dst, int64_t bytes, int64_t *got)
{
    return f->gz ? read_gzip(f, dst, bytes, got) : read_disk(f, dst, bytes, got);
}

eg_status egi_file_read(egi_file *f, void *dst, int64_t bytes)
{
    int64_t got = 0;
    EG_TRY(egi_file_read_some(f, dst, bytes, &got));
    if (got < bytes)
        return egi_fail(EG_ERR_DATA, "%s: truncated: wanted %lld more bytes, found %lld", f->path, (long long)bytes,
                        (long long)got);
    return EG_OK;
}

eg_status egi_file_expect_end(egi_file *f)
{
    char more;
    int64_t got = 0;
    EG_TRY(egi_file_read_some(f, &more, 1, &got));
    if (got)
        return egi_fail(EG_ERR_DATA, "%s: more bytes than its header promises", f->path);
    return EG_OK;
}

eg_status egi_file_expect_room(const egi_file *f, int64_t bytes)
{
    const int64_t most = f->gz ? f->disk_bytes * GZ_EXPANSION : f->disk_left;
    if (bytes > most)
        return egi_fail(EG_ERR_DATA, "%s: its header promises %lld bytes, but %lld bytes on disk hold at most %lld",
                        f->path, (long long)bytes, (long long)f->disk_bytes, (long long)most);
    return EG_OK;
}

eg_status egi_file_size(const egi_file *f, int64_t *bytes)
{
    unsigned char t[4];
    if (!f->gz) {
        *bytes = f->disk_bytes;
        return EG_OK;
    }
    if (pread(f->fd, t, 4, f->disk_bytes - 4) != 4)
        return read_error(f);
    const int64_t size = t[0] | t[1] << 8 | t[2] << 16 | (int64_t)t[3] << 24;
    EG_TRY(egi_file_expect_room(f, size));
    *bytes = size;
    return EG_OK;
}

eg_status egi_file_load(char **text, int64_t *bytes, eg_context *context, const char *path)
{
    egi_file f;
    char *content = NULL;
    int64_t size = 0;
    EG_TRY(egi_file_open(&f, context, path));
    eg_status status = egi_file_size(&f, &size);
    if (status == EG_OK)
        status = egi_alloc(&content, context, size + 1, 1);
    if (status == EG_OK)
        status = egi_file_read(&f, content, size);
    if (status == EG_OK)
        status = egi_file_expect_end(&f);
    egi_file_close(&f);
    if (status != EG_OK) {
        egi_free(context, content);
        return status;
    }
    *text = content;
    *bytes = size;
    return EG_OK;
}
