/** tests/cudasim/sim/run.cc: warps: paths of lanes that diverge, wait for each other and meet again. */
#include "tests/cudasim/sim/run.h"

namespace cudasim
{

namespace
{

/* Instructions of a warp before others have a turn, for those that spin: other warps, and lanes that stand behind. */
const u64 slice = 1 << 18, slice_backwards = 1 << 12;

void put(Warp &w, const Path &path, u32 mask, int pc)
{
    Path part = path;
    part.mask = mask;
    part.pc = pc;
    part.wait = Wait::no;
    w.paths.push_back(part);
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

/** The path to go on with: the deepest call, then the first instruction, so that lanes meet again; -1: none can. After
 *  each slice it is the last instruction for a while: lanes may spin for others that stand behind them. */
int choose(const Warp &w)
{
    int best = -1;
    for (int i = 0; i < (int)w.paths.size(); i++) {
        const Path &p = w.paths[i];
        if (p.wait != Wait::no)
            continue;
        if (best < 0) {
            best = i;
            continue;
        }
        const Path &b = w.paths[best];
        if (w.backwards ? p.pc > b.pc
                        : p.frame->depth > b.frame->depth || (p.frame->depth == b.frame->depth && p.pc < b.pc))
            best = i;
    }
    return best;
}

/** Takes path `i` off the list with all lanes that stand at the same place; `stop`: where it may meet others. */
Path gather(Warp &w, int i, int *stop)
{
    Path path = w.paths[i];
    w.paths.erase(w.paths.begin() + i);
    *stop = INT32_MAX;
    for (size_t k = 0; k < w.paths.size();) {
        const Path &other = w.paths[k];
        bool together = other.frame == path.frame && other.wait != Wait::barrier;
        if (together && other.pc == path.pc) {
            path.mask |= other.mask;
            w.paths.erase(w.paths.begin() + (long)k);
            continue;
        }
        if (together && other.pc > path.pc)
            *stop = std::min(*stop, other.pc);
        k++;
    }
    return path;
}

/* --- instructions that move a path ------------------------------------------------------------------------------- */

/** Each of these says whether the path goes on; if not, it and its parts are on the warp's list, or have ended. */

bool take_branch(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    Counters &c = w.block->kernel->counters;
    c.branches++;
    if (mask == path.mask) {
        path.pc = in.target;
        if (w.paths.empty())
            return true;
        put(w, path, path.mask, path.pc);
        return false;
    }
    c.divergent_branches++;
    put(w, path, mask, in.target);
    put(w, path, path.mask & ~mask, path.pc + 1);
    return false;
}

bool take_indexed(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    auto *index = source<u32>(w, in.a);
    Counters &c = w.block->kernel->counters;
    c.branches++;
    int parts = 0;
    for (u32 rest = mask; rest; parts++) {
        u32 wanted = index[first_lane(rest)], same = 0;
        for (int i = 0; i < 32; i++)
            if (has_lane(rest, i) && index[i] == wanted)
                same |= 1u << i;
        rest &= ~same;
        if (wanted >= in.rows->size()) {
            report(w, in, first_lane(same), "brx.idx: index %u of %zu targets", wanted, in.rows->size());
            wanted = 0;
        }
        put(w, path, same, (*in.rows)[wanted]);
    }
    c.divergent_branches += parts > 1;
    if (path.mask & ~mask)
        put(w, path, path.mask & ~mask, path.pc + 1);
    return false;
}

bool leave(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    if (in.flow == Flow::leave && path.frame->caller) {
        Frame *frame = path.frame;
        Path outer = path;
        outer.frame = frame->caller;
        put(w, outer, mask, frame->return_pc);
        leave_call(frame, mask);
    } else {
        w.live &= ~mask;
        for (Frame *f = path.frame; f->caller;) {
            Frame *caller = f->caller;
            drop_lanes(f, mask);
            f = caller;
        }
    }
    path.mask &= ~mask;
    path.pc++;
    return path.mask != 0;
}

bool call(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    u32 same = mask;
    if (in.callee->name.empty()) { /* lanes may call different functions */
        auto *address = source<u64>(w, in.callee->row);
        for (int i = 0; i < 32; i++)
            if (has_lane(mask, i) && address[i] != address[first_lane(mask)])
                same &= ~(1u << i);
    }
    Frame *frame = enter_call(w, in, same, path.pc + 1);
    if (mask & ~same)
        put(w, path, mask & ~same, path.pc);
    if (path.mask & ~mask)
        put(w, path, path.mask & ~mask, path.pc + 1);
    if (frame) {
        Path inner = path;
        inner.frame = frame;
        put(w, inner, same, 0);
    } else {
        put(w, path, same, path.pc + 1);
    }
    return false;
}

bool arrive(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    u32 barrier = source<u32>(w, in.a)[first_lane(mask)];
    if (barrier >= 16) {
        report(w, in, first_lane(mask), "barrier %u: there are 16", barrier);
        barrier = 0;
    }
    if (path.mask & ~mask)
        put(w, path, path.mask & ~mask, path.pc + 1);
    if (in.mode == barrier_arrive) {
        w.block->arrived[barrier] += (u32)__builtin_popcount(mask);
        put(w, path, mask, path.pc + 1);
        return false;
    }
    Path waiting = path;
    waiting.mask = mask;
    waiting.wait = Wait::barrier;
    waiting.barrier = barrier;
    waiting.count = in.imm ? source<u32>(w, in.b)[first_lane(mask)] : 0;
    w.paths.push_back(waiting);
    return false;
}

bool sync(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    const u32 *masks = source<u32>(w, in.e); /* groups of lanes may each name their own */
    const u32 members = masks[first_lane(mask)];
    for (u32 rest = mask; rest; rest &= rest - 1)
        if (const int lane = first_lane(rest); !has_lane(masks[lane], lane))
            report(w, in, lane, "warp intrinsic: the calling lane is not in its own mask %#x", masks[lane]);
    if (path.mask & ~mask)
        put(w, path, path.mask & ~mask, path.pc + 1);
    path.mask = mask;
    if (members & ~mask) {
        path.wait = Wait::sync;
        w.paths.push_back(path);
        return false;
    }
    in.run(w, in, mask);
    path.pc++;
    return true;
}

bool move(Warp &w, Path &path, const Instruction &in, u32 mask)
{
    switch (in.flow) {
    case Flow::branch:
        return take_branch(w, path, in, mask);
    case Flow::indexed:
        return take_indexed(w, path, in, mask);
    case Flow::leave:
    case Flow::exit:
        return leave(w, path, in, mask);
    case Flow::barrier:
        return arrive(w, path, in, mask);
    case Flow::sync:
        return sync(w, path, in, mask);
    default:
        return call(w, path, in, mask);
    }
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/** Runs a path until it ends, waits, splits, or comes to `stop`. Returns how many instructions that were. */
u64 run_path(Warp &w, Path path, int stop)
{
    w.enter(path.frame);
    const Instruction *code = path.frame->function->code.data();
    Counters &c = w.block->kernel->counters;
    u64 done = 0, threads = 0;
    int active = __builtin_popcount(path.mask);
    for (;;) {
        if (path.pc >= stop || done >= slice) {
            put(w, path, path.mask, path.pc);
            break;
        }
        const Instruction &in = code[path.pc];
        u32 mask = path.mask;
        done++;
        threads += (u64)active;
        if (in.guard >= 0)
            mask &= in.guard_negated ? ~w.predicates[in.guard] : w.predicates[in.guard];
        if (!mask) {
            path.pc++;
        } else if (in.flow == Flow::plain) {
            in.run(w, in, mask);
            path.pc++;
        } else {
            if (!move(w, path, in, mask))
                break;
            active = __builtin_popcount(path.mask);
        }
        if (w.block->ending != Ending::complete) {
            put(w, path, path.mask, path.pc); /* for free_frames() */
            break;
        }
    }
    c.warp_instructions += done;
    c.thread_instructions += threads;
    instructions_done += done;
    return done;
}

/** bar.warp.sync at different places is one meeting: lets all go if every member waits at some. */
bool meet(Warp &w)
{
    u32 waiting = 0;
    for (const Path &p : w.paths)
        if (p.wait == Wait::sync && p.frame->function->code[p.pc].mode2 == 1)
            waiting |= p.mask;
    bool met = false;
    for (Path &p : w.paths) {
        if (p.wait != Wait::sync || p.frame->function->code[p.pc].mode2 != 1)
            continue;
        w.enter(p.frame);
        u32 members = source<u32>(w, p.frame->function->code[p.pc].e)[first_lane(p.mask)];
        if (members & ~waiting)
            continue;
        p.wait = Wait::no;
        p.pc++;
        met = true;
    }
    w.syncs += met;
    return met;
}

/** A warp intrinsic whose other lanes never come: a report, and it goes on without them. */
bool give_up(Warp &w)
{
    for (Path &p : w.paths) {
        if (p.wait != Wait::sync)
            continue;
        w.enter(p.frame);
        const Instruction &in = p.frame->function->code[p.pc];
        u32 members = source<u32>(w, in.e)[first_lane(p.mask)];
        report(w, in, first_lane(p.mask), "warp intrinsic: lanes %#x of its mask have exited or wait elsewhere",
               members & ~p.mask);
        in.run(w, in, p.mask);
        p.pc++;
        p.wait = Wait::no;
        return true;
    }
    return false;
}

} // namespace

bool run_warp(Warp &w, u64 *budget)
{
    const u64 turn = w.backwards ? slice_backwards : slice;
    for (u64 done = 0; done < turn;) {
        int next = choose(w);
        if (next < 0) {
            if (meet(w) || give_up(w))
                continue;
            return false;
        }
        int stop;
        Path path = gather(w, next, &stop);
        u64 n = run_path(w, path, w.backwards ? INT32_MAX : stop);
        done += n;
        if (n > *budget) {
            w.enter(path.frame);
            report(w, path.frame->function->code[path.pc], first_lane(path.mask),
                   "endless loop? the launch's budget of instructions is used up");
            w.block->ending = Ending::stopped;
        }
        *budget -= std::min(n, *budget);
        if (w.block->ending != Ending::complete)
            return false;
    }
    w.backwards = !w.backwards;
    return true;
}

} // namespace cudasim
