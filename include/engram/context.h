/** engram/context.h: everything that would otherwise be global. */
#ifndef ENGRAM_CONTEXT_H
#define ENGRAM_CONTEXT_H

#include "engram/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eg_context eg_context;

/** Where memory comes from. `alloc` returns at least `bytes` bytes aligned to 64, or NULL; `release` takes what `alloc`
 * gave. */
typedef struct eg_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*release)(void *user, void *block);
    void *user;
} eg_allocator;

typedef enum eg_log_level { EG_LOG_INFO = 0, EG_LOG_WARNING = 1 } eg_log_level;

/** Receives one line without a newline. */
typedef void (*eg_log_fn)(void *user, eg_log_level level, const char *line);

typedef struct eg_context_options {
    size_t struct_size;            /**< sizeof(eg_context_options) */
    const eg_allocator *allocator; /**< NULL: the C library's aligned_alloc and free */
    uint64_t seed;                 /**< key of every random draw */
    int threads;                   /**< 0: as many as this process may use (affinity, cgroup quota) */
    const char *device;            /**< NULL or "auto": cuda if it can be had; "cpu", "cuda", "cuda:N";
                                        "configured": the cpu until eg_context_configure() */
    eg_log_fn log;                 /**< NULL: silent */
    void *log_user;
} eg_context_options;

#define EG_CONTEXT_OPTIONS_INIT                                  \
    {                                                            \
        sizeof(eg_context_options), NULL, 1, 0, NULL, NULL, NULL \
    }

/** Makes a context. `options` may be NULL. Owner: the caller, eg_context_free(). Errors: NOMEM, ARG, DEVICE.
 *  Threads: a context and what was made from it are used by one thread at a time. */
EG_API EG_MUST_USE eg_status eg_context_create(eg_context **out, const eg_context_options *options);

/** Ends a context; everything made from it must be freed before. NULL is fine. */
EG_API void eg_context_free(eg_context *context);

/** Name of the device in use, e.g. "cpu". Owner: the context. */
EG_API const char *eg_context_device(const eg_context *context);

/** Threads that kernels use. */
EG_API int eg_context_threads(const eg_context *context);

/** One line about processor, vector units and the libraries in use, e.g. "cpu, 2 threads, avx2, oneDNN 2.6.3; cuda: no
 * driver". Owner: the context. */
EG_API const char *eg_context_describe(const eg_context *context);

#ifdef __cplusplus
}
#endif
#endif
