// Capture, its rules, and graphs. The codes are those of CUDA's documentation.
#include "kernels.h"

namespace
{

class Graphs : public testing::Test
{
  protected:
    void TearDown() override
    {
        if (executable) {
            EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
        }
        if (graph) {
            EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
        }
        cudaGetLastError();
    }
    void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal)
    {
        ASSERT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
    }
    void expect_void()
    {
        EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        EXPECT_EQ(graph, nullptr);
    }
    void launch(int times = 1)
    {
        for (int i = 0; i < times; i++)
            ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
        ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    }
    size_t nodes() const
    {
        size_t count = 0;
        EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
        return count;
    }
    const TestStream stream;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
};

TEST_F(Graphs, CaptureRunsNothingAndLaunchesRepeat)
{
    const DeviceArray<float> y(constant(3, 1));
    begin();
    EXPECT_EQ(cudaMemsetAsync(y.at(), 0, 4, stream), cudaSuccess);
    EXPECT_EQ(add(y.at(), 2, 3, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(nodes(), 2u);
    EXPECT_EQ(y.get(), constant(3, 1));
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    launch(3);
    EXPECT_EQ(y.get(), (std::vector<float>{2, 7, 7}));
}

TEST_F(Graphs, OtherStreamsJoinByEvents)
{
    const TestStream other;
    const DeviceArray<float> x(constant(1, 1)), y(constant(1, 0));
    cudaEvent_t fork, join;
    EXPECT_EQ(cudaEventCreate(&fork), cudaSuccess);
    EXPECT_EQ(cudaEventCreate(&join), cudaSuccess);
    begin();
    EXPECT_EQ(add(x.at(), 1, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(fork, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    cudaStreamCaptureStatus status;
    EXPECT_EQ(cudaStreamIsCapturing(other, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusActive);
    EXPECT_EQ(cudaMemcpyAsync(y.at(), x.at(), 4, cudaMemcpyDeviceToDevice, other), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(join, other), cudaSuccess);
    EXPECT_EQ(cudaEventQuery(join), cudaErrorCapturedEvent);
    EXPECT_EQ(cudaStreamWaitEvent(stream, join, 0), cudaSuccess);
    EXPECT_EQ(add(y.at(), 10, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaStreamIsCapturing(other, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusNone);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    launch();
    EXPECT_EQ(y.get(), constant(1, 12));
    EXPECT_EQ(cudaEventDestroy(fork), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(join), cudaSuccess);
}

TEST_F(Graphs, StreamsThatDoNotJoinAgainAreAnError)
{
    const TestStream other;
    const DeviceArray<float> y(constant(1, 0));
    cudaEvent_t fork;
    EXPECT_EQ(cudaEventCreate(&fork), cudaSuccess);
    begin();
    EXPECT_EQ(cudaEventRecord(fork, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    EXPECT_EQ(add(y.at(), 1, 1, other), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(cudaEventDestroy(fork), cudaSuccess);
}

TEST_F(Graphs, WaitingForTheStreamVoidsTheCapture)
{
    begin();
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    cudaStreamCaptureStatus status;
    EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    expect_void();
}

TEST_F(Graphs, WaitingForTheDeviceVoidsTheCapture)
{
    begin();
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
    expect_void();
}

TEST_F(Graphs, AllocationVoidsACaptureThatIsNotRelaxed)
{
    void *block = nullptr;
    begin(cudaStreamCaptureModeGlobal);
    EXPECT_EQ(cudaMalloc(&block, 4), cudaErrorStreamCaptureUnsupported);
    expect_void();
    begin(cudaStreamCaptureModeThreadLocal);
    EXPECT_EQ(cudaMalloc(&block, 4), cudaErrorStreamCaptureUnsupported);
    expect_void();
    begin(cudaStreamCaptureModeRelaxed);
    EXPECT_EQ(cudaMalloc(&block, 4), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaFree(block), cudaSuccess);
}

TEST_F(Graphs, TheLegacyStreamVoidsTheCaptureOfABlockingStream)
{
    const TestStream blocking(cudaStreamDefault);
    const DeviceArray<float> y(constant(1, 0));
    float host;
    EXPECT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(&host, y.at(), 4, cudaMemcpyDeviceToHost), cudaErrorStreamCaptureImplicit);
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
}

TEST_F(Graphs, EventsFromOutsideVoidTheCapture)
{
    const TestStream other;
    cudaEvent_t outside;
    EXPECT_EQ(cudaEventCreate(&outside), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(outside, other), cudaSuccess);
    begin();
    EXPECT_EQ(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation);
    expect_void();
    EXPECT_EQ(cudaEventDestroy(outside), cudaSuccess);
}

TEST_F(Graphs, TwoCapturesDoNotMerge)
{
    const TestStream other;
    cudaEvent_t event;
    cudaGraph_t none = nullptr;
    EXPECT_EQ(cudaEventCreate(&event), cudaSuccess);
    begin();
    EXPECT_EQ(cudaStreamBeginCapture(other, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event, other), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(stream, event, 0), cudaErrorStreamCaptureMerge);
    EXPECT_EQ(cudaStreamEndCapture(other, &none), cudaErrorStreamCaptureInvalidated);
    expect_void();
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(Graphs, CaptureEndsOnItsOriginAndOnlyOnce)
{
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    begin();
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(nodes(), 0u);
}

void count(void *data)
{
    ++*(int *)data;
}

TEST_F(Graphs, AreMadeByHandToo)
{
    const DeviceArray<float> x(constant(2, 1)), y(2);
    int calls = 0;
    float *at = y.at(), a = 5;
    unsigned n = 2;
    void *args[] = {&at, &a, &n};
    cudaKernelNodeParams kernel = {};
    kernel.func = (void *)add_kernel();
    kernel.gridDim = dim3(1);
    kernel.blockDim = dim3(32);
    kernel.kernelParams = args;
    cudaHostNodeParams host = {};
    host.fn = count;
    host.userData = &calls;
    cudaGraphNode_t copy, launch_node, call;
    cudaGraphNodeType type;
    ASSERT_EQ(cudaGraphCreate(&graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphAddMemcpyNode1D(&copy, graph, nullptr, 0, y.at(), x.at(), 8, cudaMemcpyDeviceToDevice),
              cudaSuccess);
    EXPECT_EQ(cudaGraphAddKernelNode(&launch_node, graph, &copy, 1, &kernel), cudaSuccess);
    EXPECT_EQ(cudaGraphAddHostNode(&call, graph, &launch_node, 1, &host), cudaSuccess);
    EXPECT_EQ(cudaGraphNodeGetType(launch_node, &type), cudaSuccess);
    EXPECT_EQ(type, cudaGraphNodeTypeKernel);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    launch(2);
    EXPECT_EQ(y.get(), constant(2, 6));
    EXPECT_EQ(calls, 2);
    a = 7;
    EXPECT_EQ(cudaGraphExecKernelNodeSetParams(executable, launch_node, &kernel), cudaSuccess);
    launch();
    EXPECT_EQ(y.get(), constant(2, 8));
}

TEST_F(Graphs, UpdateChangesParametersButNotShape)
{
    const DeviceArray<float> y(constant(1, 0));
    begin();
    EXPECT_EQ(add(y.at(), 1, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    begin();
    EXPECT_EQ(add(y.at(), 10, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExecUpdateResultInfo info;
    EXPECT_EQ(cudaGraphExecUpdate(executable, graph, &info), cudaSuccess);
    launch();
    EXPECT_EQ(y.get(), constant(1, 10));
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    begin();
    EXPECT_EQ(add(y.at(), 10, 1, stream), cudaSuccess);
    EXPECT_EQ(add(y.at(), 10, 1, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphExecUpdate(executable, graph, &info), cudaErrorGraphExecUpdateFailure);
    EXPECT_EQ(info.result, cudaGraphExecUpdateErrorTopologyChanged);
}

} // namespace
