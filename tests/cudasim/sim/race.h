/** tests/cudasim/sim/race.h: who accessed what since when: the rules of data races.
 *
 *  Time is counted in epochs: one begins with each block and with each barrier of a block. Two accesses of one unit,
 * one of them a write, are a race when they come from
 *  - different threads of a block in one epoch: unless they are lanes of one warp with a bar.warp.sync between them;
 *  - different blocks of one launch: unless the later block acquired what the earlier one released (sync_release,
 * race.cc); and not both are strong (atomic, volatile, relaxed and the like), and the write changes the value. */
#ifndef CUDASIM_RACE_H
#define CUDASIM_RACE_H

#include "program.h"

namespace cudasim
{

struct Epochs {
    u32 now = 0, launch = 0, block = 0; /* the current one; the first ones of the launch and the block */
};

extern Epochs epochs;

/* Shadow::writer and reader: a thread's number and flags. */
const u16 thread_mask = 0x3ff;
const u16 many_lanes = 0x400;    /* lanes of the thread's warp */
const u16 many_warps = 0x800;    /* threads of several warps */
const u16 other_blocks = 0x1000; /* an earlier block of the launch read it too */
const u16 strong_mark = 0x2000;

struct Accessor { /* what the checks need of a thread */
    u16 thread, sync;
};

/** What the plain cases need: true when the read or write is no race, and noted. */
inline bool note_read(Shadow &s, Accessor who)
{
    if (s.wrote >= epochs.launch &&
        (s.wrote < epochs.block || (s.wrote == epochs.now && (s.writer & thread_mask) != who.thread)))
        return false;
    if (s.read != epochs.now) {
        u16 earlier = 0;
        if (s.read >= epochs.launch)
            earlier = s.read < epochs.block ? other_blocks : s.reader & other_blocks;
        s.read = epochs.now;
        s.reader = who.thread | earlier;
        s.read_sync = who.sync;
        return true;
    }
    if (s.reader & strong_mark)
        return false;
    if ((s.reader & many_warps) || ((s.reader & thread_mask) == who.thread && !(s.reader & many_lanes)))
        return true;
    if (s.read_sync != who.sync && (s.reader & thread_mask) / 32 == who.thread / 32)
        return false;
    s.reader |= (s.reader & thread_mask) / 32 == who.thread / 32 ? many_lanes : many_warps;
    return true;
}

inline bool note_write(Shadow &s, Accessor who)
{
    if (s.wrote >= epochs.launch &&
        (s.wrote < epochs.block || (s.wrote == epochs.now && (s.writer & thread_mask) != who.thread)))
        return false;
    if (s.read >= epochs.launch && ((s.reader & other_blocks) || s.read < epochs.block ||
                                    (s.read == epochs.now && (s.reader & ~strong_mark) != who.thread)))
        return false;
    s.wrote = epochs.now;
    s.writer = who.thread;
    s.wrote_sync = who.sync;
    return true;
}

/** The whole rules, with reports; `same`: the write leaves the value as it is. */
void check_race(Warp &warp, const Instruction &instruction, int lane, Shadow &shadow, bool write, bool strong,
                bool same, const char *space);

/* --- order between blocks ----------------------------------------------------------------------------------------- */

void sync_begin_launch();
void sync_begin_block();
void sync_barrier();         /* a barrier of the block ended: what one thread acquired, all have */
void sync_fence(u32 thread); /* fence or membar of at least the device */
void sync_release(u32 thread, u64 address, bool release); /* a strong write; release: it is a fence itself */
void sync_acquire(u32 thread, u64 address);               /* a strong read */

} // namespace cudasim

#endif
