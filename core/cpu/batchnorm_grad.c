/* batchnorm_grad, batchnorm_infer_grad and batchnorm_infer_square: sums by column, then a pass that writes dx. */
#include "core/cpu/fold.h"
#include "core/cpu/vector.h"
#include "core/ops/batchnorm.h"

#include <string.h>

typedef struct backward {
    egi_fold f; /* of all rows; of one sample in the square */
    int64_t samples;
    egi_val dy, y, x, gamma, mean, istd, var, dx, dgamma, dbeta, dr; /* istd, or var with epsilon */
    egi_act act;
    float alpha;
    double epsilon;
    bool through_statistics; /* the mean and the deviation depend on x */
} backward;

/* Scratch: four rows of factors by column, repeated; then sums by chunk: two of the chunk, two of the sample at hand.
 */
static float *factors_of(const egi_kernel *k, int i)
{
    return (float *)k->scratch + i * ((const backward *)k->state)->f.width;
}

static double *sums_of(const egi_kernel *k, int64_t chunk, int i)
{
    const backward *s = k->state;
    return (double *)(factors_of(k, 4)) + (chunk * 4 + i) * s->f.c;
}

static double istd_at(const egi_kernel *k, int64_t j)
{
    const backward *s = k->state;
    return s->istd ? egi_get(&k->t[s->istd], j) : 1 / sqrt(egi_get(&k->t[s->var], j) + s->epsilon);
}

static void set_shift(const egi_kernel *k)
{
    const backward *s = k->state;
    egi_fold_repeat(&s->f, k->t[s->mean].data, factors_of(k, 0));
}

static egi_fold_gradient gradient_of(const egi_kernel *k)
{
    const backward *s = k->state;
    return (egi_fold_gradient){
        .dy = k->t[s->dy].data, .y = k->t[s->y].data, .dz = k->t[s->dr].data, .act = s->act, .alpha = s->alpha};
}

static bool is_summed(const backward *s)
{
    return s->through_statistics || s->dgamma || s->dbeta;
}

static void sums_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const backward *s = k->state;
    const egi_fold_gradient dz = gradient_of(k);
    for (int64_t i = begin; i < end; i++)
        egi_fold_sums(&s->f, i, &dz, k->t[s->x].data, factors_of(k, 0), sums_of(k, i, 0), sums_of(k, i, 1));
}

/* The chunks' sums are added up in their order, into those of chunk 0. */
static void add_chunks(const egi_kernel *k)
{
    const backward *s = k->state;
    double *total = sums_of(k, 0, 0);
    for (int64_t i = 1; i < EGI_CPU_CHUNKS; i++) {
        const double *part = sums_of(k, i, 0);
        for (int64_t j = 0; j < 2 * s->f.c; j++)
            total[j] += part[j];
    }
}

/* --- gradients ---------------------------------------------------------------------------------------------------- */

/* By column, repeated. */
typedef struct factors {
    const float *shift, *a, *b, *c;
} factors;

/* dx = a (dz - b - (x - shift) c), or a dz */
static inline EGI_SIMD_BODY void dx_loop(const egi_fold_gradient *gradient, egi_act act, const float *x,
                                         const factors *by, float *dx, int64_t n)
{
    const egi_fold_gradient g = *gradient;
    const factors f = *by;
    if (x) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = f.a[i] * ((egi_fold_gradient_at(&g, act, false, i) - f.b[i]) - (x[i] - f.shift[i]) * f.c[i]);
    } else if (g.dz) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = f.a[i] * egi_fold_gradient_at(&g, act, true, i);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = f.a[i] * egi_fold_gradient_at(&g, act, false, i);
    }
}

static inline EGI_SIMD_BODY void dx_row_body(const egi_fold_gradient *g, const float *x, const factors *by, float *dx,
                                             int64_t n)
{
    switch (g->act) {
#define KIND(name)                                \
    case EGI_ACT_##name:                          \
        dx_loop(g, EGI_ACT_##name, x, by, dx, n); \
        break;
        EGI_V_FUSED(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(dx_row, (const egi_fold_gradient *g, const float *x, const factors *by, float *dx, int64_t n),
         (g, x, by, dx, n))

static void dx_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const backward *s = k->state;
    const float *x = k->t[s->x].data;
    const factors by = {factors_of(k, 0), factors_of(k, 1), factors_of(k, 2), factors_of(k, 3)};
    egi_fold_gradient dz = gradient_of(k);
    if (is_summed(s) && dz.dz) /* the pass before left it there */
        dz = (egi_fold_gradient){.dy = dz.dz};
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * s->f.width;
        const egi_fold_gradient g = egi_fold_gradient_from(&dz, at);
        dx_row(&g, s->through_statistics ? x + at : NULL, &by, (float *)k->t[s->dx].data + at,
               egi_fold_item_count(&s->f, i));
    }
}

/* The factors of dx, and dgamma and dbeta, of column j. */
static void finish_column(const egi_kernel *k, int64_t j, bool summed)
{
    const backward *s = k->state;
    const double istd = istd_at(k, j), n = (double)s->f.rows;
    factors_of(k, 1)[j] = (float)((s->gamma ? egi_get(&k->t[s->gamma], j) : 1) * istd);
    if (!summed)
        return;
    const double sum = sums_of(k, 0, 0)[j], dot = sums_of(k, 0, 1)[j] * istd; /* of dy xhat */
    factors_of(k, 2)[j] = (float)(sum / n);
    factors_of(k, 3)[j] = (float)(dot * istd / n);
    if (s->dgamma)
        egi_set(&k->t[s->dgamma], j, dot);
    if (s->dbeta)
        egi_set(&k->t[s->dbeta], j, sum);
}

static eg_status run_grad(const egi_kernel *k, const egi_control *control)
{
    const backward *s = k->state;
    const bool summed = is_summed(s);
    if (summed) {
        set_shift(k);
        egi_cpu_split(k, control, EGI_CPU_CHUNKS, s->f.rows * s->f.c / EGI_CPU_CHUNKS, sums_part);
        add_chunks(k);
    }
    for (int64_t j = 0; j < s->f.c; j++)
        finish_column(k, j, summed);
    for (int i = 1; i < 4; i++)
        egi_fold_repeat(&s->f, factors_of(k, i), factors_of(k, i));
    if (s->dx)
        egi_cpu_split(k, control, egi_fold_items(&s->f), s->f.width, dx_part);
    return EG_OK;
}

/* --- squares ------------------------------------------------------------------------------------------------------ */

/* Sums of the squares of what each sample of a chunk of samples gives. */
static void squares_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const backward *s = k->state;
    const int64_t c = s->f.c, each = s->f.rows * c;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *total = sums_of(k, chunk, 0), *sample = sums_of(k, chunk, 2);
        int64_t from, to;
        egi_cpu_chunk(s->samples, chunk, &from, &to);
        memset(total, 0, (size_t)(2 * c) * sizeof *total);
        for (int64_t i = from; i < to; i++) {
            const egi_fold_gradient dz = {.dy = (const float *)k->t[s->dy].data + i * each};
            egi_fold_sums_all(&s->f, &dz, (const float *)k->t[s->x].data + i * each, factors_of(k, 0), sample,
                              sample + c);
            for (int64_t j = 0; j < 2 * c; j++)
                total[j] += sample[j] * sample[j];
        }
    }
}

static void add_to(const egi_tensor *t, int64_t j, double value)
{
    egi_set(t, j, egi_get(t, j) + value);
}

static eg_status run_square(const egi_kernel *k, const egi_control *control)
{
    const backward *s = k->state;
    set_shift(k);
    egi_cpu_split(k, control, EGI_CPU_CHUNKS, s->samples * s->f.rows * s->f.c / EGI_CPU_CHUNKS, squares_part);
    add_chunks(k);
    for (int64_t j = 0; j < s->f.c; j++) {
        const double istd = istd_at(k, j);
        if (s->dgamma)
            add_to(&k->t[s->dgamma], j, sums_of(k, 0, 1)[j] * istd * istd);
        if (s->dbeta)
            add_to(&k->t[s->dbeta], j, sums_of(k, 0, 0)[j]);
    }
    return EG_OK;
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

static eg_status prepare(egi_device *device, egi_kernel *out, backward values)
{
    const egi_tensor *dy = &out->t[values.dy];
    const int64_t c = dy->shape.dim[dy->shape.rank - 1];
    if (!egi_cpu_is_f32(out) || egi_count(dy) == 0)
        return EGI_CPU_DECLINE;
    backward *s;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s));
    *s = values;
    s->f = egi_fold_make(egi_count(dy) / c / s->samples, c);
    out->scratch_bytes =
        4 * (size_t)s->f.width * sizeof(float) + (size_t)(EGI_CPU_CHUNKS * 4 * s->f.c) * sizeof(double);
    return EG_OK;
}

eg_status egi_cpu_batchnorm_grad(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_grad *a = out->args;
    out->run = run_grad;
    return prepare(device, out,
                   (backward){.samples = 1,
                              .dy = a->dy,
                              .x = a->x,
                              .y = a->y,
                              .gamma = a->gamma,
                              .mean = a->mean,
                              .istd = a->istd,
                              .dx = a->dx,
                              .dgamma = a->dgamma,
                              .dbeta = a->dbeta,
                              .dr = a->dr,
                              .act = a->act,
                              .alpha = a->alpha,
                              .through_statistics = true});
}

eg_status egi_cpu_batchnorm_infer_grad(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer_grad *a = out->args;
    out->run = run_grad;
    return prepare(device, out,
                   (backward){.samples = 1,
                              .dy = a->dy,
                              .x = a->x,
                              .y = a->y,
                              .gamma = a->gamma,
                              .mean = a->mean,
                              .var = a->var,
                              .dx = a->dx,
                              .dgamma = a->dgamma,
                              .dbeta = a->dbeta,
                              .dr = a->dr,
                              .act = a->act,
                              .alpha = a->alpha,
                              .epsilon = (double)a->epsilon});
}

eg_status egi_cpu_batchnorm_infer_square(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer_square *a = out->args;
    out->run = run_square;
    return prepare(device, out,
                   (backward){.samples = out->t[a->dy].shape.dim[0] ? out->t[a->dy].shape.dim[0] : 1,
                              .dy = a->dy,
                              .x = a->x,
                              .mean = a->mean,
                              .var = a->var,
                              .dgamma = a->fgamma,
                              .dbeta = a->fbeta,
                              .epsilon = (double)a->epsilon});
}
