#include "core/ops/check.h"

#include "core/ops/pointwise.h"
#include "core/plan.h"

eg_status egi_check_floats(const egi_plan *p, const egi_val *v, int n)
{
    egi_val first = EGI_NONE;
    for (int i = 0; i < n; i++) {
        if (v[i] == EGI_NONE)
            continue;
        const egi_dtype dtype = egi_dtype_of(p, v[i]);
        if (dtype != EGI_F32 && dtype != EGI_F64)
            return egi_fail(EG_ERR_DTYPE, "value %d: wanted float32 or float64, found %s", i, egi_dtype_name(dtype));
        if (first == EGI_NONE)
            first = v[i];
        if (dtype != egi_dtype_of(p, first))
            return egi_fail(EG_ERR_DTYPE, "value %d: wanted %s like the others, found %s", i,
                            egi_dtype_name(egi_dtype_of(p, first)), egi_dtype_name(dtype));
    }
    return EG_OK;
}

static eg_status missing(const char *name)
{
    return egi_fail(EG_ERR_ARG, "%s is missing", name);
}

eg_status egi_check_rank(const egi_plan *p, const char *name, egi_val v, int rank)
{
    if (v == EGI_NONE)
        return missing(name);
    if (egi_shape_of(p, v)->rank != rank)
        return egi_fail(EG_ERR_SHAPE, "%s: wanted %d dimensions, found %s", name, rank,
                        egi_shape_format(egi_shape_of(p, v)).s);
    return EG_OK;
}

eg_status egi_check_rank_min(const egi_plan *p, const char *name, egi_val v, int rank)
{
    if (v == EGI_NONE)
        return missing(name);
    if (egi_shape_of(p, v)->rank < rank)
        return egi_fail(EG_ERR_SHAPE, "%s: wanted at least %d dimensions, found %s", name, rank,
                        egi_shape_format(egi_shape_of(p, v)).s);
    return EG_OK;
}

eg_status egi_check_shape(const egi_plan *p, const char *name, egi_val v, egi_shape wanted)
{
    if (v == EGI_NONE)
        return missing(name);
    if (!egi_shape_equal(egi_shape_of(p, v), &wanted))
        return egi_fail(EG_ERR_SHAPE, "%s: wanted %s, found %s", name, egi_shape_format(&wanted).s,
                        egi_shape_format(egi_shape_of(p, v)).s);
    return EG_OK;
}

eg_status egi_check_shape_opt(const egi_plan *p, const char *name, egi_val v, egi_shape wanted)
{
    return v == EGI_NONE ? EG_OK : egi_check_shape(p, name, v, wanted);
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
