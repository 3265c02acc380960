/** tests/cudasim/sim/run.h: what launch.cc asks of run.cc. */
#ifndef CUDASIM_RUN_H
#define CUDASIM_RUN_H

#include "tests/cudasim/sim/lanes.h"

namespace cudasim
{

/** Runs a warp until all of its lanes have ended or wait at barriers of the block (false), or its slice is over (true).
 */
bool run_warp(Warp &warp, u64 *budget);

} // namespace cudasim

#endif
