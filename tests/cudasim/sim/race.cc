/** tests/cudasim/sim/race.cc: reports of races, and order between blocks by fences and strong accesses.
 *
 *  A block's accesses are known by epoch and thread. A fence of thread t in epoch e covers all that the block did
 * before e (barriers order it) and what t did in e. A strong write of t then leaves at its address all that t's fences,
 * and the fences before the last barrier, cover; a strong read takes what it finds there for its own thread, and after
 * a barrier for its block. This is vector clocks with a component a block; it is kinder than PTX in two places: a
 * strong read acquires without a fence behind it, and what a thread does between its fence and its strong write counts
 * as covered. */
#include "tests/cudasim/sim/race.h"
#include "tests/cudasim/sim/lanes.h"

#include <bitset>

namespace cudasim
{

Epochs epochs;

namespace
{

using Threads = std::bitset<1024>;

/** All accesses before an epoch, and those of some threads in it. */
struct Covered {
    u32 before = 0;
    Threads threads;

    void join(const Covered &other)
    {
        if (other.before > before)
            *this = other;
        else if (other.before == before)
            threads |= other.threads;
    }
    bool has(u32 epoch, u32 thread) const
    {
        return epoch < before || (epoch == before && threads[thread]);
    }
};

struct Place {                                   /* an address that strong writes released to */
    std::vector<std::pair<u32, Covered>> blocks; /* by a block's first epoch, ascending: blocks run one after another */
    std::vector<const Place *> passed_on;        /* what the releasing blocks had acquired themselves */
};

struct Order {
    std::map<u64, Place> places;
    std::vector<u32> block_epochs; /* first epochs of the launch's blocks */
    /* of the current block: */
    std::vector<u32> fence_epochs;
    Covered fenced;     /* by fences before the last barrier */
    Covered fenced_now; /* by fences in this epoch */
    std::vector<const Place *> acquired;
    std::vector<std::pair<u32, const Place *>> acquired_now; /* by thread, in this epoch */
};

Order order;

bool place_covers(const Place &place, u32 block, u32 epoch, u32 thread, std::vector<const Place *> &visited)
{
    if (std::find(visited.begin(), visited.end(), &place) != visited.end())
        return false;
    visited.push_back(&place);
    auto found = std::lower_bound(place.blocks.begin(), place.blocks.end(), block,
                                  [](const std::pair<u32, Covered> &entry, u32 b) { return entry.first < b; });
    if (found != place.blocks.end() && found->first == block && found->second.has(epoch, thread))
        return true;
    for (const Place *next : place.passed_on)
        if (place_covers(*next, block, epoch, thread, visited))
            return true;
    return false;
}

/** Does what `by` did in an epoch of an earlier block happen before what `thread` does now? */
bool ordered(u32 epoch, u32 by, u32 thread)
{
    auto next = std::upper_bound(order.block_epochs.begin(), order.block_epochs.end(), epoch);
    if (next == order.block_epochs.begin())
        return false;
    u32 block = *std::prev(next);
    std::vector<const Place *> visited;
    for (const Place *place : order.acquired)
        if (place_covers(*place, block, epoch, by, visited))
            return true;
    for (auto &own : order.acquired_now)
        if (own.first == thread && place_covers(*own.second, block, epoch, by, visited))
            return true;
    return false;
}

enum class With { none, thread, block }; /* whom an access conflicts with */

With conflict(u32 epoch, u16 who, u16 sync, u32 thread, u16 own_sync)
{
    if (!epoch || epoch < epochs.launch)
        return With::none;
    if (epoch < epochs.block)
        return ordered(epoch, who & thread_mask, thread) ? With::none : With::block;
    if (epoch != epochs.now)
        return With::none;
    if (who & many_warps)
        return With::thread;
    if ((who & thread_mask) == thread && !(who & many_lanes))
        return With::none;
    bool synced = (who & thread_mask) / 32 == thread / 32 && sync != own_sync;
    return synced ? With::none : With::thread;
}

void report_race(Warp &w, const Instruction &in, int lane, const char *what, With with, u16 who, const char *space)
{
    if (with == With::block)
        report(w, in, lane, "data race: %s %s another block (no fence and atomic between)", space, what);
    else if (who & many_warps)
        report(w, in, lane, "data race: %s %s other threads (no barrier between)", space, what);
    else
        report(w, in, lane, "data race: %s %s thread %u of the block (no barrier between)", space, what,
               who & thread_mask);
}

void note_reader(Shadow &s, u32 thread, u16 sync, bool strong)
{
    u16 earlier = 0;
    if (s.read >= epochs.launch && s.read)
        earlier = s.read < epochs.block ? other_blocks : s.reader & other_blocks;
    bool joins = s.read == epochs.now && (s.reader & (thread_mask | many_lanes | many_warps)) != thread;
    u16 reader = (u16)thread;
    if (joins) {
        bool same_warp = (s.reader & thread_mask) / 32 == thread / 32 && !(s.reader & many_warps);
        reader = (u16)((s.reader & thread_mask) | (same_warp ? many_lanes : many_warps));
        strong = strong && (s.reader & strong_mark);
    }
    s.read = epochs.now;
    s.reader = (u16)(reader | earlier | (strong ? strong_mark : 0));
    s.read_sync = sync;
}

} // namespace

void check_race(Warp &w, const Instruction &in, int lane, Shadow &s, bool write, bool strong, bool same,
                const char *space)
{
    const u32 thread = w.id * 32 + (u32)lane;
    const u16 sync = (u16)w.syncs;
    With writer = conflict(s.wrote, s.writer, s.wrote_sync, thread, sync);
    if (writer != With::none && !(strong && (s.writer & strong_mark)) && !(write && same))
        report_race(w, in, lane, write ? "write after a write by" : "read of what was written by", writer, s.writer,
                    space);
    if (!write)
        return note_reader(s, thread, sync, strong);
    With reader = conflict(s.read, s.reader, s.read_sync, thread, sync);
    if (reader == With::none && (s.reader & other_blocks) && s.read >= epochs.launch && s.read &&
        order.acquired.empty() && order.acquired_now.empty())
        reader = With::block;
    if (reader != With::none && !(strong && (s.reader & strong_mark)) && !same)
        report_race(w, in, lane, "write after a read by", reader, s.reader, space);
    s.wrote = epochs.now;
    s.writer = (u16)(thread | (strong ? strong_mark : 0));
    s.wrote_sync = sync;
}

/* --- order between blocks ----------------------------------------------------------------------------------------- */

void sync_begin_launch()
{
    order = Order();
    epochs.launch = ++epochs.now;
}

void sync_begin_block()
{
    epochs.block = ++epochs.now;
    order.block_epochs.push_back(epochs.block);
    order.fence_epochs.assign(1024, 0);
    order.fenced = order.fenced_now = Covered();
    order.acquired.clear();
    order.acquired_now.clear();
}

void sync_barrier()
{
    epochs.now++;
    order.fenced.join(order.fenced_now);
    order.fenced_now = Covered();
    for (auto &own : order.acquired_now)
        if (std::find(order.acquired.begin(), order.acquired.end(), own.second) == order.acquired.end())
            order.acquired.push_back(own.second);
    order.acquired_now.clear();
}

void sync_fence(u32 thread)
{
    order.fence_epochs[thread] = epochs.now;
    order.fenced_now.before = epochs.now;
    order.fenced_now.threads.set(thread);
}

void sync_release(u32 thread, u64 address, bool release)
{
    if (release)
        sync_fence(thread);
    Covered covered = order.fenced;
    if (order.fence_epochs[thread]) {
        Covered own;
        own.before = order.fence_epochs[thread];
        own.threads.set(thread);
        covered.join(own);
    }
    if (!covered.before)
        return;
    Place &place = order.places[address];
    if (place.blocks.empty() || place.blocks.back().first != epochs.block)
        place.blocks.push_back({epochs.block, Covered()});
    place.blocks.back().second.join(covered);
    auto pass_on = [&](const Place *other) {
        if (other != &place &&
            std::find(place.passed_on.begin(), place.passed_on.end(), other) == place.passed_on.end())
            place.passed_on.push_back(other);
    };
    for (const Place *other : order.acquired)
        pass_on(other);
    for (auto &own : order.acquired_now)
        if (own.first == thread)
            pass_on(own.second);
}

void sync_acquire(u32 thread, u64 address)
{
    if (order.places.empty())
        return;
    auto found = order.places.find(address);
    if (found == order.places.end())
        return;
    for (auto &own : order.acquired_now)
        if (own.first == thread && own.second == &found->second)
            return;
    order.acquired_now.push_back({thread, &found->second});
}

} // namespace cudasim
