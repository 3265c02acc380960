#include "core/ops/batchnorm.h"

#include "core/ops/batchnorm_cases.h"
#include "core/ops/check.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm *a = args;
    EG_TRY(egi_check_fused(a->act, (double)a->alpha));
    EG_TRY(egi_check_real(p, "x", a->x, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    const egi_shape *x = egi_shape_of(p, a->x), c = EGI_SHAPE(egi_dim(p, a->x, -1));
    if (egi_shape_span(x, 0, x->rank - 1) < 1)
        return egi_fail(EG_ERR_SHAPE, "x: no rows to take statistics of in %s", egi_shape_format(x).s);
    EG_TRY(egi_check_may(p, "gamma", a->gamma, dtype, c));
    EG_TRY(egi_check_may(p, "beta", a->beta, dtype, c));
    EG_TRY(egi_check_is(p, "moving_mean", a->moving_mean, dtype, c));
    EG_TRY(egi_check_is(p, "moving_var", a->moving_var, dtype, c));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "istd", a->istd, dtype, c));
    EG_TRY(egi_check_may(p, "r", a->r, dtype, *x));
    return egi_check_is(p, "y", a->y, dtype, *x);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_batchnorm *a = args;
    if (!egi_grad_wanted(g, a->x) && !egi_grad_wanted(g, a->gamma) && !egi_grad_wanted(g, a->beta))
        return egi_grad_fused_residual(p, g, a->y, a->r, a->act, a->alpha);
    const egi_val dy = egi_grad_of(g, a->y);
    const egi_val dr = egi_grad_wanted(g, a->r) && a->act != EGI_ACT_LINEAR ? egi_temp_like(p, dy) : EGI_NONE;
    EG_TRY(EGI_EMIT(p, batchnorm_grad, .dy = dy, .x = a->x, .gamma = a->gamma, .mean = a->mean, .istd = a->istd,
                    .y = a->act == EGI_ACT_LINEAR ? EGI_NONE : a->y, .dx = egi_grad_maybe(g, a->x),
                    .dgamma = egi_grad_maybe(g, a->gamma), .dbeta = egi_grad_maybe(g, a->beta), .dr = dr, .act = a->act,
                    .alpha = a->alpha));
    if (egi_grad_wanted(g, a->r))
        egi_grad_pass(g, a->r, dr ? dr : dy);
    return p->status;
}

static void move(const egi_tensor *t, int64_t j, double momentum, double value)
{
    egi_set(t, j, egi_get(t, j) * momentum + value * (1 - momentum));
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm *a = args;
    const egi_act_args act = {.alpha = (double)a->alpha, .max_value = -1};
    const int64_t n = egi_rows(&t[a->x]), c = egi_columns(&t[a->x]);
    const double momentum = (double)a->momentum;
    for (int64_t j = 0; j < c; j++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < n; i++)
            mean += egi_get(&t[a->x], i * c + j);
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) {
            const double d = egi_get(&t[a->x], i * c + j) - mean;
            var += d * d;
        }
        var /= (double)n;
        const double istd = 1 / sqrt(var + (double)a->epsilon);
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1, beta = a->beta ? egi_get(&t[a->beta], j) : 0;
        for (int64_t i = 0; i < n; i++) {
            const double r = a->r ? egi_get(&t[a->r], i * c + j) : 0;
            const double z = gamma * (egi_get(&t[a->x], i * c + j) - mean) * istd + beta + r;
            egi_set(&t[a->y], i * c + j, egi_act_value(a->act, &act, z));
        }
        egi_set(&t[a->mean], j, mean);
        egi_set(&t[a->istd], j, istd);
        move(&t[a->moving_mean], j, momentum, mean);
        move(&t[a->moving_var], j, momentum, a->unbiased && n > 1 ? var * (double)n / (double)(n - 1) : var);
    }
}

#define FUSED(kind, slope, absent, bessel, c, ...)                                                               \
    {                                                                                                            \
        .args =                                                                                                  \
            &(const egi_batchnorm){                                                                              \
                .epsilon = 1e-3f, .momentum = 0.9f, .unbiased = bessel, .act = EGI_ACT_##kind, .alpha = slope},  \
        .in = EGI_BATCHNORM_IN(c, __VA_ARGS__),                                                                  \
        .out = {EGI_STATIC_SHAPE(__VA_ARGS__, c), EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(c), EGI_STATIC_SHAPE(c), \
                EGI_STATIC_SHAPE(c)},                                                                            \
        .in_absent = absent, .fill = EGI_BATCHNORM_FILL                                                          \
    }
#define NO_R                         (1 << 5)
#define CASE(absent, bessel, c, ...) FUSED(LINEAR, 0, NO_R | (absent), bessel, c, __VA_ARGS__)
static const egi_op_case cases[] = {
    CASE(0, false, 5, 4, 3, 3),
    CASE(0, true, 5, 4, 3, 3),
    CASE(1 << 1, false, 3, 11),
    CASE(1 << 2, false, 17, 6, 2),
    CASE(3 << 1, false, 1, 7),
    CASE(0, true, 4, 1),
    CASE(0, false, 130, 9),
    CASE(0, false, 16, 32, 12, 11),
    CASE(0, false, 3, 13, 17, 19),
    FUSED(RELU, 0, NO_R, false, 5, 4, 3, 3),
    FUSED(RELU6, 0, NO_R, true, 17, 6, 2),
    FUSED(SIGMOID, 0, NO_R | 1 << 1, false, 3, 11),
    FUSED(TANH, 0, 0, false, 7, 9),
    FUSED(LEAKY_RELU, 0.2f, 0, false, 130, 9),
    FUSED(LINEAR, 0, 0, false, 5, 4, 3, 3),
    FUSED(RELU, 0, 3 << 1, false, 1, 7),
    FUSED(RELU, 0, 0, false, 4, 1),
    FUSED(RELU, 0, NO_R, false, 16, 32, 12, 11),
    FUSED(RELU, 0, 0, true, 3, 13, 17, 19),
};

const egi_op egi_op_batchnorm = {
    .name = "batchnorm",
    .size = sizeof(egi_batchnorm),
    .in = {EGI_FIELD(egi_batchnorm, x), EGI_FIELD(egi_batchnorm, gamma), EGI_FIELD(egi_batchnorm, beta),
           EGI_FIELD(egi_batchnorm, moving_mean), EGI_FIELD(egi_batchnorm, moving_var), EGI_FIELD(egi_batchnorm, r)},
    .out = {EGI_FIELD(egi_batchnorm, y), EGI_FIELD(egi_batchnorm, mean), EGI_FIELD(egi_batchnorm, istd),
            EGI_FIELD(egi_batchnorm, moving_mean), EGI_FIELD(egi_batchnorm, moving_var)},
    .over = {EGI_OVER(egi_batchnorm, y, x), EGI_OVER(egi_batchnorm, y, r)},
    .check = check,
    .grad = grad,
    .reference = reference,
    .varies = true,
    EGI_CASES(cases),
};
