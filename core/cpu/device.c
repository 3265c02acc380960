#include "core/cpu/cpu.h"

#include "core/cpu/dnnl.h"

#include <stdio.h>
#include <string.h>

static const egi_fast fast[] = {
#define EG_FAST(op_name, prepare_function) {&egi_op_##op_name, prepare_function},
#include "core/cpu/fast.def"
#undef EG_FAST
    {NULL, NULL}};

bool egi_cpu_is_f32(const egi_kernel *k)
{
    const uint16_t *const lists[] = {k->op->in, k->op->out};
    for (int l = 0; l < 2; l++)
        for (const uint16_t *field = lists[l]; *field; field++) {
            const egi_val v = egi_arg(k->args, *field);
            if (v != EGI_NONE && k->t[v].dtype == EGI_F64)
                return false;
        }
    return true;
}

static void release_state(egi_device *device, egi_kernel *k)
{
    egi_free(device->context, k->state);
}

eg_status egi_cpu_state(void *state, egi_device *device, egi_kernel *out, size_t bytes)
{
    EG_TRY(egi_alloc(&out->state, device->context, 1, bytes));
    out->destroy = release_state;
    memcpy(state, &out->state, sizeof out->state);
    return EG_OK;
}

static eg_status run_reference(const egi_kernel *k, const egi_control *control)
{
    k->op->reference(k->args, k->t, control);
    return EG_OK;
}

static eg_status prepare(egi_device *device, egi_kernel *out)
{
    const egi_kernel blank = *out;
    for (const egi_fast *f = fast; f->op && !device->reference_only; f++) {
        if (f->op != out->op)
            continue;
        const eg_status status = f->prepare(device, out);
        if (status != EGI_CPU_DECLINE)
            return status;
        *out = blank;
    }
    out->run = run_reference;
    out->slow = true;
    return EG_OK;
}

static eg_status run_timed(const egi_kernel *k, const egi_control *control)
{
    const double began = egi_clock();
    const eg_status status = k->run(k, control);
    k->time->seconds += egi_clock() - began;
    k->time->calls++;
    return status;
}

static eg_status run(egi_device *device, const egi_kernel *kernels, int n, const egi_control *control)
{
    (void)device;
    eg_status status = EG_OK;
    for (int i = 0; i < n && status == EG_OK; i++)
        status = kernels[i].time ? run_timed(&kernels[i], control) : kernels[i].run(&kernels[i], control);
    return status;
}

static eg_status device_alloc(egi_device *device, void **out, size_t bytes)
{
    return egi_alloc(out, device->context, (int64_t)bytes, 1);
}

static void device_release(egi_device *device, void *block)
{
    egi_free(device->context, block);
}

static const char *vector_units(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return "avx512";
    if (__builtin_cpu_supports("avx2"))
        return "avx2";
    if (__builtin_cpu_supports("avx"))
        return "avx";
    return "sse2";
#else
    return "generic";
#endif
}

static void destroy(egi_device *device)
{
    egi_cpu *cpu = (egi_cpu *)device;
    egi_dnnl_end(cpu);
    egi_free(device->context, cpu);
}

static eg_status create(egi_device **out, eg_context *context, int index)
{
    if (index != 0)
        return egi_fail(EG_ERR_DEVICE, "run.device: wanted cpu, found cpu:%d", index);
    egi_cpu *cpu;
    EG_TRY(egi_alloc(&cpu, context, 1, sizeof *cpu));
    cpu->base.type = &egi_device_cpu;
    cpu->base.context = context;
    const eg_status status = egi_dnnl_begin(cpu);
    if (status != EG_OK) {
        egi_free(context, cpu);
        return status;
    }
    snprintf(cpu->base.description, sizeof cpu->base.description, "%s, %s", vector_units(), egi_dnnl_describe().s);
    *out = &cpu->base;
    return EG_OK;
}

const egi_device_type egi_device_cpu = {
    .name = "cpu",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .run = run,
    .alloc = device_alloc,
    .release = device_release,
    .peak = egi_cpu_peak,
};
