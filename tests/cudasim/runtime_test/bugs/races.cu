// Threads that use the same memory without anything between them.
#include "bug.h"

template <bool wrong> __global__ void shared_race(float *x)
{
    __shared__ float s[64];
    const int t = threadIdx.x;
    s[t] = 0;
    __syncthreads();
    s[t] = x[t];
    if (!wrong)
        __syncthreads();
    x[t] = s[63 - t]; // planted shared_race: data race: shared read of what was written by
}

template <bool wrong> void run_shared_race()
{
    Zeroed<float> x(64);
    shared_race<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(shared_race);

template <bool wrong> __global__ void warp_race(float *x)
{
    __shared__ float s[32];
    const int t = threadIdx.x;
    s[t] = x[t];
    if (!wrong)
        __syncwarp();
    x[t] = s[31 - t]; // planted warp_race: data race: shared read of what was written by
}

template <bool wrong> void run_warp_race()
{
    Zeroed<float> x(32);
    warp_race<wrong><<<1, 32>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(warp_race);

template <bool wrong> __global__ void race_in_block(float *x)
{
    if (wrong)
        x[0] += (float)threadIdx.x; // planted race_in_block: data race: global
    else
        atomicAdd(x, (float)threadIdx.x);
}

template <bool wrong> void run_race_in_block()
{
    Zeroed<float> x(1);
    race_in_block<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(race_in_block);

template <bool wrong> __global__ void race_between_blocks(float *x)
{
    const float own = (float)blockIdx.x;
    if (threadIdx.x == 0)
        x[wrong ? 0 : blockIdx.x] = own; // planted race_between_blocks: data race: .* write by another block
}

template <bool wrong> void run_race_between_blocks()
{
    Zeroed<float> x(4);
    race_between_blocks<wrong><<<4, 32>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(race_between_blocks);

template <bool wrong> __global__ void read_across_blocks(float *x)
{
    x[blockIdx.x] = (float)blockIdx.x;
    if (wrong && blockIdx.x > 0)
        x[blockIdx.x] +=
            x[blockIdx.x -
              1]; // planted read_across_blocks: data race: global read of what was written by another block
}

template <bool wrong> void run_read_across_blocks()
{
    Zeroed<float> x(4);
    read_across_blocks<wrong><<<4, 1>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(read_across_blocks);

/** The last block that finishes adds up what the others left. */
template <bool wrong> __global__ void missing_fence(float *part, unsigned *done, float *sum)
{
    if (threadIdx.x != 0)
        return;
    part[blockIdx.x] = (float)blockIdx.x;
    if (!wrong)
        __threadfence();
    if (atomicAdd(done, 1u) != gridDim.x - 1)
        return;
    if (!wrong)
        __threadfence();
    float total = 0;
    for (unsigned b = 0; b < gridDim.x; b++)
        total += ((volatile float *)
                      part)[b]; // planted missing_fence: data race: global read of what was written by another block
    *sum = total;
}

template <bool wrong> void run_missing_fence()
{
    Device<float> part(8), sum(1);
    Zeroed<unsigned> done(1);
    missing_fence<wrong><<<8, 32>>>(part.at, done.at, sum.at);
    cudaDeviceSynchronize();
}
BUG(missing_fence);

/** Two threads write the same half-word; the neighbours' half-words are no race. */
template <bool wrong> __global__ void half_word_race(unsigned short *x)
{
    const int t = threadIdx.x;
    x[wrong ? t / 2 : t] = (unsigned short)t; // planted half_word_race: data race: global write after a write
}

template <bool wrong> void run_half_word_race()
{
    Zeroed<unsigned short> x(64);
    half_word_race<wrong><<<1, 64>>>(x.at);
    cudaDeviceSynchronize();
}
BUG(half_word_race);

/** A tile that is overwritten while others still read it. */
template <bool wrong> __global__ void early_overwrite(const float *x, float *y, int tiles)
{
    __shared__ float s[64];
    const int t = threadIdx.x;
    float sum = 0;
    for (int tile = 0; tile < tiles; tile++) {
        s[t] = x[tile * 64 + t];
        __syncthreads();
        for (int i = 0; i < 64; i++)
            sum += s[i]; // planted early_overwrite: data race: shared
        if (!wrong)
            __syncthreads();
    }
    y[t] = sum;
}

template <bool wrong> void run_early_overwrite()
{
    Zeroed<float> x(128);
    Device<float> y(64);
    early_overwrite<wrong><<<1, 64>>>(x.at, y.at, 2);
    cudaDeviceSynchronize();
}
BUG(early_overwrite);
