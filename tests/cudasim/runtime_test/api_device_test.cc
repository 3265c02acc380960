// The device, versions, errors. What changes a whole process runs in a child: EXPECT_EXIT with the thread-safe style
// starts the program anew.
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace
{

class DeviceDeathTest : public testing::Test
{
  protected:
    void SetUp() override
    {
        GTEST_FLAG_SET(death_test_style, "threadsafe");
    }
};

TEST(Device, IsDescribedLikeAnH100)
{
    int count = 0, device = -1, value = 0;
    cudaDeviceProp properties;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
    EXPECT_EQ(properties.major * 10 + properties.minor, 90);
    EXPECT_EQ(properties.multiProcessorCount, 132);
    EXPECT_EQ(properties.sharedMemPerBlockOptin, 227u * 1024);
    EXPECT_EQ(properties.maxGridSize[1], 65535);
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
    EXPECT_EQ(value, properties.multiProcessorCount);
    EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Device, VersionsAreThoseOfTheHeaders)
{
    int driver = 0, runtime = 0;
    EXPECT_EQ(cudaDriverGetVersion(&driver), cudaSuccess);
    EXPECT_EQ(cudaRuntimeGetVersion(&runtime), cudaSuccess);
    EXPECT_EQ(runtime, CUDART_VERSION);
    EXPECT_GE(driver, runtime);
}

TEST(Errors, HaveNamesAndTexts)
{
    EXPECT_STREQ(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
    EXPECT_STREQ(cudaGetErrorString(cudaErrorIllegalAddress), "an illegal memory access was encountered");
    EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    EXPECT_STREQ(cudaGetErrorName((cudaError_t)1001), "unrecognized error code");
}

TEST(Errors, TheLastOneStaysUntilItIsTaken)
{
    static char other;
    const cudaStream_t no_stream = (cudaStream_t)&other;
    EXPECT_EQ(cudaStreamDestroy(no_stream), cudaErrorInvalidResourceHandle);
    int count;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

[[noreturn]] void leave(bool right)
{
    std::_Exit(right ? 0 : 1);
}

void without_driver()
{
    setenv("CUDASIM_DRIVER", "0", 1);
    int count = -7, version = -7;
    void *memory = &count;
    bool right = cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver && count == -7;
    right = right && cudaDriverGetVersion(&version) == cudaSuccess && version == 0;
    right = right && cudaMalloc(&memory, 4) == cudaErrorInsufficientDriver && memory == &count;
    leave(right && cudaGetLastError() == cudaErrorInsufficientDriver);
}

TEST_F(DeviceDeathTest, WithoutADriverArgumentsStayUntouched)
{
    EXPECT_EXIT(without_driver(), testing::ExitedWithCode(0), "");
}

void without_device()
{
    setenv("CUDASIM_DEVICES", "0", 1);
    int count = -7;
    leave(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == -7 && cudaSetDevice(0) == cudaErrorNoDevice);
}

TEST_F(DeviceDeathTest, WithoutADeviceThereIsNone)
{
    EXPECT_EXIT(without_device(), testing::ExitedWithCode(0), "");
}

/** The launch succeeds, the wait tells of the fault, and so does every call from then on. */
void fault()
{
    float *y;
    bool right = cudaMalloc((void **)&y, 128) == cudaSuccess && cudaMemset(y, 0, 128) == cudaSuccess;
    right = right && add(y, 1, 64) == cudaSuccess;
    right = right && cudaDeviceSynchronize() == cudaErrorIllegalAddress;
    right = right && cudaGetLastError() == cudaErrorIllegalAddress;
    right = right && cudaGetLastError() == cudaErrorIllegalAddress;
    right = right && cudaMemset(y, 0, 128) == cudaErrorIllegalAddress;
    leave(right && cudaFree(y) == cudaErrorIllegalAddress && cudaStreamSynchronize(nullptr) == cudaErrorIllegalAddress);
}

TEST_F(DeviceDeathTest, AFaultStays)
{
    EXPECT_EXIT(fault(), testing::ExitedWithCode(0), "out of bounds");
}

void double_free()
{
    float *y;
    cudaMalloc((void **)&y, 128);
    cudaFree(y);
    cudaFree(y);
    std::exit(0);
}

TEST_F(DeviceDeathTest, ReportsGiveExitCode86)
{
    EXPECT_EXIT(double_free(), testing::ExitedWithCode(86), "double free(.|\n)*cudasim: 1 reports in all");
}

} // namespace
