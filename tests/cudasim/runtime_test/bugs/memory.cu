// Accesses of kernels to memory that is not theirs, not there any more, not aligned or not initialised.
#include "bug.h"

template <bool wrong> __global__ void global_bounds(float *x, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n + wrong)
        x[i] = 1; // planted global_bounds: global write out of bounds: 4 bytes at byte 400 of a block of 400
}

template <bool wrong> void run_global_bounds()
{
    Device<float> x(100);
    global_bounds<wrong><<<4, 32>>>(x.at, 100);
    cudaDeviceSynchronize();
}
BUG(global_bounds);

template <bool wrong> __global__ void shared_bounds(float *x)
{
    __shared__ float s[64];
    const int t = threadIdx.x;
    s[t + (wrong ? 1 : 0)] = x[t]; // planted shared_bounds: shared write out of bounds: 4 bytes at offset 256
    __syncthreads();
    x[t] = s[63 - t + (wrong ? 1 : 0)];
}

template <bool wrong> void run_shared_bounds()
{
    Zeroed<float> x(64);
    shared_bounds<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(shared_bounds);

template <bool wrong> __global__ void local_bounds(const int *at, float *x)
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[at[i]] = (float)i; // planted local_bounds: local write out of bounds
    float sum = 0;
    for (int i = 0; i < 8; i++)
        sum += a[at[i] & 7];
    x[threadIdx.x] = sum;
}

template <bool wrong> void run_local_bounds()
{
    Device<int> at(8);
    Device<float> x(1);
    std::vector<int> index = {3, 1, 2, 0, 4, 7, 6, 5};
    index[2] = wrong ? 4096 : 2;
    cudaMemcpy(at.at, index.data(), 8 * sizeof(int), cudaMemcpyHostToDevice);
    local_bounds<wrong><<<1, 1>>>(at.at, x.at);
    cudaDeviceSynchronize();
}
BUG(local_bounds);

template <bool wrong> __global__ void after_free(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x]; // planted after_free: global read of freed memory: 4 bytes
}

template <bool wrong> void run_after_free()
{
    float *x;
    Device<float> y(32);
    cudaMalloc((void **)&x, 32 * sizeof(float));
    cudaMemset(x, 0, 32 * sizeof(float));
    if (wrong)
        cudaFree(x);
    after_free<wrong><<<1, 32>>>(x, y.at);
    if (!wrong)
        cudaFree(x);
    cudaDeviceSynchronize();
}
BUG(after_free);

template <bool wrong> __global__ void host_pointer(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x]; // planted host_pointer: global read of no block: 4 bytes at .*host pointer
}

template <bool wrong> void run_host_pointer()
{
    const std::vector<float> pageable(32);
    float *pinned;
    cudaMallocHost((void **)&pinned, 32 * sizeof(float));
    Device<float> y(32);
    host_pointer<wrong><<<1, 32>>>(wrong ? pageable.data() : pinned, y.at);
    cudaDeviceSynchronize();
    cudaFreeHost(pinned);
}
BUG(host_pointer);

template <bool wrong> __global__ void misaligned_vector(const float *x, float *y)
{
    const float4 v = *(const float4 *)(x + (wrong ? 1 : 4)); // planted misaligned_vector: misaligned.*read of 16 bytes
    y[0] = v.x + v.y + v.z + v.w;
}

template <bool wrong> void run_misaligned_vector()
{
    Zeroed<float> x(16);
    Device<float> y(1);
    misaligned_vector<wrong><<<1, 1>>>(x.at, y.at);
    cudaDeviceSynchronize();
}
BUG(misaligned_vector);

template <bool wrong> __global__ void uninitialised_global(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x] * 2; // planted uninitialised_global: uninitialised global read
}

template <bool wrong> void run_uninitialised_global()
{
    Device<float> x(32), y(32);
    if (!wrong)
        x.zero();
    uninitialised_global<wrong><<<1, 32>>>(x.at, y.at);
    cudaDeviceSynchronize();
}
BUG(uninitialised_global);

template <bool wrong> __global__ void uninitialised_shared(float *x)
{
    __shared__ float s[64];
    const int t = threadIdx.x;
    if (t < (wrong ? 32 : 64))
        s[t] = 1;
    __syncthreads();
    x[t] = s[t]; // planted uninitialised_shared: uninitialised shared read
}

template <bool wrong> void run_uninitialised_shared()
{
    Device<float> x(64);
    uninitialised_shared<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(uninitialised_shared);

template <bool wrong> __global__ void missing_async_wait(const float4 *x, float4 *y)
{
    __shared__ float4 s[32];
    const int t = threadIdx.x;
    const unsigned to = (unsigned)__cvta_generic_to_shared(&s[t]);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + t) : "memory");
    if (!wrong)
        asm volatile("cp.async.wait_all;" ::: "memory");
    y[t] = s[t]; // planted missing_async_wait: uninitialised shared read
}

template <bool wrong> void run_missing_async_wait()
{
    Zeroed<float4> x(32);
    Device<float4> y(32);
    missing_async_wait<wrong><<<1, 32>>>(x.at, y.at);
    cudaDeviceSynchronize();
}
BUG(missing_async_wait);
