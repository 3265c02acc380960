#include "core/cpu/dnnl.h"

#include <dnnl.h>
#include <stdio.h>

egi_dnnl_text egi_dnnl_describe(void)
{
    egi_dnnl_text text;
    const dnnl_version_t *v = dnnl_version();
    snprintf(text.s, sizeof text.s, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

eg_status egi_dnnl_begin(egi_cpu *cpu)
{
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return egi_fail(EG_ERR_DEVICE, "cpu: %s gives no engine", egi_dnnl_describe().s);
    if (dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) {
        dnnl_engine_destroy(engine);
        return egi_fail(EG_ERR_DEVICE, "cpu: %s gives no stream", egi_dnnl_describe().s);
    }
    cpu->engine = engine;
    cpu->stream = stream;
    return EG_OK;
}

void egi_dnnl_end(egi_cpu *cpu)
{
    dnnl_stream_destroy(cpu->stream);
    dnnl_engine_destroy(cpu->engine);
}
