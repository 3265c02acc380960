#include "data/convert.h"

#include <string.h>

/* The raw bits of number i, least significant byte last read. */
static uint64_t load_bits(const unsigned char *b, int size, bool big)
{
    uint64_t v = 0;
    for (int i = 0; i < size; i++)
        v |= (uint64_t)b[big ? size - 1 - i : i] << (8 * i);
    return v;
}

static int64_t as_integer(const egi_number *type, const unsigned char *b)
{
    const uint64_t v = load_bits(b, type->size, type->big_endian);
    if (type->kind != 'i' || type->size == 8)
        return (int64_t)v;
    const int unused = 64 - 8 * type->size;
    return (int64_t)(v << unused) >> unused;
}

/* IEEE 754 binary16: exact in float. */
static float half_value(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
    uint32_t bits;
    float f;
    if (exponent == 0) {
        f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float as_float(const egi_number *type, const unsigned char *b)
{
    const uint64_t v = load_bits(b, type->size, type->big_endian);
    if (type->kind != 'f')
        return type->kind == 'i' ? (float)as_integer(type, b) : (float)v;
    if (type->size == 2)
        return half_value((uint16_t)v);
    if (type->size == 4) {
        const uint32_t w = (uint32_t)v;
        float f;
        memcpy(&f, &w, sizeof f);
        return f;
    }
    double d;
    memcpy(&d, &v, sizeof d);
    return (float)d;
}

static bool to_labels(const egi_number *type, const unsigned char *from, int32_t *to, int64_t n, int64_t *bad)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = as_integer(type, from + i * type->size);
        if (v < INT32_MIN || v > INT32_MAX) {
            *bad = v;
            return false;
        }
        to[i] = (int32_t)v;
    }
    return true;
}

bool egi_convert(const egi_number *type, const void *from, egi_dtype dtype, void *to, int64_t n, int64_t *bad)
{
    if (dtype == EGI_I32)
        return to_labels(type, from, to, n, bad);
    if (dtype == EGI_U8 || (type->kind == 'f' && type->size == 4 && !type->big_endian)) {
        memcpy(to, from, (size_t)n * (size_t)type->size);
        return true;
    }
    float *f = to;
    for (int64_t i = 0; i < n; i++)
        f[i] = as_float(type, (const unsigned char *)from + i * type->size);
    return true;
}

static eg_status label_error(const egi_file *f, int64_t value)
{
    return egi_fail(EG_ERR_DATA, "%s: label %lld is out of range", f->path, (long long)value);
}

eg_status egi_convert_file(egi_file *f, const egi_number *type, egi_dtype dtype, void *to, int64_t n)
{
    unsigned char piece[1 << 14];
    const int64_t per_piece = (int64_t)sizeof piece / type->size, size = (int64_t)egi_dtype_size(dtype);
    int64_t bad = 0;
    if (dtype == EGI_U8)
        return egi_file_read(f, to, n);
    for (int64_t i = 0; i < n; i += per_piece) {
        const int64_t now = n - i < per_piece ? n - i : per_piece;
        EG_TRY(egi_file_read(f, piece, now * type->size));
        if (!egi_convert(type, piece, dtype, (char *)to + i * size, now, &bad))
            return label_error(f, bad);
    }
    return EG_OK;
}
