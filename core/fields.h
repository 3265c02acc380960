/** core/fields.h: one table describes the fields of a config struct; it parses JSON and text, prints, documents and
 * bounds them. */
#ifndef EGI_FIELDS_H
#define EGI_FIELDS_H

#include "core/act.h"
#include "core/context.h"

#include <jansson.h>

typedef enum egi_field_kind {
    EGI_FIELD_INT,    /* int64_t */
    EGI_FIELD_REAL,   /* double */
    EGI_FIELD_BOOL,   /* bool */
    EGI_FIELD_ACT,    /* egi_act; JSON: a name, null (linear), or Keras 3's serialized function */
    EGI_FIELD_PAIR,   /* int64_t[2]; JSON: n or [n, m] */
    EGI_FIELD_CHOICE, /* int: index into `choices` */
    EGI_FIELD_TEXT,   /* char[EGI_TEXT_MAX] */
    EGI_FIELD_DIMS,   /* egi_dims: a list of integers, null inside is -1 */
    EGI_FIELD_PAD     /* int64_t[4]: top, bottom, left, right; JSON: n, [n, m] or [[t, b], [l, r]] */
} egi_field_kind;

#define EGI_TEXT_MAX 1024

typedef struct egi_dims {
    int n;
    int64_t v[8];
} egi_dims;

typedef struct egi_field {
    const char *name; /* JSON key, or dotted config key */
    egi_field_kind kind;
    size_t offset;
    const char *fallback; /* text of the default; NULL: required */
    double min, max;      /* of INT, REAL and each part of PAIR, DIMS, PAD */
    const char *choices;  /* "a|b|c" */
    const char *help;
    const char *automatic;  /* INT, REAL, PAIR: this word is accepted too and means `automatic_value` (e.g. "auto");
                               "null" takes  JSON's null too */
    double automatic_value; /* of both parts of a PAIR; may lie outside of min..max, so that it means nothing else */
    const char *alias;      /* another key for the same, e.g. Keras 1's; NULL: none */
} egi_field;

#define EGI_INT(T, f, d, lo, hi, h)                                                                             \
    {                                                                                                           \
        .name = #f, .kind = EGI_FIELD_INT, .offset = offsetof(T, f), .fallback = (d), .min = (lo), .max = (hi), \
        .help = (h)                                                                                             \
    }
#define EGI_REAL(T, f, d, lo, hi, h)                                                                             \
    {                                                                                                            \
        .name = #f, .kind = EGI_FIELD_REAL, .offset = offsetof(T, f), .fallback = (d), .min = (lo), .max = (hi), \
        .help = (h)                                                                                              \
    }
#define EGI_BOOL(T, f, d, h)                                                                       \
    {                                                                                              \
        .name = #f, .kind = EGI_FIELD_BOOL, .offset = offsetof(T, f), .fallback = (d), .help = (h) \
    }
#define EGI_ACTF(T, f, d, h)                                                                      \
    {                                                                                             \
        .name = #f, .kind = EGI_FIELD_ACT, .offset = offsetof(T, f), .fallback = (d), .help = (h) \
    }
#define EGI_PAIR(T, f, d, lo, hi, h)                                                                             \
    {                                                                                                            \
        .name = #f, .kind = EGI_FIELD_PAIR, .offset = offsetof(T, f), .fallback = (d), .min = (lo), .max = (hi), \
        .help = (h)                                                                                              \
    }
#define EGI_CHOICE(T, f, d, c, h)                                                                                    \
    {                                                                                                                \
        .name = #f, .kind = EGI_FIELD_CHOICE, .offset = offsetof(T, f), .fallback = (d), .choices = (c), .help = (h) \
    }
#define EGI_DIMS(T, f, d, lo, hi, h)                                                                             \
    {                                                                                                            \
        .name = #f, .kind = EGI_FIELD_DIMS, .offset = offsetof(T, f), .fallback = (d), .min = (lo), .max = (hi), \
        .help = (h)                                                                                              \
    }
#define EGI_PAD(T, f, d, lo, hi, h)                                                                             \
    {                                                                                                           \
        .name = #f, .kind = EGI_FIELD_PAD, .offset = offsetof(T, f), .fallback = (d), .min = (lo), .max = (hi), \
        .help = (h)                                                                                             \
    }
#define EGI_REQUIRED NULL

/** Writes every field's default into `config`; required fields stay as they are. */
EG_MUST_USE eg_status egi_fields_defaults(const egi_field *fields, int n, void *config);

/** Parses one field from JSON. `keras_major` decides names that changed. null is the default of a field that has one.
 *  Errors: FORMAT with key, wanted, found; UNSUPPORTED for an activation that is not known. */
EG_MUST_USE eg_status egi_field_from_json(const egi_field *field, void *config, const json_t *value, int keras_major);

/** Parses one field from text (a YAML scalar, a key=value argument). Errors: CONFIG with key, wanted, found. */
EG_MUST_USE eg_status egi_field_from_text(const egi_field *field, void *config, const char *text);

/** The value as text that egi_field_from_text() reads back to the same value. */
void egi_field_print(const egi_field *field, const void *config, char *text, size_t room);

/** The field called `name`, by its name or its alias, or NULL. */
const egi_field *egi_field_find(const egi_field *fields, int n, const char *name);

/** Up to three names near a mistyped one ("finetune.lrr" -> "finetune.lr"), joined by ", "; "" when none is near. */
void egi_field_nearest(const egi_field *fields, int n, const char *name, char *text, size_t room);

#endif
