#include "core/ops/check.h"
#include "core/ops/dense.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_square_gemm *s = args;
    EG_TRY(egi_check_rank(p, "a", s->a, 2));
    EG_TRY(egi_check_rank(p, "d", s->d, 2));
    const egi_shape *a = egi_shape_of(p, s->a), *d = egi_shape_of(p, s->d);
    if (a->dim[0] != d->dim[0])
        return egi_fail(EG_ERR_SHAPE, "a is %s, d is %s: wanted as many rows", egi_shape_format(a).s,
                        egi_shape_format(d).s);
    const egi_dtype dtype = egi_dtype_of(p, s->a);
    EG_TRY(egi_check_is(p, "d", s->d, dtype, *d));
    return egi_check_is(p, "f", s->f, dtype, EGI_SHAPE(a->dim[1], d->dim[1]));
}

/* Both factors are squared first; that is left out, as it is for every other operand. */
static double flops(const void *args, const egi_tensor *t)
{
    const egi_square_gemm *s = args;
    return 2.0 * (double)egi_count(&t[s->f]) * (double)t[s->a].shape.dim[0];
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_square_gemm *s = args;
    const int64_t n = t[s->a].shape.dim[0], in = t[s->a].shape.dim[1], out = t[s->d].shape.dim[1];
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            double sum = egi_get(&t[s->f], i * out + j);
            for (int64_t k = 0; k < n; k++) {
                const double g = egi_get(&t[s->a], k * in + i) * egi_get(&t[s->d], k * out + j);
                sum += g * g;
            }
            egi_set(&t[s->f], i * out + j, sum);
        }
}

static const egi_square_gemm none = {0};
#define CASE(n, in_, out_)                                                                                       \
    {                                                                                                            \
        .args = &none, .in = {EGI_STATIC_SHAPE(n, in_), EGI_STATIC_SHAPE(n, out_), EGI_STATIC_SHAPE(in_, out_)}, \
        .out = {EGI_STATIC_SHAPE(in_, out_)}, .fill = {                                                          \
            EGI_FILL_NORMAL,                                                                                     \
            EGI_FILL_NORMAL,                                                                                     \
            EGI_FILL_UNIT                                                                                        \
        }                                                                                                        \
    }
static const egi_op_case cases[] = {CASE(5, 7, 3), CASE(1, 1, 1), CASE(33, 65, 31), CASE(64, 120, 20)};

const egi_op egi_op_square_gemm = {
    .name = "square_gemm",
    .size = sizeof(egi_square_gemm),
    .in = {EGI_FIELD(egi_square_gemm, a), EGI_FIELD(egi_square_gemm, d), EGI_FIELD(egi_square_gemm, f)},
    .out = {EGI_FIELD(egi_square_gemm, f)},
    .check = check,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
