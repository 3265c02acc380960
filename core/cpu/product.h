/** core/cpu/product.h: products of matrices, as every kernel here asks for them. */
#ifndef EGI_CPU_PRODUCT_H
#define EGI_CPU_PRODUCT_H

#include "core/cpu/cpu.h"

/** c = op(a) op(b) + beta c: op(a): (m, k), op(b): (k, n), c: (m, n), row-major without gaps. Any size may be 0. */
typedef struct egi_product {
    bool ta, tb;
    int64_t m, n, k;
    const float *a, *b;
    float beta;
    float *c;
} egi_product;

/** Floats of scratch that egi_cpu_multiply() wants for these sizes. */
int64_t egi_cpu_product_scratch(const egi_product *product);

/** Multiplies, by the kernel's team. Errors: DEVICE. */
EG_MUST_USE eg_status egi_cpu_multiply(const egi_kernel *kernel, const egi_product *product, float *scratch);

#endif
