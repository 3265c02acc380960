// Products of matrices: tiles in shared memory, asynchronous copies, tensor cores; bfloat16.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <mma.h>

#include "known.h"

/** a is m x k, b is k x n, both by rows. */
static std::vector<double> product(const std::vector<double> &a, const std::vector<double> &b, int m, int n, int k)
{
    std::vector<double> c((size_t)m * n);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int l = 0; l < k; l++)
                c[i * n + j] += a[i * k + l] * b[l * n + j];
    return c;
}

static std::vector<double> wide(const std::vector<float> &x)
{
    return std::vector<double>(x.begin(), x.end());
}

__global__ void tiled(const float *a, const float *b, float *c, int m, int n, int k)
{
    __shared__ float as[16][17], bs[16][17];
    const int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 16 + ty, col = blockIdx.x * 16 + tx;
    float sum = 0;
    for (int k0 = 0; k0 < k; k0 += 16) {
        as[ty][tx] = row < m && k0 + tx < k ? a[(size_t)row * k + k0 + tx] : 0;
        bs[ty][tx] = k0 + ty < k && col < n ? b[(size_t)(k0 + ty) * n + col] : 0;
        __syncthreads();
        for (int i = 0; i < 16; i++)
            sum += as[ty][i] * bs[i][tx];
        __syncthreads();
    }
    if (row < m && col < n)
        c[(size_t)row * n + col] = sum;
}

KNOWN(tiled_gemm)
{
    const int m = 50, n = 35, k = 37;
    const std::vector<float> a = numbers(m * k), b = numbers(k * n, 2);
    const Device<float> da(a), db(b), dc(m * n);
    tiled<<<dim3(3, 4), dim3(16, 16)>>>(da.at, db.at, dc.at, m, n, k);
    expect(dc.get(), product(wide(a), wide(b), m, n, k), kSum);
}

/** Two buffers: one is filled while the other is used. */
__global__ void pipelined(const float *a, const float *b, float *c, int n, int k)
{
    __shared__ __align__(16) float as[2][32][32], bs[2][32][32];
    const int t = threadIdx.x, row = t >> 3, col = (t & 7) * 4;
    float sum[4] = {0, 0, 0, 0};
    const auto load = [&](int buffer, int k0) {
        const float *from_a = a + (size_t)(blockIdx.y * 32 + row) * k + k0 + col;
        __pipeline_memcpy_async(&as[buffer][row][col], from_a, 16);
        const float *from_b = b + (size_t)(k0 + row) * n + blockIdx.x * 32 + col;
        __pipeline_memcpy_async(&bs[buffer][row][col], from_b, 16);
        __pipeline_commit();
    };
    load(0, 0);
    for (int k0 = 0, buffer = 0; k0 < k; k0 += 32, buffer ^= 1) {
        if (k0 + 32 < k) {
            load(buffer ^ 1, k0 + 32);
            __pipeline_wait_prior(1);
        } else {
            __pipeline_wait_prior(0);
        }
        __syncthreads();
        for (int i = 0; i < 32; i++)
            for (int j = 0; j < 4; j++)
                sum[j] += as[buffer][row][i] * bs[buffer][i][col + j];
        __syncthreads();
    }
    *(float4 *)(c + (size_t)(blockIdx.y * 32 + row) * n + blockIdx.x * 32 + col) =
        make_float4(sum[0], sum[1], sum[2], sum[3]);
}

KNOWN(async_gemm)
{
    const int m = 32, n = 64, k = 96;
    const std::vector<float> a = numbers(m * k), b = numbers(k * n, 2);
    const Device<float> da(a), db(b), dc(m * n);
    pipelined<<<dim3(n / 32, m / 32), 256>>>(da.at, db.at, dc.at, n, k);
    expect(dc.get(), product(wide(a), wide(b), m, n, k), kSum);
}

__global__ void with_wmma(const __half *a, const __half *b, float *c, int n, int k)
{
    using namespace nvcuda;
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.0f);
    for (int k0 = 0; k0 < k; k0 += 16) {
        wmma::load_matrix_sync(fa, a + (size_t)blockIdx.y * 16 * k + k0, k);
        wmma::load_matrix_sync(fb, b + (size_t)k0 * n + blockIdx.x * 16, n);
        wmma::mma_sync(fc, fa, fb, fc);
    }
    wmma::store_matrix_sync(c + (size_t)blockIdx.y * 16 * n + blockIdx.x * 16, fc, n, wmma::mem_row_major);
}

KNOWN(wmma)
{
    const int m = 32, n = 48, k = 64;
    std::vector<__half> a, b;
    std::vector<double> xa, xb;
    for (float v : numbers(m * k))
        xa.push_back(__half2float(a.emplace_back(__float2half(v))));
    for (float v : numbers(k * n, 2))
        xb.push_back(__half2float(b.emplace_back(__float2half(v))));
    const Device<__half> da(a), db(b);
    const Device<float> dc(m * n);
    with_wmma<<<dim3(n / 16, m / 16), 32>>>(da.at, db.at, dc.at, n, k);
    expect(dc.get(), product(xa, xb, m, n, k), kSum);
}

/** One 16 x 8 x 16 product; lane l holds what the PTX manual's figures for m16n8k16 give it. */
__global__ void with_mma(const __nv_bfloat16 *a, const unsigned *b, float *c)
{
    __shared__ __align__(16) __nv_bfloat16 s[16 * 16];
    for (int i = threadIdx.x; i < 256; i += 32)
        s[i] = a[i];
    __syncwarp();
    const int lane = threadIdx.x;
    unsigned r[4];
    const unsigned from = (unsigned)__cvta_generic_to_shared(s + (lane & 15) * 16 + (lane >> 4) * 8);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from));
    float d[4] = {0, 0, 0, 0};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]), "r"(b[lane * 2]), "r"(b[lane * 2 + 1]));
    for (int i = 0; i < 4; i++)
        c[((lane >> 2) + (i >> 1) * 8) * 8 + (lane & 3) * 2 + (i & 1)] = d[i];
}

KNOWN(mma)
{
    std::vector<__nv_bfloat16> a, b;
    std::vector<double> xa, xb;
    for (float v : numbers(256))
        xa.push_back(__bfloat162float(a.emplace_back(__float2bfloat16(v))));
    for (float v : numbers(128, 2))
        xb.push_back(__bfloat162float(b.emplace_back(__float2bfloat16(v))));
    std::vector<unsigned> fragments(64);
    for (int lane = 0; lane < 32; lane++)
        for (int half = 0; half < 2; half++) {
            const int k = (lane & 3) * 2 + half * 8, n = lane >> 2;
            const __nv_bfloat16 pair[2] = {b[k * 8 + n], b[(k + 1) * 8 + n]};
            std::memcpy(&fragments[lane * 2 + half], pair, 4);
        }
    const Device<__nv_bfloat16> da(a);
    const Device<unsigned> db(fragments);
    const Device<float> dc(128);
    with_mma<<<1, 32>>>(da.at, db.at, dc.at);
    expect(dc.get(), product(xa, xb, 16, 8, 16), kSum);
}

__global__ void to_bfloat16(const float *x, __nv_bfloat16 *y, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = __float2bfloat16(x[i]);
}

__global__ void square_pairs(const __nv_bfloat162 *x, float *y, int pairs)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= pairs)
        return;
    const __nv_bfloat162 squared = __hmul2(x[i], x[i]);
    y[2 * i] = __low2float(squared);
    y[2 * i + 1] = __high2float(squared);
}

/** To eight significant bits, ties to even. */
static double to_eight_bits(double x)
{
    int exponent;
    const double fraction = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

KNOWN(bfloat16)
{
    const std::vector<float> x = numbers(1000);
    const Device<float> in(x), out(1000);
    const Device<__nv_bfloat16> narrow(1000);
    to_bfloat16<<<4, 256>>>(in.at, narrow.at, 1000);
    square_pairs<<<2, 256>>>((const __nv_bfloat162 *)narrow.at, out.at, 500);
    std::vector<double> expected(1000);
    for (int i = 0; i < 1000; i++)
        expected[i] = to_eight_bits(to_eight_bits(x[i]) * to_eight_bits(x[i]));
    expect(out.get(), expected, 0);
}
