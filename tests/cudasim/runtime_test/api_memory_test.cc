// Allocation and copies. Wrong uses, which are reported, are among the planted bugs.
#include "kernels.h"

namespace
{

TEST(Memory, IsCountedAndRunsOut)
{
    size_t before = 0, during = 0, after = 0, total = 0;
    EXPECT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
    void *block = nullptr, *too_much = &block;
    EXPECT_EQ(cudaMalloc(&block, 1 << 20), cudaSuccess);
    EXPECT_EQ((uintptr_t)block % 256, 0u);
    EXPECT_EQ(cudaMemGetInfo(&during, &total), cudaSuccess);
    EXPECT_EQ(before - during, 1u << 20);
    EXPECT_EQ(cudaMalloc(&too_much, total), cudaErrorMemoryAllocation);
    EXPECT_EQ(too_much, nullptr);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaFree(block), cudaSuccess);
    EXPECT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
    EXPECT_EQ(after, before);
}

TEST(Memory, NothingIsAPointerToo)
{
    void *block = &block;
    EXPECT_EQ(cudaMalloc(&block, 0), cudaSuccess);
    EXPECT_EQ(block, nullptr);
    EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), cudaSuccess);
}

TEST(Memory, PointersKnowWhereTheyPoint)
{
    const DeviceArray<float> device(4);
    const Pinned pinned(4);
    int on_stack = 0;
    cudaPointerAttributes attributes;
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, device.at() + 3), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, pinned.at()), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, &on_stack), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST(Copies, OfRowsLeaveWhatLiesBetween)
{
    const std::vector<int> source = {1, 2, 3, 4, 5, 6};
    const DeviceArray<int> device(std::vector<int>(10, -1));
    EXPECT_EQ(cudaMemcpy2D(device.at(), 5 * sizeof(int), source.data(), 3 * sizeof(int), 3 * sizeof(int), 2,
                           cudaMemcpyHostToDevice),
              cudaSuccess);
    EXPECT_EQ(device.get(), (std::vector<int>{1, 2, 3, -1, -1, 4, 5, 6, -1, -1}));
    EXPECT_EQ(cudaMemcpy2D(device.at(), 2 * sizeof(int), source.data(), 3 * sizeof(int), 3 * sizeof(int), 2,
                           cudaMemcpyHostToDevice),
              cudaErrorInvalidPitchValue);
}

TEST(Copies, FindTheirDirection)
{
    const DeviceArray<float> a(constant(8, 3)), b(8);
    std::vector<float> host(8);
    EXPECT_EQ(cudaMemcpy(b.at(), a.at(), 32, cudaMemcpyDeviceToDevice), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(host.data(), b.at(), 32, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(host, constant(8, 3));
}

TEST(Copies, FromPageableMemoryAreTakenAtTheCall)
{
    const TestStream stream;
    const DeviceArray<float> device(4);
    std::vector<float> host = constant(4, 1);
    EXPECT_EQ(cudaMemcpyAsync(device.at(), host.data(), 16, cudaMemcpyHostToDevice, stream), cudaSuccess);
    host = constant(4, 2);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(device.get(), constant(4, 1));
}

TEST(Copies, FromPinnedMemoryAreTakenWhenTheyRun)
{
    const TestStream stream;
    const DeviceArray<float> device(1);
    const Pinned host(1);
    EXPECT_EQ(cudaMemcpyAsync(device.at(), host.at(), 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
    *host.at() = 2;
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(device.get(), constant(1, 2));
}

TEST(Fills, SetBytes)
{
    const DeviceArray<unsigned> device(std::vector<unsigned>(6, 0));
    EXPECT_EQ(cudaMemset(device.at(), 0x1ff, 4), cudaSuccess);
    EXPECT_EQ(cudaMemset2D(device.at() + 1, 8, 1, 4, 2), cudaSuccess);
    EXPECT_EQ(device.get(), (std::vector<unsigned>{0xffffffff, 0x01010101, 0, 0x01010101, 0, 0}));
}

} // namespace
