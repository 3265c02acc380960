/** core/ops/check.h: what the checks of operations share. Messages need not name the operation: emitting puts its name
 * in front. */
#ifndef EGI_OP_CHECK_H
#define EGI_OP_CHECK_H

#include "core/act.h"
#include "core/op.h"

/** All values (EGI_NONE is skipped) have the same dtype, f32 or f64. Errors: DTYPE. */
#define EGI_CHECK_FLOATS(plan, ...)                          \
    egi_check_floats((plan), (const egi_val[]){__VA_ARGS__}, \
                     (int)(sizeof((const egi_val[]){__VA_ARGS__}) / sizeof(egi_val)))
EG_MUST_USE eg_status egi_check_floats(const egi_plan *plan, const egi_val *v, int n);

/** Value `name` is there and has `rank` dimensions. Errors: SHAPE. */
EG_MUST_USE eg_status egi_check_rank(const egi_plan *plan, const char *name, egi_val v, int rank);
/** At least `rank` dimensions. */
EG_MUST_USE eg_status egi_check_rank_min(const egi_plan *plan, const char *name, egi_val v, int rank);

/** Value `name` is there and has this shape. Errors: SHAPE, naming both. */
EG_MUST_USE eg_status egi_check_shape(const egi_plan *plan, const char *name, egi_val v, egi_shape wanted);

/** Like egi_check_shape(), but EGI_NONE is fine. */
EG_MUST_USE eg_status egi_check_shape_opt(const egi_plan *plan, const char *name, egi_val v, egi_shape wanted);

/** `act` may be fused: its slope follows from the output. Errors: UNSUPPORTED; ARG for a negative slope. */
EG_MUST_USE eg_status egi_check_fused(egi_act act, double alpha);

/** The gradient before a fused activation, given that after it; emits nothing for linear. *dz is EGI_NONE when nothing
 * flows to y. */
EG_MUST_USE eg_status egi_grad_fused(egi_plan *plan, egi_grads *grads, egi_val y, egi_act act, float alpha,
                                     egi_val *dz);

#endif
