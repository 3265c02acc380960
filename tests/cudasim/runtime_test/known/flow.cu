// Launches by <<<>>> on streams, with events and graphs.
#include "known.h"

__global__ void add_to(float *x, float value)
{
    x[threadIdx.x] += value;
}

__global__ void scale_by(float *x, float value)
{
    x[threadIdx.x] *= value;
}

KNOWN(streams)
{
    cudaStream_t first, second;
    cudaEvent_t event;
    must(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    must(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    must(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    const Device<float> x(std::vector<float>(64, 1));
    for (int i = 0; i < 5; i++) {
        add_to<<<1, 64, 0, first>>>(x.at, 1);
        must(cudaEventRecord(event, first));
        must(cudaStreamWaitEvent(second, event));
        scale_by<<<1, 64, 0, second>>>(x.at, 2);
        must(cudaEventRecord(event, second));
        must(cudaStreamWaitEvent(first, event));
    }
    must(cudaStreamSynchronize(first));
    expect(x.get(), std::vector<double>(64, 94), 0);
    must(cudaEventDestroy(event));
    must(cudaStreamDestroy(first));
    must(cudaStreamDestroy(second));
}

KNOWN(graphs)
{
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    must(cudaStreamCreate(&stream));
    const Device<float> x(std::vector<float>(64, 1));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 3; i++) {
        add_to<<<1, 64, 0, stream>>>(x.at, 1);
        scale_by<<<1, 64, 0, stream>>>(x.at, 2);
    }
    must(cudaStreamEndCapture(stream, &graph));
    must(cudaGraphInstantiate(&executable, graph));
    double expected = 1;
    for (int launch = 0; launch < 4; launch++) {
        must(cudaGraphLaunch(executable, stream));
        for (int i = 0; i < 3; i++)
            expected = (expected + 1) * 2;
    }
    must(cudaStreamSynchronize(stream));
    expect(x.get(), std::vector<double>(64, expected), 0);
    must(cudaGraphExecDestroy(executable));
    must(cudaGraphDestroy(graph));
    must(cudaStreamDestroy(stream));
}

/** A kernel may need more shared memory than a block has without asking. */
__global__ void reverse(float *x, int n)
{
    extern __shared__ float s[];
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        s[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        x[i] = s[n - 1 - i];
}

KNOWN(large_shared_memory)
{
    const int n = 20000, bytes = n * (int)sizeof(float);
    const std::vector<float> x = numbers(n);
    const Device<float> in(x);
    must(cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    reverse<<<1, 512, bytes>>>(in.at, n);
    must(cudaGetLastError());
    expect(in.get(), std::vector<double>(x.rbegin(), x.rend()), 0);
}
