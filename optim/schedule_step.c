#include "optim/optim.h"

#include <math.h>

/** factor^floor(step / every): Keras' ExponentialDecay(staircase=True), PyTorch's StepLR. */
static double share(const egi_schedule *s, int64_t step)
{
    return pow(s->factor, s->every > 0 ? (double)(step / s->every) : 0);
}

const egi_schedule_type egi_schedule_step = {.name = "step", .share = share};
