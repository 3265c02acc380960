/* Batch normalisation. A thread keeps its columns, so what belongs to a column is read once and stays in registers.
 * Kernels that write over an input read an element and write it in the same thread, and a group of rows is read whole
 * before any of it is written. */
#include "cuda/act.cuh"
#include "cuda/columns.cuh"
#include "cuda/norm.h"

#define EACH     4 /* rows at a time, where several matrices are read */
#define RESIDENT 3 /* blocks of a multiprocessor that sums over rows leave registers for, at least */

/* Applies `f`, an activation or its slope, to a group of rows: the kind is looked at once. */
#define EACH_KIND(act, f)                                                      \
    switch (act) {                                                             \
        KIND(RELU, f) KIND(RELU6, f) KIND(SIGMOID, f) KIND(TANH, f) KIND(LEAKY_RELU, f) \
    default:                                                                   \
        break;                                                                 \
    }
#define KIND(name, f)                       \
    case EGI_ACT_##name:                    \
        for (int u = 0; u < EACH; u++)      \
            for (int v = 0; v < V; v++) {   \
                f(EGI_ACT_##name)           \
            }                               \
        break;

template <int V> __device__ __forceinline__ void act_rows(float (&x)[EACH][V], int act, float alpha)
{
#define ACT(kind) x[u][v] = eg_act_fused(kind, alpha, x[u][v]);
    EACH_KIND(act, ACT)
}

template <int V>
__device__ __forceinline__ void slope_rows(float (&dz)[EACH][V], int act, float alpha, const float (&y)[EACH][V])
{
#define SLOPE(kind) dz[u][v] *= eg_act_fused_slope(kind, alpha, y[u][v]);
    EACH_KIND(act, SLOPE)
}

/* 1 / standard deviation by column. */
template <int V, typename Args> __device__ __forceinline__ void load_istd(float (&istd)[V], const Args &p, const eg_span &s)
{
    eg_load_or(istd, p.scatter, s, 1);
    for (int v = 0; v < V && p.stored; v++)
        istd[v] = 1 / sqrtf(istd[v] + p.epsilon);
}

/* --- forward ------------------------------------------------------------------------------------------------------ */

#define MOMENT_ROWS 8

/* Adds m rows of one column: their sum, and the sum of their squares, which is that of their distances from their own
 * mean, in f32, plus m mean^2 in double: no digits are lost where the mean is large. */
__device__ __forceinline__ void add_moments(double &sum, double &squares, const float (&x)[MOMENT_ROWS], int m)
{
    const float s = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])), mean = s / (float)m;
    float within = 0;
#pragma unroll
    for (int u = 0; u < MOMENT_ROWS; u++)
        within += u < m ? (x[u] - mean) * (x[u] - mean) : 0;
    sum += (double)s;
    squares += (double)within + (double)s * (double)mean;
}

template <int V> __device__ __forceinline__ void moments(const egi_cuda_batchnorm_args &p)
{
    const eg_span s = eg_span_of(p.g);
    float first[V];
    double sum[2 * V] = {}; /* of x - x_0; of its squares */
    eg_load_or(first, p.x, s, 0);
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += MOMENT_ROWS * s.step) {
        const int64_t left = (s.end - row + s.step - 1) / s.step;
        const int m = left < MOMENT_ROWS ? (int)left : MOMENT_ROWS;
        float x[MOMENT_ROWS][V], d[MOMENT_ROWS];
        eg_load_rows(x, p.x, p.g.c, s, row);
#pragma unroll
        for (int v = 0; v < V; v++) {
#pragma unroll
            for (int u = 0; u < MOMENT_ROWS; u++)
                d[u] = u < m ? x[u][v] - first[v] : 0;
            add_moments(sum[v], sum[V + v], d, m);
        }
    }
    eg_add_lines(p.g, sum);
    for (int i = 0; i < 2 * V && s.writes; i++)
        p.parts[(i / V * p.g.chunks + s.part) * p.g.c + s.column + i % V] = sum[i];
}

/* Reads x once, 4 bytes an element; one thread of a block writes the sums of its columns. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK, RESIDENT) eg_batchnorm_moments(egi_cuda_batchnorm_args p)
{
    if (p.g.vector == 4)
        moments<4>(p);
    else
        moments<1>(p);
}

__device__ __forceinline__ void move(float *to, double momentum, double value)
{
    *to = (float)((double)*to * momentum + value * (1 - momentum));
}

/* The chunks' sums become mean, istd and the moving statistics: 16 bytes a chunk and column; one thread of the block
 * that has a column writes it. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_batchnorm_statistics(egi_cuda_batchnorm_args p)
{
    const eg_span s = eg_span_of(p.g);
    double sum[2] = {eg_sum_parts(p.parts, p.g.c, s), eg_sum_parts(p.parts + p.chunks * p.g.c, p.g.c, s)};
    eg_add_lines(p.g, sum);
    if (!s.writes)
        return;
    const double n = (double)p.rows, shift = sum[0] / n, distances = sum[1] - sum[0] * shift;
    const double m2 = distances < 0 ? 0 : distances; /* NaN stays */
    const double mean = (double)p.x[s.column] + shift, momentum = (double)p.momentum;
    p.mean[s.column] = (float)mean;
    p.istd[s.column] = (float)(1 / sqrt(m2 / n + (double)p.epsilon));
    move(&p.moving_mean[s.column], momentum, mean);
    move(&p.moving_var[s.column], momentum, p.unbiased && p.rows > 1 ? m2 / (n - 1) : m2 / n);
}

template <int V> __device__ __forceinline__ void apply(const egi_cuda_batchnorm_args &p)
{
    const eg_span s = eg_span_of(p.g);
    float mean[V], scale[V], gamma[V], beta[V];
    eg_load_or(mean, p.mean, s, 0);
    eg_load_or(gamma, p.gamma, s, 1);
    eg_load_or(beta, p.beta, s, 0);
    load_istd(scale, p, s);
    for (int v = 0; v < V; v++)
        scale[v] *= gamma[v];
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += EACH * s.step) {
        float x[EACH][V], r[EACH][V] = {};
        eg_load_rows(x, p.x, p.g.c, s, row);
        if (p.r)
            eg_load_rows(r, p.r, p.g.c, s, row);
        for (int u = 0; u < EACH; u++)
            for (int v = 0; v < V; v++)
                x[u][v] = (x[u][v] - mean[v]) * scale[v] + beta[v] + r[u][v];
        act_rows(x, p.act, p.alpha);
        eg_store_rows(p.y, x, p.g.c, s, row);
    }
}

/* y = act((x - mean) gamma istd + beta + r): 8 bytes an element, 12 with r. y may be x or r. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_batchnorm_apply(egi_cuda_batchnorm_args p)
{
    if (p.g.vector == 4)
        apply<4>(p);
    else
        apply<1>(p);
}

/* --- backward ----------------------------------------------------------------------------------------------------- */

/* dz of a group of rows, which is also written where it is wanted. */
template <int V>
__device__ __forceinline__ void load_dz(float (&dz)[EACH][V], const egi_cuda_batchnorm_grad_args &p, const eg_span &s,
                                        int64_t row)
{
    eg_load_rows(dz, p.dy, p.g.c, s, row);
    if (!p.y)
        return;
    float y[EACH][V];
    eg_load_rows(y, p.y, p.g.c, s, row);
    slope_rows(dz, p.act, p.alpha, y);
}

template <int V>
__device__ __forceinline__ void add_sums(double (&sum)[2 * V], const float (&dz)[EACH][V], const float (&x)[EACH][V],
                                         const float (&mean)[V])
{
    for (int v = 0; v < V; v++) {
        float dot[EACH];
        for (int u = 0; u < EACH; u++)
            dot[u] = dz[u][v] * (x[u][v] - mean[v]);
        sum[v] += (double)((dz[0][v] + dz[1][v]) + (dz[2][v] + dz[3][v]));
        sum[V + v] += (double)((dot[0] + dot[1]) + (dot[2] + dot[3]));
    }
}

/* Through stored statistics dx = dz gamma istd, in the same pass. */
template <int V> __device__ __forceinline__ void sums(const egi_cuda_batchnorm_grad_args &p)
{
    const eg_span s = eg_span_of(p.g);
    float mean[V], scale[V], gamma[V];
    double sum[2 * V] = {};
    eg_load_or(mean, p.mean, s, 0);
    eg_load_or(gamma, p.gamma, s, 1);
    load_istd(scale, p, s);
    for (int v = 0; v < V; v++)
        scale[v] *= gamma[v];
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += EACH * s.step) {
        float dz[EACH][V], x[EACH][V];
        load_dz(dz, p, s, row);
        if (p.summed) {
            eg_load_rows(x, p.x, p.g.c, s, row);
            add_sums(sum, dz, x, mean);
        }
        if (p.dz)
            eg_store_rows(p.dz, dz, p.g.c, s, row);
        if (!p.dx)
            continue;
        for (int u = 0; u < EACH; u++)
            for (int v = 0; v < V; v++)
                dz[u][v] *= scale[v];
        eg_store_rows(p.dx, dz, p.g.c, s, row);
    }
    if (!p.summed)
        return;
    eg_add_lines(p.g, sum);
    for (int i = 0; i < 2 * V && s.writes; i++)
        p.sums[i / V * p.parts + s.part * p.g.c + s.column + i % V] = sum[i];
}

/* Reads dy, x and y once, 12 bytes an element (8 where there is no y), and writes dz and dx where they are wanted; one
 * thread of a block writes the sums of its columns. dz may be dy, dx any input. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK, RESIDENT) eg_batchnorm_sums(egi_cuda_batchnorm_grad_args p)
{
    if (p.g.vector == 4)
        sums<4>(p);
    else
        sums<1>(p);
}

__device__ __forceinline__ float *factors_of(const egi_cuda_batchnorm_grad_args &p)
{
    return (float *)(p.sums + 2 * p.parts);
}

/* The chunks' sums become dgamma, dbeta and the factors of dx: 16 bytes a chunk and column; one thread of the block
 * that has a column writes it. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_batchnorm_sums_finish(egi_cuda_batchnorm_grad_args p)
{
    const eg_span s = eg_span_of(p.g);
    double sum[2] = {eg_sum_parts(p.sums, p.g.c, s), eg_sum_parts(p.sums + p.parts, p.g.c, s)};
    eg_add_lines(p.g, sum);
    if (!s.writes)
        return;
    float istd[1];
    load_istd(istd, p, s);
    const double dot = sum[1] * (double)istd[0]; /* of dz xhat */
    if (p.dgamma)
        p.dgamma[s.column] = (float)dot;
    if (p.dbeta)
        p.dbeta[s.column] = (float)sum[0];
    float *factors = factors_of(p);
    factors[s.column] = (float)(sum[0] / (double)p.rows);
    factors[p.g.c + s.column] = (float)(dot * (double)istd[0] / (double)p.rows);
}

template <int V> __device__ __forceinline__ void through_statistics(const egi_cuda_batchnorm_grad_args &p)
{
    const eg_span s = eg_span_of(p.g);
    const float *factors = factors_of(p);
    float mean[V], scale[V], gamma[V], b[V], k[V];
    eg_load_or(mean, p.mean, s, 0);
    eg_load_or(gamma, p.gamma, s, 1);
    eg_load_or(b, factors, s, 0);
    eg_load_or(k, factors + p.g.c, s, 0);
    load_istd(scale, p, s);
    for (int v = 0; v < V; v++)
        scale[v] *= gamma[v];
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += EACH * s.step) {
        float dz[EACH][V], x[EACH][V];
        load_dz(dz, p, s, row);
        eg_load_rows(x, p.x, p.g.c, s, row);
        for (int u = 0; u < EACH; u++)
            for (int v = 0; v < V; v++)
                dz[u][v] = scale[v] * ((dz[u][v] - b[v]) - (x[u][v] - mean[v]) * k[v]);
        eg_store_rows(p.dx, dz, p.g.c, s, row);
    }
}

/* dx = gamma istd (dz - sum / n - xhat dot / n): 12 bytes an element, 16 with y. dx may be any input. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_batchnorm_dx(egi_cuda_batchnorm_grad_args p)
{
    if (p.g.vector == 4)
        through_statistics<4>(p);
    else
        through_statistics<1>(p);
}

/* --- folding ------------------------------------------------------------------------------------------------------ */

template <int V> __device__ __forceinline__ void fold(const egi_cuda_batchnorm_fold_args &p)
{
    const eg_span s = eg_span_of(p.g);
    float mean[V], var[V], gamma[V], beta[V], b[V];
    eg_load_or(mean, p.mean, s, 0);
    eg_load_or(var, p.var, s, 1);
    eg_load_or(gamma, p.gamma, s, 1);
    eg_load_or(beta, p.beta, s, 0);
    eg_load_or(b, p.b, s, 0);
    for (int v = 0; v < V; v++) {
        const float scale = gamma[v] / sqrtf(var[v] + p.epsilon);
        gamma[v] = scale;
        if (s.writes && s.part == 0)
            p.fb[s.column + v] = beta[v] + (b[v] - mean[v]) * scale;
    }
#pragma unroll 1
    for (int64_t row = s.row; row < s.end; row += EACH * s.step) {
        float w[EACH][V];
        eg_load_rows(w, p.w, p.g.c, s, row);
        for (int u = 0; u < EACH; u++)
            for (int v = 0; v < V; v++)
                w[u][v] *= gamma[v];
        eg_store_rows(p.fw, w, p.g.c, s, row);
    }
}

/* fw = w scale: 8 bytes an element, each by one thread; the first line of the first chunk writes fb. */
extern "C" __global__ void __launch_bounds__(EGI_COLUMNS_BLOCK) eg_batchnorm_fold(egi_cuda_batchnorm_fold_args p)
{
    if (p.g.vector == 4)
        fold<4>(p);
    else
        fold<1>(p);
}
