// Blocks of device memory and pinned host memory.
#include "runtime.h"

using cudasim::fail;
using cudasim::Stream;
using cudasim::Where;

namespace
{

cudaError_t allocate(void **pointer, size_t bytes, bool host)
{
    if (!pointer)
        return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (!bytes)
        return cudaSuccess;
    *pointer = (void *)cudasim::allocate(bytes, host);
    return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}

/** Reports what is not a living block of the kind; a block that was freed is reported by release(). */
bool right_kind(void *pointer, Where kind, const char *call)
{
    const Where found = cudasim::where_is((uint64_t)pointer, nullptr, nullptr);
    if (found == kind || found == Where::freed)
        return true;
    cudasim::report_host("%s of %p: %s", call, pointer,
                         found == Where::none     ? "not memory of CUDA"
                         : found == Where::device ? "that is device memory"
                                                  : "that is host memory");
    return false;
}

/** Work that uses the block is finished first, as CUDA does. */
cudaError_t free_block(void *pointer, Where kind, const char *call)
{
    if (const cudaError_t error = cudasim::forbidden_while_capturing())
        return error;
    if (!pointer)
        return cudaSuccess;
    cudasim::wait_for_everything();
    if (const cudaError_t error = cudasim::usable())
        return error;
    return right_kind(pointer, kind, call) && cudasim::release((uint64_t)pointer) ? cudaSuccess : cudaErrorInvalidValue;
}

} // namespace

CUDASIM_API cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    CUDASIM_CALL;
    if (const cudaError_t error = cudasim::forbidden_while_capturing())
        return fail(error);
    return fail(allocate(pointer, bytes, false));
}

CUDASIM_API cudaError_t cudaMallocPitch(void **pointer, size_t *pitch, size_t width, size_t height)
{
    constexpr size_t kPitch = 512;
    if (!pitch)
        return fail(cudaErrorInvalidValue);
    *pitch = (width + kPitch - 1) / kPitch * kPitch;
    return cudaMalloc(pointer, *pitch * height);
}

CUDASIM_API cudaError_t cudaFree(void *pointer)
{
    CUDASIM_CALL;
    const Where found = cudasim::where_is((uint64_t)pointer, nullptr, nullptr);
    const bool managed = found == Where::host; /* cudaMallocManaged's is freed here too */
    return fail(free_block(pointer, managed ? Where::host : Where::device, "cudaFree"));
}

CUDASIM_API cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    CUDASIM_CALL;
    const unsigned known = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
    if (flags & ~known)
        return fail(cudaErrorInvalidValue);
    if (const cudaError_t error = cudasim::forbidden_while_capturing())
        return fail(error);
    return fail(allocate(pointer, bytes, true));
}

CUDASIM_API cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

CUDASIM_API cudaError_t cudaMallocManaged(void **pointer, size_t bytes, unsigned flags)
{
    if (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost)
        return fail(cudaErrorInvalidValue);
    return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

CUDASIM_API cudaError_t cudaFreeHost(void *pointer)
{
    CUDASIM_CALL;
    return fail(free_block(pointer, Where::host, "cudaFreeHost"));
}

CUDASIM_API cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned)
{
    CUDASIM_CALL;
    if (!device || cudasim::where_is((uint64_t)host, nullptr, nullptr) != Where::host)
        return fail(cudaErrorInvalidValue);
    *device = host;
    return cudaSuccess;
}

/** The address is known at once; the memory is used in the stream's order. */
CUDASIM_API cudaError_t cudaMallocAsync(void **pointer, size_t bytes, cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    return fail(stream->capture ? cudasim::forbidden_on(stream) : allocate(pointer, bytes, false));
}

CUDASIM_API cudaError_t cudaFreeAsync(void *pointer, cudaStream_t handle)
{
    CUDASIM_CALL;
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return fail(cudaErrorInvalidResourceHandle);
    if (stream->capture)
        return fail(cudasim::forbidden_on(stream));
    if (!pointer || !right_kind(pointer, Where::device, "cudaFreeAsync"))
        return fail(pointer ? cudaErrorInvalidValue : cudaSuccess);
    return fail(cudasim::enqueue(stream, {cudaGraphNodeTypeMemFree, [pointer] {
                                              if (!cudasim::release((uint64_t)pointer))
                                                  cudasim::break_context(cudaErrorInvalidValue);
                                          }}));
}

CUDASIM_API cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    CUDASIM_CALL;
    if (!free || !total)
        return fail(cudaErrorInvalidValue);
    *total = cudasim::memory_capacity();
    *free = *total - cudasim::memory_used();
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *pointer)
{
    CUDASIM_CALL;
    if (!attributes)
        return fail(cudaErrorInvalidValue);
    *attributes = cudaPointerAttributes();
    const Where found = cudasim::where_is((uint64_t)pointer, nullptr, nullptr);
    if (found == Where::device || found == Where::host) {
        attributes->type = found == Where::device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
        attributes->devicePointer = (void *)pointer;
        attributes->hostPointer = found == Where::host ? (void *)pointer : nullptr;
    }
    return cudaSuccess;
}
