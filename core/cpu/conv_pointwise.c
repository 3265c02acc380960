/* 1x1 convolutions are products of matrices: (pixels, c) x (c, f). Where the stride skips pixels, those that are used
 * are gathered first; oneDNN's own strided 1x1 gradients read past the end of their input. */
#include "core/cpu/finish.h"
#include "core/cpu/parallel.h"
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
    pointwise p = {.d = egi_conv_dims_of(&t[x].shape, &t[w].shape, &t[y].shape), .image = t[x].data};
    p.stride[0] = g->stride[0];
    p.stride[1] = g->stride[1];
    p.pixels = p.d.n * p.d.oh * p.d.ow;
    p.dense = p.d.h == p.d.oh && p.d.w == p.d.ow;
    return p;
}

/* Floats of the scratch that hold gathered pixels. */
static int64_t gathered(const pointwise *p)
{
    return p->dense ? 0 : (p->pixels * p->d.c + 15) / 16 * 16;
}

static inline float *pixel(const pointwise *p, int64_t row, int64_t j)
{
    const int64_t n = row / p->d.oh, i = row % p->d.oh;
    return p->image + ((n * p->d.h + i * p->stride[0]) * p->d.w + j * p->stride[1]) * p->d.c;
}

/* The used pixels, one after the other. */
static const float *gather(const egi_kernel *k, const pointwise *p)
{
    float *to = k->scratch;
    const int64_t rows = p->d.n * p->d.oh;
    const int threads = egi_cpu_threads(k);
    if (p->dense)
        return p->image;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t j = 0; j < p->d.ow; j++)
            memcpy(to + (row * p->d.ow + j) * p->d.c, pixel(p, row, j), (size_t)p->d.c * sizeof *to);
    return to;
}

/* Writes them back, with zeros at the pixels that are not used. */
static void scatter(const egi_kernel *k, const pointwise *p, const float *from)
{
    const int64_t line = p->d.w * p->d.c, lines = p->d.n * p->d.h;
    const int threads = egi_cpu_threads(k);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t r = 0; r < lines; r++) {
        memset(p->image + r * line, 0, (size_t)line * sizeof *from);
        const int64_t n = r / p->d.h, h = r % p->d.h, row = n * p->d.oh + h / p->stride[0];
        for (int64_t j = 0; h % p->stride[0] == 0 && h / p->stride[0] < p->d.oh && j < p->d.ow; j++)
            memcpy(pixel(p, row, j), from + (row * p->d.ow + j) * p->d.c, (size_t)p->d.c * sizeof *from);
    }
}

/* The three products; `pixels` are the used pixels of the image. Their scratch lies behind the gathered pixels. */
static egi_product forward(const egi_kernel *k, const egi_conv2d *a, const pointwise *p, const float *pixels)
{
    return (egi_product){
        .m = p->pixels, .n = p->d.f, .k = p->d.c, .a = pixels, .b = k->t[a->w].data, .c = k->t[a->y].data};
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
    EG_TRY(egi_cpu_multiply(k, &product, (float *)k->scratch + gathered(&p)));
    if (a->b == EGI_NONE)
        egi_cpu_activate(k, product.c, p.pixels * p.d.f, a->act, a->alpha);
    else
        egi_cpu_finish(k, product.c, k->t[a->b].data, p.pixels, p.d.f, a->act, a->alpha);
    return EG_OK;
}

static eg_status run_dx(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dx *a = k->args;
    const pointwise p = of(k->t, a->dx, a->w, a->dy, &a->g);
    const egi_product product = towards_input(k, a, &p, p.dense ? p.image : k->scratch);
    EG_TRY(egi_cpu_multiply(k, &product, (float *)k->scratch + gathered(&p)));
    if (!p.dense)
        scatter(k, &p, product.c);
    return EG_OK;
}

static eg_status run_dw(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_conv2d_dw *a = k->args;
    const pointwise p = of(k->t, a->x, a->dw, a->dy, &a->g);
    const egi_product product = of_kernel(k, a, &p, gather(k, &p));
    float *behind = (float *)k->scratch + gathered(&p);
    EG_TRY(egi_cpu_multiply(k, &product, behind));
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
    return prepare(out, &p, &a->g, egi_cpu_product_scratch(&product), run_forward);
}

eg_status egi_cpu_conv2d_dx_pointwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dx *a = out->args;
    const pointwise p = of(out->t, a->dx, a->w, a->dy, &a->g);
    const egi_product product = towards_input(out, a, &p, NULL);
    return prepare(out, &p, &a->g, egi_cpu_product_scratch(&product), run_dx);
}

eg_status egi_cpu_conv2d_dw_pointwise(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dw *a = out->args;
    const pointwise p = of(out->t, a->x, a->dw, a->dy, &a->g);
    const egi_product product = of_kernel(out, a, &p, NULL);
    const int64_t copies = egi_cpu_product_scratch(&product), sums = p.d.f * device->context->threads;
    return prepare(out, &p, &a->g, copies > sums ? copies : sums, run_dw);
}
