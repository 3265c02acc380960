/** core/cpu/finish.h: what comes after a product: bias and fused activation, in place; and the bias of the way back. */
#ifndef EGI_CPU_FINISH_H
#define EGI_CPU_FINISH_H

#include "core/act.h"
#include "core/cpu/parallel.h"

/** y = act(y + b) for y: (rows, n), b: (n) or NULL. By the kernel's team. Fused kinds only. */
void egi_cpu_finish(const egi_kernel *kernel, float *y, const float *b, int64_t rows, int64_t n, egi_act act,
                    float alpha);

/** The same by the calling thread, for rows that lie `step` floats apart. */
void egi_cpu_finish_block(float *y, int64_t step, const float *b, int64_t rows, int64_t n, egi_act act, float alpha);

/** y = act(y) by the calling thread. */
void egi_cpu_activate_part(float *y, int64_t n, egi_act act, float alpha);

/** y_j = sum over rows of x: (rows, c), by the kernel's team. scratch: EGI_CPU_CHUNKS x c floats. */
void egi_cpu_sum_columns(const egi_kernel *kernel, const float *x, int64_t rows, int64_t c, float *scratch, float *y);

#endif
