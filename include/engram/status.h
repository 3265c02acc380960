/** engram/status.h: what a call returns and the message it leaves behind. */
#ifndef ENGRAM_STATUS_H
#define ENGRAM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EG_API      __attribute__((visibility("default")))
#define EG_MUST_USE __attribute__((warn_unused_result))
#else
#define EG_API
#define EG_MUST_USE
#endif

/** Every code, its fixed number (never changed, never reused) and its words. */
#define EG_STATUS_LIST(X)                         \
    X(OK, 0, "ok")                                \
    X(ERR_NOMEM, 1, "out of memory")              \
    X(ERR_ARG, 2, "invalid argument")             \
    X(ERR_SHAPE, 3, "shapes do not fit")          \
    X(ERR_DTYPE, 4, "wrong element type")         \
    X(ERR_STATE, 5, "not possible in this state") \
    X(ERR_UNSUPPORTED, 6, "unsupported")          \
    X(ERR_IO, 7, "input or output failed")        \
    X(ERR_FORMAT, 8, "malformed file")            \
    X(ERR_DEVICE, 9, "device failed")             \
    X(ERR_NUMERIC, 10, "numbers diverged")        \
    X(ERR_CANCELLED, 11, "cancelled")             \
    X(ERR_INTERNAL, 12, "internal error")         \
    X(ERR_DATA, 13, "unusable data set")          \
    X(ERR_CONFIG, 14, "invalid configuration")

/** The result of a call: EG_OK or an error code. On an error the outputs are untouched and eg_last_message() says why.
 */
typedef enum eg_status {
#define EG_STATUS_ENUM(name, number, words) EG_##name = number,
    EG_STATUS_LIST(EG_STATUS_ENUM)
#undef EG_STATUS_ENUM
} eg_status;

/** The words of a code, e.g. "out of memory"; never NULL. Threads: any. */
EG_API const char *eg_status_words(eg_status status);

/** The message of the last failed call on this thread: one line, lower case, no full stop; "" when nothing failed yet.
 *  Owner: the library; valid until the next failing call on this thread. */
EG_API const char *eg_last_message(void);

/** The library's version, "0.1.0". */
EG_API const char *eg_version(void);

#ifdef __cplusplus
}
#endif
#endif
