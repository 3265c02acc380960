/* cuda/rows.cuh: threads that share a row: 1, 2, 4, ... 32 neighbours of a warp, or a whole block (a multiple of 32).
 * What they reduce has the same bits in each of them: its tree depends on the number of lanes only. */
#ifndef EGI_CUDA_ROWS_CUH
#define EGI_CUDA_ROWS_CUH

#include <stdint.h>

struct eg_rows {
    int lanes, lane; /* of this thread's row */
    int64_t row, stride;
};

/* for (eg_rows r = eg_rows_of(lanes); eg_rows_go(r, rows); r.row += r.stride): all threads of a block go round equally
 * often, since they reduce together; beyond the last one `row` is no row. */
__device__ __forceinline__ eg_rows eg_rows_of(int lanes)
{
    const int together = blockDim.x / lanes;
    return {lanes, (int)threadIdx.x % lanes, (int64_t)blockIdx.x * together + threadIdx.x / lanes,
            (int64_t)gridDim.x * together};
}

__device__ __forceinline__ bool eg_rows_go(const eg_rows &r, int64_t rows)
{
    return r.row - (int64_t)(threadIdx.x / r.lanes) < rows;
}

struct eg_sum {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const
    {
        return a + b;
    }
};

/* NaN loses against a number. */
struct eg_max {
    __device__ __forceinline__ float operator()(float a, float b) const
    {
        return fmaxf(a, b);
    }
    __device__ __forceinline__ double operator()(double a, double b) const
    {
        return fmax(a, b);
    }
};

struct eg_min {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const
    {
        return a < b ? a : b;
    }
};

/* f over the threads of each row; all threads of the block call it. No race: shared memory is written before the first
 * barrier and read before the second. */
template <typename T, typename F> __device__ __forceinline__ T eg_rows_reduce(T x, int lanes, F f)
{
    for (int apart = (lanes < 32 ? lanes : 32) / 2; apart > 0; apart /= 2)
        x = f(x, __shfl_xor_sync(0xFFFFFFFFu, x, apart));
    if (lanes <= 32)
        return x;
    __shared__ T warps[32];
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = warps[0];
    for (int w = 1; w < lanes / 32; w++)
        x = f(x, warps[w]);
    __syncthreads();
    return x;
}

#endif
