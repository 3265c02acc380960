#include "core/ops/update.h"
#include "core/ops/update_cases.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_update *a = args;
    return egi_update_check(p, a, a->momentum > 0, true);
}

static double step(const egi_update *a, const egi_update_rates *r, double lr, double w, double g, double *m, double *v)
{
    (void)r;
    *v = a->rho * *v + (1 - a->rho) * g * g;
    const double move = lr * g / sqrt(*v + a->epsilon);
    if (!(a->momentum > 0))
        return w - move;
    *m = a->momentum * *m + move;
    return w - *m;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    egi_update_reference(args, t, control, step);
}

#define RMSPROP .rho = 0.9, .epsilon = 1e-7
static const egi_op_case cases[] = {
    EGI_UPDATE_SMALL(EGI_UPDATE_NO_M, RMSPROP),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_M, RMSPROP, .clip_norm = 0.5),
    EGI_UPDATE_LARGE(0, RMSPROP, .momentum = 0.9),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM | EGI_UPDATE_NO_PENALTY, RMSPROP, .momentum = 0.5),
    EGI_UPDATE_SMALL(EGI_UPDATE_NO_M | EGI_UPDATE_EMA, RMSPROP, .ema_momentum = 0.9),
    EGI_UPDATE_LARGE(EGI_UPDATE_EMA, RMSPROP, .momentum = 0.9, .ema_momentum = 0.9),
};

const egi_op egi_op_rmsprop = {
    .name = "rmsprop",
    .size = sizeof(egi_update),
    .in = EGI_UPDATE_IN,
    .out = EGI_UPDATE_OUT,
    .check = check,
    .reference = reference,
    .bytes = egi_update_bytes,
    EGI_CASES(cases),
};
