/* Opening a file, bounded reads, object headers (HDF5 File Format Specification 3.0, sections II and IV.A). */
#include "checkpoints/hdf5_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METADATA_MAX ((int64_t)128 << 20) /* far above any Keras file's, far below what hurts */
#define BLOCKS_MAX   1024                 /* continuation blocks of one header */

/* --- bounded reads ------------------------------------------------------------------------------------------------ */

const uint8_t *egi_h5_take_bytes(egi_h5_cursor *c, uint64_t bytes)
{
    if (bytes > c->left) {
        c->bad = true;
        c->left = 0;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += bytes;
    c->left -= bytes;
    return p;
}

uint64_t egi_h5_take(egi_h5_cursor *c, int bytes)
{
    uint64_t value = 0;
    const uint8_t *p = egi_h5_take_bytes(c, (uint64_t)bytes);
    for (int i = 0; p && i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

eg_status egi_h5_bytes(void *out, egi_h5 *f, uint64_t address, uint64_t bytes, const char *what)
{
    if (address > f->size || bytes > f->size - address)
        return egi_fail(EG_ERR_FORMAT, "hdf5: %s: %llu bytes at %llu wanted, the file ends at %llu" EGI_H5_DAMAGED,
                        what, (unsigned long long)bytes, (unsigned long long)address, (unsigned long long)f->size);
    uint8_t *to = out;
    for (uint64_t done = 0; done < bytes;) {
        const ssize_t n = pread(f->fd, to + done, bytes - done, (off_t)(f->base + address + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return egi_fail(EG_ERR_IO, "hdf5: %s: reading %llu bytes failed: %s", what, (unsigned long long)bytes,
                            n < 0 ? strerror(errno) : "the file became shorter meanwhile");
        done += (uint64_t)n;
    }
    return EG_OK;
}

eg_status egi_h5_block(uint8_t **out, egi_h5 *f, uint64_t address, uint64_t bytes, const char *what)
{
    uint8_t *block;
    if (address <= f->size && bytes <= f->size - address) { /* else egi_h5_bytes() says so, without an allocation */
        f->budget -= (int64_t)(bytes < 256 ? 256 : bytes);
        if (f->budget < 0)
            return egi_fail(EG_ERR_FORMAT,
                            "hdf5: more than %lld MB of structure; a Keras file has far less, this one "
                            "is damaged or hostile",
                            (long long)(METADATA_MAX >> 20));
        EG_TRY(egi_alloc(&block, f->context, (int64_t)bytes, 1));
    } else {
        return egi_h5_bytes(NULL, f, address, bytes, what);
    }
    const eg_status status = egi_h5_bytes(block, f, address, bytes, what);
    if (status != EG_OK) {
        egi_free(f->context, block);
        return status;
    }
    *out = block;
    return EG_OK;
}

/* --- object headers ----------------------------------------------------------------------------------------------- */

void egi_h5_header_free(egi_h5 *f, egi_h5_header *h)
{
    for (int64_t i = 0; i < h->n_blocks; i++)
        egi_free(f->context, h->blocks[i]);
    egi_free(f->context, h->blocks);
    egi_free(f->context, h->msgs);
    *h = (egi_h5_header){0};
}

static eg_status add_block(egi_h5_header *h, egi_h5 *f, uint64_t address, uint64_t bytes)
{
    if (h->n_blocks == BLOCKS_MAX)
        return egi_fail(EG_ERR_FORMAT, "hdf5: an object header has more than %d parts" EGI_H5_DAMAGED, BLOCKS_MAX);
    EG_TRY(EGI_RESERVE(f->context, h->blocks, h->n_blocks, h->blocks_capacity));
    EG_TRY(egi_h5_block(&h->blocks[h->n_blocks], f, address, bytes, "object header"));
    h->n_blocks++;
    return EG_OK;
}

egi_h5_cursor egi_h5_cursor_of(const egi_h5_msg *m)
{
    return (egi_h5_cursor){.p = m->data, .left = m->size};
}

static eg_status take_message(egi_h5_header *h, egi_h5 *f, egi_h5_cursor *c, int version, int header_flags, bool *more)
{
    egi_h5_msg m = {.type = (int)egi_h5_take(c, version == 1 ? 2 : 1)};
    m.size = (uint32_t)egi_h5_take(c, 2);
    m.flags = (int)egi_h5_take(c, 1);
    egi_h5_take_bytes(c, version == 1 ? 3 : header_flags & 4 ? 2 : 0);
    m.data = egi_h5_take_bytes(c, m.size);
    if (c->bad)
        return egi_fail(EG_ERR_FORMAT, "hdf5: an object header's message runs past its end" EGI_H5_DAMAGED);
    if (m.flags & 2)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: shared or user-defined (committed) hdf5 types; save the model "
                        "again with Keras");
    *more = m.type == EGI_H5_MSG_CONTINUE;
    EG_TRY(EGI_RESERVE(f->context, h->msgs, h->n, h->capacity));
    h->msgs[h->n++] = m;
    return EG_OK;
}

/* The messages of one block; continuation messages append blocks, which are parsed in turn. */
static eg_status take_messages(egi_h5_header *h, egi_h5 *f, egi_h5_cursor c, int version, int flags)
{
    const uint64_t least = version == 1 ? 8 : flags & 4 ? 6 : 4;
    while (c.left >= least) {
        bool more = false;
        EG_TRY(take_message(h, f, &c, version, flags, &more));
        if (!more)
            continue;
        egi_h5_cursor m = egi_h5_cursor_of(&h->msgs[h->n - 1]);
        const uint64_t address = egi_h5_take(&m, 8), bytes = egi_h5_take(&m, 8);
        if (m.bad)
            return egi_fail(EG_ERR_FORMAT, "hdf5: a short continuation message" EGI_H5_DAMAGED);
        EG_TRY(add_block(h, f, address, bytes));
        egi_h5_cursor next = {.p = h->blocks[h->n_blocks - 1], .left = bytes};
        if (version == 2) {
            const uint8_t *signature = egi_h5_take_bytes(&next, 4);
            if (!signature || memcmp(signature, "OCHK", 4) != 0 || next.left < 4)
                return egi_fail(EG_ERR_FORMAT, "hdf5: object header continuation: OCHK wanted" EGI_H5_DAMAGED);
            next.left -= 4; /* the checksum */
        }
        EG_TRY(take_messages(h, f, next, version, flags));
    }
    return EG_OK;
}

static eg_status header_1(egi_h5_header *h, egi_h5 *f, uint64_t address)
{
    uint8_t prefix[16];
    EG_TRY(egi_h5_bytes(prefix, f, address, sizeof prefix, "object header"));
    egi_h5_cursor c = {.p = prefix, .left = sizeof prefix};
    egi_h5_take(&c, 8);
    const uint64_t bytes = egi_h5_take(&c, 4);
    EG_TRY(add_block(h, f, address + sizeof prefix, bytes));
    return take_messages(h, f, (egi_h5_cursor){.p = h->blocks[0], .left = bytes}, 1, 0);
}

static eg_status header_2(egi_h5_header *h, egi_h5 *f, uint64_t address)
{
    uint8_t prefix[6 + 16 + 4 + 8] = {0};
    const uint64_t left = f->size - address; /* the signature was read there */
    const uint64_t have = left < sizeof prefix ? left : sizeof prefix;
    EG_TRY(egi_h5_bytes(prefix, f, address, have, "object header"));
    egi_h5_cursor c = {.p = prefix, .left = have};
    egi_h5_take(&c, 4);
    const int version = (int)egi_h5_take(&c, 1), flags = (int)egi_h5_take(&c, 1);
    egi_h5_take_bytes(&c, (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0));
    const uint64_t bytes = egi_h5_take(&c, 1 << (flags & 3));
    if (c.bad || version != 2)
        return egi_fail(EG_ERR_FORMAT, "hdf5: object header of version %d" EGI_H5_DAMAGED, version);
    EG_TRY(add_block(h, f, address + (have - c.left), bytes));
    return take_messages(h, f, (egi_h5_cursor){.p = h->blocks[0], .left = bytes}, 2, flags);
}

eg_status egi_h5_header_read(egi_h5_header *out, egi_h5 *f, uint64_t address)
{
    egi_h5_header h = {0};
    uint8_t start[4];
    EG_TRY(egi_h5_bytes(start, f, address, sizeof start, "object header"));
    eg_status status;
    if (memcmp(start, "OHDR", 4) == 0)
        status = header_2(&h, f, address);
    else if (start[0] == 1)
        status = header_1(&h, f, address);
    else
        status = egi_fail(EG_ERR_FORMAT, "hdf5: no object header at %llu" EGI_H5_DAMAGED, (unsigned long long)address);
    if (status != EG_OK) {
        egi_h5_header_free(f, &h);
        return status;
    }
    *out = h;
    return EG_OK;
}

const egi_h5_msg *egi_h5_header_find(const egi_h5_header *h, int type)
{
    for (int64_t i = 0; i < h->n; i++)
        if (h->msgs[i].type == type)
            return &h->msgs[i];
    return NULL;
}

/* --- the superblock ----------------------------------------------------------------------------------------------- */

static eg_status find_signature(egi_h5 *f)
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    uint8_t start[8];
    const uint64_t bytes = f->size;
    if (bytes == 0)
        return egi_fail(EG_ERR_FORMAT, "the file is empty; a Keras HDF5 file was wanted");
    for (uint64_t at = 0; at + sizeof start <= bytes; at = at ? at * 2 : 512) {
        EG_TRY(egi_h5_bytes(start, f, at, sizeof start, "signature"));
        if (memcmp(start, signature, sizeof start) == 0) {
            f->base = at;
            f->size = bytes - at;
            return EG_OK;
        }
    }
    return egi_fail(EG_ERR_FORMAT, "not an HDF5 file; a Keras .h5 file was wanted");
}

static eg_status check_end(egi_h5 *f, uint64_t base, uint64_t end)
{
    if (base != f->base || end == EGI_H5_NOWHERE || end < base)
        return egi_fail(EG_ERR_FORMAT, "hdf5: superblock: base %llu, end %llu" EGI_H5_DAMAGED, (unsigned long long)base,
                        (unsigned long long)end);
    if (end - base > f->size)
        return egi_fail(EG_ERR_FORMAT, "the file is cut off: %llu bytes wanted, %llu found; fetch it again",
                        (unsigned long long)(end - base), (unsigned long long)f->size);
    f->size = end - base; /* whatever lies behind it belongs to nobody */
    return EG_OK;
}

static eg_status superblock(egi_h5 *f, uint64_t *root)
{
    uint8_t bytes[100] = {0};
    const uint64_t have = f->size < sizeof bytes ? f->size : sizeof bytes;
    EG_TRY(egi_h5_bytes(bytes, f, 0, have, "superblock"));
    egi_h5_cursor c = {.p = bytes + 8, .left = have - 8};
    const int version = (int)egi_h5_take(&c, 1);
    if (version > 3)
        return egi_fail(EG_ERR_FORMAT, "hdf5: superblock: version 0 to 3 wanted, found %d" EGI_H5_DAMAGED, version);
    if (version < 2)
        egi_h5_take_bytes(&c, 4);
    const int offset_size = (int)egi_h5_take(&c, 1), length_size = (int)egi_h5_take(&c, 1);
    egi_h5_take_bytes(&c, version < 2 ? 1 + 4 + 4 : 1); /* group sizes and flags */
    if (version == 1)
        egi_h5_take_bytes(&c, 4);
    const uint64_t base = egi_h5_take(&c, 8), skipped = egi_h5_take(&c, 8), end = egi_h5_take(&c, 8);
    uint64_t driver = EGI_H5_NOWHERE;
    if (version < 2) {
        driver = egi_h5_take(&c, 8);
        egi_h5_take_bytes(&c, 8); /* name of the root's entry */
    }
    *root = egi_h5_take(&c, 8);
    (void)skipped; /* free-space information or superblock extension: neither is needed for reading */
    if (c.bad)
        return egi_fail(EG_ERR_FORMAT, "the file is cut off in its first %llu bytes; fetch it again",
                        (unsigned long long)have);
    if (offset_size != 8 || length_size != 8)
        return egi_fail(EG_ERR_FORMAT, "hdf5: superblock: addresses and lengths of 8 bytes wanted, found %d and %d",
                        offset_size, length_size);
    if (driver != EGI_H5_NOWHERE)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: hdf5 files in several parts (a driver block)");
    return check_end(f, base, end);
}

static eg_status open_file(egi_h5 *f, const char *path)
{
    struct stat info;
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not blocking: a pipe is refused below, not waited for */
    if (f->fd < 0)
        return egi_fail(EG_ERR_IO, "cannot be opened: %s", strerror(errno));
    if (fstat(f->fd, &info) != 0)
        return egi_fail(EG_ERR_IO, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return egi_fail(EG_ERR_IO, "not a regular file%s", S_ISDIR(info.st_mode) ? " but a folder" : "");
    f->size = (uint64_t)info.st_size;
    uint64_t root = 0;
    EG_TRY(find_signature(f));
    EG_TRY(superblock(f, &root));
    return egi_h5_walk(f, root);
}

eg_status egi_h5_open(egi_h5 **out, eg_context *context, const char *path)
{
    egi_h5 *f;
    EG_TRY(egi_alloc(&f, context, 1, sizeof *f));
    f->context = context;
    f->budget = METADATA_MAX;
    const eg_status status = open_file(f, path);
    if (status != EG_OK) {
        egi_h5_close(f);
        return status;
    }
    *out = f;
    return EG_OK;
}

void egi_h5_close(egi_h5 *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    for (int64_t i = 0; i < f->n_nodes; i++) {
        egi_free(f->context, f->nodes[i].name);
        egi_free(f->context, f->nodes[i].soft);
    }
    egi_free(f->context, f->nodes);
    egi_free(f->context, f->index);
    egi_free(f->context, f->heap);
    egi_free(f->context, f);
}

int64_t egi_h5_size(const egi_h5 *f)
{
    return (int64_t)f->size;
}
