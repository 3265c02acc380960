/* Softmax over rows, and its gradient. A row is read from memory once, then from the cache; it is its lanes' alone. */
#include "cuda/rows.cuh"
#include "cuda/softmax.h"

#include <math_constants.h>

/* 8 bytes an element. A NaN makes its row NaN: the sum sees it even where the maximum does not. */
extern "C" __global__ void eg_softmax(egi_cuda_softmax_args p)
{
    for (eg_rows r = eg_rows_of(p.lanes); eg_rows_go(r, p.rows); r.row += r.stride) {
        const int64_t end = r.row < p.rows ? p.columns : 0;
        const float *x = p.x + r.row * p.columns;
        float *y = p.y + r.row * p.columns;
        float top = -CUDART_INF_F, sum = 0;
        for (int64_t k = r.lane; k < end; k += r.lanes)
            top = fmaxf(top, x[k]);
        top = eg_rows_reduce(top, r.lanes, eg_max());
        for (int64_t k = r.lane; k < end; k += r.lanes)
            sum += expf(x[k] - top);
        sum = eg_rows_reduce(sum, r.lanes, eg_sum());
        for (int64_t k = r.lane; k < end; k += r.lanes)
            y[k] = expf(x[k] - top) / sum;
    }
}

/* dx = y (dy - sum(dy y)): 12 bytes an element. */
extern "C" __global__ void eg_softmax_grad(egi_cuda_softmax_args p)
{
    for (eg_rows r = eg_rows_of(p.lanes); eg_rows_go(r, p.rows); r.row += r.stride) {
        const int64_t end = r.row < p.rows ? p.columns : 0, at = r.row * p.columns;
        float dot = 0;
        for (int64_t k = r.lane; k < end; k += r.lanes)
            dot += p.dy[at + k] * p.y[at + k];
        dot = eg_rows_reduce(dot, r.lanes, eg_sum());
        for (int64_t k = r.lane; k < end; k += r.lanes)
            p.dx[at + k] = p.y[at + k] * (p.dy[at + k] - dot);
    }
}
