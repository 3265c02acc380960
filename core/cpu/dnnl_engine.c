#include "core/cpu/dnnl.h"

#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
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

egi_dnnl_guard egi_dnnl_guard_begin(int threads)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    egi_dnnl_guard before = {.threads = omp_get_max_threads()};
    sigset_t held;
    sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&held, faults[i]);
    pthread_sigmask(SIG_SETMASK, &held, &before.signals);
    omp_set_num_threads(threads);
    return before;
}

void egi_dnnl_guard_end(const egi_dnnl_guard *before)
{
    omp_set_num_threads(before->threads);
    pthread_sigmask(SIG_SETMASK, &before->signals, NULL);
}
