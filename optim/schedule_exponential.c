#include "optim/optim.h"

#include <math.h>

/** factor^(step / every): Keras' ExponentialDecay; with every = 1, PyTorch's ExponentialLR. */
static double share(const egi_schedule *s, int64_t step)
{
    return pow(s->factor, s->every > 0 ? (double)step / (double)s->every : 0);
}

const egi_schedule_type egi_schedule_exponential = {.name = "exponential", .share = share};
