/* The device "cuda": one stream, one control block, kernels from the images that the library carries. */
#include "cuda/graph.h"

#include <stdio.h>
#include <string.h>

static const egi_fast fast[] = {
#define EG_FAST(op_name, prepare_function) {&egi_op_##op_name, prepare_function},
#include "cuda/fast.def"
#undef EG_FAST
    {NULL, NULL}};

#define EG_FAMILY(name) extern const unsigned char egi_cuda_image_##name[];
#include "cuda/families.def"
#undef EG_FAMILY

static const unsigned char *const images[] = {
#define EG_FAMILY(name) egi_cuda_image_##name,
#include "cuda/families.def"
#undef EG_FAMILY
};

/* The runtime's current device belongs to the thread, and a context may go from one thread to another. */
static egi_cuda *enter(egi_device *device)
{
    egi_cuda *c = (egi_cuda *)device;
    c->api.cudaSetDevice(c->index);
    return c;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static eg_status undo(egi_device *device, egi_kernel *out, const egi_kernel *blank, eg_status status)
{
    if (out->destroy)
        out->destroy(device, out);
    *out = *blank;
    return status;
}

static eg_status prepare(egi_device *device, egi_kernel *out)
{
    const egi_kernel blank = *out;
    enter(device);
    for (const egi_fast *f = fast; f->op && !device->reference_only; f++) {
        if (f->op != out->op)
            continue;
        const eg_status status = f->prepare(device, out);
        if (status == EG_OK || undo(device, out, &blank, status) != EGI_CUDA_DECLINE)
            return status;
    }
    const eg_status status = egi_cuda_reference(out);
    return status == EG_OK ? status : undo(device, out, &blank, status);
}

static eg_status run_timed(const egi_kernel *k, const egi_control *control)
{
    egi_cuda *c = egi_cuda_of(k);
    const double began = egi_clock();
    EG_TRY(k->run(k, control));
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamSynchronize(c->stream), k->op->name));
    k->time->seconds += egi_clock() - began;
    k->time->calls++;
    return EG_OK;
}

eg_status egi_cuda_run_plainly(const egi_kernel *kernels, int n, const egi_control *control)
{
    eg_status status = EG_OK;
    for (int i = 0; i < n && status == EG_OK; i++)
        status = kernels[i].time ? run_timed(&kernels[i], control) : kernels[i].run(&kernels[i], control);
    return status;
}

static eg_status run(egi_device *device, const egi_kernel *kernels, int n, const egi_control *control)
{
    egi_cuda *c = enter(device);
    void *place;
    EG_TRY(egi_cuda_inlet.turn(c->control_in, &place));
    memcpy(place, control, sizeof *control);
    EG_TRY(egi_cuda_inlet.send(c->control_in));
    return egi_cuda_graph_run(c, kernels, n, control);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

eg_status egi_cuda_alloc(egi_cuda *c, void **out, size_t bytes)
{
    const size_t size = bytes ? bytes : 1;
    size_t free_bytes = 0, total = 0;
    const cudaError_t error = c->api.cudaMalloc(out, size);
    if (error == cudaErrorMemoryAllocation) {
        c->api.cudaGetLastError();
        c->api.cudaMemGetInfo(&free_bytes, &total);
        return egi_fail(EG_ERR_NOMEM,
                        "cuda: no memory: wanted %zu bytes, found %zu of %zu free; a smaller "
                        "finetune.batch or run.device=cpu needs less",
                        size, free_bytes, total);
    }
    EG_TRY(egi_cuda_check(c, error, "memory"));
    return egi_cuda_check(c, c->api.cudaMemsetAsync(*out, 0, size, c->stream), "memory");
}

static eg_status device_alloc(egi_device *device, void **out, size_t bytes)
{
    return egi_cuda_alloc(enter(device), out, bytes);
}

eg_status egi_cuda_host_alloc(egi_cuda *c, void **out, size_t bytes)
{
    const cudaError_t error = c->api.cudaHostAlloc(out, bytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
        c->api.cudaGetLastError();
        return egi_fail(EG_ERR_NOMEM, "cuda: no memory: wanted %zu bytes of the host's that are not paged out", bytes);
    }
    EG_TRY(egi_cuda_check(c, error, "memory"));
    memset(*out, 0, bytes);
    return EG_OK;
}

static void device_release(egi_device *device, void *block)
{
    egi_cuda *c = enter(device);
    if (block)
        c->api.cudaFree(block);
}

static eg_status upload(egi_device *device, void *to, const void *from, size_t bytes)
{
    egi_cuda *c = enter(device);
    if (bytes == 0)
        return EG_OK;
    EG_TRY(egi_cuda_check(c, c->api.cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, c->stream), "copy"));
    return egi_cuda_check(c, c->api.cudaStreamSynchronize(c->stream), "copy");
}

static eg_status download(egi_device *device, void *to, const void *from, size_t bytes)
{
    egi_cuda *c = enter(device);
    if (bytes > 0)
        EG_TRY(egi_cuda_check(c, c->api.cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, c->stream), "copy"));
    return egi_cuda_check(c, c->api.cudaStreamSynchronize(c->stream), "step");
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

static void destroy(egi_device *device)
{
    egi_cuda *c = (egi_cuda *)device;
    for (int i = 0; i < c->n_families; i++)
        c->api.cudaLibraryUnload(c->families[i]);
    if (c->control_in)
        egi_cuda_inlet.release(c->control_in);
    if (c->control)
        c->api.cudaFree(c->control);
    if (c->copies)
        c->api.cudaStreamDestroy(c->copies);
    if (c->stream)
        c->api.cudaStreamDestroy(c->stream);
    egi_cuda_lt_destroy(c);
    egi_cuda_unload(c);
    egi_free(device->context, c);
}

static eg_status choose(egi_cuda *c, int index)
{
    int devices = 0;
    const cudaError_t error = c->api.cudaGetDeviceCount(&devices);
    if (error == cudaErrorInsufficientDriver)
        return egi_fail(EG_ERR_DEVICE, "cuda: no driver, or one too old for CUDA 13");
    if (error == cudaErrorNoDevice || (error == cudaSuccess && devices == 0))
        return egi_fail(EG_ERR_DEVICE, "cuda: the driver finds no device");
    EG_TRY(egi_cuda_check(c, error, "driver"));
    if (index >= devices)
        return egi_fail(EG_ERR_DEVICE, "run.device: wanted cuda:%d, found %d device%s, counted from 0", index, devices,
                        devices == 1 ? "" : "s");
    return egi_cuda_check(c, c->api.cudaSetDevice(index), "device");
}

static eg_status load_families(egi_cuda *c)
{
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        EG_TRY(egi_cuda_check(c, c->api.cudaLibraryLoadData(&c->families[i], images[i], NULL, NULL, 0, NULL, NULL, 0),
                              "kernels"));
        c->n_families++;
    }
    return EG_OK;
}

static eg_status begin(egi_cuda *c, int index)
{
    struct cudaDeviceProp prop;
    int runtime = 0, driver = 0;
    char lt[32];
    EG_TRY(egi_cuda_load(c));
    EG_TRY(choose(c, index));
    EG_TRY(egi_cuda_check(c, c->api.cudaGetDeviceProperties(&prop, index), "device"));
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "stream"));
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamCreateWithFlags(&c->copies, cudaStreamNonBlocking), "stream"));
    EG_TRY(load_families(c));
    EG_TRY(egi_cuda_lt_create(c));
    EG_TRY(egi_cuda_alloc(c, (void **)&c->control, sizeof *c->control));
    EG_TRY(egi_cuda_inlet.create(&c->control_in, &c->base, c->control, sizeof *c->control));
    c->api.cudaRuntimeGetVersion(&runtime);
    c->api.cudaDriverGetVersion(&driver);
    c->index = index;
    c->processors = prop.multiProcessorCount;
    c->shared_bytes = prop.sharedMemPerBlock;
    c->base.precision_most = prop.major >= 8 ? EGI_PRECISION_BF16 : EGI_PRECISION_F32;
    egi_cuda_lt_text(c, lt, sizeof lt);
    snprintf(c->base.description, sizeof c->base.description,
             "%.80s, %.1f GB, sm_%d%d, CUDA %d.%d, driver for %d.%d, %s", prop.name, (double)prop.totalGlobalMem / 1e9,
             prop.major, prop.minor, runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, lt);
    return EG_OK;
}

static eg_status create(egi_device **out, eg_context *context, int index)
{
    egi_cuda *c;
    EG_TRY(egi_alloc(&c, context, 1, sizeof *c));
    c->base.type = &egi_device_cuda;
    c->base.context = context;
    const eg_status status = begin(c, index);
    if (status != EG_OK) {
        destroy(&c->base);
        return status;
    }
    *out = &c->base;
    return EG_OK;
}

const egi_device_type egi_device_cuda = {
    .name = "cuda",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .run = run,
    .alloc = device_alloc,
    .release = device_release,
    .upload = upload,
    .download = download,
    .inlet = &egi_cuda_inlet,
    .peak = egi_cuda_peak,
};
