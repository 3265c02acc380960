#include "core/ops/batchnorm_cases.h"
#include "core/ops/check.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm_grad *a = args;
    EG_TRY(egi_check_fused(a->act, (double)a->alpha));
    if (a->dx == EGI_NONE && a->dgamma == EGI_NONE && a->dbeta == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "wanted at least one of dx, dgamma, dbeta, found none");
    EG_TRY(egi_check_real(p, "x", a->x, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    const egi_shape x = *egi_shape_of(p, a->x), c = EGI_SHAPE(egi_dim(p, a->x, -1));
    EG_TRY(egi_check_is(p, "dy", a->dy, dtype, x));
    EG_TRY(egi_check_may(p, "gamma", a->gamma, dtype, c));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "istd", a->istd, dtype, c));
    if (a->act != EGI_ACT_LINEAR)
        EG_TRY(egi_check_is(p, "y", a->y, dtype, x));
    EG_TRY(egi_check_may(p, "dr", a->dr, dtype, x));
    EG_TRY(egi_check_may(p, "dx", a->dx, dtype, x));
    EG_TRY(egi_check_may(p, "dgamma", a->dgamma, dtype, c));
    return egi_check_may(p, "dbeta", a->dbeta, dtype, c);
}

/* dz at element `at`. */
static double before_act(const egi_batchnorm_grad *a, const egi_tensor *t, int64_t at)
{
    const egi_act_args act = {.alpha = (double)a->alpha, .max_value = -1};
    const double slope = a->y ? egi_act_slope(a->act, &act, 0, egi_get(&t[a->y], at)) : 1;
    return egi_get(&t[a->dy], at) * slope;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm_grad *a = args;
    const int64_t n = egi_rows(&t[a->x]), c = egi_columns(&t[a->x]);
    for (int64_t j = 0; j < c; j++) {
        const double mean = egi_get(&t[a->mean], j), istd = egi_get(&t[a->istd], j);
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1;
        double sum = 0, dot = 0; /* of dz, and of dz xhat */
        for (int64_t i = 0; i < n; i++) {
            const double dz = before_act(a, t, i * c + j);
            sum += dz;
            dot += dz * (egi_get(&t[a->x], i * c + j) - mean) * istd;
        }
        for (int64_t i = 0; i < n; i++) {
            const double xhat = (egi_get(&t[a->x], i * c + j) - mean) * istd, dz = before_act(a, t, i * c + j);
            if (a->dr)
                egi_set(&t[a->dr], i * c + j, dz);
            if (a->dx)
                egi_set(&t[a->dx], i * c + j, gamma * istd * (dz - sum / (double)n - xhat * dot / (double)n));
        }
        if (a->dgamma)
            egi_set(&t[a->dgamma], j, dot);
        if (a->dbeta)
            egi_set(&t[a->dbeta], j, sum);
    }
}

#define ARGS(...)              \
    (const egi_batchnorm_grad) \
    {                          \
        __VA_ARGS__            \
    }
static const egi_op_case cases[] = {EGI_BATCHNORM_GRAD_CASES(ARGS)};

const egi_op egi_op_batchnorm_grad = {
    .name = "batchnorm_grad",
    .size = sizeof(egi_batchnorm_grad),
    .in = {EGI_FIELD(egi_batchnorm_grad, dy), EGI_FIELD(egi_batchnorm_grad, x), EGI_FIELD(egi_batchnorm_grad, gamma),
           EGI_FIELD(egi_batchnorm_grad, mean), EGI_FIELD(egi_batchnorm_grad, istd), EGI_FIELD(egi_batchnorm_grad, y)},
    .out = {EGI_FIELD(egi_batchnorm_grad, dx), EGI_FIELD(egi_batchnorm_grad, dgamma),
            EGI_FIELD(egi_batchnorm_grad, dbeta), EGI_FIELD(egi_batchnorm_grad, dr)},
    .over = {EGI_OVER(egi_batchnorm_grad, dr, dy), EGI_OVER(egi_batchnorm_grad, dx, x),
             EGI_OVER(egi_batchnorm_grad, dx, dy), EGI_OVER(egi_batchnorm_grad, dx, y)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
