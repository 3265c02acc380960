/** tests/cudasim/sim/convert.cc: cvt between all types, with its roundings and saturation. */
#include "tests/cudasim/sim/decode.h"

#include <limits>

namespace cudasim
{

namespace
{

/* --- the common conversions, a vector at a time ------------------------------------------------------------------- */

template <class To> struct Cast {
    template <class From> To operator()(From a) const
    {
        return (To)a;
    }
};

/* --- all others: through a number that is exact ------------------------------------------------------------------- */

struct Number { /* of a source */
    bool real = false, is_unsigned = false, from_wide = false;
    double f = 0;
    s64 n = 0;
};

Number load_number(const Warp &w, const Instruction &in, int lane)
{
    Number x;
    u64 wide = in.wide_a == 8 ? source<u64>(w, in.a)[lane] : source<u32>(w, in.a)[lane];
    u32 bits = (u32)wide;
    x.real = is_float(in.from);
    x.from_wide = in.from == Type::f64;
    switch (in.from) {
    case Type::u8:
    case Type::b8:
        x.n = (u8)bits;
        break;
    case Type::s8:
        x.n = (s8)bits;
        break;
    case Type::u16:
    case Type::b16:
        x.n = (u16)bits;
        break;
    case Type::s16:
        x.n = (s16)bits;
        break;
    case Type::s32:
        x.n = (s32)bits;
        break;
    case Type::u64:
    case Type::b64:
        x.is_unsigned = true;
        x.n = (s64)wide;
        break;
    case Type::s64:
        x.n = (s64)wide;
        break;
    case Type::f32:
        x.f = in.flush ? flush(bits_as<float>(bits)) : bits_as<float>(bits);
        break;
    case Type::f64:
        x.f = bits_as<double>(wide);
        break;
    case Type::f16:
        x.f = from_f16((u16)bits);
        break;
    case Type::bf16:
        x.f = from_bf16((u16)bits);
        break;
    default:
        x.n = bits;
    }
    return x;
}

double to_whole(double x, Round round)
{
    switch (round) {
    case Round::down:
        return std::floor(x);
    case Round::up:
        return std::ceil(x);
    case Round::zero:
        return std::trunc(x);
    default:
        return std::nearbyint(x);
    }
}

/** Out of range: the nearest number; no number: 0, or the top bit alone where one side has 64 bits. */
template <class T> u64 clamp(double x, bool from_wide)
{
    using Limits = std::numeric_limits<T>;
    if (std::isnan(x))
        return sizeof(T) == 8 || from_wide ? 1ull << (8 * sizeof(T) - 1) : 0;
    if (x <= (double)Limits::min())
        return (u64)(s64)Limits::min();
    if (x >= (double)Limits::max())
        return (u64)(s64)Limits::max();
    return (u64)(T)x;
}

template <class T> u64 clamp_integer(const Number &x)
{
    using Limits = std::numeric_limits<T>;
    __int128 n = x.is_unsigned ? (__int128)(u64)x.n : (__int128)x.n;
    n = std::max(n, (__int128)Limits::min());
    n = std::min(n, (__int128)Limits::max());
    return (u64)n;
}

template <class T> u64 to_integer(const Number &x, bool saturate)
{
    if (x.real)
        return clamp<T>(x.f, x.from_wide);
    return saturate ? clamp_integer<T>(x) : (u64)(T)x.n;
}

u64 integer_of(const Number &x, Type type, bool saturate)
{
    switch (type) {
    case Type::u8:
    case Type::b8:
        return to_integer<u8>(x, saturate);
    case Type::s8:
        return to_integer<s8>(x, saturate);
    case Type::u16:
    case Type::b16:
        return to_integer<u16>(x, saturate);
    case Type::s16:
        return to_integer<s16>(x, saturate);
    case Type::s32:
        return to_integer<s32>(x, saturate);
    case Type::u64:
    case Type::b64:
        return to_integer<u64>(x, saturate);
    case Type::s64:
        return to_integer<s64>(x, saturate);
    default:
        return to_integer<u32>(x, saturate);
    }
}

/** A double, or a 64-bit integer, rounded to float by any rounding. */
float to_float(const Number &x, Round round)
{
    __int128 n = x.is_unsigned ? (__int128)(u64)x.n : (__int128)x.n;
    float nearest = x.real ? (float)x.f : x.is_unsigned ? (float)(u64)x.n : (float)x.n;
    if (round == Round::nearest || std::isnan(nearest))
        return nearest;
    bool inside = x.real || std::fabs(nearest) < 1e30f;
    __int128 back = x.real || !inside ? 0 : (__int128)nearest;
    bool above = x.real ? (double)nearest > x.f : back > n, below = x.real ? (double)nearest < x.f : back < n;
    bool positive = x.real ? x.f > 0 : n > 0;
    if (above && (round == Round::down || (round == Round::zero && positive)))
        return std::nextafterf(nearest, -INFINITY);
    if (below && (round == Round::up || (round == Round::zero && !positive)))
        return std::nextafterf(nearest, INFINITY);
    return nearest;
}

double saturated(double x)
{
    return x > 0 ? (x > 1 ? 1 : x) : 0;
}

double rounded_double(const Number &x, Round round)
{
    if (x.real)
        return x.f;
    double nearest = x.is_unsigned ? (double)(u64)x.n : (double)x.n;
    __int128 n = x.is_unsigned ? (__int128)(u64)x.n : (__int128)x.n, back = (__int128)nearest;
    if (back > n && (round == Round::down || (round == Round::zero && n > 0)))
        return std::nextafter(nearest, -INFINITY);
    if (back < n && (round == Round::up || (round == Round::zero && n < 0)))
        return std::nextafter(nearest, INFINITY);
    return nearest;
}

/** mode: 1 rounds to a whole number first (.rni and its like), mode2: 1 .relu. */
void convert(Warp &w, const Instruction &in, u32 mask)
{
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        Number x = load_number(w, in, i);
        if (x.real && in.mode)
            x.f = to_whole(x.f, in.round);
        Round round = in.mode ? Round::nearest : in.round;
        if (x.real && is_float(in.type)) {
            if (in.saturate)
                x.f = saturated(x.f);
            if (in.mode2)
                x.f = x.f < 0 ? 0 : x.f;
        }
        double exact = x.real ? x.f : rounded_double(x, Round::nearest);
        float result;
        switch (in.type) {
        case Type::f32:
            result = to_float(x, round);
            target<u32>(w, in.d)[i] = std::isnan(result) ? 0x7fffffff : bits_as<u32>(in.flush ? flush(result) : result);
            break;
        case Type::f64:
            target<double>(w, in.d)[i] = rounded_double(x, round);
            break;
        case Type::f16:
            target<u32>(w, in.d)[i] = to_f16(exact, round);
            break;
        case Type::bf16:
            target<u32>(w, in.d)[i] = to_bf16(exact, round);
            break;
        case Type::tf32:
            target<u32>(w, in.d)[i] = to_tf32((float)x.f, round == Round::away);
            break;
        default:
            store_lane(w, in.d, in.wide, i, integer_of(x, in.type, in.saturate));
        }
    }
}

/** cvt.rn.f16x2.f32 d, a, b: a goes to the high half. */
void convert_pair(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<float>(w, in.a), *b = source<float>(w, in.b);
    auto *d = target<u32>(w, in.d);
    auto half = [&](double x) {
        if (in.saturate)
            x = saturated(x);
        if (in.mode2 && x < 0)
            x = 0;
        return (u32)(in.type == Type::bf16x2 ? to_bf16(x, in.round) : to_f16(x, in.round));
    };
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = half(a[i]) << 16 | half(b[i]);
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

template <class To> Handler cast_from(Type from)
{
    switch (from) {
    case Type::u32:
    case Type::b32:
        return run_lanes<Cast<To>, To, u32>;
    case Type::s32:
        return run_lanes<Cast<To>, To, s32>;
    case Type::u64:
    case Type::b64:
        return run_lanes<Cast<To>, To, u64>;
    case Type::s64:
        return run_lanes<Cast<To>, To, s64>;
    case Type::u16:
    case Type::b16:
        return run_lanes<Cast<To>, To, u16>;
    default:
        return nullptr;
    }
}

/** A vector loop for the frequent pairs; NULL: none. */
Handler quick_cast(Type to, Type from)
{
    switch (to) {
    case Type::f32:
        return from == Type::u32 || from == Type::s32 ? cast_from<float>(from) : nullptr;
    case Type::u32:
    case Type::s32:
        return cast_from<u32>(from);
    case Type::u64:
    case Type::s64:
        return cast_from<u64>(from);
    case Type::f64:
        return from == Type::f32                        ? (Handler)run_lanes<Cast<double>, double, float>
               : from == Type::u32 || from == Type::s32 ? cast_from<double>(from)
                                                        : nullptr;
    default:
        return nullptr;
    }
}

void decode_cvt(Decoder &d, Instruction &in)
{
    Type to = d.words.size() > 2 ? type_named(d.words[d.words.size() - 2]) : Type::none;
    if (to == Type::none || d.type == Type::none || d.type == Type::pred || d.has("rs"))
        d.fail();
    in.type = to;
    in.from = d.type;
    in.mode = d.has("rni") || d.has("rmi") || d.has("rpi") || d.has("rzi");
    in.mode2 = d.has("relu");
    if (d.operands.size() == 3) {
        if (d.type != Type::f32 || (to != Type::f16x2 && to != Type::bf16x2))
            d.fail();
        d.sources(in, Type::f32, Type::f32);
        in.run = convert_pair;
        return;
    }
    if (to == Type::f16x2 || to == Type::bf16x2 || d.type == Type::f16x2 || d.type == Type::bf16x2)
        d.fail();
    d.destination(in);
    if (d.operands.size() != 2)
        d.fail();
    const Operand &from = d.operands[1];
    in.a = d.low_row_of(from, d.type);
    in.wide_a = from.kind == OperandKind::reg ? (u8)from.wide : size_of(d.type) == 8 ? 8 : 4;
    bool plain = !in.mode && !in.mode2 && !in.saturate && !in.flush && in.round == Round::nearest;
    Handler quick = plain ? quick_cast(to, d.type) : nullptr;
    bool widths = (size_of(to) == 8) == (in.wide == 8) && (size_of(d.type) == 8) == (in.wide_a == 8);
    in.run = quick && widths ? quick : convert;
}

} // namespace

const Opcode convert_opcodes[] = {{"cvt", decode_cvt}, {nullptr, nullptr}};

} // namespace cudasim
