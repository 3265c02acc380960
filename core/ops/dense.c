#include "core/ops/dense.h"

#include "core/ops/check.h"
#include "core/plan.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_dense *a = args;
    EG_TRY(egi_check_rank(p, "x", a->x, 2));
    EG_TRY(egi_check_rank(p, "w", a->w, 2));
    const egi_shape *x = egi_shape_of(p, a->x), *w = egi_shape_of(p, a->w);
    if (x->dim[1] != w->dim[0])
        return egi_fail(EG_ERR_SHAPE, "x is %s, w is %s: wanted x's columns equal to w's rows", egi_shape_format(x).s,
                        egi_shape_format(w).s);
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    EG_TRY(egi_check_is(p, "w", a->w, dtype, *w));
    EG_TRY(egi_check_may(p, "b", a->b, egi_dtype_of(p, a->x), EGI_SHAPE(w->dim[1])));
    EG_TRY(egi_check_is(p, "y", a->y, egi_dtype_of(p, a->x), EGI_SHAPE(x->dim[0], w->dim[1])));
    return egi_check_fused(a->act, a->alpha);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_dense *a = args;
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    if (dz == EGI_NONE)
        return EG_OK;
    if (egi_grad_wanted(g, a->w))
        EG_TRY(EGI_EMIT(p, gemm, .a = a->x, .b = dz, .c = egi_grad_into(g, a->w), .ta = true));
    if (egi_grad_wanted(g, a->b))
        EG_TRY(EGI_EMIT(p, column_sum, .x = dz, .y = egi_grad_into(g, a->b)));
    if (egi_grad_wanted(g, a->x))
        EG_TRY(EGI_EMIT(p, gemm, .a = dz, .b = a->w, .c = egi_grad_into(g, a->x), .tb = true));
    return EG_OK;
}

/* A sample's kernel gradient is x dz', so its square is x^2 (dz^2)': one product serves the batch. */
static eg_status square(egi_plan *p, const void *args, egi_grads *g)
{
    const egi_dense *a = args;
    const egi_val fw = egi_square_of(g, a->w), fb = egi_square_of(g, a->b);
    egi_val dz;
    EG_TRY(egi_grad_fused(p, g, a->y, a->act, a->alpha, &dz));
    if (dz == EGI_NONE)
        return EG_OK;
    if (fw != EGI_NONE)
        EG_TRY(EGI_EMIT(p, square_gemm, .a = a->x, .d = dz, .f = fw));
    if (fb != EGI_NONE)
        EG_TRY(EGI_EMIT(p, square_column_sum, .x = dz, .f = fb));
    return EG_OK;
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_dense *a = args;
    return 2.0 * (double)egi_count(&t[a->w]) * (double)t[a->x].shape.dim[0];
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_dense *a = args;
    const egi_act_args act = {.alpha = a->alpha};
    const egi_tensor *x = &t[a->x], *w = &t[a->w];
    const int64_t n = x->shape.dim[0], in = x->shape.dim[1], out = w->shape.dim[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < out; j++) {
            double sum = a->b == EGI_NONE ? 0 : egi_get(&t[a->b], j);
            for (int64_t k = 0; k < in; k++)
                sum += egi_get(x, i * in + k) * egi_get(w, k * out + j);
            egi_set(&t[a->y], i * out + j, egi_act_value(a->act, &act, sum));
        }
}

static const egi_dense plain = {.act = EGI_ACT_LINEAR}, relu = {.act = EGI_ACT_RELU}, relu6 = {.act = EGI_ACT_RELU6},
                       sigmoid = {.act = EGI_ACT_SIGMOID}, tanh_ = {.act = EGI_ACT_TANH},
                       leaky = {.act = EGI_ACT_LEAKY_RELU, .alpha = 0.3f};

#define CASE(args_, n, in_, out_, absent)                                                                      \
    {                                                                                                          \
        .args = &args_, .in = {EGI_STATIC_SHAPE(n, in_), EGI_STATIC_SHAPE(in_, out_), EGI_STATIC_SHAPE(out_)}, \
        .out = {EGI_STATIC_SHAPE(n, out_)}, .in_absent = (absent)                                              \
    }
static const egi_op_case cases[] = {
    CASE(plain, 5, 7, 3, 0),     CASE(plain, 1, 1, 1, 0),
    CASE(plain, 3, 17, 9, 4),    CASE(relu, 33, 65, 31, 0),
    CASE(relu, 2, 19, 8, 4),     CASE(relu6, 9, 13, 5, 0),
    CASE(sigmoid, 4, 6, 11, 0),  CASE(tanh_, 4, 6, 11, 0),
    CASE(leaky, 7, 12, 10, 0),   CASE(plain, 0, 5, 4, 0),
    CASE(relu, 128, 784, 50, 0), CASE(relu, 33, 260, 512, 0), /* rows a power of two apart */
};

const egi_op egi_op_dense = {
    .name = "dense",
    .size = sizeof(egi_dense),
    .in = {EGI_FIELD(egi_dense, x), EGI_FIELD(egi_dense, w), EGI_FIELD(egi_dense, b)},
    .out = {EGI_FIELD(egi_dense, y)},
    .check = check,
    .grad = grad,
    .square = square,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
