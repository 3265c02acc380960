#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/pointwise.h"

static inline EGI_SIMD_BODY void loop(egi_act act, const egi_activation_grad *a, const float *dy, const float *v,
                                      float *dx, int64_t n)
{
    const float alpha = a->alpha, max_value = a->max_value, threshold = a->threshold;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * egi_v_slope(act, alpha, max_value, threshold, v[i]);
}

static inline EGI_SIMD_BODY void backward_body(const egi_activation_grad *a, const float *dy, const float *v, float *dx,
                                               int64_t n)
{
    switch (a->act) {
#define KIND(name, keras)                      \
    case EGI_ACT_##name:                       \
        loop(EGI_ACT_##name, a, dy, v, dx, n); \
        break;
        EGI_ACT_LIST(KIND)
#undef KIND
    case EGI_ACT_COUNT:
        break;
    }
}
EGI_SIMD(backward, (const egi_activation_grad *a, const float *dy, const float *v, float *dx, int64_t n),
         (a, dy, v, dx, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_activation_grad *a = k->args;
    const egi_val v = egi_act_by_output(a->act) ? a->y : a->x;
    backward(a, (const float *)k->t[a->dy].data + begin, (const float *)k->t[v].data + begin,
             (float *)k->t[a->dx].data + begin, end - begin);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_activation_grad *)k->args)->dx]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_activation_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    return EG_OK;
}
