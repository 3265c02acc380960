/* Finding a field by its name, and the names that are near a mistyped one. */
#include "core/fields.h"

#include <stdio.h>
#include <string.h>

const egi_field *egi_field_find(const egi_field *fields, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0 || (fields[i].alias && strcmp(fields[i].alias, name) == 0))
            return &fields[i];
    return NULL;
}

#define NAME_MAX_COMPARED 64
#define FAR               1000

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Edits between two names: insert, delete, replace, swap of neighbours (Damerau 1964, optimal string alignment). */
static int distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    if (n > NAME_MAX_COMPARED || m > NAME_MAX_COMPARED)
        return FAR;
    int row[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3];
        const int *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            const int differ = lower(a[i - 1]) != lower(b[j - 1]);
            now[j] = least(before[j - 1] + differ, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* "lr" is near "finetune.lr": without a dot, the last part counts. "finetune.patience" is near
 * "finetune.early_stopping.patience": the right word in the wrong group. */
static int name_distance(const char *name, const char *candidate)
{
    const int whole = distance(name, candidate), part = distance(last_part(name), last_part(candidate));
    if (!strchr(name, '.'))
        return least(whole, part);
    return part == 0 ? least(whole, 1) : whole;
}

void egi_field_nearest(const egi_field *fields, int n, const char *name, char *text, size_t room)
{
    const int length = (int)least((int)strnlen(name, NAME_MAX_COMPARED), NAME_MAX_COMPARED);
    const int limit = length < 4 ? 1 : length < 9 ? 2 : 3;
    int taken = 0;
    text[0] = 0;
    for (int d = 0; d <= limit && taken < 3; d++)
        for (int i = 0; i < n && taken < 3; i++)
            if (name_distance(name, fields[i].name) == d) {
                const size_t used = strlen(text);
                snprintf(text + used, room - used, "%s%s", used ? ", " : "", fields[i].name);
                taken++;
            }
}
