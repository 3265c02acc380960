/* cuda/pixels.cuh: counting pixels and loading their channels, for kernels that walk images. */
#ifndef EGI_CUDA_PIXELS_CUH
#define EGI_CUDA_PIXELS_CUH

#include "cuda/conv.h"

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

/* VEC floats, or zeros. */
template <int VEC> __device__ __forceinline__ void eg_load(float *to, const float *from, bool inside = true)
{
    if (VEC == 4) {
        const float4 v = inside ? *(const float4 *)from : make_float4(0, 0, 0, 0);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
        *to = inside ? *from : 0;
    }
}

template <int VEC> __device__ __forceinline__ void eg_store(float *to, const float *from)
{
    if (VEC == 4)
        *(float4 *)to = make_float4(from[0], from[1], from[2], from[3]);
    else
        *to = *from;
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
