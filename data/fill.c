/* What all readers share: memory for the parts of a data set, and the checks on labels and names. */
#include "data/reader.h"

#include <string.h>

eg_status egi_fill_shape(eg_dataset *d, int i, egi_dtype dtype, const egi_shape *shape)
{
    const egi_shape all = egi_shape_batched(d->n, shape);
    if (shape->rank >= EGI_MAX_RANK || egi_shape_check(&all, d->name) != EG_OK || egi_shape_count(shape) < 1)
        return egi_fail(EG_ERR_DATA, "%s: impossible shape: %lld examples of %s", d->name, (long long)d->n,
                        egi_shape_format(shape).s);
    d->shape[i] = *shape;
    d->dtype[i] = dtype;
    if (d->n_inputs <= i)
        d->n_inputs = i + 1;
    return EG_OK;
}

eg_status egi_fill_input(eg_dataset *d, int i, egi_dtype dtype, const egi_shape *shape)
{
    EG_TRY(egi_fill_shape(d, i, dtype, shape));
    return egi_alloc(&d->x[i], d->context, d->n * egi_shape_count(shape), egi_dtype_size(dtype));
}

eg_status egi_fill_labels(eg_dataset *d)
{
    return egi_alloc(&d->labels, d->context, d->n, sizeof *d->labels);
}

eg_status egi_fill_targets(eg_dataset *d, const egi_shape *shape)
{
    const egi_shape all = egi_shape_batched(d->n, shape);
    if (shape->rank >= EGI_MAX_RANK || egi_shape_check(&all, d->name) != EG_OK)
        return egi_fail(EG_ERR_DATA, "%s: impossible shape of targets: %lld of %s", d->name, (long long)d->n,
                        egi_shape_format(shape).s);
    EG_TRY(egi_alloc(&d->targets, d->context, egi_shape_count(&all), sizeof *d->targets));
    d->target_shape = *shape;
    return EG_OK;
}

eg_status egi_fill_weights(eg_dataset *d)
{
    return egi_alloc(&d->weights, d->context, d->n, sizeof *d->weights);
}

eg_status egi_check_weights(const eg_dataset *d, const char *subject)
{
    for (int64_t i = 0; i < d->n; i++)
        if (!(d->weights[i] >= 0 && d->weights[i] <= 1e6f))
            return egi_fail(EG_ERR_DATA, "%s: weight of example %lld is %g, wanted 0 to 1e6", subject, (long long)i,
                            (double)d->weights[i]);
    return EG_OK;
}

eg_status eg_dataset_set_weights(eg_dataset *d, const float *weights)
{
    const eg_dataset given = {.n = d->n, .weights = (float *)weights};
    if (!weights)
        return egi_fail(EG_ERR_ARG, "%s: weights is NULL", d->name);
    EG_TRY(egi_check_weights(&given, d->name));
    if (!d->weights)
        EG_TRY(egi_fill_weights(d));
    for (int64_t i = 0; i < d->n; i++)
        d->weights[i] = weights[i];
    return EG_OK;
}

eg_status egi_check_labels(const int32_t *labels, int64_t n, int64_t first, const char *subject)
{
    for (int64_t i = 0; i < n; i++)
        if (labels[i] < 0 || labels[i] >= EGI_CLASSES_MAX)
            return egi_fail(EG_ERR_DATA, "%s: label of example %lld is %d, wanted 0 to %d", subject,
                            (long long)(first + i), labels[i], EGI_CLASSES_MAX - 1);
    return EG_OK;
}

eg_status egi_fill_classes(eg_dataset *d, const char *subject)
{
    EG_TRY(egi_check_labels(d->labels, d->n, 0, subject));
    for (int64_t i = 0; i < d->n; i++)
        if (d->labels[i] >= d->classes)
            d->classes = d->labels[i] + 1;
    return EG_OK;
}

/* The column of the only 1 in a row that is else 0; -1: not such a row. */
static int32_t hot_column(const float *row, int64_t columns)
{
    int32_t hot = -1;
    for (int64_t k = 0; k < columns; k++) {
        if (row[k] != 0 && (row[k] != 1 || hot >= 0))
            return -1;
        if (row[k] == 1)
            hot = (int32_t)k;
    }
    return hot;
}

eg_status egi_fill_one_hot(eg_dataset *d)
{
    const int64_t columns = d->target_shape.dim[0];
    if (!d->targets || d->labels || d->target_shape.rank != 1 || columns < 2 || columns > EGI_CLASSES_MAX)
        return EG_OK;
    for (int64_t i = 0; i < d->n; i++)
        if (hot_column(d->targets + i * columns, columns) < 0)
            return EG_OK;
    EG_TRY(egi_fill_labels(d));
    for (int64_t i = 0; i < d->n; i++)
        d->labels[i] = hot_column(d->targets + i * columns, columns);
    d->classes = columns;
    return EG_OK;
}

eg_status egi_fill_name_list(eg_dataset *d)
{
    return egi_alloc(&d->class_names, d->context, d->classes, sizeof *d->class_names);
}

/* The next line of [*at, end), without spaces at its ends; false at the end of the text. */
static bool next_line(const char **at, const char *end, const char **line, size_t *length)
{
    if (*at >= end)
        return false;
    const char *from = *at, *stop = memchr(from, '\n', (size_t)(end - from));
    stop = stop ? stop : end;
    *at = stop + 1;
    while (from < stop && (*from == ' ' || *from == '\t'))
        from++;
    while (stop > from && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
        stop--;
    *line = from;
    *length = (size_t)(stop - from);
    return true;
}

/* Lines up to the last one that is not empty. */
static int64_t count_lines(const char *text, const char *end)
{
    int64_t lines = 0, filled = 0;
    const char *line;
    size_t length;
    while (next_line(&text, end, &line, &length)) {
        lines++;
        filled = length ? lines : filled;
    }
    return filled;
}

static eg_status take_names(eg_dataset *d, const char *path, const char *text, int64_t bytes)
{
    const char *at = text, *end = text + bytes, *line = NULL;
    size_t length = 0;
    const int64_t names = count_lines(text, end);
    if (names < d->classes || names > EGI_CLASSES_MAX)
        return egi_fail(EG_ERR_DATA, "%s: %lld class names, but the labels need %lld", path, (long long)names,
                        (long long)d->classes);
    d->classes = names;
    EG_TRY(egi_fill_name_list(d));
    for (int64_t k = 0; k < names && next_line(&at, end, &line, &length); k++) {
        if (!length || memchr(line, '\0', length))
            return egi_fail(EG_ERR_DATA, "%s: line %lld: wanted a class name, found %s", path, (long long)k + 1,
                            length ? "a zero byte" : "an empty line");
        EG_TRY(egi_format(&d->class_names[k], d->context, "%.*s", (int)length, line));
    }
    return EG_OK;
}

eg_status egi_fill_class_names(eg_dataset *d, const egi_source *s, const char *file)
{
    char *path = NULL, *text = NULL;
    int64_t bytes = 0;
    if (d->class_names || !s->folder || !egi_source_find(s, file))
        return EG_OK;
    EG_TRY(egi_source_join(&path, s, egi_source_find(s, file)->name));
    eg_status status = egi_file_load(&text, &bytes, d->context, path);
    if (status == EG_OK)
        status = take_names(d, path, text, bytes);
    egi_free(d->context, text);
    egi_free(d->context, path);
    return status;
}
