/** tests/cudasim/sim/types.h: PTX types and state spaces, and the 16-bit floating-point formats. */
#ifndef CUDASIM_TYPES_H
#define CUDASIM_TYPES_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

namespace cudasim
{

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;

enum class Type : u8 {
    none,
    u8,
    u16,
    u32,
    u64,
    s8,
    s16,
    s32,
    s64,
    b8,
    b16,
    b32,
    b64,
    f16,
    bf16,
    f16x2,
    bf16x2,
    tf32,
    f32,
    f64,
    pred
};
enum class Space : u8 { generic, global, shared, local, param, constant };

Type type_named(const std::string &name); /* Type::none: no type's name */
int size_of(Type type);                   /* in bytes */

inline bool is_signed(Type t)
{
    return t == Type::s8 || t == Type::s16 || t == Type::s32 || t == Type::s64;
}

inline bool is_half(Type t)
{
    return t == Type::f16 || t == Type::bf16 || t == Type::f16x2 || t == Type::bf16x2;
}

inline bool is_bfloat(Type t)
{
    return t == Type::bf16 || t == Type::bf16x2;
}

inline bool is_float(Type t)
{
    return is_half(t) || t == Type::f32 || t == Type::f64 || t == Type::tf32;
}

template <class To, class From> inline To bits_as(From value)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

/* --- 16-bit formats ----------------------------------------------------------------------------------------------- */

enum class Round : u8 { nearest, down, up, zero, away };

/** x rounded to `mantissa` bits after the point, smallest normal exponent `lowest`; what is too large for `limit`
 * becomes infinite or stays at the limit, by direction. */
double round_to(double x, int mantissa, int lowest, double limit, Round round);
u16 to_f16(double x, Round round = Round::nearest);
u16 to_bf16(double x, Round round = Round::nearest);
float from_f16(u16 half);
u32 to_tf32(float x, bool ties_away);

inline float from_bf16(u16 half)
{
    return bits_as<float>((u32)half << 16);
}

inline float flush(float x)
{
    return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.f, x) : x;
}

} // namespace cudasim

#endif
