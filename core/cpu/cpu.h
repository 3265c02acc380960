/** core/cpu/cpu.h: the device "cpu": own fast kernels and oneDNN over the reference ones. */
#ifndef EGI_CPU_H
#define EGI_CPU_H

#include "core/device.h"

extern const egi_device_type egi_device_cpu;

/** The device with its private part. */
typedef struct egi_cpu {
    egi_device base;
    void *engine, *stream; /* oneDNN's, made and ended by core/cpu/dnnl_*.c */
} egi_cpu;

#define EG_FAST(op_name, prepare_function) eg_status prepare_function(egi_device *device, egi_kernel *out);
#include "core/cpu/fast.def"
#undef EG_FAST

/** core/cpu/peak.c: what the threads of the context can do at best. */
eg_status egi_cpu_peak(egi_device *device, egi_peak *out);

/** Is every value of the kernel f32 (i32 and u8 are allowed: labels, indices)? The first question of a prepare
 * function. */
bool egi_cpu_is_f32(const egi_kernel *kernel);

/** What a prepare function returns for what it does not serve: the next in the list is asked. */
#define EGI_CPU_DECLINE EG_ERR_UNSUPPORTED

/** What a kernel knows beyond its arguments: `bytes`, zeroed, in out->state; released with the kernel. For prepare
 * functions that can no longer decline. Errors: NOMEM. */
EG_MUST_USE eg_status egi_cpu_state(void *state, egi_device *device, egi_kernel *out, size_t bytes);

/** EGI_SIMD(name, (float *y, int64_t n), (y, n)): makes `name` of a `static inline EGI_SIMD_BODY void name_body(...)`,
 * compiled for AVX2 with FMA and for the baseline, chosen by the processor. The compiler vectorises the body for each.
 */
#define EGI_SIMD_BODY __attribute__((always_inline))
#if defined(__x86_64__)
#define EGI_SIMD(name, parameters, arguments)                                        \
    __attribute__((target("avx2,fma"), noinline)) static void name##_avx2 parameters \
    {                                                                                \
        name##_body arguments;                                                       \
    }                                                                                \
    __attribute__((noinline)) static void name##_base parameters                     \
    {                                                                                \
        name##_body arguments;                                                       \
    }                                                                                \
    static inline void name parameters                                               \
    {                                                                                \
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))         \
            name##_avx2 arguments;                                                   \
        else                                                                         \
            name##_base arguments;                                                   \
    }
#else
#define EGI_SIMD(name, parameters, arguments) \
    static inline void name parameters        \
    {                                         \
        name##_body arguments;                \
    }
#endif

#endif
