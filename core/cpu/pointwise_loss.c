#include "core/cpu/loss.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/loss.h"

#include <string.h>

#define BLOCK 1024 /* elements summed in f32 */

typedef struct rows_of {
    egi_pointwise_kind kind;
    float keep, spread, threshold;
} rows_of;

EGI_V float element(egi_pointwise_kind kind, float y, float t, float *slope)
{
    switch (kind) {
    case EGI_LOSS_BCE_LOGITS:
        *slope = egi_v_sigmoid(y) - t;
        return (y > 0 ? y : 0) - y * t + egi_v_log1p_unit(egi_v_exp(-fabsf(y)));
    case EGI_LOSS_BCE: {
        const float eps = 1e-7f, rest = 1 - y; /* near 1, 1 - y is exact where 1 - 1e-7 is not */
        const float p = y < eps ? eps : y, q = rest < eps ? eps : rest;
        *slope = p != y || q != rest ? 0 : (p - t) / (p * q);
        const float loss = -(t * egi_v_log(p > 1 ? 1 : p) + (1 - t) * egi_v_log(q > 1 ? 1 : q));
        return y != y ? y : loss;
    }
    case EGI_LOSS_MSE:
        *slope = 2 * (y - t);
        return (y - t) * (y - t);
    default:
        *slope = y > t ? 1 : y < t ? -1 : 0;
        return fabsf(y - t);
    }
}

/* `dy` NULL: not wanted. `factor` is that of dy. */
EGI_V void loop(egi_pointwise_kind kind, const rows_of *r, const float *y, const float *targets, float factor,
                float *dy, int64_t n, float *loss, float *hits)
{
    const float keep = r->keep, spread = r->spread, threshold = r->threshold;
    float sum = 0, count = 0;
    if (dy) {
#pragma omp simd reduction(+ : sum, count)
        for (int64_t i = 0; i < n; i++) {
            float slope;
            sum += element(kind, y[i], keep * targets[i] + spread, &slope);
            count += (y[i] > threshold) == (targets[i] > 0.5f) ? 1.0f : 0.0f;
            dy[i] = factor * slope;
        }
    } else {
#pragma omp simd reduction(+ : sum, count)
        for (int64_t i = 0; i < n; i++) {
            float slope;
            sum += element(kind, y[i], keep * targets[i] + spread, &slope);
            count += (y[i] > threshold) == (targets[i] > 0.5f) ? 1.0f : 0.0f;
        }
    }
    *loss = sum;
    *hits = count;
}

static inline EGI_SIMD_BODY void block_body(const rows_of *r, const float *y, const float *targets, float factor,
                                            float *dy, int64_t n, float *loss, float *hits)
{
    switch (r->kind) {
    case EGI_LOSS_BCE_LOGITS:
        loop(EGI_LOSS_BCE_LOGITS, r, y, targets, factor, dy, n, loss, hits);
        break;
    case EGI_LOSS_BCE:
        loop(EGI_LOSS_BCE, r, y, targets, factor, dy, n, loss, hits);
        break;
    case EGI_LOSS_MSE:
        loop(EGI_LOSS_MSE, r, y, targets, factor, dy, n, loss, hits);
        break;
    case EGI_LOSS_MAE:
        loop(EGI_LOSS_MAE, r, y, targets, factor, dy, n, loss, hits);
        break;
    }
}
EGI_SIMD(block,
         (const rows_of *r, const float *y, const float *targets, float factor, float *dy, int64_t n, float *loss,
          float *hits),
         (r, y, targets, factor, dy, n, loss, hits))

static void do_row(const egi_kernel *k, const rows_of *r, int64_t i)
{
    const egi_pointwise_loss *a = k->args;
    const int64_t n = k->t[a->y].shape.dim[0], each = egi_count(&k->t[a->y]) / n;
    const double weight = a->weights ? (double)((const float *)k->t[a->weights].data)[i] : 1;
    const double factor = (double)a->scale / (double)n * weight / (double)each;
    const float *y = (const float *)k->t[a->y].data + i * each;
    const float *targets = (const float *)k->t[a->targets].data + i * each;
    float *dy = a->dy ? (float *)k->t[a->dy].data + i * each : NULL;
    double *result = egi_cpu_row(k, i);
    result[0] = result[1] = 0;
    if (weight == 0 && dy)
        memset(dy, 0, (size_t)each * sizeof *dy);
    for (int64_t at = 0; weight != 0 && at < each; at += BLOCK) {
        float loss, hits;
        block(r, y + at, targets + at, (float)factor, dy ? dy + at : NULL, each - at < BLOCK ? each - at : BLOCK, &loss,
              &hits);
        result[0] += factor * (double)loss;
        result[1] += weight > 0 ? (double)hits / (double)each : 0;
    }
}

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_pointwise_loss *a = k->args;
    const double smoothing = a->kind <= EGI_LOSS_BCE ? (double)a->label_smoothing : 0;
    const rows_of r = {.kind = a->kind,
                       .keep = (float)(1 - smoothing),
                       .spread = (float)(smoothing / 2),
                       .threshold = a->kind == EGI_LOSS_BCE_LOGITS ? 0 : 0.5f};
    for (int64_t i = begin; i < end; i++)
        do_row(k, &r, i);
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const egi_pointwise_loss *a = k->args;
    const int64_t n = k->t[a->y].shape.dim[0];
    egi_cpu_split(k, control, n, egi_count(&k->t[a->y]) / n, part);
    egi_cpu_sum_rows(k, n, a->loss, a->correct);
    return EG_OK;
}

eg_status egi_cpu_pointwise_loss(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_pointwise_loss *a = out->args;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    out->scratch_bytes = (size_t)out->t[a->y].shape.dim[0] * 2 * sizeof(double);
    return EG_OK;
}
