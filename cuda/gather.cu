/* Batches out of a data set that is on the device: a row of y is some example of x, preprocessed and augmented.
 *
 * Rows of the batch lie along the grid's x, pieces of an example along its y; neighbouring lanes take neighbouring
 * values. Every value of y is written by one thread, which reads no y but, of a base that is y, the same value: there
 * is no race. Rows that keep what the base has cost nothing where it is y. Traffic a value: 1 byte of
 * bytes or 4 of floats read, 4 written; a batch of 256 images of 32 x 32 x 3 bytes is 3.9 MB, 1.2 us at 3.35 TB/s, 4.4
 * at 0.9. Divisions are IEEE's, and nothing here can become a fused multiply-add: the bits are the host's. */
#include "cuda/gather.h"

#include "cuda/vectors.cuh"

/* This thread's place: its row of the batch, its first value or four of values, and how far it is to the next. */
struct Place {
    int64_t row;
    int64_t example; /* -1: none */
    int first, stride;
};

__device__ __forceinline__ Place place_of(const egi_cuda_gather_args &p)
{
    const int together = blockDim.x / p.lanes;
    Place at;
    at.row = (int64_t)blockIdx.x * together + threadIdx.x / p.lanes;
    at.example = at.row < p.batch ? p.index[at.row] : -1;
    if (at.example >= p.examples)
        at.example = -1;
    if (at.example < 0 && p.base == p.y)
        at.row = p.batch; /* nothing to do */
    at.first = blockIdx.y * p.lanes + threadIdx.x % p.lanes;
    at.stride = gridDim.y * p.lanes;
    return at;
}

/* Selected, not indexed: an array of arguments that is indexed is copied to local memory. */
__device__ __forceinline__ float of(const float (&v)[3], int channel)
{
    return channel == 0 ? v[0] : channel == 1 ? v[1] : v[2];
}

__device__ __forceinline__ float value(const egi_affine &a, int channel, float x)
{
    x = (x - of(a.before, channel)) / of(a.by, channel) - of(a.after, channel);
    const float over = of(a.over, channel);
    return over == 1 ? x : x / over;
}

/* Value `at` of y where there is no example. */
__device__ __forceinline__ float none(const egi_cuda_gather_args &p, int64_t at)
{
    return p.base ? p.base[at] : 0;
}

/* Value `i` of an example. */
template <typename T> __device__ __forceinline__ float read(const egi_affine &a, const T *x, int i)
{
    const int channel = a.channels == 3 ? i % 3 : 0;
    return value(a, channel, (float)x[a.reversed ? i + 2 - 2 * channel : i]);
}

template <typename T> __device__ __forceinline__ void gather(const egi_cuda_gather_args &p)
{
    const Place at = place_of(p);
    const T *x = (const T *)p.x + at.example * p.n;
    for (int i = at.first; at.row < p.batch && i < p.n; i += at.stride)
        p.y[at.row * p.n + i] = at.example < 0 ? none(p, at.row * p.n + i) : read(p.affine, x, i);
}

__device__ __forceinline__ void load_four(float (&v)[4], const uint8_t *x)
{
    const uchar4 u = *(const uchar4 *)x;
    v[0] = u.x, v[1] = u.y, v[2] = u.z, v[3] = u.w;
}

__device__ __forceinline__ void load_four(float (&v)[4], const float *x)
{
    eg_load<4>(v, x);
}

template <typename T> __device__ __forceinline__ void gather_by_four(const egi_cuda_gather_args &p)
{
    const Place at = place_of(p);
    const T *x = (const T *)p.x + at.example * p.n;
    for (int i = 4 * at.first; at.row < p.batch && i < p.n; i += 4 * at.stride) {
        float v[4] = {};
        if (at.example >= 0) {
            load_four(v, x + i);
            int channel = p.affine.channels == 3 ? i % 3 : 0;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                v[j] = value(p.affine, channel, v[j]);
                channel = channel + 1 < p.affine.channels ? channel + 1 : 0;
            }
        } else if (p.base) {
            eg_load<4>(v, p.base + at.row * p.n + i);
        }
        eg_store<4>(p.y + at.row * p.n + i, v);
    }
}

/* The draw is the example's: all its threads make the same one. */
template <typename T> __device__ __forceinline__ void gather_augmented(const egi_cuda_gather_args &p)
{
    const Place at = place_of(p);
    const T *x = (const T *)p.x + at.example * p.n;
    const egi_augmentation drawn = egi_augment_draw(p.augment, p.control, at.row);
    for (int i = at.first; at.row < p.batch && i < p.n; i += at.stride) {
        const int place = i / p.channels, s = place % p.width;
        const int row = place / p.width + drawn.down, column = (drawn.mirrored ? p.width - 1 - s : s) + drawn.right;
        const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
        p.y[at.row * p.n + i] = at.example < 0 ? none(p, at.row * p.n + i)
                                : inside ? read(p.affine, x, (row * p.width + column) * p.channels + i % p.channels)
                                         : 0;
    }
}

#define KERNEL(name, function, type)                                               \
    extern "C" __global__ void __launch_bounds__(256) name(egi_cuda_gather_args p) \
    {                                                                              \
        function<type>(p);                                                         \
    }
KERNEL(eg_gather_u8, gather, uint8_t)
KERNEL(eg_gather_f32, gather, float)
KERNEL(eg_gather_u8_by_four, gather_by_four, uint8_t)
KERNEL(eg_gather_f32_by_four, gather_by_four, float)
KERNEL(eg_gather_u8_augmented, gather_augmented, uint8_t)
KERNEL(eg_gather_f32_augmented, gather_augmented, float)

/* One label a thread: 12 bytes. */
extern "C" __global__ void __launch_bounds__(256) eg_gather_labels(egi_cuda_gather_labels_args p)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.batch)
        return;
    const int64_t at = p.index[i];
    p.y[i] = at >= 0 && at < p.n ? p.x[at] : -1;
}
