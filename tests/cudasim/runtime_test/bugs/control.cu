// Barriers, warp intrinsics, loops and asserts.
#include <cassert>

#include "bug.h"

template <bool wrong> __global__ void divergent_barrier(float *x)
{
    if (threadIdx.x < (wrong ? 40 : 64)) {
        __syncthreads();
        x[threadIdx.x] = 1;
    } else {
        __syncthreads(); // planted divergent_barrier: divergent barrier: threads of the block wait at different places
        x[threadIdx.x] = 2;
    }
}

template <bool wrong> void run_divergent_barrier()
{
    Device<float> x(64);
    divergent_barrier<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(divergent_barrier);

template <bool wrong> __global__ void exit_before_barrier(float *x, int n)
{
    __shared__ float s[64];
    const int t = threadIdx.x;
    if (wrong && t >= n)
        return;
    s[t] = (float)t;
    __syncthreads(); // planted exit_before_barrier: divergent barrier: 50 of 64 threads
    if (t < n)
        x[t] = s[n - 1 - t];
}

template <bool wrong> void run_exit_before_barrier()
{
    Device<float> x(64);
    exit_before_barrier<wrong><<<1, 64>>>(x.at, 50);
    cudaDeviceSynchronize();
}
BUG(exit_before_barrier);

// planted in the kernel absent_lane: shfl reads lane 16, which does not take part
template <bool wrong> __global__ void absent_lane(float *x)
{
    const int t = threadIdx.x;
    float v = (float)t;
    if (t < 16)
        v = __shfl_sync(0xffffu, v, wrong ? t + 16 : t ^ 1);
    x[t] = v;
}

template <bool wrong> void run_absent_lane()
{
    Device<float> x(32);
    absent_lane<wrong><<<1, 32>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(absent_lane);

// planted in the kernel wrong_mask: warp intrinsic: lanes 0xffff0000 of its mask
template <bool wrong> __global__ void wrong_mask(float *x)
{
    const int t = threadIdx.x;
    float v = (float)t;
    if (t < 16)
        v = __shfl_xor_sync(wrong ? 0xffffffffu : 0xffffu, v, 1);
    x[t] = v;
}

template <bool wrong> void run_wrong_mask()
{
    Device<float> x(32);
    wrong_mask<wrong><<<1, 32>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(wrong_mask);

// planted in the kernel caller_not_in_mask: warp intrinsic: the calling lane is not in its own mask
template <bool wrong> __global__ void caller_not_in_mask(unsigned *x)
{
    const unsigned t = threadIdx.x;
    x[t] = __ballot_sync(wrong ? 0x7fffffffu : 0xffffffffu, t & 1);
}

template <bool wrong> void run_caller_not_in_mask()
{
    Device<unsigned> x(32);
    caller_not_in_mask<wrong><<<1, 32>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(caller_not_in_mask);

template <bool wrong> __global__ void endless_loop(volatile int *flag, int *x)
{
    while (*flag == (wrong ? 0 : 1)) // planted in the kernel endless_loop: endless loop
        ;
    *x = 1;
}

template <bool wrong> void run_endless_loop()
{
    Zeroed<int> flag(1);
    Device<int> x(1);
    endless_loop<wrong><<<1, 1>>>(flag.at, x.at);
    cudaDeviceSynchronize();
}
BUG(endless_loop);

template <bool wrong> __global__ void failed_assert(const int *x)
{
    assert(x[threadIdx.x] == (wrong ? 1 : 0)); // planted failed_assert: assertion failed
}

template <bool wrong> void run_failed_assert()
{
    Zeroed<int> x(4);
    failed_assert<wrong><<<1, 4>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(failed_assert);
