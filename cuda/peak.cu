/* What the device can do at best. A thread writes its own elements only. */
#include "cuda/peak.h"

/* n rounds of multiply-adds in registers; a (one a thread) keeps the compiler from leaving them out. */
extern "C" __global__ void eg_peak_flops(egi_cuda_peak_args p)
{
    const int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float x[EGI_PEAK_CHAINS], sum = 0;
#pragma unroll
    for (int c = 0; c < EGI_PEAK_CHAINS; c++)
        x[c] = (float)(threadIdx.x + c);
    for (int64_t i = 0; i < p.n; i++)
#pragma unroll
        for (int c = 0; c < EGI_PEAK_CHAINS; c++)
            x[c] = fmaf(x[c], 0.999f, 0.5f);
#pragma unroll
    for (int c = 0; c < EGI_PEAK_CHAINS; c++)
        sum += x[c];
    p.a[at] = sum;
}

/* a += b: 12 bytes an element. n is a multiple of 4. */
extern "C" __global__ void eg_peak_stream(egi_cuda_peak_args p)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.n / 4; i += step) {
        const float4 b = ((const float4 *)p.b)[i];
        float4 a = ((float4 *)p.a)[i];
        a.x += b.x, a.y += b.y, a.z += b.z, a.w += b.w;
        ((float4 *)p.a)[i] = a;
    }
}
