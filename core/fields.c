#include "core/fields.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A value of any source before it is stored: parsing never writes into the config until everything was checked. */
typedef union parsed {
    int64_t i[8];
    double real;
    bool boolean;
    egi_act act;
    int choice;
    egi_dims dims;
} parsed;

#define FOUND_MAX 96

static void *at(const egi_field *f, void *config)
{
    return (char *)config + f->offset;
}

static const void *at_const(const egi_field *f, const void *config)
{
    return (const char *)config + f->offset;
}

/* --- numbers, whatever the locale --------------------------------------------------------------------------------- */

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* Decimal digits with a sign; sets *end behind them. False: no digits, or too large. */
static bool parse_int(const char *s, const char **end, int64_t *out)
{
    const bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (*s < '0' || *s > '9')
        return false;
    int64_t value = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? '0' - *s : *s - '0', &value))
            return false;
    *end = s;
    *out = value;
    return true;
}

/* strtod() alone would take "0x1p3", "nan", "inf" and the decimal comma of the program's locale. */
static bool parse_real(const char *s, double *out)
{
    if (!*s || s[strspn(s, "0123456789+-.eE")])
        return false;
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc gives a static object */
    if (!plain)
        return false;
    char *end;
    errno = 0;
    const double value = strtod_l(s, &end, plain);
    freelocale(plain);
    if (end == s || *end || !isfinite(value) || (errno == ERANGE && value == 0))
        return false;
    *out = value;
    return true;
}

/* The shortest text that reads back to the same double. */
static void print_real(double value, char *text, size_t room)
{
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t old = plain ? uselocale(plain) : (locale_t)0;
    char longest[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(longest, sizeof longest, "%.*g", digits, value);
        double back;
        if (parse_real(longest, &back) && back == value)
            break;
    }
    if (plain) {
        uselocale(old);
        freelocale(plain);
    }
    snprintf(text, room, "%s", longest);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void join(char *text, size_t room, const char *between, const char *word)
{
    const size_t n = strlen(text);
    if (n < room)
        snprintf(text + n, room - n, "%s%s", n ? between : "", word);
}

/* " a to b", or nothing where there is no bound worth saying. */
static void range_words(const egi_field *f, char *text, size_t room)
{
    char low[32], high[32];
    print_real(f->min, low, sizeof low);
    print_real(f->max, high, sizeof high);
    if (f->kind != EGI_FIELD_REAL && fabs(f->min) < 1e18)
        snprintf(low, sizeof low, "%lld", (long long)f->min);
    if (f->kind != EGI_FIELD_REAL && fabs(f->max) < 1e18)
        snprintf(high, sizeof high, "%lld", (long long)f->max);
    if (isfinite(f->max))
        snprintf(text, room, " %s to %s", low, high);
    else
        snprintf(text, room, " of at least %s", low);
}

static void wanted_words(const egi_field *f, char *text, size_t room)
{
    char range[80];
    range_words(f, range, sizeof range);
    text[0] = 0;
    switch (f->kind) {
    case EGI_FIELD_INT:
        snprintf(text, room, "an integer%s", range);
        break;
    case EGI_FIELD_REAL:
        snprintf(text, room, "a number%s", range);
        break;
    case EGI_FIELD_BOOL:
        snprintf(text, room, "true or false");
        break;
    case EGI_FIELD_ACT:
        snprintf(text, room, "the name of an activation");
        break;
    case EGI_FIELD_PAIR:
        snprintf(text, room, "n or [n, m], integers%s", range);
        break;
    case EGI_FIELD_CHOICE:
        snprintf(text, room, "%s", f->choices);
        break;
    case EGI_FIELD_TEXT:
        snprintf(text, room, "text of at most %d bytes", EGI_TEXT_MAX - 1);
        break;
    case EGI_FIELD_DIMS:
        snprintf(text, room, "a list of at most 8 integers%s", range);
        break;
    case EGI_FIELD_PAD:
        snprintf(text, room, "n, [n, m] or [[top, bottom], [left, right]], integers%s", range);
        break;
    }
    if (f->automatic)
        join(text, room, " or ", f->automatic);
}

static eg_status refuse(eg_status code, const egi_field *f, const char *found)
{
    char wanted[256];
    wanted_words(f, wanted, sizeof wanted);
    return egi_fail(code, "%s: wanted %s, found %s", f->name, wanted, found);
}

static eg_status refuse_text(const egi_field *f, const char *text)
{
    char found[FOUND_MAX];
    const int n = snprintf(found, sizeof found, "'%.80s'", text);
    if (n > 0 && strlen(text) > 80)
        snprintf(found, sizeof found, "'%.80s...'", text);
    return refuse(EG_ERR_CONFIG, f, found);
}

static eg_status refuse_json(const egi_field *f, const json_t *value)
{
    char found[FOUND_MAX] = {0};
    if (json_is_string(value)) {
        snprintf(found, sizeof found, "'%.80s'", json_string_value(value));
        return refuse(EG_ERR_FORMAT, f, found);
    }
    const size_t room = sizeof found - 4;
    if (json_dumpb(value, found, room, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15)) >
        room)
        memcpy(found + strlen(found), "...", 4); /* pieces that did not fit were left out */
    return refuse(EG_ERR_FORMAT, f, found);
}

/* --- storing ------------------------------------------------------------------------------------------------------ */

static bool within(const egi_field *f, double value)
{
    return value >= f->min && value <= f->max;
}

static bool all_within(const egi_field *f, const int64_t *v, int n)
{
    for (int i = 0; i < n; i++)
        if (!within(f, (double)v[i]))
            return false;
    return true;
}

static void store(const egi_field *f, void *config, const parsed *p)
{
    static const size_t sizes[] = {
        [EGI_FIELD_INT] = sizeof(int64_t),   [EGI_FIELD_REAL] = sizeof(double),      [EGI_FIELD_BOOL] = sizeof(bool),
        [EGI_FIELD_ACT] = sizeof(egi_act),   [EGI_FIELD_PAIR] = 2 * sizeof(int64_t), [EGI_FIELD_CHOICE] = sizeof(int),
        [EGI_FIELD_DIMS] = sizeof(egi_dims), [EGI_FIELD_PAD] = 4 * sizeof(int64_t),
    };
    memcpy(at(f, config), p, sizes[f->kind]);
}

static bool store_automatic(const egi_field *f, void *config)
{
    parsed p = {.i = {(int64_t)f->automatic_value, (int64_t)f->automatic_value}};
    if (f->kind == EGI_FIELD_REAL)
        p.real = f->automatic_value;
    else if (f->kind != EGI_FIELD_INT && f->kind != EGI_FIELD_PAIR)
        return false;
    store(f, config, &p);
    return true;
}

/* n becomes n, n; n, m of a PAD becomes n, n, m, m. False: a count that the kind does not know. */
static bool spread(egi_field_kind kind, int64_t *v, int n)
{
    if (kind == EGI_FIELD_PAIR) {
        if (n == 1)
            v[1] = v[0];
        return n == 1 || n == 2;
    }
    if (n == 1)
        v[1] = v[2] = v[3] = v[0];
    if (n == 2) {
        v[2] = v[3] = v[1];
        v[1] = v[0];
    }
    return n == 1 || n == 2 || n == 4;
}

static int find_choice(const egi_field *f, const char *word)
{
    const size_t n = strlen(word);
    int index = 0;
    for (const char *at = f->choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL, index++)
        if (n == strcspn(at, "|") && strncmp(at, word, n) == 0)
            return index;
    return -1;
}

/* Where the word of a choice begins; it ends at the next bar. */
static const char *choice_word(const egi_field *f, int index)
{
    const char *at = f->choices;
    for (; index > 0; index--)
        at = strchr(at, '|') + 1;
    return at;
}

static bool store_string(const egi_field *f, void *config, const char *text)
{
    if (strlen(text) >= EGI_TEXT_MAX)
        return false;
    memmove(at(f, config), text, strlen(text) + 1);
    return true;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static bool json_int(const json_t *value, int64_t *out)
{
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    const double real = json_real_value(value); /* 128.0 is what some writers make of 128 */
    if (!json_is_real(value) || real != floor(real) || fabs(real) > 9e15)
        return false;
    *out = (int64_t)real;
    return true;
}

/* Keras 2.2 wrote numpy scalars as {"type": "ndarray", "value": 6.0}. */
static bool json_number(const json_t *value, double *out)
{
    if (json_is_object(value))
        value = json_object_get(value, "value");
    if (!json_is_number(value))
        return false;
    *out = json_number_value(value);
    return isfinite(*out);
}

static bool json_bool(const json_t *value, bool *out)
{
    if (json_is_boolean(value))
        *out = json_is_true(value);
    else if (json_is_integer(value) && (json_integer_value(value) == 0 || json_integer_value(value) == 1))
        *out = json_integer_value(value) == 1;
    else
        return false;
    return true;
}

/* Integers of a list, or one integer; -1: not that. */
static int json_ints(const json_t *value, int64_t *v, int room, bool null_is_unknown)
{
    if (!json_is_array(value))
        return json_int(value, v) ? 1 : -1;
    const size_t n = json_array_size(value);
    if (n > (size_t)room)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        if (null_is_unknown && json_is_null(item))
            v[i] = -1;
        else if (!json_int(item, &v[i]))
            return -1;
    }
    return (int)n;
}

/* [[top, bottom], [left, right]] flattened, or what json_ints() takes. */
static int json_pad(const json_t *value, int64_t *v)
{
    if (!json_is_array(value))
        return json_int(value, v) ? 1 : -1;
    if (json_array_size(value) != 2)
        return -1;
    if (!json_is_array(json_array_get(value, 0)))
        return json_ints(value, v, 2, false);
    for (size_t i = 0; i < 2; i++) {
        const json_t *side = json_array_get(value, i);
        if (!json_is_array(side) || json_ints(side, v + 2 * i, 2, false) != 2)
            return -1;
    }
    return 4;
}

static bool json_dims_within(const egi_field *f, const json_t *value, const egi_dims *dims)
{
    for (int i = 0; i < dims->n; i++)
        if (!json_is_null(json_array_get(value, (size_t)i)) && !within(f, (double)dims->v[i]))
            return false;
    return true;
}

/* "relu", or {"class_name": "function", "config": "relu"}, or {"module": "keras.activations", "class_name": "relu"};
 * NULL: something else, such as a whole layer. */
static const char *act_name_of(const json_t *value)
{
    if (json_is_string(value))
        return json_string_value(value);
    const char *name = json_string_value(json_object_get(value, "config"));
    if (name)
        return name;
    const char *module = json_string_value(json_object_get(value, "module"));
    return module && strcmp(module, "keras.activations") == 0 ? json_string_value(json_object_get(value, "class_name"))
                                                              : NULL;
}

static eg_status act_from_json(const egi_field *f, void *config, const json_t *value, int keras_major)
{
    parsed p = {.act = EGI_ACT_LINEAR};
    if (!json_is_null(value)) {
        const char *name = act_name_of(value);
        const char *layer = json_string_value(json_object_get(value, "class_name"));
        if (!name && layer)
            return egi_fail(EG_ERR_UNSUPPORTED, "%s: unsupported: the object '%s', wanted the name of a function",
                            f->name, layer);
        if (!name)
            return refuse_json(f, value);
        const eg_status status = egi_act_parse(&p.act, name, keras_major);
        if (status != EG_OK)
            return egi_fail_prefix(status, "%s", f->name);
    }
    store(f, config, &p);
    return EG_OK;
}

static bool is_word(const egi_field *f, const json_t *value)
{
    if (!f->automatic)
        return false;
    if (json_is_null(value))
        return strcmp(f->automatic, "null") == 0;
    return json_is_string(value) && strcmp(f->automatic, json_string_value(value)) == 0;
}

/* The plain kinds; false: not what was wanted. */
static bool value_from_json(const egi_field *f, const json_t *value, parsed *p)
{
    int n;
    switch (f->kind) {
    case EGI_FIELD_INT:
        return json_int(value, p->i) && within(f, (double)p->i[0]);
    case EGI_FIELD_REAL:
        return json_number(value, &p->real) && within(f, p->real);
    case EGI_FIELD_BOOL:
        return json_bool(value, &p->boolean);
    case EGI_FIELD_PAIR:
        n = json_ints(value, p->i, 2, false);
        return n == (json_is_array(value) ? 2 : 1) && spread(f->kind, p->i, n) && all_within(f, p->i, 2);
    case EGI_FIELD_PAD:
        n = json_pad(value, p->i);
        return n > 0 && spread(f->kind, p->i, n) && all_within(f, p->i, 4);
    case EGI_FIELD_CHOICE:
        p->choice = json_is_string(value) ? find_choice(f, json_string_value(value)) : -1;
        return p->choice >= 0;
    case EGI_FIELD_DIMS:
        p->dims.n = json_ints(value, p->dims.v, 8, true);
        return p->dims.n >= 0 && json_dims_within(f, value, &p->dims);
    case EGI_FIELD_ACT:
    case EGI_FIELD_TEXT:
        break;
    }
    return false;
}

eg_status egi_field_from_json(const egi_field *f, void *config, const json_t *value, int keras_major)
{
    if (is_word(f, value) && store_automatic(f, config))
        return EG_OK;
    if (f->kind == EGI_FIELD_ACT)
        return act_from_json(f, config, value, keras_major);
    if (json_is_null(value) && f->fallback)
        return egi_field_from_text(f, config, f->fallback);
    if (f->kind == EGI_FIELD_TEXT) {
        if (json_is_string(value) && store_string(f, config, json_string_value(value)))
            return EG_OK;
        return refuse_json(f, value);
    }
    parsed p = {0};
    if (!value_from_json(f, value, &p))
        return refuse_json(f, value);
    store(f, config, &p);
    return EG_OK;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static bool text_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i & 1;
            return true;
        }
    return false;
}

static const char *skip_brackets(const char *s)
{
    return s + strspn(s, " \t[]()");
}

/* Integers between commas, in brackets or not; null is -1. Returns how many, -1: not that. */
static int text_ints(const char *s, int64_t *v, bool *unknown, int room)
{
    int n = 0;
    for (s = skip_brackets(s); *s; s = skip_brackets(s)) {
        if (n == room)
            return -1;
        unknown[n] = strncmp(s, "null", 4) == 0;
        if (unknown[n]) {
            v[n] = -1;
            s += 4;
        } else if (!parse_int(s, &s, &v[n])) {
            return -1;
        }
        n++;
        s = skip_brackets(s);
        if (*s && *s++ != ',')
            return -1;
        if (s[-1] == ',' && !*skip_brackets(s))
            return -1;
    }
    return n;
}

static bool text_numbers(const egi_field *f, const char *text, parsed *p)
{
    int64_t v[8] = {0};
    bool unknown[8];
    const int n = text_ints(text, v, unknown, 8);
    for (int i = 0; i < n; i++)
        if (unknown[i] ? f->kind != EGI_FIELD_DIMS : !within(f, (double)v[i]))
            return false;
    if (n < 0)
        return false;
    if (f->kind == EGI_FIELD_DIMS) {
        p->dims.n = n;
        memcpy(p->dims.v, v, sizeof v);
        return true;
    }
    memcpy(p->i, v, sizeof v);
    return spread(f->kind, p->i, n);
}

static bool text_act(const char *text, egi_act *out)
{
    for (int i = 0; i < EGI_ACT_COUNT; i++) /* exact kinds first: what egi_field_print() wrote */
        if (strcmp(text, egi_act_name((egi_act)i)) == 0) {
            *out = (egi_act)i;
            return true;
        }
    return egi_act_parse(out, text, 3) == EG_OK;
}

static bool value_from_text(const egi_field *f, const char *text, parsed *p)
{
    const char *end = "";
    switch (f->kind) {
    case EGI_FIELD_INT:
        return parse_int(text, &end, p->i) && !*end && within(f, (double)p->i[0]);
    case EGI_FIELD_REAL:
        return parse_real(text, &p->real) && within(f, p->real);
    case EGI_FIELD_BOOL:
        return text_bool(text, &p->boolean);
    case EGI_FIELD_ACT:
        return text_act(text, &p->act);
    case EGI_FIELD_CHOICE:
        p->choice = find_choice(f, text);
        return p->choice >= 0;
    case EGI_FIELD_PAIR:
    case EGI_FIELD_PAD:
    case EGI_FIELD_DIMS:
        return text_numbers(f, text, p);
    case EGI_FIELD_TEXT:
        break;
    }
    return false;
}

eg_status egi_field_from_text(const egi_field *f, void *config, const char *text)
{
    if (f->kind == EGI_FIELD_TEXT)
        return store_string(f, config, text) ? EG_OK : refuse_text(f, text);
    char word[EGI_TEXT_MAX];
    const char *begin = skip_space(text);
    size_t n = strlen(begin);
    while (n && (begin[n - 1] == ' ' || begin[n - 1] == '\t'))
        n--;
    if (n >= sizeof word)
        return refuse_text(f, text);
    memcpy(word, begin, n);
    word[n] = 0;
    if (f->automatic && strcmp(word, f->automatic) == 0 && store_automatic(f, config))
        return EG_OK;
    parsed p = {0};
    if (!value_from_text(f, word, &p))
        return refuse_text(f, text);
    store(f, config, &p);
    return EG_OK;
}

eg_status egi_fields_defaults(const egi_field *fields, int n, void *config)
{
    for (int i = 0; i < n; i++)
        if (fields[i].fallback)
            EG_TRY(egi_field_from_text(&fields[i], config, fields[i].fallback));
    return EG_OK;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static bool is_automatic(const egi_field *f, const void *value)
{
    if (!f->automatic)
        return false;
    if (f->kind == EGI_FIELD_REAL)
        return *(const double *)value == f->automatic_value;
    const int64_t *v = value;
    const int64_t word = (int64_t)f->automatic_value;
    return (f->kind == EGI_FIELD_INT && v[0] == word) || (f->kind == EGI_FIELD_PAIR && v[0] == word && v[1] == word);
}

static void print_dims(const egi_field *f, const egi_dims *dims, char *text, size_t room)
{
    snprintf(text, room, "[");
    for (int i = 0; i < dims->n && i < 8; i++) {
        char item[32];
        if (dims->v[i] == -1 && !within(f, -1))
            snprintf(item, sizeof item, "null");
        else
            snprintf(item, sizeof item, "%lld", (long long)dims->v[i]);
        join(text, room, i ? ", " : "", item);
    }
    join(text, room, "", "]");
}

void egi_field_print(const egi_field *f, const void *config, char *text, size_t room)
{
    const void *value = at_const(f, config);
    const int64_t *v = value;
    const char *word;
    if (is_automatic(f, value)) {
        snprintf(text, room, "%s", f->automatic);
        return;
    }
    switch (f->kind) {
    case EGI_FIELD_INT:
        snprintf(text, room, "%lld", (long long)v[0]);
        break;
    case EGI_FIELD_REAL:
        print_real(*(const double *)value, text, room);
        break;
    case EGI_FIELD_BOOL:
        snprintf(text, room, "%s", *(const bool *)value ? "true" : "false");
        break;
    case EGI_FIELD_ACT:
        snprintf(text, room, "%s", egi_act_name(*(const egi_act *)value));
        break;
    case EGI_FIELD_PAIR:
        snprintf(text, room, "[%lld, %lld]", (long long)v[0], (long long)v[1]);
        break;
    case EGI_FIELD_CHOICE:
        word = choice_word(f, *(const int *)value);
        snprintf(text, room, "%.*s", (int)strcspn(word, "|"), word);
        break;
    case EGI_FIELD_TEXT:
        snprintf(text, room, "%s", (const char *)value);
        break;
    case EGI_FIELD_DIMS:
        print_dims(f, value, text, room);
        break;
    case EGI_FIELD_PAD:
        snprintf(text, room, "[[%lld, %lld], [%lld, %lld]]", (long long)v[0], (long long)v[1], (long long)v[2],
                 (long long)v[3]);
        break;
    }
}
