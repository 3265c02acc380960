/* cuda/columns.cuh: device code of columns.h. */
#ifndef EGI_CUDA_COLUMNS_CUH
#define EGI_CUDA_COLUMNS_CUH

#include "cuda/columns.h"
#include "cuda/vectors.cuh"

/* What a thread has: rows from `row` to `end` by `step`, counted over all samples, and V columns from `column`. */
struct eg_span {
    int64_t row, end, step, column;
    int64_t sample, part; /* part: the chunk, counted over all samples */
    bool inside;          /* there are such columns; where not, there are no rows either */
    bool writes;          /* the thread that has the sums of its columns in the end */
};

__device__ __forceinline__ eg_span eg_span_of(const egi_cuda_columns &g)
{
    const unsigned tile = blockIdx.x % g.tiles, part = blockIdx.x / g.tiles, chunk = part % g.chunks;
    const unsigned lane = threadIdx.x % g.lanes, line = threadIdx.x / g.lanes;
    eg_span s;
    s.part = part;
    s.sample = part / g.chunks;
    s.column = ((int64_t)tile * g.lanes + lane) * g.vector;
    s.step = g.lines;
    const int64_t begin = chunk * g.each, end = begin + g.each < g.rows ? begin + g.each : g.rows;
    s.row = s.sample * g.rows + begin + line;
    s.inside = s.column < g.c;
    s.end = s.inside ? s.sample * g.rows + end : 0;
    s.writes = s.inside && line == 0;
    return s;
}

/* A value by column, or `otherwise` where there is none. Nobody promises that these are aligned as the matrix is. */
template <int V>
__device__ __forceinline__ void eg_load_or(float (&to)[V], const float *by, const eg_span &s, float otherwise)
{
    if (V == 4 && by && s.inside && (uintptr_t)by % 16 == 0) {
        eg_load<V>(to, by + s.column);
        return;
    }
    for (int v = 0; v < V; v++)
        to[v] = by && s.inside ? by[s.column + v] : otherwise;
}

/* Rows u = 0 to N - 1 of those that a thread has from `row` on; 0 for what lies beyond its last. All loads are under
 * way together. */
template <int N, int V>
__device__ __forceinline__ void eg_load_rows(float (&to)[N][V], const float *x, int64_t c, const eg_span &s,
                                             int64_t row)
{
    const float *from = x + row * c + s.column;
#pragma unroll
    for (int u = 0; u < N; u++, from += s.step * c)
        eg_load<V>(to[u], from, row + u * s.step < s.end);
}

template <int N, int V>
__device__ __forceinline__ void eg_store_rows(float *y, const float (&from)[N][V], int64_t c, const eg_span &s,
                                              int64_t row)
{
    float *to = y + row * c + s.column;
#pragma unroll
    for (int u = 0; u < N; u++, to += s.step * c)
        if (row + u * s.step < s.end)
            eg_store<V>(to, from[u]);
}

/* Adds up N sums of each thread over the lines of its block, pair by pair: line 0 has the totals. Between two barriers
 * a line below `half` writes its own place and reads one that nobody writes. */
template <int N> __device__ __forceinline__ void eg_add_lines(const egi_cuda_columns &g, double (&sum)[N])
{
    __shared__ double all[N][EGI_COLUMNS_BLOCK];
    const int t = (int)threadIdx.x;
    for (int i = 0; i < N; i++)
        all[i][t] = sum[i];
    for (int half = g.lines / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half * g.lanes)
            for (int i = 0; i < N; i++)
                all[i][t] += all[i][t + half * g.lanes];
    }
    for (int i = 0; i < N; i++)
        sum[i] = all[i][t];
}

/* The sum over a thread's rows of (samples * rows, c) doubles. */
__device__ __forceinline__ double eg_sum_parts(const double *parts, int64_t c, const eg_span &s)
{
    double sum = 0;
#pragma unroll 4
    for (int64_t row = s.row; row < s.end; row += s.step)
        sum += parts[row * c + s.column];
    return sum;
}

#endif
