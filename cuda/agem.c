/* A-GEM over the arena of gradients: sums and projection, without the host. */
#include "cuda/agem.h"

#include "core/ops/update.h"
#include "cuda/cuda.h"

#define BLOCK 256
#define EACH  16   /* elements of a thread before another block is worth its while */
#define MOST  1024 /* blocks of a sum, on any device: its order does not depend on the device */

eg_status egi_cuda_dot(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_dot *a = out->args;
    if (out->t[a->x].dtype != EGI_F32)
        return EGI_CUDA_DECLINE;
    egi_cuda_dot_args args = {.x = egi_cuda_data(out, a->x),
                              .y = egi_cuda_data(out, a->y),
                              .sums = egi_cuda_data(out, a->sums),
                              .n = egi_count(&out->t[a->x])};
    args.quads = egi_cuda_aligned(args.x) && egi_cuda_aligned(args.y);
    const int64_t wanted = egi_cuda_blocks(args.n, BLOCK * EACH, MOST), blocks = wanted > 0 ? wanted : 1;
    const uint16_t scratch = EGI_FIELD(egi_cuda_dot_args, partials);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = "eg_dot", .grid = {blocks}, .block = BLOCK, .args = &args, .size = sizeof args,
                           .scratch_field = scratch));
    if (blocks == 1)
        return EG_OK;
    out->scratch_bytes = (size_t)blocks * 2 * sizeof(double);
    args.n = blocks;
    return EGI_CUDA_LAUNCH(out, .name = "eg_dot_sum", .grid = {1}, .block = BLOCK, .args = &args, .size = sizeof args,
                           .scratch_field = scratch);
}

eg_status egi_cuda_agem_project(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_agem_project *a = out->args;
    if (out->t[a->g].dtype != EGI_F32)
        return EGI_CUDA_DECLINE;
    egi_cuda_project_args args = {.g = egi_cuda_data(out, a->g),
                                  .ref = egi_cuda_data(out, a->ref),
                                  .sums = egi_cuda_data(out, a->sums),
                                  .y = egi_cuda_data(out, a->y),
                                  .n = egi_count(&out->t[a->g])};
    args.quads = egi_cuda_aligned(args.g) && egi_cuda_aligned(args.ref) && egi_cuda_aligned(args.y);
    return EGI_CUDA_LAUNCH(out, .name = "eg_agem_project",
                           .grid = {egi_cuda_blocks(args.n, BLOCK * 4, 16 * (int64_t)egi_cuda_of(out)->processors)},
                           .block = BLOCK, .args = &args, .size = sizeof args);
}
