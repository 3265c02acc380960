/** tests/cudasim/sim/access.h: one lane's checked access to memory, for all opcodes that touch memory. */
#ifndef CUDASIM_ACCESS_H
#define CUDASIM_ACCESS_H

#include "tests/cudasim/sim/decode.h"
#include "tests/cudasim/sim/race.h"

namespace cudasim
{

enum class Touch : u8 { read, write, update }; /* update: an atomic operation, which reads too */

/** Addresses of the lanes, in the instruction's space. */
void lane_addresses(Warp &warp, const Instruction &instruction, u64 addresses[32]);

/** Where a lane may touch `bytes` bytes at an address of `space`; NULL after a report. `value`: what is to be written.
 */
u8 *check_access(Warp &warp, const Instruction &instruction, Space space, int lane, u64 address, u32 bytes, Touch touch,
                 const void *value);

} // namespace cudasim

#endif
