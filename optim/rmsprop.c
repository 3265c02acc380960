#include "optim/optim.h"

static bool needs_m(const egi_optimizer_settings *s)
{
    return s->momentum > 0;
}

static bool needs_v(const egi_optimizer_settings *s)
{
    (void)s;
    return true;
}

const egi_optimizer_type egi_optimizer_rmsprop = {
    .name = "rmsprop",
    .op = &egi_op_rmsprop,
    .fallback = {.rho = 0.9, .epsilon = 1e-7},
    .lr = 1e-3,
    .has_momentum = true,
    .needs_m = needs_m,
    .needs_v = needs_v,
};
