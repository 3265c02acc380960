/** core/team.h: the threads of a context. Work comes in pieces that whoever is free takes, so a thread that the system
 * keeps from running holds up only the piece it is in, and one that has not woken yet holds up nothing. What a piece
 * computes must not depend on who does it: then timing changes no bit. */
#ifndef EGI_TEAM_H
#define EGI_TEAM_H

#include "core/context.h"

/** Does piece `piece`; `thread` says whose scratch memory it may use. */
typedef void (*egi_work)(void *arg, int64_t piece, int thread);

/** Makes a team of `threads`, the caller of egi_team_run() among them; fewer where the system gives no more.
 *  Owner: caller. Errors: NOMEM. */
EG_MUST_USE eg_status egi_team_create(egi_team **out, eg_context *context, int threads);

/** Ends its threads. NULL is fine. */
void egi_team_free(egi_team *team);

/** Runs task(arg, piece, thread) once for each piece of [0, pieces) with 0 <= thread < `threads`, and returns when all
 * are done. Allocates nothing. A task that calls it again gets its pieces done one after the other, as thread 0. */
void egi_team_run(egi_team *team, int threads, int64_t pieces, egi_work task, void *arg);

/** Part `part` of `parts` of [0, n), in multiples of `grain`. */
static inline void egi_team_share(int64_t n, int64_t grain, int64_t part, int64_t parts, int64_t *begin, int64_t *end)
{
    const int64_t grains = (n + grain - 1) / grain;
    *begin = grains * part / parts * grain;
    *end = grains * (part + 1) / parts * grain;
    if (*begin > n)
        *begin = n;
    if (*end > n)
        *end = n;
}

#endif
