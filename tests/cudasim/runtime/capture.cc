// Capture of streams into a graph. A stream joins a capture when it waits for an event that was recorded in it. A call
// that is not allowed makes the capture void: cudaStreamEndCapture then returns cudaErrorStreamCaptureInvalidated.
#include <algorithm>
#include <thread>

#include "graph.h"

using cudasim::Capture;
using cudasim::fail;
using cudasim::Node;
using cudasim::Stream;

namespace cudasim
{

struct Capture {
    cudaGraph_t graph = nullptr;
    Stream *origin = nullptr;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    std::thread::id thread = std::this_thread::get_id();
    unsigned long long id = 0;
    bool valid = true;
};

namespace
{

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
unsigned long long captures_begun;

cudaError_t invalidate(Capture &capture, cudaError_t why)
{
    if (!capture.valid)
        return cudaErrorStreamCaptureInvalidated;
    capture.valid = false;
    return why;
}

/** Whether a call of this thread that may synchronise breaks the capture. */
bool forbids(const Capture &capture)
{
    if (thread_mode == cudaStreamCaptureModeRelaxed || capture.mode == cudaStreamCaptureModeRelaxed)
        return false;
    const bool own = capture.thread == std::this_thread::get_id();
    return own || (capture.mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal);
}

void merge(std::vector<Node *> &into, const std::vector<Node *> &from)
{
    for (Node *node : from)
        if (std::find(into.begin(), into.end(), node) == into.end())
            into.push_back(node);
}

/** All streams leave the capture; says whether every one's work comes before the origin's end. */
bool close(const std::shared_ptr<Capture> &capture)
{
    const std::vector<Node *> end = capture->origin->leaves;
    bool joined = true;
    for (const auto &stream : all_streams()) {
        if (stream->capture != capture)
            continue;
        joined = joined && all_reach(stream->leaves, end);
        stream->capture.reset();
        stream->leaves.clear();
    }
    return joined;
}

cudaError_t begin(Stream *stream, cudaStreamCaptureMode mode)
{
    if (stream == find_stream(cudaStreamLegacy))
        return cudaErrorStreamCaptureUnsupported;
    if (stream->capture)
        return cudaErrorIllegalState;
    const auto capture = std::make_shared<Capture>();
    capture->graph = new_graph();
    capture->origin = stream;
    capture->mode = mode;
    capture->id = ++captures_begun;
    stream->capture = capture;
    return cudaSuccess;
}

cudaError_t end(Stream *stream, cudaGraph_t *graph)
{
    *graph = nullptr;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (!capture)
        return cudaErrorIllegalState;
    if (capture->origin != stream)
        return invalidate(*capture, cudaErrorStreamCaptureUnmatched);
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    const bool joined = close(capture);
    if (capture->valid && joined) {
        *graph = capture->graph;
        return cudaSuccess;
    }
    delete_graph(capture->graph);
    return capture->valid ? cudaErrorStreamCaptureUnjoined : cudaErrorStreamCaptureInvalidated;
}

} // namespace

cudaError_t forbidden_while_capturing()
{
    for (const auto &stream : all_streams())
        if (stream->capture && forbids(*stream->capture))
            return invalidate(*stream->capture, cudaErrorStreamCaptureUnsupported);
    return cudaSuccess;
}

cudaError_t forbidden_on(Stream *stream)
{
    if (stream->capture)
        return invalidate(*stream->capture, cudaErrorStreamCaptureUnsupported);
    if (stream == find_stream(cudaStreamLegacy))
        for (const auto &other : all_streams())
            if (other->blocking && other->capture)
                return invalidate(*other->capture, cudaErrorStreamCaptureImplicit);
    return cudaSuccess;
}

cudaError_t capture_operation(Stream *stream, Operation operation)
{
    Capture &capture = *stream->capture;
    if (!capture.valid)
        return cudaErrorStreamCaptureInvalidated;
    stream->leaves = {add_node(capture.graph, stream->leaves, std::move(operation))};
    return cudaSuccess;
}

cudaError_t capture_record(Stream *stream, cudaEvent_t event)
{
    if (!stream->capture->valid)
        return cudaErrorStreamCaptureInvalidated;
    event->capture = stream->capture;
    event->leaves = stream->leaves;
    return cudaSuccess;
}

cudaError_t capture_wait(Stream *stream, cudaEvent_t event, bool *done)
{
    if (!stream->capture && !event->capture)
        return cudaSuccess;
    *done = true;
    if (!event->capture)
        return invalidate(*stream->capture, cudaErrorStreamCaptureIsolation);
    if (event->capture->origin->capture != event->capture) /* of a capture that has ended */
        return cudaErrorCapturedEvent;
    if (!event->capture->valid)
        return cudaErrorStreamCaptureInvalidated;
    if (stream->capture && stream->capture != event->capture) {
        invalidate(*event->capture, cudaErrorStreamCaptureMerge);
        return invalidate(*stream->capture, cudaErrorStreamCaptureMerge);
    }
    if (stream == find_stream(cudaStreamLegacy))
        return invalidate(*event->capture, cudaErrorStreamCaptureImplicit);
    stream->capture = event->capture;
    merge(stream->leaves, event->leaves);
    return cudaSuccess;
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    return fail(stream ? cudasim::begin(stream, mode) : cudaErrorInvalidResourceHandle);
}

CUDASIM_API cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!graph)
        return fail(cudaErrorInvalidValue);
    return fail(stream ? cudasim::end(stream, graph) : cudaErrorInvalidResourceHandle);
}

CUDASIM_API cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    if (!stream->capture) {
        *status = cudaStreamCaptureStatusNone;
        return fail(cudasim::forbidden_on(stream)); /* the legacy stream beside a capture */
    }
    *status = stream->capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode)
{
    CUDASIM_CALL;
    std::swap(*mode, cudasim::thread_mode);
    return cudaSuccess;
}
