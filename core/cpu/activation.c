#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/pointwise.h"

/* `act` is a constant where this is inlined: one vectorised loop a kind. */
static inline EGI_SIMD_BODY void loop(egi_act act, const egi_activation *a, const float *x, float *y, int64_t n)
{
    const float alpha = a->alpha, max_value = a->max_value, threshold = a->threshold;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = egi_v_act(act, alpha, max_value, threshold, x[i]);
}

static inline EGI_SIMD_BODY void forward_body(const egi_activation *a, const float *x, float *y, int64_t n)
{
    switch (a->act) {
#define KIND(name, keras)                 \
    case EGI_ACT_##name:                  \
        loop(EGI_ACT_##name, a, x, y, n); \
        break;
        EGI_ACT_LIST(KIND)
#undef KIND
    case EGI_ACT_COUNT:
        break;
    }
}
EGI_SIMD(forward, (const egi_activation *a, const float *x, float *y, int64_t n), (a, x, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_activation *a = k->args;
    forward(a, (const float *)k->t[a->x].data + begin, (float *)k->t[a->y].data + begin, end - begin);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_activation *)k->args)->y]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_activation(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    return EG_OK;
}
