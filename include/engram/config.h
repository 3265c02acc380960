/** engram/config.h: the configuration of a run: dotted keys with text values, the same in files, on the command line
 * and here. */
#ifndef ENGRAM_CONFIG_H
#define ENGRAM_CONFIG_H

#include "engram/context.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eg_config eg_config;

/** All defaults. Owner: caller, eg_config_free(). */
EG_API EG_MUST_USE eg_status eg_config_create(eg_config **out, eg_context *context);
EG_API EG_MUST_USE eg_status eg_config_clone(eg_config **out, const eg_config *config);
EG_API void eg_config_free(eg_config *config);

/** Sets "finetune.lr" to "1e-3". Lists ("data.keep") are separated by commas. Errors: CONFIG (unknown key: the nearest
 * keys; bad value: wanted and found). */
EG_API EG_MUST_USE eg_status eg_config_set(eg_config *config, const char *key, const char *text);

/** Reads a YAML file over what is set. Errors: IO; CONFIG: eg_config_errors() then has all of them, a line each,
 * "file:line:column: ...". */
EG_API EG_MUST_USE eg_status eg_config_load(eg_config *config, const char *path);
EG_API const char *eg_config_errors(const eg_config *config);

/** The value as text; NULL for an unknown key. Owner: the config, until the next call. */
EG_API const char *eg_config_get(const eg_config *config, const char *key);

/** The whole configuration as YAML. Owner of *out: caller, eg_text_free(). */
EG_API EG_MUST_USE eg_status eg_config_print(char **out, const eg_config *config);

typedef struct eg_config_entry {
    const char *key, *kind, *fallback, *choices,
        *help; /**< kind: "integer", "number", "boolean", "choice", "text", "list"; choices "a|b|c" or "" */
    double min, max;
} eg_config_entry;

/** Entry `index` of the schema; false past the end. */
EG_API bool eg_config_schema(int64_t index, eg_config_entry *out);

/** Applies run.seed, run.threads and run.device: a context of device "configured" gets that device, any other must have
 * it. Errors: CONFIG, DEVICE, STATE. */
EG_API EG_MUST_USE eg_status eg_context_configure(eg_context *context, const eg_config *config);

#ifdef __cplusplus
}
#endif
#endif
