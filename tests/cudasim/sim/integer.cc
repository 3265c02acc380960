/** tests/cudasim/sim/integer.cc: integer arithmetic, logic and bit operations. */
#include "decode.h"

namespace cudasim
{

namespace
{

template <class T> using Unsigned = std::make_unsigned_t<T>;

/* --- arithmetic: T is a type of 16, 32 or 64 bits ----------------------------------------------------------------- */

struct Add {
    template <class T> T operator()(T a, T b) const
    {
        return (T)((Unsigned<T>)a + (Unsigned<T>)b);
    }
};

struct Subtract {
    template <class T> T operator()(T a, T b) const
    {
        return (T)((Unsigned<T>)a - (Unsigned<T>)b);
    }
};

struct MultiplyLow {
    template <class T> T operator()(T a, T b) const
    {
        return (T)((u64)a * (u64)b);
    }
};

struct MultiplyHigh {
    template <class T> T operator()(T a, T b) const
    {
        if constexpr (sizeof(T) == 8)
            return (T)(std::is_signed<T>::value ? (u64)(((__int128)a * b) >> 64)
                                                : (u64)(((unsigned __int128)a * (unsigned __int128)b) >> 64));
        else if constexpr (std::is_signed<T>::value)
            return (T)(((s64)a * (s64)b) >> (8 * sizeof(T)));
        else
            return (T)(((u64)a * (u64)b) >> (8 * sizeof(T)));
    }
};

/** Division by zero: all ones, as hardware gives; the smallest number by -1 stays what it is. */
struct Divide {
    template <class T> T operator()(T a, T b) const
    {
        if (b == 0)
            return (T)-1;
        if (std::is_signed<T>::value && b == (T)-1)
            return (T)(0 - (Unsigned<T>)a);
        return (T)(a / b);
    }
};

struct Remainder {
    template <class T> T operator()(T a, T b) const
    {
        if (b == 0)
            return a;
        return std::is_signed<T>::value && b == (T)-1 ? (T)0 : (T)(a % b);
    }
};

struct Minimum {
    template <class T> T operator()(T a, T b) const
    {
        return a < b ? a : b;
    }
};

struct Maximum {
    template <class T> T operator()(T a, T b) const
    {
        return a > b ? a : b;
    }
};

struct Negate {
    template <class T> T operator()(T a) const
    {
        return (T)(0 - (Unsigned<T>)a);
    }
};

struct Absolute {
    template <class T> T operator()(T a) const
    {
        return a < 0 ? (T)(0 - (Unsigned<T>)a) : a;
    }
};

struct MultiplyAdd {
    template <class T> T operator()(T a, T b, T c) const
    {
        return (T)((u64)a * (u64)b + (u64)c);
    }
};

struct MultiplyAddHigh {
    template <class T> T operator()(T a, T b, T c) const
    {
        return Add()(MultiplyHigh()(a, b), c);
    }
};

template <class W> struct MultiplyWide {
    template <class T> W operator()(T a, T b) const
    {
        return (W)a * (W)b;
    }
    template <class T> W operator()(T a, T b, W c) const
    {
        return (W)((u64)a * (u64)b + (u64)c);
    }
};

struct Saturate32 { /* add.sat.s32 and sub.sat.s32 */
    static s32 clamp(s64 x)
    {
        return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (s32)x;
    }
};

struct AddSaturated : Saturate32 {
    s32 operator()(s32 a, s32 b) const
    {
        return clamp((s64)a + b);
    }
};

struct SubtractSaturated : Saturate32 {
    s32 operator()(s32 a, s32 b) const
    {
        return clamp((s64)a - b);
    }
};

struct AbsoluteDifferenceAdd { /* sad */
    template <class T> T operator()(T a, T b, T c) const
    {
        return (T)((Unsigned<T>)c + (a < b ? (Unsigned<T>)b - (Unsigned<T>)a : (Unsigned<T>)a - (Unsigned<T>)b));
    }
};

/** mul24 and mad24: the low 24 bits of each factor; the low 32 bits of the product, or bits 16 to 47. */
template <class T, bool high> struct Multiply24 {
    T operator()(T a, T b) const
    {
        s64 x = (s64)(T)((Unsigned<T>)a << 8) >> 8, y = (s64)(T)((Unsigned<T>)b << 8) >> 8;
        return (T)(high ? (x * y) >> 16 : x * y);
    }
    T operator()(T a, T b, T c) const
    {
        return Add()((*this)(a, b), c);
    }
};

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

/** dp4a and dp2a: c plus products of bytes; mode bits: 1 a is signed, 2 b is signed, 4 dp2a, 8 its high half. */
void dot_product(Warp &w, const Instruction &in, u32 mask)
{
    const int mode = in.mode;
    auto byte = [](u32 x, int k, bool sign) { return sign ? (s32)(s8)(x >> 8 * k) : (s32)(u8)(x >> 8 * k); };
    map_lanes<u32, u32, u32, u32>(w, in, mask, [&](u32 a, u32 b, u32 c) {
        for (int k = 0; k < (mode & 4 ? 2 : 4); k++) {
            s32 x = byte(a, k, mode & 1);
            if (mode & 4)
                x = mode & 1 ? (s32)(s16)(a >> 16 * k) : (s32)(u16)(a >> 16 * k);
            c += (u32)(x * byte(b, mode & 8 ? k + 2 : k, mode & 2));
        }
        return c;
    });
}

/* --- carries ------------------------------------------------------------------------------------------------------ */

/** add, sub and mad with the carry flag, which is a predicate of the frame: predicate 0 is kept for it. mode bits:
 *  1 carry in, 2 carry out, 4 subtract, 8 mad.lo, 16 mad.hi. */
template <class T> void carry_arithmetic(Warp &w, const Instruction &in, u32 mask)
{
    auto *d = target<T>(w, in.d);
    auto *a = source<T>(w, in.a), *b = source<T>(w, in.b), *c = source<T>(w, in.c);
    u32 carry = in.mode & 1 ? w.predicates[0] : 0, out = 0;
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        T x = a[i], y = b[i];
        if (in.mode & 24) {
            x = in.mode & 8 ? MultiplyLow()(a[i], b[i]) : MultiplyHigh()(a[i], b[i]);
            y = c[i];
        }
        unsigned __int128 sum =
            in.mode & 4 ? (unsigned __int128)x - y - has_lane(carry, i) : (unsigned __int128)x + y + has_lane(carry, i);
        d[i] = (T)sum;
        out |= (u32)(sum >> (8 * sizeof(T)) & 1) << i;
    }
    if (in.mode & 2)
        set_predicate(w, 0, out, mask);
}

void decode_carry(Decoder &d, Instruction &in)
{
    const std::string &name = d.words[0];
    bool in_carry = name.back() == 'c';
    in.mode = (u8)((in_carry ? 1 : 0) | (d.has("cc") ? 2 : 0) | (name[0] == 's' ? 4 : 0));
    if (name[0] == 'm') {
        in.mode |= d.has("lo") ? 8 : 16;
        d.sources(in, d.type, d.type, d.type);
    } else {
        d.sources(in, d.type, d.type);
    }
    bool sign = d.type == Type::s32 && (in.mode & 16);
    if (sign)
        d.fail(); /* nvcc emits the unsigned form */
    in.run = size_of(d.type) == 8 ? carry_arithmetic<u64> : carry_arithmetic<u32>;
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

template <class Op> Handler unary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler { return run_lanes<Op, decltype(t), decltype(t)>; });
}

template <class Op> Handler binary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler { return run_lanes<Op, decltype(t), decltype(t), decltype(t)>; });
}

template <class Op> Handler ternary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler {
        using T = decltype(t);
        return run_lanes<Op, T, T, T, T>;
    });
}

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

void decode_dot(Decoder &d, Instruction &in)
{
    d.sources(in, Type::b32, Type::b32, Type::b32);
    size_t n = d.words.size();
    bool two = d.words[0] == "dp2a", sign_a = d.words[n - 2][0] == 's', sign_b = d.words[n - 1][0] == 's';
    in.mode = (u8)((sign_a ? 1 : 0) | (sign_b ? 2 : 0) | (two ? 4 : 0) | (two && d.has("hi") ? 8 : 0));
    in.run = dot_product;
}

void decode_sad(Decoder &d, Instruction &in)
{
    d.sources(in, d.type, d.type, d.type);
    in.run = ternary<AbsoluteDifferenceAdd>(d, d.type);
}

void decode_24(Decoder &d, Instruction &in)
{
    bool sign = d.type == Type::s32, high = d.has("hi");
    if (d.words[0] == "mul24") {
        d.sources(in, d.type, d.type);
        in.run = sign ? (high ? (Handler)run_lanes<Multiply24<s32, true>, s32, s32, s32>
                              : (Handler)run_lanes<Multiply24<s32, false>, s32, s32, s32>)
                      : (high ? (Handler)run_lanes<Multiply24<u32, true>, u32, u32, u32>
                              : (Handler)run_lanes<Multiply24<u32, false>, u32, u32, u32>);
        return;
    }
    d.sources(in, d.type, d.type, d.type);
    in.run = sign ? (high ? (Handler)run_lanes<Multiply24<s32, true>, s32, s32, s32, s32>
                          : (Handler)run_lanes<Multiply24<s32, false>, s32, s32, s32, s32>)
                  : (high ? (Handler)run_lanes<Multiply24<u32, true>, u32, u32, u32, u32>
                          : (Handler)run_lanes<Multiply24<u32, false>, u32, u32, u32, u32>);
}

template <class W, class T> Handler wide_handler(bool add)
{
    return add ? (Handler)run_lanes<MultiplyWide<W>, W, T, T, W> : (Handler)run_lanes<MultiplyWide<W>, W, T, T>;
}

/** mul.wide and mad.wide: the result has twice the bits. */
void decode_wide(Decoder &d, Instruction &in)
{
    bool add = d.words[0] == "mad", small = size_of(d.type) == 2, sign = is_signed(d.type);
    d.sources(in, d.type, d.type);
    if (add)
        in.c = d.row(3, small ? Type::b32 : Type::b64);
    in.wide = small ? 4 : 8;
    if (small)
        in.run = sign ? wide_handler<s32, s16>(add) : wide_handler<u32, u16>(add);
    else
        in.run = sign ? wide_handler<s64, s32>(add) : wide_handler<u64, u32>(add);
}

template <class Op> void decode_binary(Decoder &d, Instruction &in)
{
    if (is_float(d.type))
        return decode_float(d, in);
    d.sources(in, d.type, d.type);
    in.run = binary<Op>(d, d.type);
}

void decode_sum(Decoder &d, Instruction &in)
{
    if (is_float(d.type))
        return decode_float(d, in);
    if (d.has("cc"))
        return decode_carry(d, in);
    d.sources(in, d.type, d.type);
    bool add = d.words[0] == "add";
    if (d.has("sat") && d.type == Type::s32)
        in.run = add ? (Handler)run_lanes<AddSaturated, s32, s32, s32>
                     : (Handler)run_lanes<SubtractSaturated, s32, s32, s32>;
    else
        in.run = add ? binary<Add>(d, d.type) : binary<Subtract>(d, d.type);
}

void decode_multiply(Decoder &d, Instruction &in)
{
    if (is_float(d.type))
        return decode_float(d, in);
    if (d.has("wide"))
        return decode_wide(d, in);
    d.sources(in, d.type, d.type);
    in.run = d.has("hi") ? binary<MultiplyHigh>(d, d.type) : binary<MultiplyLow>(d, d.type);
}

void decode_multiply_add(Decoder &d, Instruction &in)
{
    if (is_float(d.type))
        return decode_float(d, in);
    if (d.has("wide"))
        return decode_wide(d, in);
    if (d.has("cc"))
        return decode_carry(d, in);
    if (d.has("sat"))
        d.fail();
    d.sources(in, d.type, d.type, d.type);
    in.run = d.has("hi") ? ternary<MultiplyAddHigh>(d, d.type) : ternary<MultiplyAdd>(d, d.type);
}

template <class Op> void decode_sign(Decoder &d, Instruction &in)
{
    if (is_float(d.type))
        return decode_float(d, in);
    d.sources(in, d.type);
    in.run = unary<Op>(d, d.type);
}

} // namespace

const Opcode integer_opcodes[] = {{"add", decode_sum},
                                  {"sub", decode_sum},
                                  {"mul", decode_multiply},
                                  {"mad", decode_multiply_add},
                                  {"div", decode_binary<Divide>},
                                  {"rem", decode_binary<Remainder>},
                                  {"min", decode_binary<Minimum>},
                                  {"max", decode_binary<Maximum>},
                                  {"neg", decode_sign<Negate>},
                                  {"abs", decode_sign<Absolute>},
                                  {"addc", decode_carry},
                                  {"subc", decode_carry},
                                  {"madc", decode_carry},
                                  {"mul24", decode_24},
                                  {"mad24", decode_24},
                                  {"sad", decode_sad},
                                  {"and", decode_logic<And>},
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
                                  {"dp4a", decode_dot},
                                  {"dp2a", decode_dot},
                                  {nullptr, nullptr}};

} // namespace cudasim
