/** tests/cudasim/sim/race.h: who accessed what since when: the rules of data races.
 *
 *  Time is counted in epochs: one begins with each block and with each barrier of a block. Two accesses of one unit,
 * one of them a write, are a race when they come from
 *  - different threads of a block in one epoch: unless they are lanes of one warp with a bar.warp.sync between them;
 *  - different blocks of one launch: unless the later block acquired what the earlier one released (sync_release,
 * race.cc); and not both are strong (atomic, volatile, relaxed and the like), and the write changes the value. */
#ifndef CUDASIM_RACE_H
#define CUDASIM_RACE_H

#include "tests/cudasim/sim/program.h"

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

struct Accessor { /* what the checks need to know of all lanes of a warp, in this instruction */
    u16 first_thread, sync;
    Epochs epochs;
};

/** What the plain cases need: true when the read or write is no race, and noted. */
__attribute__((always_inline)) inline bool note_read(Shadow &s, const Accessor &who, u16 thread)
{
    const Epochs &e = who.epochs;
    if (s.wrote >= e.launch && (s.wrote < e.block || (s.wrote == e.now && (s.writer & thread_mask) != thread)))
        return false;
    if (s.read != e.now) {
        u16 earlier = 0;
        if (s.read >= e.launch)
            earlier = s.read < e.block ? other_blocks : s.reader & other_blocks;
        s.read = e.now;
        s.reader = thread | earlier;
        s.read_sync = who.sync;
        return true;
    }
    if ((s.reader & many_warps) || s.reader == thread)
        return !(s.reader & strong_mark);
    const bool same_warp = (s.reader & thread_mask) / 32 == thread / 32;
    if (s.reader & strong_mark || (same_warp && s.read_sync != who.sync))
        return false;
    s.reader |= same_warp ? many_lanes : many_warps;
    return true;
}

__attribute__((always_inline)) inline bool note_write(Shadow &s, const Accessor &who, u16 thread)
{
    const Epochs &e = who.epochs;
    if (s.wrote >= e.launch && (s.wrote < e.block || (s.wrote == e.now && (s.writer & thread_mask) != thread)))
        return false;
    if (s.read >= e.launch &&
        ((s.reader & other_blocks) || s.read < e.block || (s.read == e.now && (s.reader & ~strong_mark) != thread)))
        return false;
    s.wrote = e.now;
    s.writer = thread;
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
