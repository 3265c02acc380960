/** core/cpu/lanes.h: eight floats at a time, in the compiler's own vector types: it splits them where the processor has
 * narrower registers. */
#ifndef EGI_CPU_LANES_H
#define EGI_CPU_LANES_H

#include "core/cpu/cpu.h"

#define EGI_LANES 8

/** `egi_vec_at` is the same anywhere in memory. */
typedef float egi_vec __attribute__((vector_size(32)));
typedef float egi_vec_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t egi_ivec __attribute__((vector_size(32)));

#define EGI_SHUFFLE __builtin_shufflevector

/** v[i][j] becomes v[j][i]. */
static inline EGI_SIMD_BODY void egi_vec_transpose(egi_vec *v)
{
    egi_vec a[EGI_LANES], b[EGI_LANES];
    for (int i = 0; i < EGI_LANES; i += 2) {
        a[i] = EGI_SHUFFLE(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = EGI_SHUFFLE(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < EGI_LANES; i += 4)
        for (int k = 0; k < 2; k++) {
            b[i + 2 * k] = EGI_SHUFFLE(a[i + k], a[i + 2 + k], 0, 1, 8, 9, 4, 5, 12, 13);
            b[i + 2 * k + 1] = EGI_SHUFFLE(a[i + k], a[i + 2 + k], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        v[i] = EGI_SHUFFLE(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        v[i + 4] = EGI_SHUFFLE(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#endif
