/* cuda/vectors.cuh: one or four floats at once. */
#ifndef EGI_CUDA_VECTORS_CUH
#define EGI_CUDA_VECTORS_CUH

template <int V> __device__ __forceinline__ void eg_load(float (&to)[V], const float *from)
{
    if constexpr (V == 4) {
        const float4 q = *(const float4 *)from;
        to[0] = q.x, to[1] = q.y, to[2] = q.z, to[3] = q.w;
    } else {
        to[0] = *from;
    }
}

template <int V> __device__ __forceinline__ void eg_store(float *to, const float (&from)[V])
{
    if constexpr (V == 4)
        *(float4 *)to = make_float4(from[0], from[1], from[2], from[3]);
    else
        *to = from[0];
}

#endif
