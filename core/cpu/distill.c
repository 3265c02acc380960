#include "core/cpu/loss.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/loss.h"

#include <string.h>

#define SPAN                                                                                                \
    256 /* columns that are added up in f32; sums of spans are added in f64, so many classes cost no digits \
         */

/* A row: what z and the teacher say of the old classes. */
typedef struct row_of {
    const float *z, *teacher;
    float *dz; /* NULL: not wanted */
    int64_t n;
    float cool; /* 1 / temperature */
} row_of;

/* Largest logits; sums of exponentials; sum of the teacher's exponentials times how much further z lies below its
 * largest than the teacher below its own. */
typedef struct facts {
    float top, teacher_top;
    double sum, teacher_sum, away;
} facts;

static inline EGI_SIMD_BODY float largest(const float *x, int64_t n)
{
    float top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t k = 0; k < n; k++)
        top = x[k] > top ? x[k] : top;
    return top;
}

static inline EGI_SIMD_BODY void look_body(const row_of *row, facts *out)
{
    const row_of r = *row;
    facts f = {.top = largest(r.z, r.n), .teacher_top = largest(r.teacher, r.n)};
    for (int64_t begin = 0; begin < r.n; begin += SPAN) {
        const int64_t end = begin + SPAN < r.n ? begin + SPAN : r.n;
        float sum = 0, teacher_sum = 0, away = 0;
#pragma omp simd reduction(+ : sum, teacher_sum, away)
        for (int64_t k = begin; k < end; k++) {
            const float below = (r.z[k] - f.top) * r.cool, teacher_below = (r.teacher[k] - f.teacher_top) * r.cool;
            const float share = egi_v_exp(teacher_below);
            sum += egi_v_exp(below);
            teacher_sum += share;
            away += share != 0 ? share * (teacher_below - below) : 0; /* 0 log 0 is 0 */
        }
        f.sum += (double)sum;
        f.teacher_sum += (double)teacher_sum;
        f.away += (double)away;
    }
    *out = f;
}
EGI_SIMD(look, (const row_of *row, facts *out), (row, out))

static inline EGI_SIMD_BODY void differentiate_body(const row_of *row, const facts *f, float factor)
{
    const row_of r = *row;
    const float share = factor / (float)f->sum, teacher_share = factor / (float)f->teacher_sum;
    const float top = f->top, teacher_top = f->teacher_top;
#pragma omp simd
    for (int64_t k = 0; k < r.n; k++)
        r.dz[k] = share * egi_v_exp((r.z[k] - top) * r.cool) -
                  teacher_share * egi_v_exp((r.teacher[k] - teacher_top) * r.cool);
}
EGI_SIMD(differentiate, (const row_of *row, const facts *f, float factor), (row, f, factor))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_distill *a = k->args;
    const int64_t n = k->t[a->z].shape.dim[0], columns = k->t[a->z].shape.dim[1], old = k->t[a->teacher].shape.dim[1];
    const float *weights = k->t[a->weights].data; /* NULL of EGI_NONE */
    for (int64_t i = begin; i < end; i++) {
        const double factor = (double)a->scale / (double)n * (weights ? (double)weights[i] : 1);
        float *dz = a->dz ? (float *)k->t[a->dz].data + i * columns : NULL;
        const row_of r = {.z = (const float *)k->t[a->z].data + i * columns + a->begin,
                          .teacher = (const float *)k->t[a->teacher].data + i * old,
                          .dz = dz ? dz + a->begin : NULL,
                          .n = old,
                          .cool = 1 / a->temperature};
        facts f;
        if (dz)
            memset(dz, 0, (size_t)columns * sizeof *dz);
        egi_cpu_row(k, i)[0] = egi_cpu_row(k, i)[1] = 0;
        if (weights && weights[i] == 0)
            continue;
        look(&r, &f);
        egi_cpu_row(k, i)[0] = factor * (f.away / f.teacher_sum + log(f.sum) - log(f.teacher_sum));
        if (dz)
            differentiate(&r, &f, (float)factor * r.cool);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const egi_distill *a = k->args;
    const int64_t n = k->t[a->z].shape.dim[0];
    egi_cpu_split(k, control, n, 8 * k->t[a->z].shape.dim[1], part);
    egi_cpu_sum_rows(k, n, a->loss, EGI_NONE);
    return EG_OK;
}

eg_status egi_cpu_distill(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    out->scratch_bytes = (size_t)out->t[((const egi_distill *)out->args)->z].shape.dim[0] * 2 * sizeof(double);
    return EG_OK;
}
