#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/check.h"
#include "core/ops/pointwise.h"

#define BLOCK 32 /* rows at a time: their exponentials go through whole vectors of all of them */

/* y = x - max(x), a row */
static inline EGI_SIMD_BODY void lower(const float *x, float *y, int64_t n)
{
    float top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < n; j++)
        top = x[j] > top ? x[j] : top;
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        y[j] = x[j] - top;
}

static inline EGI_SIMD_BODY void divide_by_sum(float *y, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++)
        sum += y[j];
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        y[j] /= sum;
}

static inline EGI_SIMD_BODY void softmax_rows_body(const float *x, float *y, int64_t rows, int64_t n)
{
    for (int64_t begin = 0; begin < rows; begin += BLOCK) {
        const int64_t end = begin + BLOCK < rows ? begin + BLOCK : rows;
        for (int64_t r = begin; r < end; r++)
            lower(x + r * n, y + r * n, n);
#pragma omp simd
        for (int64_t i = begin * n; i < end * n; i++)
            y[i] = egi_v_exp(y[i]);
        for (int64_t r = begin; r < end; r++)
            divide_by_sum(y + r * n, n);
    }
}
EGI_SIMD(softmax_rows, (const float *x, float *y, int64_t rows, int64_t n), (x, y, rows, n))

static void forward_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_softmax *a = k->args;
    const int64_t n = egi_columns(&k->t[a->x]);
    softmax_rows((const float *)k->t[a->x].data + begin * n, (float *)k->t[a->y].data + begin * n, end - begin, n);
}

static eg_status run_forward(const egi_kernel *k, const egi_control *control)
{
    const egi_tensor *x = &k->t[((const egi_softmax *)k->args)->x];
    egi_cpu_split(k, control, egi_rows(x), 4 * egi_columns(x), forward_part);
    return EG_OK;
}

eg_status egi_cpu_softmax(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run_forward;
    return EG_OK;
}

static inline EGI_SIMD_BODY void grad_rows_body(const float *dy, const float *y, float *dx, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, dy += n, y += n, dx += n) {
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t j = 0; j < n; j++)
            dot += dy[j] * y[j];
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            dx[j] = y[j] * (dy[j] - dot);
    }
}
EGI_SIMD(grad_rows, (const float *dy, const float *y, float *dx, int64_t rows, int64_t n), (dy, y, dx, rows, n))

static void backward_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_softmax_grad *a = k->args;
    const int64_t n = egi_columns(&k->t[a->y]);
    grad_rows((const float *)k->t[a->dy].data + begin * n, (const float *)k->t[a->y].data + begin * n,
              (float *)k->t[a->dx].data + begin * n, end - begin, n);
}

static eg_status run_backward(const egi_kernel *k, const egi_control *control)
{
    const egi_tensor *y = &k->t[((const egi_softmax_grad *)k->args)->y];
    egi_cpu_split(k, control, egi_rows(y), egi_columns(y), backward_part);
    return EG_OK;
}

eg_status egi_cpu_softmax_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run_backward;
    return EG_OK;
}
