/* Convolutions whose groups have one channel each. They move memory: neighbours in a warp are neighbours in memory. */
#include "cuda/depthwise.h"

#include "cuda/act.cuh"
#include "cuda/pixels.cuh"

/* sum += x * w over the taps, of VEC channels; w is of `f` channels a tap. K: the kernel's height and width if it is
 * known, so that taps are unrolled and their loads are under way together; 0: any. */
template <int VEC, int K>
__device__ __forceinline__ void add_taps(const egi_cuda_depthwise &d, const float *x, const float *w, int top, int left,
                                         float *sum)
{
    const int rows = K ? K : d.kernel[0], columns = K ? K : d.kernel[1];
#pragma unroll(K ? K : 1)
    for (int k = 0; k < rows; k++)
#pragma unroll(K ? K : 1)
        for (int l = 0; l < columns; l++) {
            const int r = top + k * d.dilation[0], s = left + l * d.dilation[1];
            float a[VEC], b[VEC];
            if ((uint32_t)r >= (uint32_t)d.size[0] || (uint32_t)s >= (uint32_t)d.size[1])
                continue;
            eg_load<VEC>(a, x + (int64_t)(r * d.size[1] + s) * d.c);
            eg_load<VEC>(b, w + (int64_t)(k * columns + l) * d.f);
#pragma unroll
            for (int v = 0; v < VEC; v++)
                sum[v] = fmaf(a[v], b[v], sum[v]);
        }
}

/* One thread VEC channels of a pixel: 4 bytes out, 4 bytes in a tap of which caches serve all but the first; with r
 * 4 more. VEC is 4 only where `times` is 1. */
template <int VEC, int K> __device__ __forceinline__ void forward(const egi_cuda_depthwise_args &p)
{
    const egi_cuda_depthwise &d = p.d;
    const eg_walk w = eg_walk_of<VEC>(p.lanes);
    if (w.c >= d.f)
        return;
    const int in = d.times == 1 ? w.c : w.c / d.times;
    for (uint32_t at = w.from; at < p.pixels; at += w.step) {
        const eg_pixel o = eg_pixel_of(p.rows, p.columns, at);
        float sum[VEC] = {}, r[VEC] = {};
        if (p.b)
            eg_load<VEC>(sum, p.b + w.c);
        if (p.r)
            eg_load<VEC>(r, p.r + (int64_t)at * d.f + w.c);
        add_taps<VEC, K>(d, p.x + (int64_t)o.n * d.size[0] * d.size[1] * d.c + in, p.w + w.c,
                         o.i * d.stride[0] - d.pad[0], o.j * d.stride[1] - d.pad[1], sum);
#pragma unroll
        for (int v = 0; v < VEC; v++)
            sum[v] = eg_act_fused(p.act, p.alpha, sum[v] + r[v]);
        eg_store<VEC>(p.y + (int64_t)at * d.f + w.c, sum);
    }
}

/* The output whose tap reads `shifted`, or -1. */
__device__ __forceinline__ int reader(int shifted, int stride, int outputs)
{
    if (shifted < 0)
        return -1;
    const int o = stride == 1 ? shifted : shifted / stride;
    return o < outputs && o * stride == shifted ? o : -1;
}

/* One thread VEC channels of a pixel of dx, which gathers from the outputs that read it: traffic as forward's. */
template <int VEC> __device__ __forceinline__ void input_gradient(const egi_cuda_depthwise_args &p)
{
    const egi_cuda_depthwise &d = p.d;
    const int times = VEC == 1 ? d.times : 1; /* vectors are for one filter a channel */
    const eg_walk w = eg_walk_of<VEC>(p.lanes);
    if (w.c >= d.c)
        return;
    for (uint32_t at = w.from; at < p.pixels; at += w.step) {
        const eg_pixel o = eg_pixel_of(p.rows, p.columns, at);
        const float *dz = p.x + (int64_t)o.n * d.out[0] * d.out[1] * d.f + (int64_t)w.c * times;
        float sum[VEC] = {};
        for (int k = 0; k < d.kernel[0]; k++) {
            const int i = reader(o.i + d.pad[0] - k * d.dilation[0], d.stride[0], d.out[0]);
            for (int l = 0; i >= 0 && l < d.kernel[1]; l++) {
                const int j = reader(o.j + d.pad[1] - l * d.dilation[1], d.stride[1], d.out[1]);
                const int64_t from = (int64_t)(i * d.out[1] + j) * d.f,
                              tap = (int64_t)(k * d.kernel[1] + l) * d.f + (int64_t)w.c * times;
                for (int t = 0; j >= 0 && t < times; t++) {
                    float a[VEC], b[VEC];
                    eg_load<VEC>(a, dz + from + t);
                    eg_load<VEC>(b, p.w + tap + t);
#pragma unroll
                    for (int v = 0; v < VEC; v++)
                        sum[v] = fmaf(a[v], b[v], sum[v]);
                }
            }
        }
        eg_store<VEC>(p.y + (int64_t)at * d.c + w.c, sum);
    }
}

#define DEPTHWISE(name, function)                                                                   \
    extern "C" __global__ void __launch_bounds__(256) eg_depthwise##name(egi_cuda_depthwise_args p) \
    {                                                                                               \
        function(p);                                                                                \
    }
DEPTHWISE(, (forward<1, 0>))
DEPTHWISE(4, (forward<4, 0>))
DEPTHWISE(_3x3, (forward<1, 3>))
DEPTHWISE(4_3x3, (forward<4, 3>))
DEPTHWISE(_dx, input_gradient<1>)
DEPTHWISE(4_dx, input_gradient<4>)

#define TAPS EGI_DEPTHWISE_TAPS
#define ROWS 8 /* pixels that a block of 32 channels looks at together */

/* The sums of one thread: TAPS taps from `first`, and in the last place dz alone, for the bias. */
__device__ __forceinline__ void add_pixels(const egi_cuda_depthwise_dw_args &p, const float *dz, int f, int first,
                                           uint32_t from, uint32_t to, float (&sum)[TAPS + 1])
{
    const egi_cuda_depthwise &d = p.d;
    const int in = f / d.times;
    int dr[TAPS], ds[TAPS];
#pragma unroll
    for (int t = 0; t < TAPS; t++) {
        const int k = (first + t) / d.kernel[1], l = (first + t) % d.kernel[1];
        dr[t] = k < d.kernel[0] ? k * d.dilation[0] - d.pad[0] : -(1 << 30);
        ds[t] = l * d.dilation[1] - d.pad[1];
        sum[t] = 0;
    }
    sum[TAPS] = 0;
    for (uint32_t at = from + threadIdx.x / 32; at < to; at += ROWS) {
        const eg_pixel o = eg_pixel_of(p.rows, p.columns, at);
        const float z = dz[(int64_t)at * d.f + f];
        const float *x = p.x + (int64_t)o.n * d.size[0] * d.size[1] * d.c + in;
#pragma unroll
        for (int t = 0; t < TAPS; t++) {
            const int r = o.i * d.stride[0] + dr[t], s = o.j * d.stride[1] + ds[t];
            if ((uint32_t)r < (uint32_t)d.size[0] && (uint32_t)s < (uint32_t)d.size[1])
                sum[t] = fmaf(x[(int64_t)(r * d.size[1] + s) * d.c], z, sum[t]);
        }
        sum[TAPS] += z;
    }
}

/* Grid: splits, 32 channels, TAPS taps. Reads dz once a block of taps and x once a tap (caches serve most); writes a
 * part once. A thread sums every eighth pixel, then the eight are added in their order through shared memory, which is
 * used again only past a barrier. */
extern "C" __global__ void __launch_bounds__(32 * ROWS) eg_depthwise_dw(egi_cuda_depthwise_dw_args p)
{
    __shared__ float all[TAPS + 1][ROWS][32];
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32, f = (int)blockIdx.y * 32 + lane;
    const int first = (int)blockIdx.z * TAPS, taps = p.d.kernel[0] * p.d.kernel[1];
    const uint32_t from = min(p.pixels, p.each * blockIdx.x), to = min(p.pixels, p.each * (blockIdx.x + 1));
    float total[2] = {}; /* taps `row` and `row + ROWS` */
    for (uint32_t at = from; at < to; at += p.unit) {
        float sum[TAPS + 1] = {};
        if (f < p.d.f)
            add_pixels(p, p.dz ? p.dz : p.scratch, f, first, at, min(to, at + p.unit), sum);
#pragma unroll
        for (int t = 0; t <= TAPS; t++)
            all[t][row][lane] = sum[t];
        __syncthreads();
        for (int t = row, i = 0; t <= TAPS; t += ROWS, i++) {
            float s = 0;
            for (int r = 0; r < ROWS; r++)
                s += all[t][r][lane];
            total[i] += p.square ? s * s : s;
        }
        __syncthreads();
    }
    float *part = p.scratch + p.parts + (int64_t)blockIdx.x * (taps + 1) * p.d.f + f;
    for (int t = row, i = 0; t <= TAPS && f < p.d.f; t += ROWS, i++) {
        if (t < TAPS && first + t < taps)
            part[(int64_t)(first + t) * p.d.f] = total[i];
        if (t == TAPS && first == 0)
            part[(int64_t)taps * p.d.f] = total[i];
    }
}
