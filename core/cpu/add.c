#include "core/cpu/parallel.h"
#include "core/ops/pointwise.h"

static inline EGI_SIMD_BODY void add_body(const float *a, const float *b, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}
EGI_SIMD(add, (const float *a, const float *b, float *y, int64_t n), (a, b, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_add *a = k->args;
    add((const float *)k->t[a->a].data + begin, (const float *)k->t[a->b].data + begin,
        (float *)k->t[a->y].data + begin, end - begin);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_add *)k->args)->y]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_add(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    return EG_OK;
}
