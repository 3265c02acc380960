/* Datatypes, dataspaces and attributes (HDF5 File Format Specification 3.0, sections IV.A.2.b, .d, .m and III.E). */
#include "checkpoints/hdf5_inside.h"

#include <string.h>

/* --- types and spaces --------------------------------------------------------------------------------------------- */

/* IEEE 754 of 2, 4 or 8 bytes: where exponent and mantissa lie. */
static bool is_ieee(const egi_h5_type *t, const uint8_t *p)
{
    static const struct {
        uint32_t size;
        uint8_t sign, exponent_at, exponent, mantissa;
        uint32_t bias;
    } known[] = {{2, 15, 10, 5, 10, 15}, {4, 31, 23, 8, 23, 127}, {8, 63, 52, 11, 52, 1023}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].size == t->size)
            return p[0] == 0 && p[1] == 0 && (uint32_t)(p[2] | p[3] << 8) == 8 * t->size &&
                   p[4] == known[i].exponent_at && p[5] == known[i].exponent && p[6] == 0 &&
                   p[7] == known[i].mantissa && (uint32_t)(p[8] | p[9] << 8) == known[i].bias && p[10] == 0 &&
                   p[11] == 0;
    return false;
}

static void parse_number(egi_h5_type *t, uint32_t bits, egi_h5_cursor *c)
{
    if (t->number == 0) {
        const uint64_t offset = egi_h5_take(c, 2), precision = egi_h5_take(c, 2);
        t->is_signed = bits & 8;
        if (offset == 0 && precision == 8 * t->size && t->size <= 8)
            t->kind = EGI_H5_INT;
        return;
    }
    const uint8_t *p = egi_h5_take_bytes(c, 12);
    if (p && !(bits & 0x40) && is_ieee(t, p))
        t->kind = EGI_H5_FLOAT;
}

eg_status egi_h5_parse_type(egi_h5_type *out, egi_h5_cursor *c)
{
    const uint32_t first = (uint32_t)egi_h5_take(c, 1), bits = (uint32_t)egi_h5_take(c, 3);
    egi_h5_type t = {.kind = EGI_H5_OTHER, .number = (int)(first & 15), .size = (uint32_t)egi_h5_take(c, 4)};
    t.big_endian = (t.number == 0 || t.number == 1) && bits & 1;
    t.padding = (int)(bits & 15);
    if (t.number == 0 || t.number == 1) {
        parse_number(&t, bits, c);
    } else if (t.number == 3 && t.padding <= 2) {
        t.kind = EGI_H5_STRING;
        t.utf8 = bits >> 4 & 1;
    } else if (t.number == 9 && (bits & 15) == 1 && t.size == 16) {
        t.kind = EGI_H5_TEXT;
        t.padding = (int)(bits >> 4 & 15);
        t.utf8 = bits >> 8 & 1;
    }
    if (c->bad || t.size == 0 || first >> 4 < 1 || first >> 4 > 4)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a datatype of version %u and %u bytes" EGI_H5_DAMAGED, first >> 4,
                        t.size);
    *out = t;
    return EG_OK;
}

eg_status egi_h5_parse_space(egi_shape *shape, bool *null, egi_h5_cursor *c)
{
    const int version = (int)egi_h5_take(c, 1), rank = (int)egi_h5_take(c, 1), flags = (int)egi_h5_take(c, 1);
    const int kind = (int)egi_h5_take(c, 1);
    if (version == 1)
        egi_h5_take_bytes(c, 4);
    if (c->bad || (version != 1 && version != 2))
        return egi_fail(EG_ERR_FORMAT, "hdf5: a dataspace of version %d" EGI_H5_DAMAGED, version);
    if (rank > EGI_MAX_RANK)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: an array of %d dimensions, at most %d", rank, EGI_MAX_RANK);
    egi_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) {
        const uint64_t dim = egi_h5_take(c, 8);
        s.dim[i] = dim > INT64_MAX ? INT64_MAX : (int64_t)dim;
    }
    egi_h5_take_bytes(c, flags & 1 ? 8 * (uint64_t)rank : 0);
    if (c->bad)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a short dataspace" EGI_H5_DAMAGED);
    *null = version == 2 && kind == 2;
    *shape = s;
    const eg_status status = egi_shape_check(&s, "hdf5: dataspace");
    return status == EG_ERR_SHAPE ? egi_fail_prefix(EG_ERR_FORMAT, "a size that no file can hold") : status;
}

/* --- variable-length text ----------------------------------------------------------------------------------------- */

static eg_status load_heap(egi_h5 *f, uint64_t address)
{
    if (f->heap && f->heap_address == address)
        return EG_OK;
    uint8_t start[16];
    EG_TRY(egi_h5_bytes(start, f, address, sizeof start, "text"));
    egi_h5_cursor c = {.p = start + 8, .left = 8};
    const uint64_t size = egi_h5_take(&c, 8);
    if (memcmp(start, "GCOL", 4) != 0 || size < sizeof start)
        return egi_fail(EG_ERR_FORMAT, "hdf5: text: no heap at %llu" EGI_H5_DAMAGED, (unsigned long long)address);
    uint8_t *block;
    EG_TRY(egi_h5_block(&block, f, address, size, "text"));
    egi_free(f->context, f->heap);
    f->heap = block;
    f->heap_address = address;
    f->heap_size = size;
    return EG_OK;
}

/* The bytes of object `index` of a global heap collection. */
static eg_status heap_object(const uint8_t **p, uint64_t *bytes, egi_h5 *f, uint64_t address, uint64_t index)
{
    EG_TRY(load_heap(f, address));
    egi_h5_cursor c = {.p = f->heap + 16, .left = f->heap_size - 16};
    while (c.left >= 16) {
        const uint64_t found = egi_h5_take(&c, 2);
        egi_h5_take(&c, 6);
        const uint64_t size = egi_h5_take(&c, 8);
        if (found == 0)
            break; /* free space up to the end */
        f->budget--;
        const uint8_t *data = egi_h5_take_bytes(&c, size);
        if (data && found == index) {
            *p = data;
            *bytes = size;
            return f->budget < 0 ? egi_fail(EG_ERR_FORMAT, "hdf5: too much text" EGI_H5_DAMAGED) : EG_OK;
        }
        egi_h5_take_bytes(&c, (8 - size % 8) % 8 < c.left ? (8 - size % 8) % 8 : c.left);
    }
    return egi_fail(EG_ERR_FORMAT, "hdf5: text: heap at %llu has no object %llu" EGI_H5_DAMAGED,
                    (unsigned long long)address, (unsigned long long)index);
}

/* One element: length, address, index. `total` bounds what all elements of an attribute may sum up to. */
static eg_status take_text(char **out, egi_h5 *f, egi_h5_cursor *c, uint64_t *total)
{
    const uint64_t n = egi_h5_take(c, 4), address = egi_h5_take(c, 8), index = egi_h5_take(c, 4);
    const uint8_t *p = NULL;
    uint64_t bytes = 0;
    if (n > 0)
        EG_TRY(heap_object(&p, &bytes, f, address, index));
    if (n > bytes)
        return egi_fail(EG_ERR_FORMAT, "hdf5: text of %llu bytes in an object of %llu" EGI_H5_DAMAGED,
                        (unsigned long long)n, (unsigned long long)bytes);
    *total += n;
    if (*total > f->size)
        return egi_fail(EG_ERR_FORMAT, "hdf5: more text than the file has bytes" EGI_H5_DAMAGED);
    EG_TRY(egi_alloc(out, f->context, (int64_t)n + 1, 1));
    if (n > 0)
        memcpy(*out, p, n);
    if (strlen(*out) != n && (*out)[n - 1] != '\0')
        return egi_fail(EG_ERR_FORMAT, "hdf5: text with a zero inside" EGI_H5_DAMAGED);
    return EG_OK;
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

void egi_h5_attr_free(eg_context *context, egi_h5_attr *a)
{
    for (int64_t i = 0; a->text && i < a->count; i++)
        egi_free(context, a->text[i]);
    egi_free(context, a->text);
    egi_free(context, a->data);
    egi_free(context, a->name);
}

void egi_h5_attrs_free(eg_context *context, egi_h5_attrs *attrs)
{
    for (int64_t i = 0; i < attrs->n; i++)
        egi_h5_attr_free(context, &attrs->list[i]);
    egi_free(context, attrs->list);
    *attrs = (egi_h5_attrs){0};
}

static eg_status take_value(egi_h5_attr *a, egi_h5 *f, egi_h5_cursor *c)
{
    if (a->null || a->type.kind == EGI_H5_OTHER)
        return EG_OK;
    const int64_t count = egi_shape_count(&a->shape);
    if (count > 0 && (uint64_t)count > c->left / a->type.size)
        return egi_fail(EG_ERR_FORMAT,
                        "hdf5: attribute '%s': %lld elements of %u bytes wanted, %llu bytes found" EGI_H5_DAMAGED,
                        a->name, (long long)count, a->type.size, (unsigned long long)c->left);
    if (a->type.kind == EGI_H5_TEXT) {
        uint64_t total = 0;
        EG_TRY(egi_alloc(&a->text, f->context, count, sizeof *a->text));
        a->count = count;
        for (int64_t i = 0; i < count; i++)
            EG_TRY(take_text(&a->text[i], f, c, &total));
        return EG_OK;
    }
    EG_TRY(egi_alloc(&a->data, f->context, count * a->type.size, 1));
    a->count = count;
    if (count > 0)
        memcpy(a->data, egi_h5_take_bytes(c, (uint64_t)count * a->type.size), (size_t)count * a->type.size);
    return EG_OK;
}

/* A field of an attribute message; version 1 pads each to a multiple of 8. */
static egi_h5_cursor take_part(egi_h5_cursor *c, uint64_t bytes, int version)
{
    const uint64_t padded = version == 1 ? (bytes + 7) / 8 * 8 : bytes;
    egi_h5_cursor part = {.left = bytes};
    part.p = egi_h5_take_bytes(c, padded);
    if (!part.p)
        part = (egi_h5_cursor){.bad = true};
    return part;
}

static eg_status take_attr(egi_h5_attr *a, egi_h5 *f, const egi_h5_msg *m)
{
    egi_h5_cursor c = egi_h5_cursor_of(m);
    const int version = (int)egi_h5_take(&c, 1), flags = (int)egi_h5_take(&c, 1);
    const uint64_t name_bytes = egi_h5_take(&c, 2), type_bytes = egi_h5_take(&c, 2), space_bytes = egi_h5_take(&c, 2);
    if (version == 3)
        egi_h5_take(&c, 1);
    if (c.bad || version < 1 || version > 3)
        return egi_fail(EG_ERR_FORMAT, "hdf5: an attribute of version %d" EGI_H5_DAMAGED, version);
    if (version > 1 && flags & 3)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: an attribute of a shared or user-defined (committed) type");
    egi_h5_cursor name = take_part(&c, name_bytes, version), type = take_part(&c, type_bytes, version);
    egi_h5_cursor space = take_part(&c, space_bytes, version);
    if (c.bad || name.left == 0 || name.p[0] == 0 || !memchr(name.p, 0, name.left))
        return egi_fail(EG_ERR_FORMAT, "hdf5: an attribute's name is empty or has no end" EGI_H5_DAMAGED);
    EG_TRY(egi_strdup(&a->name, f->context, (const char *)name.p));
    EG_TRY(egi_h5_parse_type(&a->type, &type));
    EG_TRY(egi_h5_parse_space(&a->shape, &a->null, &space));
    return take_value(a, f, &c);
}

eg_status egi_h5_attrs_read(egi_h5_attrs *out, egi_h5 *f, int64_t node)
{
    egi_h5_header h;
    egi_h5_attrs attrs = {0};
    EG_TRY(egi_h5_header_read(&h, f, f->nodes[node].address));
    eg_status status = EG_OK;
    for (int64_t i = 0; i < h.n && status == EG_OK; i++) {
        if (h.msgs[i].type != EGI_H5_MSG_ATTR)
            continue;
        status = EGI_RESERVE(f->context, attrs.list, attrs.n, attrs.capacity);
        if (status == EG_OK)
            status = take_attr(&attrs.list[attrs.n++], f, &h.msgs[i]);
    }
    egi_h5_header_free(f, &h);
    if (status != EG_OK) {
        egi_h5_attrs_free(f->context, &attrs);
        return status;
    }
    *out = attrs;
    return EG_OK;
}

static eg_status clone_attr(egi_h5_attr *to, eg_context *context, const egi_h5_attr *a)
{
    *to = *a;
    to->name = NULL;
    to->data = NULL;
    to->text = NULL;
    EG_TRY(egi_strdup(&to->name, context, a->name));
    if (a->data) {
        EG_TRY(egi_alloc(&to->data, context, a->count, a->type.size));
        memcpy(to->data, a->data, (size_t)a->count * a->type.size);
    }
    if (a->text) {
        EG_TRY(egi_alloc(&to->text, context, a->count, sizeof *to->text));
        for (int64_t i = 0; i < a->count; i++)
            EG_TRY(egi_strdup(&to->text[i], context, a->text[i]));
    }
    return EG_OK;
}

eg_status egi_h5_attrs_clone(egi_h5_attrs *out, eg_context *context, const egi_h5_attrs *attrs)
{
    egi_h5_attrs copy = {.capacity = attrs->n};
    EG_TRY(egi_alloc(&copy.list, context, attrs->n, sizeof *copy.list));
    for (; copy.n < attrs->n; copy.n++) {
        const eg_status status = clone_attr(&copy.list[copy.n], context, &attrs->list[copy.n]);
        if (status != EG_OK) {
            copy.n++; /* what there is of it is freed too */
            egi_h5_attrs_free(context, &copy);
            return status;
        }
    }
    *out = copy;
    return EG_OK;
}

egi_h5_attr *egi_h5_attr_find(const egi_h5_attrs *attrs, const char *name)
{
    for (int64_t i = 0; i < attrs->n; i++)
        if (strcmp(attrs->list[i].name, name) == 0)
            return &attrs->list[i];
    return NULL;
}

eg_status egi_h5_attr_text(char **out, eg_context *context, const egi_h5_attr *a, int64_t i)
{
    if (i >= a->count || (a->type.kind != EGI_H5_TEXT && a->type.kind != EGI_H5_STRING))
        return egi_fail(EG_ERR_FORMAT, "hdf5: attribute '%s': text wanted, found something else", a->name);
    if (a->type.kind == EGI_H5_TEXT)
        return egi_strdup(out, context, a->text[i]);
    const char *p = (const char *)a->data + i * a->type.size;
    size_t n = strnlen(p, a->type.size);
    if (a->type.padding == 0 && n == a->type.size)
        return egi_fail(EG_ERR_FORMAT, "hdf5: attribute '%s': text without an end" EGI_H5_DAMAGED, a->name);
    while (a->type.padding == 2 && n > 0 && p[n - 1] == ' ')
        n--;
    EG_TRY(egi_alloc(out, context, (int64_t)n + 1, 1));
    memcpy(*out, p, n);
    return EG_OK;
}
