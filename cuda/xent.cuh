/* cuda/xent.cuh: softmax cross-entropy of a row, for threads that share it (rows.cuh). */
#ifndef EGI_CUDA_XENT_CUH
#define EGI_CUDA_XENT_CUH

#include "cuda/loss.h"
#include "cuda/rows.cuh"

#include <math_constants.h>

/* In the order of these the first of the largest is the answer: no number is larger than a NaN in the first place, and
 * a NaN in another one is larger than none. */
__device__ __forceinline__ float eg_xent_rank(const float *x, int64_t k)
{
    return !isnan(x[k]) ? x[k] : k == 0 ? CUDART_INF_F : -CUDART_INF_F;
}

__device__ __forceinline__ float eg_xent_largest(const float *x, int64_t n, const eg_rows &r)
{
    float top = -CUDART_INF_F;
    for (int64_t k = r.lane; k < n; k += r.lanes)
        top = fmaxf(top, eg_xent_rank(x, k));
    return eg_rows_reduce(top, r.lanes, eg_max());
}

__device__ __forceinline__ int64_t eg_xent_first(const float *x, int64_t n, float top, const eg_rows &r)
{
    int64_t k = r.lane;
    while (k < n && eg_xent_rank(x, k) != top)
        k += r.lanes;
    return eg_rows_reduce(k, r.lanes, eg_min());
}

/* Row r.row, whose logits are `z`: adds its loss and its correct to the first lane's, and, where `wanted`, calls
 * store(k, dz_k) for each class by the lane that alone has it, after all lanes have read what is not theirs: dz may
 * take the place of z. Beyond the last row there is nothing to add, and dz is 0. A label that is no class makes its
 * row NaN, as in Keras. */
template <typename Store>
__device__ __forceinline__ void eg_xent_row(const egi_cuda_xent &p, const eg_rows &r, const float *z, double &loss,
                                            double &correct, bool wanted, Store store)
{
    const bool is_row = r.row < p.rows;
    const float weight = !is_row ? 0 : p.weights ? p.weights[r.row] : 1;
    const int64_t label = is_row && p.labels ? p.labels[r.row] : 0;
    const bool counts = weight != 0 && label >= 0;
    const int64_t n = counts ? p.columns : 0;
    const float *targets = p.targets ? p.targets + r.row * p.columns : NULL;
    const auto target = [&](int64_t k) { return p.keep * (targets ? targets[k] : k == label) + p.spread; };

    const float top = eg_xent_largest(z, n, r);
    float sum = 0, away = 0, total = 0;
    for (int64_t k = r.lane; k < n; k += r.lanes) {
        const float t = target(k);
        sum += expf(z[k] - top);
        away += t != 0 ? t * (top - z[k]) : 0; /* 0 log 0 is 0 */
        total += t;
    }
    sum = eg_rows_reduce(sum, r.lanes, eg_sum());
    sum = label < p.columns ? sum : CUDART_NAN_F; /* afterwards: other rows of the warp reduce too */
    away = eg_rows_reduce(away, r.lanes, eg_sum());
    total = targets ? eg_rows_reduce(total, r.lanes, eg_sum()) : 1;

    const double factor = p.scale * (double)weight;
    if (counts && r.lane == 0)
        loss += factor * ((double)away + (double)total * (double)logf(sum));
    if (p.hits) {
        const int64_t best = eg_xent_first(z, n, top, r);
        const int64_t right = targets ? eg_xent_first(targets, n, eg_xent_largest(targets, n, r), r) : label;
        correct += counts && r.lane == 0 && best == right && weight > 0;
    }
    const float share = (float)factor * total / sum;
#pragma unroll 1 /* or registers run out */
    for (int64_t k = r.lane; wanted && k < p.columns; k += r.lanes)
        store(k, counts ? share * expf(z[k] - top) - (float)factor * target(k) : 0);
}

#endif
