#include "core/cpu/loss.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/loss.h"

#define BLOCK 32 /* rows at a time: what is computed for each goes through whole vectors of all of them */

/* Rows of the batch, one after the other. */
typedef struct rows_of {
    const float *z, *targets; /* (rows, classes); targets NULL: labels count */
    const int32_t *labels;    /* (rows) or NULL */
    const float *weights;     /* (rows) or NULL */
    float *dz, *e;            /* (rows, classes): dz NULL: not wanted; e: exp(z - top), may be dz and z */
    double *results;          /* (rows, 2): loss, correct */
    int64_t rows, classes;
    float keep, spread; /* target = keep * raw + spread */
    double scale;       /* of every row's loss */
} rows_of;

#define SPAN                                                                                                \
    256 /* columns that are added up in f32; sums of spans are added in f64, so many classes cost no digits \
         */

/* A row: its maximum, the sum of target (top - z), the sum of targets, and whether the largest z is the wanted one. */
typedef struct facts {
    float top, away, total;
    bool hit;
} facts;

/* The first of the largest. */
static inline EGI_SIMD_BODY int64_t largest(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (x[k] > x[best])
            best = k;
    return best;
}

static inline EGI_SIMD_BODY bool is_class(const rows_of *b, int64_t row)
{
    return !b->labels || (b->labels[row] >= 0 && b->labels[row] < b->classes);
}

static inline EGI_SIMD_BODY float weight_of(const rows_of *b, int64_t row)
{
    return b->weights ? b->weights[row] : 1;
}

static inline EGI_SIMD_BODY facts target_facts(const rows_of *b, const float *z, const float *targets, float top)
{
    double total = 0, away = 0;
    for (int64_t begin = 0; begin < b->classes; begin += SPAN) {
        const int64_t end = begin + SPAN < b->classes ? begin + SPAN : b->classes;
        float part = 0, part_away = 0;
#pragma omp simd reduction(+ : part, part_away)
        for (int64_t k = begin; k < end; k++) {
            const float target = b->keep * targets[k] + b->spread;
            part += target;
            part_away += target != 0 ? target * (top - z[k]) : 0; /* 0 log 0 is 0 */
        }
        total += (double)part;
        away += (double)part_away;
    }
    return (facts){.top = top,
                   .away = (float)away,
                   .total = (float)total,
                   .hit = largest(z, b->classes) == largest(targets, b->classes)};
}

static inline EGI_SIMD_BODY facts label_facts(const rows_of *b, const float *z, int64_t label, float top)
{
    facts f = {.top = top, .total = 1, .away = b->keep != 0 ? b->keep * (top - z[label]) : 0, .hit = z[label] == top};
    double away = 0;
    for (int64_t k = 0; b->spread != 0 && k < b->classes; k++)
        away += (double)(top - z[k]);
    f.away += b->spread * (float)away;
    for (int64_t k = 0; f.hit && k < label; k++)
        f.hit = z[k] != top;
    return f;
}

/* Reads z for the last time and leaves z - top in e. */
static inline EGI_SIMD_BODY facts look_at(const rows_of *b, int64_t row)
{
    const int64_t n = b->classes;
    const float *z = b->z + row * n;
    float *e = b->e + row * n, top = -INFINITY;
    facts f = {.total = 0};
#pragma omp simd reduction(max : top)
    for (int64_t k = 0; k < n; k++)
        top = z[k] > top ? z[k] : top;
    if (b->targets)
        f = target_facts(b, z, b->targets + row * n, top);
    else if (is_class(b, row))
        f = label_facts(b, z, b->labels[row], top);
#pragma omp simd
    for (int64_t k = 0; k < n; k++)
        e[k] = z[k] - top;
    return f;
}

static inline EGI_SIMD_BODY void differentiate(const rows_of *b, int64_t row, float factor, float share)
{
    const int64_t n = b->classes;
    const float *e = b->e + row * n, keep = b->keep, spread = b->spread;
    float *dz = b->dz + row * n;
    if (b->targets) {
        const float *targets = b->targets + row * n;
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            dz[k] = share * e[k] - factor * (keep * targets[k] + spread);
    } else {
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            dz[k] = share * e[k] - factor * spread;
        dz[b->labels[row]] -= factor * keep;
    }
}

/* A row that does not count, or whose label is no class: that shows, as it does in Keras. */
static inline EGI_SIMD_BODY void leave_out(const rows_of *b, int64_t row)
{
    const bool above = b->labels && b->labels[row] >= b->classes && weight_of(b, row) != 0;
    const float value = above ? NAN : 0;
    b->results[2 * row] = (double)value;
    b->results[2 * row + 1] = 0;
    for (int64_t k = 0; b->dz && k < b->classes; k++)
        b->dz[row * b->classes + k] = value;
}

static inline EGI_SIMD_BODY float row_sum(const float *e, int64_t n)
{
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += SPAN) {
        const int64_t end = begin + SPAN < n ? begin + SPAN : n;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t k = begin; k < end; k++)
            part += e[k];
        total += (double)part;
    }
    return (float)total;
}

static inline EGI_SIMD_BODY void block_body(const rows_of *b)
{
    const int64_t n = b->classes;
    facts f[BLOCK];
    float sum[BLOCK], log_sum[BLOCK];
    for (int64_t i = 0; i < b->rows; i++)
        f[i] = look_at(b, i);
#pragma omp simd
    for (int64_t i = 0; i < b->rows * n; i++)
        b->e[i] = egi_v_exp(b->e[i]);
    for (int64_t i = 0; i < b->rows; i++) {
        sum[i] = row_sum(b->e + i * n, n);
    }
#pragma omp simd
    for (int64_t i = 0; i < b->rows; i++)
        log_sum[i] = egi_v_log(sum[i]) + 0 * sum[i]; /* NaN stays NaN */
    for (int64_t i = 0; i < b->rows; i++) {
        const float weight = weight_of(b, i);
        if (weight == 0 || !is_class(b, i)) {
            leave_out(b, i);
            continue;
        }
        const double factor = b->scale * (double)weight;
        b->results[2 * i] = factor * ((double)f[i].away + (double)f[i].total * (double)log_sum[i]);
        b->results[2 * i + 1] = f[i].hit && weight > 0;
        if (b->dz)
            differentiate(b, i, (float)factor, (float)factor * f[i].total / sum[i]);
    }
}
EGI_SIMD(block, (const rows_of *b), (b))

static const float *rows_from(const egi_kernel *k, egi_val v, int64_t offset)
{
    return v ? (const float *)k->t[v].data + offset : NULL;
}

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_softmax_xent *a = k->args;
    const int64_t n = k->t[a->z].shape.dim[0], classes = k->t[a->z].shape.dim[1];
    const double smoothing = (double)a->label_smoothing;
    for (int64_t i = begin; i < end; i += BLOCK) {
        rows_of b = {
            .z = rows_from(k, a->z, i * classes),
            .targets = rows_from(k, a->targets, i * classes),
            .labels = a->labels ? (const int32_t *)k->t[a->labels].data + i : NULL,
            .weights = rows_from(k, a->weights, i),
            .dz = (float *)rows_from(k, a->dz, i * classes),
            .results = egi_cpu_row(k, i),
            .rows = end - i < BLOCK ? end - i : BLOCK,
            .classes = classes,
            .keep = (float)(1 - smoothing),
            .spread = (float)(smoothing / (double)classes),
            .scale = (double)a->scale / (double)n,
        };
        b.e = b.dz ? b.dz : (float *)egi_cpu_row(k, n) + i * classes;
        block(&b);
    }
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
