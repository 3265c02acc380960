/* One element, one thread; grids walk with the stride of the whole grid. No thread writes what another one touches. */
#include "cuda/act.cuh"
#include "cuda/elementwise.h"

#define EACH(i, n) \
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)

/* y = act(a + b): 12 bytes an element. */
extern "C" __global__ void eg_add(egi_cuda_add_args p)
{
    EACH (i, p.n)
        p.y[i] = eg_act_fused(p.act, p.alpha, p.a[i] + p.b[i]);
}
