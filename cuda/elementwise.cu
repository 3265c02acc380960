/* Every element by itself: grids walk with the stride of the whole grid, and a thread reads what it needs of an element
 * before it writes it, so outputs may lie over inputs. No thread writes what another one touches. */
#include "core/ops/pointwise.h"
#include "cuda/act.cuh"
#include "cuda/elementwise.h"

/* Not unrolled: enough is under way with 16 bytes a thread, and there are many loops. */
#define EACH(i, n)                                                                                \
    _Pragma("unroll 1") for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); \
                             i += (int64_t)gridDim.x * blockDim.x)

/* y = f(a, b): four elements at a time where addresses allow it, then those that are left. */
template <typename F>
__device__ __forceinline__ void map(const float *a, const float *b, float *y, int64_t n, bool vector, F f)
{
    const int64_t fours = vector ? n / 4 : 0;
    EACH(i, fours)
    {
        const float4 u = ((const float4 *)a)[i], v = ((const float4 *)b)[i];
        ((float4 *)y)[i] = make_float4(f(u.x, v.x), f(u.y, v.y), f(u.z, v.z), f(u.w, v.w));
    }
    EACH(i, n - 4 * fours)
    y[4 * fours + i] = f(a[4 * fours + i], b[4 * fours + i]);
}

/* y = f(x), the same. */
template <typename F> __device__ __forceinline__ void map(const float *x, float *y, int64_t n, bool vector, F f)
{
    const int64_t fours = vector ? n / 4 : 0;
    EACH(i, fours)
    {
        const float4 u = ((const float4 *)x)[i];
        ((float4 *)y)[i] = make_float4(f(u.x), f(u.y), f(u.z), f(u.w));
    }
    EACH(i, n - 4 * fours)
    y[4 * fours + i] = f(x[4 * fours + i]);
}

/* y = x: 8 bytes an element. */
extern "C" __global__ void eg_copy(egi_cuda_copy_args p)
{
    map(p.x, p.y, p.n, p.vector, [](float x) { return x; });
}

/* --- activations: one loop a kind --------------------------------------------------------------------------------- */

template <int ACT> __device__ __forceinline__ void add(const egi_cuda_add_args &p)
{
    map(p.a, p.b, p.y, p.n, p.vector, [&](float a, float b) { return eg_act_fused(ACT, p.alpha, a + b); });
}

template <int ACT> __device__ __forceinline__ void forward(const egi_cuda_act_args &p)
{
    map(p.x, p.y, p.n, p.vector, [&](float x) { return eg_act(ACT, p.alpha, p.max_value, p.threshold, x); });
}

template <int ACT> __device__ __forceinline__ void backward(const egi_cuda_act_args &p)
{
    map(p.x, p.at, p.y, p.n, p.vector,
        [&](float dy, float at) { return dy * eg_act_slope(ACT, p.alpha, p.max_value, p.threshold, at); });
}

/* y = act(a + b): 12 bytes an element. */
extern "C" __global__ void eg_add(egi_cuda_add_args p)
{
    switch (p.act) {
    case EGI_ACT_RELU:
        return add<EGI_ACT_RELU>(p);
    case EGI_ACT_RELU6:
        return add<EGI_ACT_RELU6>(p);
    case EGI_ACT_SIGMOID:
        return add<EGI_ACT_SIGMOID>(p);
    case EGI_ACT_TANH:
        return add<EGI_ACT_TANH>(p);
    case EGI_ACT_LEAKY_RELU:
        return add<EGI_ACT_LEAKY_RELU>(p);
    default:
        return add<EGI_ACT_LINEAR>(p);
    }
}

/* y = act(x): 8 bytes an element. */
extern "C" __global__ void eg_activation(egi_cuda_act_args p)
{
    switch (p.act) {
#define KIND(name, keras) \
    case EGI_ACT_##name:  \
        return forward<EGI_ACT_##name>(p);
        EGI_ACT_LIST(KIND)
#undef KIND
    }
}

/* y = x act'(at): 12 bytes an element. */
extern "C" __global__ void eg_activation_grad(egi_cuda_act_args p)
{
    switch (p.act) {
#define KIND(name, keras) \
    case EGI_ACT_##name:  \
        return backward<EGI_ACT_##name>(p);
        EGI_ACT_LIST(KIND)
#undef KIND
    }
}

/* --- dropout ------------------------------------------------------------------------------------------------------ */

/* A thread draws one block of Philox and decides its four elements: 8 bytes an element. */
extern "C" __global__ void eg_dropout(egi_cuda_dropout_args p)
{
    const egi_control control = *p.control;
    EACH(block, (p.n + 3) / 4)
    {
        const egi_philox words = egi_dropout_block(&control, p.stream, (uint64_t)block);
        const auto drop = [&](int i, float x) { return words.v[i] >> 8 >= p.keep ? x * p.scale : 0; };
        const int64_t at = 4 * block;
        if (p.vector && at + 4 <= p.n) {
            const float4 x = ((const float4 *)p.x)[block];
            ((float4 *)p.y)[block] = make_float4(drop(0, x.x), drop(1, x.y), drop(2, x.z), drop(3, x.w));
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (at + i < p.n)
                p.y[at + i] = drop(i, p.x[at + i]);
    }
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

/* Neighbouring lanes walk a row of y. Reads what of x lies in y once, writes y once. */
template <typename T> __device__ __forceinline__ void frame(const egi_cuda_frame_args &p)
{
    const int lane = threadIdx.x % p.lanes, together = blockDim.x / p.lanes;
    for (int64_t row = (int64_t)blockIdx.x * together + threadIdx.x / p.lanes; row < p.rows;
         row += (int64_t)gridDim.x * together) {
        const int64_t image = row / p.y_height, r = row % p.y_height - p.top;
        const bool inside = r >= 0 && r < p.x_height;
        const T *x = (const T *)p.x + (image * p.x_height + r) * p.x_columns;
        T *y = (T *)p.y + row * p.y_columns;
#pragma unroll 1
        for (int64_t i = lane; i < p.y_columns; i += p.lanes) {
            const int64_t s = i - p.left;
            y[i] = inside && s >= 0 && s < p.x_columns ? x[s] : T{};
        }
    }
}

extern "C" __global__ void eg_frame(egi_cuda_frame_args p)
{
    frame<float>(p);
}

extern "C" __global__ void eg_frame4(egi_cuda_frame_args p)
{
    frame<float4>(p);
}

/* --- record ------------------------------------------------------------------------------------------------------- */

/* One block; a thread copies one number. */
extern "C" __global__ void eg_record(egi_cuda_record_args p)
{
    const int64_t row = p.control->step % p.rows;
    if (threadIdx.x < 8 && p.x[threadIdx.x])
        p.ring[row * p.columns + threadIdx.x] = *p.x[threadIdx.x];
}
