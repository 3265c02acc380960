#include "core/cpu/dnnl.h"

#include <dnnl.h>
#include <string.h>

eg_status egi_dnnl_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                         int64_t ldb, float beta, float *c)
{
    if (m == 0 || n == 0)
        return EG_OK;
    if (k == 0) {
        if (beta == 0)
            memset(c, 0, (size_t)(m * n) * sizeof *c);
        return EG_OK;
    }
    const dnnl_status_t status = dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, beta, c, n);
    if (status != dnnl_success)
        return egi_fail(EG_ERR_DEVICE, "cpu: oneDNN failed (%d) in a product of %lld x %lld x %lld", (int)status,
                        (long long)m, (long long)n, (long long)k);
    return EG_OK;
}
