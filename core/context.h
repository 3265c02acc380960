/** core/context.h: the context's inside, memory and logging. */
#ifndef EGI_CONTEXT_H
#define EGI_CONTEXT_H

#include "core/precision.h"
#include "core/status.h"
#include "engram/context.h"

#include <stdbool.h>

typedef struct egi_device egi_device;
typedef struct egi_mirror egi_mirror;
typedef struct egi_team egi_team;
typedef struct egi_device_type egi_device_type;

struct eg_context {
    eg_allocator allocator;
    uint64_t seed;
    int threads;
    egi_device *device;                  /* owned */
    const egi_device_type *const *types; /* the devices there are, best first, NULL at the end */
    egi_precision precision;             /* of kernels that are prepared from now on */
    bool own_kernels;                    /* these use no library of NVIDIA's: run.libraries=off */
    bool undecided;                      /* the device is chosen by egi_context_set_device() */
    egi_team *team;                      /* owned: the threads; core/team.h */
    egi_mirror *mirrors;                 /* of a device with memory of its own; core/mirror.h */
    char description[384];
    char passed_over[160]; /* why "auto" did not take a better device: "; cuda: ..."; else empty */
    eg_log_fn log;
    void *log_user;
    int64_t live_blocks;  /* blocks given and not yet released */
    int64_t total_blocks; /* blocks ever given: a training step must not raise it */
};

/** eg_context_create() with the list of devices, which only api/ knows. `types` ends with NULL. */
eg_status egi_context_create(eg_context **out, const eg_context_options *options, const egi_device_type *const *types);

/** The device of a context that was made with device "configured": "auto", or a name with or without ":N". Of another
 * context: checks that it is this one. Nothing that a device holds may have been made yet. Errors: DEVICE, STATE. */
EG_MUST_USE eg_status egi_context_set_device(eg_context *context, const char *name);

/** "f32", "tf32", "bf16". */
const char *egi_precision_name(egi_precision precision);
/** How products are rounded from now on. Errors: UNSUPPORTED: the device cannot. */
EG_MUST_USE eg_status egi_context_set_precision(eg_context *context, egi_precision precision);

/** Sets how many threads kernels that are prepared from now on use; 1 to 1024. Errors: NOMEM. */
EG_MUST_USE eg_status egi_context_set_threads(eg_context *context, int threads);

/** Bytes that this process may still take: what the machine has free, within the container's limit; INT64_MAX:
 * not known. */
int64_t egi_available_memory(void);

/** Seconds of a steady clock. */
double egi_clock(void);

/** `count * size` bytes, zeroed, aligned to 64. A count of 0 gives a block too. Errors: NOMEM (also when the product
 * overflows). */
EG_MUST_USE eg_status egi_alloc(void *out, eg_context *context, int64_t count, size_t size);

/** Grows `*block` from `old_count` to `count` elements; new ones are zeroed; on failure the old block stays. `*block`
 * may be NULL. */
EG_MUST_USE eg_status egi_grow(void *block, eg_context *context, int64_t old_count, int64_t count, size_t size);

/** Releases a block of egi_alloc(); NULL is fine. */
void egi_free(eg_context *context, void *block);

/** A copy of a string. Owner: the caller, egi_free(). */
EG_MUST_USE eg_status egi_strdup(char **out, eg_context *context, const char *text);

/** A formatted string. Owner: the caller, egi_free(). */
EG_MUST_USE eg_status egi_format(char **out, eg_context *context, const char *format, ...) EGI_PRINTF(3, 4);

/** Hands one line to the user's log. */
void egi_log(const eg_context *context, eg_log_level level, const char *format, ...) EGI_PRINTF(3, 4);

/** Appends one element to a growing array: `EGI_PUSH(ctx, array, count, capacity)` makes room for element `count`. */
#define EGI_RESERVE(ctx, array, count, capacity) egi_reserve((ctx), &(array), (count), &(capacity), sizeof *(array))
EG_MUST_USE eg_status egi_reserve(eg_context *context, void *array, int64_t count, int64_t *capacity, size_t size);

#endif
