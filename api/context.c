/* The composition root: the only place that names the devices. */
#include "core/cpu/cpu.h"

#include "engram/model.h"

#ifdef EG_WITH_CUDA
extern const egi_device_type egi_device_cuda; /* cuda/cuda.h wants NVIDIA's headers */
#endif

static const egi_device_type *const devices[] = {
#ifdef EG_WITH_CUDA
    &egi_device_cuda,
#endif
    &egi_device_cpu, NULL};

eg_status eg_context_create(eg_context **out, const eg_context_options *options)
{
    return egi_context_create(out, options, devices);
}

void eg_text_free(eg_context *context, char *text)
{
    egi_free(context, text);
}
