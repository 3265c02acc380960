/* batchnorm and batchnorm_infer: the same affine pass, after statistics or with stored ones. */
#include "core/ops/batchnorm.h"
#include "core/cpu/fold.h"
#include "core/cpu/vector.h"

typedef struct forward {
    egi_fold f;
    egi_val x, y, gamma, beta, r;
    float epsilon, alpha;
    egi_act act;
} forward;

/* Scratch: shift, scale, offset by column, repeated; then one pair of moments a chunk. */
static float *shift_of(const egi_kernel *k)
{
    return k->scratch;
}

static double *moments_of(const egi_kernel *k, int64_t chunk)
{
    const forward *s = k->state;
    return (double *)(shift_of(k) + 3 * s->f.width + (3 * s->f.width & 1)) + chunk * 2 * s->f.c;
}

/* y = act((x - shift) scale + offset + r): subtracting first keeps the digits of large means. */
static inline EGI_SIMD_BODY void loop(egi_act act, float alpha, const float *x, const float *shift, const float *scale,
                                      const float *offset, const float *r, float *y, int64_t n)
{
    if (r) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = egi_v_act(act, alpha, -1, 0, (x[i] - shift[i]) * scale[i] + offset[i] + r[i]);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = egi_v_act(act, alpha, -1, 0, (x[i] - shift[i]) * scale[i] + offset[i]);
    }
}

static inline EGI_SIMD_BODY void affine_body(egi_act act, float alpha, const float *x, const float *shift,
                                             const float *scale, const float *offset, const float *r, float *y,
                                             int64_t n)
{
    switch (act) {
#define KIND(name)                                                     \
    case EGI_ACT_##name:                                               \
        loop(EGI_ACT_##name, alpha, x, shift, scale, offset, r, y, n); \
        break;
        EGI_V_FUSED(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(affine,
         (egi_act act, float alpha, const float *x, const float *shift, const float *scale, const float *offset,
          const float *r, float *y, int64_t n),
         (act, alpha, x, shift, scale, offset, r, y, n))

static void apply_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const forward *s = k->state;
    const float *shift = shift_of(k), *x = k->t[s->x].data, *r = k->t[s->r].data;
    float *y = k->t[s->y].data;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * s->f.width;
        affine(s->act, s->alpha, x + at, shift, shift + s->f.width, shift + 2 * s->f.width, r ? r + at : NULL, y + at,
               egi_fold_item_count(&s->f, i));
    }
}

/* Columns of shift, scale and offset, given mean and 1 / standard deviation. */
static void set_column(const egi_kernel *k, int64_t j, double mean, double istd)
{
    const forward *s = k->state;
    float *shift = shift_of(k);
    shift[j] = (float)mean;
    shift[s->f.width + j] = (float)((s->gamma ? egi_get(&k->t[s->gamma], j) : 1) * istd);
    shift[2 * s->f.width + j] = s->beta ? (float)egi_get(&k->t[s->beta], j) : 0;
}

static void apply(const egi_kernel *k, const egi_control *control)
{
    const forward *s = k->state;
    for (int i = 0; i < 3; i++)
        egi_fold_repeat(&s->f, shift_of(k) + i * s->f.width, shift_of(k) + i * s->f.width);
    egi_cpu_split(k, control, egi_fold_items(&s->f), s->f.width, apply_part);
}

static eg_status run_infer(const egi_kernel *k, const egi_control *control)
{
    const egi_batchnorm_infer *a = k->args;
    const forward *s = k->state;
    for (int64_t j = 0; j < s->f.c; j++)
        set_column(k, j, egi_get(&k->t[a->mean], j), 1 / sqrt(egi_get(&k->t[a->var], j) + (double)a->epsilon));
    apply(k, control);
    return EG_OK;
}

static void moments_part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const forward *s = k->state;
    for (int64_t i = begin; i < end; i++)
        egi_fold_moments(&s->f, i, k->t[s->x].data, moments_of(k, i), moments_of(k, i) + s->f.c);
}

/* The chunks' moments become those of chunk 0. */
static void join_chunks(const egi_kernel *k)
{
    const forward *s = k->state;
    int64_t seen = 0;
    for (int64_t i = 0; i < EGI_CPU_CHUNKS; i++) {
        int64_t begin, end;
        egi_cpu_chunk(s->f.wide, i, &begin, &end);
        const int64_t n = (end - begin) * s->f.times + (i == EGI_CPU_CHUNKS - 1 ? s->f.rest : 0);
        double *to = moments_of(k, 0), *from = moments_of(k, i);
        if (n > 0 && i > 0)
            egi_fold_join(s->f.c, seen, to, to + s->f.c, n, from, from + s->f.c);
        seen += n;
    }
}

static void move(const egi_tensor *t, int64_t j, double momentum, double value)
{
    egi_set(t, j, egi_get(t, j) * momentum + value * (1 - momentum));
}

static eg_status run_train(const egi_kernel *k, const egi_control *control)
{
    const egi_batchnorm *a = k->args;
    const forward *s = k->state;
    egi_cpu_split(k, control, EGI_CPU_CHUNKS, s->f.rows * s->f.c / EGI_CPU_CHUNKS, moments_part);
    join_chunks(k);
    const double n = (double)s->f.rows, *mean = moments_of(k, 0), *m2 = mean + s->f.c;
    for (int64_t j = 0; j < s->f.c; j++) {
        const double var = m2[j] / n, istd = 1 / sqrt(var + (double)a->epsilon);
        set_column(k, j, mean[j], istd);
        egi_set(&k->t[a->mean], j, mean[j]);
        egi_set(&k->t[a->istd], j, istd);
        move(&k->t[a->moving_mean], j, (double)a->momentum, mean[j]);
        move(&k->t[a->moving_var], j, (double)a->momentum, a->unbiased && n > 1 ? m2[j] / (n - 1) : var);
    }
    apply(k, control);
    return EG_OK;
}

static eg_status prepare(egi_device *device, egi_kernel *out, forward values, int64_t chunks)
{
    const egi_shape *x = &out->t[values.x].shape;
    if (!egi_cpu_is_f32(out) || egi_shape_count(x) == 0)
        return EGI_CPU_DECLINE;
    forward *s;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s));
    *s = values;
    s->f = egi_fold_make(egi_shape_span(x, 0, x->rank - 1), x->dim[x->rank - 1]);
    out->scratch_bytes = (size_t)(3 * s->f.width + 1) * sizeof(float) + (size_t)(chunks * 2 * s->f.c) * sizeof(double);
    return EG_OK;
}

eg_status egi_cpu_batchnorm(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm *a = out->args;
    out->run = run_train;
    return prepare(
        device, out,
        (forward){
            .x = a->x, .y = a->y, .gamma = a->gamma, .beta = a->beta, .r = a->r, .act = a->act, .alpha = a->alpha},
        EGI_CPU_CHUNKS);
}

eg_status egi_cpu_batchnorm_infer(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer *a = out->args;
    out->run = run_infer;
    return prepare(
        device, out,
        (forward){
            .x = a->x, .y = a->y, .gamma = a->gamma, .beta = a->beta, .r = a->r, .act = a->act, .alpha = a->alpha},
        0);
}
