#include "core/cpu/update.h"

EGI_V egi_update_element step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.m += (g - e.m) * f->one_minus_beta1;
    e.v += (g * g - e.v) * f->one_minus_beta2;
    e.w -= f->alpha * e.m / (sqrtf(e.v) + f->epsilon);
    return e;
}
EGI_UPDATE_KERNEL(adam, step, true, true)

eg_status egi_cpu_adam(egi_device *device, egi_kernel *out)
{
    return egi_update_prepare(device, out, adam);
}
