/** tests/cudasim/sim/memory.h: blocks of device memory with what is known of each byte. */
#ifndef CUDASIM_MEMORY_H
#define CUDASIM_MEMORY_H

#include "tests/cudasim/sim/sim.h"
#include "tests/cudasim/sim/types.h"

#include <cstdlib>

namespace cudasim
{

/** Who last wrote and read a unit of memory; epoch 0: nobody. See race.cc for the rules. */
struct Shadow {
    u32 wrote, read;           /* epochs */
    u16 writer, reader;        /* thread and flags */
    u16 wrote_sync, read_sync; /* the warp's count of bar.warp.sync then */
};

/** Bytes with what is known of them. `valid` has a byte for four bytes of memory: the low four bits say which are
 *  initialised, the high four which belong to no object. The shadow has an entry for 1 << shift bytes; it begins with
 *  words and is refined by the first access to less. Its pages are zero, and cost nothing, until they are touched. */
struct Region {
    u8 *base = nullptr;
    u64 size = 0;
    u8 *valid = nullptr;
    Shadow *shadow = nullptr;
    u8 shift = 2;

    void make_shadow();
    void refine(int new_shift);
    void drop_shadow();
    u8 mask_of(u64 offset, u32 bytes) const
    {
        return bytes >= 4 ? 15 : (u8)(((1u << bytes) - 1) << (offset & 3));
    }
};

struct Allocation {
    Region region;
    u64 begin = 0, end = 0;
    bool freed = false, host = false;
    bool variable = false; /* of a module: never released, not counted */
    u8 *storage = nullptr;
};

extern int check_level; /* 0 nothing, 1 bounds, 2 and uninitialised reads, 3 and races */

Allocation *find_allocation(u64 address);    /* living or in quarantine; NULL: neither */
Allocation *nearest_allocation(u64 address); /* whose bounds the address misses by little; NULL: none */
u64 allocate_variable(size_t bytes);         /* zeroed and valid */

} // namespace cudasim

#endif
