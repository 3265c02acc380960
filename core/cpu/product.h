/** core/cpu/product.h: products of matrices, as every kernel here asks for them. */
#ifndef EGI_CPU_PRODUCT_H
#define EGI_CPU_PRODUCT_H

#include "core/cpu/finish.h"

/** c = finish(op(a) op(b) + c where `accumulate`): op(a): (m, k), op(b): (k, n), c: (m, n), row-major without gaps.
 * Any size may be 0. `squared`: of the squares of a's and b's elements; only with `ta` and without `tb`. */
typedef struct egi_product {
    bool ta, tb, accumulate, squared;
    int64_t m, n, k;
    const float *a, *b;
    const float *packed; /* op(b) as egi_cpu_product_pack() left it; or NULL */
    float *c;
    egi_finish finish; /* of c */
} egi_product;

/** Floats of scratch that egi_cpu_multiply() wants for these sizes. */
int64_t egi_cpu_product_scratch(const egi_kernel *kernel, const egi_product *product);

/** Multiplies, by the kernel's team. An element's value depends on its row of op(a) and column of op(b) only: not on m,
 * n, or the number of threads. */
void egi_cpu_multiply(const egi_kernel *kernel, const egi_product *product, float *scratch);

/** What is multiplied many times can be packed once: floats that takes (0: not worth it for so few rows), and how. Not
 * of squares. */
int64_t egi_cpu_product_packed(const egi_product *product);
void egi_cpu_product_pack(const egi_product *product, float *to);

/** c = a b (+ c where `add`) for `rows` rows whose elements lie `row` and `col` floats apart, b: (k, cols) in panels as
 * `panels`: groups of 16 columns, each (k, 16), the last maybe (k, 8); cols in whole vectors of 8. By the calling
 * thread.
 */
typedef struct egi_panels {
    const float *a, *panels;
    float *c;
    int64_t row, col, next, ldc, rows, cols, k;
    bool add;
} egi_panels;
void egi_cpu_multiply_panels(const egi_panels *p);

#endif
