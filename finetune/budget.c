#include "finetune/budget.h"

#include <math.h>

bool egi_over_budget(double drop, double budget)
{
    const double hair = 1e-9; /* less than one of any number of examples */
    return drop > budget + hair;
}

static bool is_better(const egi_budget *b, double drop, double score)
{
    const bool within = !egi_over_budget(drop, b->budget), best_within = !egi_over_budget(b->best_drop, b->budget);
    if (!b->told || within != best_within)
        return !b->told || within;
    return within ? score > b->best_score + b->min_delta : drop < b->best_drop - b->min_delta;
}

bool egi_budget_epoch(egi_budget *b, int64_t epoch, double drop, double score)
{
    if (!is_better(b, drop, score)) {
        b->waited++;
        return false;
    }
    b->told = true;
    b->best_drop = drop;
    b->best_score = score;
    b->best_epoch = epoch;
    b->waited = 0;
    return true;
}

bool egi_budget_exhausted(const egi_budget *b)
{
    return b->patience > 0 && b->waited >= b->patience;
}

void egi_protection_steer(egi_protection *p, double budget, double drop)
{
    const double mix_most = 0.8, mix_step = 0.1, raise = 4, lower = 0.5;
    const bool over = egi_over_budget(drop, budget), far = egi_over_budget(drop, 3 * budget);
    const bool raises = over && (p->was_over || far);
    p->was_over = over;
    if (raises) {
        if (p->steer_strength)
            p->strength *= raise;
        if (p->steer_mix)
            p->mix = fmax(p->mix, fmin(p->mix + mix_step, mix_most));
    } else if (drop < budget / 4) {
        if (p->steer_strength)
            p->strength = fmax(p->strength * lower, p->strength_least);
        if (p->steer_mix)
            p->mix = fmax(p->mix - mix_step, p->mix_least);
    }
}
