#include "optim/optim.h"

#include <math.h>

/** Half a cosine from 1 to floor (Loshchilov & Hutter 2017, without restarts): Keras' CosineDecay, PyTorch's
 * CosineAnnealingLR. */
static double share(const egi_schedule *s, int64_t step)
{
    const int64_t span = s->total - s->warmup;
    const double t = span > 0 ? (step < span ? (double)step / (double)span : 1) : 0;
    return s->floor + (1 - s->floor) * 0.5 * (1 + cos(3.141592653589793 * t));
}

const egi_schedule_type egi_schedule_cosine = {.name = "cosine", .share = share};
