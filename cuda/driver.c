/* What is there: the runtime library, the driver, the devices. */
#include "cuda/cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcudart.so.13"

static const char *const folders[] = {"", "/usr/local/cuda/lib64/", "/usr/local/cuda-13.0/lib64/"};

void *egi_cuda_open(const char *library)
{
    void *found = NULL;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !found; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", folders[i], library);
        found = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return found;
}

void egi_cuda_close(void *library)
{
    if (library)
        dlclose(library);
}

/* ISO C knows no conversion of dlsym()'s pointer to one of a function. */
bool egi_cuda_symbol(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static eg_status find_all(egi_cuda *c)
{
#define EG_TEXT_OF(name)  EG_TEXT_OF_(name)
#define EG_TEXT_OF_(name) #name
#define EG_CUDART(name)                                               \
    if (!egi_cuda_symbol(c->runtime, EG_TEXT_OF(name), &c->api.name)) \
        return egi_fail(EG_ERR_DEVICE, "cuda: " LIBRARY " has no %s: another version?", EG_TEXT_OF(name));
#include "cuda/runtime.def"
#undef EG_CUDART
    return EG_OK;
}

eg_status egi_cuda_load(egi_cuda *c)
{
    c->runtime = egi_cuda_open(LIBRARY);
    if (!c->runtime)
        return egi_fail(EG_ERR_DEVICE, "cuda: " LIBRARY " was not found; install CUDA 13's runtime, or name its "
                                       "folder in LD_LIBRARY_PATH");
    return find_all(c);
}

void egi_cuda_unload(egi_cuda *c)
{
    egi_cuda_close(c->runtime);
    c->runtime = NULL;
}

eg_status egi_cuda_check(egi_cuda *c, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return EG_OK;
    c->api.cudaGetLastError();
    const eg_status status = error == cudaErrorMemoryAllocation ? EG_ERR_NOMEM : EG_ERR_DEVICE;
    return egi_fail(status, "cuda: %s: %s (%s)", what, c->api.cudaGetErrorString(error),
                    c->api.cudaGetErrorName(error));
}
