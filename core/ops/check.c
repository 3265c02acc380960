#include "core/ops/check.h"

#include "core/ops/pointwise.h"

eg_status egi_check_real(const egi_plan *p, const char *subject, egi_val v, int rank)
{
    if (v == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "%s: no value given", subject);
    const egi_dtype dtype = egi_dtype_of(p, v);
    const egi_shape *shape = egi_shape_of(p, v);
    if (dtype != EGI_F32 && dtype != EGI_F64)
        return egi_fail(EG_ERR_DTYPE, "%s: wanted float32 or float64, found %s", subject, egi_dtype_name(dtype));
    if (shape->rank < rank)
        return egi_fail(EG_ERR_SHAPE, "%s: wanted at least %d dimensions, found shape %s", subject, rank,
                        egi_shape_format(shape).s);
    return EG_OK;
}

eg_status egi_check_rank(const egi_plan *p, const char *subject, egi_val v, int rank)
{
    EG_TRY(egi_check_real(p, subject, v, rank));
    if (egi_shape_of(p, v)->rank != rank)
        return egi_fail(EG_ERR_SHAPE, "%s: wanted %d dimensions, found shape %s", subject, rank,
                        egi_shape_format(egi_shape_of(p, v)).s);
    return EG_OK;
}

eg_status egi_check_is(const egi_plan *p, const char *subject, egi_val v, egi_dtype dtype, egi_shape shape)
{
    if (v == EGI_NONE)
        return egi_fail(EG_ERR_ARG, "%s: no value given", subject);
    if (egi_dtype_of(p, v) != dtype)
        return egi_fail(EG_ERR_DTYPE, "%s: wanted %s, found %s", subject, egi_dtype_name(dtype),
                        egi_dtype_name(egi_dtype_of(p, v)));
    if (!egi_shape_equal(egi_shape_of(p, v), &shape))
        return egi_fail(EG_ERR_SHAPE, "%s: wanted shape %s, found %s", subject, egi_shape_format(&shape).s,
                        egi_shape_format(egi_shape_of(p, v)).s);
    return EG_OK;
}

eg_status egi_check_may(const egi_plan *p, const char *subject, egi_val v, egi_dtype dtype, egi_shape shape)
{
    return v == EGI_NONE ? EG_OK : egi_check_is(p, subject, v, dtype, shape);
}

eg_status egi_check_like(const egi_plan *p, const char *subject, egi_val v, egi_val like)
{
    return egi_check_is(p, subject, v, egi_dtype_of(p, like), *egi_shape_of(p, like));
}

eg_status egi_check_fused(egi_act act, double alpha)
{
    if (!egi_act_by_output(act))
        return egi_fail(EG_ERR_UNSUPPORTED, "activation %s cannot be fused: its slope does not follow from the output",
                        egi_act_name(act));
    if (act == EGI_ACT_LEAKY_RELU && !(alpha >= 0))
        return egi_fail(EG_ERR_ARG, "leaky_relu: wanted a slope of at least 0, found %g", alpha);
    return EG_OK;
}

eg_status egi_grad_fused(egi_plan *p, egi_grads *g, egi_val y, egi_act act, float alpha, egi_val *dz)
{
    const egi_val dy = egi_grad_of(g, y);
    *dz = dy;
    if (act == EGI_ACT_LINEAR || dy == EGI_NONE)
        return EG_OK;
    *dz = egi_temp_like(p, dy);
    return EGI_EMIT(p, activation_grad, .dy = dy, .y = y, .dx = *dz, .act = act, .alpha = alpha);
}

eg_status egi_grad_fused_residual(egi_plan *p, egi_grads *g, egi_val y, egi_val r, egi_act act, float alpha)
{
    egi_val dz;
    if (!egi_grad_wanted(g, r))
        return EG_OK;
    EG_TRY(egi_grad_fused(p, g, y, act, alpha, &dz));
    egi_grad_pass(g, r, dz);
    return p->status;
}
