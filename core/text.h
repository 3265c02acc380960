/** core/text.h: text that only grows. A failure to grow sticks, so that whoever writes much asks once. */
#ifndef EGI_TEXT_H
#define EGI_TEXT_H

#include "core/context.h"

/** Zero but for the context. `s` is NULL until something is added, then ends in 0. */
typedef struct egi_text {
    eg_context *context;
    char *s; /* owned: egi_text_release() */
    int64_t n, capacity;
    eg_status status;
} egi_text;

/** Appends. The status is that of the whole text so far. Errors: NOMEM. */
eg_status egi_text_add(egi_text *text, const char *s);
/** At most 1023 bytes at a time. */
eg_status egi_text_format(egi_text *text, const char *format, ...) EGI_PRINTF(2, 3);
/** Gives the text away, "" where nothing was added; on failure frees it. Owner of *out: caller, egi_free(). */
EG_MUST_USE eg_status egi_text_take(char **out, egi_text *text);
void egi_text_release(egi_text *text);

#endif
