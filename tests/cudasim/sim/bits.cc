/** tests/cudasim/sim/bits.cc: logic, shifts and bit operations. */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

template <class T> using Unsigned = std::make_unsigned_t<T>;

/* --- logic and shifts --------------------------------------------------------------------------------------------- */

struct And {
    template <class T> T operator()(T a, T b) const
    {
        return a & b;
    }
};

struct Or {
    template <class T> T operator()(T a, T b) const
    {
        return a | b;
    }
};

struct Xor {
    template <class T> T operator()(T a, T b) const
    {
        return a ^ b;
    }
};

struct Not {
    template <class T> T operator()(T a) const
    {
        return (T)~a;
    }
};

struct LogicalNot {
    template <class T> T operator()(T a) const
    {
        return a == 0;
    }
};

struct ShiftLeft {
    template <class T> T operator()(T a, u32 by) const
    {
        return by >= 8 * sizeof(T) ? (T)0 : (T)(a << by);
    }
};

struct ShiftRight {
    template <class T> T operator()(T a, u32 by) const
    {
        if (by >= 8 * sizeof(T))
            return a < 0 ? (T)-1 : (T)0;
        return (T)(a >> by);
    }
};

/** shf: 32 bits of the 64 bits {b, a}. */
template <bool left, bool clamp> struct FunnelShift {
    u32 operator()(u32 a, u32 b, u32 by) const
    {
        by = clamp ? (by > 32 ? 32 : by) : by & 31;
        u64 both = (u64)b << 32 | a;
        return left ? (u32)((both << by) >> 32) : (u32)(both >> by);
    }
};

/* --- bits --------------------------------------------------------------------------------------------------------- */

struct PopulationCount {
    template <class T> u32 operator()(T a) const
    {
        return (u32)__builtin_popcountll(a);
    }
};

struct LeadingZeros {
    template <class T> u32 operator()(T a) const
    {
        return a ? (u32)__builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
    }
};

struct Reverse {
    template <class T> T operator()(T a) const
    {
        T reversed = 0;
        for (unsigned i = 0; i < 8 * sizeof(T); i++)
            reversed |= (T)((a >> i & 1) << (8 * sizeof(T) - 1 - i));
        return reversed;
    }
};

/** The highest bit that differs from the sign; with .shiftamt, how far to shift it to the top. */
template <bool shift> struct FindBit {
    template <class T> u32 operator()(T a) const
    {
        auto bits = (Unsigned<T>)(a < 0 ? ~a : a);
        if (!bits)
            return ~0u;
        u32 zeros = LeadingZeros()(bits);
        return shift ? zeros : 8 * (u32)sizeof(T) - 1 - zeros;
    }
};

struct ExtractBits {
    template <class T> T operator()(T a, u32 from, u32 count) const
    {
        const u32 width = 8 * sizeof(T);
        from &= 255;
        count &= 255;
        bool sign = std::is_signed<T>::value && count && (a >> std::min(from + count - 1, width - 1) & 1);
        auto field = from >= width ? (Unsigned<T>)0 : (Unsigned<T>)((Unsigned<T>)a >> from);
        u32 known = from >= width ? 0 : std::min(count, width - from);
        if (known < width) {
            auto mask = (Unsigned<T>)(((Unsigned<T>)1 << known) - 1);
            field = sign ? (Unsigned<T>)(field | (Unsigned<T>)~mask) : (Unsigned<T>)(field & mask);
        }
        return (T)field;
    }
};

template <class T> void insert_bits(Warp &w, const Instruction &in, u32 mask)
{
    auto *d = target<T>(w, in.d);
    auto *a = source<T>(w, in.a), *b = source<T>(w, in.b);
    auto *from = source<u32>(w, in.c), *count = source<u32>(w, in.e);
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        u32 at = from[i] & 255, bits = count[i] & 255, width = 8 * sizeof(T);
        if (at >= width || !bits) {
            d[i] = b[i];
            continue;
        }
        T field = bits >= width ? (T) ~(T)0 : (T)(((T)1 << bits) - 1);
        d[i] = (T)((b[i] & (T) ~(field << at)) | ((a[i] & field) << at));
    }
}

struct Permute {
    u32 operator()(u32 a, u32 b, u32 selector) const
    {
        u64 both = (u64)b << 32 | a;
        u32 result = 0;
        for (int k = 0; k < 4; k++) {
            u32 s = selector >> (4 * k);
            u8 byte = (u8)(both >> (8 * (s & 7)));
            if (s & 8)
                byte = byte & 0x80 ? 0xff : 0;
            result |= (u32)byte << (8 * k);
        }
        return result;
    }
};

/** prmt with a mode (f4e, b4e, rc8, ecl, ecr, rc16): the selector that says the same without one. */
u32 permute_selector(int mode, u32 s)
{
    u32 i = s & 3, h = s & 1;
    switch (mode) {
    case 1:
        return i | (i + 1) << 4 | (i + 2) << 8 | (i + 3) << 12; /* f4e */
    case 2:
        return i | ((i + 7) & 7) << 4 | ((i + 6) & 7) << 8 | ((i + 5) & 7) << 12; /* b4e */
    case 3:
        return i * 0x1111; /* rc8 */
    case 4:
        return i | std::max(i, 1u) << 4 | std::max(i, 2u) << 8 | 3 << 12; /* ecl */
    case 5:
        return 0 | std::min(i, 1u) << 4 | std::min(i, 2u) << 8 | i << 12; /* ecr */
    default:
        return (2 * h) * 0x0101 | (2 * h + 1) * 0x1010; /* rc16 */
    }
}

void permute_mode(Warp &w, const Instruction &in, u32 mask)
{
    map_lanes<u32, u32, u32, u32>(w, in, mask,
                                  [&](u32 a, u32 b, u32 c) { return Permute()(a, b, permute_selector(in.mode, c)); });
}

void logic3(Warp &w, const Instruction &in, u32 mask)
{
    const u32 table = (u32)in.imm;
    map_lanes<u32, u32, u32, u32>(w, in, mask, [table](u32 a, u32 b, u32 c) {
        u32 r = 0;
        for (int k = 0; k < 8; k++)
            r |= (0 - (table >> k & 1)) & (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
        return r;
    });
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

template <class Op> void decode_unary(Decoder &d, Instruction &in)
{
    d.sources(in, d.type);
    in.run = unary<Op>(d, d.type);
}

template <class Op> void decode_logic(Decoder &d, Instruction &in)
{
    if (d.type == Type::pred)
        return decode_predicate(d, in);
    d.sources(in, d.type, d.type);
    in.run = binary<Op>(d, d.type);
}

void decode_not(Decoder &d, Instruction &in)
{
    if (d.type == Type::pred)
        decode_predicate(d, in);
    else
        decode_unary<Not>(d, in);
}

template <class Op> void decode_shift(Decoder &d, Instruction &in)
{
    d.sources(in, d.type, Type::u32);
    in.run = by_integer(d, d.type, [](auto t) -> Handler { return run_lanes<Op, decltype(t), decltype(t), u32>; });
}

template <class Op> void decode_count(Decoder &d, Instruction &in)
{
    d.sources(in, d.type);
    in.run = size_of(d.type) == 8 ? (Handler)run_lanes<Op, u32, u64> : (Handler)run_lanes<Op, u32, u32>;
}

void decode_reverse(Decoder &d, Instruction &in)
{
    d.sources(in, d.type);
    in.run = size_of(d.type) == 8 ? (Handler)run_lanes<Reverse, u64, u64> : (Handler)run_lanes<Reverse, u32, u32>;
}

void decode_find(Decoder &d, Instruction &in)
{
    d.sources(in, d.type);
    bool shift = d.has("shiftamt");
    in.run = by_integer(d, d.type, [shift](auto t) -> Handler {
        using T = decltype(t);
        return shift ? (Handler)run_lanes<FindBit<true>, u32, T> : (Handler)run_lanes<FindBit<false>, u32, T>;
    });
}

void decode_extract(Decoder &d, Instruction &in)
{
    d.sources(in, d.type, Type::u32, Type::u32);
    in.run = by_integer(d, d.type,
                        [](auto t) -> Handler { return run_lanes<ExtractBits, decltype(t), decltype(t), u32, u32>; });
}

void decode_insert(Decoder &d, Instruction &in)
{
    d.sources(in, d.type, d.type, Type::u32);
    in.e = d.row(4, Type::u32);
    in.run = size_of(d.type) == 8 ? insert_bits<u64> : insert_bits<u32>;
}

void decode_permute(Decoder &d, Instruction &in)
{
    static const char *const modes[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    d.sources(in, Type::b32, Type::b32, Type::b32);
    for (int i = 1; i < 7; i++)
        if (d.has(modes[i]))
            in.mode = (u8)i;
    in.run = in.mode ? permute_mode : (Handler)run_lanes<Permute, u32, u32, u32, u32>;
}

void decode_logic3(Decoder &d, Instruction &in)
{
    d.sources(in, Type::b32, Type::b32, Type::b32);
    if (d.operands.size() != 5 || d.operands[4].kind != OperandKind::integer)
        d.fail();
    in.imm = d.operands[4].value;
    in.run = logic3;
}

void decode_funnel(Decoder &d, Instruction &in)
{
    d.sources(in, Type::b32, Type::b32, Type::u32);
    bool clamp = d.has("clamp");
    if (d.has("l"))
        in.run = clamp ? (Handler)run_lanes<FunnelShift<true, true>, u32, u32, u32, u32>
                       : (Handler)run_lanes<FunnelShift<true, false>, u32, u32, u32, u32>;
    else
        in.run = clamp ? (Handler)run_lanes<FunnelShift<false, true>, u32, u32, u32, u32>
                       : (Handler)run_lanes<FunnelShift<false, false>, u32, u32, u32, u32>;
}

} // namespace

const Opcode bit_opcodes[] = {{"and", decode_logic<And>},
                              {"or", decode_logic<Or>},
                              {"xor", decode_logic<Xor>},
                              {"not", decode_not},
                              {"cnot", decode_unary<LogicalNot>},
                              {"shl", decode_shift<ShiftLeft>},
                              {"shr", decode_shift<ShiftRight>},
                              {"shf", decode_funnel},
                              {"popc", decode_count<PopulationCount>},
                              {"clz", decode_count<LeadingZeros>},
                              {"brev", decode_reverse},
                              {"bfind", decode_find},
                              {"bfe", decode_extract},
                              {"bfi", decode_insert},
                              {"prmt", decode_permute},
                              {"lop3", decode_logic3},
                              {nullptr, nullptr}};

} // namespace cudasim
