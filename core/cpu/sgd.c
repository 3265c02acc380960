#include "core/cpu/update.h"

EGI_V egi_update_element plain_step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.w -= f->lr * g;
    return e;
}
EGI_UPDATE_KERNEL(plain, plain_step, false, false)

EGI_V egi_update_element momentum_step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.m = f->momentum * e.m - f->lr * g;
    e.w += e.m;
    return e;
}
EGI_UPDATE_KERNEL(momentum, momentum_step, true, false)

/* Nesterov 1983, as Sutskever et al. 2013 write it: the gradient's part looks one step ahead. */
EGI_V egi_update_element nesterov_step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.m = f->momentum * e.m - f->lr * g;
    e.w += f->momentum * e.m - f->lr * g;
    return e;
}
EGI_UPDATE_KERNEL(nesterov, nesterov_step, true, false)

eg_status egi_cpu_sgd(egi_device *device, egi_kernel *out)
{
    const egi_update *a = out->args;
    return egi_update_prepare(device, out, a->nesterov ? nesterov : a->momentum > 0 ? momentum : plain);
}
