/* Convolutions whose groups have one channel each, and their gradients. */
#include "cuda/depthwise.h"

#include "cuda/conv_prepare.h"

#include <stdio.h>

#define BLOCK 256

static egi_cuda_depthwise dims_of(const egi_cuda_conv *c)
{
    egi_cuda_depthwise d = {.size = {(int32_t)c->d.h, (int32_t)c->d.w},
                            .out = {(int32_t)c->d.oh, (int32_t)c->d.ow},
                            .kernel = {(int32_t)c->d.kh, (int32_t)c->d.kw},
                            .c = (int32_t)c->d.c,
                            .f = (int32_t)c->d.f,
                            .times = (int32_t)c->d.fg};
    for (int axis = 0; axis < 2; axis++) {
        d.stride[axis] = (int32_t)c->g->stride[axis];
        d.pad[axis] = (int32_t)c->g->pad[axis];
        d.dilation[axis] = (int32_t)c->g->dilation[axis];
    }
    return d;
}

static eg_status conv_of(const egi_kernel *k, egi_val x, egi_val kernel, egi_val y, const egi_conv_geometry *g,
                         const egi_conv_pool *pool, egi_cuda_conv *out)
{
    EG_TRY(egi_cuda_conv_of(k, x, kernel, y, g, pool, out));
    return egi_cuda_conv_is_depthwise(out) ? EG_OK : EGI_CUDA_DECLINE;
}

/* y EGI_NONE: to where scratch begins. */
static eg_status forward(egi_kernel *k, const egi_cuda_conv *c, const egi_conv2d *a)
{
    const bool vectors = egi_cuda_conv_vectors(k, c, (const egi_val[]){a->x, a->w, a->b, a->r, a->y}, 5);
    egi_cuda_depthwise_args args = {.d = dims_of(c),
                                    .rows = egi_cuda_divisor(c->d.oh),
                                    .columns = egi_cuda_divisor(c->d.ow),
                                    .x = egi_cuda_data(k, a->x),
                                    .w = egi_cuda_data(k, a->w),
                                    .b = egi_cuda_data(k, a->b),
                                    .r = egi_cuda_data(k, a->r),
                                    .y = egi_cuda_data(k, a->y),
                                    .pixels = (uint32_t)egi_cuda_conv_pixels(c),
                                    .act = (int32_t)a->act,
                                    .alpha = a->alpha};
    char name[32];
    int64_t grid[2];
    snprintf(name, sizeof name, "eg_depthwise%s%s", vectors ? "4" : "", c->d.kh == 3 && c->d.kw == 3 ? "_3x3" : "");
    egi_cuda_walk(k, args.pixels, c->d.f, vectors ? 4 : 1, &args.lanes, grid);
    return EGI_CUDA_LAUNCH(k, .name = name, .grid = {grid[0], grid[1]}, .block = BLOCK, .args = &args,
                           .size = sizeof args,
                           .scratch_field = a->y == EGI_NONE ? EGI_FIELD(egi_cuda_depthwise_args, y) : 0);
}

eg_status egi_cuda_conv2d_depthwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d *a = out->args;
    egi_cuda_conv c;
    EG_TRY(conv_of(out, a->x, a->w, a->y, &a->g, NULL, &c));
    return forward(out, &c, a);
}

eg_status egi_cuda_conv2d_maxpool_depthwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_maxpool *a = out->args;
    const egi_conv2d conv = {.x = a->x, .w = a->w, .b = a->b, .act = a->act, .alpha = a->alpha};
    egi_cuda_conv c;
    EG_TRY(conv_of(out, a->x, a->w, a->y, &a->g, &a->pool, &c));
    out->scratch_bytes = (size_t)(egi_cuda_conv_pixels(&c) * c.d.f) * sizeof(float);
    EG_TRY(forward(out, &c, &conv));
    return egi_cuda_pool(out, &c, a->y, a->index);
}

eg_status egi_cuda_conv2d_dx_depthwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dx *a = out->args;
    egi_cuda_conv c;
    int64_t floats, grid[2];
    EG_TRY(conv_of(out, a->dx, a->w, a->dy, &a->g, &a->pool, &c));
    EG_TRY(egi_cuda_unpool(out, &c, a->dy, a->index, &floats));
    out->scratch_bytes = (size_t)floats * sizeof(float);
    const bool vectors = egi_cuda_conv_vectors(out, &c, (const egi_val[]){a->dy, a->w, a->dx}, 3);
    egi_cuda_depthwise_args args = {.d = dims_of(&c),
                                    .rows = egi_cuda_divisor(c.d.h),
                                    .columns = egi_cuda_divisor(c.d.w),
                                    .x = egi_cuda_data(out, a->dy),
                                    .w = egi_cuda_data(out, a->w),
                                    .y = egi_cuda_data(out, a->dx),
                                    .pixels = (uint32_t)(c.d.n * c.d.h * c.d.w)};
    egi_cuda_walk(out, args.pixels, c.d.c, vectors ? 4 : 1, &args.lanes, grid);
    return EGI_CUDA_LAUNCH(out, .name = vectors ? "eg_depthwise4_dx" : "eg_depthwise_dx", .grid = {grid[0], grid[1]},
                           .block = BLOCK, .args = &args, .size = sizeof args,
                           .scratch_field = c.pool ? EGI_FIELD(egi_cuda_depthwise_args, x) : 0);
}

typedef struct kernel_gradient {
    egi_val x, dy, index, dw, db;
    bool square;
} kernel_gradient;

static eg_status gradient(egi_kernel *k, const egi_cuda_conv *c, const kernel_gradient *a)
{
    const int64_t sample = c->d.oh * c->d.ow, channels = (c->d.f + 31) / 32,
                  taps = (c->d.kh * c->d.kw + EGI_DEPTHWISE_TAPS - 1) / EGI_DEPTHWISE_TAPS;
    int64_t floats;
    EG_TRY(egi_cuda_unpool(k, c, a->dy, a->index, &floats));
    const egi_cuda_parts parts = egi_cuda_parts_of(k, c, channels * taps, a->square ? sample : 8);
    const egi_cuda_depthwise_dw_args args = {.d = dims_of(c),
                                             .rows = egi_cuda_divisor(c->d.oh),
                                             .columns = egi_cuda_divisor(c->d.ow),
                                             .x = egi_cuda_data(k, a->x),
                                             .dz = c->pool ? NULL : egi_cuda_data(k, a->dy),
                                             .parts = floats,
                                             .pixels = (uint32_t)egi_cuda_conv_pixels(c),
                                             .each = (uint32_t)parts.each,
                                             .unit = (uint32_t)(a->square ? sample : parts.each),
                                             .square = a->square};
    EG_TRY(EGI_CUDA_LAUNCH(k, .name = "eg_depthwise_dw", .grid = {parts.splits, channels, taps}, .block = BLOCK,
                           .args = &args, .size = sizeof args,
                           .scratch_field = EGI_FIELD(egi_cuda_depthwise_dw_args, scratch)));
    return egi_cuda_add_parts(k, c, &parts, floats, a->dw, a->db, a->square);
}

eg_status egi_cuda_conv2d_dw_depthwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dw *a = out->args;
    egi_cuda_conv c;
    EG_TRY(conv_of(out, a->x, a->dw, a->dy, &a->g, &a->pool, &c));
    return gradient(out, &c, &(kernel_gradient){a->x, a->dy, a->index, a->dw, a->db, false});
}

eg_status egi_cuda_conv2d_square_depthwise(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_square *a = out->args;
    egi_cuda_conv c;
    EG_TRY(conv_of(out, a->x, a->fw, a->dy, &a->g, &a->pool, &c));
    return gradient(out, &c, &(kernel_gradient){a->x, a->dy, a->index, a->fw, a->fb, true});
}
