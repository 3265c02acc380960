/** core/tensor.h: element types, shapes and views of memory. */
#ifndef EGI_TENSOR_H
#define EGI_TENSOR_H

#include "core/context.h"

#include <stdint.h>

#define EGI_MAX_RANK 8
#define EGI_DIM_MAX  ((int64_t)1 << 40) /* no single dimension, nor a product of them, is larger */

typedef enum egi_dtype { EGI_F32, EGI_F64, EGI_U8, EGI_I32 } egi_dtype;

size_t egi_dtype_size(egi_dtype dtype);
const char *egi_dtype_name(egi_dtype dtype);

typedef struct egi_shape {
    int rank; /* 0: a scalar */
    int64_t dim[EGI_MAX_RANK];
} egi_shape;

/** EGI_SHAPE(n, h, w, c): a shape literal of 1 to 8 dimensions. */
#define EGI_SHAPE(...) \
    ((egi_shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}})
/** The same as an initializer of static data (ISO C has no constant compound literals). */
#define EGI_STATIC_SHAPE(...)                                                                     \
    {                                                                                             \
        .rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = { __VA_ARGS__ } \
    }
#define EGI_SCALAR ((egi_shape){.rank = 0, .dim = {0}})

/** Product of the dimensions, 1 for a scalar. The shape was checked by egi_shape_check(). */
int64_t egi_shape_count(const egi_shape *shape);

/** Product of dimensions [from, to). */
int64_t egi_shape_span(const egi_shape *shape, int from, int to);

/** Every dimension 0 to EGI_DIM_MAX and the product too. Errors: SHAPE. */
EG_MUST_USE eg_status egi_shape_check(const egi_shape *shape, const char *subject);

bool egi_shape_equal(const egi_shape *a, const egi_shape *b);

/** `shape` with `n` put in front (the batch). */
egi_shape egi_shape_batched(int64_t n, const egi_shape *shape);

/** "(3, 3, 1, 6)" into `text`; for messages. */
typedef struct egi_shape_text {
    char s[112];
} egi_shape_text;
egi_shape_text egi_shape_format(const egi_shape *shape);

/** A view: typed, shaped memory, row-major, not owned. */
typedef struct egi_tensor {
    void *data;
    egi_dtype dtype;
    egi_shape shape;
} egi_tensor;

static inline int64_t egi_count(const egi_tensor *t)
{
    return egi_shape_count(&t->shape);
}

/** Element `i` as a double, whatever the dtype. For reference kernels, not for speed. */
double egi_get(const egi_tensor *t, int64_t i);
void egi_set(const egi_tensor *t, int64_t i, double value);

#endif
