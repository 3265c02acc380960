/** tests/cudasim/sim/compare.cc: setp, set, selp and slct. */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

enum Comparison { eq, ne, lt, le, gt, ge, num, nan, equ, neu, ltu, leu, gtu, geu };

/** The ordered forms are false where an operand is no number, the -u forms true. */
template <int comparison, class T> inline bool compare(T a, T b)
{
    switch (comparison) {
    case eq:
        return a == b;
    case ne:
        return std::is_floating_point<T>::value ? (a < b) | (a > b) : a != b;
    case lt:
        return a < b;
    case le:
        return a <= b;
    case gt:
        return a > b;
    case ge:
        return a >= b;
    case num:
        return (a == a) & (b == b);
    case nan:
        return (a != a) | (b != b);
    case equ:
        return !((a < b) | (a > b));
    case neu:
        return a != b;
    case ltu:
        return !(a >= b);
    case leu:
        return !(a > b);
    case gtu:
        return !(a <= b);
    default:
        return !(a < b);
    }
}

/** The lanes where a comparison holds. */
template <class T, int comparison, bool flushes> u32 compare_lanes(const Warp &w, const Instruction &in)
{
    auto *a = source<T>(w, in.a), *b = source<T>(w, in.b);
    u32 bits[32], result = 0;
    CUDASIM_VECTORIZE
    for (int i = 0; i < 32; i++) {
        T x = (T)a[i], y = (T)b[i];
        if constexpr (flushes) {
            x = flush(x);
            y = flush(y);
        }
        bits[i] = (u32)compare<comparison>(x, y) << i;
    }
    for (int i = 0; i < 32; i++)
        result |= bits[i];
    return result;
}

enum Combine { alone, with_and, with_or, with_xor };

u32 combine(const Warp &w, const Instruction &in, u32 result)
{
    if (in.mode == alone)
        return result;
    u32 other = in.negated ? ~w.predicates[in.c] : w.predicates[in.c];
    return in.mode == with_and ? result & other : in.mode == with_or ? result | other : result ^ other;
}

template <class T, int comparison, bool flushes> void set_predicates(Warp &w, const Instruction &in, u32 mask)
{
    u32 result = compare_lanes<T, comparison, flushes>(w, in), first = combine(w, in, result);
    u32 second = combine(w, in, ~result);
    set_predicate(w, in.d, first, mask);
    set_predicate(w, in.d2, second, mask);
}

/** set: all ones or 1.0; imm holds the bits. */
template <class T, int comparison, bool flushes> void set_value(Warp &w, const Instruction &in, u32 mask)
{
    u32 result = combine(w, in, compare_lanes<T, comparison, flushes>(w, in));
    auto *d = target<u32>(w, in.d);
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = has_lane(result, i) ? (u32)in.imm : 0;
}

template <class T, bool flushes, int comparison = eq> Handler choose(int wanted, bool value)
{
    if (wanted == comparison)
        return value ? (Handler)set_value<T, comparison, flushes> : (Handler)set_predicates<T, comparison, flushes>;
    if constexpr (comparison < geu)
        return choose<T, flushes, comparison + 1>(wanted, value);
    return nullptr;
}

/* --- halves ------------------------------------------------------------------------------------------------------- */

bool compare_by_number(int comparison, float a, float b)
{
    switch (comparison) {
    case eq:
        return a == b;
    case ne:
        return compare<ne>(a, b);
    case lt:
        return a < b;
    case le:
        return a <= b;
    case gt:
        return a > b;
    case ge:
        return a >= b;
    case num:
        return compare<num>(a, b);
    case nan:
        return compare<nan>(a, b);
    default: /* the -u forms lie six behind, but for equ */
        return compare<nan>(a, b) || compare_by_number(comparison - equ, a, b);
    }
}

/** mode2: the comparison. Pairs: setp gives the low half's answer to d, the high half's to d2; set gives both in 32
 * bits. */
void compare_halves(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<u32>(w, in.a), *b = source<u32>(w, in.b);
    const bool bfloat = is_bfloat(in.from), pair = in.from == Type::f16x2 || in.from == Type::bf16x2;
    u32 result[2] = {0, 0};
    for (int i = 0; i < 32; i++)
        for (int k = 0; k < (pair ? 2 : 1); k++) {
            u16 x = (u16)(a[i] >> 16 * k), y = (u16)(b[i] >> 16 * k);
            bool is = bfloat ? compare_by_number(in.mode2, from_bf16(x), from_bf16(y))
                             : compare_by_number(in.mode2, from_f16(x), from_f16(y));
            result[k] |= (u32)is << i;
        }
    u32 low = combine(w, in, result[0]), high = combine(w, in, pair ? result[1] : ~result[0]);
    if (in.type == Type::pred) {
        set_predicate(w, in.d, low, mask);
        set_predicate(w, in.d2, high, mask);
        return;
    }
    auto *d = target<u32>(w, in.d);
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i))
            d[i] = (has_lane(low, i) ? (u32)in.imm : 0) | (pair && has_lane(high, i) ? (u32)in.imm << 16 : 0);
}

/* --- selections --------------------------------------------------------------------------------------------------- */

template <class T> void select(Warp &w, const Instruction &in, u32 mask)
{
    auto *d = target<T>(w, in.d);
    auto *a = source<T>(w, in.a), *b = source<T>(w, in.b);
    const u32 p = in.negated ? ~w.predicates[in.c] : w.predicates[in.c];
    CUDASIM_VECTORIZE
    for (int i = 0; i < 32; i++) {
        auto x = p >> i & 1 ? a[i] : b[i];
        d[i] = mask >> i & 1 ? x : d[i];
    }
}

/** slct: a where c >= 0. */
template <class T, class C> void select_sign(Warp &w, const Instruction &in, u32 mask)
{
    map_lanes<T, T, T, C>(w, in, mask, [](T a, T b, C c) { return c >= 0 ? a : b; });
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

int comparison_of(const Decoder &d)
{
    static const std::unordered_map<std::string, int> names = {
        {"eq", eq},   {"ne", ne},   {"lt", lt},   {"le", le},   {"gt", gt},   {"ge", ge},
        {"lo", lt},   {"ls", le},   {"hi", gt},   {"hs", ge},   {"num", num}, {"nan", nan},
        {"equ", equ}, {"neu", neu}, {"ltu", ltu}, {"leu", leu}, {"gtu", gtu}, {"geu", geu}};
    auto found = names.find(d.words[1]);
    if (found == names.end())
        d.fail();
    return found->second;
}

void decode_combine(Decoder &d, Instruction &in)
{
    if (d.operands.size() < 4)
        return;
    bool negated = false;
    in.c = d.predicate(3, &negated);
    in.negated = negated;
    in.mode = d.has("and") ? with_and : d.has("or") ? with_or : with_xor;
}

Handler comparison_handler(const Decoder &d, Type type, bool flushes, bool value)
{
    int comparison = comparison_of(d);
    if (type == Type::f64)
        return choose<double, false>(comparison, value);
    if (type == Type::f32)
        return flushes ? choose<float, true>(comparison, value) : choose<float, false>(comparison, value);
    return by_integer(d, type, [&](auto t) { return choose<decltype(t), false>(comparison, value); });
}

void decode_setp(Decoder &d, Instruction &in)
{
    const Operand &to = d.operands.at(0);
    if (to.kind != OperandKind::predicate && to.kind != OperandKind::sink)
        d.fail("destination");
    in.d = to.kind == OperandKind::sink ? -1 : to.row;
    in.d2 = to.second;
    in.a = d.row(1, is_half(d.type) ? Type::b32 : d.type);
    in.b = d.row(2, is_half(d.type) ? Type::b32 : d.type);
    decode_combine(d, in);
    in.from = d.type;
    in.type = Type::pred;
    in.mode2 = (u8)comparison_of(d);
    in.run = is_half(d.type) ? compare_halves : comparison_handler(d, d.type, in.flush, false);
}

u32 true_bits(Type type)
{
    switch (type) {
    case Type::f32:
        return 0x3f800000;
    case Type::f16:
    case Type::f16x2:
        return 0x3c00;
    case Type::bf16:
    case Type::bf16x2:
        return 0x3f80;
    case Type::u16:
    case Type::s16:
        return 0xffff;
    default:
        return ~0u;
    }
}

void decode_set(Decoder &d, Instruction &in)
{
    Type to = type_named(d.words[d.words.size() - 2]), row = is_half(d.type) ? Type::b32 : d.type;
    if (to == Type::none)
        d.fail();
    d.sources(in, row, row);
    decode_combine(d, in);
    in.type = to;
    in.from = d.type;
    in.mode2 = (u8)comparison_of(d);
    in.imm = true_bits(to);
    bool pair = d.type == Type::f16x2 || d.type == Type::bf16x2;
    if (pair && !is_half(to))
        in.imm = 0xffff; /* a mask for each half */
    in.run = is_half(d.type) ? compare_halves : comparison_handler(d, d.type, in.flush, true);
}

void decode_selp(Decoder &d, Instruction &in)
{
    bool negated = false;
    d.sources(in, d.type, d.type);
    in.c = d.predicate(3, &negated);
    in.negated = negated;
    in.run = size_of(d.type) == 8 ? select<u64> : select<u32>;
}

void decode_slct(Decoder &d, Instruction &in)
{
    Type value = type_named(d.words[d.words.size() - 2]);
    d.sources(in, value, value, d.type);
    bool wide = size_of(value) == 8;
    if (d.type == Type::f32)
        in.run = wide ? select_sign<u64, float> : select_sign<u32, float>;
    else
        in.run = wide ? select_sign<u64, s32> : select_sign<u32, s32>;
}

} // namespace

const Opcode compare_opcodes[] = {
    {"setp", decode_setp}, {"set", decode_set}, {"selp", decode_selp}, {"slct", decode_slct}, {nullptr, nullptr}};

} // namespace cudasim
