#include "core/ops/batchnorm_cases.h"
#include "core/ops/check.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm_infer *a = args;
    EG_TRY(egi_check_fused(a->act, (double)a->alpha));
    EG_TRY(egi_check_real(p, "x", a->x, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    const egi_shape c = EGI_SHAPE(egi_dim(p, a->x, -1));
    EG_TRY(egi_check_may(p, "gamma", a->gamma, dtype, c));
    EG_TRY(egi_check_may(p, "beta", a->beta, dtype, c));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "var", a->var, dtype, c));
    EG_TRY(egi_check_may(p, "r", a->r, dtype, *egi_shape_of(p, a->x)));
    return egi_check_like(p, "y", a->y, a->x);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_batchnorm_infer *a = args;
    if (!egi_grad_wanted(g, a->x) && !egi_grad_wanted(g, a->gamma) && !egi_grad_wanted(g, a->beta))
        return egi_grad_fused_residual(p, g, a->y, a->r, a->act, a->alpha);
    const egi_val dy = egi_grad_of(g, a->y);
    const egi_val dr = egi_grad_wanted(g, a->r) && a->act != EGI_ACT_LINEAR ? egi_temp_like(p, dy) : EGI_NONE;
    EG_TRY(EGI_EMIT(p, batchnorm_infer_grad, .dy = dy, .x = a->x, .gamma = a->gamma, .mean = a->mean, .var = a->var,
                    .y = a->act == EGI_ACT_LINEAR ? EGI_NONE : a->y, .dx = egi_grad_maybe(g, a->x),
                    .dgamma = egi_grad_maybe(g, a->gamma), .dbeta = egi_grad_maybe(g, a->beta), .dr = dr,
                    .epsilon = a->epsilon, .act = a->act, .alpha = a->alpha));
    if (egi_grad_wanted(g, a->r))
        egi_grad_pass(g, a->r, dr ? dr : dy);
    return p->status;
}

static eg_status square(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_batchnorm_infer *a = args;
    const egi_val fgamma = egi_square_of(g, a->gamma), fbeta = egi_square_of(g, a->beta);
    if (fgamma == EGI_NONE && fbeta == EGI_NONE)
        return EG_OK;
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    return EGI_EMIT(p, batchnorm_infer_square, .dy = dz, .x = a->x, .mean = a->mean, .var = a->var, .fgamma = fgamma,
                    .fbeta = fbeta, .epsilon = a->epsilon);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm_infer *a = args;
    const egi_act_args k = {.alpha = (double)a->alpha, .max_value = -1};
    const int64_t n = egi_rows(&t[a->x]), c = egi_columns(&t[a->x]);
    for (int64_t j = 0; j < c; j++) {
        const double mean = egi_get(&t[a->mean], j), istd = 1 / sqrt(egi_get(&t[a->var], j) + (double)a->epsilon);
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1, beta = a->beta ? egi_get(&t[a->beta], j) : 0;
        for (int64_t i = 0; i < n; i++) {
            const double r = a->r ? egi_get(&t[a->r], i * c + j) : 0;
            const double z = gamma * (egi_get(&t[a->x], i * c + j) - mean) * istd + beta + r;
            egi_set(&t[a->y], i * c + j, egi_act_value(a->act, &k, z));
        }
    }
}

#define CASE(kind, slope, absent, c, ...)                                                                       \
    {                                                                                                           \
        .args = &(const egi_batchnorm_infer){.epsilon = 1e-3f, .act = EGI_ACT_##kind, .alpha = slope},          \
        .in = EGI_BATCHNORM_IN(c, __VA_ARGS__), .out = {EGI_STATIC_SHAPE(__VA_ARGS__, c)}, .in_absent = absent, \
        .fill = EGI_BATCHNORM_FILL                                                                              \
    }
#define NO_R (1 << 5)
static const egi_op_case cases[] = {
    CASE(LINEAR, 0, NO_R, 5, 4, 3, 3),
    CASE(RELU, 0, NO_R, 3, 11),
    CASE(RELU6, 0, NO_R | 1 << 1, 17, 6, 2),
    CASE(SIGMOID, 0, NO_R | 1 << 2, 4, 7),
    CASE(TANH, 0, NO_R | 3 << 1, 1, 7),
    CASE(LEAKY_RELU, 0.2f, NO_R, 130, 9),
    CASE(RELU, 0, NO_R, 4, 1),
    CASE(RELU, 0, NO_R, 16, 32, 12, 11),
    CASE(LINEAR, 0, NO_R, 3, 13, 17, 19),
    CASE(RELU, 0, 0, 5, 4, 3, 3),
    CASE(TANH, 0, 1 << 2, 4, 7),
    CASE(LINEAR, 0, 0, 17, 6, 2),
    CASE(RELU, 0, 0, 1, 7),
    CASE(TANH, 0, 0, 16, 32, 12, 11),
};

const egi_op egi_op_batchnorm_infer = {
    .name = "batchnorm_infer",
    .size = sizeof(egi_batchnorm_infer),
    .in = {EGI_FIELD(egi_batchnorm_infer, x), EGI_FIELD(egi_batchnorm_infer, gamma),
           EGI_FIELD(egi_batchnorm_infer, beta), EGI_FIELD(egi_batchnorm_infer, mean),
           EGI_FIELD(egi_batchnorm_infer, var), EGI_FIELD(egi_batchnorm_infer, r)},
    .out = {EGI_FIELD(egi_batchnorm_infer, y)},
    .over = {EGI_OVER(egi_batchnorm_infer, y, x), EGI_OVER(egi_batchnorm_infer, y, r)},
    .check = check,
    .grad = grad,
    .square = square,
    .reference = reference,
    EGI_CASES(cases),
};
