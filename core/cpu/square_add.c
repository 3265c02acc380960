#include "core/cpu/parallel.h"
#include "core/ops/update.h"

static inline EGI_SIMD_BODY void square_add_body(const float *x, float *f, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        f[i] += x[i] * x[i];
}
EGI_SIMD(square_add, (const float *x, float *f, int64_t n), (x, f, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_square_add *a = k->args;
    square_add((const float *)k->t[a->x].data + begin, (float *)k->t[a->f].data + begin, end - begin);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_square_add *)k->args)->x]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_square_add(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    return EG_OK;
}
