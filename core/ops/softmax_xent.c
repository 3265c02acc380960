#include "core/ops/check.h"
#include "core/ops/loss.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_softmax_xent *a = args;
    EG_TRY(egi_check_rank(p, "z", a->z, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->z);
    const egi_shape z = *egi_shape_of(p, a->z), n = EGI_SHAPE(z.dim[0]);
    if ((a->labels == EGI_NONE) == (a->targets == EGI_NONE))
        return egi_fail(EG_ERR_ARG, "wanted labels or targets, found %s", a->labels == EGI_NONE ? "neither" : "both");
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return egi_fail(EG_ERR_ARG, "label_smoothing: wanted 0 to 1, found %g", (double)a->label_smoothing);
    if (z.dim[0] < 1 || z.dim[1] < 1)
        return egi_fail(EG_ERR_SHAPE, "z: wanted at least one row and one class, found %s", egi_shape_format(&z).s);
    EG_TRY(egi_check_may(p, "labels", a->labels, EGI_I32, n));
    EG_TRY(egi_check_may(p, "targets", a->targets, dtype, z));
    EG_TRY(egi_check_may(p, "weights", a->weights, dtype, n));
    EG_TRY(egi_check_is(p, "loss", a->loss, dtype, EGI_SCALAR));
    EG_TRY(egi_check_may(p, "dz", a->dz, dtype, z));
    return egi_check_may(p, "correct", a->correct, dtype, EGI_SCALAR);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    (void)p;
    const egi_softmax_xent *a = args;
    if (!egi_grad_wanted(g, a->z))
        return EG_OK;
    if (a->dz == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "softmax_xent: dz: wanted by the backward pass, found none");
    egi_grad_pass(g, a->z, a->dz);
    return EG_OK;
}

/* Target of class k before smoothing. */
static double raw_target(const egi_softmax_xent *a, const egi_tensor *t, int64_t i, int64_t k, int64_t classes)
{
    if (a->targets)
        return egi_get(&t[a->targets], i * classes + k);
    return (double)(egi_get(&t[a->labels], i) == (double)k);
}

/* One counted row: its loss; *hit: is the largest z the largest target? dz is scaled by `factor`. */
static double row(const egi_softmax_xent *a, const egi_tensor *t, int64_t i, int64_t classes, double factor, bool *hit)
{
    const double smoothing = (double)a->label_smoothing, spread = smoothing / (double)classes;
    const double nan_outside = a->labels && egi_get(&t[a->labels], i) >= (double)classes ? NAN : 0;
    const int64_t at = i * classes;
    int64_t best = 0, wanted = 0;
    for (int64_t k = 1; k < classes; k++) {
        if (egi_get(&t[a->z], at + k) > egi_get(&t[a->z], at + best))
            best = k;
        if (raw_target(a, t, i, k, classes) > raw_target(a, t, i, wanted, classes))
            wanted = k;
    }
    const double top = egi_get(&t[a->z], at + best);
    double sum = nan_outside, loss = 0, total = 0;
    for (int64_t k = 0; k < classes; k++)
        sum += exp(egi_get(&t[a->z], at + k) - top);
    for (int64_t k = 0; k < classes; k++) {
        const double target = raw_target(a, t, i, k, classes) * (1 - smoothing) + spread;
        total += target;
        if (target != 0) /* 0 log 0 is 0 */
            loss -= target * (egi_get(&t[a->z], at + k) - top - log(sum));
    }
    for (int64_t k = 0; a->dz && k < classes; k++) {
        const double target = raw_target(a, t, i, k, classes) * (1 - smoothing) + spread;
        egi_set(&t[a->dz], at + k, factor * (total * exp(egi_get(&t[a->z], at + k) - top) / sum - target));
    }
    *hit = best == wanted && nan_outside == 0;
    return loss + nan_outside;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_softmax_xent *a = args;
    const int64_t n = t[a->z].shape.dim[0], classes = t[a->z].shape.dim[1];
    double loss = 0, correct = 0;
    for (int64_t i = 0; i < n; i++) {
        const double weight = a->weights ? egi_get(&t[a->weights], i) : 1;
        if (weight == 0 || (a->labels && egi_get(&t[a->labels], i) < 0)) {
            for (int64_t k = 0; a->dz && k < classes; k++)
                egi_set(&t[a->dz], i * classes + k, 0);
            continue;
        }
        const double factor = (double)a->scale / (double)n * weight;
        bool hit;
        loss += factor * row(a, t, i, classes, factor, &hit);
        correct += hit && weight > 0;
    }
    egi_set(&t[a->loss], 0, loss);
    if (a->correct)
        egi_set(&t[a->correct], 0, correct);
}

/* The first class of the labels' cases is frequent enough that `correct` is not 0. */
#define CASE(smooth, absent, unwanted, n, k)                                                              \
    {                                                                                                     \
        .args = &(const egi_softmax_xent){.scale = 1.5f, .label_smoothing = smooth},                      \
        .in = {EGI_STATIC_SHAPE(n, k), EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(n, k), EGI_STATIC_SHAPE(n)}, \
        .out = {{0}, EGI_STATIC_SHAPE(n, k), {0}}, .in_absent = absent, .out_absent = unwanted,           \
        .fill = {EGI_FILL_NORMAL, EGI_FILL_LABELS, EGI_FILL_ONEHOT, EGI_FILL_POSITIVE}, .labels = k       \
    }
static const egi_op_case cases[] = {
    CASE(0, 1 << 2 | 1 << 3, 0, 33, 10),
    CASE(0.1f, 1 << 2, 0, 33, 7),
    CASE(0, 1 << 1, 0, 33, 3),
    CASE(0.2f, 1 << 1 | 1 << 3, 0, 65, 2),
    CASE(0, 1 << 2, 2, 40, 5),
    CASE(0, 1 << 2, 4, 1, 1000),
    CASE(0, 1 << 2, 0, 4001, 17),
    CASE(0.1f, 1 << 1, 4, 3, 1500),
    CASE(0.1f, 1 << 2, 4, 9, 1500),
    /* targets that do not sum to 1 */
    {.args = &(const egi_softmax_xent){.scale = 1},
     .in = {EGI_STATIC_SHAPE(29, 6), EGI_STATIC_SHAPE(29), EGI_STATIC_SHAPE(29, 6), EGI_STATIC_SHAPE(29)},
     .out = {{0}, EGI_STATIC_SHAPE(29, 6), {0}},
     .in_absent = 1 << 1,
     .fill = {EGI_FILL_NORMAL, EGI_FILL_LABELS, EGI_FILL_UNIT, EGI_FILL_UNIT}},
};

const egi_op egi_op_softmax_xent = {
    .name = "softmax_xent",
    .size = sizeof(egi_softmax_xent),
    .in = {EGI_FIELD(egi_softmax_xent, z), EGI_FIELD(egi_softmax_xent, labels), EGI_FIELD(egi_softmax_xent, targets),
           EGI_FIELD(egi_softmax_xent, weights)},
    .out = {EGI_FIELD(egi_softmax_xent, loss), EGI_FIELD(egi_softmax_xent, dz), EGI_FIELD(egi_softmax_xent, correct)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
