/* Softmax over rows, and its gradient. */
#include "cuda/softmax.h"

#include "core/ops/check.h"
#include "core/ops/pointwise.h"
#include "cuda/cuda.h"

#define BLOCK 256

static eg_status launch(egi_kernel *out, const char *name, egi_cuda_softmax_args args, const egi_tensor *x)
{
    args.columns = egi_columns(x);
    args.rows = args.columns ? egi_rows(x) : 0;
    args.lanes = egi_cuda_row_lanes(args.columns, BLOCK);
    const int64_t blocks = egi_cuda_blocks(args.rows, BLOCK / args.lanes, 16 * (int64_t)egi_cuda_of(out)->processors);
    return EGI_CUDA_LAUNCH(out, .name = name, .grid = {blocks}, .block = BLOCK, .args = &args, .size = sizeof args);
}

eg_status egi_cuda_softmax(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_softmax *a = out->args;
    const egi_cuda_softmax_args args = {.x = egi_cuda_data(out, a->x), .y = egi_cuda_data(out, a->y)};
    return launch(out, "eg_softmax", args, &out->t[a->x]);
}

eg_status egi_cuda_softmax_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_softmax_grad *a = out->args;
    const egi_cuda_softmax_args args = {
        .dy = egi_cuda_data(out, a->dy), .y = egi_cuda_data(out, a->y), .dx = egi_cuda_data(out, a->dx)};
    return launch(out, "eg_softmax_grad", args, &out->t[a->y]);
}
