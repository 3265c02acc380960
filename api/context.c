/* The composition root: the only place that names the devices. */
#include "core/cpu/cpu.h"

#include "engram/model.h"

#ifdef EG_WITH_CUDA
extern const egi_device_type egi_device_cuda; /* cuda/cuda.h wants NVIDIA's headers */
#else
static eg_status refuse_cuda(egi_device **out, eg_context *context, int index)
{
    (void)out, (void)context, (void)index;
    return egi_fail(EG_ERR_DEVICE, "cuda: not in this build");
}

static const egi_device_type egi_device_cuda = {.name = "cuda", .create = refuse_cuda};
#endif

/* "auto" takes the first that can be had; where cuda is not built it is only there to be refused by name. */
static const egi_device_type *const devices[] = {
#ifdef EG_WITH_CUDA
    &egi_device_cuda, &egi_device_cpu,
#else
    &egi_device_cpu, &egi_device_cuda,
#endif
    NULL};

eg_status eg_context_create(eg_context **out, const eg_context_options *options)
{
    return egi_context_create(out, options, devices);
}

void eg_text_free(eg_context *context, char *text)
{
    egi_free(context, text);
}
