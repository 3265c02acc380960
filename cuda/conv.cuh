/* cuda/conv.cuh: products whose left side is made of an image's pixels while it is read (implicit GEMM). A block
 * computes a tile of BM x BN, a thread TM x TN of it; both sides go through shared memory, BK deep, in two buffers:
 * while one is used the next one's values are on their way into registers. */
#ifndef EGI_CUDA_CONV_CUH
#define EGI_CUDA_CONV_CUH

#include "cuda/pixels.cuh"
#include "cuda/precision.cuh"

#define BK  16
#define FAR (-(1 << 30)) /* a coordinate that no step brings inside */

template <int BM_, int BN_, int TM_, int TN_> struct shape {
    static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_, threads = BM / TM * (BN / TN),
                         resident = 512 / threads; /* blocks of a multiprocessor, at least */
};
typedef shape<128, 128, 8, 8> large;  /* 256 threads */
typedef shape<64, 64, 8, 4> medium;   /* 128 threads */
typedef shape<128, 16, 8, 4> narrow;  /* 64 threads */
typedef shape<64, 16, 4, 4> narrow_w; /* 64 threads: for gradients to weights */

template <class S> struct tiles {
    float a[2][BK][S::BM + 4], b[2][BK][S::BN + 4]; /* 4 more: rows stay aligned, columns fall into other banks */
};

template <int N, int VEC> __device__ __forceinline__ void eg_round_all(float (&v)[N][VEC], int precision)
{
    if (precision == EGI_PRECISION_F32)
        return;
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int j = 0; j < VEC; j++)
            v[i][j] = eg_rounded(v[i][j], precision);
}

/* A side whose memory runs along k: a thread reads one k of every few rows. */
template <int ROWS, int THREADS, int VEC> struct along_k {
    static constexpr int across = BK / VEC, step = THREADS / across, passes = ROWS / step;
    float v[passes][VEC];

    template <class F> __device__ void fetch(F &from, uint32_t k)
    {
        from.at_k(k + threadIdx.x % across * VEC);
#pragma unroll
        for (int i = 0; i < passes; i++)
            from.template row<VEC>(v[i], threadIdx.x / across + i * step);
    }

    __device__ void store(float (*tile)[ROWS + 4], int precision)
    {
        eg_round_all<passes, VEC>(v, precision);
#pragma unroll
        for (int i = 0; i < passes; i++)
#pragma unroll
            for (int j = 0; j < VEC; j++)
                tile[threadIdx.x % across * VEC + j][threadIdx.x / across + i * step] = v[i][j];
    }
};

/* A side whose memory runs along its rows: a thread reads one row of every few k. */
template <int ROWS, int THREADS, int VEC> struct along_rows {
    static constexpr int across = ROWS / VEC, step = THREADS / across, passes = BK / step;
    float v[passes][VEC];

    template <class F> __device__ void fetch(F &from, uint32_t k)
    {
#pragma unroll
        for (int i = 0; i < passes; i++)
            from.template at<VEC>(v[i], k + threadIdx.x / across + i * step);
    }

    __device__ void store(float (*tile)[ROWS + 4], int precision)
    {
        eg_round_all<passes, VEC>(v, precision);
#pragma unroll
        for (int i = 0; i < passes; i++)
            eg_store_shared<VEC>(&tile[threadIdx.x / across + i * step][threadIdx.x % across * VEC], v[i]);
    }

    static __device__ int row()
    {
        return threadIdx.x % across * VEC;
    }
};

/* The thread's place in the tile: rows [row, row + TM), and TN columns in groups of 4 that lie `apart`, so that a
 * warp reads b's banks without conflict. */
template <class S> __device__ __forceinline__ int tile_row()
{
    return threadIdx.x / (S::BN / S::TN) * S::TM;
}
template <class S> __device__ __forceinline__ int tile_column(int group)
{
    return threadIdx.x % (S::BN / S::TN) * 4 + group * (S::BN / (S::TN / 4));
}

template <class S> struct sums {
    float of[S::TM][S::TN];
    float b; /* of column threadIdx.x of the right side alone, where it is asked for */

    __device__ void clear()
    {
        b = 0;
#pragma unroll
        for (int i = 0; i < S::TM; i++)
#pragma unroll
            for (int j = 0; j < S::TN; j++)
                of[i][j] = 0;
    }
};

template <class S>
__device__ __forceinline__ void accumulate(const float (*a)[S::BM + 4], const float (*b)[S::BN + 4], sums<S> &acc)
{
#pragma unroll
    for (int k = 0; k < BK; k++) {
        float x[S::TM], y[S::TN];
#pragma unroll
        for (int i = 0; i < S::TM; i += 4)
            eg_load<4>(x + i, &a[k][tile_row<S>() + i]);
#pragma unroll
        for (int j = 0; j < S::TN; j += 4)
            eg_load<4>(y + j, &b[k][tile_column<S>(j / 4)]);
#pragma unroll
        for (int i = 0; i < S::TM; i++)
#pragma unroll
            for (int j = 0; j < S::TN; j++)
                acc.of[i][j] = fmaf(x[i], y[j], acc.of[i][j]);
    }
}

template <class S> __device__ __forceinline__ float sum_of_column(const float (*b)[S::BN + 4])
{
    float sum = 0;
    for (int k = 0; k < BK && threadIdx.x < S::BN; k++)
        sum += b[k][threadIdx.x];
    return sum;
}

/* acc += a[.., from..to) * b[from..to, ..). A buffer is written while the other one is read; the barrier between lets
 * no thread be a step ahead. Ends with all threads past their reads. */
template <class S, class A, class FA, class B, class FB>
__device__ __forceinline__ void multiply(tiles<S> &t, A &a, FA &from_a, B &b, FB &from_b, uint32_t from, uint32_t to,
                                         bool sum_b, int precision, sums<S> &acc)
{
    int at = 0;
    if (from >= to)
        return;
    a.fetch(from_a, from), b.fetch(from_b, from);
    a.store(t.a[0], precision), b.store(t.b[0], precision);
    __syncthreads();
    for (uint32_t k = from; k < to; k += BK) {
        const bool more = to - k > BK;
        if (more)
            a.fetch(from_a, k + BK), b.fetch(from_b, k + BK);
        accumulate<S>(t.a[at], t.b[at], acc);
        if (sum_b)
            acc.b += sum_of_column<S>(t.b[at]);
        at ^= 1;
        if (more)
            a.store(t.a[at], precision), b.store(t.b[at], precision);
        __syncthreads();
    }
}

/* An output pixel's place in the image: where tap 0 reads. */
struct place {
    int32_t r, s;
    int64_t base; /* where its sample begins */
    int64_t out;  /* where its result goes; -1: nowhere */
};

__device__ __forceinline__ bool eg_inside(const egi_cuda_gather &g, int r, int s)
{
    return (uint32_t)r < (uint32_t)g.size[0] && (uint32_t)s < (uint32_t)g.size[1];
}

__device__ __forceinline__ place eg_place(const egi_cuda_gather &g, eg_pixel p, int64_t out)
{
    return {p.i * g.scale[0] + g.origin[0], p.j * g.scale[1] + g.origin[1], p.n * g.sample, out};
}

__device__ __forceinline__ place eg_nowhere()
{
    return {FAR, FAR, 0, -1};
}

/* The left side of a convolution: rows are pixels, of a table in shared memory; k counts taps, channels within. */
struct patches {
    const egi_cuda_gather &g;
    const place *table;
    uint32_t end;
    int first, columns; /* channel of the group; taps in a row */
    int dr, ds, c;
    bool on;

    __device__ void at_k(uint32_t k)
    {
        const uint32_t tap = eg_divide(g.channels, k);
        on = k < end;
        c = first + (int)(k - tap * g.channels.by);
        dr = (int)(tap / columns) * g.step[0];
        ds = (int)(tap % columns) * g.step[1];
    }

    template <int VEC> __device__ void row(float *to, int row)
    {
        const int r = table[row].r + dr, s = table[row].s + ds;
        const int64_t at = table[row].base + (int64_t)(r * g.size[1] + s) * g.width + c;
        eg_load<VEC>(to, g.x + at, on && eg_inside(g, r, s));
    }
};

#endif
