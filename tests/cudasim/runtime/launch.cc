// Launches: the configuration is checked and the parameters are copied at the call, the kernel runs with its stream.
#include <cstring>

#include "runtime.h"

using cudasim::Dim;
using cudasim::fail;
using cudasim::Function;
using cudasim::KernelCall;
using cudasim::Limits;
using cudasim::Stream;

namespace
{

Dim dim(const dim3 &d)
{
    return {d.x, d.y, d.z};
}

cudaError_t refuse(const Function &function, cudaError_t code, const char *what, uint64_t given, uint64_t most)
{
    cudasim::report_host("launch of %s: %s: %llu, the limit is %llu", function.name.c_str(), what,
                         (unsigned long long)given, (unsigned long long)most);
    return code;
}

cudaError_t check_dimensions(const Function &function, const Dim &grid, const Dim &block)
{
    const Limits limits;
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!threads || !grid.x || !grid.y || !grid.z) {
        cudasim::report_host("launch of %s: an empty grid or block", function.name.c_str());
        return cudaErrorInvalidConfiguration;
    }
    if (threads > limits.threads_per_block)
        return refuse(function, cudaErrorInvalidConfiguration, "threads a block", threads, limits.threads_per_block);
    if (block.z > limits.block_z)
        return refuse(function, cudaErrorInvalidConfiguration, "block.z", block.z, limits.block_z);
    if (grid.x > INT32_MAX)
        return refuse(function, cudaErrorInvalidConfiguration, "grid.x", grid.x, INT32_MAX);
    if (grid.y > limits.grid_y)
        return refuse(function, cudaErrorInvalidConfiguration, "grid.y", grid.y, limits.grid_y);
    if (grid.z > limits.grid_z)
        return refuse(function, cudaErrorInvalidConfiguration, "grid.z", grid.z, limits.grid_z);
    return cudaSuccess;
}

cudaError_t launch_on(const void *handle, Dim grid, Dim block, void *const *args, size_t shared, cudaStream_t on)
{
    Function *function = cudasim::find_function(handle);
    if (!function)
        return cudaErrorInvalidDeviceFunction;
    Stream *stream = cudasim::find_stream(on);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    const auto call = std::make_shared<KernelCall>();
    if (const cudaError_t error = cudasim::make_call(function, grid, block, args, shared, call.get()))
        return error;
    return cudasim::enqueue(stream, {cudaGraphNodeTypeKernel, [call] { cudasim::run_call(*call); }, call});
}

} // namespace

namespace cudasim
{

cudaError_t make_call(Function *function, Dim grid, Dim block, const void *const *args, size_t shared, KernelCall *call)
{
    if (!function->kernel)
        return function->error;
    if (const cudaError_t error = check_dimensions(*function, grid, block))
        return error;
    if (shared > function->dynamic_shared_limit)
        return refuse(*function, cudaErrorInvalidValue, "bytes of dynamic shared memory", shared,
                      function->dynamic_shared_limit);
    const std::vector<uint32_t> sizes = kernel_parameters(function->kernel);
    if (!sizes.empty() && !args)
        return cudaErrorInvalidValue;
    *call = {function, grid, block, shared, {}};
    for (size_t i = 0; i < sizes.size(); i++) {
        const uint8_t *value = (const uint8_t *)args[i];
        call->values.emplace_back(value, value + sizes[i]);
    }
    return cudaSuccess;
}

void run_call(const KernelCall &call)
{
    std::vector<const void *> args;
    for (const auto &value : call.values)
        args.push_back(value.data());
    take_reports();
    if (launch(call.function->kernel, call.grid, call.block, args.data(), call.shared))
        break_context(code_of_reports(take_reports()));
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args, size_t shared,
                                         cudaStream_t stream)
{
    CUDASIM_CALL;
    return fail(launch_on(function, dim(grid), dim(block), args, shared, stream));
}

/** Attributes that change how a kernel is scheduled but not what it computes are accepted; others are not simulated. */
CUDASIM_API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **args)
{
    CUDASIM_CALL;
    if (!config)
        return fail(cudaErrorInvalidValue);
    for (unsigned i = 0; i < config->numAttrs; i++)
        switch (config->attrs[i].id) {
        case cudaLaunchAttributeIgnore:
        case cudaLaunchAttributePriority:
        case cudaLaunchAttributeAccessPolicyWindow:
        case cudaLaunchAttributePreferredSharedMemoryCarveout:
            break;
        default:
            return fail(cudaErrorNotSupported);
        }
    return fail(launch_on(function, dim(config->gridDim), dim(config->blockDim), args, config->dynamicSmemBytes,
                          config->stream));
}
