#include "core/ops/dense.h"
#include "core/cpu/product.h"

/* Floats of weights that are kept packed for inference, beside the weights themselves. */
#define PACKED_MOST (1 << 22)

/* Weights as the product reads them. */
typedef struct packed {
    int64_t version; /* of the weights */
    _Alignas(64) float w[];
} packed;

static egi_product dense_product(const egi_kernel *k)
{
    const egi_dense *a = k->args;
    const egi_tensor *t = k->t, *x = &t[a->x], *w = &t[a->w];
    return (egi_product){.m = x->shape.dim[0],
                         .n = w->shape.dim[1],
                         .k = x->shape.dim[1],
                         .a = x->data,
                         .b = w->data,
                         .c = t[a->y].data,
                         .finish = {.b = t[a->b].data, .act = a->act, .alpha = a->alpha}};
}

static egi_product gemm_product(const egi_kernel *k)
{
    const egi_gemm *g = k->args;
    const egi_tensor *t = k->t;
    const egi_shape *a = &t[g->a].shape, *c = &t[g->c].shape;
    return (egi_product){.ta = g->ta,
                         .tb = g->tb,
                         .m = c->dim[0],
                         .n = c->dim[1],
                         .k = a->dim[!g->ta],
                         .a = t[g->a].data,
                         .b = t[g->b].data,
                         .accumulate = g->accumulate,
                         .c = t[g->c].data};
}

static egi_product square_product(const egi_kernel *k)
{
    const egi_square_gemm *s = k->args;
    const egi_tensor *a = &k->t[s->a], *d = &k->t[s->d];
    return (egi_product){.ta = true,
                         .squared = true,
                         .m = a->shape.dim[1],
                         .n = d->shape.dim[1],
                         .k = a->shape.dim[0],
                         .a = a->data,
                         .b = d->data,
                         .accumulate = true,
                         .c = k->t[s->f].data};
}

static eg_status run_dense(const egi_kernel *k, const egi_control *control)
{
    packed *s = k->state;
    egi_product p = dense_product(k);
    if (s && s->version != control->weights_version) {
        egi_cpu_product_pack(&p, s->w);
        s->version = control->weights_version;
    }
    p.packed = s ? s->w : NULL;
    egi_cpu_multiply(k, &p, k->scratch);
    return EG_OK;
}

static eg_status run_gemm(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_product p = gemm_product(k);
    egi_cpu_multiply(k, &p, k->scratch);
    return EG_OK;
}

static eg_status run_square(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_product p = square_product(k);
    egi_cpu_multiply(k, &p, k->scratch);
    return EG_OK;
}

static eg_status prepare(egi_kernel *out, egi_product (*product)(const egi_kernel *),
                         eg_status (*run)(const egi_kernel *, const egi_control *))
{
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_product p = product(out);
    out->scratch_bytes = (size_t)egi_cpu_product_scratch(out, &p) * sizeof(float);
    out->run = run;
    return EG_OK;
}

static eg_status keep_packed(egi_device *device, egi_kernel *out)
{
    packed *s;
    const egi_product p = dense_product(out);
    const int64_t floats = egi_cpu_product_packed(&p);
    if (!out->inference || floats == 0 || floats > PACKED_MOST)
        return EG_OK;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s + (size_t)floats * sizeof *s->w));
    s->version = -1; /* of no weights */
    return EG_OK;
}

eg_status egi_cpu_dense(egi_device *device, egi_kernel *out)
{
    EG_TRY(prepare(out, dense_product, run_dense));
    return keep_packed(device, out);
}

eg_status egi_cpu_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    return prepare(out, gemm_product, run_gemm);
}

eg_status egi_cpu_square_gemm(egi_device *device, egi_kernel *out)
{
    (void)device;
    return prepare(out, square_product, run_square);
}
