/* cuda/vectors.cuh: one or four floats at once. */
#ifndef EGI_CUDA_VECTORS_CUH
#define EGI_CUDA_VECTORS_CUH

/* VEC floats, or zeros. */
template <int VEC> __device__ __forceinline__ void eg_load(float *to, const float *from, bool inside = true)
{
    if (VEC == 4) {
        const float4 v = inside ? *(const float4 *)from : make_float4(0, 0, 0, 0);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
        *to = inside ? *from : 0;
    }
}

/* To global memory. A vector is stored by name: where scalar stores are near, the compiler takes an assignment apart.
 */
template <int VEC> __device__ __forceinline__ void eg_store(float *to, const float *from)
{
    if (VEC == 4)
        __stwb((float4 *)to, make_float4(from[0], from[1], from[2], from[3]));
    else
        *to = *from;
}

template <int VEC> __device__ __forceinline__ void eg_store_shared(float *to, const float *from)
{
    if (VEC == 4)
        *(float4 *)to = make_float4(from[0], from[1], from[2], from[3]);
    else
        *to = *from;
}

#endif
