#include "core/cpu/update.h"

EGI_V float scaled(const egi_update_factors *f, egi_update_element *e, float g)
{
    e->v = f->rho * e->v + f->one_minus_rho * (g * g);
    return f->lr * g / sqrtf(e->v + f->epsilon);
}

EGI_V egi_update_element plain_step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.w -= scaled(f, &e, g);
    return e;
}
EGI_UPDATE_KERNEL(plain, plain_step, false, true)

EGI_V egi_update_element momentum_step(const egi_update_factors *f, egi_update_element e, float g)
{
    e.m = f->momentum * e.m + scaled(f, &e, g);
    e.w -= e.m;
    return e;
}
EGI_UPDATE_KERNEL(momentum, momentum_step, true, true)

eg_status egi_cpu_rmsprop(egi_device *device, egi_kernel *out)
{
    return egi_update_prepare(device, out, ((const egi_update *)out->args)->momentum > 0 ? momentum : plain);
}
