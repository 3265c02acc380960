#include "core/cpu/parallel.h"
#include "core/ops/pointwise.h"

#include <string.h>

static inline EGI_SIMD_BODY void widen_body(const float *x, double *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
}
EGI_SIMD(widen, (const float *x, double *y, int64_t n), (x, y, n))

static inline EGI_SIMD_BODY void narrow_body(const double *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)x[i];
}
EGI_SIMD(narrow, (const double *x, float *y, int64_t n), (x, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_copy *a = k->args;
    const egi_tensor *x = &k->t[a->x], *y = &k->t[a->y];
    const size_t size = egi_dtype_size(x->dtype);
    if (x->dtype == y->dtype)
        memcpy((char *)y->data + (size_t)begin * size, (const char *)x->data + (size_t)begin * size,
               (size_t)(end - begin) * size);
    else if (x->dtype == EGI_F32)
        widen((const float *)x->data + begin, (double *)y->data + begin, end - begin);
    else
        narrow((const double *)x->data + begin, (float *)y->data + begin, end - begin);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_copy *)k->args)->y]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_copy(egi_device *device, egi_kernel *out)
{
    (void)device;
    out->run = run;
    return EG_OK;
}
