/** tests/cudasim/sim/float.cc: floating-point arithmetic of f32, f64, f16, bf16 and pairs of the last two.
 *
 *  Compiled with -frounding-math: the directed roundings set the processor's mode around the loop. */
#include "tests/cudasim/sim/decode.h"

#include <cfenv>

namespace cudasim
{

namespace
{

/** Results that are no number are the one that hardware gives. */
inline float canonical(float x)
{
    return x != x ? bits_as<float>(0x7fffffffu) : x;
}

inline double canonical(double x)
{
    return x;
}

inline float either(float a, float b) /* of two equal numbers: the one with a sign */
{
    return bits_as<float>(bits_as<u32>(a) | bits_as<u32>(b));
}

inline double either(double a, double b)
{
    return bits_as<double>(bits_as<u64>(a) | bits_as<u64>(b));
}

inline float both(float a, float b) /* of two equal numbers: the one without a sign */
{
    return bits_as<float>(bits_as<u32>(a) & bits_as<u32>(b));
}

inline double both(double a, double b)
{
    return bits_as<double>(bits_as<u64>(a) & bits_as<u64>(b));
}

struct Add {
    template <class T> T operator()(T a, T b) const
    {
        return canonical(a + b);
    }
};

struct Subtract {
    template <class T> T operator()(T a, T b) const
    {
        return canonical(a - b);
    }
};

struct Multiply {
    template <class T> T operator()(T a, T b) const
    {
        return canonical(a * b);
    }
};

struct Divide {
    template <class T> T operator()(T a, T b) const
    {
        return canonical(a / b);
    }
};

struct MultiplyAdd {
    float operator()(float a, float b, float c) const
    {
        return canonical(__builtin_fmaf(a, b, c));
    }
    double operator()(double a, double b, double c) const
    {
        return __builtin_fma(a, b, c);
    }
};

struct MultiplyAddPositive {
    double operator()(double a, double b, double c) const
    {
        double r = __builtin_fma(a, b, c);
        return r < 0 ? 0 : r;
    }
};

struct Minimum {
    template <class T> T operator()(T a, T b) const
    {
        T least = a < b ? a : b < a ? b : either(a, b);
        return canonical(a != a ? b : b != b ? a : least);
    }
};

struct Maximum {
    template <class T> T operator()(T a, T b) const
    {
        T most = a > b ? a : b > a ? b : both(a, b);
        return canonical(a != a ? b : b != b ? a : most);
    }
};

template <class Op> struct OrNan { /* min.NaN and max.NaN */
    template <class T> T operator()(T a, T b) const
    {
        return a != a || b != b ? canonical(a + b) : Op()(a, b);
    }
};

struct Negate {
    template <class T> T operator()(T a) const
    {
        return -a;
    }
};

struct Absolute {
    template <class T> T operator()(T a) const
    {
        return std::fabs(a);
    }
};

struct CopySign {
    template <class T> T operator()(T a, T b) const
    {
        return std::copysign(b, a);
    }
};

struct Root {
    template <class T> T operator()(T a) const
    {
        return canonical(std::sqrt(a));
    }
};

struct Reciprocal {
    template <class T> T operator()(T a) const
    {
        return canonical(1 / a);
    }
};

struct ReciprocalRoot {
    template <class T> T operator()(T a) const
    {
        return canonical((T)(1 / std::sqrt((double)a)));
    }
};

struct Sine {
    template <class T> T operator()(T a) const
    {
        return canonical(std::sin(a));
    }
};

struct Cosine {
    template <class T> T operator()(T a) const
    {
        return canonical(std::cos(a));
    }
};

struct Logarithm {
    template <class T> T operator()(T a) const
    {
        return canonical(std::log2(a));
    }
};

struct Exponential {
    template <class T> T operator()(T a) const
    {
        return canonical(std::exp2(a));
    }
};

struct Tangent {
    template <class T> T operator()(T a) const
    {
        return canonical(std::tanh(a));
    }
};

/* --- handlers ----------------------------------------------------------------------------------------------------- */

template <class Op, bool flushes, bool saturates> struct Shaped {
    template <class... A> float operator()(A... a) const
    {
        float r = Op()((flushes ? flush(a) : a)...);
        if (flushes)
            r = flush(r);
        if (saturates)
            r = r > 0 ? (r > 1 ? 1 : r) : 0; /* no number: 0 */
        return r;
    }
};

template <Handler handler, int mode> void in_mode(Warp &w, const Instruction &in, u32 mask)
{
    fesetround(mode);
    handler(w, in, mask);
    fesetround(FE_TONEAREST);
}

template <Handler handler> Handler rounded(Round round)
{
    switch (round) {
    case Round::up:
        return in_mode<handler, FE_UPWARD>;
    case Round::down:
        return in_mode<handler, FE_DOWNWARD>;
    case Round::zero:
        return in_mode<handler, FE_TOWARDZERO>;
    default:
        return handler;
    }
}

template <class Op, class... A> Handler shaped(const Instruction &in)
{
    if (in.flush && in.saturate)
        return rounded<run_lanes<Shaped<Op, true, true>, float, A...>>(in.round);
    if (in.flush)
        return rounded<run_lanes<Shaped<Op, true, false>, float, A...>>(in.round);
    if (in.saturate)
        return rounded<run_lanes<Shaped<Op, false, true>, float, A...>>(in.round);
    return rounded<run_lanes<Op, float, A...>>(in.round);
}

inline double widen(u32 bits, bool bfloat)
{
    return bfloat ? from_bf16((u16)bits) : from_f16((u16)bits);
}

inline u32 narrow(double x, const Instruction &in, bool bfloat)
{
    if (in.saturate)
        x = x > 0 ? (x > 1 ? 1 : x) : 0;
    if (in.flush && std::fabs(x) < (bfloat ? std::ldexp(1, -126) : std::ldexp(1, -14)))
        x = std::copysign(0, x);
    return bfloat ? to_bf16(x, in.round) : to_f16(x, in.round);
}

/** One half, or two in 32 bits, by double arithmetic: its rounding shows in no result of so few bits. */
template <class Op, int sources_count> void run_halves(Warp &w, const Instruction &in, u32 mask)
{
    auto *d = target<u32>(w, in.d);
    auto *a = source<u32>(w, in.a), *b = source<u32>(w, in.b), *c = source<u32>(w, in.c);
    const bool bfloat = is_bfloat(in.type);
    const int parts = in.type == Type::f16x2 || in.type == Type::bf16x2 ? 2 : 1;
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        u32 result = 0;
        for (int k = 0; k < parts; k++) {
            double x = widen(a[i] >> 16 * k, bfloat), r;
            if constexpr (sources_count == 1)
                r = Op()(x);
            else if constexpr (sources_count == 2)
                r = Op()(x, widen(b[i] >> 16 * k, bfloat));
            else
                r = Op()(x, widen(b[i] >> 16 * k, bfloat), widen(c[i] >> 16 * k, bfloat));
            result |= narrow(r, in, bfloat) << 16 * k;
        }
        d[i] = result;
    }
}

/** testp: mode 0 finite, 1 infinite, 2 number, 3 not a number, 4 normal, 5 subnormal. */
template <class T> void test_property(Warp &w, const Instruction &in, u32 mask)
{
    auto *a = source<T>(w, in.a);
    u32 result = 0;
    for (int i = 0; i < 32; i++) {
        T x = a[i];
        const bool answers[] = {!!std::isfinite(x), !!std::isinf(x),
                                !std::isnan(x),     !!std::isnan(x),
                                !!std::isnormal(x), x != 0 && std::isfinite(x) && !std::isnormal(x)};
        result |= (u32)answers[in.mode] << i;
    }
    set_predicate(w, in.d, result, mask);
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

template <class Op> void decode_unary(Decoder &d, Instruction &in)
{
    if (d.operands.size() != 2)
        d.fail();
    d.sources(in, is_half(d.type) ? Type::b32 : d.type);
    in.run = is_half(d.type)       ? run_halves<Op, 1>
             : d.type == Type::f64 ? rounded<run_lanes<Op, double, double>>(in.round)
                                   : shaped<Op, float>(in);
}

template <class Op> void decode_binary(Decoder &d, Instruction &in)
{
    if (d.operands.size() != 3 || d.has("xorsign"))
        d.fail();
    Type row = is_half(d.type) ? Type::b32 : d.type;
    d.sources(in, row, row);
    in.run = is_half(d.type)       ? run_halves<Op, 2>
             : d.type == Type::f64 ? rounded<run_lanes<Op, double, double, double>>(in.round)
                                   : shaped<Op, float, float>(in);
}

template <class Op> void decode_extreme(Decoder &d, Instruction &in)
{
    d.has("NaN") ? decode_binary<OrNan<Op>>(d, in) : decode_binary<Op>(d, in);
}

void decode_fma(Decoder &d, Instruction &in)
{
    if (d.operands.size() != 4 || d.has("oob"))
        d.fail();
    Type row = is_half(d.type) ? Type::b32 : d.type;
    d.sources(in, row, row, row);
    if (is_half(d.type))
        in.run = d.has("relu") ? run_halves<MultiplyAddPositive, 3> : run_halves<MultiplyAdd, 3>;
    else if (d.type == Type::f64)
        in.run = rounded<run_lanes<MultiplyAdd, double, double, double, double>>(in.round);
    else
        in.run = shaped<MultiplyAdd, float, float, float>(in);
}

void decode_test(Decoder &d, Instruction &in)
{
    static const char *const properties[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
    bool known = false, negated;
    in.d = d.predicate(0, &negated);
    in.a = d.row(1, d.type);
    for (int i = 0; i < 6; i++) {
        if (d.has(properties[i])) {
            in.mode = (u8)i;
            known = true;
        }
    }
    if (!known || is_half(d.type))
        d.fail();
    in.run = d.type == Type::f64 ? test_property<double> : test_property<float>;
}

} // namespace

void decode_float(Decoder &d, Instruction &in)
{
    static const std::unordered_map<std::string, Decode> forms = {
        {"add", decode_binary<Add>},    {"sub", decode_binary<Subtract>}, {"mul", decode_binary<Multiply>},
        {"div", decode_binary<Divide>}, {"min", decode_extreme<Minimum>}, {"max", decode_extreme<Maximum>},
        {"neg", decode_unary<Negate>},  {"abs", decode_unary<Absolute>},  {"mad", decode_fma},
    };
    auto form = forms.find(d.words[0]);
    if (form == forms.end())
        d.fail();
    size_t n = d.words.size();
    if (n > 2 && type_named(d.words[n - 2]) != Type::none)
        d.fail(); /* mixed precision: add.f32.f16 */
    form->second(d, in);
}

const Opcode float_opcodes[] = {{"fma", decode_fma},
                                {"copysign", decode_binary<CopySign>},
                                {"sqrt", decode_unary<Root>},
                                {"rcp", decode_unary<Reciprocal>},
                                {"rsqrt", decode_unary<ReciprocalRoot>},
                                {"sin", decode_unary<Sine>},
                                {"cos", decode_unary<Cosine>},
                                {"lg2", decode_unary<Logarithm>},
                                {"ex2", decode_unary<Exponential>},
                                {"tanh", decode_unary<Tangent>},
                                {"testp", decode_test},
                                {nullptr, nullptr}};

} // namespace cudasim
