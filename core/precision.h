/** core/precision.h: how factors of products are rounded before they are multiplied: what tensor cores are fast with.
 * Everything else (weights, sums, statistics, losses, the optimizer) stays f32. */
#ifndef EGI_PRECISION_H
#define EGI_PRECISION_H

typedef enum egi_precision {
    EGI_PRECISION_F32,
    EGI_PRECISION_TF32, /* 10 bits of fraction */
    EGI_PRECISION_BF16  /* 7 bits of fraction */
} egi_precision;

#endif
