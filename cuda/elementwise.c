/* Operations that compute every element by itself. */
#include "cuda/elementwise.h"

#include "core/ops/pointwise.h"
#include "cuda/cuda.h"

#define BLOCK 256

static int64_t blocks_for(const egi_kernel *k, int64_t n)
{
    return egi_cuda_blocks(n, BLOCK, 16 * (int64_t)egi_cuda_of(k)->processors);
}

eg_status egi_cuda_add(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_add *a = out->args;
    const egi_cuda_add_args args = {.a = egi_cuda_data(out, a->a),
                                    .b = egi_cuda_data(out, a->b),
                                    .y = egi_cuda_data(out, a->y),
                                    .n = egi_count(&out->t[a->y]),
                                    .act = (int32_t)a->act,
                                    .alpha = a->alpha};
    return EGI_CUDA_LAUNCH(out, .name = "eg_add", .grid = {blocks_for(out, args.n)}, .block = BLOCK, .args = &args,
                           .size = sizeof args);
}
