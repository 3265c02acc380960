// What the host code of nvcc calls: registration of its kernels and variables when the program starts, and launches by
// <<<>>>, which push a configuration and then call the kernel's host function.
#include <map>

#include "runtime.h"

using cudasim::Function;
using cudasim::Module;
using cudasim::Variable;

namespace
{

struct Image {
    Module *module = nullptr;
    cudaError_t error = cudaSuccess;
};

struct Configuration {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};

/** Registered things live as long as the process: they are never destroyed, since programs may call from atexit. */
struct Registry {
    std::map<const void *, Function *> functions;
    std::map<const void *, Variable> variables;
};

Registry &registry()
{
    static Registry &all = *new Registry;
    return all;
}

thread_local std::vector<Configuration> configurations;

} // namespace

namespace cudasim
{

Function *function_of_host(const void *host_function)
{
    const auto found = registry().functions.find(host_function);
    return found == registry().functions.end() ? nullptr : found->second;
}

const Variable *variable_of_symbol(const void *symbol)
{
    const auto found = registry().variables.find(symbol);
    return found == registry().variables.end() ? nullptr : &found->second;
}

} // namespace cudasim

CUDASIM_API void **__cudaRegisterFatBinary(void *wrapper)
{
    const std::lock_guard<std::recursive_mutex> locked(cudasim::runtime_lock());
    Image *image = new Image;
    image->module = cudasim::load_image(wrapper, &image->error);
    return (void **)image;
}

CUDASIM_API void __cudaRegisterFatBinaryEnd(void **)
{
}

CUDASIM_API void __cudaUnregisterFatBinary(void **)
{
}

CUDASIM_API char __cudaInitModule(void **)
{
    return 1;
}

CUDASIM_API void __cudaRegisterFunction(void **handle, const char *host_function, char *, const char *name, int,
                                        uint3 *, uint3 *, dim3 *, dim3 *, int *)
{
    const std::lock_guard<std::recursive_mutex> locked(cudasim::runtime_lock());
    const Image *image = (const Image *)handle;
    registry().functions[host_function] = cudasim::new_function(image->module, name, image->error);
}

CUDASIM_API void __cudaRegisterVar(void **handle, char *symbol, char *, const char *name, int, size_t, int, int)
{
    const std::lock_guard<std::recursive_mutex> locked(cudasim::runtime_lock());
    const Image *image = (const Image *)handle;
    Variable variable;
    if (image->module)
        variable.address = cudasim::find_variable(image->module, name, &variable.size);
    if (variable.address)
        registry().variables[symbol] = variable;
}

CUDASIM_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream)
{
    configurations.push_back({grid, block, shared, stream});
    return 0;
}

CUDASIM_API cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    if (configurations.empty())
        return cudasim::fail(cudaErrorMissingConfiguration);
    const Configuration top = configurations.back();
    configurations.pop_back();
    *grid = top.grid;
    *block = top.block;
    *shared = top.shared;
    *(cudaStream_t *)stream = top.stream;
    return cudaSuccess;
}

CUDASIM_API cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host_function)
{
    return cudaGetKernel(kernel, host_function);
}

CUDASIM_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args, size_t shared,
                                           cudaStream_t stream)
{
    return cudaLaunchKernel((const void *)kernel, grid, block, args, shared, stream);
}
