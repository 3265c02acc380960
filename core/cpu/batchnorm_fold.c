/* The folded weights outlive a run: they are computed anew only when parameters changed. */
#include "core/cpu/cpu.h"
#include "core/ops/batchnorm.h"

#include <math.h>

typedef struct folded {
    int64_t version;
} folded;

static inline EGI_SIMD_BODY void scale_rows_body(const float *w, const float *scale, int64_t rows, int64_t c, float *fw)
{
    for (int64_t i = 0; i < rows; i++, w += c, fw += c)
#pragma omp simd
        for (int64_t j = 0; j < c; j++)
            fw[j] = w[j] * scale[j];
}
EGI_SIMD(scale_rows, (const float *w, const float *scale, int64_t rows, int64_t c, float *fw), (w, scale, rows, c, fw))

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const egi_batchnorm_fold *a = k->args;
    const egi_tensor *t = k->t, *w = &t[a->w];
    folded *s = k->state;
    if (s->version == control->weights_version)
        return EG_OK;
    float *scale = k->scratch;
    const int64_t c = w->shape.dim[w->shape.rank - 1];
    for (int64_t j = 0; j < c; j++) {
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1, beta = a->beta ? egi_get(&t[a->beta], j) : 0;
        const double by = gamma / sqrt(egi_get(&t[a->var], j) + (double)a->epsilon);
        scale[j] = (float)by;
        egi_set(&t[a->fb], j, beta + ((a->b ? egi_get(&t[a->b], j) : 0) - egi_get(&t[a->mean], j)) * by);
    }
    scale_rows(w->data, scale, egi_shape_span(&w->shape, 0, w->shape.rank - 1), c, t[a->fw].data);
    s->version = control->weights_version;
    return EG_OK;
}

eg_status egi_cpu_batchnorm_fold(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_fold *a = out->args;
    folded *s;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    EG_TRY(egi_cpu_state(&s, device, out, sizeof *s));
    s->version = -1; /* of no weights */
    out->scratch_bytes = (size_t)egi_count(&out->t[a->fb]) * sizeof(float);
    out->run = run;
    return EG_OK;
}
