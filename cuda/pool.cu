/* Pooling over NHWC. A thread has one pixel of the side that is written, and of it one channel or four neighbours; a
 * gradient gathers what the windows over its pixel give, in their order. So nothing is written twice, and there is no
 * race. Where windows overlap, what they share is read from the caches. */
#include "cuda/pool.h"
#include "cuda/vectors.cuh"

/* A pixel of a (height, width) side, and where its channels lie in it. */
struct pixel {
    int32_t row, column, channel;
    int64_t at; /* element */
};

__device__ __forceinline__ pixel pixel_of(const egi_cuda_pool_args &p, uint32_t i, int64_t sample, int32_t height,
                                          int32_t width)
{
    const uint32_t groups = (uint32_t)(p.c / p.vector), place = i / groups;
    pixel at;
    at.channel = (int32_t)(i % groups) * p.vector;
    at.row = (int32_t)(place / (uint32_t)width);
    at.column = (int32_t)(place % (uint32_t)width);
    at.at = ((sample * height + at.row) * width + at.column) * p.c + at.channel;
    return at;
}

/* Rows (axis 0) or columns (axis 1) inside [0, in) of window `o`, as places in it. */
struct range {
    int32_t begin, from, to; /* begin: of the window, perhaps outside */
};

__device__ __forceinline__ range range_of(const egi_cuda_pool_args &p, int axis, int32_t o, int32_t in)
{
    range r;
    r.begin = o * p.stride[axis] - p.pad[axis];
    r.from = max(0, -r.begin);
    r.to = min(p.window[axis], in - r.begin);
    return r;
}

/* Windows [from, to) that cover row or column `i`. */
__device__ __forceinline__ range windows_over(const egi_cuda_pool_args &p, int axis, int32_t i, int32_t out)
{
    const uint32_t last = (uint32_t)(i + p.pad[axis]), window = (uint32_t)p.window[axis], stride = (uint32_t)p.stride[axis];
    range r;
    r.begin = 0;
    r.from = last < window ? 0 : (int32_t)((last - window) / stride) + 1;
    r.to = min(out, (int32_t)(last / stride) + 1);
    return r;
}

/* Calls body<V>(p, i, sample) for each thread's pixel; samples by the grid's rows. */
#define EACH_PIXEL(body)                                               \
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;          \
    if (i >= p.each)                                                   \
        return;                                                        \
    for (int64_t sample = blockIdx.y; sample < p.n; sample += gridDim.y) { \
        if (p.vector == 4)                                             \
            body<4>(p, i, sample);                                     \
        else                                                           \
            body<1>(p, i, sample);                                     \
    }

/* --- forward ------------------------------------------------------------------------------------------------------ */

template <int V> __device__ __forceinline__ void store_index(uint8_t *to, const int32_t (&place)[V])
{
    if constexpr (V == 4)
        *(uchar4 *)to = make_uchar4(place[0], place[1], place[2], place[3]);
    else
        *to = (uint8_t)place[0];
}

#define TOGETHER 4 /* neighbours that are loaded together */

/* 0 for those beyond the `left` ones that the window has in its row. */
template <int V>
__device__ __forceinline__ void load_together(float (&x)[TOGETHER][V], const float *from, int32_t c, int32_t left)
{
#pragma unroll
    for (int u = 0; u < TOGETHER; u++, from += c)
        eg_load<V>(x[u], from, u < left);
}

/* The first of equals wins, and NaN wins, so that it is seen. */
template <int V> __device__ __forceinline__ void largest(const egi_cuda_pool_args &p, uint32_t i, int64_t sample)
{
    const pixel to = pixel_of(p, i, sample, p.oh, p.ow);
    const range rows = range_of(p, 0, to.row, p.h), columns = range_of(p, 1, to.column, p.w);
    float best[V], x[TOGETHER][V];
    int32_t place[V];
    for (int v = 0; v < V; v++) {
        best[v] = -INFINITY;
        place[v] = rows.from * p.window[1] + columns.from;
    }
    for (int32_t r = rows.from; r < rows.to; r++) {
        const float *from = p.x + ((sample * p.h + rows.begin + r) * p.w + columns.begin + columns.from) * p.c + to.channel;
#pragma unroll 1
        for (int32_t q = columns.from; q < columns.to; q += TOGETHER, from += (int64_t)TOGETHER * p.c) {
            load_together(x, from, p.c, columns.to - q);
            for (int u = 0; u < TOGETHER; u++)
                for (int v = 0; v < V; v++)
                    if (u < columns.to - q && (x[u][v] > best[v] || isnan(x[u][v]))) {
                        best[v] = x[u][v];
                        place[v] = r * p.window[1] + q + u;
                    }
        }
    }
    eg_store<V>(p.y + to.at, best);
    if (p.index)
        store_index(p.index + to.at, place);
}

/* Reads x, 4 bytes an element where windows do not overlap; writes 4 bytes an output, 5 with the index. */
extern "C" __global__ void __launch_bounds__(EGI_POOL_BLOCK) eg_maxpool(egi_cuda_pool_args p)
{
    EACH_PIXEL(largest)
}

/* Sums of the rows of the window, and then of these: long windows lose no digits. */
template <int V> __device__ __forceinline__ void mean(const egi_cuda_pool_args &p, uint32_t i, int64_t sample)
{
    const pixel to = pixel_of(p, i, sample, p.oh, p.ow);
    const range rows = range_of(p, 0, to.row, p.h), columns = range_of(p, 1, to.column, p.w);
    const float count = (float)(rows.to - rows.from) * (float)(columns.to - columns.from);
    float sum[V] = {}, x[TOGETHER][V];
    for (int32_t r = rows.from; r < rows.to; r++) {
        const float *from = p.x + ((sample * p.h + rows.begin + r) * p.w + columns.begin + columns.from) * p.c + to.channel;
        float of_row[V] = {};
#pragma unroll 1
        for (int32_t q = columns.from; q < columns.to; q += TOGETHER, from += (int64_t)TOGETHER * p.c) {
            load_together(x, from, p.c, columns.to - q);
            for (int v = 0; v < V; v++)
                of_row[v] += (x[0][v] + x[1][v]) + (x[2][v] + x[3][v]);
        }
        for (int v = 0; v < V; v++)
            sum[v] += of_row[v];
    }
    for (int v = 0; v < V; v++)
        sum[v] /= count;
    eg_store<V>(p.y + to.at, sum);
}

/* Reads x, 4 bytes an element where windows do not overlap; writes 4 bytes an output. */
extern "C" __global__ void __launch_bounds__(EGI_POOL_BLOCK) eg_avgpool(egi_cuda_pool_args p)
{
    EACH_PIXEL(mean)
}

/* --- gradients ---------------------------------------------------------------------------------------------------- */

template <int V> __device__ __forceinline__ void load_index(int32_t (&place)[V], const uint8_t *from)
{
    if constexpr (V == 4) {
        const uchar4 q = *(const uchar4 *)from;
        place[0] = q.x, place[1] = q.y, place[2] = q.z, place[3] = q.w;
    } else {
        place[0] = *from;
    }
}

/* What the windows over a pixel of dx chose it for. */
template <int V> __device__ __forceinline__ void chosen(const egi_cuda_pool_args &p, uint32_t i, int64_t sample)
{
    const pixel to = pixel_of(p, i, sample, p.h, p.w);
    const range rows = windows_over(p, 0, to.row, p.oh), columns = windows_over(p, 1, to.column, p.ow);
    float sum[V] = {}, dy[V];
    int32_t place[V];
    for (int32_t o = rows.from; o < rows.to; o++)
#pragma unroll 2
        for (int32_t q = columns.from; q < columns.to; q++) {
            const int64_t at = ((sample * p.oh + o) * p.ow + q) * p.c + to.channel;
            const int32_t here = (to.row + p.pad[0] - o * p.stride[0]) * p.window[1] + to.column + p.pad[1] - q * p.stride[1];
            eg_load<V>(dy, p.x + at);
            load_index(place, p.index + at);
            for (int v = 0; v < V; v++)
                sum[v] += place[v] == here ? dy[v] : 0;
        }
    eg_store<V>(p.y + to.at, sum);
}

/* Reads dy and the index, 5 bytes an output, from memory once; writes dx, 4 bytes an element. */
extern "C" __global__ void __launch_bounds__(EGI_POOL_BLOCK) eg_maxpool_grad(egi_cuda_pool_args p)
{
    EACH_PIXEL(chosen)
}

/* The shares of the windows over a pixel of dx. */
template <int V> __device__ __forceinline__ void shares(const egi_cuda_pool_args &p, uint32_t i, int64_t sample)
{
    const pixel to = pixel_of(p, i, sample, p.h, p.w);
    const range rows = windows_over(p, 0, to.row, p.oh), columns = windows_over(p, 1, to.column, p.ow);
    float sum[V] = {}, dy[V];
    for (int32_t o = rows.from; o < rows.to; o++) {
        const range r = range_of(p, 0, o, p.h);
        for (int32_t q = columns.from; q < columns.to; q++) {
            const range s = range_of(p, 1, q, p.w);
            const float count = (float)(r.to - r.from) * (float)(s.to - s.from);
            eg_load<V>(dy, p.x + ((sample * p.oh + o) * p.ow + q) * p.c + to.channel);
            for (int v = 0; v < V; v++)
                sum[v] += dy[v] / count;
        }
    }
    eg_store<V>(p.y + to.at, sum);
}

/* Reads dy, 4 bytes an output, from memory once; writes dx, 4 bytes an element. */
extern "C" __global__ void __launch_bounds__(EGI_POOL_BLOCK) eg_avgpool_grad(egi_cuda_pool_args p)
{
    EACH_PIXEL(shares)
}
