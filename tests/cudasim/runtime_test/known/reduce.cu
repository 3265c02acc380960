// Sums within warps and blocks: reduction, softmax, layer norm, cross-entropy, histogram, scan, compaction.
#include "known.h"

__device__ float warp_sum(float v)
{
    for (int step = 16; step > 0; step >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

__device__ float warp_max(float v)
{
    for (int step = 16; step > 0; step >>= 1)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}

/** Every thread of a block of up to 1024 gets the sum. */
__device__ float block_sum(float v)
{
    __shared__ float part[32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    v = warp_sum(v);
    if (lane == 0)
        part[warp] = v;
    __syncthreads();
    const float total = warp_sum(lane < warps ? part[lane] : 0.0f);
    __syncthreads();
    return total;
}

__device__ float block_max(float v)
{
    __shared__ float part[32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    v = warp_max(v);
    if (lane == 0)
        part[warp] = v;
    __syncthreads();
    const float most = warp_max(lane < warps ? part[lane] : -INFINITY);
    __syncthreads();
    return most;
}

__global__ void sum_with_atomics(const float *x, float *out, int n)
{
    float v = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        v += x[i];
    v = block_sum(v);
    if (threadIdx.x == 0)
        atomicAdd(out, v);
}

KNOWN(sum)
{
    const std::vector<float> x = numbers(100003);
    const Device<float> in(x), out(std::vector<float>(1, 0));
    sum_with_atomics<<<13, 256>>>(in.at, out.at, (int)x.size());
    double total = 0;
    for (float v : x)
        total += v;
    expect(out.get(), {total}, 1e-4); /* 1e5 terms of up to 1 that cancel */
}

/** The block that finishes last adds up what all left: no second kernel, always the same order. */
__global__ void sum_by_last_block(const float *x, float *part, unsigned *done, float *out, int n)
{
    __shared__ bool last;
    float v = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        v += x[i];
    v = block_sum(v);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = v;
        __threadfence();
        last = atomicAdd(done, 1u) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (!last)
        return;
    const float total = block_sum(threadIdx.x < gridDim.x ? ((volatile float *)part)[threadIdx.x] : 0.0f);
    if (threadIdx.x == 0)
        *out = total;
}

KNOWN(sum_by_last_block)
{
    const std::vector<float> x = numbers(5000);
    const Device<float> in(x), part(9), out(1);
    const Device<unsigned> done(std::vector<unsigned>(1, 0));
    sum_by_last_block<<<9, 128>>>(in.at, part.at, done.at, out.at, (int)x.size());
    double total = 0;
    for (float v : x)
        total += v;
    expect(out.get(), {total}, kSum);
}

__global__ void softmax(const float *x, float *y, int cols)
{
    const float *row = x + (size_t)blockIdx.x * cols;
    float *out = y + (size_t)blockIdx.x * cols;
    float most = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        most = fmaxf(most, row[i]);
    most = block_max(most);
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        sum += expf(row[i] - most);
    sum = block_sum(sum);
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        out[i] = expf(row[i] - most) / sum;
}

KNOWN(softmax)
{
    const int rows = 7, cols = 333;
    std::vector<float> x = numbers(rows * cols);
    for (float &v : x)
        v *= 8;
    const Device<float> in(x), out(x.size());
    softmax<<<rows, 128>>>(in.at, out.at, cols);
    std::vector<double> expected(x.size());
    for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < cols; c++)
            sum += std::exp((double)x[r * cols + c]);
        for (int c = 0; c < cols; c++)
            expected[r * cols + c] = std::exp((double)x[r * cols + c]) / sum;
    }
    expect(out.get(), expected, kFew);
}

__global__ void layer_norm(const float *x, const float *gain, const float *shift, float *y, int cols, float epsilon)
{
    const float *row = x + (size_t)blockIdx.x * cols;
    float *out = y + (size_t)blockIdx.x * cols;
    float sum = 0, squares = 0;
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        sum += row[i];
    const float mean = block_sum(sum) / cols;
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        squares += (row[i] - mean) * (row[i] - mean);
    const float scale = rsqrtf(block_sum(squares) / cols + epsilon);
    for (int i = threadIdx.x; i < cols; i += blockDim.x)
        out[i] = (row[i] - mean) * scale * gain[i] + shift[i];
}

KNOWN(layer_norm)
{
    const int rows = 5, cols = 301;
    const std::vector<float> x = numbers(rows * cols), g = numbers(cols, 2), b = numbers(cols, 3);
    const Device<float> in(x), gain(g), shift(b), out(x.size());
    layer_norm<<<rows, 96>>>(in.at, gain.at, shift.at, out.at, cols, 1e-5f);
    std::vector<double> expected(x.size());
    for (int r = 0; r < rows; r++) {
        double mean = 0, squares = 0;
        for (int c = 0; c < cols; c++)
            mean += x[r * cols + c] / (double)cols;
        for (int c = 0; c < cols; c++)
            squares += (x[r * cols + c] - mean) * (x[r * cols + c] - mean);
        for (int c = 0; c < cols; c++)
            expected[r * cols + c] = (x[r * cols + c] - mean) / std::sqrt(squares / cols + 1e-5) * g[c] + b[c];
    }
    expect(out.get(), expected, kSum);
}

/** A warp a row. */
__global__ void cross_entropy(const float *x, const int *label, float *slope, float *loss, int rows, int cols)
{
    const int row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31;
    if (row >= rows)
        return;
    const float *in = x + (size_t)row * cols;
    float most = -INFINITY, sum = 0;
    for (int i = lane; i < cols; i += 32)
        most = fmaxf(most, in[i]);
    most = warp_max(most);
    for (int i = lane; i < cols; i += 32)
        sum += expf(in[i] - most);
    sum = warp_sum(sum);
    for (int i = lane; i < cols; i += 32)
        slope[(size_t)row * cols + i] = expf(in[i] - most) / sum - (i == label[row] ? 1.0f : 0.0f);
    if (lane == 0)
        loss[row] = most + logf(sum) - in[label[row]];
}

KNOWN(cross_entropy)
{
    const int rows = 9, cols = 43;
    const std::vector<float> x = numbers(rows * cols);
    std::vector<int> label(rows);
    std::vector<double> slopes(x.size()), losses(rows);
    for (int r = 0; r < rows; r++) {
        label[r] = r * 5 % cols;
        double sum = 0;
        for (int c = 0; c < cols; c++)
            sum += std::exp((double)x[r * cols + c]);
        for (int c = 0; c < cols; c++)
            slopes[r * cols + c] = std::exp((double)x[r * cols + c]) / sum - (c == label[r]);
        losses[r] = std::log(sum) - x[r * cols + label[r]];
    }
    const Device<float> in(x), slope(x.size()), loss(rows);
    const Device<int> labels(label);
    cross_entropy<<<3, 96>>>(in.at, labels.at, slope.at, loss.at, rows, cols);
    expect(slope.get(), slopes, kFew);
    expect(loss.get(), losses, kFew);
}

__global__ void histogram(const unsigned char *x, int n, unsigned *bins)
{
    __shared__ unsigned own[256];
    own[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&own[x[i]], 1u);
    __syncthreads();
    if (own[threadIdx.x])
        atomicAdd(&bins[threadIdx.x], own[threadIdx.x]);
}

KNOWN(histogram)
{
    std::vector<unsigned char> x(20011);
    std::vector<double> expected(256);
    for (size_t i = 0; i < x.size(); i++)
        expected[x[i] = (unsigned char)(i * i >> 5)]++;
    const Device<unsigned char> in(x);
    const Device<unsigned> bins(std::vector<unsigned>(256, 0));
    histogram<<<5, 256>>>(in.at, (int)x.size(), bins.at);
    expect(bins.get(), expected, 0);
}

__global__ void scan(const int *x, int *y)
{
    extern __shared__ int s[];
    const int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int step = 1; step < (int)blockDim.x; step <<= 1) {
        const int v = t >= step ? s[t - step] : 0;
        __syncthreads();
        s[t] += v;
        __syncthreads();
    }
    y[t] = s[t];
}

KNOWN(scan)
{
    std::vector<int> x(200);
    std::vector<double> expected(200);
    double sum = 0;
    for (int i = 0; i < 200; i++)
        expected[i] = sum += x[i] = i * 7 % 13 - 5;
    const Device<int> in(x), out(200);
    scan<<<1, 200, 200 * sizeof(int)>>>(in.at, out.at);
    expect(out.get(), expected, 0);
}

/** Keeps odd numbers; their order among warps is not fixed. */
__global__ void compact(const int *x, int *kept, int *count, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31;
    const bool keep = i < n && (x[i] & 1);
    const unsigned votes = __ballot_sync(0xffffffffu, keep);
    int base = 0;
    if (lane == 0 && votes)
        base = atomicAdd(count, __popc(votes));
    base = __shfl_sync(0xffffffffu, base, 0);
    if (keep)
        kept[base + __popc(votes & ((1u << lane) - 1))] = x[i];
}

KNOWN(compaction)
{
    std::vector<int> x(1000);
    double count = 0, sum = 0, got = 0;
    for (int i = 0; i < 1000; i++) {
        x[i] = i * 37 % 1001;
        count += x[i] & 1;
        sum += x[i] & 1 ? x[i] : 0;
    }
    const Device<int> in(x), kept(std::vector<int>(1000, 0)), counted(std::vector<int>(1, 0));
    compact<<<4, 256>>>(in.at, kept.at, counted.at, 1000);
    for (int v : kept.get())
        got += v;
    expect(counted.get(), {count}, 0);
    expect(std::vector<double>{got}, {sum}, 0);
}
