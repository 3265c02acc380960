/* Convolutions and their gradients to the input as implicit products, and the pooling around them. */
#include "cuda/conv.cuh"

#include "cuda/act.cuh"

/* --- forward ------------------------------------------------------------------------------------------------------ */

/* The kernel as the right side: its rows are the channels out of a group. */
struct weights {
    const float *w; /* at the thread's channel */
    uint32_t end;
    int f;
    bool on;

    template <int VEC> __device__ void at(float *to, uint32_t k)
    {
        eg_load<VEC>(to, w + (int64_t)k * f, on && k < end);
    }
};

__device__ place output_place(const egi_cuda_conv_args &p, uint32_t m)
{
    if (m >= p.m)
        return eg_nowhere();
    return eg_place(p.g, eg_pixel_of(p.g.rows, p.g.columns, m), (int64_t)m * p.f);
}

/* With fused pooling the pixels of a window follow one another, and g counts windows. */
__device__ place window_place(const egi_cuda_conv_args &p, uint32_t m)
{
    if (m >= p.m)
        return eg_nowhere();
    const uint32_t o = m / p.area;
    const int position = (int)(m - o * p.area);
    eg_pixel at = eg_pixel_of(p.g.rows, p.g.columns, o);
    at.i = at.i * p.stride[0] - p.pad[0] + position / p.window[1];
    at.j = at.j * p.stride[1] - p.pad[1] + position % p.window[1];
    if (at.i < 0 || at.j < 0 || at.i >= p.size[0] || at.j >= p.size[1])
        return eg_nowhere();
    return eg_place(p.g, at, (int64_t)o * p.f);
}

/* Rows of the tile, 4 columns a time: y = act(sum + b + r). */
template <class S, int VEC>
__device__ void write_outputs(const egi_cuda_conv_args &p, const place *table, int column0, const sums<S> &acc)
{
#pragma unroll
    for (int i = 0; i < S::TM; i++) {
        const int64_t out = table[tile_row<S>() + i].out;
#pragma unroll
        for (int j = 0; j < S::TN; j += VEC) {
            const int c = column0 + tile_column<S>(j / 4) + j % 4;
            if (out < 0 || c >= p.n)
                continue;
            const int f = (int)blockIdx.z * p.n + c;
            float b[VEC] = {}, r[VEC] = {}, y[VEC];
            if (p.b)
                eg_load<VEC>(b, p.b + f);
            if (p.r)
                eg_load<VEC>(r, p.r + out + f);
#pragma unroll
            for (int v = 0; v < VEC; v++)
                y[v] = eg_act_fused(p.act, p.alpha, acc.of[i][j + v] + b[v] + r[v]);
            eg_store<VEC>(p.y + out + f, y);
        }
    }
}

/* The largest of each window, whose pixels are `area` rows of one thread. */
template <class S>
__device__ void write_largest(const egi_cuda_conv_args &p, const place *table, int column0, const sums<S> &acc)
{
#pragma unroll
    for (int j = 0; j < S::TN; j++) {
        const int c = column0 + tile_column<S>(j / 4) + j % 4, f = (int)blockIdx.z * p.n + c;
        if (c >= p.n)
            continue;
        const float b = p.b ? p.b[f] : 0;
        float best = -INFINITY;
        int won = -1;
        int64_t to = -1;
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
            const int64_t out = table[tile_row<S>() + i].out;
            const int position = i & (p.area - 1);
            if (out >= 0) {
                const float v = eg_act_fused(p.act, p.alpha, acc.of[i][j] + b);
                won = won < 0 ? position : won;
                to = out;
                if (v > best || isnan(v))
                    best = v, won = position;
            }
            if (position != p.area - 1)
                continue;
            if (to >= 0) {
                p.y[to + f] = best;
                if (p.index)
                    p.index[to + f] = (uint8_t)won;
            }
            best = -INFINITY, won = -1, to = -1;
        }
    }
}

/* Reads every pixel once a tap and block of BN channels (caches serve the taps) and w once a block of BM pixels;
 * writes y once: blocks have tiles of their own. Grid: tiles of pixels, tiles of channels, groups. */
template <class S, int VEC, bool POOL> __device__ __forceinline__ void forward(const egi_cuda_conv_args &p)
{
    __shared__ tiles<S> t;
    __shared__ place table[S::BM];
    const int column0 = (int)blockIdx.y * S::BN;
    for (int row = threadIdx.x; row < S::BM; row += S::threads) {
        const uint32_t m = blockIdx.x * S::BM + row;
        table[row] = POOL ? window_place(p, m) : output_place(p, m);
    }
    __syncthreads();
    along_k<S::BM, S::threads, VEC> a;
    along_rows<S::BN, S::threads, VEC> b;
    patches from_a = {p.g, table, p.k, (int)(blockIdx.z * p.g.channels.by), p.kw};
    const int column = column0 + b.row();
    weights from_b = {p.w + (int64_t)blockIdx.z * p.n + column, p.k, p.f, column < p.n};
    sums<S> acc;
    acc.clear();
    multiply<S>(t, a, from_a, b, from_b, 0, p.k, false, p.precision, acc);
    if (POOL)
        write_largest<S>(p, table, column0, acc);
    else
        write_outputs<S, VEC>(p, table, column0, acc);
}

#define FORWARD(name, shape_, vec, pool)                                            \
    extern "C" __global__ void __launch_bounds__(shape_::threads, shape_::resident) \
        eg_conv_##name(egi_cuda_conv_args p)                                        \
    {                                                                               \
        forward<shape_, vec, pool>(p);                                              \
    }
FORWARD(large4, large, 4, false)
FORWARD(medium, medium, 1, false)
FORWARD(medium4, medium, 4, false)
FORWARD(narrow, narrow, 1, false)
FORWARD(narrow4, narrow, 4, false)
FORWARD(pool_medium, medium, 1, true)
FORWARD(pool_medium4, medium, 4, true)
FORWARD(pool_narrow, narrow, 1, true)
FORWARD(pool_narrow4, narrow, 4, true)

/* --- gradient to the input ---------------------------------------------------------------------------------------- */

/* The taps of one phase in an axis: tap `first` and every few after it; output = pixel of the phase + origin - tap. */
struct phase_taps {
    int first, n, origin;
};

__device__ phase_taps taps_of(const egi_cuda_conv_dx_args &p, int axis, int phase)
{
    phase_taps t = {0, 0, 0};
    for (int k = 0; k < p.kernel[axis] && k < p.every[axis]; k++) {
        const int shifted = phase + p.pad[axis] - k * p.dilation[axis];
        if (shifted % p.stride[axis])
            continue;
        t.first = k;
        t.n = (p.kernel[axis] - k + p.every[axis] - 1) / p.every[axis];
        t.origin = shifted / p.stride[axis];
        break;
    }
    return t;
}

/* The kernel, transposed: rows are channels of the input's group, k counts the phase's taps and dz's channels. */
struct transposed {
    const egi_cuda_conv_dx_args &p;
    const phase_taps &rows, &columns;
    const float *w; /* at the tile's first channel */
    uint32_t end;
    int channels; /* from there on */
    const float *from;
    bool on;

    __device__ void at_k(uint32_t k)
    {
        const uint32_t tap = eg_divide(p.g.channels, k);
        const int ki = rows.first + (int)(tap / columns.n) * p.every[0],
                  kj = columns.first + (int)(tap % columns.n) * p.every[1];
        on = k < end;
        from = w + (int64_t)(ki * p.kernel[1] + kj) * p.n * p.f + (k - tap * p.g.channels.by);
    }

    template <int VEC> __device__ void row(float *to, int row)
    {
        eg_load<VEC>(to, from + (int64_t)row * p.f, on && row < channels);
    }
};

__device__ place input_place(const egi_cuda_conv_dx_args &p, const egi_cuda_gather &g, uint32_t m, int r, int s)
{
    if (m >= p.m)
        return eg_nowhere();
    const eg_pixel at = eg_pixel_of(g.rows, g.columns, m);
    r += at.i * p.stride[0], s += at.j * p.stride[1];
    if (r >= p.size[0] || s >= p.size[1])
        return eg_nowhere();
    return eg_place(g, at, (((int64_t)at.n * p.size[0] + r) * p.size[1] + s) * p.c);
}

template <class S, int VEC>
__device__ void write_gradients(const egi_cuda_conv_dx_args &p, const place *table, int column0, const sums<S> &acc)
{
#pragma unroll
    for (int i = 0; i < S::TM; i++) {
        const int64_t out = table[tile_row<S>() + i].out;
#pragma unroll
        for (int j = 0; j < S::TN; j += VEC) {
            const int c = column0 + tile_column<S>(j / 4) + j % 4;
            if (out >= 0 && c < p.n)
                eg_store<VEC>(p.dx + out + (int64_t)blockIdx.z * p.n + c, &acc.of[i][j]);
        }
    }
}

/* Traffic as forward's, with dz for x and dx for y. Grid: phases times tiles of their pixels, tiles of channels,
 * groups. Each pixel is in one phase: one block writes it. */
template <class S, int VEC> __device__ __forceinline__ void input_gradient(const egi_cuda_conv_dx_args &p)
{
    __shared__ tiles<S> t;
    __shared__ place table[S::BM];
    const int phase = (int)(blockIdx.x / p.tiles), r = phase / p.phases, s = phase % p.phases;
    const int column0 = (int)blockIdx.y * S::BN;
    const phase_taps rows = taps_of(p, 0, r), columns = taps_of(p, 1, s);
    egi_cuda_gather g = p.g;
    g.origin[0] = rows.origin, g.origin[1] = columns.origin;
    for (int row = threadIdx.x; row < S::BM; row += S::threads)
        table[row] = input_place(p, g, blockIdx.x % p.tiles * S::BM + row, r, s);
    __syncthreads();
    const uint32_t k = (uint32_t)(rows.n * columns.n) * g.channels.by;
    along_k<S::BM, S::threads, VEC> a;
    along_k<S::BN, S::threads, VEC> b;
    patches from_a = {g, table, k, (int)(blockIdx.z * g.channels.by), columns.n};
    transposed from_b = {p, rows, columns, p.w + (int64_t)column0 * p.f + blockIdx.z * g.channels.by, k, p.n - column0};
    sums<S> acc;
    acc.clear();
    multiply<S>(t, a, from_a, b, from_b, 0, k, false, p.precision, acc);
    write_gradients<S, VEC>(p, table, column0, acc);
}

#define INPUT_GRADIENT(name, shape_, vec)                                           \
    extern "C" __global__ void __launch_bounds__(shape_::threads, shape_::resident) \
        eg_conv_dx_##name(egi_cuda_conv_dx_args p)                                  \
    {                                                                               \
        input_gradient<shape_, vec>(p);                                             \
    }
INPUT_GRADIENT(large4, large, 4)
INPUT_GRADIENT(medium, medium, 1)
INPUT_GRADIENT(medium4, medium, 4)
INPUT_GRADIENT(narrow, narrow, 1)
INPUT_GRADIENT(narrow4, narrow, 4)

/* --- pooling ------------------------------------------------------------------------------------------------------ */

/* One thread an output: 4 bytes a place of its window, 5 out. */
extern "C" __global__ void eg_conv_pool(egi_cuda_conv_pool_args p)
{
    const egi_cuda_window &w = p.window;
    const eg_walk walk = eg_walk_of<1>(p.lanes);
    if (walk.c >= p.f)
        return;
    for (uint32_t at = walk.from; at < p.pixels; at += walk.step) {
        const eg_pixel o = eg_pixel_of(w.rows, w.columns, at);
        const int top = o.i * w.stride[0] - w.pad[0], left = o.j * w.stride[1] - w.pad[1];
        float best = -INFINITY;
        int won = -1;
        for (int k = max(0, -top); k < w.window[0] && top + k < w.size[0]; k++)
            for (int l = max(0, -left); l < w.window[1] && left + l < w.size[1]; l++) {
                const int64_t pixel = ((int64_t)o.n * w.size[0] + top + k) * w.size[1] + left + l;
                const float v = p.x[pixel * p.f + walk.c];
                const int position = k * w.window[1] + l;
                won = won < 0 ? position : won;
                if (v > best || isnan(v))
                    best = v, won = position;
            }
        p.y[(int64_t)at * p.f + walk.c] = best;
        if (p.index)
            p.index[(int64_t)at * p.f + walk.c] = (uint8_t)won;
    }
}

/* One thread an element of dz, which gathers from the windows that it is in: 4 bytes out, 5 in a window. Windows are
 * taken from the last to the first: the same sum every time. */
extern "C" __global__ void eg_conv_unpool(egi_cuda_unpool_args p)
{
    const egi_cuda_window &w = p.window;
    const eg_walk walk = eg_walk_of<1>(p.lanes);
    if (walk.c >= p.f)
        return;
    for (uint32_t at = walk.from; at < p.pixels; at += walk.step) {
        const eg_pixel z = eg_pixel_of(p.rows, p.columns, at);
        const int i = z.i + w.pad[0], j = z.j + w.pad[1];
        float sum = 0;
        for (int r = min(i / w.stride[0], (int)w.rows.by - 1); r >= 0 && i - r * w.stride[0] < w.window[0]; r--)
            for (int s = min(j / w.stride[1], (int)w.columns.by - 1); s >= 0 && j - s * w.stride[1] < w.window[1];
                 s--) {
                const int64_t from = (((int64_t)z.n * w.rows.by + r) * w.columns.by + s) * p.f + walk.c;
                if (p.index[from] == (i - r * w.stride[0]) * w.window[1] + j - s * w.stride[1])
                    sum += p.dy[from];
            }
        p.dz[(int64_t)at * p.f + walk.c] = sum;
    }
}
