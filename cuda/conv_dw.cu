/* Gradients of convolutions to the kernel and the bias, and the squares of those, as implicit products over pixels. */
#include "cuda/conv.cuh"

/* The left side: rows are taps and channels in, k counts output pixels. */
struct pixels {
    const egi_cuda_gather &g;
    uint32_t end;
    int dr, ds, c; /* the thread's tap */
    bool on;

    template <int VEC> __device__ void at(float *to, uint32_t k)
    {
        const eg_pixel o = eg_pixel_of(g.rows, g.columns, k);
        const int r = o.i * g.scale[0] + dr, s = o.j * g.scale[1] + ds;
        const int64_t at = o.n * g.sample + (int64_t)(r * g.size[1] + s) * g.width + c;
        eg_load<VEC>(to, g.x + at, on && k < end && eg_inside(g, r, s));
    }
};

/* The right side: rows are channels out, k counts output pixels. */
struct gradients {
    const float *dz; /* at the thread's channel */
    uint32_t end;
    int f;
    bool on;

    template <int VEC> __device__ void at(float *to, uint32_t k)
    {
        eg_load<VEC>(to, dz + (int64_t)k * f, on && k < end);
    }
};

__device__ pixels pixels_of(const egi_cuda_conv_dw_args &p, int group, uint32_t row)
{
    const uint32_t tap = eg_divide(p.g.channels, row);
    pixels a = {p.g};
    a.c = (int)(group * p.g.channels.by + row - tap * p.g.channels.by);
    a.dr = p.g.origin[0] + (int)(tap / p.kw) * p.g.step[0];
    a.ds = p.g.origin[1] + (int)(tap % p.kw) * p.g.step[1];
    a.on = row < p.m;
    return a;
}

/* Row p.m of a part is the bias's. */
template <class S, int VEC>
__device__ void write_part(const egi_cuda_conv_dw_args &p, int group, float *part, const sums<S> &acc)
{
    const uint32_t row0 = blockIdx.x * S::BM + tile_row<S>(), column = blockIdx.y * S::BN + threadIdx.x;
    if (blockIdx.x == 0 && threadIdx.x < S::BN && column < p.n)
        part[(int64_t)p.m * p.f + (int64_t)group * p.n + column] = acc.b;
#pragma unroll
    for (int j = 0; j < S::TN; j += VEC) {
        const int c = (int)blockIdx.y * S::BN + tile_column<S>(j / 4) + j % 4;
        if (c >= p.n)
            continue;
        float *to = part + (int64_t)group * p.n + c;
#pragma unroll
        for (int i = 0; i < S::TM; i++)
            if (row0 + i < p.m)
                eg_store<VEC>(to + (int64_t)(row0 + i) * p.f, &acc.of[i][j]);
    }
}

template <class S> __device__ void add_squares(sums<S> &to, const sums<S> &of)
{
    to.b = fmaf(of.b, of.b, to.b);
#pragma unroll
    for (int i = 0; i < S::TM; i++)
#pragma unroll
        for (int j = 0; j < S::TN; j++)
            to.of[i][j] = fmaf(of.of[i][j], of.of[i][j], to.of[i][j]);
}

/* Reads x once a tap and block of BN channels out, dz once a block of BM rows; writes a part once a split: blocks have
 * tiles of their own. Grid: tiles of rows, tiles of channels, groups times splits. Of squares, a split is
 * of whole samples, whose products are squared one by one. */
template <class S, int VEC, bool SQUARE> __device__ __forceinline__ void kernel_gradient(const egi_cuda_conv_dw_args &p)
{
    __shared__ tiles<S> t;
    const int group = (int)(blockIdx.z / p.splits), split = (int)(blockIdx.z % p.splits);
    const uint32_t from = min(p.pixels, p.each * split), to = min(p.pixels, p.each * (split + 1)),
                   unit = SQUARE ? p.sample : p.each;
    const int column = (int)blockIdx.y * S::BN + along_rows<S::BN, S::threads, VEC>::row();
    along_rows<S::BM, S::threads, VEC> a;
    along_rows<S::BN, S::threads, VEC> b;
    pixels from_a = pixels_of(p, group, blockIdx.x * S::BM + a.row());
    gradients from_b = {(p.dz ? p.dz : p.scratch) + (int64_t)group * p.n + column, 0, p.f, column < p.n};
    sums<S> acc, squares;
    acc.clear();
    if (SQUARE)
        squares.clear();
    for (uint32_t k = from; k < to; k += unit) {
        from_a.end = from_b.end = min(to, k + unit);
        multiply<S>(t, a, from_a, b, from_b, k, from_a.end, blockIdx.x == 0, SQUARE ? 0 : p.precision, acc);
        if (SQUARE) {
            add_squares<S>(squares, acc);
            acc.clear();
        }
    }
    write_part<S, VEC>(p, group, p.scratch + p.parts + (int64_t)split * (p.m + 1) * p.f, SQUARE ? squares : acc);
}

#define KERNEL_GRADIENT(name, shape_, vec, square)                                                        \
    extern "C" __global__ void __launch_bounds__(shape_::threads) eg_conv_##name(egi_cuda_conv_dw_args p) \
    {                                                                                                     \
        kernel_gradient<shape_, vec, square>(p);                                                          \
    }
KERNEL_GRADIENT(dw_large4, large, 4, false)
KERNEL_GRADIENT(dw_medium, medium, 1, false)
KERNEL_GRADIENT(dw_medium4, medium, 4, false)
KERNEL_GRADIENT(dw_narrow, narrow_w, 1, false)
KERNEL_GRADIENT(dw_narrow4, narrow_w, 4, false)
KERNEL_GRADIENT(square_medium, medium, 1, true)
KERNEL_GRADIENT(square_medium4, medium, 4, true)
KERNEL_GRADIENT(square_narrow, narrow_w, 1, true)
KERNEL_GRADIENT(square_narrow4, narrow_w, 4, true)

/* One thread an element: reads it in every part, writes it once. Parts are added in their order. */
extern "C" __global__ void eg_conv_add_parts(egi_cuda_parts_args p)
{
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.n; i += stride) {
        float *to = i < p.n_dw ? p.dw + i : p.db + (i - p.n_dw);
        double sum = p.add ? *to : 0;
        for (int split = 0; split < p.splits; split++)
            sum += p.scratch[p.parts + split * p.part + i];
        *to = (float)sum;
    }
}
