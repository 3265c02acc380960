/** core/cpu/update.h: the walk over the arena that optimizers share. An optimizer is one inlined step on one element;
 * the walk around it is compiled once a set of penalties, so that nobody pays for streams that are not there. */
#ifndef EGI_CPU_UPDATE_H
#define EGI_CPU_UPDATE_H

#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/update.h"

/** Elements a piece: all streams of a piece fit the second-level cache. Pieces are the unit of threads and of partial
 * sums. */
#define EGI_UPDATE_PIECE 4096

/** A piece of a segment: where its streams begin. */
typedef struct egi_update_span {
    float *w, *m, *v;
    const float *grad, *anchor, *omega;
    int64_t n;
} egi_update_span;

/** What is constant over a piece. */
typedef struct egi_update_factors {
    float l1, l2, strength; /* penalties */
    float clip, decay;      /* factor of g; share of w that decoupled decay takes */
    float lr, momentum, one_minus_beta1, one_minus_beta2, alpha, epsilon, rho, one_minus_rho;
} egi_update_factors;

typedef struct egi_update_element {
    float w, m, v;
} egi_update_element;

/** Does a piece: `penalties` is a sum of the bits below; *sum: the penalty, or the squared norm. */
enum { EGI_UPDATE_WEIGHTS = 1, EGI_UPDATE_ANCHOR = 2, EGI_UPDATE_PENALTY = 4 };
typedef void (*egi_update_kernel)(const egi_update_span *s, const egi_update_factors *f, int penalties, double *sum);

/** Prepares a kernel that cuts the segments into pieces and runs `run_piece` on them; `out` gets the sum of their sums.
 */
eg_status egi_update_prepare(egi_device *device, egi_kernel *out, egi_update_kernel run_piece);

/** The gradient with its penalties. */
EGI_V float egi_update_g(const egi_update_span *s, const egi_update_factors *f, int64_t i, bool weights, bool anchor)
{
    const float w = s->w[i];
    float g = s->grad[i];
    if (weights)
        g += (w > 0 ? f->l1 : w < 0 ? -f->l1 : 0) + 2 * f->l2 * w;
    if (anchor)
        g += f->strength * (s->omega[i] * (w - s->anchor[i]));
    return g;
}

EGI_V void egi_update_walk(egi_update_element (*step)(const egi_update_factors *, egi_update_element, float),
                           bool has_m, bool has_v, const egi_update_span *span, const egi_update_factors *factors,
                           bool weights, bool anchor, bool penalty, double *sum)
{
    const egi_update_span s = *span;
    const egi_update_factors f = *factors;
    float lengths = 0, squares = 0, away = 0;
#pragma omp simd reduction(+ : lengths, squares, away)
    for (int64_t i = 0; i < s.n; i++) {
        const float w = s.w[i], g = f.clip * egi_update_g(&s, &f, i, weights, anchor);
        if (penalty && weights) {
            lengths += fabsf(w);
            squares += w * w;
        }
        if (penalty && anchor)
            away += s.omega[i] * (w - s.anchor[i]) * (w - s.anchor[i]);
        egi_update_element e = {.w = w - f.decay * w, .m = has_m ? s.m[i] : 0, .v = has_v ? s.v[i] : 0};
        e = step(&f, e, g);
        s.w[i] = e.w;
        if (has_m)
            s.m[i] = e.m;
        if (has_v)
            s.v[i] = e.v;
    }
    *sum = (double)f.l1 * (double)lengths + (double)f.l2 * (double)squares + (double)f.strength / 2 * (double)away;
}

/** EGI_UPDATE_KERNEL(name, step, has_m, has_v): makes the egi_update_kernel `name` of an inlined step. */
#define EGI_UPDATE_VARIANT(step, has_m, has_v, bits)                                            \
    case bits:                                                                                  \
        egi_update_walk(step, has_m, has_v, s, f, (bits)&1, (bits) >> 1 & 1, (bits) >> 2, sum); \
        break;
#define EGI_UPDATE_KERNEL(name, step, has_m, has_v)                                                                    \
    static inline EGI_SIMD_BODY void name##_body(const egi_update_span *s, const egi_update_factors *f, int penalties, \
                                                 double *sum)                                                          \
    {                                                                                                                  \
        switch (penalties) {                                                                                           \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 0)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 1)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 2)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 3)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 5)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 6)                                                                  \
            EGI_UPDATE_VARIANT(step, has_m, has_v, 7)                                                                  \
        }                                                                                                              \
    }                                                                                                                  \
    EGI_SIMD(name, (const egi_update_span *s, const egi_update_factors *f, int penalties, double *sum),                \
             (s, f, penalties, sum))

#endif
