/** tests/cudasim/sim/move.cc: mov in all its forms, addresses, and logic of predicates. */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

template <class T> void move(Warp &w, const Instruction &in, u32 mask)
{
    auto *d = target<T>(w, in.d);
    auto *a = source<T>(w, in.a);
    if (mask == all_lanes) {
        memmove(d, a, 32 * sizeof *d);
        return;
    }
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = a[i];
}

/** mov from a clock: the special row is brought up to date first. */
void move_clock(Warp &w, const Instruction &in, u32 mask)
{
    auto set = [&](int row, auto value) {
        auto *cells = (decltype(value) *)(w.special.data() + row * 128);
        for (int i = 0; i < 32; i++)
            cells[i] = value;
    };
    instructions_done++;
    set(row_clock, (u32)instructions_done);
    set(row_clock_hi, (u32)(instructions_done >> 32));
    set(row_clock64, instructions_done);
    set(row_globaltimer, instructions_done);
    in.wide == 8 ? move<u64>(w, in, mask) : move<u32>(w, in, mask);
}

/** d = {rows}: parts of `bytes` each, the first one lowest. */
void pack(Warp &w, const Instruction &in, u32 mask)
{
    const u64 part_mask = in.bytes == 8 ? ~0ull : (1ull << 8 * in.bytes) - 1;
    for (int i = 0; i < 32; i++) {
        u64 whole = 0;
        for (int k = 0; k < in.count; k++)
            whole |= (load_lane(w, in.v[k], in.bytes == 8 ? 8 : 4, i) & part_mask) << (8 * in.bytes * k);
        if (has_lane(mask, i))
            store_lane(w, in.d, in.wide, i, whole);
    }
}

void unpack(Warp &w, const Instruction &in, u32 mask)
{
    const u64 part_mask = in.bytes == 8 ? ~0ull : (1ull << 8 * in.bytes) - 1;
    for (int i = 0; i < 32; i++) {
        u64 whole = load_lane(w, in.a, in.wide, i);
        for (int k = 0; k < in.count && has_lane(mask, i); k++)
            if (in.v[k] >= 0)
                store_lane(w, in.v[k], 4, i, whole >> (8 * in.bytes * k) & part_mask);
    }
}

/** The address of a variable in local memory, or of a parameter: another one for each lane. */
void frame_address(Warp &w, const Instruction &in, u32 mask)
{
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        u64 base = in.base == Base::local   ? (u64)w.frame->local_of(i)
                   : in.base == Base::param ? (u64)w.frame->params_of(i)
                                            : (u64)w.block->params;
        store_lane(w, in.d, in.wide, i, base + (u64)in.imm);
    }
}

/** cvta: only shared memory has addresses of its own here; a local or parameter address is generic already. */
template <bool to> void convert_shared(Warp &w, const Instruction &in, u32 mask)
{
    const u64 base = (u64)w.block->shared.base;
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i)) {
            u64 a = load_lane(w, in.a, in.wide, i);
            store_lane(w, in.d, in.wide, i, to ? a - base : a + base);
        }
}

bool in_local(const Warp &w, u64 address)
{
    for (const Frame *f = w.frame; f; f = f->caller)
        if (address - (u64)f->local.data() < f->local.size())
            return true;
    return false;
}

void is_space(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<u64>(w, in.a);
    u32 result = 0;
    for (int i = 0; i < 32; i++) {
        bool shared = a[i] - (u64)w.block->shared.base < w.block->shared.size, local = in_local(w, a[i]);
        bool is = in.space == Space::shared  ? shared
                  : in.space == Space::local ? local
                  : in.space == Space::param ? a[i] - (u64)w.block->params < w.block->kernel->param_bytes
                                             : !shared && !local;
        result |= (u32)is << i;
    }
    set_predicate(w, in.d, result, mask);
}

/* --- predicates --------------------------------------------------------------------------------------------------- */

enum PredicateOp { op_and, op_or, op_xor, op_copy, op_set };

/** mode: the operation; mode2 bits: 1 the first, 2 the second source is negated. */
void predicate_logic(Warp &w, const Instruction &in, u32 mask)
{
    u32 a = w.predicates[in.a], b = w.predicates[in.b];
    a = in.mode2 & 1 ? ~a : a;
    b = in.mode2 & 2 ? ~b : b;
    u32 r = in.mode == op_and   ? a & b
            : in.mode == op_or  ? a | b
            : in.mode == op_xor ? a ^ b
            : in.mode == op_set ? (u32)in.imm
                                : a;
    set_predicate(w, in.d, r, mask);
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

void decode_pack(Decoder &d, Instruction &in)
{
    const auto &parts = d.operands[1].parts;
    d.destination(in);
    in.count = (u8)parts.size();
    in.bytes = (u8)(size_of(d.type) / in.count);
    for (size_t k = 0; k < parts.size(); k++)
        in.v[k] = d.row_of(parts[k], in.bytes == 8   ? Type::b64
                                     : in.bytes == 4 ? Type::b32
                                     : in.bytes == 2 ? Type::b16
                                                     : Type::b8);
    in.run = pack;
}

void decode_unpack(Decoder &d, Instruction &in)
{
    const auto &parts = d.operands[0].parts;
    in.count = (u8)parts.size();
    in.bytes = (u8)(size_of(d.type) / in.count);
    in.wide = size_of(d.type) == 8 ? 8 : 4;
    in.a = d.row(1, d.type);
    for (size_t k = 0; k < parts.size(); k++)
        in.v[k] = parts[k].kind == OperandKind::sink ? -1 : parts[k].row;
    in.run = unpack;
}

void decode_predicate_move(Decoder &d, Instruction &in)
{
    bool negated = false;
    in.d = d.operands[0].row;
    in.mode = op_copy;
    if (d.operands[1].kind == OperandKind::predicate) {
        in.a = d.predicate(1, &negated);
        in.mode2 = negated;
    } else {
        in.mode = op_set;
        in.imm = d.operands[1].value ? -1 : 0;
    }
    in.run = predicate_logic;
}

void decode_mov(Decoder &d, Instruction &in)
{
    if (d.operands.size() != 2)
        d.fail("operands");
    const Operand &to = d.operands[0], &from = d.operands[1];
    if (to.kind == OperandKind::predicate)
        return decode_predicate_move(d, in);
    if (from.kind == OperandKind::vector)
        return decode_pack(d, in);
    if (to.kind == OperandKind::vector)
        return decode_unpack(d, in);
    d.destination(in);
    if (from.kind == OperandKind::symbol &&
        (from.base == Base::local || from.base == Base::param || from.base == Base::entry)) {
        in.base = from.base;
        in.imm = from.value;
        in.run = frame_address;
        return;
    }
    in.a = d.row(1, d.type);
    bool clock = from.name.compare(0, 6, "%clock") == 0 || from.name.compare(0, 12, "%globaltimer") == 0;
    bool wide = size_of(d.type) == 8;
    if (from.kind == OperandKind::reg && !wide && from.wide == 8 && size_of(d.type) == 4 && (from.row & 3) == 0)
        d.fail("a wide register");
    in.run = clock ? move_clock : wide ? move<u64> : move<u32>;
}

void decode_cvta(Decoder &d, Instruction &in)
{
    if (d.operands.size() == 2 && d.operands[1].kind == OperandKind::symbol)
        decode_mov(d, in); /* then a register holds the space's address, which may need a shift below */
    else
        d.sources(in, d.type);
    in.wide = (u8)(size_of(d.type) == 8 ? 8 : 4);
    if (d.space() == Space::shared)
        in.run = d.has("to") ? convert_shared<true> : convert_shared<false>;
    else if (!in.run)
        in.run = in.wide == 8 ? move<u64> : move<u32>;
}

void decode_isspacep(Decoder &d, Instruction &in)
{
    bool negated;
    in.d = d.predicate(0, &negated);
    in.a = d.row(1, Type::u64);
    in.space = d.space();
    if (in.space == Space::constant)
        d.fail();
    in.run = is_space;
}

} // namespace

void decode_predicate(Decoder &d, Instruction &in)
{
    bool first = false, second = false;
    const std::string &name = d.words[0];
    in.d = d.predicate(0, &first);
    in.a = d.predicate(1, &first);
    in.b = in.a;
    if (name == "not") {
        in.mode = op_copy;
        in.mode2 = !first;
    } else {
        in.b = d.predicate(2, &second);
        in.mode = name == "and" ? op_and : name == "or" ? op_or : op_xor;
        in.mode2 = (u8)(first | second << 1);
    }
    in.run = predicate_logic;
}

const Opcode move_opcodes[] = {
    {"mov", decode_mov}, {"cvta", decode_cvta}, {"isspacep", decode_isspacep}, {nullptr, nullptr}};

} // namespace cudasim
