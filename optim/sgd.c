#include "optim/optim.h"

static bool needs_m(const egi_optimizer_settings *s)
{
    return s->momentum > 0;
}

static bool needs_v(const egi_optimizer_settings *s)
{
    (void)s;
    return false;
}

const egi_optimizer_type egi_optimizer_sgd = {
    .name = "sgd",
    .op = &egi_op_sgd,
    .fallback = {.momentum = 0},
    .lr = 0.01,
    .has_momentum = true,
    .has_nesterov = true,
    .needs_m = needs_m,
    .needs_v = needs_v,
};
