#include "core/ops/update.h"
#include "core/ops/update_cases.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_update *a = args;
    return egi_update_check(p, a, true, true);
}

static double step(const egi_update *a, const egi_update_rates *r, double lr, double w, double g, double *m, double *v)
{
    *m += (g - *m) * (1 - a->beta1);
    *v += (g * g - *v) * (1 - a->beta2);
    return w - lr * r->adam * *m / (sqrt(*v) + a->epsilon);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    egi_update_reference(args, t, control, step);
}

#define ADAM .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7
static const egi_op_case cases[] = {
    EGI_UPDATE_SMALL(0, ADAM),
    EGI_UPDATE_LARGE(0, ADAM, .clip_norm = 0.5),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM, ADAM),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM | EGI_UPDATE_NO_PENALTY, ADAM),
    EGI_UPDATE_LARGE(EGI_UPDATE_EMA, ADAM, .clip_norm = 0.5, .ema_momentum = 0.99),
    EGI_UPDATE_LARGE(EGI_UPDATE_NO_ANCHOR | EGI_UPDATE_NO_NORM | EGI_UPDATE_NO_PENALTY | EGI_UPDATE_EMA, ADAM,
                     .ema_momentum = 0.5),
};

const egi_op egi_op_adam = {
    .name = "adam",
    .size = sizeof(egi_update),
    .in = EGI_UPDATE_IN,
    .out = EGI_UPDATE_OUT,
    .check = check,
    .reference = reference,
    .bytes = egi_update_bytes,
    EGI_CASES(cases),
};
