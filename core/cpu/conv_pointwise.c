/* 1x1 convolutions are products of matrices: (pixels, c) x (c, f). Where the stride skips pixels, those that are used
 * are gathered first; oneDNN's own strided 1x1 gradients read past the end of their input. */
#include "core/cpu/direct.h"
#include "core/cpu/finish.h"
#include "core/cpu/product.h"
#include "core/ops/conv2d.h"

#include <string.h>

/* `dense`: every input pixel is used, in order. */
typedef struct pointwise {
    egi_conv_dims d;
    int64_t stride[2], pixels; /* pixels: of the output */
    bool dense;
    float *image; /* x, or dx */
} pointwise;

static bool suits(const egi_kernel *k, const egi_conv_dims *d, const egi_conv_geometry *g)
{
    /* Fewer channels do not fill a product's tiles; the direct kernels do better there. */
    const bool many = d->c >= 8 && d->f >= 8;
    return egi_cpu_is_f32(k) && d->kh == 1 && d->kw == 1 && g->groups == 1 && g->pad[0] == 0 && g->pad[1] == 0 && many;
}

static pointwise of(const egi_tensor *t, egi_val x, egi_val w, egi_val y, const egi_conv_geometry *g)
{
    pointwise p = {.d = egi_conv_dims_of(&t[x].shape, &t[w].shape, &t[y].shape, NULL), .image = t[x].data};
    p.stride[0] = g->stride[0];
    p.stride[1] = g->stride[1];
    p.pixels = p.d.n * p.d.oh * p.d.ow;
    p.dense = p.d.h == p.d.oh && p.d.w == p.d.ow;
    return p;
}

/* Floats of the scratch that hold gathered pixels. */
static int64_t gathered(const pointwise *p)
{
    return p->dense ? 0 : egi_round_up(p->pixels * p->d.c, 16);
}

static inline float *pixel(const pointwise *p, int64_t row, int64_t j)
{
    const int64_t n = row / p->d.oh, i = row % p->d.oh;
    return p->image + ((n * p->d.h + i * p->stride[0]) * p->d.w + j * p->stride[1]) * p->d.c;
}

/* Between the image and its used pixels, one after the other. */
typedef struct moving {
    const pointwise *p;
    float *pixels;
} moving;

static void gather_sample(void *arg, int64_t n, int thread)
{
    (void)thread;
    const moving *m = arg;
    const pointwise *p = m->p;
    for (int64_t row = n * p->d.oh; row < (n + 1) * p->d.oh; row++)
        for (int64_t j = 0; j < p->d.ow; j++)
            memcpy(m->pixels + (row * p->d.ow + j) * p->d.c, pixel(p, row, j), (size_t)p->d.c * sizeof(float));
}

static const float *gather(const egi_kernel *k, const pointwise *p)
{
    moving m = {.p = p, .pixels = k->scratch};
    if (p->dense)
        return p->image;
    egi_cpu_run(k, p->d.n, gather_sample, &m);
    return m.pixels;
}

/* With zeros at the pixels that are not used. */
static void scatter_sample(void *arg, int64_t n, int thread)
{
    (void)thread;
    const moving *m = arg;
    const pointwise *p = m->p;
    const int64_t size = p->d.h * p->d.w * p->d.c;
    memset(p->image + n * size, 0, (size_t)size * sizeof(float));
    for (int64_t row = n * p->d.oh; row < (n + 1) * p->d.oh; row++)
        for (int64_t j = 0; j < p->d.ow; j++)
            memcpy(pixel(p, row, j), m->pixels + (row * p->d.ow + j) * p->d.c, (size_t)p->d.c * sizeof(float));
}

/* The three products; `pixels` are the used pixels of the image. Their scratch lies behind the gathered pixels. */
static egi_product forward(const egi_kernel *k, const egi_conv2d *a, const pointwise *p, const float *pixels)
{
    return (egi_product){.m = p->pixels,
                         .n = p->d.f,
                         .k = p->d.c,
                         .a = pixels,
                         .b = k->t[a->w].data,
                         .c = k->t[a->y].data,
                         .finish = {.b = k->t[a->b].data, .r = k->t[a->r].data, .act = a->act, .alpha = a->alpha}};
}

static egi_product towards_input(const egi_kernel *k, const egi_conv2d_dx *a, const pointwise *p, float *pixels)
{
    return (egi_product){
        .tb = true, .m = p->pixels, .n = p->d.c, .k = p->d.f, .a = k->t[a->dy].data, .b = k->t[a->w].data, .c = pixels};
}

static egi_product of_kernel(const egi_kernel *k, const egi_conv2d_dw *a, const pointwise *p, const float *pixels)
{
    return (egi_product){.ta = true,
                         .m = p->d.c,
                         .n = p->d.f,
                         .k = p->pixels,
                         .a = pixels,
                         .b = k->t[a->dy].data,
                         .c = k->t[a->dw].data};
}

static eg_status run_forward(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_conv2d *a = k->args;
    const pointwise p = of(k->t, a->x, a->w, a->y, &a->g);
    const egi_product product = forward(k, a, &p, gather(k, &p));
    egi_cpu_multiply(k, &product, (float *)k->scratch + gathered(&p));
    return EG_OK;
}

static eg_status run_dx(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dx *a = k->args;
    const pointwise p = of(k->t, a->dx, a->w, a->dy, &a->g);
    const egi_product product = towards_input(k, a, &p, p.dense ? p.image : k->scratch);
    egi_cpu_multiply(k, &product, (float *)k->scratch + gathered(&p));
    if (!p.dense)
        egi_cpu_run(k, p.d.n, scatter_sample, &(moving){.p = &p, .pixels = product.c});
    return EG_OK;
}

static eg_status run_dw(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dw *a = k->args;
    const pointwise p = of(k->t, a->x, a->dw, a->dy, &a->g);
    const egi_product product = of_kernel(k, a, &p, gather(k, &p));
    float *behind = (float *)k->scratch + gathered(&p);
    egi_cpu_multiply(k, &product, behind);
    if (a->db != EGI_NONE)
        egi_cpu_sum_columns(k, product.b, p.pixels, p.d.f, behind, k->t[a->db].data);
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

/* `behind`: floats wanted behind the gathered pixels. */
static eg_status prepare(egi_kernel *out, const pointwise *p, const egi_conv_geometry *g, int64_t behind,
                         eg_status (*run)(const egi_kernel *, const egi_control *))
{
    if (!suits(out, &p->d, g))
        return EGI_CPU_DECLINE;
    out->scratch_bytes = (size_t)(gathered(p) + behind) * sizeof(float);
    out->run = run;
    return EG_OK;
}

eg_status egi_cpu_conv2d_pointwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d *a = out->args;
    const pointwise p = of(out->t, a->x, a->w, a->y, &a->g);
    const egi_product product = forward(out, a, &p, NULL);
    return prepare(out, &p, &a->g, egi_cpu_product_scratch(out, &product), run_forward);
}

eg_status egi_cpu_conv2d_dx_pointwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dx *a = out->args;
    if (a->index != EGI_NONE)
        return EGI_CPU_DECLINE;
    const pointwise p = of(out->t, a->dx, a->w, a->dy, &a->g);
    const egi_product product = towards_input(out, a, &p, NULL);
    return prepare(out, &p, &a->g, egi_cpu_product_scratch(out, &product), run_dx);
}

eg_status egi_cpu_conv2d_dw_pointwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dw *a = out->args;
    if (a->index != EGI_NONE)
        return EGI_CPU_DECLINE;
    const pointwise p = of(out->t, a->x, a->dw, a->dy, &a->g);
    const egi_product product = of_kernel(out, a, &p, NULL);
    const int64_t copies = egi_cpu_product_scratch(out, &product), sums = p.d.f * EGI_CPU_CHUNKS;
    return prepare(out, &p, &a->g, copies > sums ? copies : sums, run_dw);
}
