/** core/cpu/dnnl.h: what the cpu device asks of oneDNN, without its types. Only core/cpu/dnnl_*.c include oneDNN's
 * headers. */
#ifndef EGI_CPU_DNNL_H
#define EGI_CPU_DNNL_H

#include "core/cpu/cpu.h"

/** Makes engine and stream. Errors: DEVICE. */
EG_MUST_USE eg_status egi_dnnl_begin(egi_cpu *cpu);
void egi_dnnl_end(egi_cpu *cpu);

/** "oneDNN 2.6.3". */
typedef struct egi_dnnl_text {
    char s[48];
} egi_dnnl_text;
egi_dnnl_text egi_dnnl_describe(void);

/** c = op(a) op(b) + beta c, row-major; lda, ldb: floats between the rows of a and b as they are stored.
 *  op(a): (m, k), op(b): (k, n), c: (m, n). Any size may be 0. Errors: DEVICE. */
EG_MUST_USE eg_status egi_dnnl_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                                     const float *b, int64_t ldb, float beta, float *c);

#endif
