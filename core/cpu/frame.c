/* Padding and cropping by whole rows; means over positions. */
#include "core/cpu/direct.h"
#include "core/cpu/parallel.h"
#include "core/ops/pointwise.h"
#include "core/ops/pool.h"

#include <string.h>

/* Rows [from, to) of y. */
static void pad_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_pad2d *a = k->args;
    const egi_shape *x = &k->t[a->x].shape, *y = &k->t[a->y].shape;
    const int64_t in = x->dim[2] * x->dim[3], out = y->dim[2] * y->dim[3], left = a->left * x->dim[3];
    for (int64_t row = from; row < to; row++) {
        float *to_row = (float *)k->t[a->y].data + row * out;
        const int64_t n = row / y->dim[1], r = row % y->dim[1] - a->top;
        if (r < 0 || r >= x->dim[1]) {
            memset(to_row, 0, (size_t)out * sizeof *to_row);
            continue;
        }
        memset(to_row, 0, (size_t)left * sizeof *to_row);
        memcpy(to_row + left, (const float *)k->t[a->x].data + (n * x->dim[1] + r) * in, (size_t)in * sizeof *to_row);
        memset(to_row + left + in, 0, (size_t)(out - left - in) * sizeof *to_row);
    }
}

static eg_status run_pad(const egi_kernel *k, const egi_control *control)
{
    const egi_shape *y = &k->t[((const egi_pad2d *)k->args)->y].shape;
    egi_cpu_split(k, control, y->dim[0] * y->dim[1], y->dim[2] * y->dim[3], pad_part);
    return EG_OK;
}

static void crop_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_crop2d *a = k->args;
    const egi_shape *x = &k->t[a->x].shape, *y = &k->t[a->y].shape;
    const int64_t in = x->dim[2] * x->dim[3], out = y->dim[2] * y->dim[3];
    for (int64_t row = from; row < to; row++) {
        const int64_t at = row / y->dim[1] * x->dim[1] + row % y->dim[1] + a->top;
        memcpy((float *)k->t[a->y].data + row * out, (const float *)k->t[a->x].data + at * in + a->left * x->dim[3],
               (size_t)out * sizeof(float));
    }
}

static eg_status run_crop(const egi_kernel *k, const egi_control *control)
{
    const egi_shape *y = &k->t[((const egi_crop2d *)k->args)->y].shape;
    egi_cpu_split(k, control, y->dim[0] * y->dim[1], y->dim[2] * y->dim[3], crop_part);
    return EG_OK;
}

/* y_j = scale times the sum of `rows` rows. */
static inline EGI_SIMD_BODY void mean_of_body(const float *x, int64_t rows, int64_t c, float scale, float *y)
{
    int64_t j = 0;
    for (; j + EGI_LANES <= c; j += EGI_LANES) {
        egi_vec sum = {0};
        for (int64_t r = 0; r < rows; r++)
            sum += *(const egi_vec_at *)(x + r * c + j);
        *(egi_vec_at *)(y + j) = sum * scale;
    }
    for (; j < c; j++) {
        float sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += x[r * c + j];
        y[j] = sum * scale;
    }
}
EGI_SIMD(mean_of, (const float *x, int64_t rows, int64_t c, float scale, float *y), (x, rows, c, scale, y))

static void mean_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_spatial_mean *a = k->args;
    const egi_shape *s = &k->t[a->x].shape;
    const int64_t c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    for (int64_t n = from; n < to; n++)
        mean_of((const float *)k->t[a->x].data + n * rows * c, rows, c, 1.0f / (float)rows,
                (float *)k->t[a->y].data + n * c);
}

static eg_status run_mean(const egi_kernel *k, const egi_control *control)
{
    const egi_shape *s = &k->t[((const egi_spatial_mean *)k->args)->x].shape;
    egi_cpu_split(k, control, s->dim[0], egi_shape_span(s, 1, s->rank), mean_part);
    return EG_OK;
}

static inline EGI_SIMD_BODY void spread_body(const float *dy, int64_t rows, int64_t c, float scale, float *dx)
{
    for (int64_t j = 0; j < c; j++)
        dx[j] = dy[j] * scale;
    for (int64_t r = 1; r < rows; r++)
        memcpy(dx + r * c, dx, (size_t)c * sizeof *dx);
}
EGI_SIMD(spread, (const float *dy, int64_t rows, int64_t c, float scale, float *dx), (dy, rows, c, scale, dx))

static void spread_part(const egi_kernel *k, const egi_control *control, int64_t from, int64_t to)
{
    (void)control;
    const egi_spatial_mean_grad *a = k->args;
    const egi_shape *s = &k->t[a->dx].shape;
    const int64_t c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    for (int64_t n = from; n < to && rows > 0; n++)
        spread((const float *)k->t[a->dy].data + n * c, rows, c, 1.0f / (float)rows,
               (float *)k->t[a->dx].data + n * rows * c);
}

static eg_status run_spread(const egi_kernel *k, const egi_control *control)
{
    const egi_shape *s = &k->t[((const egi_spatial_mean_grad *)k->args)->dx].shape;
    egi_cpu_split(k, control, s->dim[0], egi_shape_span(s, 1, s->rank), spread_part);
    return EG_OK;
}

#define PREPARE(op, run_function)                               \
    eg_status egi_cpu_##op(egi_device *device, egi_kernel *out) \
    {                                                           \
        (void)device;                                           \
        out->run = run_function;                                \
        return egi_cpu_is_f32(out) ? EG_OK : EGI_CPU_DECLINE;   \
    }
PREPARE(pad2d, run_pad)
PREPARE(crop2d, run_crop)
PREPARE(spatial_mean, run_mean)
PREPARE(spatial_mean_grad, run_spread)
