// One element a thread: arithmetic, vectors, functions of the math library, random numbers, an optimiser, variables.
#include "known.h"

__global__ void axpy(float a, const float4 *x, float4 *y, int n)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        const float4 u = x[i];
        float4 v = y[i];
        v.x += a * u.x;
        v.y += a * u.y;
        v.z += a * u.z;
        v.w += a * u.w;
        y[i] = v;
    }
}

KNOWN(axpy)
{
    const std::vector<float> x = numbers(2048), y = numbers(2048, 2);
    const Device<float> in(x), out(y);
    axpy<<<3, 128>>>(1.5f, (const float4 *)in.at, (float4 *)out.at, 512);
    std::vector<double> expected(2048);
    for (int i = 0; i < 2048; i++)
        expected[i] = 1.5 * x[i] + y[i];
    expect(out.get(), expected, kFew);
}

__global__ void functions(const float *x, float *y, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = erff(x[i]) + tanhf(x[i]) + logf(1 + fabsf(x[i])) + sinf(x[i]) + powf(fabsf(x[i]) + 0.1f, 1.5f);
}

KNOWN(functions)
{
    std::vector<float> x = numbers(500);
    std::vector<double> expected(x.size());
    for (size_t i = 0; i < x.size(); i++) {
        const double v = x[i] *= 5;
        expected[i] =
            std::erf(v) + std::tanh(v) + std::log(1 + std::fabs(v)) + std::sin(v) + std::pow(std::fabs(v) + 0.1, 1.5);
    }
    const Device<float> in(x), out(x.size());
    functions<<<2, 256>>>(in.at, out.at, (int)x.size());
    expect(out.get(), expected, 2e-6); /* CUDA's guide: up to two last bits each */
}

/** The counter-based generator Philox 4x32 with ten rounds. */
__host__ __device__ inline void philox(const uint32_t counter[4], uint32_t k0, uint32_t k1, uint32_t out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = counter[i];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * out[0], p1 = (uint64_t)0xCD9E8D57u * out[2];
        const uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ out[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ out[3] ^ k1,
                                  (uint32_t)p0};
        for (int i = 0; i < 4; i++)
            out[i] = next[i];
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

__global__ void random(uint32_t *out, uint32_t k0, uint32_t k1, uint32_t fill)
{
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t counter[4] = {fill ? fill : i, fill, fill, fill};
    philox(counter, k0, k1, out + 4 * i);
}

/** The known answers of the generator's authors (Random123, kat_vectors), and the host's for other counters. */
KNOWN(philox)
{
    const Device<uint32_t> out(4), many(4 * 64);
    random<<<1, 1>>>(out.at, 0, 0, 0);
    expect(out.get(), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, 0);
    random<<<1, 1>>>(out.at, 0xffffffff, 0xffffffff, 0xffffffff);
    expect(out.get(), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, 0);
    random<<<2, 32>>>(many.at, 17, 4, 0);
    std::vector<double> expected;
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t value[4];
        const uint32_t counter[4] = {i, 0, 0, 0};
        philox(counter, 17, 4, value);
        expected.insert(expected.end(), value, value + 4);
    }
    expect(many.get(), expected, 0);
}

__global__ void adam(float *w, const float *g, float *m, float *v, int n, float rate, float c1, float c2)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    m[i] = 0.9f * m[i] + 0.1f * g[i];
    v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
    w[i] -= rate * (m[i] / c1) / (sqrtf(v[i] / c2) + 1e-8f);
}

KNOWN(adam)
{
    const int n = 300;
    const std::vector<float> w = numbers(n), g = numbers(n, 2), zero(n, 0.0f);
    const Device<float> weights(w), slopes(g), m(zero), v(zero);
    std::vector<double> expected(w.begin(), w.end()), first(n), second(n);
    for (int step = 1; step <= 3; step++) {
        const double c1 = 1 - std::pow(0.9, step), c2 = 1 - std::pow(0.999, step);
        adam<<<3, 128>>>(weights.at, slopes.at, m.at, v.at, n, 1e-2f, (float)c1, (float)c2);
        for (int i = 0; i < n; i++) {
            first[i] = 0.9 * first[i] + 0.1 * g[i];
            second[i] = 0.999 * second[i] + 0.001 * g[i] * g[i];
            expected[i] -= 1e-2 * (first[i] / c1) / (std::sqrt(second[i] / c2) + 1e-8);
        }
    }
    expect(weights.get(), expected, kFew);
}

__constant__ float coefficients[4];
__device__ int counter;

__global__ void polynomial(const float *x, float *y)
{
    const float v = x[threadIdx.x];
    y[threadIdx.x] = ((coefficients[3] * v + coefficients[2]) * v + coefficients[1]) * v + coefficients[0];
    atomicAdd(&counter, 1);
}

KNOWN(variables)
{
    const std::vector<float> x = numbers(64), c = {1, -2, 0.5f, 3};
    const Device<float> in(x), out(64);
    int count = 5;
    must(cudaMemcpyToSymbol(coefficients, c.data(), 16));
    must(cudaMemcpyToSymbol(counter, &count, sizeof count));
    polynomial<<<1, 64>>>(in.at, out.at);
    must(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    std::vector<double> expected(64);
    for (int i = 0; i < 64; i++)
        expected[i] = ((3.0 * x[i] + 0.5) * x[i] - 2) * x[i] + 1;
    expect(out.get(), expected, kFew);
    expect(std::vector<int>{count}, {69}, 0);
}

__global__ void double_sum(const double *x, double *out, int n)
{
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        sum += exp(x[i]);
    atomicAdd(out, sum);
}

KNOWN(doubles)
{
    const std::vector<float> f = numbers(256);
    const std::vector<double> x(f.begin(), f.end());
    double sum = 0;
    for (double v : x)
        sum += std::exp(v);
    const Device<double> in(x), out(std::vector<double>(1, 0));
    double_sum<<<1, 64>>>(in.at, out.at, 256);
    expect(out.get(), {sum}, 1e-12); /* some hundred roundings of 2^-53 */
}

/** Arrays of a thread that are indexed at run time lie in local memory. */
__global__ void largest(const float *x, float *y, int n, int k)
{
    float best[8];
    for (int i = 0; i < k; i++)
        best[i] = -INFINITY;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float v = x[i];
        for (int j = 0; j < k; j++)
            if (v > best[j]) {
                const float swap = best[j];
                best[j] = v;
                v = swap;
            }
    }
    y[threadIdx.x] = best[k - 1];
}

KNOWN(local_arrays)
{
    const int n = 500, k = 5;
    const std::vector<float> x = numbers(n);
    const Device<float> in(x), out(32);
    largest<<<1, 32>>>(in.at, out.at, n, k);
    std::vector<double> expected(32);
    for (int t = 0; t < 32; t++) {
        std::vector<float> own;
        for (int i = t; i < n; i += 32)
            own.push_back(x[i]);
        for (int skip = 1; skip < k; skip++) {
            size_t most = 0;
            for (size_t i = 1; i < own.size(); i++)
                most = own[i] > own[most] ? i : most;
            own[most] = -9;
        }
        float next = -9;
        for (float v : own)
            next = std::fmax(next, v);
        expected[t] = next;
    }
    expect(out.get(), expected, 0);
}
