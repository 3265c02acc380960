#include "core/ops/dense.h"
#include "core/cpu/dnnl.h"
#include "core/cpu/finish.h"

#include <string.h>

static eg_status run_dense(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_dense *a = k->args;
    const egi_tensor *x = &k->t[a->x], *w = &k->t[a->w];
    const int64_t m = x->shape.dim[0], in = x->shape.dim[1], n = w->shape.dim[1];
    float *y = k->t[a->y].data;
    EG_TRY(egi_dnnl_sgemm(false, false, m, n, in, x->data, w->data, 0, y));
    if (a->b == EGI_NONE && a->act == EGI_ACT_LINEAR)
        return EG_OK;
    const float *b = a->b == EGI_NONE ? k->scratch : k->t[a->b].data;
    if (a->b == EGI_NONE)
        memset(k->scratch, 0, (size_t)n * sizeof *b);
    egi_cpu_finish(k, y, b, m, n, a->act, a->alpha);
    return EG_OK;
}

eg_status egi_cpu_dense(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_dense *a = out->args;
    if (a->b == EGI_NONE) /* zeros instead of a bias */
        out->scratch_bytes = (size_t)out->t[a->w].shape.dim[1] * sizeof(float);
    out->run = run_dense;
    return EG_OK;
}

static eg_status run_gemm(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_gemm *g = k->args;
    const egi_shape *a = &k->t[g->a].shape, *c = &k->t[g->c].shape;
    return egi_dnnl_sgemm(g->ta, g->tb, c->dim[0], c->dim[1], a->dim[!g->ta], k->t[g->a].data, k->t[g->b].data,
                          g->accumulate ? 1.0f : 0.0f, k->t[g->c].data);
}

eg_status egi_cpu_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run_gemm;
    return EG_OK;
}

static inline EGI_SIMD_BODY void squares_body(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * x[i];
}
EGI_SIMD(squares, (const float *x, int64_t n, float *y), (x, n, y))

static eg_status run_square_gemm(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_square_gemm *s = k->args;
    const egi_tensor *a = &k->t[s->a], *d = &k->t[s->d];
    float *a2 = k->scratch, *d2 = a2 + egi_count(a);
    squares(a->data, egi_count(a), a2);
    squares(d->data, egi_count(d), d2);
    return egi_dnnl_sgemm(true, false, a->shape.dim[1], d->shape.dim[1], a->shape.dim[0], a2, d2, 1, k->t[s->f].data);
}

eg_status egi_cpu_square_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_square_gemm *s = out->args;
    out->scratch_bytes = (size_t)(egi_count(&out->t[s->a]) + egi_count(&out->t[s->d])) * sizeof(float);
    out->run = run_square_gemm;
    return EG_OK;
}
