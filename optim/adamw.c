#include "optim/optim.h"

static bool always(const egi_optimizer_settings *s)
{
    (void)s;
    return true;
}

/** Loshchilov & Hutter 2019: Adam whose weight decay does not pass through the moments. */
const egi_optimizer_type egi_optimizer_adamw = {
    .name = "adamw",
    .op = &egi_op_adam,
    .fallback = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7, .weight_decay = 0.004},
    .lr = 1e-3,
    .needs_m = always,
    .needs_v = always,
};
