#include "core/cpu/cpu.h"
#include "core/ops/loss.h"

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    k->op->reference(k->args, k->t, control); /* a handful of numbers */
    return EG_OK;
}

eg_status egi_cpu_record(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run;
    return EG_OK;
}
