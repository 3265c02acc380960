/** tests/cudasim/sim/copy.cc: cp.async: copies that are done when they are waited for, so that a missing wait is seen.
 */
#include "tests/cudasim/sim/access.h"

namespace cudasim
{

namespace
{

void start_copy(Warp &w, const Instruction &in, u32 mask)
{
    u64 to[32];
    lane_addresses(w, in, to);
    auto *from = source<u64>(w, in.b);
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        u32 taken = in.mode ? source<u32>(w, in.c)[i] : in.bytes;
        w.open_copies.push_back({&in, i, to[i], from[i] + (u64)(s64)in.v[0], in.bytes, std::min<u32>(taken, in.bytes)});
    }
}

void finish_copy(Warp &w, const PendingCopy &copy)
{
    u8 bytes[16] = {};
    const Instruction &in = *copy.instruction;
    if (copy.taken) {
        const u8 *from = check_access(w, in, Space::global, copy.lane, copy.from, copy.bytes, Touch::read, nullptr);
        if (from)
            memcpy(bytes, from, copy.taken);
    }
    u8 *to = check_access(w, in, Space::shared, copy.lane, copy.to, copy.bytes, Touch::write, bytes);
    if (to)
        memcpy(to, bytes, copy.bytes);
}

void commit(Warp &w, const Instruction &, u32)
{
    w.copy_groups.push_back(std::move(w.open_copies));
    w.open_copies.clear();
}

/** imm: how many groups may stay open. */
void wait(Warp &w, const Instruction &in, u32)
{
    while ((s64)w.copy_groups.size() > in.imm) {
        for (const PendingCopy &copy : w.copy_groups.front())
            finish_copy(w, copy);
        w.copy_groups.erase(w.copy_groups.begin());
    }
}

void wait_all(Warp &w, const Instruction &in, u32 mask)
{
    commit(w, in, mask);
    wait(w, in, mask);
}

void decode_cp(Decoder &d, Instruction &in)
{
    if (d.words.at(1) != "async" || d.has("bulk") || d.has("mbarrier"))
        d.fail();
    if (d.has("commit_group")) {
        in.run = commit;
    } else if (d.has("wait_all")) {
        in.run = wait_all;
    } else if (d.has("wait_group")) {
        in.imm = d.operands.at(0).value;
        in.run = wait;
    } else {
        if (d.operands.size() < 3 || d.operands.size() > 4 || d.has("L2::cache_hint"))
            d.fail();
        d.address(in, 0);
        const Operand &from = d.operands[1];
        in.b = from.base == Base::wide ? from.row : d.constant((u64)from.value, 8);
        in.v[0] = from.base == Base::wide ? (int)from.value : 0;
        in.bytes = (u8)d.operands[2].value;
        in.mode = d.operands.size() > 3;
        if (in.mode)
            in.c = d.row(3, Type::b32);
        in.run = start_copy;
    }
}

} // namespace

const Opcode copy_opcodes[] = {{"cp", decode_cp}, {nullptr, nullptr}};

} // namespace cudasim
