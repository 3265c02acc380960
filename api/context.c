/* The composition root: the only place that names the devices. */
#include "core/cpu/cpu.h"

#include "engram/model.h"

static const egi_device_type *const devices[] = {&egi_device_cpu, NULL};

eg_status eg_context_create(eg_context **out, const eg_context_options *options)
{
    return egi_context_create(out, options, devices);
}

void eg_text_free(eg_context *context, char *text)
{
    egi_free(context, text);
}
