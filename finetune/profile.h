/** finetune/profile.h: where the time of steps goes: what is measured while they run, and the profile made of it. */
#ifndef EGI_PROFILE_H
#define EGI_PROFILE_H

#include "core/model.h"
#include "engram/profile.h"

#include <jansson.h>

/** What the time between two readings of the clock went to. */
typedef enum egi_lap { EGI_LAP_COMPOSE, EGI_LAP_FILL, EGI_LAP_RUN, EGI_LAP_LOOP, EGI_LAP_PROGRESS, EGI_LAPS } egi_lap;

/** A stopwatch that is read at every change of work, so that nothing is counted twice or not at all. */
typedef struct egi_laps {
    double seconds[EGI_LAPS], last;
    int64_t steps, examples;
} egi_laps;

/** What passed since the last reading is not counted. NULL laps: nothing is measured. */
static inline void egi_laps_begin(egi_laps *laps)
{
    if (laps)
        laps->last = egi_clock();
}

/** What passed since the last reading went to `what`. */
static inline void egi_laps_add(egi_laps *laps, egi_lap what)
{
    if (!laps)
        return;
    const double now = egi_clock();
    laps->seconds[what] += now - laps->last;
    laps->last = now;
}

/** A profile without rows. Owner: caller, eg_profile_free(). */
EG_MUST_USE eg_status egi_profile_create(eg_profile **out, eg_context *context, bool training);
/** Adds what the operations of a profiled plan of `model` took to the rows. */
EG_MUST_USE eg_status egi_profile_add(eg_profile *profile, const eg_model *model, const egi_plan *plan);
/** After all plans: what the laps have and no row has is outside. */
void egi_profile_finish(eg_profile *profile, const egi_laps *laps, const eg_peak *peak);

/** NULL: no memory. */
json_t *egi_profile_object(const eg_profile *profile);
/** Indented text of an object, which is freed; NULL is NOMEM. Owner of *out: caller, egi_free(). */
EG_MUST_USE eg_status egi_json_text(char **out, eg_context *context, json_t *object);

#endif
