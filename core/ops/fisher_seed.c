#include "core/ops/check.h"
#include "core/ops/loss.h"
#include "core/rng.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_fisher_seed *a = args;
    EG_TRY(egi_check_rank(p, "z", a->z, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->z);
    const egi_shape z = *egi_shape_of(p, a->z), n = EGI_SHAPE(z.dim[0]);
    if ((int)a->head < 0 || a->head > EGI_HEAD_LINEAR || (int)a->mode < 0 || a->mode > EGI_FISHER_EMPIRICAL)
        return egi_fail(EG_ERR_ARG, "head %d or mode %d is unknown", (int)a->head, (int)a->mode);
    if (a->mode == EGI_FISHER_EMPIRICAL) {
        if (a->head == EGI_HEAD_LINEAR ? a->targets == EGI_NONE : (a->labels == EGI_NONE) == (a->targets == EGI_NONE))
            return egi_fail(EG_ERR_ARG, "the empirical Fisher wants %s",
                            a->head == EGI_HEAD_LINEAR ? "targets" : "labels or targets, one of them");
    }
    EG_TRY(egi_check_may(p, "labels", a->labels, EGI_I32, n));
    EG_TRY(egi_check_may(p, "targets", a->targets, dtype, z));
    EG_TRY(egi_check_may(p, "weights", a->weights, dtype, n));
    return egi_check_is(p, "dz", a->dz, dtype, z);
}

typedef struct row_view {
    const egi_fisher_seed *a;
    const egi_tensor *t;
    const egi_control *control;
    int64_t i, classes;
} row_view;

static double logit(const row_view *r, int64_t k)
{
    return egi_get(&r->t[r->a->z], r->i * r->classes + k);
}

static void put(const row_view *r, int64_t k, double value)
{
    egi_set(&r->t[r->a->dz], r->i * r->classes + k, value);
}

/* What the data says of class k: targets, or labels as one-hot (a single output: the label itself). */
static double observed(const row_view *r, int64_t k)
{
    if (r->a->targets)
        return egi_get(&r->t[r->a->targets], r->i * r->classes + k);
    const double label = egi_get(&r->t[r->a->labels], r->i);
    return r->classes == 1 ? label : (double)(label == (double)k);
}

/* Draw k of a row: its own block, so that no draw depends on how rows are split into batches of a run. */
static egi_rng draw_at(const row_view *r, int64_t draws, int64_t k)
{
    egi_rng rng = egi_rng_make(r->control->seed, EGI_RNG_FISHER, (uint32_t)r->control->step);
    rng.index = (uint64_t)(r->i * draws + k);
    return rng;
}

/* softmax: p_k = exp(z_k - top) / sum */
static int64_t sample_class(const row_view *r, double top, double sum)
{
    egi_rng rng = draw_at(r, 1, 0);
    const double u = egi_rng_uniform64(&rng) * sum;
    double below = 0;
    for (int64_t k = 0; k < r->classes - 1; k++) {
        below += exp(logit(r, k) - top);
        if (u < below)
            return k;
    }
    return r->classes - 1;
}

static void softmax_row(const row_view *r)
{
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        top = fmax(top, logit(r, k));
    for (int64_t k = 0; k < r->classes; k++)
        sum += exp(logit(r, k) - top);
    const egi_fisher_mode mode = r->a->mode;
    const int64_t c = mode == EGI_FISHER_EXACT    ? r->control->fisher_class
                      : mode == EGI_FISHER_SAMPLE ? sample_class(r, top, sum)
                                                  : -1;
    const bool inside = c >= 0 && c < r->classes;
    const double factor = mode != EGI_FISHER_EXACT ? 1 : inside ? sqrt(exp(logit(r, c) - top) / sum) : 0;
    for (int64_t k = 0; k < r->classes; k++) {
        const double y = mode == EGI_FISHER_EMPIRICAL ? observed(r, k) : (double)(k == c);
        put(r, k, factor * (y - exp(logit(r, k) - top) / sum));
    }
}

static double sigmoid_seed(const row_view *r, int64_t k)
{
    const double p = 1 / (1 + exp(-logit(r, k)));
    if (r->a->mode == EGI_FISHER_EXACT)
        return k == r->control->fisher_class ? sqrt(p * (1 - p)) : 0;
    if (r->a->mode == EGI_FISHER_EMPIRICAL)
        return observed(r, k) - p;
    egi_rng rng = draw_at(r, r->classes, k);
    return (double)(egi_rng_uniform64(&rng) < p) - p;
}

static double linear_seed(const row_view *r, int64_t k)
{
    if (r->a->mode == EGI_FISHER_EXACT)
        return k == r->control->fisher_class;
    if (r->a->mode == EGI_FISHER_EMPIRICAL)
        return observed(r, k) - logit(r, k);
    egi_rng rng = draw_at(r, r->classes, k);
    return egi_rng_normal(&rng);
}

static bool counts(const row_view *r)
{
    if (r->a->weights && egi_get(&r->t[r->a->weights], r->i) == 0)
        return false;
    return r->a->mode != EGI_FISHER_EMPIRICAL || !r->a->labels || egi_get(&r->t[r->a->labels], r->i) >= 0;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    const egi_fisher_seed *a = args;
    row_view r = {.a = a, .t = t, .control = control, .classes = t[a->z].shape.dim[1]};
    const int64_t n = t[a->z].shape.dim[0];
    for (r.i = 0; r.i < n; r.i++) {
        if (counts(&r) && a->head == EGI_HEAD_SOFTMAX) {
            softmax_row(&r);
            continue;
        }
        for (int64_t k = 0; k < r.classes; k++)
            put(&r, k, !counts(&r) ? 0 : a->head == EGI_HEAD_SIGMOID ? sigmoid_seed(&r, k) : linear_seed(&r, k));
    }
}

#define CASE(h, m, absent, k)                                                                                  \
    {                                                                                                          \
        .args = &(const egi_fisher_seed){.head = EGI_HEAD_##h, .mode = EGI_FISHER_##m},                        \
        .in = {EGI_STATIC_SHAPE(23, k), EGI_STATIC_SHAPE(23), EGI_STATIC_SHAPE(23, k), EGI_STATIC_SHAPE(23)},  \
        .out = {EGI_STATIC_SHAPE(23, k)}, .in_absent = absent,                                                 \
        .fill = {EGI_FILL_NORMAL, EGI_FILL_LABELS, EGI_FILL_UNIT, EGI_FILL_POSITIVE}, .labels = k == 1 ? 2 : k \
    }
static const egi_op_case cases[] = {
    CASE(SOFTMAX, EXACT, 6, 7),     CASE(SOFTMAX, SAMPLE, 14, 7),   CASE(SOFTMAX, EMPIRICAL, 4, 7),
    CASE(SOFTMAX, EMPIRICAL, 2, 7), CASE(SIGMOID, EXACT, 14, 5),    CASE(SIGMOID, SAMPLE, 6, 5),
    CASE(SIGMOID, EMPIRICAL, 2, 5), CASE(SIGMOID, EMPIRICAL, 4, 1), CASE(LINEAR, EXACT, 6, 5),
    CASE(LINEAR, SAMPLE, 14, 5),    CASE(LINEAR, EMPIRICAL, 2, 5),  CASE(SOFTMAX, SAMPLE, 6, 70),
};

const egi_op egi_op_fisher_seed = {
    .name = "fisher_seed",
    .size = sizeof(egi_fisher_seed),
    .in = {EGI_FIELD(egi_fisher_seed, z), EGI_FIELD(egi_fisher_seed, labels), EGI_FIELD(egi_fisher_seed, targets),
           EGI_FIELD(egi_fisher_seed, weights)},
    .out = {EGI_FIELD(egi_fisher_seed, dz)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
