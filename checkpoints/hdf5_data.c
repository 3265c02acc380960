/* Datasets: layout, filters, chunks (HDF5 File Format Specification 3.0, sections IV.A.2.i, .l and III.A.1). Every size
 * is checked against what the file can hold before memory is taken for it. */
#include "checkpoints/hdf5_inside.h"

#include <string.h>
#include <zlib.h>

enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3 };

#define TREE_MAX     16
#define INFLATE_MAX  64                   /* times the file's size that a compressed dataset may have ... */
#define INFLATE_FREE ((uint64_t)64 << 20) /* ... beyond this much */

/* --- layout and filters ------------------------------------------------------------------------------------------- */

static const char *filter_name(int id)
{
    switch (id) {
    case 4:
        return "szip";
    case 5:
        return "nbit";
    case 6:
        return "scaleoffset";
    case 32000:
        return "lzf";
    case 32001:
        return "blosc";
    case 32004:
        return "lz4";
    case 32015:
        return "zstd";
    default:
        return "unknown";
    }
}

static eg_status parse_filters(egi_h5_layout *l, const egi_h5_msg *m)
{
    egi_h5_cursor c = egi_h5_cursor_of(m);
    const int version = (int)egi_h5_take(&c, 1), n = (int)egi_h5_take(&c, 1);
    egi_h5_take_bytes(&c, version == 1 ? 6 : 0);
    if (c.bad || version < 1 || version > 2 || n > (int)(sizeof l->filters / sizeof *l->filters))
        return egi_fail(EG_ERR_FORMAT, "hdf5: %d filters of version %d" EGI_H5_DAMAGED, n, version);
    for (int i = 0; i < n; i++) {
        const int id = (int)egi_h5_take(&c, 2);
        const uint64_t name = version == 1 || id >= 256 ? egi_h5_take(&c, 2) : 0;
        egi_h5_take(&c, 2);
        const uint64_t values = egi_h5_take(&c, 2);
        egi_h5_take_bytes(&c, version == 1 ? (name + 7) / 8 * 8 : name);
        egi_h5_take_bytes(&c, 4 * values + (version == 1 && values % 2 ? 4 : 0));
        if (c.bad)
            return egi_fail(EG_ERR_FORMAT, "hdf5: a short list of filters" EGI_H5_DAMAGED);
        if (id < DEFLATE || id > FLETCHER32)
            return egi_fail(EG_ERR_UNSUPPORTED,
                            "unsupported: hdf5 filter %d (%s); deflate, shuffle and fletcher32 are "
                            "known: save the data again without it",
                            id, filter_name(id));
        l->filters[l->n_filters++] = id;
    }
    return EG_OK;
}

static eg_status parse_chunks_4(egi_h5_layout *l, egi_h5_cursor *c)
{
    const int flags = (int)egi_h5_take(c, 1), rank = (int)egi_h5_take(c, 1), width = (int)egi_h5_take(c, 1);
    if (rank < 1 || rank > EGI_MAX_RANK + 1 || width < 1 || width > 8)
        return egi_fail(EG_ERR_FORMAT, "hdf5: chunks of %d dimensions" EGI_H5_DAMAGED, rank - 1);
    l->chunk_rank = rank - 1;
    for (int i = 0; i < rank; i++) {
        const uint64_t dim = egi_h5_take(c, width);
        l->chunk[i] = dim > UINT32_MAX ? 0 : (uint32_t)dim;
    }
    const int index = (int)egi_h5_take(c, 1);
    if (index != 1)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: chunks with hdf5's newest index (%d); save the data again "
                        "without libver 'latest'",
                        index);
    l->single = true;
    if (flags & 2) {
        l->bytes = egi_h5_take(c, 8);
        l->mask = (uint32_t)egi_h5_take(c, 4);
    }
    l->address = egi_h5_take(c, 8);
    return EG_OK;
}

static eg_status parse_class(egi_h5_layout *l, int version, int class, egi_h5_cursor *c)
{
    if (class == 0) {
        l->kind = EGI_H5_COMPACT;
        l->bytes = egi_h5_take(c, 2);
        l->compact = egi_h5_take_bytes(c, l->bytes);
        return EG_OK;
    }
    if (class == 1) {
        l->kind = EGI_H5_CONTIGUOUS;
        l->address = egi_h5_take(c, 8);
        l->bytes = egi_h5_take(c, 8);
        return EG_OK;
    }
    if (class == 3)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a virtual dataset; copy the data into one file");
    if (class != 2)
        return egi_fail(EG_ERR_FORMAT, "hdf5: data layout of class %d" EGI_H5_DAMAGED, class);
    l->kind = EGI_H5_CHUNKED;
    if (version == 4)
        return parse_chunks_4(l, c);
    const int rank = (int)egi_h5_take(c, 1);
    if (rank < 1 || rank > EGI_MAX_RANK + 1)
        return egi_fail(EG_ERR_FORMAT, "hdf5: chunks of %d dimensions" EGI_H5_DAMAGED, rank - 1);
    l->chunk_rank = rank - 1;
    l->address = egi_h5_take(c, 8);
    for (int i = 0; i < rank; i++)
        l->chunk[i] = (uint32_t)egi_h5_take(c, 4);
    return EG_OK;
}

eg_status egi_h5_parse_layout(egi_h5_layout *out, const egi_h5_header *h)
{
    egi_h5_layout l = {0};
    const egi_h5_msg *layout = egi_h5_header_find(h, EGI_H5_MSG_LAYOUT);
    const egi_h5_msg *filters = egi_h5_header_find(h, EGI_H5_MSG_FILTERS);
    if (!layout && egi_h5_header_find(h, EGI_H5_MSG_TYPE))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a user-defined (committed) type");
    if (!layout)
        return egi_fail(EG_ERR_FORMAT, "hdf5: neither a group nor a dataset" EGI_H5_DAMAGED);
    egi_h5_cursor c = egi_h5_cursor_of(layout);
    const int version = (int)egi_h5_take(&c, 1), class = (int)egi_h5_take(&c, 1);
    if (version != 3 && version != 4)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: hdf5 data layout of version %d; save the data again",
                        version);
    EG_TRY(parse_class(&l, version, class, &c));
    if (c.bad)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a short data layout" EGI_H5_DAMAGED);
    if (filters)
        EG_TRY(parse_filters(&l, filters));
    *out = l;
    return EG_OK;
}

static bool has_filter(const egi_h5_layout *l, int id)
{
    for (int i = 0; i < l->n_filters; i++)
        if (l->filters[i] == id)
            return true;
    return false;
}

/* --- what a dataset says it is ------------------------------------------------------------------------------------ */

static eg_status check_chunk(const egi_h5_layout *l, const egi_h5_data *d, uint64_t most, uint64_t *chunk_bytes)
{
    if (l->chunk_rank != d->shape.rank || l->chunk[l->chunk_rank] != d->type.size)
        return egi_fail(EG_ERR_FORMAT, "hdf5: chunks of %d dimensions and %u bytes, data of %d and %u" EGI_H5_DAMAGED,
                        l->chunk_rank, l->chunk[l->chunk_rank], d->shape.rank, d->type.size);
    uint64_t bytes = 1;
    for (int i = 0; i <= l->chunk_rank; i++)
        if (l->chunk[i] == 0 || __builtin_mul_overflow(bytes, l->chunk[i], &bytes) || bytes > most)
            return egi_fail(EG_ERR_FORMAT, "hdf5: chunks of a size that this file cannot hold" EGI_H5_DAMAGED);
    *chunk_bytes = bytes;
    return EG_OK;
}

static eg_status check_sizes(const egi_h5 *f, const egi_h5_layout *l, const egi_h5_data *d)
{
    uint64_t bytes, chunk;
    if (__builtin_mul_overflow((uint64_t)d->count, d->type.size, &bytes))
        bytes = UINT64_MAX;
    const bool deflate = l->kind == EGI_H5_CHUNKED && has_filter(l, DEFLATE);
    const uint64_t most = deflate ? INFLATE_FREE + INFLATE_MAX * f->size : f->size;
    if (bytes > most)
        return egi_fail(EG_ERR_FORMAT, "hdf5: %s of %u-byte elements wanted, the file has %llu bytes" EGI_H5_DAMAGED,
                        egi_shape_format(&d->shape).s, d->type.size, (unsigned long long)f->size);
    if (l->kind == EGI_H5_CHUNKED)
        return check_chunk(l, d, most, &chunk);
    if (l->n_filters > 0)
        return egi_fail(EG_ERR_FORMAT, "hdf5: filters on data that has no chunks" EGI_H5_DAMAGED);
    if (bytes > 0 && (l->bytes != bytes || (l->kind == EGI_H5_CONTIGUOUS && l->address == EGI_H5_NOWHERE)))
        return egi_fail(EG_ERR_FORMAT, "hdf5: %s of %u-byte elements wanted, %llu bytes stored" EGI_H5_DAMAGED,
                        egi_shape_format(&d->shape).s, d->type.size,
                        (unsigned long long)(l->address == EGI_H5_NOWHERE ? 0 : l->bytes));
    if (bytes > 0 && l->kind == EGI_H5_CONTIGUOUS && (l->address > f->size || bytes > f->size - l->address))
        return egi_fail(EG_ERR_FORMAT, "hdf5: %llu bytes at %llu wanted, the file ends at %llu" EGI_H5_DAMAGED,
                        (unsigned long long)bytes, (unsigned long long)l->address, (unsigned long long)f->size);
    return EG_OK;
}

static eg_status describe(egi_h5_data *d, egi_h5_layout *l, const egi_h5 *f, const egi_h5_header *h)
{
    bool null;
    const egi_h5_msg *type = egi_h5_header_find(h, EGI_H5_MSG_TYPE), *space = egi_h5_header_find(h, EGI_H5_MSG_SPACE);
    if (!type || !space)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a dataset without a type or a size" EGI_H5_DAMAGED);
    egi_h5_cursor ct = egi_h5_cursor_of(type), cs = egi_h5_cursor_of(space);
    EG_TRY(egi_h5_parse_type(&d->type, &ct));
    EG_TRY(egi_h5_parse_space(&d->shape, &null, &cs));
    if (null)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a dataset without a value");
    EG_TRY(egi_h5_parse_layout(l, h));
    d->count = egi_shape_count(&d->shape);
    return check_sizes(f, l, d);
}

eg_status egi_h5_data_info(egi_h5_data *out, egi_h5 *f, int64_t node)
{
    egi_h5_header h;
    egi_h5_data d = {0};
    egi_h5_layout l;
    if (f->nodes[node].kind != EGI_H5_DATASET)
        return egi_fail(EG_ERR_FORMAT, "'%s': a dataset wanted, found a group", f->nodes[node].name);
    EG_TRY(egi_h5_header_read(&h, f, f->nodes[node].address));
    const eg_status status = describe(&d, &l, f, &h);
    egi_h5_header_free(f, &h);
    if (status != EG_OK)
        return egi_fail_prefix(status, "'%s'", f->nodes[node].name);
    *out = d;
    return EG_OK;
}

/* --- filters ------------------------------------------------------------------------------------------------------ */

/* HDF5's Fletcher-32: big-endian 16-bit words, sums folded every 360. */
static uint32_t fletcher32(const uint8_t *p, uint64_t bytes)
{
    uint32_t a = 0, b = 0;
    uint64_t words = bytes / 2;
    while (words) {
        uint64_t n = words > 360 ? 360 : words;
        words -= n;
        for (; n; n--, p += 2) {
            a += (uint32_t)(p[0] << 8 | p[1]);
            b += a;
        }
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    if (bytes % 2) {
        a += (uint32_t)(*p << 8);
        b += a;
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    return b << 16 | a;
}

/* Two buffers that filters go back and forth between. */
typedef struct chunk_work {
    uint8_t *in, *out;
    uint64_t bytes; /* in `in` */
    uint64_t room;  /* of each */
} chunk_work;

static void swap_buffers(chunk_work *w)
{
    uint8_t *t = w->in;
    w->in = w->out;
    w->out = t;
}

static eg_status inflate_chunk(chunk_work *w, uint64_t expected)
{
    z_stream z = {.next_in = w->in, .avail_in = (uInt)w->bytes, .next_out = w->out, .avail_out = (uInt)w->room};
    if (inflateInit(&z) != Z_OK)
        return egi_fail(EG_ERR_NOMEM, "hdf5: no memory for zlib");
    const int end = inflate(&z, Z_FINISH);
    const uint64_t got = z.total_out;
    inflateEnd(&z);
    if (end != Z_STREAM_END || got != expected)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a compressed chunk of %llu bytes wanted, found %s%llu" EGI_H5_DAMAGED,
                        (unsigned long long)expected, end == Z_STREAM_END ? "" : "damage after ",
                        (unsigned long long)got);
    w->bytes = got;
    swap_buffers(w);
    return EG_OK;
}

static void unshuffle(chunk_work *w, uint32_t size)
{
    const uint64_t n = w->bytes / size;
    for (uint32_t b = 0; b < size; b++)
        for (uint64_t i = 0; i < n; i++)
            w->out[i * size + b] = w->in[b * n + i];
    memcpy(w->out + n * size, w->in + n * size, w->bytes - n * size);
    swap_buffers(w);
}

static eg_status check_fletcher32(chunk_work *w)
{
    if (w->bytes < 4)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a chunk without its checksum" EGI_H5_DAMAGED);
    w->bytes -= 4;
    egi_h5_cursor c = {.p = w->in + w->bytes, .left = 4};
    if (fletcher32(w->in, w->bytes) != egi_h5_take(&c, 4))
        return egi_fail(EG_ERR_FORMAT, "hdf5: a chunk's checksum is wrong" EGI_H5_DAMAGED);
    return EG_OK;
}

/* Undoes the filters, last first; a chunk's mask says which were left out. */
static eg_status undo_filters(chunk_work *w, const egi_h5_layout *l, uint32_t mask, uint32_t size, uint64_t bytes)
{
    for (int i = l->n_filters - 1; i >= 0; i--) {
        if (mask >> i & 1)
            continue;
        uint64_t expected = bytes; /* what filter i was given: the data and checksums of earlier filters */
        for (int k = 0; k < i; k++)
            expected += l->filters[k] == FLETCHER32 && !(mask >> k & 1) ? 4 : 0;
        if (l->filters[i] == DEFLATE)
            EG_TRY(inflate_chunk(w, expected));
        else if (l->filters[i] == FLETCHER32)
            EG_TRY(check_fletcher32(w));
        else
            unshuffle(w, size);
    }
    if (w->bytes != bytes)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a chunk of %llu bytes wanted, found %llu" EGI_H5_DAMAGED,
                        (unsigned long long)bytes, (unsigned long long)w->bytes);
    return EG_OK;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

typedef struct chunk_reader {
    egi_h5 *f;
    const egi_h5_layout *l;
    const egi_h5_data *d;
    uint8_t *out;
    chunk_work work;
    uint64_t chunk_bytes;
    int64_t grid[EGI_MAX_RANK], wanted, found;
    uint8_t *seen; /* a byte a chunk of the grid */
} chunk_reader;

/* Copies the part of a chunk that lies inside the array, row by row. */
static void place_chunk(const chunk_reader *r, const int64_t *at)
{
    const egi_shape *s = &r->d->shape;
    const int last = s->rank - 1;
    const uint32_t size = r->d->type.size;
    int64_t i[EGI_MAX_RANK] = {0};
    const int64_t left = s->dim[last] - at[last];
    const int64_t row = left < (int64_t)r->l->chunk[last] ? left : (int64_t)r->l->chunk[last];
    for (;;) {
        int64_t to = 0, from = 0;
        for (int k = 0; k < s->rank; k++) {
            to = to * s->dim[k] + at[k] + i[k];
            from = from * r->l->chunk[k] + i[k];
        }
        memcpy(r->out + to * size, r->work.in + from * size, (size_t)row * size);
        int k = last - 1;
        for (; k >= 0; k--) {
            if (++i[k] < (int64_t)r->l->chunk[k] && at[k] + i[k] < s->dim[k])
                break;
            i[k] = 0;
        }
        if (k < 0)
            return;
    }
}

static eg_status read_chunk(chunk_reader *r, const int64_t *at, uint64_t address, uint64_t stored, uint32_t mask)
{
    int64_t index = 0;
    for (int k = 0; k < r->d->shape.rank; k++) {
        if (at[k] < 0 || at[k] >= r->d->shape.dim[k] || at[k] % r->l->chunk[k] != 0)
            return egi_fail(EG_ERR_FORMAT, "hdf5: a chunk lies outside its array" EGI_H5_DAMAGED);
        index = index * r->grid[k] + at[k] / r->l->chunk[k];
    }
    if (r->seen[index]++)
        return egi_fail(EG_ERR_FORMAT, "hdf5: the same chunk twice" EGI_H5_DAMAGED);
    if (stored > r->work.room || stored > r->f->size)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a chunk of %llu bytes stored, at most %llu can be" EGI_H5_DAMAGED,
                        (unsigned long long)stored, (unsigned long long)r->work.room);
    EG_TRY(egi_h5_bytes(r->work.in, r->f, address, stored, "chunk"));
    r->work.bytes = stored;
    EG_TRY(undo_filters(&r->work, r->l, mask, r->d->type.size, r->chunk_bytes));
    place_chunk(r, at);
    r->found++;
    return EG_OK;
}

static eg_status read_chunks(chunk_reader *r, uint64_t address, int level)
{
    uint8_t start[24], *block;
    EG_TRY(egi_h5_bytes(start, r->f, address, sizeof start, "chunk index"));
    if (memcmp(start, "TREE", 4) != 0 || start[4] != 1 || start[5] > TREE_MAX || (level >= 0 && start[5] != level))
        return egi_fail(EG_ERR_FORMAT, "hdf5: no chunk index at %llu" EGI_H5_DAMAGED, (unsigned long long)address);
    const uint64_t n = start[6] | (uint64_t)start[7] << 8;
    const uint64_t key = 8 + 8 * ((uint64_t)r->l->chunk_rank + 1);
    level = start[5];
    EG_TRY(egi_h5_block(&block, r->f, address + sizeof start, n * (key + 8) + key, "chunk index"));
    eg_status status = EG_OK;
    for (uint64_t i = 0; i < n && status == EG_OK; i++) {
        egi_h5_cursor c = {.p = block + i * (key + 8), .left = key + 8};
        int64_t at[EGI_MAX_RANK + 1];
        const uint64_t stored = egi_h5_take(&c, 4);
        const uint32_t mask = (uint32_t)egi_h5_take(&c, 4);
        for (int k = 0; k <= r->l->chunk_rank; k++)
            at[k] = (int64_t)egi_h5_take(&c, 8);
        const uint64_t child = egi_h5_take(&c, 8);
        status = level ? read_chunks(r, child, level - 1) : read_chunk(r, at, child, stored, mask);
    }
    egi_free(r->f->context, block);
    return status;
}

static eg_status prepare_chunks(chunk_reader *r)
{
    EG_TRY(check_chunk(r->l, r->d, UINT32_MAX, &r->chunk_bytes));
    r->wanted = 1;
    for (int k = 0; k < r->d->shape.rank; k++) {
        r->grid[k] = (r->d->shape.dim[k] + r->l->chunk[k] - 1) / r->l->chunk[k];
        r->wanted *= r->grid[k]; /* at most the number of elements */
    }
    if (!r->l->single && (uint64_t)r->wanted > r->f->size / 16)
        return egi_fail(EG_ERR_FORMAT, "hdf5: %lld chunks wanted, the file has room for fewer" EGI_H5_DAMAGED,
                        (long long)r->wanted);
    /* A stored chunk may be a little larger than its data: checksums, and what deflate could not shrink. */
    r->work.room = r->chunk_bytes + r->chunk_bytes / 8 + 1024;
    if (r->work.room > UINT32_MAX)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: hdf5 chunks above 3 GB");
    EG_TRY(egi_alloc(&r->seen, r->f->context, r->wanted, 1));
    EG_TRY(egi_alloc(&r->work.in, r->f->context, (int64_t)r->work.room, 1));
    return egi_alloc(&r->work.out, r->f->context, (int64_t)r->work.room, 1);
}

static eg_status read_chunked(chunk_reader *r)
{
    static const int64_t origin[EGI_MAX_RANK] = {0};
    EG_TRY(prepare_chunks(r));
    if (r->l->single && r->wanted == 1)
        EG_TRY(read_chunk(r, origin, r->l->address, r->l->n_filters && r->l->bytes ? r->l->bytes : r->chunk_bytes,
                          r->l->mask));
    else if (!r->l->single && r->l->address != EGI_H5_NOWHERE)
        EG_TRY(read_chunks(r, r->l->address, -1));
    if (r->found != r->wanted)
        return egi_fail(EG_ERR_FORMAT, "hdf5: %lld chunks wanted, %lld stored" EGI_H5_DAMAGED, (long long)r->wanted,
                        (long long)r->found);
    return EG_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void swap_bytes(uint8_t *p, int64_t count, uint32_t size)
{
    for (int64_t i = 0; i < count; i++, p += size)
        for (uint32_t k = 0; k < size / 2; k++) {
            const uint8_t t = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = t;
        }
}

static eg_status read_layout(void *out, egi_h5 *f, const egi_h5_layout *l, const egi_h5_data *d)
{
    const uint64_t bytes = (uint64_t)d->count * d->type.size;
    if (bytes == 0)
        return EG_OK;
    if (l->kind == EGI_H5_CONTIGUOUS)
        return egi_h5_bytes(out, f, l->address, bytes, "data");
    if (l->kind == EGI_H5_COMPACT) {
        memcpy(out, l->compact, bytes);
        return EG_OK;
    }
    if (d->shape.rank == 0)
        return egi_fail(EG_ERR_FORMAT, "hdf5: chunks of a single number" EGI_H5_DAMAGED);
    chunk_reader r = {.f = f, .l = l, .d = d, .out = out};
    const eg_status status = read_chunked(&r);
    egi_free(f->context, r.seen);
    egi_free(f->context, r.work.in);
    egi_free(f->context, r.work.out);
    return status;
}

eg_status egi_h5_data_read(void *out, egi_h5 *f, int64_t node, const egi_h5_data *info)
{
    egi_h5_header h;
    egi_h5_data d = {0};
    egi_h5_layout l;
    EG_TRY(egi_h5_header_read(&h, f, f->nodes[node].address));
    eg_status status = describe(&d, &l, f, &h);
    if (status == EG_OK && (d.count != info->count || d.type.size != info->type.size))
        status = egi_fail(EG_ERR_IO, "the file changed while it was read");
    if (status == EG_OK)
        status = read_layout(out, f, &l, &d);
    egi_h5_header_free(f, &h);
    if (status != EG_OK)
        return egi_fail_prefix(status, "'%s'", f->nodes[node].name);
    const bool machine_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    if ((d.type.kind == EGI_H5_INT || d.type.kind == EGI_H5_FLOAT) && d.type.big_endian != machine_big)
        swap_bytes(out, d.count, d.type.size);
    return EG_OK;
}
