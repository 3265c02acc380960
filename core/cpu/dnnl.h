/** core/cpu/dnnl.h: what the cpu device asks of oneDNN, without its types. Only core/cpu/dnnl_*.c include oneDNN's
 * headers. */
#ifndef EGI_CPU_DNNL_H
#define EGI_CPU_DNNL_H

#include "core/cpu/cpu.h"

#include <signal.h>

/** Makes engine and stream. Errors: DEVICE. */
EG_MUST_USE eg_status egi_dnnl_begin(egi_cpu *cpu);
void egi_dnnl_end(egi_cpu *cpu);

/** "oneDNN 2.6.3". */
typedef struct egi_dnnl_text {
    char s[48];
} egi_dnnl_text;
egi_dnnl_text egi_dnnl_describe(void);

/** Around every call that makes or runs a primitive. oneDNN takes the size of its OpenMP team from the calling thread;
 * the caller's own setting comes back after. Its products keep data below their stack pointer, where the frame of a
 * signal handler overwrites it (a timer signal every 300 us is enough to corrupt the heap): so signals wait, and the
 * team's threads, which inherit the mask, never take one. */
typedef struct egi_dnnl_guard {
    sigset_t signals;
    int threads;
} egi_dnnl_guard;
egi_dnnl_guard egi_dnnl_guard_begin(int threads);
void egi_dnnl_guard_end(const egi_dnnl_guard *before);

#endif
