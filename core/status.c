#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef EG_VERSION
#error "EG_VERSION comes from the build"
#endif

static _Thread_local char message[512];

const char *eg_status_words(eg_status status)
{
    switch (status) {
#define WORDS(name, number, words) \
    case EG_##name:                \
        return words;
        EG_STATUS_LIST(WORDS)
#undef WORDS
    }
    return "unknown status";
}

const char *eg_last_message(void)
{
    return message;
}

const char *eg_version(void)
{
    return EG_VERSION;
}

/* A message is one line whatever a hostile file put into a name. */
static void keep_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

eg_status egi_fail(eg_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    keep_printable(message);
    return code;
}

eg_status egi_fail_prefix(eg_status code, const char *format, ...)
{
    char old[sizeof message];
    memcpy(old, message, sizeof old);
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 3 < sizeof message)
        snprintf(message + n, sizeof message - (size_t)n, ": %.*s", (int)(sizeof message - (size_t)n - 3), old);
    keep_printable(message);
    return code;
}
