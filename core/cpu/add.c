#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/pointwise.h"

static inline EGI_SIMD_BODY void loop(egi_act act, float alpha, const float *a, const float *b, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = egi_v_act(act, alpha, -1, 0, a[i] + b[i]);
}

static inline EGI_SIMD_BODY void add_body(egi_act act, float alpha, const float *a, const float *b, float *y, int64_t n)
{
    switch (act) {
#define KIND(name)                               \
    case EGI_ACT_##name:                         \
        loop(EGI_ACT_##name, alpha, a, b, y, n); \
        break;
        EGI_V_FUSED(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(add, (egi_act act, float alpha, const float *a, const float *b, float *y, int64_t n), (act, alpha, a, b, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_add *a = k->args;
    add(a->act, a->alpha, (const float *)k->t[a->a].data + begin, (const float *)k->t[a->b].data + begin,
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
