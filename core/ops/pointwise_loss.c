#include "core/ops/check.h"
#include "core/ops/loss.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_pointwise_loss *a = args;
    if ((int)a->kind < 0 || a->kind > EGI_LOSS_MAE)
        return egi_fail(EG_ERR_ARG, "kind: wanted 0 to %d, found %d", (int)EGI_LOSS_MAE, (int)a->kind);
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return egi_fail(EG_ERR_ARG, "label_smoothing: wanted 0 to 1, found %g", (double)a->label_smoothing);
    EG_TRY(egi_check_real(p, "y", a->y, 1));
    const egi_dtype dtype = egi_dtype_of(p, a->y);
    const egi_shape y = *egi_shape_of(p, a->y);
    if (egi_shape_count(&y) < 1)
        return egi_fail(EG_ERR_SHAPE, "y: wanted at least one element, found %s", egi_shape_format(&y).s);
    EG_TRY(egi_check_is(p, "targets", a->targets, dtype, y));
    EG_TRY(egi_check_may(p, "weights", a->weights, dtype, EGI_SHAPE(y.dim[0])));
    EG_TRY(egi_check_is(p, "loss", a->loss, dtype, EGI_SCALAR));
    EG_TRY(egi_check_may(p, "dy", a->dy, dtype, y));
    return egi_check_may(p, "correct", a->correct, dtype, EGI_SCALAR);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    (void)p;
    const egi_pointwise_loss *a = args;
    if (!egi_grad_wanted(g, a->y))
        return EG_OK;
    if (a->dy == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "pointwise_loss: dy: wanted by the backward pass, found none");
    egi_grad_pass(g, a->y, a->dy);
    return EG_OK;
}

/* Loss of one element and its slope in y. */
static double element(egi_pointwise_kind kind, double y, double t, double *slope)
{
    switch (kind) {
    case EGI_LOSS_BCE_LOGITS:
        *slope = 1 / (1 + exp(-y)) - t;
        return fmax(y, 0) - y * t + log1p(exp(-fabs(y)));
    case EGI_LOSS_BCE: {
        const double eps = 1e-7, q = y < eps ? eps : y > 1 - eps ? 1 - eps : y;
        *slope = q != y ? 0 : (q - t) / (q * (1 - q));
        return -(t * log(q) + (1 - t) * log(1 - q));
    }
    case EGI_LOSS_MSE:
        *slope = 2 * (y - t);
        return (y - t) * (y - t);
    default:
        *slope = (y > t) - (y < t);
        return fabs(y - t);
    }
}

static bool agrees(egi_pointwise_kind kind, double y, double t)
{
    return (y > (kind == EGI_LOSS_BCE_LOGITS ? 0 : 0.5)) == (t > 0.5);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_pointwise_loss *a = args;
    const int64_t n = t[a->y].shape.dim[0], k = egi_count(&t[a->y]) / n;
    const double smoothing = a->kind <= EGI_LOSS_BCE ? (double)a->label_smoothing : 0;
    double loss = 0, correct = 0;
    for (int64_t i = 0; i < n; i++) {
        const double weight = a->weights ? egi_get(&t[a->weights], i) : 1;
        const double factor = (double)a->scale / (double)n * weight / (double)k;
        int64_t hits = 0;
        for (int64_t j = i * k; j < i * k + k; j++) {
            double slope = 0;
            if (weight != 0) {
                const double target = egi_get(&t[a->targets], j), y = egi_get(&t[a->y], j);
                loss += factor * element(a->kind, y, target * (1 - smoothing) + smoothing / 2, &slope);
                hits += agrees(a->kind, y, target);
            }
            if (a->dy)
                egi_set(&t[a->dy], j, weight != 0 ? factor * slope : 0);
        }
        if (weight > 0)
            correct += (double)hits / (double)k;
    }
    egi_set(&t[a->loss], 0, loss);
    if (a->correct)
        egi_set(&t[a->correct], 0, correct);
}

#define CASE(which, smooth, how, absent, unwanted, n, ...)                                                          \
    {                                                                                                               \
        .args = &(const egi_pointwise_loss){.kind = EGI_LOSS_##which, .scale = 0.7f, .label_smoothing = smooth},    \
        .in = {EGI_STATIC_SHAPE(n, __VA_ARGS__), EGI_STATIC_SHAPE(n, __VA_ARGS__), EGI_STATIC_SHAPE(n)},            \
        .out = {{0}, EGI_STATIC_SHAPE(n, __VA_ARGS__), {0}}, .in_absent = absent, .out_absent = unwanted, .fill = { \
            how,                                                                                                    \
            EGI_FILL_UNIT,                                                                                          \
            EGI_FILL_POSITIVE                                                                                       \
        }                                                                                                           \
    }
static const egi_op_case cases[] = {
    CASE(BCE_LOGITS, 0, EGI_FILL_NORMAL, 1 << 2, 0, 17, 5),
    CASE(BCE_LOGITS, 0.1f, EGI_FILL_NORMAL, 0, 0, 9, 1),
    CASE(BCE, 0, EGI_FILL_UNIT, 0, 0, 17, 5),
    CASE(BCE, 0.1f, EGI_FILL_UNIT, 1 << 2, 4, 9, 3),
    CASE(MSE, 0, EGI_FILL_NORMAL, 0, 0, 17, 5),
    CASE(MSE, 0, EGI_FILL_NORMAL, 1 << 2, 2, 6, 3, 4),
    CASE(MAE, 0, EGI_FILL_NORMAL, 0, 0, 17, 5),
    CASE(MAE, 0, EGI_FILL_NORMAL, 1 << 2, 0, 130, 331),
    CASE(MSE, 0, EGI_FILL_NORMAL, 1 << 2, 0, 130, 331),
    CASE(BCE_LOGITS, 0, EGI_FILL_NORMAL, 0, 0, 130, 331),
};

const egi_op egi_op_pointwise_loss = {
    .name = "pointwise_loss",
    .size = sizeof(egi_pointwise_loss),
    .in = {EGI_FIELD(egi_pointwise_loss, y), EGI_FIELD(egi_pointwise_loss, targets),
           EGI_FIELD(egi_pointwise_loss, weights)},
    .out = {EGI_FIELD(egi_pointwise_loss, loss), EGI_FIELD(egi_pointwise_loss, dy),
            EGI_FIELD(egi_pointwise_loss, correct)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
