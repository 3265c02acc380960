/* Sums by column. Rows are cut into chunks by shape alone; a chunk's sum is a block's, and where there are several
 * chunks a second kernel adds them up. In f32 only eight rows are added; all further sums are in double. */
#include "cuda/columns.cuh"
#include "cuda/reduce.h"

#define EACH 8 /* rows at a time */

template <int V> __device__ __forceinline__ void add_rows(double (&sum)[V], const float (&x)[EACH][V])
{
    for (int v = 0; v < V; v++)
        sum[v] += (double)(((x[0][v] + x[1][v]) + (x[2][v] + x[3][v])) + ((x[4][v] + x[5][v]) + (x[6][v] + x[7][v])));
}

template <int V> __device__ __forceinline__ void sum_rows(const egi_cuda_sum_args &p)
{
    const eg_span s = eg_span_of(p.g);
    double sum[V] = {};
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += EACH * s.step) {
        float x[EACH][V];
        eg_load_rows(x, p.x, p.g.c, s, row);
        add_rows(sum, x);
    }
    eg_add_lines(p.g, sum);
    for (int v = 0; v < V && s.writes; v++)
        if (p.to_parts || p.g.chunks > 1)
            p.parts[s.part * p.g.c + s.column + v] = sum[v];
        else
            p.y[s.part * p.g.c + s.column + v] = (float)(sum[v] / p.count);
}

/* Reads x once, 4 bytes an element; one thread of a block writes a column of its chunk. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_column_sum(egi_cuda_sum_args p)
{
    if (p.g.vector == 4)
        sum_rows<4>(p);
    else
        sum_rows<1>(p);
}

/* Adds the chunks up: 8 bytes a part. A column has one block, one thread of which writes it. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_column_sum_finish(egi_cuda_sum_args p)
{
    const eg_span s = eg_span_of(p.g);
    double sum[1] = {eg_sum_parts(p.parts, p.g.c, s)};
    eg_add_lines(p.g, sum);
    if (s.writes)
        p.y[s.sample * p.g.c + s.column] = (float)(sum[0] / p.count);
}

/* The same of squares: a row is a sample, whose chunks are added first. Four blocks a multiprocessor are enough: for
 * more of them registers would be spilled. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK, 4) eg_square_finish(egi_cuda_square_args p)
{
    const eg_span s = eg_span_of(p.g);
    double total[1] = {0};
    for (int64_t row = s.row; row < s.end; row += s.step) {
        const double *part = p.parts + p.offset + row * p.chunks * p.g.c + s.column;
        double sum = 0;
        for (int64_t i = 0; i < p.chunks; i++)
            sum += part[i * p.g.c];
        total[0] += sum * sum;
    }
    eg_add_lines(p.g, total);
    if (s.writes)
        p.f[s.column] += (float)(p.var ? total[0] / ((double)p.var[s.column] + (double)p.epsilon) : total[0]);
}

template <int V> __device__ __forceinline__ void spread(const egi_cuda_spread_args &p)
{
    const eg_span s = eg_span_of(p.g);
    float share[V];
    eg_load_or(share, p.dy + s.sample * p.g.c, s, 0);
    for (int v = 0; v < V; v++)
        share[v] /= (float)p.g.rows;
    for (int64_t row = s.row; row < s.end; row += s.step)
        eg_store<V>(p.dx + row * p.g.c + s.column, share);
}

/* dx = dy / rows for all rows of a sample: writes 4 bytes an element, each by one thread. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_mean_spread(egi_cuda_spread_args p)
{
    if (p.g.vector == 4)
        spread<4>(p);
    else
        spread<1>(p);
}
