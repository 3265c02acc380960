/** core/cpu/finish.h: what comes after a product: bias and fused activation, in place; and the bias of the way back. */
#ifndef EGI_CPU_FINISH_H
#define EGI_CPU_FINISH_H

#include "core/act.h"
#include "core/cpu/cpu.h"

/** y = act(y + b) for y: (rows, n), b: (n). By the kernel's team. Fused kinds only. */
void egi_cpu_finish(const egi_kernel *kernel, float *y, const float *b, int64_t rows, int64_t n, egi_act act,
                    float alpha);

/** y = act(y), by the kernel's team. */
void egi_cpu_activate(const egi_kernel *kernel, float *y, int64_t n, egi_act act, float alpha);

/** The same by the calling thread. */
void egi_cpu_activate_part(float *y, int64_t n, egi_act act, float alpha);

/** y_j = sum over rows of x: (rows, c), by the kernel's team. scratch: threads x c floats. */
void egi_cpu_sum_columns(const egi_kernel *kernel, const float *x, int64_t rows, int64_t c, float *scratch, float *y);

#endif
