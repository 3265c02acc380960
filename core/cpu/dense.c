#include "core/ops/dense.h"
#include "core/cpu/finish.h"
#include "core/cpu/product.h"

#include <string.h>

static egi_product dense_product(const egi_tensor *t, const egi_dense *a)
{
    const egi_tensor *x = &t[a->x], *w = &t[a->w];
    return (egi_product){.m = x->shape.dim[0],
                         .n = w->shape.dim[1],
                         .k = x->shape.dim[1],
                         .a = x->data,
                         .b = w->data,
                         .c = t[a->y].data};
}

static eg_status run_dense(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_dense *a = k->args;
    const egi_product p = dense_product(k->t, a);
    EG_TRY(egi_cpu_multiply(k, &p, k->scratch));
    if (a->b == EGI_NONE)
        egi_cpu_activate(k, p.c, p.m * p.n, a->act, a->alpha);
    else
        egi_cpu_finish(k, p.c, k->t[a->b].data, p.m, p.n, a->act, a->alpha);
    return EG_OK;
}

eg_status egi_cpu_dense(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_product p = dense_product(out->t, out->args);
    out->scratch_bytes = (size_t)egi_cpu_product_scratch(&p) * sizeof(float);
    out->run = run_dense;
    return EG_OK;
}

static egi_product gemm_product(const egi_tensor *t, const egi_gemm *g)
{
    const egi_shape *a = &t[g->a].shape, *c = &t[g->c].shape;
    return (egi_product){.ta = g->ta,
                         .tb = g->tb,
                         .m = c->dim[0],
                         .n = c->dim[1],
                         .k = a->dim[!g->ta],
                         .a = t[g->a].data,
                         .b = t[g->b].data,
                         .beta = g->accumulate ? 1 : 0,
                         .c = t[g->c].data};
}

static eg_status run_gemm(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_product p = gemm_product(k->t, k->args);
    return egi_cpu_multiply(k, &p, k->scratch);
}

eg_status egi_cpu_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_product p = gemm_product(out->t, out->args);
    out->scratch_bytes = (size_t)egi_cpu_product_scratch(&p) * sizeof(float);
    out->run = run_gemm;
    return EG_OK;
}

static inline EGI_SIMD_BODY void squares_body(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * x[i];
}
EGI_SIMD(squares, (const float *x, int64_t n, float *y), (x, n, y))

/* The product of the squares, which lie in the scratch. */
static egi_product square_product(const egi_tensor *t, const egi_square_gemm *s, float *scratch)
{
    const egi_tensor *a = &t[s->a], *d = &t[s->d];
    return (egi_product){.ta = true,
                         .m = a->shape.dim[1],
                         .n = d->shape.dim[1],
                         .k = a->shape.dim[0],
                         .a = scratch,
                         .b = scratch ? scratch + egi_count(a) : NULL,
                         .beta = 1,
                         .c = t[s->f].data};
}

static eg_status run_square_gemm(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_square_gemm *s = k->args;
    const egi_tensor *a = &k->t[s->a], *d = &k->t[s->d];
    float *a2 = k->scratch, *d2 = a2 + egi_count(a);
    squares(a->data, egi_count(a), a2);
    squares(d->data, egi_count(d), d2);
    const egi_product p = square_product(k->t, s, a2);
    return egi_cpu_multiply(k, &p, d2 + egi_count(d));
}

eg_status egi_cpu_square_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_square_gemm *s = out->args;
    const egi_product p = square_product(out->t, s, NULL);
    const int64_t squares_size = egi_count(&out->t[s->a]) + egi_count(&out->t[s->d]);
    out->scratch_bytes = (size_t)(squares_size + egi_cpu_product_scratch(&p)) * sizeof(float);
    out->run = run_square_gemm;
    return EG_OK;
}
