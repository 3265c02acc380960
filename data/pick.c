/* New data sets from parts of others. */
#include "data/reader.h"

#include <string.h>

static eg_status copy_names(eg_dataset *d, const eg_dataset *from)
{
    d->classes = from->classes;
    d->has_test = from->has_test;
    if (!from->class_names)
        return egi_dataset_number_classes(d);
    EG_TRY(egi_fill_name_list(d));
    for (int64_t k = 0; k < d->classes; k++)
        EG_TRY(egi_strdup(&d->class_names[k], d->context, from->class_names[k]));
    return EG_OK;
}

/* Rows index[0..n) of `from` (NULL: 0, 1, ...) become rows first, first + 1, ... of `to`. */
static void copy_rows(void *to, int64_t first, const void *from, const int64_t *index, int64_t n, size_t bytes)
{
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)to + (size_t)(first + i) * bytes, (const char *)from + (size_t)(index ? index[i] : i) * bytes,
               bytes);
}

static eg_status make_room(eg_dataset *d, const eg_dataset *like)
{
    for (int i = 0; i < like->n_inputs; i++)
        EG_TRY(egi_fill_input(d, i, like->dtype[i], &like->shape[i]));
    if (like->labels)
        EG_TRY(egi_fill_labels(d));
    if (like->targets)
        EG_TRY(egi_fill_targets(d, &like->target_shape));
    if (like->weights)
        EG_TRY(egi_fill_weights(d));
    if (like->files)
        EG_TRY(egi_alloc(&d->files, d->context, d->n, sizeof *d->files));
    return copy_names(d, like);
}

static eg_status copy_examples(eg_dataset *d, int64_t first, const eg_dataset *from, const int64_t *index, int64_t n)
{
    for (int i = 0; i < from->n_inputs; i++)
        copy_rows(d->x[i], first, from->x[i], index, n,
                  (size_t)egi_shape_count(&from->shape[i]) * egi_dtype_size(from->dtype[i]));
    if (from->labels)
        copy_rows(d->labels, first, from->labels, index, n, sizeof *from->labels);
    if (from->targets)
        copy_rows(d->targets, first, from->targets, index, n,
                  (size_t)egi_shape_count(&from->target_shape) * sizeof *from->targets);
    if (from->weights)
        copy_rows(d->weights, first, from->weights, index, n, sizeof *from->weights);
    for (int64_t i = 0; from->files && i < n; i++)
        EG_TRY(egi_strdup(&d->files[first + i], d->context, from->files[index ? index[i] : i]));
    return EG_OK;
}

static eg_status check_index(const eg_dataset *d, const int64_t *index, int64_t n)
{
    if (!index || n < 1)
        return egi_fail(EG_ERR_ARG, "%s: a pick of %lld examples; at least 1 wanted", d->name, (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= d->n)
            return egi_fail(EG_ERR_ARG, "%s: no example %lld, the set has %lld", d->name, (long long)index[i],
                            (long long)d->n);
    return EG_OK;
}

eg_status egi_dataset_pick(eg_dataset **out, const eg_dataset *d, const int64_t *index, int64_t n)
{
    eg_dataset *p;
    EG_TRY(check_index(d, index, n));
    EG_TRY(egi_dataset_create(&p, d->context, d->name, d->format));
    p->n = n;
    eg_status status = make_room(p, d);
    if (status == EG_OK)
        status = copy_examples(p, 0, d, index, n);
    if (status != EG_OK) {
        eg_dataset_free(p);
        return status;
    }
    *out = p;
    return EG_OK;
}

eg_status egi_dataset_alike(const eg_dataset *a, const eg_dataset *b)
{
    bool alike = a->n_inputs == b->n_inputs && !a->labels == !b->labels && !a->targets == !b->targets &&
                 !a->weights == !b->weights && egi_shape_equal(&a->target_shape, &b->target_shape);
    for (int i = 0; alike && i < a->n_inputs; i++)
        alike = a->dtype[i] == b->dtype[i] && egi_shape_equal(&a->shape[i], &b->shape[i]);
    if (alike)
        return EG_OK;
    return egi_fail(EG_ERR_DATA, "%s: its parts differ in shape or type: %s of %s and %s of %s", a->name,
                    egi_shape_format(&a->shape[0]).s, egi_dtype_name(a->dtype[0]), egi_shape_format(&b->shape[0]).s,
                    egi_dtype_name(b->dtype[0]));
}

eg_status egi_dataset_join(eg_dataset **out, const eg_dataset *a, const eg_dataset *b)
{
    eg_dataset *j;
    EG_TRY(egi_dataset_alike(a, b));
    EG_TRY(egi_dataset_create(&j, a->context, a->name, a->format));
    j->n = a->n + b->n;
    eg_status status = make_room(j, a->classes >= b->classes ? a : b);
    if (status == EG_OK)
        status = copy_examples(j, 0, a, NULL, a->n);
    if (status == EG_OK)
        status = copy_examples(j, a->n, b, NULL, b->n);
    if (status != EG_OK) {
        eg_dataset_free(j);
        return status;
    }
    *out = j;
    return EG_OK;
}
