/** tests/cudasim/sim/integer.cc: integer arithmetic. */
#include "tests/cudasim/sim/decode.h"

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
                                  {"dp4a", decode_dot},
                                  {"dp2a", decode_dot},
                                  {nullptr, nullptr}};

} // namespace cudasim
