/* The group `engram`, which Keras ignores: attribute meta (JSON), attribute arch (of weights-only files), the memory's
 * arrays. */
#include "checkpoints/keras_graph.h"
#include "checkpoints/keras_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_BYTES 60000 /* an attribute must stay below 64 kB */

/* --- text in parts ------------------------------------------------------------------------------------------------ */

/* `name`, or `name`0, `name`1, ... joined; NULL: none. */
static eg_status read_parts(char **out, eg_context *context, const egi_h5_attrs *attrs, const char *name)
{
    char **piece, *text = NULL;
    int64_t n;
    bool found;
    size_t bytes = 0, used = 0;
    EG_TRY(egi_keras_names_read(&piece, &n, &found, context, attrs, name));
    for (int64_t i = 0; i < n; i++)
        bytes += strlen(piece[i]);
    const eg_status status = found ? egi_alloc(&text, context, (int64_t)bytes + 1, 1) : EG_OK;
    for (int64_t i = 0; i < n && text; i++) {
        const size_t length = strlen(piece[i]);
        memcpy(text + used, piece[i], length);
        used += length;
    }
    egi_keras_names_free(context, piece, n);
    *out = text;
    return status;
}

/* Fixed-size text, filled with zeros; cut between bytes, joined again when read. */
static eg_status write_part(egi_h5_out *file, const char *name, const char *text, size_t n)
{
    egi_h5_attr a = {.name = (char *)name,
                     .type = {.kind = EGI_H5_STRING, .size = (uint32_t)(n ? n : 1), .utf8 = true, .padding = 1},
                     .shape = EGI_SCALAR,
                     .count = 1,
                     .data = (void *)(n ? text : "")};
    return egi_h5_out_attr(file, "/engram", &a);
}

static eg_status write_parts(egi_h5_out *file, const char *name, const char *text)
{
    const size_t n = strlen(text);
    if (n <= PART_BYTES)
        return write_part(file, name, text, n);
    for (size_t i = 0; i * PART_BYTES < n; i++) {
        char part[64];
        const size_t left = n - i * PART_BYTES;
        snprintf(part, sizeof part, "%s%zu", name, i);
        EG_TRY(write_part(file, part, text + i * PART_BYTES, left < PART_BYTES ? left : PART_BYTES));
    }
    return EG_OK;
}

/* --- arrays ------------------------------------------------------------------------------------------------------- */

static bool to_dtype(egi_dtype *out, const egi_h5_type *t)
{
    if (t->kind == EGI_H5_FLOAT && t->size >= 4)
        *out = t->size == 8 ? EGI_F64 : EGI_F32;
    else if (t->kind == EGI_H5_INT && t->size == 1 && !t->is_signed)
        *out = EGI_U8;
    else if (t->kind == EGI_H5_INT && t->size == 4 && t->is_signed)
        *out = EGI_I32;
    else
        return false;
    return true;
}

static egi_h5_type to_type(egi_dtype dtype)
{
    const bool is_float = dtype == EGI_F32 || dtype == EGI_F64;
    return (egi_h5_type){.kind = is_float ? EGI_H5_FLOAT : EGI_H5_INT,
                         .size = (uint32_t)egi_dtype_size(dtype),
                         .is_signed = dtype == EGI_I32};
}

static eg_status read_array(eg_model *m, egi_h5 *file, int64_t node, const char *name)
{
    egi_h5_data info;
    egi_tensor t;
    EG_TRY(egi_h5_data_info(&info, file, node));
    t.shape = info.shape;
    if (!to_dtype(&t.dtype, &info.type))
        return egi_fail(EG_ERR_FORMAT, "float, double, byte or int wanted, found something else");
    EG_TRY(egi_alloc(&t.data, m->context, info.count, info.type.size));
    eg_status status = egi_h5_data_read(t.data, file, node, &info);
    if (status == EG_OK)
        status = egi_model_set_extra(m, name, &t);
    egi_free(m->context, t.data);
    return status;
}

static eg_status read_arrays(eg_model *m, egi_h5 *file, int64_t node, const char *path)
{
    int64_t first;
    const int64_t n = egi_h5_children(file, node, &first);
    for (int64_t i = first; i < first + n; i++) {
        char *name;
        EG_TRY(egi_keras_path(&name, m->context, path, egi_h5_name(file, i)));
        eg_status status = EG_OK;
        if (egi_h5_kind_of(file, i) == EGI_H5_DATASET)
            status = read_array(m, file, i, name);
        else if (egi_h5_kind_of(file, i) == EGI_H5_GROUP)
            status = read_arrays(m, file, i, name);
        egi_free(m->context, name);
        EG_TRY(status);
    }
    return EG_OK;
}

/* --- the group ---------------------------------------------------------------------------------------------------- */

static int64_t find_group(const egi_h5 *file)
{
    const int64_t node = egi_h5_find(file, 0, "engram");
    return node >= 0 && egi_h5_kind_of(file, node) == EGI_H5_GROUP ? node : -1;
}

static eg_status read_attribute(char **out, eg_context *context, egi_h5 *file, const char *name)
{
    egi_h5_attrs attrs;
    const int64_t node = find_group(file);
    *out = NULL;
    if (node < 0)
        return EG_OK;
    EG_TRY(egi_h5_attrs_read(&attrs, file, node));
    const eg_status status = read_parts(out, context, &attrs, name);
    egi_h5_attrs_free(context, &attrs);
    return status;
}

eg_status egi_engram_read_architecture(char **out, eg_context *context, egi_h5 *file)
{
    return read_attribute(out, context, file, "arch");
}

static eg_status read_meta(eg_model *m, egi_h5 *file)
{
    char *text;
    json_t *meta = NULL;
    EG_TRY(read_attribute(&text, m->context, file, "meta"));
    if (!text)
        return EG_OK;
    eg_status status = egi_keras_parse(&meta, text, "attribute meta");
    egi_free(m->context, text);
    EG_TRY(status);
    if (!json_is_object(meta)) {
        json_decref(meta);
        return egi_fail(EG_ERR_FORMAT, "attribute meta: a JSON object wanted");
    }
    json_decref(m->meta);
    m->meta = meta;
    return EG_OK;
}

eg_status egi_engram_read(eg_model *m, egi_h5 *file)
{
    const int64_t node = find_group(file);
    if (node < 0)
        return EG_OK;
    eg_status status = read_meta(m, file);
    if (status == EG_OK)
        status = read_arrays(m, file, node, "");
    return status == EG_OK ? status : egi_fail_prefix(status, "group engram");
}

static eg_status write_json(eg_context *context, egi_h5_out *file, const char *name, const json_t *json)
{
    char *text;
    EG_TRY(egi_keras_dump(&text, context, json, JSON_COMPACT | JSON_SORT_KEYS));
    const eg_status status = write_parts(file, name, text);
    egi_free(context, text);
    return status;
}

static eg_status write_array(eg_context *context, egi_h5_out *file, const egi_extra *extra)
{
    const egi_tensor *t = &extra->t;
    const egi_h5_data info = {.type = to_type(t->dtype), .shape = t->shape, .count = egi_count(t)};
    char *path;
    EG_TRY(egi_format(&path, context, "/engram/%s", extra->name));
    const eg_status status = egi_h5_out_data(file, path, &info, t->data, true);
    egi_free(context, path);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const egi_extra *const *)a)->name, (*(const egi_extra *const *)b)->name);
}

/* In the order of their names: the same memory gives the same bytes, however it came about. */
static eg_status write_arrays(const eg_model *m, egi_h5_out *file)
{
    const egi_extra **sorted;
    EG_TRY(egi_alloc(&sorted, m->context, m->n_extras, sizeof *sorted));
    for (int64_t i = 0; i < m->n_extras; i++)
        sorted[i] = &m->extras[i];
    if (m->n_extras > 1)
        qsort(sorted, (size_t)m->n_extras, sizeof *sorted, by_name);
    eg_status status = EG_OK;
    for (int64_t i = 0; i < m->n_extras && status == EG_OK; i++)
        status = write_array(m->context, file, sorted[i]);
    egi_free(m->context, sorted);
    return status;
}

eg_status egi_engram_write(const eg_model *m, egi_h5_out *file, bool architecture)
{
    const bool has_meta = json_object_size(m->meta) > 0, has_arch = architecture && m->config;
    if (!has_meta && !has_arch && m->n_extras == 0)
        return EG_OK;
    EG_TRY(egi_h5_out_group(file, "/engram"));
    if (has_meta)
        EG_TRY(write_json(m->context, file, "meta", m->meta));
    if (has_arch) {
        char *text;
        EG_TRY(egi_keras_architecture(&text, m));
        const eg_status status = write_parts(file, "arch", text);
        egi_free(m->context, text);
        EG_TRY(status);
    }
    return write_arrays(m, file);
}
