/* What cuDNN wants otherwise than it is here: kernels with their outputs first, factors in bf16; and what it leaves to
 * be done after a convolution. */
#include "cuda/act.cuh"
#include "cuda/filter.h"
#include "cuda/precision.cuh"
#include "cuda/vectors.cuh"

#define TILE 32
#define ROWS 8 /* of a tile that a block of 256 has at once */

/* A NaN stays one, wherever its bits are. */
__device__ __forceinline__ uint16_t to_bf16(float x)
{
    return (uint16_t)(__float_as_uint(eg_rounded(x, EGI_PRECISION_BF16)) >> 16 | (isnan(x) ? 0x40 : 0));
}

__device__ __forceinline__ float from_bf16(uint16_t x)
{
    return __uint_as_float((uint32_t)x << 16);
}

__device__ __forceinline__ void convert(float x, float *to)
{
    *to = x;
}
__device__ __forceinline__ void convert(float x, uint16_t *to)
{
    *to = to_bf16(x);
}
__device__ __forceinline__ float value_of(float x)
{
    return x;
}
__device__ __forceinline__ float value_of(uint16_t x)
{
    return from_bf16(x);
}

/* A block of 256 turns a tile of 32 x 32 over in shared memory (4.2 kB; the odd pitch spreads columns over banks), so
 * that both sides are read and written in rows. Between the two halves stands a barrier; no element has two writers.
 * 8 bytes an element, 6 where one side is bf16. */
template <typename FROM, typename TO> __device__ __forceinline__ void transpose(const egi_cuda_transpose_args &p)
{
    __shared__ float tile[TILE][TILE + 1];
    const FROM *from = (const FROM *)p.from;
    TO *to = (TO *)p.to;
    const int64_t row = (int64_t)blockIdx.x * TILE, column = (int64_t)blockIdx.y * TILE;
    const int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
#pragma unroll
    for (int i = y; i < TILE; i += ROWS)
        if (row + i < p.rows && column + x < p.columns)
            tile[i][x] = value_of(from[(row + i) * p.columns + column + x]);
    __syncthreads();
#pragma unroll
    for (int i = y; i < TILE; i += ROWS)
        if (column + i < p.columns && row + x < p.rows)
            convert(tile[x][i], &to[(column + i) * p.rows + row + x]);
}

extern "C" __global__ void eg_filter_transpose(egi_cuda_transpose_args p)
{
    transpose<float, float>(p);
}

extern "C" __global__ void eg_filter_transpose_to16(egi_cuda_transpose_args p)
{
    transpose<float, uint16_t>(p);
}

extern "C" __global__ void eg_filter_transpose_from16(egi_cuda_transpose_args p)
{
    transpose<uint16_t, float>(p);
}

/* Elements by the stride of the grid, four at a time where addresses allow it: 6 bytes an element. Each has one
 * thread. */
extern "C" __global__ void eg_filter_round(egi_cuda_round_args p)
{
    const float *from = (const float *)p.from;
    uint16_t *to = (uint16_t *)p.to;
    const int64_t fours = p.vector ? p.n / 4 : 0, step = (int64_t)gridDim.x * blockDim.x,
                  first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t i = first; i < fours; i += step) {
        const float4 v = ((const float4 *)from)[i];
        ((ushort4 *)to)[i] = make_ushort4(to_bf16(v.x), to_bf16(v.y), to_bf16(v.z), to_bf16(v.w));
    }
    for (int64_t i = 4 * fours + first; i < p.n; i += step)
        to[i] = to_bf16(from[i]);
}

template <int VEC> __device__ __forceinline__ void load(float *to, const float *from)
{
    eg_load<VEC>(to, from);
}

template <int VEC> __device__ __forceinline__ void load(float *to, const uint16_t *from)
{
    if (VEC == 4) {
        const ushort4 v = *(const ushort4 *)from;
        to[0] = from_bf16(v.x), to[1] = from_bf16(v.y), to[2] = from_bf16(v.z), to[3] = from_bf16(v.w);
    } else {
        *to = from_bf16(*from);
    }
}

/* A thread has one channel, or four, of the pixels that it walks; it reads what it needs of an element before it writes
 * it, so y may lie over x or r. Every element has one thread. 8 bytes an element (6 from bf16), and 4 for r; b stays
 * in registers. */
template <typename FROM, int VEC> __device__ __forceinline__ void finish(const egi_cuda_finish_args &p)
{
    const FROM *x = (const FROM *)p.x;
    const int32_t lane = (int32_t)threadIdx.x & (p.lanes - 1);
    const int32_t channel = ((int32_t)blockIdx.y * p.lanes + lane) * VEC;
    if (channel >= p.f)
        return;
    const uint32_t lines = blockDim.x / p.lanes;
    float b[VEC] = {0}, r[VEC] = {0}, v[VEC];
    if (p.b)
        eg_load<VEC>(b, p.b + channel);
    for (int64_t pixel = (int64_t)blockIdx.x * lines + threadIdx.x / p.lanes; pixel < p.pixels;
         pixel += (int64_t)gridDim.x * lines) {
        const int64_t at = pixel * p.f + channel;
        load<VEC>(v, x + at);
        if (p.r)
            eg_load<VEC>(r, p.r + at);
#pragma unroll
        for (int i = 0; i < VEC; i++)
            v[i] = eg_act_fused(p.act, p.alpha, v[i] + b[i] + r[i]);
        eg_store<VEC>(p.y + at, v);
    }
}

extern "C" __global__ void eg_filter_finish(egi_cuda_finish_args p)
{
    finish<float, 1>(p);
}

extern "C" __global__ void eg_filter_finish4(egi_cuda_finish_args p)
{
    finish<float, 4>(p);
}

extern "C" __global__ void eg_filter_finish16(egi_cuda_finish_args p)
{
    finish<uint16_t, 1>(p);
}

extern "C" __global__ void eg_filter_finish16_4(egi_cuda_finish_args p)
{
    finish<uint16_t, 4>(p);
}
