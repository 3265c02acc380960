/** core/ops/check.h: what the operations' checks ask of their values. `subject` names the value ("y"); emitting puts
 * the operation's name in front. */
#ifndef EGI_OP_CHECK_H
#define EGI_OP_CHECK_H

#include "core/act.h"
#include "core/plan.h"

/** `v` is there, f32 or f64, with at least `rank` dimensions. Errors: ARG, DTYPE, SHAPE. */
EG_MUST_USE eg_status egi_check_real(const egi_plan *plan, const char *subject, egi_val v, int rank);

/** The same with exactly `rank` dimensions. */
EG_MUST_USE eg_status egi_check_rank(const egi_plan *plan, const char *subject, egi_val v, int rank);

/** `v` is there and has this dtype and shape. Errors: ARG, DTYPE, SHAPE, naming both. */
EG_MUST_USE eg_status egi_check_is(const egi_plan *plan, const char *subject, egi_val v, egi_dtype dtype,
                                   egi_shape shape);

/** The same, where EGI_NONE is fine too. */
EG_MUST_USE eg_status egi_check_may(const egi_plan *plan, const char *subject, egi_val v, egi_dtype dtype,
                                    egi_shape shape);

/** `v` is there with the dtype and shape of `like`. */
EG_MUST_USE eg_status egi_check_like(const egi_plan *plan, const char *subject, egi_val v, egi_val like);

/** `act` may be fused: its slope follows from the output. Errors: UNSUPPORTED; ARG for a negative slope. */
EG_MUST_USE eg_status egi_check_fused(egi_act act, double alpha);

/** The gradient before a fused activation, given that after it; emits nothing for linear. *dz is EGI_NONE when nothing
 * flows to y. */
EG_MUST_USE eg_status egi_grad_fused(egi_plan *plan, egi_grads *grads, egi_val y, egi_act act, float alpha,
                                     egi_val *dz);

/** The same, passed on as the gradient of `r`, which was added before the activation. Nothing where r's is not wanted.
 */
EG_MUST_USE eg_status egi_grad_fused_residual(egi_plan *plan, egi_grads *grads, egi_val y, egi_val r, egi_act act,
                                              float alpha);

/** For gradient rules: a place for x's gradient, or EGI_NONE when nobody wants it. */
static inline egi_val egi_grad_maybe(egi_grads *g, egi_val x)
{
    return egi_grad_wanted(g, x) ? egi_grad_into(g, x) : EGI_NONE;
}

/** Rows and columns of a value seen as (product of the leading dimensions, last dimension). */
static inline int64_t egi_columns(const egi_tensor *t)
{
    return t->shape.dim[t->shape.rank - 1];
}
static inline int64_t egi_rows(const egi_tensor *t)
{
    return egi_shape_span(&t->shape, 0, t->shape.rank - 1);
}

#endif
