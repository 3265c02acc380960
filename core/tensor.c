#include "core/tensor.h"

#include <stdio.h>

size_t egi_dtype_size(egi_dtype dtype)
{
    static const size_t sizes[] = {[EGI_F32] = 4, [EGI_F64] = 8, [EGI_U8] = 1, [EGI_I32] = 4};
    return sizes[dtype];
}

const char *egi_dtype_name(egi_dtype dtype)
{
    static const char *const names[] = {
        [EGI_F32] = "float32", [EGI_F64] = "float64", [EGI_U8] = "uint8", [EGI_I32] = "int32"};
    return names[dtype];
}

int64_t egi_shape_span(const egi_shape *s, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= s->dim[i];
    return n;
}

int64_t egi_shape_count(const egi_shape *s)
{
    return egi_shape_span(s, 0, s->rank);
}

eg_status egi_shape_check(const egi_shape *s, const char *subject)
{
    if (s->rank < 0 || s->rank > EGI_MAX_RANK)
        return egi_fail(EG_ERR_SHAPE, "%s: %d dimensions, at most %d wanted", subject, s->rank, EGI_MAX_RANK);
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 0 || s->dim[i] > EGI_DIM_MAX || __builtin_mul_overflow(n, s->dim[i], &n) || n > EGI_DIM_MAX)
            return egi_fail(EG_ERR_SHAPE, "%s: impossible shape %s", subject, egi_shape_format(s).s);
    return EG_OK;
}

bool egi_shape_equal(const egi_shape *a, const egi_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

egi_shape egi_shape_batched(int64_t n, const egi_shape *s)
{
    egi_shape out = {.rank = s->rank + 1, .dim = {n}};
    for (int i = 0; i < s->rank && i + 1 < EGI_MAX_RANK; i++)
        out.dim[i + 1] = s->dim[i];
    return out;
}

egi_shape_text egi_shape_format(const egi_shape *s)
{
    egi_shape_text text = {"("};
    int at = 1;
    const int room = (int)sizeof text.s;
    for (int i = 0; i < s->rank && i < EGI_MAX_RANK && at < room - 1; i++)
        at += snprintf(text.s + at, (size_t)(room - at), i ? ", %lld" : "%lld", (long long)s->dim[i]);
    if (at < room - 1)
        snprintf(text.s + at, (size_t)(room - at), ")");
    return text;
}

double egi_get(const egi_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case EGI_F32:
        return ((const float *)t->data)[i];
    case EGI_F64:
        return ((const double *)t->data)[i];
    case EGI_U8:
        return ((const uint8_t *)t->data)[i];
    case EGI_I32:
        return ((const int32_t *)t->data)[i];
    }
    return 0;
}

void egi_set(const egi_tensor *t, int64_t i, double value)
{
    switch (t->dtype) {
    case EGI_F32:
        ((float *)t->data)[i] = (float)value;
        break;
    case EGI_F64:
        ((double *)t->data)[i] = value;
        break;
    case EGI_U8:
        ((uint8_t *)t->data)[i] = (uint8_t)value;
        break;
    case EGI_I32:
        ((int32_t *)t->data)[i] = (int32_t)value;
        break;
    }
}
