/** data/convert.h: stored numbers of any type and byte order to the few types that a data set holds. */
#ifndef EGI_CONVERT_H
#define EGI_CONVERT_H

#include "core/tensor.h"
#include "data/file.h"

/** kind: 'b' boolean, 'u' unsigned, 'i' signed, 'f' floating point; size in bytes. */
typedef struct egi_number {
    char kind;
    int size;
    bool big_endian;
} egi_number;

/** Converts n numbers to U8, F32 or I32. To U8 only from 'b' and 'u' of 1 byte. Integers and doubles become F32 by
 * rounding to nearest. I32 is for labels: false when a value is not in its range (it is then in *bad). */
bool egi_convert(const egi_number *type, const void *from, egi_dtype dtype, void *to, int64_t n, int64_t *bad);

/** Reads n numbers from a file and converts them, piece by piece. Errors: DATA (truncated, label out of range), IO. */
EG_MUST_USE eg_status egi_convert_file(egi_file *f, const egi_number *type, egi_dtype dtype, void *to, int64_t n);

#endif
