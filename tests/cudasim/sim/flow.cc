/** tests/cudasim/sim/flow.cc: decoders of branches, returns, barriers and traps; run.cc does what they say. */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

void decode_bra(Decoder &d, Instruction &in)
{
    in.flow = Flow::branch;
    d.open_branches.push_back({(int)d.function.code.size(), d.operands.at(0).name});
}

void decode_brx(Decoder &d, Instruction &in)
{
    in.flow = Flow::indexed;
    in.a = d.row(0, Type::u32);
    d.open_tables.push_back({(int)d.function.code.size(), d.operands.at(1).name});
}

void decode_ret(Decoder &d, Instruction &in)
{
    in.flow = d.words[0] == "ret" ? Flow::leave : Flow::exit;
}

void trap(Warp &w, const Instruction &in, u32 mask)
{
    report(w, in, first_lane(mask), "trap");
    w.block->ending = Ending::trap;
}

void decode_trap(Decoder &, Instruction &in)
{
    in.run = trap;
}

void breakpoint(Warp &w, const Instruction &in, u32 mask)
{
    report(w, in, first_lane(mask), "brkpt");
}

void decode_brkpt(Decoder &, Instruction &in)
{
    in.run = breakpoint;
}

/** a: row of the barrier's number, b: of the count (imm 1: there is one); mode: see BarrierMode. */
void decode_barrier(Decoder &d, Instruction &in)
{
    if (d.has("warp"))
        return decode_warp_sync(d, in);
    if (d.has("cluster"))
        d.fail();
    in.flow = Flow::barrier;
    size_t next = 0;
    bool reduces = d.has("red");
    in.mode = d.has("arrive") ? barrier_arrive : barrier_sync;
    if (reduces) {
        bool popc = d.has("popc");
        in.mode = popc ? barrier_count : d.has("and") ? barrier_and : barrier_or;
        in.d = d.operands.at(0).row;
        next = 1;
    }
    in.a = d.row(next++, Type::u32);
    if (d.operands.size() - next > (reduces ? 1u : 0u)) {
        in.b = d.row(next++, Type::u32);
        in.imm = 1;
    }
    if (reduces) {
        bool negated = false;
        in.c = d.predicate(next, &negated);
        in.negated = negated;
    }
}

} // namespace

const Opcode flow_opcodes[] = {{"bra", decode_bra},   {"brx", decode_brx},     {"ret", decode_ret},
                               {"exit", decode_ret},  {"bar", decode_barrier}, {"barrier", decode_barrier},
                               {"trap", decode_trap}, {"brkpt", decode_brkpt}, {nullptr, nullptr}};

} // namespace cudasim
