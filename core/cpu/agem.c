/* A-GEM over the arena of gradients. */
#include "core/cpu/parallel.h"
#include "core/ops/update.h"

#include <string.h>

/* --- dot ---------------------------------------------------------------------------------------------------------- */

static inline EGI_SIMD_BODY void products_body(const float *x, const float *y, int64_t n, double *sums)
{
    double xy = 0, yy = 0;
#pragma omp simd reduction(+ : xy, yy)
    for (int64_t i = 0; i < n; i++) {
        xy += (double)x[i] * (double)y[i];
        yy += (double)y[i] * (double)y[i];
    }
    sums[0] = xy;
    sums[1] = yy;
}
EGI_SIMD(products, (const float *x, const float *y, int64_t n, double *sums), (x, y, n, sums))

static void chunk(void *arg, int64_t i, int thread)
{
    (void)thread;
    const egi_kernel *k = arg;
    const egi_dot *a = k->args;
    int64_t begin, end;
    egi_cpu_chunk(egi_count(&k->t[a->x]), i, &begin, &end);
    products((const float *)k->t[a->x].data + begin, (const float *)k->t[a->y].data + begin, end - begin,
             (double *)k->scratch + 2 * i);
}

static eg_status run_dot(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const double *part = k->scratch;
    double *sums = k->t[((const egi_dot *)k->args)->sums].data;
    egi_cpu_run(k, EGI_CPU_CHUNKS, chunk, (void *)k);
    sums[0] = sums[1] = 0;
    for (int i = 0; i < EGI_CPU_CHUNKS; i++) {
        sums[0] += part[2 * i];
        sums[1] += part[2 * i + 1];
    }
    return EG_OK;
}

eg_status egi_cpu_dot(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (out->t[((const egi_dot *)out->args)->x].dtype != EGI_F32)
        return EGI_CPU_DECLINE;
    out->run = run_dot;
    out->scratch_bytes = 2 * EGI_CPU_CHUNKS * sizeof(double);
    return EG_OK;
}

/* --- projection --------------------------------------------------------------------------------------------------- */

static inline EGI_SIMD_BODY void project_body(const float *g, const float *ref, float share, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = g[i] - share * ref[i];
}
EGI_SIMD(project, (const float *g, const float *ref, float share, float *y, int64_t n), (g, ref, share, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    (void)control;
    const egi_agem_project *a = k->args;
    const double share = egi_agem_share(k->t[a->sums].data);
    const float *g = (const float *)k->t[a->g].data + begin, *ref = (const float *)k->t[a->ref].data + begin;
    float *y = (float *)k->t[a->y].data + begin;
    if (share != 0)
        project(g, ref, (float)share, y, end - begin);
    else if (y != g)
        memcpy(y, g, (size_t)(end - begin) * sizeof *y);
}

static eg_status run_project(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_agem_project *)k->args)->g]), 1, part);
    return EG_OK;
}

eg_status egi_cpu_agem_project(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (out->t[((const egi_agem_project *)out->args)->g].dtype != EGI_F32)
        return EGI_CPU_DECLINE;
    out->run = run_project;
    return EG_OK;
}
