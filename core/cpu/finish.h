/** core/cpu/finish.h: what comes after a product: bias, residual and fused activation, in place; and the bias of the
 * way back. */
#ifndef EGI_CPU_FINISH_H
#define EGI_CPU_FINISH_H

#include "core/act.h"
#include "core/cpu/parallel.h"

/** y = act(y + b + r). Fused kinds only. */
typedef struct egi_finish {
    const float *b; /* by column, or NULL */
    const float *r; /* like y, or NULL */
    egi_act act;
    float alpha;
} egi_finish;

/** Is there anything to do? */
static inline bool egi_cpu_finishes(const egi_finish *f)
{
    return f->b || f->r || f->act != EGI_ACT_LINEAR;
}

/** y: (rows, n), by the kernel's team. */
void egi_cpu_finish(const egi_kernel *kernel, float *y, int64_t rows, int64_t n, const egi_finish *finish);

/** By the calling thread, for rows of y and r that lie `step` floats apart. */
void egi_cpu_finish_block(float *y, int64_t step, int64_t rows, int64_t n, const egi_finish *finish);

/** y_j = sum over rows of x: (rows, c), by the kernel's team. scratch: EGI_CPU_CHUNKS x c floats. */
void egi_cpu_sum_columns(const egi_kernel *kernel, const float *x, int64_t rows, int64_t c, float *scratch, float *y);

#endif
