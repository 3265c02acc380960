/* A training step of a small chain of dense layers in two launches. eg_mlp_<R>: a block takes R rows of the batch
 * through all layers, the loss and back, its activations in shared memory, and leaves y and dz of each layer in
 * scratch. eg_mlp_grads: dw = y' dz of all layers, and the loss' sum.
 *
 * Gradients are made of whole products, not of one partial gradient a block: y and dz of a row are hundreds of numbers,
 * where a partial gradient would be as large as the parameters. So a block may have few rows, and there are many. */
#include "cuda/mlp.h"

#include "cuda/act.cuh"
#include "cuda/xent.cuh"

#define CHUNK (4 * EGI_MLP_BLOCK) /* of the input's columns, in shared memory at a time */

/* Four neighbours, of which there are `left`; zeros beyond. QUADS: there are four or none, at a multiple of 16 bytes.
 */
template <bool QUADS> __device__ __forceinline__ float4 quad(const float *from, int left)
{
    float4 v = make_float4(0, 0, 0, 0);
    if (QUADS)
        return left > 0 ? __ldg((const float4 *)from) : v;
    if (left > 0)
        v.x = __ldg(from);
    if (left > 1)
        v.y = __ldg(from + 1);
    if (left > 2)
        v.z = __ldg(from + 2);
    if (left > 3)
        v.w = __ldg(from + 3);
    return v;
}

__device__ __forceinline__ void add(float4 &sum, float x, const float4 &v)
{
    sum.x += x * v.x;
    sum.y += x * v.y;
    sum.z += x * v.z;
    sum.w += x * v.w;
}

/* --- rows: forward, loss, backward -------------------------------------------------------------------------------- */

/* The block's rows, from `row` on. Shared memory: `area`, R rows of CHUNK: a part of the input, or sums of slices;
 * then, for each layer, R rows of its outputs, which become their gradients. */
template <int R> struct Rows {
    const egi_cuda_mlp_args &p;
    float *area, *outputs;
    int64_t row;

    __device__ __forceinline__ float *of(const egi_cuda_mlp_layer &l) const
    {
        return outputs + R * l.at;
    }

    /* Keeps element k of row r, for the gradients. */
    __device__ __forceinline__ void keep(int64_t at, const egi_cuda_mlp_layer &l, int r, int k, float value) const
    {
        if (row + r < p.xent.rows)
            p.scratch[at + (row + r) * l.pitch + k] = value;
    }

    /* Columns [begin, begin + count) of the input, zeros beyond the last row and up to the next four. */
    __device__ __forceinline__ void load(int begin, int count) const
    {
        const int in = p.layer[0].in, width = (count + 3) / 4 * 4;
        for (int r = 0; r < R; r++)
            for (int k = threadIdx.x; k < width; k += EGI_MLP_BLOCK)
                area[r * CHUNK + k] = row + r < p.xent.rows && k < count ? __ldg(p.x + (row + r) * in + begin + k) : 0;
    }

    /* sums += x w over this thread's slice of k, for its four columns. x: rows `pitch` apart; w: from the first k on.
     */
    template <bool QUADS>
    __device__ __forceinline__ void multiply(float4 (&sums)[R], const egi_cuda_mlp_layer &l, const float *x, int pitch,
                                             const float *w, int count, int slice, int column) const
    {
        const int step = 4 * l.slices, out = l.out;
        const float *from = w + (int64_t)(4 * slice) * out + column;
#pragma unroll 2
        for (int k = 4 * slice; k < count; k += step, from += (int64_t)step * out) {
            float4 v[4];
#pragma unroll
            for (int u = 0; u < 4; u++)
                v[u] = quad<QUADS>(from + u * out, k + u < count ? out - column : 0);
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float4 q = *(const float4 *)(x + r * pitch + k);
                add(sums[r], q.x, v[0]);
                add(sums[r], q.y, v[1]);
                add(sums[r], q.z, v[2]);
                add(sums[r], q.w, v[3]);
            }
        }
    }

    /* y = act(x w + b): threads are slices of k by quads of columns; slices are added in their order. The first layer's
     * input comes to `area` chunk by chunk; the others' is one chunk, and there. */
    __device__ __forceinline__ void forward(int index) const
    {
        const egi_cuda_mlp_layer &l = p.layer[index];
        const int across = l.pitch / 4, slice = threadIdx.x / across, column = threadIdx.x % across * 4;
        const bool works = slice < l.slices;
        const float *x = index ? of(p.layer[index - 1]) : area;
        const int pitch = index ? p.layer[index - 1].pitch : CHUNK;
        float4 sums[R];
        for (int r = 0; r < R; r++)
            sums[r] = make_float4(0, 0, 0, 0);
        for (int begin = 0; begin < l.in; begin += CHUNK) {
            const float *w = l.w + (int64_t)begin * l.out;
            const int count = min(CHUNK, l.in - begin);
            if (index == 0)
                load(begin, count);
            __syncthreads();
            if (works && l.quads)
                multiply<true>(sums, l, x, pitch, w, count, slice, column);
            else if (works)
                multiply<false>(sums, l, x, pitch, w, count, slice, column);
            __syncthreads();
        }
        for (int r = 0; r < R && works; r++)
            *(float4 *)(area + r * CHUNK + slice * l.pitch + column) = sums[r];
        __syncthreads();
        for (int i = threadIdx.x; i < R * l.pitch; i += EGI_MLP_BLOCK)
            finish(index, i / l.pitch, i % l.pitch);
        __syncthreads();
    }

    __device__ __forceinline__ void finish(int index, int r, int j) const
    {
        const egi_cuda_mlp_layer &l = p.layer[index];
        float y = 0;
        if (j < l.out) {
            y = l.b ? __ldg(l.b + j) : 0;
            for (int s = 0; s < l.slices; s++)
                y += area[r * CHUNK + s * l.pitch + j];
            y = eg_act_fused(l.act, l.alpha, y);
            if (index + 1 < p.layers)
                keep(l.y, l, r, j, y);
        }
        of(l)[r * l.pitch + j] = y;
    }

    /* A warp a row. The reductions have the barriers that part dz from what reads it. */
    __device__ __forceinline__ void compare() const
    {
        const egi_cuda_mlp_layer &l = p.layer[p.layers - 1];
        const int r = (int)threadIdx.x / 32;
        const eg_rows mine = {32, (int)threadIdx.x % 32, r < R ? row + r : p.xent.rows, 0};
        float *z = of(l) + r * l.pitch;
        double loss = 0, correct = 0;
        eg_xent_row(p.xent, mine, z, loss, correct, r < R, [&](int64_t k, float dy) {
            z[k] = dy * eg_act_fused_slope(l.act, l.alpha, z[k]);
            keep(l.dz, l, r, (int)k, z[k]);
        });
        loss = eg_rows_reduce(loss, EGI_MLP_BLOCK, eg_sum());
        correct = eg_rows_reduce(correct, EGI_MLP_BLOCK, eg_sum());
        if (threadIdx.x == 0) {
            double *partial = (double *)p.scratch + 2 * blockIdx.x;
            partial[0] = loss;
            partial[1] = correct;
        }
    }

    /* sums = dz w' for row k of w, over every eighth quad of it from this thread's on. */
    template <bool QUADS>
    __device__ __forceinline__ void multiply_back(float (&sums)[R], const egi_cuda_mlp_layer &l, int k, int lane) const
    {
        const float *w = l.w + (int64_t)k * l.out, *dz = of(l);
#pragma unroll 2
        for (int j = 4 * lane; j < l.out; j += 32) {
            const float4 v = quad<QUADS>(w + j, l.out - j);
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float4 d = *(const float4 *)(dz + r * l.pitch + j);
                sums[r] += d.x * v.x;
                sums[r] += d.y * v.y;
                sums[r] += d.z * v.z;
                sums[r] += d.w * v.w;
            }
        }
    }

    /* y of the layer below becomes its dz = (dz w') act'(y): eight threads share a row of w, and each element of y is
     * read and written by one of them. */
    __device__ __forceinline__ void backward(int index) const
    {
        const egi_cuda_mlp_layer &l = p.layer[index], &below = p.layer[index - 1];
        const int lane = threadIdx.x % 8;
        for (int first = 0; first < l.in; first += EGI_MLP_BLOCK / 8) {
            const int k = first + (int)threadIdx.x / 8;
            float sums[R] = {};
            if (k < l.in && l.quads)
                multiply_back<true>(sums, l, k, lane);
            else if (k < l.in)
                multiply_back<false>(sums, l, k, lane);
            float mine = 0; /* the sum of row `lane` */
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float dy = eg_rows_reduce(sums[r], 8, eg_sum());
                mine = lane == r ? dy : mine;
            }
            if (lane >= R || k >= l.in)
                continue;
            float *y = of(below) + lane * below.pitch + k;
            *y = mine * eg_act_fused_slope(below.act, below.alpha, *y);
            keep(below.dz, below, lane, k, *y);
        }
        __syncthreads();
    }
};

/* R rows a block. Each reads all of w from the cache, once forward and, but that of the first layer, once backward: 4
 * bytes for R multiply-adds; x once, and it writes y and dz once. 784-100-100-10: 0.4 MB a block, which at 64 bytes a
 * clock are 3.6 us on an H100, by count, not by measurement. No race: barriers part the writing of shared memory from
 * its reading; scratch is written by row, and rows are a block's own. */
template <int R> __device__ __forceinline__ void step(const egi_cuda_mlp_args &p)
{
    extern __shared__ __align__(16) float memory[];
    const Rows<R> rows = {p, memory, memory + R * CHUNK, (int64_t)blockIdx.x * R};
    for (int l = 0; l < p.layers; l++)
        rows.forward(l);
    rows.compare();
    for (int l = p.layers - 1; l > 0; l--)
        rows.backward(l);
}

extern "C" __global__ void __launch_bounds__(EGI_MLP_BLOCK, 2) eg_mlp_4(const __grid_constant__ egi_cuda_mlp_args p)
{
    step<4>(p);
}

extern "C" __global__ void __launch_bounds__(EGI_MLP_BLOCK, 2) eg_mlp_8(const __grid_constant__ egi_cuda_mlp_args p)
{
    step<8>(p);
}

/* --- gradients of the parameters ---------------------------------------------------------------------------------- */

#define GROUPS (EGI_MLP_BLOCK / 64) /* of threads, which share the examples of a panel */

/* Loss and correct: the first kernel's blocks in an order that their number alone decides. */
__device__ __forceinline__ void sum_losses(const egi_cuda_mlp_args &p)
{
    const double *partials = (const double *)p.scratch;
    double loss = 0, correct = 0;
    for (int i = threadIdx.x; i < p.blocks; i += EGI_MLP_BLOCK) {
        loss += partials[2 * i];
        correct += partials[2 * i + 1];
    }
    loss = eg_rows_reduce(loss, EGI_MLP_BLOCK, eg_sum());
    correct = eg_rows_reduce(correct, EGI_MLP_BLOCK, eg_sum());
    if (threadIdx.x > 0)
        return;
    *p.loss = (float)loss;
    if (p.correct)
        *p.correct = (float)correct;
}

/* Four columns of the first `left`, read at once where they are all there. Pitches are multiples of four. */
__device__ __forceinline__ float4 columns_of(const float *from, int left, bool quads)
{
    return quads && left > 3 ? quad<true>(from, left) : quad<false>(from, left);
}

/* What a layer multiplies w by: its input, and then a column of ones, for b. */
struct Input {
    const float *y;
    int pitch, width;
    bool quads;

    __device__ __forceinline__ float4 at(int64_t row, int column) const
    {
        float4 v = columns_of(y + row * pitch + column, width - column, quads);
        const int ones = width - column;
        if (ones == 0)
            v.x = 1;
        if (ones == 1)
            v.y = 1;
        if (ones == 2)
            v.z = 1;
        if (ones == 3)
            v.w = 1;
        return v;
    }
};

__device__ __forceinline__ Input input_of(const egi_cuda_mlp_args &p, int layer)
{
    if (layer == 0)
        return {p.x, p.layer[0].in, p.layer[0].in, p.quads_x != 0};
    return {p.scratch + p.layer[layer - 1].y, p.layer[layer - 1].pitch, p.layer[layer].in, true};
}

/* Four neighbours of row i of dw; row `in` is db. */
__device__ __forceinline__ void put(const egi_cuda_mlp_layer &l, int i, int column, const float4 &v)
{
    float *to = i < l.in ? l.dw + (int64_t)i * l.out : i == l.in ? l.db : NULL;
    if (!to)
        return;
    if (i < l.in && l.quads_dw && column < l.out) {
        *(float4 *)(to + column) = v;
        return;
    }
    if (column < l.out)
        to[column] = v.x;
    if (column + 1 < l.out)
        to[column + 1] = v.y;
    if (column + 2 < l.out)
        to[column + 2] = v.z;
    if (column + 3 < l.out)
        to[column + 3] = v.w;
}

/* A tile of dw and db of one layer a block: 32 x 32 sums over all rows, 64 at a time. A group of 64 threads has 16 of
 * them, a thread 4 x 4 sums; the groups' sums are added in their order. Reads y and dz of the batch once a tile, from
 * the cache: 8 bytes for 32 multiply-adds; writes dw once, 4 bytes an element. No race: a panel is written between two
 * barriers, and an element of dw is one thread's. */
extern "C" __global__ void __launch_bounds__(EGI_MLP_BLOCK) eg_mlp_grads(const __grid_constant__ egi_cuda_mlp_args p)
{
    __shared__ __align__(16) float panels[2][EGI_MLP_DEPTH][EGI_MLP_TILE];
    if ((int)blockIdx.x == p.grads) {
        sum_losses(p);
        return;
    }
    int layer = 0;
    while (layer + 1 < p.layers && (int)blockIdx.x >= p.layer[layer + 1].first)
        layer++;
    const egi_cuda_mlp_layer &l = p.layer[layer];
    const int across = (l.out + EGI_MLP_TILE - 1) / EGI_MLP_TILE, tile = (int)blockIdx.x - l.first;
    const int row = tile / across * EGI_MLP_TILE, column = tile % across * EGI_MLP_TILE;
    const int group = threadIdx.x / 64, own_row = threadIdx.x % 64 / 8 * 4, own_column = threadIdx.x % 8 * 4;
    const Input y = input_of(p, layer);
    const float *dz = p.scratch + l.dz + column + own_column;
    const int columns = l.out - column - own_column;
    float4 sums[4] = {};
    for (int64_t first = 0; first < p.xent.rows; first += EGI_MLP_DEPTH) {
        for (int d = threadIdx.x / 8; d < EGI_MLP_DEPTH; d += EGI_MLP_BLOCK / 8) {
            const bool is_row = first + d < p.xent.rows;
            const float4 zero = make_float4(0, 0, 0, 0);
            *(float4 *)&panels[0][d][own_column] = is_row ? y.at(first + d, row + own_column) : zero;
            *(float4 *)&panels[1][d][own_column] =
                is_row ? columns_of(dz + (first + d) * l.pitch, columns, true) : zero;
        }
        __syncthreads();
#pragma unroll 4
        for (int d = group * (EGI_MLP_DEPTH / GROUPS); d < (group + 1) * (EGI_MLP_DEPTH / GROUPS); d++) {
            const float4 a = *(const float4 *)&panels[0][d][own_row], b = *(const float4 *)&panels[1][d][own_column];
            add(sums[0], a.x, b);
            add(sums[1], a.y, b);
            add(sums[2], a.z, b);
            add(sums[3], a.w, b);
        }
        __syncthreads();
    }
    float(*parts)[EGI_MLP_TILE] = panels[0]; /* (GROUPS * TILE, TILE) */
    for (int i = 0; i < 4; i++)
        *(float4 *)&parts[group * EGI_MLP_TILE + own_row + i][own_column] = sums[i];
    __syncthreads();
    const int i = threadIdx.x / 8;
    float4 sum = make_float4(0, 0, 0, 0);
    for (int g = 0; g < GROUPS; g++)
        add(sum, 1, *(const float4 *)&parts[g * EGI_MLP_TILE + i][own_column]);
    put(l, row + i, column + own_column, sum);
}
