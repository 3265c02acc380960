/* Rows that lie a large power of two apart fall into few sets of the caches: a product by columns of such a matrix runs
 * at half speed. Copying it with longer rows costs a few percent. Measured: 128 x 1024 x 1024: 45 -> 86 GFLOP/s a core,
 * 512 x 256 x 128 (ta): 64 -> 89. */
#include "core/cpu/product.h"

#include "core/cpu/dnnl.h"
#include "core/cpu/parallel.h"

#include <string.h>

#define LONGER 16 /* floats added to a row */

/* Is it worth it? There must be enough work to pay for the copy. */
static bool copies_a(const egi_product *p)
{
    return p->ta && p->m % 512 == 0 && p->n >= 64 && p->k >= 32;
}

static bool copies_b(const egi_product *p)
{
    if (p->tb || p->m < 32)
        return false;
    return copies_a(p) ? p->n % 256 == 0 : p->n % 512 == 0 && p->k >= 256;
}

static int64_t copy_size(int64_t rows, int64_t cols)
{
    return rows * (cols + LONGER);
}

int64_t egi_cpu_product_scratch(const egi_product *p)
{
    return (copies_a(p) ? copy_size(p->k, p->m) : 0) + (copies_b(p) ? copy_size(p->k, p->n) : 0);
}

static void copy(const egi_kernel *k, const float *from, int64_t rows, int64_t cols, float *to)
{
    const int threads = rows * cols < EGI_CPU_SERIAL ? 1 : egi_cpu_threads(k);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * (cols + LONGER), from + r * cols, (size_t)cols * sizeof *to);
}

eg_status egi_cpu_multiply(const egi_kernel *k, const egi_product *p, float *scratch)
{
    const float *a = p->a, *b = p->b;
    int64_t lda = p->ta ? p->m : p->k, ldb = p->tb ? p->k : p->n;
    if (copies_a(p)) {
        copy(k, a, p->k, p->m, scratch);
        a = scratch;
        lda += LONGER;
        scratch += copy_size(p->k, p->m);
    }
    if (copies_b(p)) {
        copy(k, b, p->k, p->n, scratch);
        b = scratch;
        ldb += LONGER;
    }
    return egi_dnnl_sgemm(p->ta, p->tb, p->m, p->n, p->k, a, lda, b, ldb, p->beta, p->c);
}
