// Events: a point of a stream's work, or of a capture.
#include <chrono>
#include <set>

#include "runtime.h"

using cudasim::fail;
using cudasim::Stream;

namespace
{

std::set<cudaEvent_t> &events()
{
    static std::set<cudaEvent_t> &all = *new std::set<cudaEvent_t>;
    return all;
}

bool exists(cudaEvent_t event)
{
    return events().count(event) != 0;
}

double clock_milliseconds()
{
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(since).count();
}

cudaError_t record(cudaEvent_t event, Stream *stream)
{
    if (stream->capture)
        return cudasim::capture_record(stream, event);
    const auto stamp = std::make_shared<double>(0);
    if (const cudaError_t error =
            cudasim::enqueue(stream, {cudaGraphNodeTypeEventRecord, [stamp] { *stamp = clock_milliseconds(); }}))
        return error;
    event->capture.reset();
    event->leaves.clear();
    event->at = cudasim::now(stream);
    event->milliseconds = stamp;
    event->recorded = true;
    return cudaSuccess;
}

/** Events that were recorded in a capture are not points in time. */
cudaError_t check(cudaEvent_t event)
{
    if (!exists(event))
        return cudaErrorInvalidResourceHandle;
    return event->capture ? cudaErrorCapturedEvent : cudaSuccess;
}

} // namespace

CUDASIM_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    CUDASIM_CALL;
    const unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
    if (!event || (flags & ~known) || ((flags & cudaEventInterprocess) && !(flags & cudaEventDisableTiming)))
        return fail(cudaErrorInvalidValue);
    *event = new CUevent_st;
    (*event)->timed = !(flags & cudaEventDisableTiming);
    events().insert(*event);
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

CUDASIM_API cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    CUDASIM_CALL;
    if (!events().erase(event))
        return fail(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream || !exists(event))
        return fail(cudaErrorInvalidResourceHandle);
    return fail(record(event, stream));
}

CUDASIM_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned flags)
{
    return flags == cudaEventRecordDefault ? cudaEventRecord(event, handle) : fail(cudaErrorNotSupported);
}

CUDASIM_API cudaError_t cudaEventQuery(cudaEvent_t event)
{
    CUDASIM_CALL;
    if (const cudaError_t error = check(event))
        return fail(error);
    return event->at.reached() ? cudaSuccess : cudaErrorNotReady;
}

CUDASIM_API cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    CUDASIM_CALL;
    if (const cudaError_t error = check(event))
        return fail(error);
    if (event->recorded)
        cudasim::run_until(event->at);
    return fail(cudasim::usable());
}

CUDASIM_API cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    CUDASIM_CALL;
    for (cudaEvent_t event : {begin, end}) {
        if (const cudaError_t error = check(event))
            return fail(error);
        if (!event->recorded || !event->timed)
            return fail(cudaErrorInvalidResourceHandle);
        if (!event->at.reached())
            return fail(cudaErrorNotReady);
    }
    *milliseconds = (float)(*end->milliseconds - *begin->milliseconds);
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream || !exists(event))
        return fail(cudaErrorInvalidResourceHandle);
    if (flags != cudaEventWaitDefault)
        return fail(cudaErrorNotSupported);
    bool done = false;
    if (const cudaError_t error = cudasim::capture_wait(stream, event, &done))
        return fail(error);
    if (!done && event->recorded)
        cudasim::add_wait(stream, event->at);
    return cudaSuccess;
}
