// Kernels as handles: libraries loaded at run time, attributes and occupancy.
#include <algorithm>
#include <map>
#include <set>

#include "runtime.h"

using cudasim::fail;
using cudasim::Function;
using cudasim::Limits;

namespace
{

struct Library {
    cudasim::Module *module = nullptr;
    std::map<std::string, Function *> functions;
};

std::set<Function *> &functions()
{
    static std::set<Function *> &all = *new std::set<Function *>;
    return all;
}

std::set<Library *> &libraries()
{
    static std::set<Library *> &all = *new std::set<Library *>;
    return all;
}

Library *find_library(cudaLibrary_t handle)
{
    return libraries().count((Library *)handle) ? (Library *)handle : nullptr;
}

/** Threads, blocks and shared memory of a multiprocessor; registers are assumed never to be what limits, since PTX does
 * not say how many ptxas takes. */
int blocks_per_multiprocessor(const Function &function, int block, size_t dynamic)
{
    const int reserved = cudasim::device_attribute(cudaDevAttrReservedSharedMemoryPerBlock);
    const int warp = cudasim::device_attribute(cudaDevAttrWarpSize);
    const int threads = (block + warp - 1) / warp * warp;
    const size_t shared = cudasim::kernel_static_shared(function.kernel) + dynamic + (size_t)reserved;
    const size_t room = (size_t)cudasim::device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    return std::min({cudasim::device_attribute(cudaDevAttrMaxThreadsPerMultiProcessor) / threads,
                     cudasim::device_attribute(cudaDevAttrMaxBlocksPerMultiprocessor), (int)(room / shared)});
}

cudaError_t set_attribute(Function *function, cudaFuncAttribute attribute, int value)
{
    if (!function || !function->kernel)
        return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaErrorInvalidValue;
    const size_t room = Limits().shared_optin_bytes - cudasim::kernel_static_shared(function->kernel);
    if (value < 0 || (size_t)value > room)
        return cudaErrorInvalidValue;
    function->dynamic_shared_limit = (size_t)value;
    return cudaSuccess;
}

} // namespace

namespace cudasim
{

Function *new_function(Module *module, const char *name, cudaError_t error)
{
    Function *function = new Function;
    function->kernel = module ? find_kernel(module, name) : nullptr;
    function->name = name;
    function->error = error ? error : cudaErrorInvalidDeviceFunction;
    if (function->kernel)
        function->dynamic_shared_limit = Limits().shared_bytes - kernel_static_shared(function->kernel);
    functions().insert(function);
    return function;
}

void forget_function(Function *function)
{
    function->known = false; /* not freed: queued launches may still hold it */
}

Function *find_function(const void *handle)
{
    if (Function *function = function_of_host(handle))
        return function;
    Function *function = (Function *)handle;
    return functions().count(function) && function->known ? function : nullptr;
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code, cudaJitOption *, void **,
                                            unsigned, cudaLibraryOption *, void **, unsigned)
{
    CUDASIM_CALL;
    if (!library || !code)
        return fail(cudaErrorInvalidValue);
    cudaError_t error;
    cudasim::Module *module = cudasim::load_image(code, &error);
    if (!module)
        return fail(error);
    Library *loaded = new Library;
    loaded->module = module;
    libraries().insert(loaded);
    *library = (cudaLibrary_t)loaded;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t handle, const char *name)
{
    CUDASIM_CALL;
    Library *library = find_library(handle);
    if (!library)
        return fail(cudaErrorInvalidResourceHandle);
    if (!kernel || !name)
        return fail(cudaErrorInvalidValue);
    if (!cudasim::find_kernel(library->module, name))
        return fail(cudaErrorSymbolNotFound);
    Function *&function = library->functions[name];
    if (!function)
        function = cudasim::new_function(library->module, name, cudaSuccess);
    *kernel = (cudaKernel_t)function;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaLibraryGetGlobal(void **address, size_t *bytes, cudaLibrary_t handle, const char *name)
{
    CUDASIM_CALL;
    Library *library = find_library(handle);
    if (!library)
        return fail(cudaErrorInvalidResourceHandle);
    size_t size = 0;
    const uint64_t found = cudasim::find_variable(library->module, name, &size);
    if (!found)
        return fail(cudaErrorSymbolNotFound);
    if (address)
        *address = (void *)found;
    if (bytes)
        *bytes = size;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaLibraryUnload(cudaLibrary_t handle)
{
    CUDASIM_CALL;
    Library *library = find_library(handle);
    if (!library)
        return fail(cudaErrorInvalidResourceHandle);
    for (const auto &entry : library->functions)
        cudasim::forget_function(entry.second);
    libraries().erase(library);
    delete library;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value,
                                                        int device)
{
    CUDASIM_CALL;
    return fail(device != 0 ? cudaErrorInvalidDevice : set_attribute(cudasim::find_function(kernel), attribute, value));
}

CUDASIM_API cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value)
{
    CUDASIM_CALL;
    return fail(set_attribute(cudasim::find_function(function), attribute, value));
}

CUDASIM_API cudaError_t cudaFuncSetCacheConfig(const void *handle, cudaFuncCache)
{
    CUDASIM_CALL;
    return fail(cudasim::find_function(handle) ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}

CUDASIM_API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *handle)
{
    CUDASIM_CALL;
    const Function *function = cudasim::find_function(handle);
    if (!function || !function->kernel)
        return fail(function ? function->error : cudaErrorInvalidDeviceFunction);
    *attributes = cudaFuncAttributes();
    attributes->sharedSizeBytes = cudasim::kernel_static_shared(function->kernel);
    attributes->maxThreadsPerBlock = (int)Limits().threads_per_block;
    attributes->maxDynamicSharedSizeBytes = (int)function->dynamic_shared_limit;
    attributes->preferredShmemCarveout = -1;
    attributes->numRegs = 32; /* what ptxas would take is not known */
    attributes->ptxVersion = attributes->binaryVersion = 90;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaFuncGetName(const char **name, const void *handle)
{
    CUDASIM_CALL;
    const Function *function = cudasim::find_function(handle);
    if (!function)
        return fail(cudaErrorInvalidDeviceFunction);
    *name = function->name.c_str();
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaGetKernel(cudaKernel_t *kernel, const void *host_function)
{
    CUDASIM_CALL;
    *kernel = (cudaKernel_t)cudasim::function_of_host(host_function);
    return fail(*kernel ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}

CUDASIM_API cudaError_t cudaGetFuncBySymbol(cudaFunction_t *function, const void *symbol)
{
    CUDASIM_CALL;
    *function = (cudaFunction_t)cudasim::find_function(symbol);
    return fail(*function ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}

CUDASIM_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *handle,
                                                                               int block, size_t dynamic, unsigned)
{
    CUDASIM_CALL;
    const Function *function = cudasim::find_function(handle);
    if (!function || !function->kernel)
        return fail(cudaErrorInvalidDeviceFunction);
    if (block < 1)
        return fail(cudaErrorInvalidValue);
    *blocks = blocks_per_multiprocessor(*function, block, dynamic);
    if (block > (int)Limits().threads_per_block || dynamic > function->dynamic_shared_limit)
        *blocks = 0;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *handle, int block,
                                                                      size_t dynamic)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, block, dynamic, 0);
}

CUDASIM_API cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, const void *handle, int blocks, int)
{
    CUDASIM_CALL;
    const Function *function = cudasim::find_function(handle);
    if (!function || !function->kernel)
        return fail(cudaErrorInvalidDeviceFunction);
    if (blocks < 1)
        return fail(cudaErrorInvalidValue);
    const size_t room = (size_t)cudasim::device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    const size_t used = cudasim::kernel_static_shared(function->kernel) +
                        (size_t)cudasim::device_attribute(cudaDevAttrReservedSharedMemoryPerBlock);
    const size_t share = room / (size_t)blocks;
    *bytes = share > used ? std::min(share - used, function->dynamic_shared_limit) : 0;
    return cudaSuccess;
}
