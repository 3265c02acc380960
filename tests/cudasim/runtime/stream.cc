// Streams as queues: work runs when something waits for it, so that a missing synchronisation shows as data that is not
// there yet. CUDASIM_EAGER=1 runs work at once. A task runs after the points that it names and after its predecessors.
#include <algorithm>
#include <cstdlib>

#include "runtime.h"

using cudasim::fail;
using cudasim::Point;
using cudasim::Stream;

namespace
{

constexpr int kLowestPriority = 0, kHighestPriority = -5; /* as on an H100 */

struct Streams {
    std::vector<std::shared_ptr<Stream>> all; /* the first is the legacy default stream, the second the thread's */
    unsigned long long made = 0;
    bool host_function = false;
    bool eager = std::getenv("CUDASIM_EAGER") && std::atoi(std::getenv("CUDASIM_EAGER"));

    Streams()
    {
        make(0, 0);
        make(0, 0);
    }
    Stream *make(unsigned flags, int priority)
    {
        const auto stream = std::make_shared<Stream>();
        stream->flags = flags;
        stream->blocking = !(flags & cudaStreamNonBlocking);
        stream->priority = priority;
        stream->id = ++made;
        all.push_back(stream);
        return stream.get();
    }
};

Streams &streams()
{
    static Streams &all = *new Streams;
    return all;
}

Stream *legacy()
{
    return streams().all[0].get();
}

/** Streams that were destroyed stay until their work is done. */
void forget_finished()
{
    auto &all = streams().all;
    const auto gone = [](const std::shared_ptr<Stream> &s) { return s->destroyed && s->tasks.empty(); };
    all.erase(std::remove_if(all.begin(), all.end(), gone), all.end());
}

/** The legacy stream waits for all blocking streams, and they for it. */
void add_implicit_waits(Stream *stream)
{
    if (stream != legacy()) {
        if (stream->blocking)
            cudasim::add_wait(stream, cudasim::now(legacy()));
        return;
    }
    for (const auto &other : streams().all)
        if (other.get() != stream && other->blocking)
            cudasim::add_wait(stream, cudasim::now(other.get()));
}

cudaError_t create(cudaStream_t *stream, unsigned flags, int priority)
{
    if (!stream || flags > cudaStreamNonBlocking)
        return cudaErrorInvalidValue;
    *stream = streams().make(flags, std::clamp(priority, kHighestPriority, kLowestPriority));
    return cudaSuccess;
}

} // namespace

namespace cudasim
{

bool Point::reached() const
{
    return !stream || stream->finished >= number;
}

const std::vector<std::shared_ptr<Stream>> &all_streams()
{
    return streams().all;
}

Stream *find_stream(cudaStream_t handle)
{
    if (!handle || handle == cudaStreamLegacy)
        return legacy();
    if (handle == cudaStreamPerThread)
        return streams().all[1].get();
    for (const auto &stream : streams().all)
        if (stream.get() == handle && !stream->destroyed)
            return handle;
    return nullptr;
}

Point now(Stream *stream)
{
    return {stream->shared_from_this(), stream->queued};
}

void add_wait(Stream *stream, const Point &point)
{
    if (!point.reached())
        stream->after.push_back(point);
}

void run_until(const Point &point)
{
    Stream &stream = *point.stream;
    while (stream.finished < point.number) {
        Stream::Task task = std::move(stream.tasks.front());
        stream.tasks.pop_front();
        for (const Point &before : task.after)
            run_until(before);
        if (!context_broken())
            task.run();
        stream.finished++;
    }
}

void wait_for(Stream *stream)
{
    if (stream == legacy())
        for (const auto &other : std::vector<std::shared_ptr<Stream>>(streams().all))
            if (other->blocking)
                run_until(now(other.get()));
    run_until(now(stream));
    for (const Point &before : stream->after)
        run_until(before);
    forget_finished();
}

void wait_for_everything()
{
    for (const auto &stream : std::vector<std::shared_ptr<Stream>>(streams().all))
        run_until(now(stream.get()));
    forget_finished();
}

size_t operations_waiting()
{
    size_t count = 0;
    for (const auto &stream : streams().all)
        count += stream->tasks.size();
    return count;
}

cudaError_t enqueue(Stream *stream, Operation operation)
{
    if (stream->capture)
        return capture_operation(stream, std::move(operation));
    if (const cudaError_t error = forbidden_on(stream))
        return error;
    add_implicit_waits(stream);
    stream->tasks.push_back({std::move(stream->after), std::move(operation.run)});
    stream->after.clear();
    stream->queued++;
    if (streams().eager)
        run_until(now(stream));
    return cudaSuccess;
}

cudaError_t run_synchronously(Operation operation)
{
    if (const cudaError_t error = enqueue(legacy(), std::move(operation)))
        return error;
    run_until(now(legacy()));
    return usable();
}

bool in_host_function()
{
    return streams().host_function;
}

std::function<void()> host_function(cudaHostFn_t function, void *data)
{
    return [=] {
        streams().host_function = true;
        function(data);
        streams().host_function = false;
    };
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    CUDASIM_CALL;
    return fail(create(stream, cudaStreamDefault, 0));
}

CUDASIM_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    CUDASIM_CALL;
    return fail(create(stream, flags, 0));
}

CUDASIM_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    CUDASIM_CALL;
    return fail(create(stream, flags, priority));
}

CUDASIM_API cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    CUDASIM_CALL;
    if (least)
        *least = kLowestPriority;
    if (greatest)
        *greatest = kHighestPriority;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamGetPriority(cudaStream_t handle, int *priority)
{
    CUDASIM_CALL;
    const Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    *priority = stream->priority;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned *flags)
{
    CUDASIM_CALL;
    const Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    *flags = stream->flags;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long *id)
{
    CUDASIM_CALL;
    const Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    *id = stream->id;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream || stream == legacy() || stream == streams().all[1].get())
        return fail(cudaErrorInvalidResourceHandle);
    if (const cudaError_t error = cudasim::forbidden_on(stream))
        return fail(error);
    stream->destroyed = true;
    forget_finished();
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    if (const cudaError_t error = cudasim::forbidden_on(stream))
        return fail(error);
    cudasim::wait_for(stream);
    return fail(cudasim::usable());
}

CUDASIM_API cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    if (const cudaError_t error = cudasim::forbidden_on(stream))
        return fail(error);
    return cudasim::now(stream).reached() ? cudaSuccess : cudaErrorNotReady;
}

CUDASIM_API cudaError_t cudaDeviceSynchronize()
{
    CUDASIM_CALL;
    for (const auto &stream : cudasim::all_streams())
        if (const cudaError_t error = stream->capture ? cudasim::forbidden_on(stream.get()) : cudaSuccess)
            return fail(error);
    cudasim::wait_for_everything();
    return fail(cudasim::usable());
}

CUDASIM_API cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *data)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    if (!function)
        return fail(cudaErrorInvalidValue);
    return fail(cudasim::enqueue(stream, {cudaGraphNodeTypeHost, cudasim::host_function(function, data)}));
}

/** For the stand-ins of libraries: work of theirs on a stream. `work` is copied. */
CUDASIM_API cudaError_t cudasim_enqueue(cudaStream_t handle, const std::function<void()> *work)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    return fail(cudasim::enqueue(stream, {cudaGraphNodeTypeKernel, *work}));
}
