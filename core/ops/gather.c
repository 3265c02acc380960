#include "core/ops/check.h"
#include "core/ops/data.h"

#include <string.h>

/* --- images ------------------------------------------------------------------------------------------------------- */

bool egi_picture_of(const egi_shape *stored, const egi_shape *wanted, egi_picture *out)
{
    const egi_shape *shapes[] = {stored, wanted};
    for (int rank = 3; rank >= 2; rank--)
        for (int i = 0; i < 2; i++)
            if (shapes[i]->rank == rank && shapes[i]->dim[0] >= 0 && shapes[i]->dim[1] >= 0) {
                const int64_t *dim = shapes[i]->dim;
                *out = (egi_picture){.height = dim[0], .width = dim[1], .channels = rank == 3 ? dim[2] : 1};
                return true;
            }
    return false;
}

/* A shape without its first dimension. */
static egi_shape example_of(const egi_shape *s)
{
    egi_shape e = {.rank = s->rank - 1};
    memcpy(e.dim, s->dim + 1, (size_t)e.rank * sizeof *e.dim);
    return e;
}

bool egi_gather_picture(const egi_shape *x, const egi_shape *y, egi_picture *out)
{
    const egi_shape stored = example_of(x), wanted = example_of(y);
    return egi_picture_of(&stored, &wanted, out);
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static eg_status check_affine(const egi_affine *a, const egi_shape *x)
{
    if (a->channels != 1 && a->channels != 3)
        return egi_fail(EG_ERR_ARG, "affine: wanted 1 or 3 channels, found %d", a->channels);
    if (a->reversed && a->channels != 3)
        return egi_fail(EG_ERR_ARG, "affine: only 3 channels can be reversed, found 1");
    for (int c = 0; c < a->channels; c++)
        if (!(a->by[c] > 0) || !(a->over[c] > 0))
            return egi_fail(EG_ERR_ARG, "affine: wanted divisors above 0, found %g and %g", (double)a->by[c],
                            (double)a->over[c]);
    if (a->channels == 3 && (x->rank < 2 || x->dim[x->rank - 1] != 3))
        return egi_fail(EG_ERR_SHAPE, "x: wanted 3 channels, found shape %s", egi_shape_format(x).s);
    return EG_OK;
}

static eg_status check_augment(egi_augment a, const egi_shape *x, const egi_shape *y)
{
    egi_picture image;
    if (a.shift < 0 || a.shift > EGI_SHIFT_MAX)
        return egi_fail(EG_ERR_ARG, "augment: wanted a shift of 0 to %d, found %d", EGI_SHIFT_MAX, a.shift);
    if ((a.flip || a.shift) && !egi_gather_picture(x, y, &image))
        return egi_fail(EG_ERR_SHAPE, "augment: wanted images, found examples of %s", egi_shape_format(x).s);
    return EG_OK;
}

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_gather *a = args;
    if (a->x == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "x: no value given");
    if (egi_dtype_of(p, a->x) == EGI_I32)
        return egi_fail(EG_ERR_DTYPE, "x: wanted uint8 or float, found int32");
    EG_TRY(egi_check_real(p, "y", a->y, 1));
    const egi_shape x = *egi_shape_of(p, a->x), y = *egi_shape_of(p, a->y);
    if (x.rank < 1)
        return egi_fail(EG_ERR_SHAPE, "x: wanted examples, found a scalar");
    if (egi_shape_span(&x, 1, x.rank) != egi_shape_span(&y, 1, y.rank))
        return egi_fail(EG_ERR_SHAPE, "wanted examples of one size, found x %s and y %s", egi_shape_format(&x).s,
                        egi_shape_format(&y).s);
    EG_TRY(egi_check_is(p, "index", a->index, EGI_I32, EGI_SHAPE(y.dim[0])));
    EG_TRY(egi_check_may(p, "base", a->base, egi_dtype_of(p, a->y), y));
    EG_TRY(check_affine(&a->affine, &x));
    return check_augment(a->augment, &x, &y);
}

/* --- reference ---------------------------------------------------------------------------------------------------- */

/* Where value `i` of an example comes from; -1: from outside. */
static int64_t source_of(int64_t i, const egi_picture *m, egi_augmentation d)
{
    const int64_t c = i % m->channels, s = i / m->channels % m->width, r = i / m->channels / m->width;
    const int64_t row = r + d.down, column = (d.mirrored ? m->width - 1 - s : s) + d.right;
    if (row < 0 || row >= m->height || column < 0 || column >= m->width)
        return -1;
    return (row * m->width + column) * m->channels + c;
}

/* In float32 instead of double: that is what the values are. */
static float value_of(const egi_gather *a, const egi_tensor *x, int64_t begin, int64_t i)
{
    const int channel = a->affine.channels == 3 ? (int)(i % 3) : 0;
    const int64_t from = a->affine.reversed ? i + 2 - 2 * channel : i;
    return egi_affine_value(&a->affine, channel, (float)egi_get(x, begin + from));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    const egi_gather *a = args;
    const egi_tensor *x = &t[a->x], *y = &t[a->y];
    const int64_t batch = y->shape.dim[0], n = egi_shape_span(&y->shape, 1, y->shape.rank);
    const bool augment = a->augment.flip || a->augment.shift;
    egi_picture image = {0};
    if (augment)
        egi_gather_picture(&x->shape, &y->shape, &image);
    for (int64_t row = 0; row < batch; row++) {
        const int64_t example = (int64_t)egi_get(&t[a->index], row);
        const bool is_example = example >= 0 && example < x->shape.dim[0];
        const egi_augmentation drawn = egi_augment_draw(a->augment, control, row);
        for (int64_t i = 0; i < n; i++) {
            const int64_t from = !is_example ? -1 : augment ? source_of(i, &image, drawn) : i;
            const double none = is_example || a->base == EGI_NONE ? 0 : egi_get(&t[a->base], row * n + i);
            egi_set(y, row * n + i, from < 0 ? none : (double)value_of(a, x, example * n, from));
        }
    }
}

/* A batch's examples are read, not the data set. */
static double bytes(const void *args, const egi_tensor *t, double all)
{
    (void)all;
    const egi_gather *a = args;
    const double width = (double)egi_dtype_size(t[a->x].dtype) + (double)egi_dtype_size(t[a->y].dtype);
    return width * (double)egi_count(&t[a->y]) + 4 * (double)egi_count(&t[a->index]);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

#define UNIT                                      \
    {                                             \
        .channels = 1, .by = {255}, .over = { 1 } \
    }
#define TF                                                         \
    {                                                              \
        .channels = 1, .by = {127.5f}, .after = {1}, .over = { 1 } \
    }
#define CAFFE                                                                                                       \
    {                                                                                                               \
        .channels = 3, .reversed = 1, .before = {103.939f, 116.779f, 123.68f}, .by = {1, 1, 1}, .over = { 1, 1, 1 } \
    }
#define TORCH                                                                                                       \
    {                                                                                                               \
        .channels = 3, .by = {255, 255, 255}, .after = {0.485f, 0.456f, 0.406f}, .over = { 0.229f, 0.224f, 0.225f } \
    }
#define BYTES  EGI_FILL_BYTES
#define FLOATS EGI_FILL_NORMAL
/* n examples of x_shape, `batch` of y_shape. */
#define CASE(fill_, affine_, flip_, shift_, n, batch, x_shape, y_shape)                                   \
    {                                                                                                     \
        .args = &(const egi_gather){.affine = affine_, .augment = {.flip = flip_, .shift = shift_}},      \
        .in = {EGI_STATIC_SHAPE(n, EGI_UNPACK x_shape), EGI_STATIC_SHAPE(batch)}, .in_absent = 4,         \
        .out = {EGI_STATIC_SHAPE(batch, EGI_UNPACK y_shape)}, .fill = {fill_, EGI_FILL_ROWS}, .labels = n \
    }
/* The same over a base. */
#define OVER(fill_, affine_, flip_, shift_, n, batch, x_shape, y_shape)                                   \
    {                                                                                                     \
        .args = &(const egi_gather){.affine = affine_, .augment = {.flip = flip_, .shift = shift_}},      \
        .in = {EGI_STATIC_SHAPE(n, EGI_UNPACK x_shape), EGI_STATIC_SHAPE(batch),                          \
               EGI_STATIC_SHAPE(batch, EGI_UNPACK y_shape)},                                              \
        .out = {EGI_STATIC_SHAPE(batch, EGI_UNPACK y_shape)}, .fill = {fill_, EGI_FILL_ROWS}, .labels = n \
    }
#define EGI_UNPACK(...) __VA_ARGS__
static const egi_op_case cases[] = {
    CASE(BYTES, UNIT, 0, 0, 11, 7, (5, 9, 1), (5, 9, 1)),
    CASE(BYTES, TF, 0, 0, 5, 33, (28, 28), (784)),
    CASE(FLOATS, EGI_AFFINE_NONE, 0, 0, 9, 6, (13), (13)),
    CASE(FLOATS, TF, 0, 0, 9, 65, (4, 4, 8), (128)),
    CASE(BYTES, CAFFE, 0, 0, 6, 9, (7, 5, 3), (7, 5, 3)),
    CASE(FLOATS, CAFFE, 0, 0, 6, 9, (4, 5, 3), (4, 5, 3)),
    CASE(BYTES, TORCH, 0, 0, 6, 9, (8, 4, 3), (8, 4, 3)),
    CASE(FLOATS, TORCH, 0, 0, 6, 9, (3, 5, 3), (3, 5, 3)),
    CASE(BYTES, EGI_AFFINE_NONE, 0, 0, 4, 3, (40, 40, 4), (40, 40, 4)),
    CASE(BYTES, UNIT, 1, 0, 11, 9, (5, 9, 1), (5, 9, 1)),
    CASE(FLOATS, EGI_AFFINE_NONE, 0, 2, 11, 9, (6, 4), (24)),
    CASE(BYTES, CAFFE, 1, 3, 7, 20, (7, 5, 3), (7, 5, 3)),
    CASE(FLOATS, TORCH, 1, 1, 7, 20, (3, 8, 3), (3, 8, 3)),
    CASE(BYTES, UNIT, 1, 9, 3, 17, (784), (28, 28, 1)),
    CASE(BYTES, TF, 1, 40, 3, 70, (32, 32, 3), (32, 32, 3)),
    OVER(BYTES, UNIT, 0, 0, 11, 17, (5, 9, 1), (5, 9, 1)),
    OVER(BYTES, TF, 0, 0, 5, 33, (28, 28), (784)),
    OVER(FLOATS, TORCH, 0, 0, 6, 19, (3, 5, 3), (3, 5, 3)),
    OVER(BYTES, CAFFE, 1, 3, 7, 20, (7, 5, 3), (7, 5, 3)),
    /* weights; nothing */
    {.args = &(const egi_gather){.affine = EGI_AFFINE_NONE},
     .in = {EGI_STATIC_SHAPE(19), EGI_STATIC_SHAPE(40)},
     .in_absent = 4,
     .out = {EGI_STATIC_SHAPE(40)},
     .fill = {FLOATS, EGI_FILL_ROWS},
     .labels = 19},
    CASE(BYTES, UNIT, 1, 1, 2, 0, (3, 3), (3, 3)),
    CASE(FLOATS, UNIT, 0, 0, 2, 3, (0), (0)),
};

const egi_op egi_op_gather = {
    .name = "gather",
    .size = sizeof(egi_gather),
    .in = {EGI_FIELD(egi_gather, x), EGI_FIELD(egi_gather, index), EGI_FIELD(egi_gather, base)},
    .out = {EGI_FIELD(egi_gather, y)},
    .over = {EGI_OVER(egi_gather, y, base)},
    .check = check,
    .reference = reference,
    .bytes = bytes,
    .varies = true,
    EGI_CASES(cases),
};
