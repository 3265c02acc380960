#include "core/ops/update.h"
#include "core/ops/update_cases.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_update *a = args;
    return egi_update_check(p, a, a->momentum > 0, false);
}

static double step(const egi_update *a, const egi_update_rates *r, double lr, double w, double g, double *m, double *v)
{
    (void)r;
    (void)v;
    if (!(a->momentum > 0))
        return w - lr * g;
    *m = a->momentum * *m - lr * g;
    return a->nesterov ? w + a->momentum * *m - lr * g : w + *m;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    egi_update_reference(args, t, control, step);
}

static const egi_op_case cases[] = {
    EGI_UPDATE_SMALL(EGI_UPDATE_NO_M | EGI_UPDATE_NO_V, .clip_norm = 0),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_M | EGI_UPDATE_NO_V, .clip_norm = 0.5),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_M | EGI_UPDATE_NO_V | EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM, .clip_norm = 0),
    EGI_UPDATE_SMALL(EGI_UPDATE_NO_V, .momentum = 0.9),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_V, .momentum = 0.9, .nesterov = true),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_V | EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM | EGI_UPDATE_NO_PENALTY,
                     .momentum = 0.8),
    EGI_UPDATE_SMALL(EGI_UPDATE_NO_M | EGI_UPDATE_NO_V | EGI_UPDATE_EMA, .ema_momentum = 0.75),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_V | EGI_UPDATE_EMA, .momentum = 0.9, .ema_momentum = 0.9),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_V | EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM | EGI_UPDATE_NO_PENALTY |
                         EGI_UPDATE_EMA,
                     .momentum = 0.9, .nesterov = true, .ema_momentum = 0),
};

const egi_op egi_op_sgd = {
    .name = "sgd",
    .size = sizeof(egi_update),
    .in = EGI_UPDATE_IN,
    .out = EGI_UPDATE_OUT,
    .check = check,
    .reference = reference,
    .bytes = egi_update_bytes,
    EGI_CASES(cases),
};
