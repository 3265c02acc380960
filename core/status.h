/** core/status.h: making and passing on failures. */
#ifndef EGI_STATUS_H
#define EGI_STATUS_H

#include "engram/status.h"

#if defined(__GNUC__)
#define EGI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define EGI_PRINTF(f, a)
#endif

/** Sets this thread's message (one line, lower case, no full stop: subject, wanted, found, remedy) and returns `code`.
 *  Does not allocate. */
eg_status egi_fail(eg_status code, const char *format, ...) EGI_PRINTF(2, 3);

/** Puts "prefix: " before this thread's message and returns `code`: adds a subject on the way up. */
eg_status egi_fail_prefix(eg_status code, const char *format, ...) EGI_PRINTF(2, 3);

/** Passes a failure up unchanged. */
#define EG_TRY(call)                             \
    do {                                         \
        const eg_status eg_try_status_ = (call); \
        if (eg_try_status_ != EG_OK)             \
            return eg_try_status_;               \
    } while (0)

/** Passes a failure up through the label `done`, where `status` is a local of type eg_status. */
#define EG_TRY_GOTO(status, call) \
    do {                          \
        (status) = (call);        \
        if ((status) != EG_OK)    \
            goto done;            \
    } while (0)

#endif
