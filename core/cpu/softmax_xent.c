#include "core/cpu/loss.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/loss.h"

#include <string.h>

/* What a row needs. */
typedef struct row_of {
    const float *z, *targets; /* targets NULL: `label` counts */
    float *dz;                /* NULL: not wanted */
    int64_t classes, label;
    float keep, spread, factor; /* target = keep * raw + spread; factor of dz */
} row_of;

/* dz holds exp(z - top) on the way; its sum, its maximum's place and the targets' part of the loss come out. */
static inline EGI_SIMD_BODY void row_loss_body(const row_of *row, float *buffer, double *loss)
{
    const float *z = row->z, *targets = row->targets;
    const int64_t n = row->classes;
    const float keep = row->keep, spread = row->spread;
    float top = -INFINITY, sum = 0, total = 0, away = 0; /* away: sum of target (top - z) */
#pragma omp simd reduction(max : top)
    for (int64_t k = 0; k < n; k++)
        top = z[k] > top ? z[k] : top;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++) {
        buffer[k] = egi_v_exp(z[k] - top);
        sum += buffer[k];
    }
    if (targets) {
#pragma omp simd reduction(+ : total, away)
        for (int64_t k = 0; k < n; k++) {
            const float target = keep * targets[k] + spread;
            total += target;
            away += target != 0 ? target * (top - z[k]) : 0; /* 0 log 0 is 0 */
        }
    } else {
        total = 1;
        away = keep != 0 ? keep * (top - z[row->label]) : 0;
        for (int64_t k = 0; spread != 0 && k < n; k++)
            away += spread * (top - z[k]);
    }
    *loss = (double)away + (double)total * log((double)sum);
    if (!row->dz)
        return;
    const float share = row->factor * total / sum;
    if (targets) {
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            row->dz[k] = share * buffer[k] - row->factor * (keep * targets[k] + spread);
    } else {
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            row->dz[k] = share * buffer[k] - row->factor * spread;
        row->dz[row->label] -= row->factor * keep;
    }
}
EGI_SIMD(row_loss, (const row_of *row, float *buffer, double *loss), (row, buffer, loss))

/* The first of the largest. */
static int64_t largest(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (x[k] > x[best])
            best = k;
    return best;
}

static void fill(float *x, int64_t n, float value)
{
    for (int64_t k = 0; k < n; k++)
        x[k] = value;
}

static void do_row(const egi_kernel *k, int64_t i)
{
    const egi_softmax_xent *a = k->args;
    const int64_t n = k->t[a->z].shape.dim[0], classes = k->t[a->z].shape.dim[1];
    const int64_t label = a->labels ? ((const int32_t *)k->t[a->labels].data)[i] : 0;
    const double weight = a->weights ? (double)((const float *)k->t[a->weights].data)[i] : 1;
    const double factor = (double)a->scale / (double)n * weight, smoothing = (double)a->label_smoothing;
    float *dz = a->dz ? (float *)k->t[a->dz].data + i * classes : NULL;
    double *result = egi_cpu_row(k, i);
    result[0] = result[1] = 0;
    if (weight == 0 || label < 0 || label >= classes) {
        if (weight != 0 && label >= classes)
            result[0] = NAN; /* shows, as it does in Keras */
        if (dz)
            fill(dz, classes, (float)result[0]);
        return;
    }
    const row_of row = {
        .z = (const float *)k->t[a->z].data + i * classes,
        .targets = a->targets ? (const float *)k->t[a->targets].data + i * classes : NULL,
        .dz = dz,
        .classes = classes,
        .label = label,
        .keep = (float)(1 - smoothing),
        .spread = (float)(smoothing / (double)classes),
        .factor = (float)factor,
    };
    double loss;
    row_loss(&row, dz ? dz : (float *)egi_cpu_row(k, n) + i * classes, &loss);
    result[0] = factor * loss;
    if (a->correct && weight > 0)
        result[1] = largest(row.z, classes) == (row.targets ? largest(row.targets, classes) : label);
}

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    for (int64_t i = begin; i < end; i++)
        do_row(k, i);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const egi_softmax_xent *a = k->args;
    const int64_t n = k->t[a->z].shape.dim[0];
    egi_cpu_split(k, control, n, 4 * k->t[a->z].shape.dim[1], part);
    egi_cpu_sum_rows(k, n, a->loss, a->correct);
    return EG_OK;
}

eg_status egi_cpu_softmax_xent(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_softmax_xent *a = out->args;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_shape *z = &out->t[a->z].shape;
    out->run = run;
    out->scratch_bytes =
        (size_t)z->dim[0] * 2 * sizeof(double) + (a->dz ? 0 : (size_t)egi_shape_count(z) * sizeof(float));
    return EG_OK;
}
