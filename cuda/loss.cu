/* Losses with their gradients, and what a Fisher estimate sends back. Sums are of f64 in an order that the sizes alone
 * decide: each thread's own, a tree over the block, the blocks one after the other. */
#include "cuda/loss.h"

#include "core/ops/loss.h"
#include "cuda/act.cuh"
#include "cuda/philox.cuh"
#include "cuda/xent.cuh"

/* The threads' sums become the batch's or the block's. */
__device__ __forceinline__ void finish(double loss, double correct, const egi_cuda_loss_sums &s)
{
    loss = eg_rows_reduce(loss, blockDim.x, eg_sum());
    correct = eg_rows_reduce(correct, blockDim.x, eg_sum());
    if (threadIdx.x > 0)
        return;
    if (gridDim.x > 1) {
        s.partials[2 * blockIdx.x] = loss;
        s.partials[2 * blockIdx.x + 1] = correct;
        return;
    }
    *s.loss = (float)loss;
    if (s.correct)
        *s.correct = (float)correct;
}

/* One block. */
extern "C" __global__ void eg_loss_sum(egi_cuda_loss_sum_args p)
{
    double loss = 0, correct = 0;
    for (int64_t i = threadIdx.x; i < p.blocks; i += blockDim.x) {
        loss += p.sums.partials[2 * i];
        correct += p.sums.partials[2 * i + 1];
    }
    finish(loss, correct, p.sums);
}

/* --- softmax cross-entropy ---------------------------------------------------------------------------------------- */

/* A row is read from memory once, then from the cache, and it is its lanes' alone: 8 bytes an element, 12 with targets.
 * 48 registers: five blocks of a multiprocessor instead of four keep more rows on their way. */
extern "C" __global__ void __maxnreg__(48) eg_softmax_xent(egi_cuda_xent_args p)
{
    double loss = 0, correct = 0;
    for (eg_rows r = eg_rows_of(p.lanes); eg_rows_go(r, p.x.rows); r.row += r.stride) {
        const int64_t at = r.row * p.x.columns;
        eg_xent_row(p.x, r, p.z + at, loss, correct, p.dz && r.row < p.x.rows,
                    [&](int64_t k, float dz) { p.dz[at + k] = dz; });
    }
    finish(loss, correct, p.sums);
}

/* --- distillation ---------------------------------------------------------------------------------------------------
 */

/* As above: 12 bytes an old class, 4 a new one. With e the exponentials below each one's largest, KL is the teacher's
 * mean of (its distance to its largest less z's) + log(sum of e of z) - log(sum of its own). */
extern "C" __global__ void __launch_bounds__(1024) eg_distill(egi_cuda_distill_args p)
{
    double loss = 0;
    for (eg_rows r = eg_rows_of(p.lanes); eg_rows_go(r, p.rows); r.row += r.stride) {
        const bool is_row = r.row < p.rows;
        const float weight = !is_row ? 0 : p.weights ? p.weights[r.row] : 1;
        const bool counts = weight != 0;
        const int64_t n = counts ? p.old : 0;
        const float *z = p.z + r.row * p.columns + p.begin, *teacher = p.teacher + r.row * p.old;

        const float top = eg_xent_largest(z, n, r), teacher_top = eg_xent_largest(teacher, n, r);
        float sum = 0, teacher_sum = 0, away = 0;
        for (int64_t k = r.lane; k < n; k += r.lanes) {
            const float below = (z[k] - top) * p.cool, teacher_below = (teacher[k] - teacher_top) * p.cool;
            const float share = expf(teacher_below);
            sum += expf(below);
            teacher_sum += share;
            away += share != 0 ? share * (teacher_below - below) : 0; /* 0 log 0 is 0 */
        }
        sum = eg_rows_reduce(sum, r.lanes, eg_sum());
        teacher_sum = eg_rows_reduce(teacher_sum, r.lanes, eg_sum());
        away = eg_rows_reduce(away, r.lanes, eg_sum());

        const double factor = p.scale * (double)weight;
        if (counts && r.lane == 0)
            loss += factor * ((double)away / (double)teacher_sum + log((double)sum) - log((double)teacher_sum));
        const float slope = (float)factor * p.cool, share = slope / sum, teacher_share = slope / teacher_sum;
        for (int64_t c = r.lane; p.dz && is_row && c < p.columns; c += r.lanes) {
            const int64_t k = c - p.begin;
            const bool known = counts && k >= 0 && k < p.old;
            p.dz[r.row * p.columns + c] =
                known ? share * expf((z[k] - top) * p.cool) - teacher_share * expf((teacher[k] - teacher_top) * p.cool)
                      : 0;
        }
    }
    finish(loss, 0, p.sums);
}

/* --- losses of every element by itself ---------------------------------------------------------------------------- */

/* Near 1, 1 - y is exact where 1 - 1e-7 is not. */
__device__ __forceinline__ float bce(float y, float t, float *slope)
{
    const float eps = 1e-7f, rest = 1 - y;
    const float p = y < eps ? eps : y, q = rest < eps ? eps : rest;
    *slope = p != y || q != rest ? 0 : (p - t) / (p * q);
    return -(t * logf(p > 1 ? 1 : p) + (1 - t) * logf(q > 1 ? 1 : q));
}

/* Loss and its slope in y. */
__device__ __forceinline__ float element(int kind, float y, float t, float *slope)
{
    switch (kind) {
    case EGI_LOSS_BCE_LOGITS:
        *slope = eg_sigmoid(y) - t;
        return (y > 0 ? y : 0) - y * t + eg_log1p_exp(y);
    case EGI_LOSS_BCE:
        return bce(y, t, slope);
    case EGI_LOSS_MSE:
        *slope = 2 * (y - t);
        return (y - t) * (y - t);
    default:
        *slope = (y > t) - (y < t);
        return fabsf(y - t);
    }
}

/* One element, one thread: 12 bytes. Indices of 32 bits are divided faster. */
extern "C" __global__ void __launch_bounds__(1024) eg_pointwise_loss(egi_cuda_pointwise_args p)
{
    double loss = 0, hits = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.n; i += (int64_t)gridDim.x * blockDim.x) {
        float weight = 1, slope = 0;
        if (p.weights)
            weight = p.weights[p.n <= UINT32_MAX ? (uint32_t)i / (uint32_t)p.each : i / p.each];
        const double factor = p.scale * (double)weight;
        if (weight != 0) {
            const float y = p.y[i], t = p.targets[i];
            loss += factor * (double)element(p.kind, y, p.keep * t + p.spread, &slope);
            hits += weight > 0 && (y > p.threshold) == (t > 0.5f);
        }
        if (p.dy)
            p.dy[i] = weight != 0 ? (float)factor * slope : 0;
    }
    finish(loss, hits / (double)p.each, p.sums);
}

/* --- Fisher ------------------------------------------------------------------------------------------------------- */

/* In f64, as the reference: what is drawn is then the same too. Logits are few. */

__device__ __forceinline__ bool row_counts(const egi_cuda_fisher_args &p, int64_t row)
{
    if (p.weights && p.weights[row] == 0)
        return false;
    return p.mode != EGI_FISHER_EMPIRICAL || !p.labels || p.labels[row] >= 0;
}

/* What the data says of class k: targets, or labels as one-hot (a single output: the label itself). */
__device__ __forceinline__ double observed(const egi_cuda_fisher_args &p, int64_t row, int64_t k)
{
    if (p.targets)
        return p.targets[row * p.columns + k];
    return p.columns == 1 ? p.labels[row] : p.labels[row] == k;
}

__device__ __forceinline__ egi_philox draw(const egi_cuda_fisher_args &p, int64_t index)
{
    return eg_rng_block(p.control->seed, EGI_RNG_FISHER, (uint32_t)p.control->step, (uint64_t)index);
}

/* The first class whose cumulated share is above the draw; the sums run over `lanes` classes at a time. */
__device__ __forceinline__ int64_t sample_class(const egi_cuda_fisher_args &p, const float *z, int64_t n, double top,
                                                double sum, const eg_rows &r)
{
    const egi_philox words = draw(p, r.row);
    const double u = eg_uniform64(words.v[0], words.v[1]) * sum;
    double before = 0;
    int64_t found = p.columns - 1;
    for (int64_t begin = 0; begin < p.columns; begin += r.lanes) {
        const int64_t k = begin + r.lane;
        double below = k < n ? exp((double)z[k] - top) : 0;
        for (int apart = 1; apart < r.lanes; apart *= 2) {
            const double other = __shfl_up_sync(0xFFFFFFFFu, below, apart, r.lanes);
            below += r.lane >= apart ? other : 0;
        }
        below += before;
        if (u < below && k < found)
            found = k;
        before = __shfl_sync(0xFFFFFFFFu, below, r.lanes - 1, r.lanes);
    }
    return eg_rows_reduce(found, r.lanes, eg_min());
}

/* A row is its lanes' alone; 8 bytes an element, 12 with targets. */
extern "C" __global__ void eg_fisher_softmax(egi_cuda_fisher_args p)
{
    for (eg_rows r = eg_rows_of(p.lanes); eg_rows_go(r, p.rows); r.row += r.stride) {
        const bool is_row = r.row < p.rows, counts = is_row && row_counts(p, r.row);
        const int64_t n = counts ? p.columns : 0, at = r.row * p.columns;
        const float *z = p.z + at;
        double top = -CUDART_INF, sum = 0;
        for (int64_t k = r.lane; k < n; k += r.lanes)
            top = fmax(top, (double)z[k]);
        top = eg_rows_reduce(top, r.lanes, eg_max());
        for (int64_t k = r.lane; k < n; k += r.lanes)
            sum += exp((double)z[k] - top);
        sum = eg_rows_reduce(sum, r.lanes, eg_sum());

        int64_t c = -1;
        double factor = 1;
        if (p.mode == EGI_FISHER_SAMPLE)
            c = sample_class(p, z, n, top, sum, r);
        if (p.mode == EGI_FISHER_EXACT) {
            c = p.control->fisher_class;
            factor = c >= 0 && c < n ? sqrt(exp((double)z[c] - top) / sum) : 0;
        }
        for (int64_t k = r.lane; is_row && k < p.columns; k += r.lanes) {
            double seed = 0;
            if (counts) {
                const double y = p.mode == EGI_FISHER_EMPIRICAL ? observed(p, r.row, k) : k == c;
                seed = factor * (y - exp((double)z[k] - top) / sum);
            }
            p.dz[at + k] = (float)seed;
        }
    }
}

__device__ __forceinline__ double sigmoid_seed(const egi_cuda_fisher_args &p, int64_t row, int64_t k)
{
    const double share = 1 / (1 + exp(-(double)p.z[row * p.columns + k]));
    if (p.mode == EGI_FISHER_EXACT)
        return k == p.control->fisher_class ? sqrt(share * (1 - share)) : 0;
    if (p.mode == EGI_FISHER_EMPIRICAL)
        return observed(p, row, k) - share;
    const egi_philox words = draw(p, row * p.columns + k);
    return (eg_uniform64(words.v[0], words.v[1]) < share) - share;
}

__device__ __forceinline__ double linear_seed(const egi_cuda_fisher_args &p, int64_t row, int64_t k)
{
    if (p.mode == EGI_FISHER_EXACT)
        return k == p.control->fisher_class;
    if (p.mode == EGI_FISHER_EMPIRICAL)
        return observed(p, row, k) - (double)p.z[row * p.columns + k];
    const egi_philox words = draw(p, row * p.columns + k); /* Box and Muller, as egi_rng_normal() */
    const double u = 1 - eg_uniform64(words.v[0], words.v[1]), v = eg_uniform64(words.v[2], words.v[3]);
    return sqrt(-2 * log(u)) * cospi(2 * v);
}

/* One element, one thread: 8 bytes, 12 with targets. */
extern "C" __global__ void eg_fisher_each(egi_cuda_fisher_args p)
{
    const int64_t n = p.rows * p.columns, stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        const int64_t row = i / p.columns, k = i % p.columns;
        double seed = 0;
        if (row_counts(p, row))
            seed = p.head == EGI_HEAD_SIGMOID ? sigmoid_seed(p, row, k) : linear_seed(p, row, k);
        p.dz[i] = (float)seed;
    }
}
