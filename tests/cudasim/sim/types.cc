/** tests/cudasim/sim/types.cc: names and sizes of types; rounding to short formats. */
#include "tests/cudasim/sim/types.h"

#include <unordered_map>

namespace cudasim
{

Type type_named(const std::string &name)
{
    static const std::unordered_map<std::string, Type> names = {
        {"u8", Type::u8},     {"u16", Type::u16},   {"u32", Type::u32},     {"u64", Type::u64},
        {"s8", Type::s8},     {"s16", Type::s16},   {"s32", Type::s32},     {"s64", Type::s64},
        {"b8", Type::b8},     {"b16", Type::b16},   {"b32", Type::b32},     {"b64", Type::b64},
        {"f16", Type::f16},   {"bf16", Type::bf16}, {"f16x2", Type::f16x2}, {"bf16x2", Type::bf16x2},
        {"tf32", Type::tf32}, {"f32", Type::f32},   {"f64", Type::f64},     {"pred", Type::pred}};
    auto found = names.find(name);
    return found == names.end() ? Type::none : found->second;
}

int size_of(Type type)
{
    switch (type) {
    case Type::u8:
    case Type::s8:
    case Type::b8:
        return 1;
    case Type::u16:
    case Type::s16:
    case Type::b16:
    case Type::f16:
    case Type::bf16:
        return 2;
    case Type::u64:
    case Type::s64:
    case Type::b64:
    case Type::f64:
        return 8;
    default:
        return 4;
    }
}

double round_to(double x, int mantissa, int lowest, double limit, Round round)
{
    if (x == 0 || std::isnan(x) || std::isinf(x))
        return x;
    int exponent = std::max(std::ilogb(x), lowest);
    double scaled = std::ldexp(std::fabs(x), mantissa - exponent), whole = std::floor(scaled), rest = scaled - whole;
    bool up = false;
    switch (round) {
    case Round::nearest:
        up = rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2) == 1);
        break;
    case Round::away:
        up = rest >= 0.5;
        break;
    case Round::down:
        up = rest > 0 && x < 0;
        break;
    case Round::up:
        up = rest > 0 && x > 0;
        break;
    case Round::zero:
        break;
    }
    double result = std::ldexp(whole + up, exponent - mantissa);
    if (result > limit) {
        bool clamp = round == Round::zero || (round == Round::down && x > 0) || (round == Round::up && x < 0);
        result = clamp ? limit : INFINITY;
    }
    return std::copysign(result, x);
}

/** The bits of a short format that x rounds to, ties to even, where both are normal numbers; false: not so. */
static bool round_normal(double x, int mantissa, int lowest, double limit, u32 *bits)
{
    double magnitude = std::fabs(x);
    if (!(magnitude >= std::ldexp(1, lowest) && magnitude <= limit))
        return false;
    u64 u = bits_as<u64>(magnitude);
    int drop = 52 - mantissa;
    u += (1ull << (drop - 1)) - 1 + (u >> drop & 1);
    *bits = (u32)((u >> drop) - ((u64)(1022 + lowest) << mantissa));
    return true;
}

u16 to_f16(double x, Round round)
{
    u32 bits;
    if (round == Round::nearest && round_normal(x, 10, -14, 65504, &bits))
        return (u16)(bits | (std::signbit(x) ? 0x8000 : 0));
    if (std::isnan(x))
        return 0x7fff;
    double r = round_to(x, 10, -14, 65504, round), magnitude = std::fabs(r);
    u16 sign = std::signbit(r) ? 0x8000 : 0;
    if (std::isinf(r))
        return sign | 0x7c00;
    if (magnitude < std::ldexp(1, -14))
        return sign | (u16)std::ldexp(magnitude, 24);
    int exponent = std::ilogb(magnitude);
    return sign | (u16)((exponent + 15) << 10) | (u16)((u32)std::ldexp(magnitude, 10 - exponent) & 1023);
}

u16 to_bf16(double x, Round round)
{
    u32 bits;
    if (round == Round::nearest && round_normal(x, 7, -126, 3.3895313892515355e38, &bits))
        return (u16)(bits | (std::signbit(x) ? 0x8000 : 0));
    if (std::isnan(x))
        return 0x7fff;
    const double limit = bits_as<float>(0x7f7f0000u);
    return (u16)(bits_as<u32>((float)round_to(x, 7, -126, limit, round)) >> 16);
}

float from_f16(u16 half)
{
    u32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 31)
        return bits_as<float>(sign | 0x7f800000 | mantissa << 13);
    if (exponent)
        return bits_as<float>(sign | (exponent + 112) << 23 | mantissa << 13);
    return bits_as<float>(sign | bits_as<u32>((float)mantissa * 5.9604644775390625e-8f)); /* 2^-24 */
}

u32 to_tf32(float x, bool ties_away)
{
    if (std::isnan(x))
        return 0x7fffffff;
    const double limit = bits_as<float>(0x7f7fe000u);
    return bits_as<u32>((float)round_to(x, 10, -126, limit, ties_away ? Round::away : Round::nearest));
}

} // namespace cudasim
