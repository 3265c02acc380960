#include "core/cpu/update.h"

EGI_V void squares(const egi_update_span *span, const egi_update_factors *factors, bool weights, bool anchor,
                   double *sum)
{
    const egi_update_span s = *span;
    const egi_update_factors f = *factors;
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < s.n; i++) {
        const float g = egi_update_g(&s, &f, i, weights, anchor);
        total += g * g;
    }
    *sum = (double)total;
}

static inline EGI_SIMD_BODY void norm_body(const egi_update_span *s, const egi_update_factors *f, int penalties,
                                           double *sum)
{
    switch (penalties & (EGI_UPDATE_WEIGHTS | EGI_UPDATE_ANCHOR)) {
    case 0:
        squares(s, f, false, false, sum);
        break;
    case EGI_UPDATE_WEIGHTS:
        squares(s, f, true, false, sum);
        break;
    case EGI_UPDATE_ANCHOR:
        squares(s, f, false, true, sum);
        break;
    default:
        squares(s, f, true, true, sum);
    }
}
EGI_SIMD(norm, (const egi_update_span *s, const egi_update_factors *f, int penalties, double *sum),
         (s, f, penalties, sum))

eg_status egi_cpu_update_norm(egi_device *device, egi_kernel *out)
{
    return egi_update_prepare(device, out, norm);
}
