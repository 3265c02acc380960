/** tests/cudasim/sim/atomic.cc: atom and red. Lanes take their turns in order, so results are the same every time. */
#include "tests/cudasim/sim/access.h"

namespace cudasim
{

namespace
{

enum Operation { add, min, max, exch, cas, bit_and, bit_or, bit_xor, inc, dec, operations };

const char *const names[operations] = {"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"};

template <class T> T apply(int operation, T old, T b, T c)
{
    switch (operation) {
    case add:
        return (T)(old + b);
    case min:
        return old < b ? old : b;
    case max:
        return old > b ? old : b;
    case exch:
        return b;
    case cas:
        return old == b ? c : old;
    default:
        break;
    }
    if constexpr (std::is_integral<T>::value) {
        switch (operation) {
        case bit_and:
            return old & b;
        case bit_or:
            return old | b;
        case bit_xor:
            return old ^ b;
        case inc:
            return old >= b ? 0 : (T)(old + 1);
        case dec:
            return old == 0 || old > b ? b : (T)(old - 1);
        default:
            break;
        }
    }
    return old;
}

/** Sums of halves: each part by itself. */
template <class T> T add_halves(Type type, T old, T b)
{
    u64 result = 0;
    const bool bfloat = is_bfloat(type);
    for (unsigned k = 0; k < sizeof(T) / 2; k++) {
        u16 x = (u16)(old >> 16 * k), y = (u16)(b >> 16 * k);
        u16 sum = bfloat ? to_bf16((double)from_bf16(x) + from_bf16(y)) : to_f16((double)from_f16(x) + from_f16(y));
        result |= (u64)sum << 16 * k;
    }
    return (T)result;
}

template <class T, bool halves> void update(Warp &w, const Instruction &in, u32 mask)
{
    u64 addresses[32];
    lane_addresses(w, in, addresses);
    count_request(w, in, addresses, mask, sizeof(T));
    auto *b = source<T>(w, in.b), *c = source<T>(w, in.c);
    for (u32 rest = mask; rest; rest &= rest - 1) {
        const int i = first_lane(rest);
        const u32 thread = w.id * 32 + (u32)i;
        u8 *p = check_access(w, in, in.space, i, addresses[i], sizeof(T), Touch::update, nullptr);
        if (!p)
            continue;
        if (in.space != Space::shared) {
            sync_release(thread, addresses[i], in.release);
            sync_acquire(thread, addresses[i]);
        }
        T old, operand = (T)b[i], fresh;
        memcpy(&old, p, sizeof old);
        if constexpr (halves)
            fresh = add_halves<T>(in.type, old, operand);
        else
            fresh = apply<T>(in.mode, old, operand, in.mode == cas ? (T)c[i] : T());
        memcpy(p, &fresh, sizeof fresh);
        if (in.d >= 0)
            target<T>(w, in.d)[i] = held<T>(old);
    }
}

Handler handler_of(const Decoder &d, int operation)
{
    switch (d.type) {
    case Type::b16:
        return operation == cas || operation == exch ? update<u16, false> : nullptr;
    case Type::u32:
    case Type::b32:
        return update<u32, false>;
    case Type::s32:
        return update<s32, false>;
    case Type::u64:
    case Type::b64:
        return update<u64, false>;
    case Type::s64:
        return update<s64, false>;
    case Type::f32:
        return operation == add || operation == exch ? update<float, false> : nullptr;
    case Type::f64:
        return operation == add || operation == exch ? update<double, false> : nullptr;
    case Type::f16:
    case Type::bf16:
        return operation == add ? update<u16, true> : nullptr;
    case Type::f16x2:
    case Type::bf16x2:
        return operation == add ? update<u32, true> : nullptr;
    default:
        return nullptr;
    }
}

void decode_atomic(Decoder &d, Instruction &in)
{
    int operation = operations;
    for (int i = 0; i < operations; i++)
        if (d.has(names[i]))
            operation = i;
    if (operation == operations || d.has("v2") || d.has("v4") || d.has("v8") || d.has("async"))
        d.fail();
    size_t next = 0;
    in.d = -1;
    if (d.words[0] == "atom") {
        const Operand &to = d.operands.at(next++);
        if (to.kind != OperandKind::sink && to.kind != OperandKind::reg)
            d.fail("destination");
        in.d = to.kind == OperandKind::sink ? -1 : to.row;
    }
    in.mode = (u8)operation;
    in.space = d.space();
    d.memory_order(in);
    d.address(in, next);
    Type row = is_half(d.type) ? Type::b32 : d.type;
    in.b = d.row(next + 1, row);
    in.c = operation == cas ? d.row(next + 2, row) : in.b;
    if (d.operands.size() != next + 2 + (operation == cas))
        d.fail();
    in.run = handler_of(d, operation);
    if (!in.run)
        d.fail();
}

} // namespace

const Opcode atomic_opcodes[] = {{"atom", decode_atomic}, {"red", decode_atomic}, {nullptr, nullptr}};

} // namespace cudasim
