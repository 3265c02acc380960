/* Products in f32 on the plain units: a block computes a tile of c, a thread a few rows and columns of it in registers.
 *
 * Panels of a and b, `depth` of k at a time, go through shared memory twice buffered: while one is multiplied, the next
 * is on its way in registers. A panel is written to the buffer that nobody reads since the last barrier, so one barrier
 * a panel is enough. An element of c, or of one part of it, belongs to one thread.
 *
 * Traffic: a is read once per column of tiles, b once per row of tiles, c written once: 128 x 128 tiles do 32
 * multiply-adds for each float they load, 32 x 32 tiles 8 (mostly from the second-level cache). */
#include "cuda/act.cuh"
#include "cuda/gemm.h"
#include "cuda/precision.cuh"
#include "cuda/vectors.cuh"

/* A warp is 4 x 8 threads; a thread has `own_rows` x `own_columns` elements, in quads that lie a share of the tile
 * apart, so that a warp's reads of shared memory are wide and without conflicts. */
struct Large {
    static constexpr int rows = 128, columns = 128, depth = 8, own_rows = 8, own_columns = 8, warps_across = 2;
    static constexpr int threads = 256, blocks = 2;
};

struct Small {
    static constexpr int rows = 32, columns = 32, depth = 16, own_rows = 4, own_columns = 4, warps_across = 1;
    static constexpr int threads = 64, blocks = 8;
};

/* A thread's share of a panel: `width` (rows of a, columns of b) times `depth` of k. ALONG: k is what lies side by side
 * in memory, and the panel is turned on its way. */
template <int width, int depth, int threads, bool ALONG> struct Panel {
    static constexpr int pitch = width + 4, count = width * depth / 4 / threads;
    static constexpr int quads_a_row = (ALONG ? depth : width) / 4, rows_apart = threads / quads_a_row;
    float4 held[count];
    const float *from;    /* this thread's first quad in the panel that is loaded next */
    int64_t step, apart;  /* from a panel to the next, from one of its quads to the next */
    int row, column, end; /* where the first quad lies in the panel; how much of the width there is */
    bool quads;

    /* x: the matrix with rows of `pitch_x`; the panel begins at `at_width` of `whole_width`, and at `at_k`. */
    __device__ __forceinline__ Panel(const float *x, int64_t pitch_x, bool quads, int64_t at_width, int64_t whole_width,
                                     int64_t at_k)
        : quads(quads)
    {
        row = (int)threadIdx.x / quads_a_row;
        column = (int)threadIdx.x % quads_a_row * 4;
        end = (int)(whole_width - at_width < width ? whole_width - at_width : width);
        from = x + ((ALONG ? at_width : at_k) + row) * pitch_x + (ALONG ? at_k : at_width) + column;
        step = ALONG ? depth : depth * pitch_x;
        apart = rows_apart * pitch_x;
    }

    /* `left`: how much of k there still is; zeros beyond. */
    __device__ __forceinline__ void load(int left)
    {
        const int rows = ALONG ? end : left, columns = ALONG ? left : end;
#pragma unroll
        for (int i = 0; i < count; i++) {
            const float *at = from + i * apart;
            held[i] = make_float4(0, 0, 0, 0);
            if (row + i * rows_apart >= rows)
                continue;
            if (quads && column + 3 < columns) {
                held[i] = __ldg((const float4 *)at);
                continue;
            }
            if (column < columns)
                held[i].x = __ldg(at);
            if (column + 1 < columns)
                held[i].y = __ldg(at + 1);
            if (column + 2 < columns)
                held[i].z = __ldg(at + 2);
            if (column + 3 < columns)
                held[i].w = __ldg(at + 3);
        }
        from += step;
    }

    template <bool SQUARE> __device__ __forceinline__ void store(float (*to)[pitch], int precision) const
    {
#pragma unroll
        for (int i = 0; i < count; i++) {
            const int r = row + i * rows_apart;
            float4 v = held[i];
            if (SQUARE)
                v = make_float4(v.x * v.x, v.y * v.y, v.z * v.z, v.w * v.w);
            else if (precision)
                v = make_float4(eg_rounded(v.x, precision), eg_rounded(v.y, precision), eg_rounded(v.z, precision),
                                eg_rounded(v.w, precision));
            if (ALONG) {
                to[column][r] = v.x;
                to[column + 1][r] = v.y;
                to[column + 2][r] = v.z;
                to[column + 3][r] = v.w;
            } else {
                *(float4 *)&to[r][column] = v;
            }
        }
    }
};

template <int count, int share> __device__ __forceinline__ void fetch(float (&to)[count], const float *from)
{
#pragma unroll
    for (int i = 0; i < count; i += 4) {
        const float4 v = *(const float4 *)(from + i / 4 * share);
        to[i] = v.x;
        to[i + 1] = v.y;
        to[i + 2] = v.z;
        to[i + 3] = v.w;
    }
}

/* An element of c from its sum over k: the bias, what c held, the activation. */
__device__ __forceinline__ float finish(const egi_cuda_gemm_args &p, float sum, float held, int64_t column)
{
    if (p.bias)
        sum += __ldg(p.bias + column);
    return eg_act_fused(p.act, p.alpha, sum + held);
}

/* Four elements of one row, to c or to this block's part of it. */
__device__ __forceinline__ void put(const egi_cuda_gemm_args &p, int64_t row, int64_t column, float (&sums)[4])
{
    const int64_t at = row * p.n + column;
    float *to = p.parts ? p.parts + (int64_t)blockIdx.z * p.m * p.n + at : p.c + at;
    const bool quad = p.quads_c && column + 3 < p.n, adds = p.accumulate && !p.parts;
    float held[4] = {};
    if (row >= p.m)
        return;
    if (adds && quad)
        eg_load<4>(held, to);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if (p.parts || column + j >= p.n)
            continue;
        if (adds && !quad)
            held[j] = to[j];
        sums[j] = finish(p, sums[j], held[j], column + j);
    }
    if (quad) {
        eg_store<4>(to, sums);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (column + j < p.n)
            to[j] = sums[j];
}

/* Rows rotate through the first one: the loop stays a loop, and the activation's code stands once and not once an
 * element. */
template <class Tile>
__device__ __forceinline__ void put_all(const egi_cuda_gemm_args &p, int64_t row, int64_t column,
                                        float (&sums)[Tile::own_rows][Tile::own_columns])
{
    constexpr int row_share = Tile::rows * 4 / Tile::own_rows, column_share = Tile::columns * 4 / Tile::own_columns;
#pragma unroll 1
    for (int i = 0; i < Tile::own_rows; i++) {
#pragma unroll
        for (int j = 0; j < Tile::own_columns; j += 4) {
            float quad[4] = {sums[0][j], sums[0][j + 1], sums[0][j + 2], sums[0][j + 3]};
            put(p, row + i / 4 * row_share + i % 4, column + j / 4 * column_share, quad);
        }
#pragma unroll
        for (int r = 0; r + 1 < Tile::own_rows; r++)
#pragma unroll
            for (int j = 0; j < Tile::own_columns; j++)
                sums[r][j] = sums[r + 1][j];
    }
}

template <int depth> __device__ __forceinline__ int first(int64_t left)
{
    return (int)(left < depth ? left : depth);
}

template <class Tile, bool TA, bool TB, bool SQUARE>
__device__ __forceinline__ void product(const egi_cuda_gemm_args &p)
{
    constexpr int row_share = Tile::rows * 4 / Tile::own_rows, column_share = Tile::columns * 4 / Tile::own_columns;
    using A = Panel<Tile::rows, Tile::depth, Tile::threads, !TA>;
    using B = Panel<Tile::columns, Tile::depth, Tile::threads, TB>;
    __shared__ __align__(16) float as[2][Tile::depth][A::pitch], bs[2][Tile::depth][B::pitch];

    const unsigned across = (unsigned)((p.n + Tile::columns - 1) / Tile::columns);
    const int64_t row = (int64_t)(blockIdx.x / across) * Tile::rows;
    const int64_t column = (int64_t)(blockIdx.x % across) * Tile::columns;
    const int64_t begin = (int64_t)blockIdx.z * p.chunk;
    int64_t left = p.k - begin < p.chunk ? p.k - begin : p.chunk;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int own_row = (warp / Tile::warps_across * 4 + lane / 8) * 4;
    const int own_column = (warp % Tile::warps_across * 8 + lane % 8) * 4;

    float sums[Tile::own_rows][Tile::own_columns] = {};
    A a(p.a, TA ? p.m : p.k, p.quads_a, row, p.m, begin);
    B b(p.b, TB ? p.k : p.n, p.quads_b, column, p.n, begin);
    a.load(first<Tile::depth>(left));
    b.load(first<Tile::depth>(left));
    a.template store<SQUARE>(as[0], p.precision);
    b.template store<SQUARE>(bs[0], p.precision);
    __syncthreads();
    int side = 0;
    for (; left > 0; left -= Tile::depth) {
        const bool more = left > Tile::depth;
        if (more) {
            a.load(first<Tile::depth>(left - Tile::depth));
            b.load(first<Tile::depth>(left - Tile::depth));
        }
#pragma unroll 2 /* more would spill */
        for (int d = 0; d < Tile::depth; d++) {
            float x[Tile::own_rows], y[Tile::own_columns];
            fetch<Tile::own_rows, row_share>(x, &as[side][d][own_row]);
            fetch<Tile::own_columns, column_share>(y, &bs[side][d][own_column]);
#pragma unroll
            for (int i = 0; i < Tile::own_rows; i++)
#pragma unroll
                for (int j = 0; j < Tile::own_columns; j++)
                    sums[i][j] += x[i] * y[j];
        }
        if (more) {
            side ^= 1;
            a.template store<SQUARE>(as[side], p.precision);
            b.template store<SQUARE>(bs[side], p.precision);
            __syncthreads();
        }
    }
    put_all<Tile>(p, row + own_row, column + own_column, sums);
}

#define PRODUCT(name, Tile, ...)                                                                         \
    extern "C" __global__ void __launch_bounds__(Tile::threads, Tile::blocks) name(egi_cuda_gemm_args p) \
    {                                                                                                    \
        product<Tile, __VA_ARGS__>(p);                                                                   \
    }

PRODUCT(eg_gemm_nn_large, Large, false, false, false)
PRODUCT(eg_gemm_nt_large, Large, false, true, false)
PRODUCT(eg_gemm_tn_large, Large, true, false, false)
PRODUCT(eg_gemm_tt_large, Large, true, true, false)
PRODUCT(eg_gemm_nn_small, Small, false, false, false)
PRODUCT(eg_gemm_nt_small, Small, false, true, false)
PRODUCT(eg_gemm_tn_small, Small, true, false, false)
PRODUCT(eg_gemm_tt_small, Small, true, true, false)

/* f += (a^2)' (d^2): squared on the way to shared memory. */
PRODUCT(eg_square_gemm_large, Large, true, false, true)
PRODUCT(eg_square_gemm_small, Small, true, false, true)

/* The parts added up in their order: 4 bytes an element and part, and c. One element, one thread. */
extern "C" __global__ void eg_gemm_join(egi_cuda_gemm_args p)
{
    const int64_t count = p.m * p.n;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x) {
        float sum = 0;
#pragma unroll 8
        for (int s = 0; s < p.splits; s++)
            sum += p.parts[s * count + i];
        p.c[i] = finish(p, sum, p.accumulate ? p.c[i] : 0, i % p.n);
    }
}
