#include "core/ops/batchnorm.h"
#include "core/ops/check.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_batchnorm_fold *a = args;
    EG_TRY(egi_check_real(p, "w", a->w, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->w);
    const egi_shape c = EGI_SHAPE(egi_dim(p, a->w, -1));
    EG_TRY(egi_check_may(p, "b", a->b, dtype, c));
    EG_TRY(egi_check_may(p, "gamma", a->gamma, dtype, c));
    EG_TRY(egi_check_may(p, "beta", a->beta, dtype, c));
    EG_TRY(egi_check_is(p, "mean", a->mean, dtype, c));
    EG_TRY(egi_check_is(p, "var", a->var, dtype, c));
    EG_TRY(egi_check_like(p, "fw", a->fw, a->w));
    return egi_check_is(p, "fb", a->fb, dtype, c);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_batchnorm_fold *a = args;
    const int64_t n = egi_rows(&t[a->w]), c = egi_columns(&t[a->w]);
    for (int64_t j = 0; j < c; j++) {
        const double gamma = a->gamma ? egi_get(&t[a->gamma], j) : 1, beta = a->beta ? egi_get(&t[a->beta], j) : 0;
        const double scale = gamma / sqrt(egi_get(&t[a->var], j) + (double)a->epsilon);
        const double b = a->b ? egi_get(&t[a->b], j) : 0;
        for (int64_t i = 0; i < n; i++)
            egi_set(&t[a->fw], i * c + j, egi_get(&t[a->w], i * c + j) * scale);
        egi_set(&t[a->fb], j, beta + (b - egi_get(&t[a->mean], j)) * scale);
    }
}

#define CHANNELS(c) EGI_STATIC_SHAPE(c)
#define CASE(absent, c, ...)                                                                                       \
    {                                                                                                              \
        .args = &(const egi_batchnorm_fold){.epsilon = 1e-3f},                                                     \
        .in = {EGI_STATIC_SHAPE(__VA_ARGS__, c), CHANNELS(c), CHANNELS(c), CHANNELS(c), CHANNELS(c), CHANNELS(c)}, \
        .out = {EGI_STATIC_SHAPE(__VA_ARGS__, c), CHANNELS(c)}, .in_absent = absent, .fill = {                     \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_POSITIVE,                                                                                     \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_NORMAL,                                                                                       \
            EGI_FILL_POSITIVE                                                                                      \
        }                                                                                                          \
    }
static const egi_op_case cases[] = {
    CASE(0, 5, 3, 3, 4), CASE(1 << 1, 17, 1, 1, 9), CASE(1 << 2, 3, 11), CASE(7 << 1, 1, 1), CASE(1 << 3, 32, 3, 3, 16),
};

const egi_op egi_op_batchnorm_fold = {
    .name = "batchnorm_fold",
    .size = sizeof(egi_batchnorm_fold),
    .in = {EGI_FIELD(egi_batchnorm_fold, w), EGI_FIELD(egi_batchnorm_fold, b), EGI_FIELD(egi_batchnorm_fold, gamma),
           EGI_FIELD(egi_batchnorm_fold, beta), EGI_FIELD(egi_batchnorm_fold, mean),
           EGI_FIELD(egi_batchnorm_fold, var)},
    .out = {EGI_FIELD(egi_batchnorm_fold, fw), EGI_FIELD(egi_batchnorm_fold, fb)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
