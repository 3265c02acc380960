#include "core/ops/batchnorm.h"
#include "core/ops/check.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm_infer_square *a = args;
    if (a->fgamma == EGI_NONE && a->fbeta == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "wanted fgamma or fbeta, found neither");
    EG_TRY(egi_check_real(p, "dy", a->dy, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->dy);
    const egi_shape c = EGI_SHAPE(egi_dim(p, a->dy, -1));
    EG_TRY(egi_check_like(p, "x", a->x, a->dy));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "var", a->var, dtype, c));
    EG_TRY(egi_check_may(p, "fgamma", a->fgamma, dtype, c));
    return egi_check_may(p, "fbeta", a->fbeta, dtype, c);
}

static void add_to(const egi_tensor *t, int64_t j, double value)
{
    egi_set(t, j, egi_get(t, j) + value);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm_infer_square *a = args;
    const int64_t n = t[a->dy].shape.dim[0], c = egi_columns(&t[a->dy]);
    const int64_t positions = n ? egi_rows(&t[a->dy]) / n : 0;
    for (int64_t j = 0; j < c; j++) {
        const double mean = egi_get(&t[a->mean], j), istd = 1 / sqrt(egi_get(&t[a->var], j) + (double)a->epsilon);
        double fgamma = 0, fbeta = 0;
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, dot = 0; /* this sample's gradients of beta and gamma */
            for (int64_t s = 0; s < positions; s++) {
                const int64_t at = (i * positions + s) * c + j;
                sum += egi_get(&t[a->dy], at);
                dot += egi_get(&t[a->dy], at) * (egi_get(&t[a->x], at) - mean) * istd;
            }
            fgamma += dot * dot;
            fbeta += sum * sum;
        }
        if (a->fgamma)
            add_to(&t[a->fgamma], j, fgamma);
        if (a->fbeta)
            add_to(&t[a->fbeta], j, fbeta);
    }
}

#define CHANNELS(c) EGI_STATIC_SHAPE(c)
#define CASE(unwanted, c, ...)                                                                                  \
    {                                                                                                           \
        .args = &(const egi_batchnorm_infer_square){.epsilon = 1e-3f}, .in = {EGI_STATIC_SHAPE(__VA_ARGS__, c), \
                                                                              EGI_STATIC_SHAPE(__VA_ARGS__, c), \
                                                                              CHANNELS(c),                      \
                                                                              CHANNELS(c),                      \
                                                                              CHANNELS(c),                      \
                                                                              CHANNELS(c)},                     \
        .out = {CHANNELS(c), CHANNELS(c)}, .in_absent = (unwanted) << 4, .out_absent = unwanted, .fill = {      \
            EGI_FILL_NORMAL,                                                                                    \
            EGI_FILL_NORMAL,                                                                                    \
            EGI_FILL_NORMAL,                                                                                    \
            EGI_FILL_POSITIVE,                                                                                  \
            EGI_FILL_POSITIVE,                                                                                  \
            EGI_FILL_POSITIVE                                                                                   \
        }                                                                                                       \
    }
static const egi_op_case cases[] = {
    CASE(0, 5, 4, 3, 3), CASE(1, 3, 11), CASE(2, 17, 6, 2), CASE(0, 1, 1), CASE(0, 130, 9), CASE(0, 16, 8, 12, 11),
};

const egi_op egi_op_batchnorm_infer_square = {
    .name = "batchnorm_infer_square",
    .size = sizeof(egi_batchnorm_infer_square),
    .in = {EGI_FIELD(egi_batchnorm_infer_square, dy), EGI_FIELD(egi_batchnorm_infer_square, x),
           EGI_FIELD(egi_batchnorm_infer_square, mean), EGI_FIELD(egi_batchnorm_infer_square, var),
           EGI_FIELD(egi_batchnorm_infer_square, fgamma), EGI_FIELD(egi_batchnorm_infer_square, fbeta)},
    .out = {EGI_FIELD(egi_batchnorm_infer_square, fgamma), EGI_FIELD(egi_batchnorm_infer_square, fbeta)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
