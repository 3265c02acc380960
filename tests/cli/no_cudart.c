/* LD_PRELOAD: the loader finds no libcudart, wherever it is looked for; a machine without CUDA's runtime library. */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

void *dlopen(const char *name, int mode)
{
    void *(*next)(const char *, int) = NULL;
    void *address = dlsym(RTLD_NEXT, "dlopen");
    memcpy(&next, &address, sizeof next);
    return name && strstr(name, "libcudart") ? NULL : next(name, mode);
}
