// What the host does wrong: copies, frees, launches, synchronisation.
#include "bug.h"

template <bool wrong> void run_double_free()
{
    float *x;
    cudaMalloc((void **)&x, 256);
    cudaFree(x);
    if (wrong)
        cudaFree(x); // planted on the host double_free: double free
}
BUG(double_free);

template <bool wrong> void run_wrong_free()
{
    float *x;
    cudaMalloc((void **)&x, 256);
    if (wrong)
        cudaFreeHost(x); // planted on the host wrong_free: cudaFreeHost of .*: that is device memory
    cudaFree(x);
}
BUG(wrong_free);

template <bool wrong> void run_copy_bounds()
{
    Device<float> x(64);
    const std::vector<float> host(80);
    const size_t bytes = (wrong ? 80 : 64) * sizeof(float);
    // planted on the host copy_bounds: cudaMemcpy of 320 bytes: the destination has only 256 to its end
    cudaMemcpy(x.at, host.data(), bytes, cudaMemcpyHostToDevice);
}
BUG(copy_bounds);

template <bool wrong> void run_fill_bounds()
{
    Device<float> x(64);
    cudaMemset(x.at, 0, wrong ? 257 : 256); // planted on the host fill_bounds: cudaMemset of 257 bytes: .* only 256
}
BUG(fill_bounds);

template <bool wrong> void run_copy_uninitialised()
{
    Device<float> x(64);
    if (!wrong)
        x.zero();
    std::vector<float> host(64);
    // planted on the host copy_uninitialised: cudaMemcpy reads uninitialised device memory
    cudaMemcpy(host.data(), x.at, 256, cudaMemcpyDeviceToHost);
}
BUG(copy_uninitialised);

template <bool wrong> void run_copy_after_free()
{
    float *x;
    std::vector<float> host(64);
    cudaMalloc((void **)&x, 256);
    cudaMemset(x, 0, 256);
    if (wrong)
        cudaFree(x);
    // planted on the host copy_after_free: cudaMemcpy of 256 bytes: the source is freed memory
    cudaMemcpy(host.data(), x, 256, cudaMemcpyDeviceToHost);
    if (!wrong)
        cudaFree(x);
}
BUG(copy_after_free);

template <bool wrong> void run_copy_direction()
{
    Device<float> x(64);
    const std::vector<float> host(64);
    // planted on the host copy_direction: cudaMemcpy: wrong direction: the destination is device memory
    cudaMemcpy(x.at, host.data(), 256, wrong ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice);
}
BUG(copy_direction);

template <bool wrong> void run_copy_of_host()
{
    Device<float> x(64);
    const std::vector<float> host(64);
    // planted on the host copy_of_host: cudaMemcpy: the source 0x[0-9a-f]+ is not device memory
    cudaMemcpy(x.at, host.data(), 256, wrong ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice);
}
BUG(copy_of_host);

__global__ void fill(float *x, float value)
{
    extern __shared__ float s[];
    s[threadIdx.x] = value;
    x[threadIdx.x] = s[threadIdx.x];
}

template <bool wrong> void run_large_block()
{
    Device<float> x(2048);
    // planted on the host large_block: launch of .*fill.*: threads a block: 2048, the limit is 1024
    fill<<<1, wrong ? 2048 : 1024, 8192>>>(x.at, 1);
}
BUG(large_block);

template <bool wrong> void run_large_grid()
{
    Device<float> x(32);
    // planted on the host large_grid: launch of .*fill.*: grid.y: 65536, the limit is 65535
    if (wrong)
        fill<<<dim3(1, 65536), 32, 128>>>(x.at, 1);
    else
        fill<<<dim3(1, 1), 32, 128>>>(x.at, 1);
}
BUG(large_grid);

template <bool wrong> void run_large_shared()
{
    Device<float> x(32);
    if (!wrong)
        cudaFuncSetAttribute(fill, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536);
    // planted on the host large_shared: launch of .*fill.*: bytes of dynamic shared memory: 65536, the limit is 49152
    fill<<<1, 32, 65536>>>(x.at, 1);
}
BUG(large_shared);

/** Nothing waits for the copy to pinned memory: the host sees what was there before, here an index out of bounds. */
template <bool wrong> void run_missing_stream_wait()
{
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    Device<float> x(32);
    float *host, *y;
    cudaMallocHost((void **)&host, 128);
    cudaMalloc((void **)&y, 128);
    host[0] = 1000;
    fill<<<1, 32, 128, stream>>>(x.at, 32);
    cudaMemcpyAsync(host, x.at, 128, cudaMemcpyDeviceToHost, stream);
    if (!wrong)
        cudaStreamSynchronize(stream);
    // planted on the host missing_stream_wait: cudaMemset of 4000 bytes: the destination has only 128 to its end
    cudaMemset(y, 0, (size_t)host[0] * sizeof(float));
    cudaDeviceSynchronize();
    cudaFree(y);
    cudaFreeHost(host);
    cudaStreamDestroy(stream);
}
BUG(missing_stream_wait);

template <bool wrong> __global__ void missing_event(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x]; // planted missing_event: uninitialised
}

template <bool wrong> void run_missing_event()
{
    cudaStream_t first, second;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    Device<float> x(32), y(32);
    fill<<<1, 32, 128, first>>>(x.at, 1);
    cudaEventRecord(event, first);
    if (!wrong)
        cudaStreamWaitEvent(second, event, 0);
    missing_event<wrong><<<1, 32, 0, second>>>(x.at, y.at);
    cudaStreamSynchronize(second);
    cudaDeviceSynchronize();
    cudaEventDestroy(event);
    cudaStreamDestroy(first);
    cudaStreamDestroy(second);
}
BUG(missing_event);

/** A branch of a graph that does not wait for the one that makes its input. */
template <bool wrong> __global__ void missing_graph_edge(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x]; // planted missing_graph_edge: uninitialised
}

template <bool wrong> void run_missing_graph_edge()
{
    Device<float> x(32), y(32);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    cudaGraphNode_t make, use;
    float one = 1;
    void *fill_args[] = {&x.at, &one}, *use_args[] = {&x.at, &y.at};
    cudaKernelNodeParams params = {};
    params.func = (void *)fill;
    params.gridDim = dim3(1);
    params.blockDim = dim3(32);
    params.sharedMemBytes = 128;
    params.kernelParams = fill_args;
    cudaGraphCreate(&graph, 0);
    cudaGraphAddKernelNode(&make, graph, nullptr, 0, &params);
    params.func = (void *)missing_graph_edge<wrong>;
    params.sharedMemBytes = 0;
    params.kernelParams = use_args;
    cudaGraphAddKernelNode(&use, graph, &make, wrong ? 0 : 1, &params);
    cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphLaunch(executable, 0);
    cudaDeviceSynchronize();
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
}
BUG(missing_graph_edge);

template <bool wrong> void run_leak()
{
    void *x;
    cudaMalloc(&x, 256);
    if (!wrong)
        cudaFree(x); // planted on the host leak: leak: 1 blocks of memory were never freed
}
BUG(leak);

template <bool wrong> void run_nothing_waits()
{
    static float *x;
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaMallocHost((void **)&x, 128);
    fill<<<1, 32, 128, stream>>>(x, 1);
    if (wrong)
        std::exit(0); // planted on the host nothing_waits: 1 operations were queued and nothing waited for them
    cudaStreamSynchronize(stream);
    cudaFreeHost(x);
}
BUG(nothing_waits);
