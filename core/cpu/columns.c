/* Sums of columns: rows are dealt to the team, whose sums are added in order. */
#include "core/cpu/direct.h"
#include "core/cpu/finish.h"
#include "core/cpu/parallel.h"
#include "core/ops/dense.h"

#include <string.h>

#define BLOCK 256 /* rows that are summed by themselves, so that errors do not grow with the number of rows */

/* sum_j += x_ij over rows [0, rows). */
static inline EGI_SIMD_BODY void add_rows_body(const float *x, int64_t rows, int64_t c, float *sum)
{
    int64_t j = 0;
    for (; j + 4 * EGI_LANES <= c; j += 4 * EGI_LANES) {
        egi_vec s[4] = {0};
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < 4; v++)
                s[v] += *(const egi_vec_at *)(x + i * c + j + v * EGI_LANES);
        for (int v = 0; v < 4; v++)
            *(egi_vec_at *)(sum + j + v * EGI_LANES) += s[v];
    }
    for (; j + EGI_LANES <= c; j += EGI_LANES) {
        egi_vec s = {0};
        for (int64_t i = 0; i < rows; i++)
            s += *(const egi_vec_at *)(x + i * c + j);
        *(egi_vec_at *)(sum + j) += s;
    }
    for (; j < c; j++) {
        float s = 0;
        for (int64_t i = 0; i < rows; i++)
            s += x[i * c + j];
        sum[j] += s;
    }
}
EGI_SIMD(add_rows, (const float *x, int64_t rows, int64_t c, float *sum), (x, rows, c, sum))

static int team(const egi_kernel *k, int64_t elements)
{
    return elements < EGI_CPU_SERIAL ? 1 : egi_cpu_threads(k);
}

void egi_cpu_sum_columns(const egi_kernel *k, const float *x, int64_t rows, int64_t c, float *sums, float *y)
{
    const int threads = team(k, rows * c);
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        float *sum = sums + thread * c;
        int64_t from, to;
        egi_cpu_share(rows, 1, thread, threads, &from, &to);
        memset(sum, 0, (size_t)c * sizeof *sum);
        for (int64_t i = from; i < to; i += BLOCK)
            add_rows(x + i * c, to - i < BLOCK ? to - i : BLOCK, c, sum);
    }
    memset(y, 0, (size_t)c * sizeof *y);
    add_rows(sums, threads, c, y);
}

static eg_status run_column_sum(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_column_sum *a = k->args;
    const egi_tensor *t = &k->t[a->x];
    const int64_t c = t->shape.dim[t->shape.rank - 1], rows = egi_shape_span(&t->shape, 0, t->shape.rank - 1);
    egi_cpu_sum_columns(k, t->data, rows, c, k->scratch, k->t[a->y].data);
    return EG_OK;
}

eg_status egi_cpu_column_sum(egi_device *device, egi_kernel *out)
{
    const egi_column_sum *a = out->args;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->scratch_bytes = (size_t)(egi_count(&out->t[a->y]) * device->context->threads) * sizeof(float);
    out->run = run_column_sum;
    return EG_OK;
}

static inline EGI_SIMD_BODY void add_square_body(const float *x, int64_t n, float *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}
EGI_SIMD(add_square, (const float *x, int64_t n, float *sum), (x, n, sum))

static eg_status run_square_column_sum(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_square_column_sum *a = k->args;
    const egi_shape *s = &k->t[a->x].shape;
    const int64_t samples = s->dim[0], c = s->dim[s->rank - 1], rows = egi_shape_span(s, 1, s->rank - 1);
    const float *x = k->t[a->x].data;
    float *sums = k->scratch, *f = k->t[a->f].data;
    const int threads = team(k, samples * rows * c);
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        float *total = sums + 2 * thread * c, *sample = total + c;
        int64_t from, to;
        egi_cpu_share(samples, 1, thread, threads, &from, &to);
        memset(total, 0, (size_t)c * sizeof *total);
        for (int64_t i = from; i < to; i++) {
            memset(sample, 0, (size_t)c * sizeof *sample);
            for (int64_t r = 0; r < rows; r += BLOCK)
                add_rows(x + (i * rows + r) * c, rows - r < BLOCK ? rows - r : BLOCK, c, sample);
            add_square(sample, c, total);
        }
    }
    for (int thread = 0; thread < threads; thread++)
        add_rows(sums + 2 * thread * c, 1, c, f);
    return EG_OK;
}

eg_status egi_cpu_square_column_sum(egi_device *device, egi_kernel *out)
{
    const egi_square_column_sum *a = out->args;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->scratch_bytes = (size_t)(egi_count(&out->t[a->f]) * device->context->threads * 2) * sizeof(float);
    out->run = run_square_column_sum;
    return EG_OK;
}
