/** tests/cudasim/runtime_test/kernels.h: a module in PTX, so that the tests of the API need no nvcc.
 *  add: y[i] += a for i < n. With n larger than the block's memory it runs out of bounds. */
#ifndef CUDASIM_KERNELS_H
#define CUDASIM_KERNELS_H

#include "tests/cudasim/runtime_test/device_array.h"

inline const char *module_text()
{
    return R"(
.version 7.0
.target sm_70
.address_size 64
.global .align 4 .b8 table[16];
.visible .entry add(.param .u64 add_y, .param .f32 add_a, .param .u32 add_n)
{
    .reg .pred %p<2>;
    .reg .f32 %f<4>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [add_y];
    ld.param.f32 %f1, [add_a];
    ld.param.u32 %r1, [add_n];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra $done;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4];
    add.f32 %f3, %f2, %f1;
    st.global.f32 [%rd4], %f3;
$done:
    ret;
}
)";
}

/** The kernel `add` as a handle, loaded once. */
inline cudaKernel_t add_kernel()
{
    static cudaKernel_t kernel = [] {
        cudaLibrary_t library = nullptr;
        cudaKernel_t found = nullptr;
        EXPECT_EQ(cudaLibraryLoadData(&library, module_text(), nullptr, nullptr, 0, nullptr, nullptr, 0), cudaSuccess);
        EXPECT_EQ(cudaLibraryGetKernel(&found, library, "add"), cudaSuccess);
        return found;
    }();
    return kernel;
}

/** Adds `a` to n values, one block of 32 after another. */
inline cudaError_t add(float *y, float a, unsigned n, cudaStream_t stream = nullptr)
{
    void *args[] = {&y, &a, &n};
    return cudaLaunchKernel((const void *)add_kernel(), dim3((n + 31) / 32), dim3(32), args, 0, stream);
}

inline std::vector<float> constant(size_t count, float value)
{
    return std::vector<float>(count, value);
}

/** A stream that goes at the end of a test. */
class TestStream
{
  public:
    explicit TestStream(unsigned flags = cudaStreamNonBlocking)
    {
        EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, flags), cudaSuccess);
    }
    ~TestStream()
    {
        EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    }
    TestStream(const TestStream &) = delete;
    operator cudaStream_t() const
    {
        return stream_;
    }

  private:
    cudaStream_t stream_ = nullptr;
};

/** Pinned host memory. */
class Pinned
{
  public:
    explicit Pinned(size_t count)
    {
        EXPECT_EQ(cudaMallocHost((void **)&at_, count * sizeof(float)), cudaSuccess);
        for (size_t i = 0; i < count; i++)
            at_[i] = 0;
    }
    ~Pinned()
    {
        EXPECT_EQ(cudaFreeHost(at_), cudaSuccess);
    }
    Pinned(const Pinned &) = delete;
    float *at() const
    {
        return at_;
    }

  private:
    float *at_ = nullptr;
};

#endif
