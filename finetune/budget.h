/** finetune/budget.h: the forgetting budget: which epoch is best, when to stop, how protection is steered. */
#ifndef EGI_BUDGET_H
#define EGI_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/** Lower is better for `drop`, higher for `score`. NaN drop: there is nothing to keep. */
typedef struct egi_budget {
    double budget;    /* allowed drop; infinite: the drop does not count */
    double min_delta; /* a smaller gain is no progress */
    int64_t patience; /* epochs without progress before stopping; 0: never */
    bool told;
    double best_drop, best_score;
    int64_t best_epoch, waited;
} egi_budget;

/** Is the drop over the budget? Both are shares of 1; differences of shares are not exact, so a hair is allowed. False
 * for a NaN drop. */
bool egi_over_budget(double drop, double budget);
/** Takes in an epoch. True when it is the best so far: within the budget the one with the best score; as long as none
 * is within, the one with the least drop. */
bool egi_budget_epoch(egi_budget *b, int64_t epoch, double drop, double score);
/** Have `patience` epochs passed without progress? */
bool egi_budget_exhausted(const egi_budget *b);

/** What protects, as the budget steers it between epochs. */
typedef struct egi_protection {
    double strength, mix;
    double strength_least, mix_least; /* what the run began with: never steered below */
    bool steer_strength, steer_mix;
    bool was_over; /* the last epoch was over the budget too */
} egi_protection;

/** The rule: over the budget in two epochs running, or over three times the budget in one (a high rate makes for a
 * passing drop): strength times 4, mix plus 0.1 (at most 0.8). Under a quarter of it: strength halved and mix less 0.1,
 * but not below where they began. Else nothing. */
void egi_protection_steer(egi_protection *p, double budget, double drop);

#endif
