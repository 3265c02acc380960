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

/* Chunks of the rows of x: (rows, c), each with a sum of its own: their number, not that of the threads, decides the
 * order. */
typedef struct summing {
    const float *x;
    int64_t rows, samples, c;
    float *sums;
} summing;

static void sum_chunk(void *arg, int64_t chunk, int thread)
{
    (void)thread;
    const summing *s = arg;
    float *sum = s->sums + chunk * s->c;
    int64_t from, to;
    egi_cpu_chunk(s->rows, chunk, &from, &to);
    memset(sum, 0, (size_t)s->c * sizeof *sum);
    for (int64_t i = from; i < to; i += BLOCK)
        add_rows(s->x + i * s->c, to - i < BLOCK ? to - i : BLOCK, s->c, sum);
}

/* Few numbers are not worth a team. */
static void run_chunks(const egi_kernel *k, int64_t elements, egi_work task, summing *s)
{
    if (elements >= EGI_CPU_SERIAL) {
        egi_cpu_run(k, EGI_CPU_CHUNKS, task, s);
        return;
    }
    for (int64_t chunk = 0; chunk < EGI_CPU_CHUNKS; chunk++)
        task(s, chunk, 0);
}

void egi_cpu_sum_columns(const egi_kernel *k, const float *x, int64_t rows, int64_t c, float *sums, float *y)
{
    summing s = {.x = x, .rows = rows, .c = c, .sums = sums};
    run_chunks(k, rows * c, sum_chunk, &s);
    memset(y, 0, (size_t)c * sizeof *y);
    add_rows(sums, EGI_CPU_CHUNKS, c, y);
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
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->scratch_bytes = (size_t)(egi_count(&out->t[a->y]) * EGI_CPU_CHUNKS) * sizeof(float);
    out->run = run_column_sum;
    return EG_OK;
}

static inline EGI_SIMD_BODY void add_square_body(const float *x, int64_t n, float *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}
EGI_SIMD(add_square, (const float *x, int64_t n, float *sum), (x, n, sum))

/* Samples of `rows` rows: each one's sums, then their squares. */
static void sum_sample_chunk(void *arg, int64_t chunk, int thread)
{
    (void)thread;
    const summing *s = arg;
    float *total = s->sums + 2 * chunk * s->c, *sample = total + s->c;
    int64_t from, to;
    egi_cpu_chunk(s->samples, chunk, &from, &to);
    memset(total, 0, (size_t)s->c * sizeof *total);
    for (int64_t i = from; i < to; i++) {
        memset(sample, 0, (size_t)s->c * sizeof *sample);
        for (int64_t r = 0; r < s->rows; r += BLOCK)
            add_rows(s->x + (i * s->rows + r) * s->c, s->rows - r < BLOCK ? s->rows - r : BLOCK, s->c, sample);
        add_square(sample, s->c, total);
    }
}

static eg_status run_square_column_sum(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const egi_square_column_sum *a = k->args;
    const egi_shape *x = &k->t[a->x].shape;
    summing s = {.x = k->t[a->x].data, .samples = x->dim[0], .c = x->dim[x->rank - 1], .sums = k->scratch};
    s.rows = egi_shape_span(x, 1, x->rank - 1);
    run_chunks(k, egi_shape_count(x), sum_sample_chunk, &s);
    for (int64_t chunk = 0; chunk < EGI_CPU_CHUNKS; chunk++)
        add_rows(s.sums + 2 * chunk * s.c, 1, s.c, k->t[a->f].data);
    return EG_OK;
}

eg_status egi_cpu_square_column_sum(egi_device *device, egi_kernel *out)
{
    const egi_square_column_sum *a = out->args;
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->scratch_bytes = (size_t)(egi_count(&out->t[a->f]) * EGI_CPU_CHUNKS * 2) * sizeof(float);
    out->run = run_square_column_sum;
    return EG_OK;
}
