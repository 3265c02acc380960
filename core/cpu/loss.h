/** core/cpu/loss.h: what the losses share: each row writes its loss and whether it was right into scratch, then all are
 * summed in the order of the rows, whatever the threads. */
#ifndef EGI_CPU_LOSS_H
#define EGI_CPU_LOSS_H

#include "core/cpu/cpu.h"

/** Scratch of row `i`: its loss, its correct. */
static inline double *egi_cpu_row(const egi_kernel *k, int64_t i)
{
    return (double *)k->scratch + 2 * i;
}

/** Sums the rows into the scalars `loss` and, where it is not EGI_NONE, `correct`. */
static inline void egi_cpu_sum_rows(const egi_kernel *k, int64_t n, egi_val loss, egi_val correct)
{
    double sum = 0, right = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += egi_cpu_row(k, i)[0];
        right += egi_cpu_row(k, i)[1];
    }
    *(float *)k->t[loss].data = (float)sum;
    if (correct)
        *(float *)k->t[correct].data = (float)right;
}

#endif
