#include "optim/optim.h"

#include <math.h>

static double share(const egi_schedule *s, int64_t step)
{
    (void)step;
    return s->told ? s->level : 1;
}

/** Keras' ReduceLROnPlateau without cooldown: after `patience` epochs without an improvement of more than min_delta the
 * rate falls by factor. */
static void epoch(egi_schedule *s, double value)
{
    if (!s->told) {
        s->told = true;
        s->level = 1;
        s->best = INFINITY;
    }
    if (value < s->best - s->min_delta) {
        s->best = value;
        s->waited = 0;
        return;
    }
    if (++s->waited < s->patience)
        return;
    s->level = fmax(s->level * s->factor, s->floor);
    s->waited = 0;
}

const egi_schedule_type egi_schedule_plateau = {.name = "plateau", .share = share, .epoch = epoch};
