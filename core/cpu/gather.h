/** core/cpu/gather.h: an example's way from storage into a batch: what the operation `gather` and the host's batches
 * (data/batch.c) share. */
#ifndef EGI_CPU_GATHER_H
#define EGI_CPU_GATHER_H

#include "core/ops/data.h"

typedef struct egi_conversion {
    egi_affine affine;
    egi_dtype dtype;     /* of what is stored: U8 or F32 */
    int64_t n;           /* values an example */
    egi_picture picture; /* where examples are augmented */
    float table[3][256]; /* three channels of bytes: all that can happen */
    bool same;           /* floats that stay as they are */
} egi_conversion;

void egi_conversion_make(egi_conversion *out, const egi_affine *affine, egi_dtype dtype, int64_t n);

/** Writes stored example number `example` of `x` to `to`. drawn: NULL: as it is; else `picture` is set. */
void egi_conversion_run(const egi_conversion *c, const void *x, int64_t example, const egi_augmentation *drawn,
                        float *to);

/** How many examples ahead egi_conversion_fetch() is worth calling: they lie anywhere in memory. */
#define EGI_CONVERSION_AHEAD 12
void egi_conversion_fetch(const egi_conversion *c, const void *x, int64_t example);

#endif
