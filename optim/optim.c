#include "optim/optim.h"

#include <string.h>

const egi_optimizer_type *const egi_optimizer_types[] = {
#define EG_OPTIMIZER(name) &egi_optimizer_##name,
#define EG_SCHEDULE(name)
#include "optim/list.def"
#undef EG_OPTIMIZER
#undef EG_SCHEDULE
    NULL};

const egi_optimizer_type *egi_optimizer_find(const char *name)
{
    for (int i = 0; egi_optimizer_types[i]; i++)
        if (strcmp(egi_optimizer_types[i]->name, name) == 0)
            return egi_optimizer_types[i];
    return NULL;
}

static egi_val bind(egi_plan *plan, const egi_optimizer_arenas *a, void *arena)
{
    return arena ? egi_plan_bind(plan, plan->dtype, EGI_SHAPE(a->count), arena) : EGI_NONE;
}

eg_status egi_optimizer_emit(egi_plan *plan, const egi_optimizer_type *type, const egi_optimizer_settings *s,
                             const egi_optimizer_arenas *a, const egi_segment *segments, int n_segments,
                             egi_val *penalty)
{
    egi_update u = {
        .segments = segments,
        .n_segments = n_segments,
        .momentum = s->momentum,
        .beta1 = s->beta1,
        .beta2 = s->beta2,
        .rho = s->rho,
        .epsilon = s->epsilon,
        .clip_norm = s->clip_norm,
        .ema_momentum = s->ema_momentum,
        .nesterov = s->nesterov,
    };
    u.w = bind(plan, a, a->w);
    u.grad = bind(plan, a, a->grad);
    u.anchor = bind(plan, a, a->anchor);
    u.omega = bind(plan, a, a->omega);
    if (s->clip_norm > 0) {
        const egi_val norm = egi_temp(plan, EGI_SCALAR);
        egi_update n = u;
        n.norm = norm;
        EG_TRY(egi_plan_emit(plan, &egi_op_update_norm, &n));
        u.norm = norm;
    }
    u.m = bind(plan, a, type->needs_m(s) ? a->m : NULL);
    u.v = bind(plan, a, type->needs_v(s) ? a->v : NULL);
    u.ema = bind(plan, a, a->ema);
    if (penalty) {
        u.penalty = *penalty = egi_temp(plan, EGI_SCALAR);
        egi_plan_keep(plan, u.penalty);
    }
    return egi_plan_emit(plan, type->op, &u);
}
