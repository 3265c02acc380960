/* Convolutions and their gradients to the input. */
#include "cuda/conv_prepare.h"

#include <stdio.h>

/* How a product is cut into tiles, and the kernel's name. */
typedef struct cut {
    char name[32];
    int64_t grid[3];
    int block;
} cut;

/* Of m x n a group, for kernels eg_conv_<what>large4 and so on. Large tiles read least, if there are enough of them. */
static cut cut_of(const egi_kernel *k, const char *what, int64_t m, int64_t n, int64_t groups, bool vectors, bool large)
{
    const int64_t large_tiles = (m + 127) / 128 * ((n + 127) / 128) * groups;
    const char *shape = "medium";
    int64_t rows = 64, columns = 64;
    int block = 128;
    if (n <= 16)
        shape = "narrow", rows = 128, columns = 16, block = 64;
    else if (large && vectors && n > 64 && large_tiles >= egi_cuda_of(k)->processors)
        shape = "large", rows = 128, columns = 128, block = 256;
    cut c = {.grid = {(m + rows - 1) / rows, (n + columns - 1) / columns, groups}, .block = block};
    snprintf(c.name, sizeof c.name, "eg_conv_%s%s%s", what, shape, vectors ? "4" : "");
    return c;
}

static egi_cuda_gather gather_of(const egi_cuda_conv *c, const void *x, int64_t rows, int64_t columns)
{
    const egi_conv_dims *d = &c->d;
    egi_cuda_gather g = {.x = x,
                         .sample = d->h * d->w * d->c,
                         .size = {(int32_t)d->h, (int32_t)d->w},
                         .width = d->c,
                         .rows = egi_cuda_divisor(rows),
                         .columns = egi_cuda_divisor(columns),
                         .channels = egi_cuda_divisor(d->cg)};
    for (int axis = 0; axis < 2; axis++) {
        g.scale[axis] = (int32_t)c->g->stride[axis];
        g.origin[axis] = (int32_t)-c->g->pad[axis];
        g.step[axis] = (int32_t)c->g->dilation[axis];
    }
    return g;
}

/* --- forward ------------------------------------------------------------------------------------------------------ */

static egi_cuda_conv_args forward_args(const egi_kernel *k, const egi_cuda_conv *c, const egi_conv2d *a)
{
    return (egi_cuda_conv_args){.g = gather_of(c, egi_cuda_data(k, a->x), c->d.oh, c->d.ow),
                                .w = egi_cuda_data(k, a->w),
                                .b = egi_cuda_data(k, a->b),
                                .r = egi_cuda_data(k, a->r),
                                .m = (uint32_t)egi_cuda_conv_pixels(c),
                                .k = (uint32_t)(c->d.kh * c->d.kw * c->d.cg),
                                .n = (int32_t)c->d.fg,
                                .f = (int32_t)c->d.f,
                                .kw = (int32_t)c->d.kw,
                                .precision = (int32_t)k->device->context->precision,
                                .act = (int32_t)a->act,
                                .alpha = a->alpha};
}

/* y EGI_NONE: to where scratch begins. */
static eg_status forward(egi_kernel *k, const egi_cuda_conv *c, const egi_conv2d *a)
{
    const bool vectors = egi_cuda_conv_vectors(k, c, (const egi_val[]){a->x, a->w, a->b, a->r, a->y}, 5);
    egi_cuda_conv_args args = forward_args(k, c, a);
    args.y = egi_cuda_data(k, a->y);
    const cut t = cut_of(k, "", args.m, args.n, c->g->groups, vectors, true);
    return EGI_CUDA_LAUNCH(k, .name = t.name, .grid = {t.grid[0], t.grid[1], t.grid[2]}, .block = t.block,
                           .args = &args, .size = sizeof args,
                           .scratch_field = a->y == EGI_NONE ? EGI_FIELD(egi_cuda_conv_args, y) : 0);
}

eg_status egi_cuda_conv2d(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d *a = out->args;
    egi_cuda_conv c;
    EG_TRY(egi_cuda_conv_of(out, a->x, a->w, a->y, &a->g, NULL, &c));
    return forward(out, &c, a);
}

static egi_conv2d unpooled(const egi_conv2d_maxpool *a)
{
    return (egi_conv2d){.x = a->x, .w = a->w, .b = a->b, .g = a->g, .act = a->act, .alpha = a->alpha};
}

/* A thread can pool what it computed: a window's pixels are 1, 2, 4 or 8 of its rows, and no pixel is in two. */
eg_status egi_cuda_conv2d_maxpool_fused(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_maxpool *a = out->args;
    const egi_pool_geometry *g = &a->pool.g;
    egi_cuda_conv c;
    EG_TRY(egi_cuda_conv_of(out, a->x, a->w, a->y, &a->g, &a->pool, &c));
    const int64_t area = g->window[0] * g->window[1], windows = c.d.n * c.pooled[0] * c.pooled[1];
    if (area > 8 || 8 % area || g->window[0] > g->stride[0] || g->window[1] > g->stride[1])
        return EGI_CUDA_DECLINE;
    const egi_conv2d conv = unpooled(a);
    egi_cuda_conv_args args = forward_args(out, &c, &conv);
    const egi_cuda_window w = egi_cuda_window_of(&c);
    args.g = gather_of(&c, args.g.x, c.pooled[0], c.pooled[1]);
    args.y = egi_cuda_data(out, a->y);
    args.index = egi_cuda_data(out, a->index);
    args.m = (uint32_t)(windows * area);
    args.area = (int32_t)area;
    for (int axis = 0; axis < 2; axis++) {
        args.size[axis] = w.size[axis];
        args.window[axis] = w.window[axis];
        args.stride[axis] = w.stride[axis];
        args.pad[axis] = w.pad[axis];
    }
    const bool vectors = egi_cuda_conv_vectors(out, &c, (const egi_val[]){a->x, a->w}, 2);
    const cut t = cut_of(out, "pool_", args.m, args.n, c.g->groups, vectors, false);
    return EGI_CUDA_LAUNCH(out, .name = t.name, .grid = {t.grid[0], t.grid[1], t.grid[2]}, .block = t.block,
                           .args = &args, .size = sizeof args);
}

eg_status egi_cuda_conv2d_maxpool(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_maxpool *a = out->args;
    const egi_conv2d conv = unpooled(a);
    egi_cuda_conv c;
    EG_TRY(egi_cuda_conv_of(out, a->x, a->w, a->y, &a->g, &a->pool, &c));
    out->scratch_bytes = (size_t)(egi_cuda_conv_pixels(&c) * c.d.f) * sizeof(float);
    EG_TRY(forward(out, &c, &conv));
    return egi_cuda_pool(out, &c, a->y, a->index);
}

/* --- gradient to the input ---------------------------------------------------------------------------------------- */

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* What the phases of an axis have in common; returns how many there are. Outputs that read a pixel are one apart from
 * tap to tap of a phase, or as many as the dilation leaves. */
static int64_t phases_of(const egi_cuda_conv *c, int axis, int64_t in, egi_cuda_conv_dx_args *args)
{
    const int64_t stride = c->g->stride[axis], dilation = c->g->dilation[axis],
                  common = common_divisor(stride, dilation);
    args->stride[axis] = (int32_t)stride;
    args->dilation[axis] = (int32_t)dilation;
    args->pad[axis] = (int32_t)c->g->pad[axis];
    args->every[axis] = (int32_t)(stride / common);
    args->size[axis] = (int32_t)in;
    args->g.scale[axis] = 1;
    args->g.step[axis] = (int32_t)(-dilation / common);
    return stride < in ? stride : in;
}

static egi_cuda_conv_dx_args dx_args(const egi_cuda_conv *c, int64_t *phases)
{
    const egi_conv_dims *d = &c->d;
    egi_cuda_conv_dx_args args = {.g = {.sample = d->oh * d->ow * d->f,
                                        .size = {(int32_t)d->oh, (int32_t)d->ow},
                                        .width = d->f,
                                        .channels = egi_cuda_divisor(d->fg)},
                                  .n = (int32_t)d->cg,
                                  .c = (int32_t)d->c,
                                  .f = (int32_t)d->f,
                                  .kernel = {(int32_t)d->kh, (int32_t)d->kw}};
    const int64_t rows = phases_of(c, 0, d->h, &args), columns = phases_of(c, 1, d->w, &args);
    const int64_t high = (d->h + rows - 1) / rows, wide = (d->w + columns - 1) / columns;
    args.g.rows = egi_cuda_divisor(high);
    args.g.columns = egi_cuda_divisor(wide);
    args.m = (uint32_t)(d->n * high * wide);
    args.phases = (int32_t)columns;
    *phases = rows * columns;
    return args;
}

eg_status egi_cuda_conv2d_dx(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    egi_cuda_conv c;
    int64_t phases, floats;
    EG_TRY(egi_cuda_conv_of(out, a->dx, a->w, a->dy, &a->g, &a->pool, &c));
    EG_TRY(egi_cuda_unpool(out, &c, a->dy, a->index, &floats));
    out->scratch_bytes = (size_t)floats * sizeof(float);
    egi_cuda_conv_dx_args args = dx_args(&c, &phases);
    args.g.x = egi_cuda_data(out, a->dy);
    args.w = egi_cuda_data(out, a->w);
    args.dx = egi_cuda_data(out, a->dx);
    args.precision = (int32_t)device->context->precision;
    const bool vectors = egi_cuda_conv_vectors(out, &c, (const egi_val[]){a->dy, a->w, a->dx}, 3);
    const cut t = cut_of(out, "dx_", args.m, args.n, c.g->groups, vectors, true);
    args.tiles = (uint32_t)t.grid[0];
    return EGI_CUDA_LAUNCH(out, .name = t.name, .grid = {phases * t.grid[0], t.grid[1], t.grid[2]}, .block = t.block,
                           .args = &args, .size = sizeof args,
                           .scratch_field = c.pool ? EGI_FIELD(egi_cuda_conv_dx_args, g.x) : 0);
}

/* --- gradients to the kernel -------------------------------------------------------------------------------------- */

typedef struct kernel_gradient {
    egi_val x, dy, index, dw, db;
    bool square;
} kernel_gradient;

static cut dw_cut_of(const egi_kernel *k, const egi_cuda_conv *c, const kernel_gradient *a, int64_t m)
{
    const int64_t n = c->d.fg;
    const bool vectors = egi_cuda_conv_vectors(k, c, (const egi_val[]){a->x, a->dy}, 2);
    cut t = {.block = 128, .grid = {(m + 63) / 64, (n + 63) / 64, c->g->groups}};
    const char *shape = "medium";
    if (n <= 16)
        shape = "narrow", t = (cut){.block = 64, .grid = {(m + 63) / 64, 1, c->g->groups}};
    else if (!a->square && vectors && n > 64 && m > 64)
        shape = "large", t = (cut){.block = 256, .grid = {(m + 127) / 128, (n + 127) / 128, c->g->groups}};
    snprintf(t.name, sizeof t.name, "eg_conv_%s_%s%s", a->square ? "square" : "dw", shape, vectors ? "4" : "");
    return t;
}

static eg_status gradient(egi_kernel *k, const egi_cuda_conv *c, const kernel_gradient *a)
{
    const egi_conv_dims *d = &c->d;
    const int64_t m = d->kh * d->kw * d->cg, sample = d->oh * d->ow;
    int64_t floats;
    EG_TRY(egi_cuda_unpool(k, c, a->dy, a->index, &floats));
    const cut t = dw_cut_of(k, c, a, m);
    const egi_cuda_parts parts = egi_cuda_parts_of(k, c, t.grid[0] * t.grid[1] * t.grid[2], a->square ? sample : 16);
    const egi_cuda_conv_dw_args args = {.g = gather_of(c, egi_cuda_data(k, a->x), d->oh, d->ow),
                                        .dz = c->pool ? NULL : egi_cuda_data(k, a->dy),
                                        .parts = (floats + 15) / 16 * 16,
                                        .m = (uint32_t)m,
                                        .pixels = (uint32_t)egi_cuda_conv_pixels(c),
                                        .each = (uint32_t)parts.each,
                                        .sample = (uint32_t)sample,
                                        .n = (int32_t)d->fg,
                                        .f = (int32_t)d->f,
                                        .kw = (int32_t)d->kw,
                                        .precision = (int32_t)k->device->context->precision,
                                        .splits = (int32_t)parts.splits};
    EG_TRY(EGI_CUDA_LAUNCH(k, .name = t.name, .grid = {t.grid[0], t.grid[1], t.grid[2] * parts.splits},
                           .block = t.block, .args = &args, .size = sizeof args,
                           .scratch_field = EGI_FIELD(egi_cuda_conv_dw_args, scratch)));
    return egi_cuda_add_parts(k, c, &parts, args.parts, a->dw, a->db, a->square);
}

eg_status egi_cuda_conv2d_dw(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dw *a = out->args;
    egi_cuda_conv c;
    EG_TRY(egi_cuda_conv_of(out, a->x, a->dw, a->dy, &a->g, &a->pool, &c));
    return gradient(out, &c, &(kernel_gradient){a->x, a->dy, a->index, a->dw, a->db, false});
}

eg_status egi_cuda_conv2d_square(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_square *a = out->args;
    egi_cuda_conv c;
    EG_TRY(egi_cuda_conv_of(out, a->x, a->fw, a->dy, &a->g, &a->pool, &c));
    return gradient(out, &c, &(kernel_gradient){a->x, a->dy, a->index, a->fw, a->fb, true});
}
