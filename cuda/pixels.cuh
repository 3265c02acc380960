/* cuda/pixels.cuh: counting pixels and loading their channels, for kernels that walk images. */
#ifndef EGI_CUDA_PIXELS_CUH
#define EGI_CUDA_PIXELS_CUH

#include "cuda/conv.h"
#include "cuda/vectors.cuh"

__device__ __forceinline__ uint32_t eg_divide(const egi_divisor &d, uint32_t n)
{
    return d.multiplier ? __umulhi(n, d.multiplier) >> d.shift : n;
}

/* Pixel `at` of images that are counted in rows and columns. */
struct eg_pixel {
    uint32_t n;
    int i, j;
};

__device__ __forceinline__ eg_pixel eg_pixel_of(const egi_divisor &rows, const egi_divisor &columns, uint32_t at)
{
    const uint32_t row = eg_divide(columns, at), n = eg_divide(rows, row);
    return {n, (int)(row - n * rows.by), (int)(at - row * columns.by)};
}

/* What a thread walks: VEC channels from `c` on, of pixels `from`, `from + step`, ... Neighbours in a warp are
 * neighbours in memory. */
struct eg_walk {
    int c;
    uint32_t from, step;
};

template <int VEC> __device__ __forceinline__ eg_walk eg_walk_of(int lanes)
{
    const uint32_t rows = blockDim.x / lanes;
    return {(int)(blockIdx.y * lanes + threadIdx.x % lanes) * VEC, blockIdx.x * rows + threadIdx.x / lanes,
            gridDim.x * rows};
}

#endif
