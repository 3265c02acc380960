/** core/stage.h: what a plan keeps on a device with memory of its own, and how it gets there and back. */
#ifndef EGI_STAGE_H
#define EGI_STAGE_H

#include "core/plan.h"

/** After placing: makes `kt` (the same as `t` where the device computes in the host's memory), places at the host for
 * what is kept, places at the device for what is bound. Errors: NOMEM, DEVICE. */
EG_MUST_USE eg_status egi_stage_make(egi_plan *plan);
void egi_stage_release(egi_plan *plan);
/** egi_plan_refill() of a plan with an inlet. */
EG_MUST_USE eg_status egi_stage_refill(egi_plan *plan);
/** Before and after a run; `again`: of the backward part alone. Errors: DEVICE. */
EG_MUST_USE eg_status egi_stage_in(egi_plan *plan, bool again);
EG_MUST_USE eg_status egi_stage_out(egi_plan *plan);

#endif
