#include "data/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_BYTES     22 /* end of central directory */
#define COMMENT_MAX   65535
#define END64_BYTES   56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES   46
#define LOCAL_BYTES   30
#define BUFFER_BYTES  (1 << 16)
#define MEMBERS_MAX   65536
#define EXPANSION     1032

static uint64_t number(const unsigned char *b, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

static eg_status broken(const egi_zip *z, const char *what)
{
    return egi_fail(EG_ERR_DATA, "%s: broken zip archive: %s", z->path, what);
}

static eg_status read_at(const egi_zip *z, int64_t offset, void *dst, int64_t bytes)
{
    if (offset < 0 || bytes < 0 || offset > z->bytes || bytes > z->bytes - offset)
        return broken(z, "an offset or a size lies outside the file");
    for (int64_t got = 0; got < bytes;) {
        const ssize_t n = pread(z->fd, (char *)dst + got, (size_t)(bytes - got), (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return egi_fail(EG_ERR_IO, "%s: cannot read: %s", z->path, n < 0 ? strerror(errno) : "file became shorter");
        got += n;
    }
    return EG_OK;
}

typedef struct directory {
    int64_t entries, bytes, offset;
} directory;

/* Some archives say 0xffff... in the old record and the truth in the zip64 one before it. */
static eg_status read_end64(const egi_zip *z, int64_t end_at, directory *dir)
{
    unsigned char locator[LOCATOR_BYTES], end[END64_BYTES];
    if (end_at < LOCATOR_BYTES)
        return broken(z, "no zip64 locator");
    EG_TRY(read_at(z, end_at - LOCATOR_BYTES, locator, LOCATOR_BYTES));
    if (memcmp(locator, "PK\6\7", 4) != 0)
        return broken(z, "no zip64 locator");
    const uint64_t at = number(locator + 8, 8);
    EG_TRY(read_at(z, at > INT64_MAX ? -1 : (int64_t)at, end, END64_BYTES));
    if (memcmp(end, "PK\6\6", 4) != 0)
        return broken(z, "no zip64 end record");
    *dir = (directory){(int64_t)number(end + 32, 8), (int64_t)number(end + 40, 8), (int64_t)number(end + 48, 8)};
    return EG_OK;
}

static eg_status find_directory(const egi_zip *z, directory *dir, unsigned char *tail)
{
    const int64_t room = z->bytes < END_BYTES + COMMENT_MAX ? z->bytes : END_BYTES + COMMENT_MAX,
                  from = z->bytes - room;
    EG_TRY(read_at(z, from, tail, room));
    int64_t at = room - END_BYTES;
    while (at >= 0 &&
           !(memcmp(tail + at, "PK\5\6", 4) == 0 && (int64_t)number(tail + at + 20, 2) == room - at - END_BYTES))
        at--;
    if (at < 0)
        return broken(z, "no directory at its end: cut off, or bytes behind it");
    const unsigned char *e = tail + at;
    *dir = (directory){(int64_t)number(e + 10, 2), (int64_t)number(e + 12, 4), (int64_t)number(e + 16, 4)};
    if (dir->entries == 0xffff || dir->bytes == 0xffffffff || dir->offset == 0xffffffff)
        EG_TRY(read_end64(z, from + at, dir));
    if (dir->entries < 0 || dir->entries > MEMBERS_MAX || dir->bytes < dir->entries * ENTRY_BYTES)
        return broken(z, "impossible number of members");
    return EG_OK;
}

/* Zip64 extra field: the sizes that were 0xffffffff, in this order. */
static bool read_extra64(egi_zip_member *m, const unsigned char *extra, int64_t bytes)
{
    while (bytes >= 4) {
        int64_t id = (int64_t)number(extra, 2), length = (int64_t)number(extra + 2, 2);
        if (length > bytes - 4)
            return false;
        if (id == 1) {
            int64_t *const fields[] = {&m->size, &m->packed, &m->offset};
            const unsigned char *at = extra + 4;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == 0xffffffff) {
                    if (at + 8 > extra + 4 + length)
                        return false;
                    *fields[i] = (int64_t)number(at, 8);
                    at += 8;
                }
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return true;
}

/* One entry of the directory; *used is its length. */
static eg_status read_entry(egi_zip *z, const unsigned char *e, int64_t left, int64_t *used)
{
    if (left < ENTRY_BYTES || memcmp(e, "PK\1\2", 4) != 0)
        return broken(z, "its directory has no such entry");
    const int64_t name = (int64_t)number(e + 28, 2), extra = (int64_t)number(e + 30, 2),
                  comment = (int64_t)number(e + 32, 2);
    *used = ENTRY_BYTES + name + extra + comment;
    if (*used > left || name == 0 || memchr(e + ENTRY_BYTES, 0, (size_t)name))
        return broken(z, "an entry of its directory is cut off or has no name");
    egi_zip_member *m = &z->members[z->n];
    *m = (egi_zip_member){.flags = (int)number(e + 8, 2),
                          .method = (int)number(e + 10, 2),
                          .crc = (uint32_t)number(e + 16, 4),
                          .packed = (int64_t)number(e + 20, 4),
                          .size = (int64_t)number(e + 24, 4),
                          .offset = (int64_t)number(e + 42, 4)};
    if (!read_extra64(m, e + ENTRY_BYTES + name, extra) || m->size < 0 || m->packed < 0 || m->offset < 0 ||
        m->packed > z->bytes)
        return broken(z, "an entry has impossible sizes");
    EG_TRY(egi_format(&m->name, z->context, "%.*s", (int)name, (const char *)e + ENTRY_BYTES));
    z->n++;
    return EG_OK;
}

static eg_status read_entries(egi_zip *z, const directory *dir, const unsigned char *raw)
{
    int64_t at = 0, used = 0;
    for (int64_t i = 0; i < dir->entries; i++) {
        EG_TRY(read_entry(z, raw + at, dir->bytes - at, &used));
        at += used;
    }
    return EG_OK;
}

static eg_status read_directory(egi_zip *z)
{
    directory dir = {0};
    unsigned char *raw = NULL;
    EG_TRY(egi_alloc(&raw, z->context, END_BYTES + COMMENT_MAX, 1));
    eg_status status = find_directory(z, &dir, raw);
    egi_free(z->context, raw);
    EG_TRY(status);
    if (dir.bytes > z->bytes)
        return broken(z, "its directory is longer than the file");
    EG_TRY(egi_alloc(&raw, z->context, dir.bytes, 1));
    status = egi_alloc(&z->members, z->context, dir.entries, sizeof *z->members);
    if (status == EG_OK)
        status = read_at(z, dir.offset, raw, dir.bytes);
    if (status == EG_OK)
        status = read_entries(z, &dir, raw);
    egi_free(z->context, raw);
    return status;
}

eg_status egi_zip_open(egi_zip *z, eg_context *context, const char *path)
{
    struct stat st;
    *z = (egi_zip){.context = context, .path = path};
    z->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (z->fd < 0)
        return egi_fail(EG_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    eg_status status = EG_OK;
    if (fstat(z->fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = egi_fail(EG_ERR_IO, "%s: not a regular file", path);
    z->bytes = status == EG_OK ? st.st_size : 0;
    if (status == EG_OK)
        status = read_directory(z);
    if (status != EG_OK)
        egi_zip_close(z);
    return status;
}

void egi_zip_close(egi_zip *z)
{
    for (int64_t i = 0; i < z->n; i++)
        egi_free(z->context, z->members[i].name);
    egi_free(z->context, z->members);
    if (z->fd >= 0)
        close(z->fd);
    *z = (egi_zip){.context = z->context, .path = z->path, .fd = -1};
}

const egi_zip_member *egi_zip_find(const egi_zip *z, const char *name)
{
    for (int64_t i = 0; i < z->n; i++)
        if (strcmp(z->members[i].name, name) == 0)
            return &z->members[i];
    return NULL;
}

/* --- reading a member --------------------------------------------------------------------------------------------- */

static eg_status bad_member(const egi_zip_reader *r, const char *what)
{
    return egi_fail(EG_ERR_DATA, "%s: member '%s': %s", r->zip->path, r->member->name, what);
}

static eg_status check_member(const egi_zip_reader *r)
{
    const egi_zip_member *m = r->member;
    if (m->flags & 1)
        return bad_member(r, "unsupported: it is encrypted");
    if (m->method != 0 && m->method != 8)
        return bad_member(r, "unsupported: wanted it stored or deflated");
    if (m->method == 0 ? m->packed != m->size : m->size / EXPANSION > m->packed)
        return bad_member(r, "its sizes cannot be");
    return EG_OK;
}

static eg_status start(egi_zip_reader *r)
{
    unsigned char local[LOCAL_BYTES];
    EG_TRY(check_member(r));
    EG_TRY(read_at(r->zip, r->member->offset, local, LOCAL_BYTES));
    if (memcmp(local, "PK\3\4", 4) != 0)
        return bad_member(r, "wanted its local header, found other bytes");
    r->at = r->member->offset + LOCAL_BYTES + (int64_t)number(local + 26, 2) + (int64_t)number(local + 28, 2);
    if (r->at > r->zip->bytes || r->packed_left > r->zip->bytes - r->at)
        return bad_member(r, "it reaches beyond the end of the file");
    if (r->member->method == 0)
        return EG_OK;
    EG_TRY(egi_alloc(&r->buffer, r->zip->context, BUFFER_BYTES, 1));
    if (inflateInit2(&r->z, -15) != Z_OK)
        return egi_fail(EG_ERR_NOMEM, "%s: no memory to inflate", r->zip->path);
    r->inflating = true;
    return EG_OK;
}

eg_status egi_zip_reader_open(egi_zip_reader *r, const egi_zip *z, const egi_zip_member *m)
{
    *r = (egi_zip_reader){.zip = z, .member = m, .packed_left = m->packed, .left = m->size, .crc = crc32(0, NULL, 0)};
    const eg_status status = start(r);
    if (status != EG_OK)
        egi_zip_reader_close(r);
    return status;
}

void egi_zip_reader_close(egi_zip_reader *r)
{
    if (r->inflating)
        inflateEnd(&r->z);
    egi_free(r->zip->context, r->buffer);
    r->buffer = NULL;
    r->inflating = false;
}

static eg_status take_packed(egi_zip_reader *r, void *dst, int64_t bytes)
{
    EG_TRY(read_at(r->zip, r->at, dst, bytes));
    r->at += bytes;
    r->packed_left -= bytes;
    return EG_OK;
}

static eg_status inflate_piece(egi_zip_reader *r)
{
    if (r->z.avail_in == 0) {
        const int64_t now = r->packed_left < BUFFER_BYTES ? r->packed_left : BUFFER_BYTES;
        if (now == 0)
            return bad_member(r, "its deflated data has no end");
        EG_TRY(take_packed(r, r->buffer, now));
        r->z.next_in = r->buffer;
        r->z.avail_in = (uInt)now;
    }
    const int rc = inflate(&r->z, Z_NO_FLUSH);
    if (rc == Z_STREAM_END && r->z.avail_out > 0)
        return bad_member(r, "it is shorter than its directory entry says");
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return bad_member(r, "its deflated data is broken");
    return EG_OK;
}

static eg_status inflate_bytes(egi_zip_reader *r, unsigned char *dst, int64_t bytes)
{
    while (bytes > 0) {
        const uInt now = bytes > INT_MAX ? INT_MAX : (uInt)bytes;
        r->z.next_out = dst;
        r->z.avail_out = now;
        while (r->z.avail_out > 0)
            EG_TRY(inflate_piece(r));
        dst += now;
        bytes -= now;
    }
    return EG_OK;
}

eg_status egi_zip_read(egi_zip_reader *r, void *dst, int64_t bytes)
{
    if (bytes > r->left)
        return bad_member(r, "truncated: it is shorter than its content says");
    if (r->inflating)
        EG_TRY(inflate_bytes(r, dst, bytes));
    else
        EG_TRY(take_packed(r, dst, bytes));
    r->left -= bytes;
    for (int64_t at = 0; at < bytes; at += INT_MAX)
        r->crc = crc32(r->crc, (unsigned char *)dst + at, bytes - at > INT_MAX ? INT_MAX : (uInt)(bytes - at));
    return EG_OK;
}

eg_status egi_zip_expect_end(egi_zip_reader *r)
{
    if (r->left > 0)
        return bad_member(r, "more bytes than its content says");
    if ((uint32_t)r->crc != r->member->crc)
        return bad_member(r, "its checksum is wrong");
    return EG_OK;
}
