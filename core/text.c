#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

eg_status egi_text_add(egi_text *t, const char *s)
{
    const int64_t n = (int64_t)strlen(s);
    if (t->status == EG_OK && t->n + n + 1 > t->capacity) {
        const int64_t room = 2 * (t->n + n + 1) + 256;
        t->status = egi_grow(&t->s, t->context, t->capacity, room, 1);
        t->capacity = t->status == EG_OK ? room : t->capacity;
    }
    if (t->status != EG_OK)
        return t->status;
    memcpy(t->s + t->n, s, (size_t)n + 1);
    t->n += n;
    return EG_OK;
}

eg_status egi_text_format(egi_text *t, const char *format, ...)
{
    char piece[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    return egi_text_add(t, piece);
}

eg_status egi_text_take(char **out, egi_text *t)
{
    const eg_status status = egi_text_add(t, "");
    if (status == EG_OK) {
        *out = t->s;
        t->s = NULL;
    }
    egi_text_release(t);
    return status;
}

void egi_text_release(egi_text *t)
{
    egi_free(t->context, t->s);
    *t = (egi_text){.context = t->context};
}
