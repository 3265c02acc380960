/** tests/cudasim/sim/warp_ops.cc: what lanes of a warp do together: shfl, vote, match, redux, bar.warp.sync. They wait
 * for the lanes of their member mask (Flow::sync, run.cc). */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

enum Shuffle { up, down, butterfly, index };

/** The lane that lane i reads from; `inside`: it lies in the lane's segment. */
int shuffle_lane(int mode, int i, u32 b, u32 c, bool *inside)
{
    u32 clamp = c & 31, segment = c >> 8 & 31;
    int least = i & (int)segment, most = (int)((u32)least | (clamp & ~segment)), by = (int)(b & 31), j;
    switch (mode) {
    case up:
        j = i - by;
        *inside = j >= most;
        return j;
    case down:
        j = i + by;
        break;
    case butterfly:
        j = i ^ by;
        break;
    default:
        j = (int)((u32)least | ((u32)by & ~segment));
    }
    *inside = j <= most;
    return j;
}

void shuffle(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<u32>(w, in.a), *b = source<u32>(w, in.b), *c = source<u32>(w, in.c);
    u32 result[32], inside_lanes = 0;
    for (int i = 0; i < 32; i++) {
        bool inside;
        int j = shuffle_lane(in.mode, i, b[i], c[i], &inside);
        if (inside)
            inside_lanes |= 1u << i;
        else
            j = i;
        if (has_lane(mask, i) && !has_lane(mask, j))
            report(w, in, i, "shfl reads lane %d, which does not take part", j);
        result[i] = a[j];
    }
    auto *d = target<u32>(w, in.d);
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = result[i];
    set_predicate(w, in.d2, inside_lanes, mask);
}

void fill(Warp &w, int row, u32 value, u32 mask)
{
    auto *d = target<u32>(w, row);
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = value;
}

enum Vote { ballot, vote_all, vote_any, uniform };

void vote(Warp &w, const Instruction &in, u32 mask)
{
    u32 p = in.a < 0 ? (u32)in.imm : w.predicates[in.a];
    p = (in.negated ? ~p : p) & mask;
    if (in.mode == ballot)
        return fill(w, in.d, p, mask);
    bool yes = in.mode == vote_all ? p == mask : in.mode == vote_any ? p != 0 : p == 0 || p == mask;
    set_predicate(w, in.d, yes ? all_lanes : 0, mask);
}

template <class T, bool all> void match(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<T>(w, in.a);
    u32 result[32] = {}, agree = 0;
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++)
            if (has_lane(mask, i) && has_lane(mask, j) && a[i] == a[j])
                result[i] |= 1u << j;
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        if (all && result[i] != mask)
            result[i] = 0;
        agree |= result[i] ? 1u << i : 0;
        target<u32>(w, in.d)[i] = result[i];
    }
    set_predicate(w, in.d2, agree, mask);
}

enum Reduction { red_add, red_min, red_max, red_and, red_or, red_xor };

void reduce(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<u32>(w, in.a);
    const bool sign = in.type == Type::s32;
    u32 r = a[first_lane(mask)];
    for (u32 rest = mask & (mask - 1); rest; rest &= rest - 1) {
        u32 x = a[first_lane(rest)];
        bool less = sign ? (s32)x < (s32)r : x < r;
        r = in.mode == red_add   ? r + x
            : in.mode == red_min ? (less ? x : r)
            : in.mode == red_max ? (less ? r : x)
            : in.mode == red_and ? r & x
            : in.mode == red_or  ? r | x
                                 : r ^ x;
    }
    fill(w, in.d, r, mask);
}

void sync_warp(Warp &w, const Instruction &, u32)
{
    w.syncs++;
}

void active_mask(Warp &w, const Instruction &in, u32 mask)
{
    fill(w, in.d, mask, mask);
}

void elect(Warp &w, const Instruction &in, u32 mask)
{
    if (in.d >= 0)
        fill(w, in.d, (u32)first_lane(mask), mask);
    set_predicate(w, in.d2, 1u << first_lane(mask), mask);
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

int word_index(const Decoder &d, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (d.has(names[i]))
            return i;
    d.fail();
}

void members(Decoder &d, Instruction &in, size_t operand)
{
    if (!d.has("sync"))
        d.fail();
    in.flow = Flow::sync;
    in.e = d.row(operand, Type::b32);
}

void decode_shfl(Decoder &d, Instruction &in)
{
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    d.sources(in, Type::b32, Type::b32, Type::b32);
    members(d, in, 4);
    in.mode = (u8)word_index(d, modes, 4);
    in.run = shuffle;
}

void decode_vote(Decoder &d, Instruction &in)
{
    static const char *const modes[] = {"ballot", "all", "any", "uni"};
    const Operand &from = d.operands.at(1);
    in.mode = (u8)word_index(d, modes, 4);
    in.d = d.operands[0].row;
    in.negated = from.negated;
    if (from.kind == OperandKind::predicate) {
        in.a = from.row;
    } else {
        in.a = -1;
        in.imm = from.value ? -1 : 0;
    }
    members(d, in, 2);
    in.run = vote;
}

void decode_match(Decoder &d, Instruction &in)
{
    bool all = d.has("all"), wide = d.type == Type::b64;
    if (d.operands.at(0).kind == OperandKind::sink)
        d.fail("destination");
    d.sources(in, d.type);
    members(d, in, 2);
    in.run = all ? (wide ? match<u64, true> : match<u32, true>) : (wide ? match<u64, false> : match<u32, false>);
}

void decode_redux(Decoder &d, Instruction &in)
{
    static const char *const modes[] = {"add", "min", "max", "and", "or", "xor"};
    if (is_float(d.type))
        d.fail();
    d.sources(in, d.type);
    members(d, in, 2);
    in.mode = (u8)word_index(d, modes, 6);
    in.run = reduce;
}

void decode_activemask(Decoder &d, Instruction &in)
{
    d.destination(in);
    in.run = active_mask;
}

void decode_elect(Decoder &d, Instruction &in)
{
    const Operand &to = d.operands.at(0);
    in.d = to.kind == OperandKind::sink ? -1 : to.row;
    in.d2 = to.second;
    members(d, in, 1);
    in.run = elect;
}

} // namespace

void decode_warp_sync(Decoder &d, Instruction &in)
{
    members(d, in, 0);
    in.run = sync_warp;
    in.mode2 = 1; /* lanes may wait for each other at different places */
}

const Opcode warp_opcodes[] = {{"shfl", decode_shfl},   {"vote", decode_vote},   {"match", decode_match},
                               {"redux", decode_redux}, {"elect", decode_elect}, {"activemask", decode_activemask},
                               {nullptr, nullptr}};

} // namespace cudasim
