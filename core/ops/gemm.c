#include "core/ops/check.h"
#include "core/ops/dense.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_gemm *g = args;
    EG_TRY(egi_check_rank(p, "a", g->a, 2));
    EG_TRY(egi_check_rank(p, "b", g->b, 2));
    const egi_shape *a = egi_shape_of(p, g->a), *b = egi_shape_of(p, g->b);
    if (a->dim[!g->ta] != b->dim[g->tb])
        return egi_fail(EG_ERR_SHAPE, "a is %s%s, b is %s%s: wanted equal inner dimensions", egi_shape_format(a).s,
                        g->ta ? " transposed" : "", egi_shape_format(b).s, g->tb ? " transposed" : "");
    const egi_dtype dtype = egi_dtype_of(p, g->a);
    EG_TRY(egi_check_is(p, "b", g->b, dtype, *b));
    return egi_check_is(p, "c", g->c, dtype, EGI_SHAPE(a->dim[g->ta], b->dim[!g->tb]));
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_gemm *g = args;
    return 2.0 * (double)egi_count(&t[g->c]) * (double)t[g->a].shape.dim[!g->ta];
}

static double bytes(const void *args, const egi_tensor *t, double all)
{
    const egi_gemm *g = args;
    const egi_tensor *c = &t[g->c];
    return g->accumulate ? all : all - (double)egi_count(c) * (double)egi_dtype_size(c->dtype);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_gemm *g = args;
    const egi_tensor *a = &t[g->a], *b = &t[g->b], *c = &t[g->c];
    const int64_t m = c->shape.dim[0], n = c->shape.dim[1], k = a->shape.dim[!g->ta];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = g->accumulate ? egi_get(c, i * n + j) : 0;
            for (int64_t l = 0; l < k; l++)
                sum += egi_get(a, g->ta ? l * m + i : i * k + l) * egi_get(b, g->tb ? j * k + l : l * n + j);
            egi_set(c, i * n + j, sum);
        }
}

static const egi_gemm nn = {0}, tn = {.ta = true}, nt = {.tb = true}, tt = {.ta = true, .tb = true},
                      nn_add = {.accumulate = true}, tn_add = {.ta = true, .accumulate = true};

#define CASE(args_, a0, a1, b0, b1, m, n)                                                                            \
    {                                                                                                                \
        .args = &args_, .in = {EGI_STATIC_SHAPE(a0, a1), EGI_STATIC_SHAPE(b0, b1), EGI_STATIC_SHAPE(m, n)}, .out = { \
            EGI_STATIC_SHAPE(m, n)                                                                                   \
        }                                                                                                            \
    }
static const egi_op_case cases[] = {
    CASE(nn, 5, 7, 7, 3, 5, 3),       CASE(tn, 7, 5, 7, 3, 5, 3),
    CASE(nt, 5, 7, 3, 7, 5, 3),       CASE(tt, 7, 5, 3, 7, 5, 3),
    CASE(nn_add, 5, 7, 7, 3, 5, 3),   CASE(tn_add, 7, 5, 7, 3, 5, 3),
    CASE(nn, 1, 1, 1, 1, 1, 1),       CASE(nt, 1, 65, 33, 65, 1, 33),
    CASE(tn, 64, 37, 64, 20, 37, 20), CASE(nt, 64, 20, 120, 20, 64, 120),
    CASE(nt, 0, 4, 3, 4, 0, 3),       CASE(tn, 33, 512, 33, 256, 512, 256), /* rows a power of two apart */
};

const egi_op egi_op_gemm = {
    .name = "gemm",
    .size = sizeof(egi_gemm),
    .in = {EGI_FIELD(egi_gemm, a), EGI_FIELD(egi_gemm, b), EGI_FIELD(egi_gemm, c)}, /* c is read where `accumulate` */
    .out = {EGI_FIELD(egi_gemm, c)},
    .check = check,
    .reference = reference,
    .flops = flops,
    .bytes = bytes,
    EGI_CASES(cases),
};
