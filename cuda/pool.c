/* Pooling and its gradients. */
#include "cuda/pool.h"

#include "core/ops/pool.h"
#include "cuda/cuda.h"

#define SIDE_MAX   ((int64_t)1 << 30) /* of what is counted in 32 bits: rows, columns, pads and their sums */
#define SAMPLE_MAX ((int64_t)1 << 31) /* threads of a sample */

static bool is_aligned(const void *address, size_t to)
{
    return (uintptr_t)address % to == 0;
}

/* Does every number fit into 32 bits, and every sum of two? */
static bool fits(const egi_shape *large, const egi_shape *small, const egi_pool_geometry *g)
{
    int64_t most = large->dim[3];
    for (int axis = 0; axis < 2; axis++) {
        const int64_t sizes[] = {large->dim[axis + 1] + g->pad[axis] + g->window[axis],
                                 small->dim[axis + 1] * g->stride[axis] + g->window[axis]};
        for (int i = 0; i < 2; i++)
            most = sizes[i] > most ? sizes[i] : most;
    }
    return most < SIDE_MAX && egi_shape_span(large, 1, 4) < SAMPLE_MAX && egi_shape_span(small, 1, 4) < SAMPLE_MAX;
}

/* x is read, y is written; `large` is the one of them that windows lie over. */
static eg_status pool(egi_kernel *out, const char *name, egi_val x, egi_val y, egi_val large, egi_val index,
                      const egi_pool_geometry *g)
{
    const egi_shape *l = &out->t[large].shape, *s = &out->t[large == x ? y : x].shape, *written = &out->t[y].shape;
    if (!egi_cuda_is_f32(out) || !fits(l, s, g))
        return EGI_CUDA_DECLINE;
    egi_cuda_pool_args args = {.x = egi_cuda_data(out, x),
                               .y = egi_cuda_data(out, y),
                               .index = egi_cuda_data(out, index),
                               .n = l->dim[0],
                               .h = (int32_t)l->dim[1],
                               .w = (int32_t)l->dim[2],
                               .c = (int32_t)l->dim[3],
                               .oh = (int32_t)s->dim[1],
                               .ow = (int32_t)s->dim[2]};
    for (int axis = 0; axis < 2; axis++) {
        args.window[axis] = (int32_t)g->window[axis];
        args.stride[axis] = (int32_t)g->stride[axis];
        args.pad[axis] = (int32_t)g->pad[axis];
    }
    const bool four = args.c % 4 == 0 && is_aligned(args.x, 16) && is_aligned(args.y, 16) && is_aligned(args.index, 4);
    args.vector = four ? 4 : 1;
    args.each = (uint32_t)(egi_shape_span(written, 1, 4) / args.vector);
    const int block = args.each < EGI_POOL_BLOCK ? (int)(args.each + 31) / 32 * 32 : EGI_POOL_BLOCK;
    if (args.each == 0 || args.n == 0)
        return EGI_CUDA_LAUNCH(out, .name = name, .grid = {0}); /* nothing to write */
    return EGI_CUDA_LAUNCH(out, .name = name,
                           .grid = {(args.each + block - 1) / block, args.n < 65535 ? args.n : 65535}, .block = block,
                           .args = &args, .size = sizeof args);
}

eg_status egi_cuda_maxpool(egi_device *device, egi_kernel *out)
{
    const egi_maxpool *a = out->args;
    (void)device;
    return pool(out, "eg_maxpool", a->x, a->y, a->x, a->index, &a->g);
}

eg_status egi_cuda_maxpool_grad(egi_device *device, egi_kernel *out)
{
    const egi_maxpool_grad *a = out->args;
    (void)device;
    return pool(out, "eg_maxpool_grad", a->dy, a->dx, a->dx, a->index, &a->g);
}

eg_status egi_cuda_avgpool(egi_device *device, egi_kernel *out)
{
    const egi_avgpool *a = out->args;
    (void)device;
    return pool(out, "eg_avgpool", a->x, a->y, a->x, EGI_NONE, &a->g);
}

eg_status egi_cuda_avgpool_grad(egi_device *device, egi_kernel *out)
{
    const egi_avgpool_grad *a = out->args;
    (void)device;
    return pool(out, "eg_avgpool_grad", a->dy, a->dx, a->dx, EGI_NONE, &a->g);
}
