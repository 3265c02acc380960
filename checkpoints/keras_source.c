/* What a file said, kept; lists of names in attributes. */
#include "checkpoints/keras_source.h"

#include <stdio.h>
#include <string.h>

#define ATTRIBUTE_MAX 64512 /* Keras' HDF5_OBJECT_HEADER_LIMIT */
#define PARTS_MAX     10000
#define NAMES_MAX     20000 /* of one list: comparing them all stays quick */

/* --- life --------------------------------------------------------------------------------------------------------- */

eg_status egi_keras_source_create(egi_keras_source **out, eg_context *context)
{
    egi_keras_source *s;
    EG_TRY(egi_alloc(&s, context, 1, sizeof *s));
    const eg_status status = egi_strdup(&s->version, context, "");
    if (status != EG_OK) {
        egi_free(context, s);
        return status;
    }
    *out = s;
    return EG_OK;
}

static void free_group(eg_context *context, egi_keras_group *g)
{
    for (int64_t i = 0; i < g->n_weights; i++) {
        egi_keras_weight *w = &g->weights[i];
        egi_free(context, w->name);
        egi_free(context, w->layer);
        egi_free(context, w->param);
        egi_free(context, w->raw);
        egi_h5_attrs_free(context, &w->attrs);
    }
    egi_free(context, g->weights);
    egi_free(context, g->name);
    egi_h5_attrs_free(context, &g->attrs);
}

void egi_keras_source_free(eg_context *context, void *source)
{
    egi_keras_source *s = source;
    if (!s)
        return;
    for (int64_t i = 0; i < s->n_groups; i++)
        free_group(context, &s->groups[i]);
    egi_free(context, s->groups);
    egi_h5_attrs_free(context, &s->root);
    egi_h5_attrs_free(context, &s->top);
    egi_free(context, s->version);
    json_decref(s->config);
    egi_free(context, s);
}

eg_status egi_keras_source_add_group(egi_keras_group **out, eg_context *context, egi_keras_source *s, const char *name,
                                     bool listed)
{
    EG_TRY(EGI_RESERVE(context, s->groups, s->n_groups, s->capacity));
    egi_keras_group *g = &s->groups[s->n_groups];
    *g = (egi_keras_group){.listed = listed};
    EG_TRY(egi_strdup(&g->name, context, name));
    s->n_groups++;
    *out = g;
    return EG_OK;
}

eg_status egi_keras_source_add_weight(egi_keras_weight **out, eg_context *context, egi_keras_group *g, const char *name)
{
    EG_TRY(EGI_RESERVE(context, g->weights, g->n_weights, g->capacity));
    egi_keras_weight *w = &g->weights[g->n_weights];
    *w = (egi_keras_weight){0};
    EG_TRY(egi_strdup(&w->name, context, name));
    g->n_weights++;
    *out = w;
    return EG_OK;
}

static eg_status clone_weight(egi_keras_group *to, eg_context *context, const egi_keras_weight *w)
{
    egi_keras_weight *own;
    EG_TRY(egi_keras_source_add_weight(&own, context, to, w->name));
    own->info = w->info;
    if (w->layer)
        EG_TRY(egi_strdup(&own->layer, context, w->layer));
    if (w->param)
        EG_TRY(egi_strdup(&own->param, context, w->param));
    if (w->raw) {
        EG_TRY(egi_alloc(&own->raw, context, w->info.count, w->info.type.size));
        memcpy(own->raw, w->raw, (size_t)w->info.count * w->info.type.size);
    }
    return egi_h5_attrs_clone(&own->attrs, context, &w->attrs);
}

static eg_status clone_into(egi_keras_source *c, eg_context *context, const egi_keras_source *s)
{
    c->full = s->full;
    c->in_group = s->in_group;
    egi_free(context, c->version);
    c->version = NULL;
    EG_TRY(egi_strdup(&c->version, context, s->version));
    c->config = s->config ? json_deep_copy(s->config) : NULL;
    if (s->config && !c->config)
        return egi_fail(EG_ERR_NOMEM, "model: no memory for a copy");
    EG_TRY(egi_h5_attrs_clone(&c->root, context, &s->root));
    EG_TRY(egi_h5_attrs_clone(&c->top, context, &s->top));
    for (int64_t i = 0; i < s->n_groups; i++) {
        egi_keras_group *g;
        EG_TRY(egi_keras_source_add_group(&g, context, c, s->groups[i].name, s->groups[i].listed));
        EG_TRY(egi_h5_attrs_clone(&g->attrs, context, &s->groups[i].attrs));
        for (int64_t k = 0; k < s->groups[i].n_weights; k++)
            EG_TRY(clone_weight(g, context, &s->groups[i].weights[k]));
    }
    return EG_OK;
}

void *egi_keras_source_clone(eg_context *context, const void *source)
{
    egi_keras_source *c;
    if (egi_keras_source_create(&c, context) != EG_OK)
        return NULL;
    if (clone_into(c, context, source) != EG_OK) {
        egi_keras_source_free(context, c);
        return NULL;
    }
    return c;
}

void egi_keras_info(const eg_model *m, eg_model_info *info)
{
    const egi_keras_source *s = m->source;
    info->keras_version = s ? s->version : "";
    info->flavour = !s ? "" : s->full ? "full h5" : "weights h5";
}

/* --- lists of names ----------------------------------------------------------------------------------------------- */

void egi_keras_names_free(eg_context *context, char **names, int64_t n)
{
    for (int64_t i = 0; names && i < n; i++)
        egi_free(context, names[i]);
    egi_free(context, names);
}

static eg_status append_names(char ***list, int64_t *n, int64_t *capacity, eg_context *context, const egi_h5_attr *a)
{
    const bool text = a->type.kind == EGI_H5_STRING || a->type.kind == EGI_H5_TEXT;
    if (!text && a->count == 0 && a->type.kind != EGI_H5_OTHER)
        return EG_OK; /* Keras writes no names as an empty array of floats */
    if (!text || a->null || a->shape.rank > 1)
        return egi_fail(EG_ERR_FORMAT, "attribute '%s': a list of names wanted, found %s", a->name,
                        text ? "another shape" : "numbers");
    if (a->count > NAMES_MAX - *n)
        return egi_fail(EG_ERR_FORMAT, "attribute '%s': at most %d names wanted, found more", a->name, NAMES_MAX);
    for (int64_t i = 0; i < a->count; i++) {
        EG_TRY(egi_reserve(context, list, *n, capacity, sizeof **list));
        EG_TRY(egi_h5_attr_text(&(*list)[*n], context, a, i));
        ++*n;
    }
    return EG_OK;
}

static eg_status gather_names(char ***list, int64_t *n, bool *found, eg_context *context, const egi_h5_attrs *attrs,
                              const char *name)
{
    int64_t capacity = 0;
    const egi_h5_attr *whole = egi_h5_attr_find(attrs, name);
    if (whole) {
        *found = true;
        return append_names(list, n, &capacity, context, whole);
    }
    for (int i = 0; i < PARTS_MAX; i++) {
        char part[64];
        snprintf(part, sizeof part, "%s%d", name, i);
        const egi_h5_attr *a = egi_h5_attr_find(attrs, part);
        if (!a)
            return EG_OK;
        *found = true;
        EG_TRY(append_names(list, n, &capacity, context, a));
    }
    return EG_OK;
}

eg_status egi_keras_names_read(char ***out, int64_t *n, bool *found, eg_context *context, const egi_h5_attrs *attrs,
                               const char *name)
{
    char **list = NULL;
    int64_t count = 0;
    *found = false;
    const eg_status status = gather_names(&list, &count, found, context, attrs, name);
    if (status != EG_OK) {
        egi_keras_names_free(context, list, count);
        return status;
    }
    *out = list;
    *n = count;
    return EG_OK;
}

/* --- writing names ------------------------------------------------------------------------------------------------ */

/* Puts `attr` (now owned by the list) at `at`. */
static eg_status insert_attr(egi_h5_attrs *attrs, eg_context *context, int64_t at, const egi_h5_attr *attr)
{
    EG_TRY(EGI_RESERVE(context, attrs->list, attrs->n, attrs->capacity));
    memmove(&attrs->list[at + 1], &attrs->list[at], (size_t)(attrs->n - at) * sizeof *attrs->list);
    attrs->list[at] = *attr;
    attrs->n++;
    return EG_OK;
}

static bool is_part_of(const char *attr, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(attr, name, n) == 0 && strspn(attr + n, "0123456789") == strlen(attr + n);
}

/* Removes `name` and `name`0, ...; returns where the first stood, and its type if it was text. */
static int64_t drop_names(egi_h5_attrs *attrs, eg_context *context, const char *name, egi_h5_type *style)
{
    int64_t kept = 0, first = -1;
    for (int64_t i = 0; i < attrs->n; i++) {
        egi_h5_attr *a = &attrs->list[i];
        if (!is_part_of(a->name, name)) {
            attrs->list[kept++] = *a;
            continue;
        }
        if (a->type.kind == EGI_H5_STRING || a->type.kind == EGI_H5_TEXT)
            *style = a->type;
        first = first < 0 ? kept : first;
        egi_h5_attr_free(context, a);
    }
    attrs->n = kept;
    return first < 0 ? kept : first;
}

static eg_status fill_text(egi_h5_attr *a, eg_context *context, char *const *names, int64_t n)
{
    if (a->type.kind == EGI_H5_TEXT) {
        EG_TRY(egi_alloc(&a->text, context, n, sizeof *a->text));
        a->count = n;
        for (int64_t i = 0; i < n; i++)
            EG_TRY(egi_strdup(&a->text[i], context, names[i]));
        return EG_OK;
    }
    EG_TRY(egi_alloc(&a->data, context, n, a->type.size));
    a->count = n;
    for (int64_t i = 0; i < n; i++) {
        char *to = (char *)a->data + i * a->type.size;
        const size_t length = strlen(names[i]);
        memset(to, a->type.padding == 2 ? ' ' : 0, a->type.size);
        memcpy(to, names[i], length < a->type.size ? length : a->type.size);
    }
    return EG_OK;
}

static eg_status add_names(egi_h5_attrs *attrs, eg_context *context, int64_t at, const char *name, char *const *names,
                           int64_t n, const egi_h5_type *type)
{
    egi_h5_attr a = {.type = *type, .shape = EGI_SHAPE(n)};
    if (n == 0)
        a.type = (egi_h5_type){.kind = EGI_H5_FLOAT, .size = 8};
    eg_status status = egi_strdup(&a.name, context, name);
    if (status == EG_OK)
        status = fill_text(&a, context, names, n);
    if (status == EG_OK)
        status = insert_attr(attrs, context, at, &a);
    if (status != EG_OK)
        egi_h5_attr_free(context, &a);
    return status;
}

eg_status egi_keras_names_write(egi_h5_attrs *attrs, eg_context *context, const char *name, char *const *names,
                                int64_t n, const egi_h5_type *style)
{
    egi_h5_type type = style ? *style : (egi_h5_type){.kind = EGI_H5_TEXT, .size = 16, .utf8 = true};
    int64_t at = drop_names(attrs, context, name, &type);
    size_t longest = 1;
    for (int64_t i = 0; i < n; i++)
        longest = strlen(names[i]) > longest ? strlen(names[i]) : longest;
    if (type.kind == EGI_H5_STRING)
        type.size = (uint32_t)longest + (type.padding == 0);
    const int64_t most = ATTRIBUTE_MAX / type.size;
    int64_t parts = 1;
    while (most > 0 && (n + parts - 1) / parts > most)
        parts++;
    if (most < 1)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a layer or weight with a name of %zu bytes", longest);
    if (parts == 1)
        return add_names(attrs, context, at, name, names, n, &type);
    for (int64_t i = 0, from = 0; i < parts; i++) { /* as numpy.array_split does, like Keras */
        const int64_t count = n / parts + (i < n % parts);
        char part[64];
        snprintf(part, sizeof part, "%s%lld", name, (long long)i);
        EG_TRY(add_names(attrs, context, at++, part, names + from, count, &type));
        from += count;
    }
    return EG_OK;
}

eg_status egi_keras_text_write(egi_h5_attrs *attrs, eg_context *context, const char *name, const char *text)
{
    egi_h5_attr a = {.type = {.kind = EGI_H5_TEXT, .size = 16, .utf8 = true}, .shape = EGI_SCALAR};
    egi_h5_attr *old = egi_h5_attr_find(attrs, name);
    if (old && old->type.kind == EGI_H5_TEXT)
        a.type = old->type;
    eg_status status = egi_strdup(&a.name, context, name);
    char *const one[] = {(char *)text};
    if (status == EG_OK)
        status = fill_text(&a, context, one, 1);
    if (status == EG_OK && !old)
        status = insert_attr(attrs, context, attrs->n, &a);
    else if (status == EG_OK) {
        egi_h5_attr_free(context, old);
        *old = a;
    }
    if (status != EG_OK)
        egi_h5_attr_free(context, &a);
    return status;
}
