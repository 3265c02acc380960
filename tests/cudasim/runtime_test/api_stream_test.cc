// Streams, events and host functions: what runs when, and that queued work does not run before something waits.
#include "kernels.h"

namespace
{

TEST(Streams, RunNothingBeforeSomethingWaits)
{
    const TestStream stream;
    const DeviceArray<float> y(constant(1, 0));
    const Pinned host(1);
    EXPECT_EQ(add(y.at(), 1, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(host.at(), y.at(), 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
    EXPECT_EQ(*host.at(), 0);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
    EXPECT_EQ(*host.at(), 1);
    cudaGetLastError();
}

TEST(Streams, TheLegacyStreamWaitsForBlockingStreamsOnly)
{
    const TestStream blocking(cudaStreamDefault), free(cudaStreamNonBlocking);
    const DeviceArray<float> y(constant(2, 0));
    EXPECT_EQ(add(y.at(), 1, 1, blocking), cudaSuccess);
    EXPECT_EQ(add(y.at() + 1, 1, 1, free), cudaSuccess);
    EXPECT_EQ(y.get(), (std::vector<float>{1, 0})) << "the copy runs on the legacy stream";
    EXPECT_EQ(cudaStreamQuery(free), cudaErrorNotReady);
    cudaGetLastError();
}

TEST(Streams, BlockingStreamsWaitForTheLegacyStream)
{
    const TestStream blocking(cudaStreamDefault);
    const DeviceArray<float> y(constant(1, 0));
    EXPECT_EQ(cudaMemset(y.at(), 0, 4), cudaSuccess);
    EXPECT_EQ(add(y.at(), 5, 1), cudaSuccess);
    const Pinned host(1);
    EXPECT_EQ(cudaMemcpyAsync(host.at(), y.at(), 4, cudaMemcpyDeviceToHost, blocking), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(blocking), cudaSuccess);
    EXPECT_EQ(*host.at(), 5);
}

TEST(Streams, FinishTheirWorkAfterTheyAreDestroyed)
{
    const DeviceArray<float> y(constant(1, 0));
    cudaStream_t stream;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(add(y.at(), 1, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(y.get(), constant(1, 1));
    cudaGetLastError();
}

TEST(Streams, HavePriorities)
{
    int least = 1, greatest = 1, priority = 1;
    unsigned flags = 0;
    cudaStream_t stream;
    EXPECT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
    EXPECT_LT(greatest, least);
    EXPECT_EQ(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest - 10), cudaSuccess);
    EXPECT_EQ(cudaStreamGetPriority(stream, &priority), cudaSuccess);
    EXPECT_EQ(priority, greatest);
    EXPECT_EQ(cudaStreamGetFlags(stream, &flags), cudaSuccess);
    EXPECT_EQ(flags, (unsigned)cudaStreamNonBlocking);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

class Events : public testing::Test
{
  protected:
    void SetUp() override
    {
        ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
    }
    void TearDown() override
    {
        EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
        cudaGetLastError();
    }
    const TestStream first, second;
    cudaEvent_t event = nullptr;
};

TEST_F(Events, OrderTwoStreams)
{
    const DeviceArray<float> y(constant(1, 1));
    const Pinned host(1);
    EXPECT_EQ(add(y.at(), 1, 1, first), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event, first), cudaSuccess);
    EXPECT_EQ(add(y.at(), 10, 1, first), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(host.at(), y.at(), 4, cudaMemcpyDeviceToHost, second), cudaSuccess);
    EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
    EXPECT_EQ(cudaStreamSynchronize(second), cudaSuccess);
    EXPECT_EQ(*host.at(), 2) << "what came before the event, and not what came after";
    EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(first), cudaSuccess);
    EXPECT_EQ(y.get(), constant(1, 12));
}

TEST_F(Events, ThatWereNeverRecordedAreReady)
{
    float time;
    EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
    EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(first, event, 0), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&time, event, event), cudaErrorInvalidResourceHandle);
}

TEST_F(Events, MeasureTime)
{
    const DeviceArray<float> y(constant(1, 1));
    cudaEvent_t end;
    float time = -1;
    EXPECT_EQ(cudaEventCreate(&end), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event, first), cudaSuccess);
    EXPECT_EQ(add(y.at(), 1, 1, first), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(end, first), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&time, event, end), cudaErrorNotReady);
    EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&time, event, end), cudaSuccess);
    EXPECT_GT(time, 0);
    EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
}

struct Heard {
    int calls = 0;
    cudaError_t inside = cudaSuccess;
};

void listen(void *data)
{
    Heard *heard = (Heard *)data;
    heard->calls++;
    heard->inside = cudaDeviceSynchronize();
}

TEST(HostFunctions, RunInOrderAndMayNotCallCuda)
{
    const TestStream stream;
    Heard heard;
    EXPECT_EQ(cudaLaunchHostFunc(stream, listen, &heard), cudaSuccess);
    EXPECT_EQ(heard.calls, 0);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(heard.calls, 1);
    EXPECT_EQ(heard.inside, cudaErrorNotPermitted);
    cudaGetLastError();
}

} // namespace
