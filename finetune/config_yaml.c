/* YAML in and out. libyaml gives events with line and column; the table gives every scalar its type, so `no` stays a
 * word where a word is wanted. */
#include "core/file.h"
#include "finetune/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define DEPTH_MAX      8
#define NESTING_MAX    64 /* of values that are skipped: libyaml takes quadratic time in it */
#define PREFIX_MAX     256
#define SECTIONS_MAX   64
#define PROBLEMS_MAX   100

/* --- reading ------------------------------------------------------------------------------------------------------ */

typedef struct reader {
    yaml_parser_t parser;
    eg_config *config; /* a copy; taken over when the file is right */
    const char *path;
    yaml_mark_t where[128]; /* of each field that the file sets */
    uint64_t set[2];
    char sections[SECTIONS_MAX][PREFIX_MAX]; /* mappings met, to refuse a second one of the same name */
    int n_sections, problems;
    bool broken; /* the text cannot be read on */
} reader;

static void complain(reader *r, yaml_mark_t at, const char *subject, const char *words)
{
    if (r->problems++ < PROBLEMS_MAX)
        egi_config_complain(r->config, "%s:%zu:%zu: %s%s%s", r->path, at.line + 1, at.column + 1, subject,
                            *subject ? ": " : "", words);
}

static bool next(reader *r, yaml_event_t *event)
{
    if (r->broken)
        return false;
    if (yaml_parser_parse(&r->parser, event))
        return true;
    r->broken = true;
    complain(r, r->parser.problem_mark, "", r->parser.problem ? r->parser.problem : "not YAML");
    return false;
}

/* Anchors and aliases allow a small file to be huge, tags ask for types: a configuration needs neither. */
static bool plain(reader *r, const yaml_event_t *e)
{
    const bool anchor = (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
                        (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
                        (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor);
    const bool tag = (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) ||
                     (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag) ||
                     (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag);
    if (e->type == YAML_ALIAS_EVENT || anchor)
        complain(r, e->start_mark, "", "anchors and aliases are not supported; write the value out");
    else if (tag)
        complain(r, e->start_mark, "", "tags are not supported; the key gives a value its type");
    return e->type != YAML_ALIAS_EVENT && !anchor && !tag;
}

/* Reads on behind a value that began with `type`. */
static void skip(reader *r, yaml_event_type_t type)
{
    int depth = type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
    while (depth > 0) {
        yaml_event_t e;
        if (!next(r, &e))
            return;
        depth += e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT;
        depth -= e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT;
        if (depth > NESTING_MAX) {
            complain(r, e.start_mark, "", "nested too deeply");
            r->broken = true;
        }
        yaml_event_delete(&e);
    }
}

static const char *text_of(const yaml_event_t *e)
{
    return (const char *)e->data.scalar.value;
}

static bool is_null(const yaml_event_t *e)
{
    const char *t = text_of(e);
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (!*t || strcmp(t, "~") == 0 || strcmp(t, "null") == 0);
}

static bool has_zero(const yaml_event_t *e)
{
    return strlen(text_of(e)) != e->data.scalar.length;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void set(reader *r, int field, yaml_mark_t at, const char *text)
{
    if (egi_config_set_field(r->config, field, text) != EG_OK)
        complain(r, at, "", eg_last_message());
}

static bool takes_list(const egi_field *f)
{
    return f->kind == EGI_FIELD_TEXT && f->max > 0;
}

/* Reads the items behind a sequence's start into one text, joined by commas. */
static void read_sequence(reader *r, int field, yaml_mark_t at)
{
    char text[EGI_TEXT_MAX] = "";
    bool good = true;
    for (yaml_event_t e; next(r, &e); yaml_event_delete(&e)) {
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            if (good)
                set(r, field, at, text);
            yaml_event_delete(&e);
            return;
        }
        if (!plain(r, &e) || e.type != YAML_SCALAR_EVENT || has_zero(&e) || strchr(text_of(&e), ',')) {
            if (e.type != YAML_ALIAS_EVENT && good)
                complain(r, e.start_mark, egi_run_fields[field].name,
                         "wanted a list of single values without commas in them");
            good = false;
            skip(r, e.type);
            continue;
        }
        const size_t n = strlen(text);
        if (n + strlen(text_of(&e)) + 2 > sizeof text) {
            complain(r, e.start_mark, egi_run_fields[field].name, "the list is longer than 1,023 bytes");
            good = false;
        } else {
            snprintf(text + n, sizeof text - n, "%s%s", n ? "," : "", text_of(&e));
        }
    }
}

static bool already_set(reader *r, int field, yaml_mark_t at)
{
    if (!(r->set[field / 64] >> field % 64 & 1)) {
        r->set[field / 64] |= (uint64_t)1 << field % 64;
        r->where[field] = at;
        return false;
    }
    char words[64];
    snprintf(words, sizeof words, "already set in line %zu", r->where[field].line + 1);
    complain(r, at, egi_run_fields[field].name, words);
    return true;
}

static void read_value(reader *r, int field, yaml_mark_t key, const yaml_event_t *e)
{
    const egi_field *f = &egi_run_fields[field];
    if (!plain(r, e) || already_set(r, field, key)) {
        skip(r, e->type);
    } else if (e->type == YAML_SEQUENCE_START_EVENT && takes_list(f)) {
        read_sequence(r, field, e->start_mark);
    } else if (e->type != YAML_SCALAR_EVENT || has_zero(e)) {
        complain(r, e->start_mark, f->name, "wanted a single value");
        skip(r, e->type);
    } else {
        set(r, field, e->start_mark, is_null(e) ? f->fallback : text_of(e));
    }
}

/* --- mappings ----------------------------------------------------------------------------------------------------- */

static void read_mapping(reader *r, const char *prefix, int depth);

static bool is_section(const char *path)
{
    const size_t n = strlen(path);
    for (int i = 0; i < egi_run_fields_count; i++)
        if (strncmp(egi_run_fields[i].name, path, n) == 0 && egi_run_fields[i].name[n] == '.')
            return true;
    return false;
}

static void unknown_key(reader *r, yaml_mark_t at, const char *path)
{
    char near[256], words[512];
    egi_field_nearest(egi_run_fields, egi_run_fields_count, path, near, sizeof near);
    if (is_section(path))
        snprintf(words, sizeof words, "'%.80s' wants keys below it, found a value", path);
    else
        snprintf(words, sizeof words, "unknown key '%.80s'%s%s", path, *near ? "; the nearest: " : "", near);
    complain(r, at, "", words);
}

static void read_section(reader *r, const char *path, yaml_mark_t at, int depth)
{
    for (int i = 0; i < r->n_sections; i++)
        if (strcmp(r->sections[i], path) == 0) {
            complain(r, at, path, "the section is there twice");
            skip(r, YAML_MAPPING_START_EVENT);
            return;
        }
    if (r->n_sections == SECTIONS_MAX || depth == DEPTH_MAX) {
        complain(r, at, path, "too many sections");
        skip(r, YAML_MAPPING_START_EVENT);
        return;
    }
    snprintf(r->sections[r->n_sections++], PREFIX_MAX, "%s", path);
    read_mapping(r, path, depth + 1);
}

static void read_entry(reader *r, const char *prefix, const yaml_event_t *key, int depth)
{
    char path[PREFIX_MAX];
    const int n = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", text_of(key));
    const bool fits = n > 0 && n < (int)sizeof path && !has_zero(key);
    const egi_field *f = fits ? egi_field_find(egi_run_fields, egi_run_fields_count, path) : NULL;
    yaml_event_t e;
    if (!next(r, &e))
        return;
    if (f) {
        read_value(r, (int)(f - egi_run_fields), key->start_mark, &e);
    } else if (fits && e.type == YAML_MAPPING_START_EVENT && is_section(path)) {
        if (plain(r, &e))
            read_section(r, path, key->start_mark, depth);
        else
            skip(r, e.type);
    } else if (!(fits && is_section(path) && e.type == YAML_SCALAR_EVENT &&
                 is_null(&e))) { /* "data:" alone is an empty section */
        unknown_key(r, key->start_mark, path);
        skip(r, e.type);
    }
    yaml_event_delete(&e);
}

static void read_mapping(reader *r, const char *prefix, int depth)
{
    for (yaml_event_t key; next(r, &key); yaml_event_delete(&key)) {
        if (key.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&key);
            return;
        }
        if (plain(r, &key) && key.type == YAML_SCALAR_EVENT) {
            read_entry(r, prefix, &key, depth);
            continue;
        }
        if (key.type != YAML_ALIAS_EVENT && key.type != YAML_SCALAR_EVENT)
            complain(r, key.start_mark, "", "a key must be a word");
        skip(r, key.type);
        yaml_event_t value;
        if (next(r, &value)) {
            skip(r, value.type);
            yaml_event_delete(&value);
        }
    }
}

static void read_document(reader *r)
{
    int documents = 0;
    for (bool more = true; more;) {
        yaml_event_t e;
        if (!next(r, &e))
            return;
        more = e.type != YAML_STREAM_END_EVENT;
        if (e.type == YAML_DOCUMENT_START_EVENT && documents++ == 1)
            complain(r, e.start_mark, "", "a second document; one was wanted");
        if (e.type == YAML_MAPPING_START_EVENT && documents == 1 && plain(r, &e)) {
            read_mapping(r, "", 0);
        } else if (e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT ||
                   e.type == YAML_SCALAR_EVENT) {
            if (documents == 1 && !(e.type == YAML_SCALAR_EVENT && is_null(&e)))
                complain(r, e.start_mark, "", "wanted keys and values");
            skip(r, e.type);
        }
        yaml_event_delete(&e);
    }
}

/* Conditions between keys are known only when everything is set, which the command line may still do; so they fail a
 * file only beside other problems, to show all at once, and egi_config_check() has the last word. */
static void add_conditions(reader *r)
{
    const char *key, *words;
    int64_t i = 0;
    while (r->problems && (words = egi_config_condition(&r->config->run, &i, &key))) {
        const egi_field *f = egi_field_find(egi_run_fields, egi_run_fields_count, key);
        const int field = (int)(f - egi_run_fields);
        if (r->set[field / 64] >> field % 64 & 1)
            complain(r, r->where[field], key, words);
    }
}

static eg_status take(reader *r, eg_config *config)
{
    if (!r->problems) {
        config->run = r->config->run;
        config->given[0] = r->config->given[0];
        config->given[1] = r->config->given[1];
        return EG_OK;
    }
    egi_free(config->context, config->errors);
    config->errors = r->config->errors;
    r->config->errors = NULL;
    if (!config->errors)
        return egi_fail(EG_ERR_NOMEM, "%s: %d problems, no memory to say which", r->path, r->problems);
    const int first = (int)strcspn(config->errors, "\n");
    if (r->problems == 1)
        return egi_fail(EG_ERR_CONFIG, "%.*s", first, config->errors);
    return egi_fail(EG_ERR_CONFIG, "%d problems, the first: %.*s", r->problems, first, config->errors);
}

static eg_status parse(reader *r, eg_config *config, const char *text, size_t bytes)
{
    EG_TRY(eg_config_clone(&r->config, config));
    if (!yaml_parser_initialize(&r->parser)) {
        eg_config_free(r->config);
        return egi_fail(EG_ERR_NOMEM, "%s: no memory for the reader", r->path);
    }
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, bytes);
    read_document(r);
    yaml_parser_delete(&r->parser);
    add_conditions(r);
    const eg_status status = take(r, config);
    eg_config_free(r->config);
    return status;
}

eg_status eg_config_load(eg_config *config, const char *path)
{
    if (!config || !path)
        return egi_fail(EG_ERR_ARG, "configuration: config or path is NULL");
    eg_context *context = config->context;
    egi_free(context, config->errors);
    config->errors = NULL;
    char *text;
    size_t bytes;
    EG_TRY(egi_file_slurp(&text, &bytes, context, path, FILE_MAX_BYTES));
    reader *r;
    eg_status status = egi_alloc(&r, context, 1, sizeof *r);
    if (status == EG_OK) {
        r->path = path;
        status = parse(r, config, text, bytes);
        egi_free(context, r);
    }
    egi_free(context, text);
    return status;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

/* Text that only grows; `at` counts on when `text` is NULL, so that one run measures and the next one writes. */
typedef struct printer {
    char *text;
    size_t at;
} printer;

static void put(printer *p, const char *s, size_t n)
{
    if (p->text)
        memcpy(p->text + p->at, s, n);
    p->at += n;
}

static void puts_text(printer *p, const char *s)
{
    put(p, s, strlen(s));
}

/* Words that YAML could take for something else are quoted; so is everything but letters, digits and a few marks. */
static bool needs_quotes(const char *s)
{
    static const char *const words[] = {"null", "Null", "NULL", "~", "-", ".", "---", "...", "<<", "="};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(s, words[i]) == 0)
            return true;
    return !*s || *s == '-' ||
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") != strlen(s);
}

static void put_scalar(printer *p, const char *s)
{
    if (!needs_quotes(s)) {
        puts_text(p, s);
        return;
    }
    put(p, "\"", 1);
    while (*s) {
        const uint32_t c = egi_utf8_next(&s);
        char escaped[16];
        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            snprintf(escaped, sizeof escaped, "%c", (char)c);
        else
            snprintf(escaped, sizeof escaped, "\\U%08X", (unsigned)c);
        puts_text(p, escaped);
    }
    put(p, "\"", 1);
}

static void put_list(printer *p, const char *list)
{
    char item[EGI_TEXT_MAX];
    put(p, "[", 1);
    for (int64_t i = 0; egi_list_item(list, i, item, sizeof item); i++) {
        if (i)
            put(p, ", ", 2);
        put_scalar(p, item);
    }
    put(p, "]", 1);
}

/* The sections of `name` that the field before it was not in. Returns the depth of the key. */
static int put_sections(printer *p, const char *before, const char *name)
{
    int depth = 0;
    bool same = true;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        const size_t n = (size_t)(dot - name) + 1;
        same = same && strncmp(before, name, n) == 0;
        if (!same) {
            const char *word = name;
            for (const char *s = name; s < dot; s++)
                if (*s == '.')
                    word = s + 1;
            for (int i = 0; i < depth; i++)
                put(p, "  ", 2);
            put(p, word, (size_t)(dot - word));
            put(p, ":\n", 2);
        }
        depth++;
    }
    return depth;
}

static void print_all(printer *p, const egi_run_config *run)
{
    const char *before = "";
    for (int i = 0; i < egi_run_fields_count; i++) {
        const egi_field *f = &egi_run_fields[i];
        const int depth = put_sections(p, before, f->name);
        for (int d = 0; d < depth; d++)
            put(p, "  ", 2);
        const char *dot = strrchr(f->name, '.');
        puts_text(p, dot ? dot + 1 : f->name);
        put(p, ": ", 2);
        char value[EGI_TEXT_MAX];
        egi_field_print(f, run, value, sizeof value);
        if (takes_list(f) && (strchr(value, ',') || !*value))
            put_list(p, value);
        else
            put_scalar(p, value);
        put(p, "\n", 1);
        before = f->name;
    }
}

eg_status eg_config_print(char **out, const eg_config *config)
{
    if (!out || !config)
        return egi_fail(EG_ERR_ARG, "configuration: out or config is NULL");
    printer p = {0};
    print_all(&p, &config->run);
    char *text;
    EG_TRY(egi_alloc(&text, config->context, (int64_t)p.at + 1, 1));
    p = (printer){.text = text};
    print_all(&p, &config->run);
    *out = text;
    return EG_OK;
}
