/* The life of a data set and what can be asked of it. */
#include "data/dataset.h"

#include "data/reader.h"

#include <stdio.h>
#include <string.h>

eg_status egi_dataset_create(eg_dataset **out, eg_context *context, const char *name, const char *format)
{
    eg_dataset *d;
    EG_TRY(egi_alloc(&d, context, 1, sizeof *d));
    d->context = context;
    eg_status status = egi_strdup(&d->name, context, name);
    if (status == EG_OK)
        status = egi_strdup(&d->format, context, format);
    if (status != EG_OK) {
        eg_dataset_free(d);
        return status;
    }
    *out = d;
    return EG_OK;
}

static void free_texts(eg_context *c, char **texts, int64_t n)
{
    for (int64_t i = 0; texts && i < n; i++)
        egi_free(c, texts[i]);
    egi_free(c, texts);
}

void eg_dataset_free(eg_dataset *d)
{
    if (!d)
        return;
    eg_context *c = d->context;
    for (int i = 0; i < EGI_INPUTS_MAX; i++)
        egi_free(c, d->x[i]);
    free_texts(c, d->class_names, d->classes);
    free_texts(c, d->files, d->n);
    egi_free(c, d->labels);
    egi_free(c, d->targets);
    egi_free(c, d->weights);
    egi_free(c, d->numbers);
    egi_free(c, d->name);
    egi_free(c, d->format);
    egi_free(c, d);
}

static eg_status check_arrays(const void *x, eg_dtype dtype, int64_t n, const int64_t *shape, int rank)
{
    if (!x || n < 1 || rank < 0 || rank > EGI_MAX_RANK - 1 || (rank > 0 && !shape))
        return egi_fail(EG_ERR_ARG,
                        "data set: wanted x, at least 1 example and at most %d dimensions, found %lld examples of %d",
                        EGI_MAX_RANK - 1, (long long)n, rank);
    if (dtype != EG_DTYPE_F32 && dtype != EG_DTYPE_U8)
        return egi_fail(EG_ERR_ARG, "data set: wanted dtype f32 or u8, found number %d", (int)dtype);
    for (int i = 0; i < rank; i++)
        if (shape[i] < 1)
            return egi_fail(EG_ERR_ARG, "data set: dimension %d is %lld, at least 1 wanted", i, (long long)shape[i]);
    return EG_OK;
}

static eg_status copy_arrays(eg_dataset *d, const void *x, eg_dtype dtype, const egi_shape *shape,
                             const int32_t *labels)
{
    EG_TRY(egi_fill_input(d, 0, dtype == EG_DTYPE_U8 ? EGI_U8 : EGI_F32, shape));
    memcpy(d->x[0], x, (size_t)(d->n * egi_shape_count(shape)) * egi_dtype_size(d->dtype[0]));
    if (!labels)
        return EG_OK;
    EG_TRY(egi_fill_labels(d));
    memcpy(d->labels, labels, (size_t)d->n * sizeof *labels);
    EG_TRY(egi_fill_classes(d, "labels"));
    return egi_dataset_number_classes(d);
}

eg_status eg_dataset_from_arrays(eg_dataset **out, eg_context *context, const void *x, eg_dtype dtype, int64_t n,
                                 const int64_t *shape, int rank, const int32_t *labels)
{
    if (!out || !context)
        return egi_fail(EG_ERR_ARG, "data set: out and context must not be NULL");
    EG_TRY(check_arrays(x, dtype, n, shape, rank));
    egi_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dim[i] = shape[i];
    const egi_shape all = egi_shape_batched(n, &s);
    if (egi_shape_check(&all, "data set") != EG_OK)
        return EG_ERR_ARG;

    eg_dataset *d;
    EG_TRY(egi_dataset_create(&d, context, "arrays", "arrays"));
    d->n = n;
    const eg_status status = copy_arrays(d, x, dtype, &s, labels);
    if (status != EG_OK) {
        eg_dataset_free(d);
        return status == EG_ERR_DATA ? EG_ERR_ARG : status;
    }
    *out = d;
    return EG_OK;
}

void eg_dataset_get_info(const eg_dataset *d, eg_dataset_info *out)
{
    *out = (eg_dataset_info){
        .name = d->name, .format = d->format, .n = d->n, .classes = d->classes, .inputs = d->n_inputs};
    out->rank = d->shape[0].rank;
    for (int i = 0; i < d->shape[0].rank; i++)
        out->shape[i] = d->shape[0].dim[i];
    out->dtype = d->dtype[0] == EGI_U8 ? EG_DTYPE_U8 : EG_DTYPE_F32;
    out->has_test = d->has_test;
}

eg_status egi_dataset_number_classes(eg_dataset *d)
{
    if (d->class_names || d->numbers || d->classes == 0)
        return EG_OK;
    EG_TRY(egi_alloc(&d->numbers, d->context, d->classes, sizeof *d->numbers));
    for (int64_t k = 0; k < d->classes; k++)
        snprintf(d->numbers[k], sizeof d->numbers[k], "%lld", (long long)k);
    return EG_OK;
}

/* Sets that other code put together have no table of numbers: the text is then made on the spot, in the one buffer that
 * the set has. */
static const char *spell(const eg_dataset *d, int64_t number)
{
    char *text = ((eg_dataset *)(uintptr_t)d)->source_text;
    snprintf(text, sizeof d->source_text, "%lld", (long long)number);
    return text;
}

const char *eg_dataset_class_name(const eg_dataset *d, int64_t index)
{
    if (index >= 0 && index < d->classes && d->class_names)
        return d->class_names[index];
    if (index >= 0 && index < d->classes && d->numbers)
        return d->numbers[index];
    return spell(d, index);
}

int32_t eg_dataset_label(const eg_dataset *d, int64_t index)
{
    return d->labels && index >= 0 && index < d->n ? d->labels[index] : -1;
}

const char *eg_dataset_source(const eg_dataset *d, int64_t index)
{
    if (d->files && index >= 0 && index < d->n)
        return d->files[index];
    char *text = ((eg_dataset *)(uintptr_t)d)->source_text;
    snprintf(text, sizeof d->source_text, "%s[%lld]", d->name, (long long)(d->first + index));
    return text;
}
