#include "optim/optim.h"

static bool always(const egi_optimizer_settings *s)
{
    (void)s;
    return true;
}

/** Kingma & Ba 2015, with epsilon outside the bias correction as Keras has it. */
const egi_optimizer_type egi_optimizer_adam = {
    .name = "adam",
    .op = &egi_op_adam,
    .fallback = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7},
    .lr = 1e-3,
    .needs_m = always,
    .needs_v = always,
};
