// Copies and fills. Ranges and directions are checked at the call, validity when the work runs.
#include <cstring>

#include "runtime.h"

using cudasim::fail;
using cudasim::Operation;
using cudasim::Stream;
using cudasim::Where;

namespace
{

/** Rows of bytes from one place to another. */
struct Copy {
    uint8_t *to;
    size_t to_pitch;
    const uint8_t *from;
    size_t from_pitch, width, height;
    cudaMemcpyKind kind;
    const char *name;
};

bool kind_says_device(cudaMemcpyKind kind, bool target)
{
    return kind == cudaMemcpyDeviceToDevice || kind == (target ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost);
}

/** One side of a copy or a fill: is its whole range what the kind says it is? */
bool check_side(const Copy &copy, bool target)
{
    const uint64_t at = target ? (uint64_t)copy.to : (uint64_t)copy.from;
    const size_t bytes = (copy.height - 1) * (target ? copy.to_pitch : copy.from_pitch) + copy.width;
    const char *side = target ? "destination" : "source";
    uint64_t begin = 0, end = 0;
    const Where found = cudasim::where_is(at, &begin, &end);
    if (copy.kind != cudaMemcpyDefault) {
        const bool device = kind_says_device(copy.kind, target);
        if (!device && found == Where::device) {
            cudasim::report_host("%s: wrong direction: the %s is device memory", copy.name, side);
            return false;
        }
        if (device && found == Where::none) {
            cudasim::report_host("%s: the %s %#llx is not device memory", copy.name, side, (unsigned long long)at);
            return false;
        }
    }
    if (found == Where::none)
        return true;
    if (found == Where::freed)
        cudasim::report_host("%s of %zu bytes: the %s is freed memory", copy.name, bytes, side);
    else if (bytes > end - at)
        cudasim::report_host("%s of %zu bytes: the %s has only %llu to its end", copy.name, bytes, side,
                             (unsigned long long)(end - at));
    else
        return true;
    return false;
}

void copy_row(const Copy &copy, size_t row)
{
    uint8_t *to = copy.to + row * copy.to_pitch;
    const uint8_t *from = copy.from + row * copy.from_pitch;
    const bool from_cuda = cudasim::where_is((uint64_t)from, nullptr, nullptr) != Where::none;
    const bool to_cuda = cudasim::where_is((uint64_t)to, nullptr, nullptr) != Where::none;
    if ((from_cuda && !cudasim::host_reads((uint64_t)from, copy.width, copy.name)) ||
        (to_cuda && !cudasim::host_writes((uint64_t)to, copy.width, copy.name)))
        cudasim::break_context(cudaErrorIllegalAddress);
    else
        std::memmove(to, from, copy.width);
}

Operation operation_of(const Copy &copy)
{
    return {cudaGraphNodeTypeMemcpy, [copy] {
                for (size_t row = 0; row < copy.height; row++)
                    copy_row(copy, row);
            }};
}

/** Success, an error of the arguments, or *nothing: there is nothing to copy. */
cudaError_t check(const Copy &copy, bool *nothing)
{
    *nothing = !copy.width || !copy.height;
    if (*nothing)
        return cudaSuccess;
    if (copy.kind < cudaMemcpyHostToHost || copy.kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    if (copy.height > 1 && (copy.width > copy.to_pitch || copy.width > copy.from_pitch))
        return cudaErrorInvalidPitchValue;
    if (!copy.to || !copy.from)
        return cudaErrorInvalidValue;
    return check_side(copy, true) && check_side(copy, false) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t copy_now(const Copy &copy)
{
    bool nothing;
    if (const cudaError_t error = check(copy, &nothing))
        return error;
    return nothing ? cudaSuccess : cudasim::run_synchronously(operation_of(copy));
}

/** Pageable host memory is read at the call, as the driver stages it. */
Operation staged(Copy copy)
{
    const auto bytes = std::make_shared<std::vector<uint8_t>>(copy.width * copy.height);
    for (size_t row = 0; row < copy.height; row++)
        std::memcpy(bytes->data() + row * copy.width, copy.from + row * copy.from_pitch, copy.width);
    copy.from = bytes->data();
    copy.from_pitch = copy.width;
    const Operation plain = operation_of(copy);
    return {plain.type, [bytes, plain] { plain.run(); }};
}

cudaError_t copy_later(const Copy &copy, cudaStream_t handle)
{
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    bool nothing;
    const cudaError_t error = check(copy, &nothing);
    if (error || nothing)
        return error;
    const bool from_pageable = cudasim::where_is((uint64_t)copy.from, nullptr, nullptr) == Where::none;
    const bool to_pageable = cudasim::where_is((uint64_t)copy.to, nullptr, nullptr) == Where::none;
    if (stream->capture)
        return cudasim::enqueue(stream, operation_of(copy));
    if (const cudaError_t refused = cudasim::enqueue(stream, from_pageable ? staged(copy) : operation_of(copy)))
        return refused;
    if (!to_pageable)
        return cudaSuccess;
    cudasim::run_until(cudasim::now(stream)); /* to pageable memory: CUDA returns when it is done */
    return cudasim::usable();
}

void fill_row(const cudaMemsetParams &fill, uint8_t *to)
{
    if (!cudasim::host_writes((uint64_t)to, fill.width * fill.elementSize, "cudaMemset")) {
        cudasim::break_context(cudaErrorIllegalAddress);
        return;
    }
    for (size_t i = 0; i < fill.width; i++)
        std::memcpy(to + i * fill.elementSize, &fill.value, fill.elementSize);
}

cudaError_t fill_later(void *to, size_t pitch, int value, size_t width, size_t height, cudaStream_t handle)
{
    Stream *stream = cudasim::find_stream(handle);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    if (!width || !height)
        return cudaSuccess;
    if (height > 1 && width > pitch)
        return cudaErrorInvalidPitchValue;
    const Copy range = {(uint8_t *)to, pitch, nullptr, 0, width, height, cudaMemcpyHostToDevice, "cudaMemset"};
    if (!to || !check_side(range, true))
        return cudaErrorInvalidValue;
    cudaMemsetParams fill = {};
    fill.dst = to;
    fill.pitch = pitch;
    fill.value = (unsigned)value & 0xff;
    fill.elementSize = 1;
    fill.width = width;
    fill.height = height;
    return cudasim::enqueue(stream, cudasim::fill_operation(fill));
}

/** The part of a symbol that a copy touches. */
cudaError_t in_symbol(const void *symbol, size_t bytes, size_t offset, uint8_t **address)
{
    const cudasim::Variable *variable = cudasim::variable_of_symbol(symbol);
    if (!variable)
        return cudaErrorInvalidSymbol;
    *address = (uint8_t *)variable->address + offset;
    return offset <= variable->size && bytes <= variable->size - offset ? cudaSuccess : cudaErrorInvalidValue;
}

} // namespace

namespace cudasim
{

Operation copy_operation(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    return operation_of({(uint8_t *)to, bytes, (const uint8_t *)from, bytes, bytes, 1, kind, "cudaMemcpy"});
}

Operation fill_operation(const cudaMemsetParams &fill)
{
    return {cudaGraphNodeTypeMemset, [fill] {
                for (size_t row = 0; row < fill.height; row++)
                    fill_row(fill, (uint8_t *)fill.dst + row * fill.pitch);
            }};
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    CUDASIM_CALL;
    return fail(copy_now({(uint8_t *)to, bytes, (const uint8_t *)from, bytes, bytes, 1, kind, "cudaMemcpy"}));
}

CUDASIM_API cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                                        cudaStream_t stream)
{
    CUDASIM_CALL;
    return fail(
        copy_later({(uint8_t *)to, bytes, (const uint8_t *)from, bytes, bytes, 1, kind, "cudaMemcpyAsync"}, stream));
}

CUDASIM_API cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind)
{
    CUDASIM_CALL;
    return fail(
        copy_now({(uint8_t *)to, to_pitch, (const uint8_t *)from, from_pitch, width, height, kind, "cudaMemcpy2D"}));
}

CUDASIM_API cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                          size_t height, cudaMemcpyKind kind, cudaStream_t stream)
{
    CUDASIM_CALL;
    return fail(copy_later(
        {(uint8_t *)to, to_pitch, (const uint8_t *)from, from_pitch, width, height, kind, "cudaMemcpy2DAsync"},
        stream));
}

CUDASIM_API cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    CUDASIM_CALL;
    return fail(fill_later(to, bytes, value, bytes, 1, nullptr));
}

CUDASIM_API cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    CUDASIM_CALL;
    return fail(fill_later(to, bytes, value, bytes, 1, stream));
}

CUDASIM_API cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height)
{
    CUDASIM_CALL;
    return fail(fill_later(to, pitch, value, width, height, nullptr));
}

CUDASIM_API cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                                          cudaStream_t stream)
{
    CUDASIM_CALL;
    return fail(fill_later(to, pitch, value, width, height, stream));
}

CUDASIM_API cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset,
                                           cudaMemcpyKind kind)
{
    CUDASIM_CALL;
    uint8_t *to;
    const cudaError_t error = in_symbol(symbol, bytes, offset, &to);
    return error ? fail(error) : cudaMemcpy(to, from, bytes, kind);
}

CUDASIM_API cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                             cudaMemcpyKind kind)
{
    CUDASIM_CALL;
    uint8_t *from;
    const cudaError_t error = in_symbol(symbol, bytes, offset, &from);
    return error ? fail(error) : cudaMemcpy(to, from, bytes, kind);
}

CUDASIM_API cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes, size_t offset,
                                                cudaMemcpyKind kind, cudaStream_t stream)
{
    CUDASIM_CALL;
    uint8_t *to;
    const cudaError_t error = in_symbol(symbol, bytes, offset, &to);
    return error ? fail(error) : cudaMemcpyAsync(to, from, bytes, kind, stream);
}

CUDASIM_API cudaError_t cudaMemcpyFromSymbolAsync(void *to, const void *symbol, size_t bytes, size_t offset,
                                                  cudaMemcpyKind kind, cudaStream_t stream)
{
    CUDASIM_CALL;
    uint8_t *from;
    const cudaError_t error = in_symbol(symbol, bytes, offset, &from);
    return error ? fail(error) : cudaMemcpyAsync(to, from, bytes, kind, stream);
}

CUDASIM_API cudaError_t cudaGetSymbolAddress(void **address, const void *symbol)
{
    CUDASIM_CALL;
    uint8_t *found;
    const cudaError_t error = in_symbol(symbol, 0, 0, &found);
    if (!error)
        *address = found;
    return fail(error);
}

CUDASIM_API cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol)
{
    CUDASIM_CALL;
    const cudasim::Variable *variable = cudasim::variable_of_symbol(symbol);
    if (!variable)
        return fail(cudaErrorInvalidSymbol);
    *bytes = variable->size;
    return cudaSuccess;
}
