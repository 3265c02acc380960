// Kernels through cudaLibraryLoadData, as the product loads them, their attributes and occupancy.
#include "kernels.h"

namespace
{

class Library : public testing::Test
{
  protected:
    void SetUp() override
    {
        ASSERT_EQ(cudaLibraryLoadData(&library, module_text(), nullptr, nullptr, 0, nullptr, nullptr, 0), cudaSuccess);
        ASSERT_EQ(cudaLibraryGetKernel(&kernel, library, "add"), cudaSuccess);
    }
    cudaLibrary_t library = nullptr;
    cudaKernel_t kernel = nullptr;
};

TEST_F(Library, FindsKernelsAndVariables)
{
    cudaKernel_t again = nullptr;
    void *table = nullptr;
    size_t bytes = 0;
    EXPECT_EQ(cudaLibraryGetKernel(&again, library, "add"), cudaSuccess);
    EXPECT_EQ(again, kernel);
    EXPECT_EQ(cudaLibraryGetKernel(&again, library, "none"), cudaErrorSymbolNotFound);
    EXPECT_EQ(cudaLibraryGetGlobal(&table, &bytes, library, "table"), cudaSuccess);
    EXPECT_EQ(bytes, 16u);
    EXPECT_EQ(cudaMemset(table, 1, 16), cudaSuccess);
    cudaGetLastError();
}

TEST_F(Library, KernelsRunInEitherWay)
{
    const DeviceArray<float> y(constant(40, 1));
    EXPECT_EQ(add(y.at(), 2, 40), cudaSuccess);
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(2);
    config.blockDim = dim3(32);
    float *at = y.at(), a = 3;
    unsigned n = 40;
    void *args[] = {&at, &a, &n};
    EXPECT_EQ(cudaLaunchKernelExC(&config, (const void *)kernel, args), cudaSuccess);
    a = 100; /* parameters are copied at the call */
    EXPECT_EQ(y.get(), constant(40, 6));
}

TEST_F(Library, UnloadingForgetsItsKernels)
{
    float a = 0;
    unsigned n = 0;
    void *args[] = {&a, &a, &n};
    EXPECT_EQ(cudaLibraryUnload(library), cudaSuccess);
    EXPECT_EQ(cudaLibraryUnload(library), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaLaunchKernel((const void *)kernel, dim3(1), dim3(1), args, 0, nullptr),
              cudaErrorInvalidDeviceFunction);
    cudaGetLastError();
}

TEST_F(Library, DynamicSharedMemoryHasToBeAllowed)
{
    cudaFuncAttributes attributes;
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, (const void *)kernel), cudaSuccess);
    EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 48 * 1024);
    EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
    EXPECT_EQ(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100000, 0),
              cudaSuccess);
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, (const void *)kernel), cudaSuccess);
    EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 100000);
    EXPECT_EQ(cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 * 1024),
              cudaErrorInvalidValue);
    cudaGetLastError();
}

TEST_F(Library, OccupancyIsLimitedByThreadsBlocksAndSharedMemory)
{
    int blocks = 0;
    const auto occupancy = [&](int block, size_t dynamic) {
        EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, (const void *)kernel, block, dynamic),
                  cudaSuccess);
        return blocks;
    };
    EXPECT_EQ(occupancy(256, 0), 8);
    EXPECT_EQ(occupancy(33, 0), 32);
    EXPECT_EQ(occupancy(32, 0), 32);
    EXPECT_EQ(occupancy(128, 47 * 1024), 4) << "228 KiB, of which each block takes 48";
    EXPECT_EQ(occupancy(2048, 0), 0);
}

TEST(Images, ThatAreNonePtxAreRefused)
{
    cudaLibrary_t library = nullptr;
    EXPECT_EQ(cudaLibraryLoadData(&library, "    ", nullptr, nullptr, 0, nullptr, nullptr, 0),
              cudaErrorInvalidKernelImage);
    EXPECT_EQ(cudaLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0), cudaErrorInvalidValue);
    cudaGetLastError();
}

} // namespace
