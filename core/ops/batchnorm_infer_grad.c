#include "core/ops/batchnorm_cases.h"
#include "core/ops/check.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm_infer_grad *a = args;
    EG_TRY(egi_check_fused(a->act, (double)a->alpha));
    if (a->dx == EGI_NONE && a->dgamma == EGI_NONE && a->dbeta == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "wanted at least one of dx, dgamma, dbeta, found none");
    EG_TRY(egi_check_real(p, "dy", a->dy, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->dy);
    const egi_shape dy = *egi_shape_of(p, a->dy), c = EGI_SHAPE(egi_dim(p, a->dy, -1));
    EG_TRY(egi_check_is(p, "x", a->x, dtype, dy));
    EG_TRY(egi_check_may(p, "gamma", a->gamma, dtype, c));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "var", a->var, dtype, c));
    if (a->act != EGI_ACT_LINEAR)
        EG_TRY(egi_check_is(p, "y", a->y, dtype, dy));
    EG_TRY(egi_check_may(p, "dr", a->dr, dtype, dy));
    EG_TRY(egi_check_may(p, "dx", a->dx, dtype, dy));
    EG_TRY(egi_check_may(p, "dgamma", a->dgamma, dtype, c));
    return egi_check_may(p, "dbeta", a->dbeta, dtype, c);
}

/* dz at element `at`. */
static double before_act(const egi_batchnorm_infer_grad *a, const egi_tensor *t, int64_t at)
{
    const egi_act_args act = {.alpha = (double)a->alpha, .max_value = -1};
    const double slope = a->y ? egi_act_slope(a->act, &act, 0, egi_get(&t[a->y], at)) : 1;
    return egi_get(&t[a->dy], at) * slope;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm_infer_grad *a = args;
    const int64_t n = egi_rows(&t[a->dy]), c = egi_columns(&t[a->dy]);
    for (int64_t j = 0; j < c; j++) {
        const double mean = egi_get(&t[a->mean], j), istd = 1 / sqrt(egi_get(&t[a->var], j) + (double)a->epsilon);
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1;
        double sum = 0, dot = 0;
        for (int64_t i = 0; i < n; i++) {
            const double dz = before_act(a, t, i * c + j);
            sum += dz;
            dot += dz * (egi_get(&t[a->x], i * c + j) - mean) * istd;
            if (a->dr)
                egi_set(&t[a->dr], i * c + j, dz);
            if (a->dx)
                egi_set(&t[a->dx], i * c + j, dz * gamma * istd);
        }
        if (a->dgamma)
            egi_set(&t[a->dgamma], j, dot);
        if (a->dbeta)
            egi_set(&t[a->dbeta], j, sum);
    }
}

#define ARGS(...)                     \
    (const egi_batchnorm_infer_grad)  \
    {                                 \
        .epsilon = 1e-3f, __VA_ARGS__ \
    }
static const egi_op_case cases[] = {EGI_BATCHNORM_GRAD_CASES(ARGS)};

const egi_op egi_op_batchnorm_infer_grad = {
    .name = "batchnorm_infer_grad",
    .size = sizeof(egi_batchnorm_infer_grad),
    .in = {EGI_FIELD(egi_batchnorm_infer_grad, dy), EGI_FIELD(egi_batchnorm_infer_grad, x),
           EGI_FIELD(egi_batchnorm_infer_grad, gamma), EGI_FIELD(egi_batchnorm_infer_grad, mean),
           EGI_FIELD(egi_batchnorm_infer_grad, var), EGI_FIELD(egi_batchnorm_infer_grad, y)},
    .out = {EGI_FIELD(egi_batchnorm_infer_grad, dx), EGI_FIELD(egi_batchnorm_infer_grad, dgamma),
            EGI_FIELD(egi_batchnorm_infer_grad, dbeta), EGI_FIELD(egi_batchnorm_infer_grad, dr)},
    .over = {EGI_OVER(egi_batchnorm_infer_grad, dr, dy), EGI_OVER(egi_batchnorm_infer_grad, dx, x),
             EGI_OVER(egi_batchnorm_infer_grad, dx, dy), EGI_OVER(egi_batchnorm_infer_grad, dx, y)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
