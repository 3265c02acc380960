/* One pass over the arena of parameters, in pieces that blocks take in turns. A thread reads and writes its own four
 * elements of a piece, so nothing is shared but the sums, which go by block to scratch and are added by a second launch.
 *
 * Traffic an element: w and grad read, w written: 12 bytes; 8 more for each of m and v; 8 more for anchor and omega
 * where the anchor pulls; 8 more for the average where one is kept. The norm reads 4, or 8 with penalties on weights, or
 * 16 with the anchor. */
#include "core/op.h"
#include "cuda/optimizer.h"
#include "cuda/rows.cuh"
#include "cuda/vectors.cuh"

#define THREADS (EGI_CUDA_PIECE / 4)

/* What is constant over a piece. */
struct Factors {
    float l1, l2, strength; /* penalties */
    float clip, decay;      /* factor of g; share of w that decoupled decay takes */
    float lr, adam;         /* adam: sqrt(1 - beta2^t) / (1 - beta1^t) */
    bool weights, anchor;   /* is there a penalty of this kind? */
};

/* A thread's four elements: [from, to) of those at `at` are in the segment. */
struct Quad {
    int64_t at;
    int from, to;
    bool whole; /* all four, and aligned */
};

__device__ __forceinline__ void get(float (&y)[4], const float *x, const Quad &q)
{
    if (q.whole) {
        const float4 v = *(const float4 *)(x + q.at);
        y[0] = v.x;
        y[1] = v.y;
        y[2] = v.z;
        y[3] = v.w;
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        y[j] = j >= q.from && j < q.to ? x[q.at + j] : 0;
}

__device__ __forceinline__ void put(float *x, const Quad &q, const float (&y)[4])
{
    if (q.whole) {
        eg_store<4>(x + q.at, y);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (j >= q.from && j < q.to)
            x[q.at + j] = y[j];
}

/* The last segment that begins no later than `piece`. */
__device__ __forceinline__ const egi_cuda_segment &find(const egi_cuda_update_args &p, int64_t piece)
{
    int low = 0, high = p.n_segments - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (p.segments[middle].first <= piece)
            low = middle;
        else
            high = middle - 1;
    }
    return p.segments[low];
}

__device__ __forceinline__ Quad quad_of(const egi_cuda_update_args &p, const egi_cuda_segment &s, int64_t piece)
{
    Quad q;
    q.at = (s.begin / EGI_CUDA_PIECE + piece - s.first) * EGI_CUDA_PIECE + (int64_t)threadIdx.x * 4;
    q.from = s.begin <= q.at ? 0 : s.begin < q.at + 4 ? (int)(s.begin - q.at) : 4;
    q.to = s.end >= q.at + 4 ? 4 : s.end > q.at ? (int)(s.end - q.at) : 0;
    q.whole = p.quads && q.from == 0 && q.to == 4;
    return q;
}

/* Of the step: what no segment changes. A norm that is NaN shows. */
__device__ __forceinline__ Factors factors_of_step(const egi_cuda_update_args &p)
{
    Factors f = {};
    f.strength = p.anchor ? (float)p.control->strength : 0;
    f.anchor = f.strength != 0;
    f.clip = p.norm && !(*p.norm <= p.clip_norm) ? p.clip_norm / *p.norm : 1;
    return f;
}

__device__ __forceinline__ void set_segment(Factors &f, const egi_cuda_segment &s, float lr)
{
    f.l1 = s.l1;
    f.l2 = s.l2;
    f.weights = s.l1 != 0 || s.l2 != 0;
    f.lr = lr * s.lr_scale;
    f.decay = f.lr * s.weight_decay;
}

/* What the penalties read; zeros where there is no anchor. */
struct Pull {
    float anchor[4], omega[4];
};

__device__ __forceinline__ Pull pull_of(const egi_cuda_update_args &p, const Factors &f, const Quad &q)
{
    Pull pull = {};
    if (f.anchor) {
        get(pull.anchor, p.anchor, q);
        get(pull.omega, p.omega, q);
    }
    return pull;
}

/* The gradient with its penalties, before clipping. */
__device__ __forceinline__ float gradient(const Factors &f, float w, float g, float anchor, float omega)
{
    if (f.weights)
        g += (w > 0 ? f.l1 : w < 0 ? -f.l1 : 0) + 2 * f.l2 * w;
    if (f.anchor)
        g += f.strength * (omega * (w - anchor));
    return g;
}

__device__ __forceinline__ float penalty(const Factors &f, float w, float anchor, float omega)
{
    float sum = 0;
    if (f.weights)
        sum += f.l1 * fabsf(w) + f.l2 * w * w;
    if (f.anchor)
        sum += f.strength / 2 * (omega * (w - anchor) * (w - anchor));
    return sum;
}

/* The average takes in the new weights; in the first step it is them, whatever it was. */
__device__ __forceinline__ float average(float ema, float w, float keep)
{
    return keep == 0 ? w : keep * ema + (1 - keep) * w;
}

__device__ __forceinline__ void average_quad(const egi_cuda_update_args &p, const Quad &q, const float (&w)[4])
{
    const float keep = p.control->step == 0 ? 0 : p.ema_momentum;
    if (q.whole) {
        float4 &ema = *(float4 *)(p.ema + q.at);
        const float4 x = ema;
        ema = make_float4(average(x.x, w[0], keep), average(x.y, w[1], keep), average(x.z, w[2], keep),
                          average(x.w, w[3], keep));
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (j >= q.from && j < q.to)
            p.ema[q.at + j] = average(p.ema[q.at + j], w[j], keep);
}

/* --- optimizers: one element --------------------------------------------------------------------------------------- */

struct Sgd {
    static constexpr bool has_m = false, has_v = false, is_adam = false;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &, const Factors &f, float g, float &w,
                                                float &, float &)
    {
        w -= f.lr * g;
    }
};

struct Momentum {
    static constexpr bool has_m = true, has_v = false, is_adam = false;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &p, const Factors &f, float g, float &w,
                                                float &m, float &)
    {
        m = p.momentum * m - f.lr * g;
        w += m;
    }
};

/* The gradient's part looks one step ahead. */
struct Nesterov {
    static constexpr bool has_m = true, has_v = false, is_adam = false;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &p, const Factors &f, float g, float &w,
                                                float &m, float &)
    {
        m = p.momentum * m - f.lr * g;
        w += p.momentum * m - f.lr * g;
    }
};

struct Adam {
    static constexpr bool has_m = true, has_v = true, is_adam = true;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &p, const Factors &f, float g, float &w,
                                                float &m, float &v)
    {
        m += (g - m) * p.one_minus_beta1;
        v += (g * g - v) * p.one_minus_beta2;
        w -= f.lr * f.adam * m / (sqrtf(v) + p.epsilon);
    }
};

struct Rmsprop {
    static constexpr bool has_m = false, has_v = true, is_adam = false;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &p, const Factors &f, float g, float &w,
                                                float &, float &v)
    {
        v = p.rho * v + p.one_minus_rho * (g * g);
        w -= f.lr * g / sqrtf(v + p.epsilon);
    }
};

struct RmspropMomentum {
    static constexpr bool has_m = true, has_v = true, is_adam = false;
    static __device__ __forceinline__ void step(const egi_cuda_update_args &p, const Factors &f, float g, float &w,
                                                float &m, float &v)
    {
        v = p.rho * v + p.one_minus_rho * (g * g);
        m = p.momentum * m + f.lr * g / sqrtf(v + p.epsilon);
        w -= m;
    }
};

/* --- the walk ------------------------------------------------------------------------------------------------------- */

/* Updates four elements and returns their penalty before it. */
template <class Step, bool has_ema>
__device__ __forceinline__ float update_quad(const egi_cuda_update_args &p, const Factors &f, const Quad &q)
{
    float w[4], g[4], m[4] = {}, v[4] = {}, sum = 0;
    get(w, p.w, q);
    get(g, p.grad, q);
    if (Step::has_m)
        get(m, p.m, q);
    if (Step::has_v)
        get(v, p.v, q);
    const Pull pull = pull_of(p, f, q);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float clipped = f.clip * gradient(f, w[j], g[j], pull.anchor[j], pull.omega[j]);
        sum += penalty(f, w[j], pull.anchor[j], pull.omega[j]);
        w[j] -= f.decay * w[j];
        Step::step(p, f, clipped, w[j], m[j], v[j]);
    }
    if (Step::has_m)
        put(p.m, q, m);
    if (Step::has_v)
        put(p.v, q, v);
    put(p.w, q, w);
    if (has_ema)
        average_quad(p, q, w);
    return sum;
}

template <class Step, bool has_ema> __device__ __forceinline__ void update(const egi_cuda_update_args &p)
{
    Factors f = factors_of_step(p);
    const float lr = (float)p.control->lr;
    if (Step::is_adam) { /* 1 - beta^t without its cancellation */
        const float t = (float)(p.control->step + 1);
        f.adam = sqrtf(-expm1f(t * p.log_beta2)) / -expm1f(t * p.log_beta1);
    }
    float sum = 0;
    for (int64_t piece = blockIdx.x; piece < p.pieces; piece += gridDim.x) {
        const egi_cuda_segment &s = find(p, piece);
        set_segment(f, s, lr);
        sum += update_quad<Step, has_ema>(p, f, quad_of(p, s, piece));
    }
    if (!p.sums)
        return;
    const double all = eg_rows_reduce((double)sum, THREADS, eg_sum());
    if (threadIdx.x == 0)
        p.sums[blockIdx.x] = all;
}

#define UPDATE(name, Step, has_ema)                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS) name(egi_cuda_update_args p)                                 \
    {                                                                                                                  \
        update<Step, has_ema>(p);                                                                                      \
    }

UPDATE(eg_sgd, Sgd, false)
UPDATE(eg_sgd_momentum, Momentum, false)
UPDATE(eg_sgd_nesterov, Nesterov, false)
UPDATE(eg_adam, Adam, false)
UPDATE(eg_rmsprop, Rmsprop, false)
UPDATE(eg_rmsprop_momentum, RmspropMomentum, false)
/* With an average: kernels of their own, so that the others keep their registers. */
UPDATE(eg_sgd_ema, Sgd, true)
UPDATE(eg_sgd_momentum_ema, Momentum, true)
UPDATE(eg_sgd_nesterov_ema, Nesterov, true)
UPDATE(eg_adam_ema, Adam, true)
UPDATE(eg_rmsprop_ema, Rmsprop, true)
UPDATE(eg_rmsprop_momentum_ema, RmspropMomentum, true)

/* A block's sum of squared gradients. */
extern "C" __global__ void __launch_bounds__(THREADS) eg_update_norm(egi_cuda_update_args p)
{
    Factors f = factors_of_step(p);
    float sum = 0;
    for (int64_t piece = blockIdx.x; piece < p.pieces; piece += gridDim.x) {
        const egi_cuda_segment &s = find(p, piece);
        const Quad q = quad_of(p, s, piece);
        set_segment(f, s, 0);
        float w[4] = {}, g[4];
        get(g, p.grad, q);
        if (f.weights || f.anchor)
            get(w, p.w, q);
        const Pull pull = pull_of(p, f, q);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float x = gradient(f, w[j], g[j], pull.anchor[j], pull.omega[j]);
            sum += x * x;
        }
    }
    const double all = eg_rows_reduce((double)sum, THREADS, eg_sum());
    if (threadIdx.x == 0)
        p.sums[blockIdx.x] = all;
}

/* One block. */
extern "C" __global__ void __launch_bounds__(THREADS) eg_update_sum(egi_cuda_update_sum_args p)
{
    double x = 0;
    for (int64_t i = threadIdx.x; i < p.n; i += THREADS)
        x += p.sums[i];
    x = eg_rows_reduce(x, THREADS, eg_sum());
    if (threadIdx.x == 0)
        *p.y = (float)(p.root ? sqrt(x) : x);
}

/* f += x^2: 12 bytes an element, each by one thread. */
extern "C" __global__ void eg_square_add(egi_cuda_square_add_args p)
{
    const int64_t stride = (int64_t)gridDim.x * blockDim.x, begin = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t quads = p.quads ? p.n / 4 : 0;
    for (int64_t i = begin; i < quads; i += stride) {
        const float4 x = ((const float4 *)p.x)[i];
        float4 f = ((const float4 *)p.f)[i];
        f.x += x.x * x.x;
        f.y += x.y * x.y;
        f.z += x.z * x.z;
        f.w += x.w * x.w;
        ((float4 *)p.f)[i] = f;
    }
    for (int64_t i = quads * 4 + begin; i < p.n; i += stride)
        p.f[i] += p.x[i] * p.x[i];
}
