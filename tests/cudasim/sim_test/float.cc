/** Floating-point opcodes: exact results where PTX says so, close ones for the approximate units. */
#include "tests/cudasim/sim_test/harness.h"

#include <cfenv>

namespace cudasim_test
{

const float inf = std::numeric_limits<float>::infinity();
const uint64_t nan32 = 0x7fffffff, qnan = 0x7fc00001, tiny = 1 /* the smallest denormal */, small = 0x00400000;

/** a op b with the processor's rounding set to `mode`: what a directed rounding must give. */
template <class F> uint64_t in_mode(int mode, F compute)
{
    fesetround(mode);
    volatile float result = compute();
    fesetround(FE_TONEAREST);
    return f(result);
}

TEST(Float, Arithmetic)
{
    check_table({
        {"add.f32", "rrr", {f(1), f(2)}, f(3)},
        {"add.rn.f32", "rrr", {f(16777216), f(1)}, f(16777216)},
        {"add.f32", "rrr", {f(inf), f(-inf)}, nan32},
        {"add.f32", "rrr", {f(-0.f), f(-0.f)}, f(-0.f)},
        {"add.f32", "rrr", {tiny, tiny}, 2},
        {"add.ftz.f32", "rrr", {tiny, tiny}, 0},
        {"add.ftz.f32", "rrr", {tiny | 0x80000000, f(-0.f)}, f(-0.f)},
        {"add.sat.f32", "rrr", {f(0.75f), f(0.75f)}, f(1)},
        {"add.sat.f32", "rrr", {qnan, f(1)}, f(0)},
        {"sub.f32", "rrr", {f(1), f(2)}, f(-1)},
        {"sub.rn.f32", "rrr", {f(1), f(1)}, 0},
        {"mul.f32", "rrr", {f(3), f(-2)}, f(-6)},
        {"mul.f32", "rrr", {f(1e30f), f(1e30f)}, f(inf)},
        {"mul.f32", "rrr", {f(0), f(inf)}, nan32},
        {"mul.ftz.f32", "rrr", {0x00800000, f(0.5f)}, 0},
        {"mul.rn.f32", "rrr", {0x00800000, f(0.5f)}, small},
        {"fma.rn.f32", "rrrr", {f(1 + 0x1p-23f), f(1 - 0x1p-23f), f(-1)}, f(-0x1p-46f)},
        {"fma.rn.ftz.f32", "rrrr", {f(0x1p-70f), f(0x1p-70f), 0}, 0},
        {"fma.rn.sat.f32", "rrrr", {f(2), f(2), f(-7)}, 0},
        {"mad.rn.f32", "rrrr", {f(2), f(3), f(4)}, f(10)},
        {"div.rn.f32", "rrr", {f(1), f(3)}, f(1.f / 3)},
        {"div.rn.f32", "rrr", {f(1), f(-0.f)}, f(-inf)},
        {"div.approx.f32", "rrr", {f(9), f(3)}, f(3)},
        {"div.full.f32", "rrr", {f(9), f(3)}, f(3)},
        {"add.f64", "lll", {d(1), d(0x1p-60)}, d(1)},
        {"add.rn.f64", "lll", {d(0.1), d(0.2)}, d(0.1 + 0.2)},
        {"sub.f64", "lll", {d(1), d(3)}, d(-2)},
        {"mul.f64", "lll", {d(3), d(0.1)}, d(3 * 0.1)},
        {"fma.rn.f64", "llll", {d(1 + 0x1p-52), d(1 - 0x1p-52), d(-1)}, d(-0x1p-104)},
        {"div.rn.f64", "lll", {d(1), d(3)}, d(1.0 / 3)},
    });
}

TEST(Float, DirectedRoundings)
{
    volatile float a = 1, b = 3, c = 0x1p-30f;
    for (auto &mode :
         std::vector<std::pair<std::string, int>>{{"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}, {"rz", FE_TOWARDZERO}}) {
        int m = mode.second;
        auto op = [&](const char *name) { return name + mode.first + ".f32"; };
        std::string add = op("add."), sub = op("sub."), mul = op("mul."), div = op("div."), fma = op("fma."),
                    root = op("sqrt."), rcp = op("rcp.");
        check_table({
            {add.c_str(), "rrr", {f(1), f(0x1p-30f)}, in_mode(m, [&] { return a + c; })},
            {add.c_str(), "rrr", {f(-1), f(-0x1p-30f)}, in_mode(m, [&] { return -a - c; })},
            {sub.c_str(), "rrr", {f(1), f(0x1p-30f)}, in_mode(m, [&] { return a - c; })},
            {mul.c_str(),
             "rrr",
             {f(1.1f), f(-1.3f)},
             in_mode(m,
                     [&] {
                         volatile float x = 1.1f, y = -1.3f;
                         return x * y;
                     })},
            {div.c_str(), "rrr", {f(1), f(3)}, in_mode(m, [&] { return a / b; })},
            {fma.c_str(), "rrrr", {f(1), f(3), f(0x1p-30f)}, in_mode(m, [&] { return a * b + c; })},
            {root.c_str(), "rr", {f(3)}, in_mode(m, [&] { return std::sqrt((float)b); })},
            {rcp.c_str(), "rr", {f(3)}, in_mode(m, [&] { return 1 / b; })},
        });
    }
    check_table({{"add.rz.f64", "lll", {d(1), d(0x1p-53 + 0x1p-60)}, d(1)},
                 {"add.rp.f64", "lll", {d(1), d(0x1p-60)}, d(1 + 0x1p-52)},
                 {"fma.rm.f64", "llll", {d(1), d(1), d(-0x1p-60)}, d(1 - 0x1p-53)}});
}

TEST(Float, ExtremesAndSigns)
{
    check_table({
        {"min.f32", "rrr", {qnan, f(2)}, f(2)},
        {"min.f32", "rrr", {f(2), qnan}, f(2)},
        {"min.f32", "rrr", {qnan, qnan}, nan32},
        {"min.f32", "rrr", {f(0), f(-0.f)}, f(-0.f)},
        {"min.NaN.f32", "rrr", {qnan, f(2)}, nan32},
        {"max.f32", "rrr", {f(-0.f), f(0)}, 0},
        {"max.f32", "rrr", {f(1), f(-inf)}, f(1)},
        {"max.NaN.f32", "rrr", {f(1), qnan}, nan32},
        {"max.ftz.f32", "rrr", {tiny, f(-1)}, 0},
        {"min.f64", "lll", {d(1), d(-1)}, d(-1)},
        {"max.f64", "lll", {d(NAN), d(-1)}, d(-1)},
        {"neg.f32", "rr", {f(0)}, f(-0.f)},
        {"neg.ftz.f32", "rr", {tiny}, f(-0.f)},
        {"neg.f64", "ll", {d(2)}, d(-2)},
        {"abs.f32", "rr", {f(-inf)}, f(inf)},
        {"abs.ftz.f32", "rr", {tiny}, 0},
        {"abs.f64", "ll", {d(-2)}, d(2)},
        {"copysign.f32", "rrr", {f(-1), f(3)}, f(-3)},
        {"copysign.f64", "lll", {d(1), d(-3)}, d(3)},
        {"sqrt.rn.f32", "rr", {f(2)}, f(std::sqrt(2.f))},
        {"sqrt.rn.f32", "rr", {f(-1)}, nan32},
        {"sqrt.approx.f32", "rr", {f(4)}, f(2)},
        {"sqrt.approx.ftz.f32", "rr", {tiny}, 0},
        {"sqrt.rn.f64", "ll", {d(2)}, d(std::sqrt(2.0))},
        {"rcp.rn.f32", "rr", {f(3)}, f(1 / 3.f)},
        {"rcp.approx.ftz.f32", "rr", {f(0)}, f(inf)},
        {"rcp.approx.ftz.f32", "rr", {tiny | 0x80000000}, f(-inf)},
        {"rcp.rn.f64", "ll", {d(3)}, d(1 / 3.0)},
        {"rsqrt.approx.f32", "rr", {f(4)}, f(0.5f)},
        {"rsqrt.approx.f32", "rr", {f(0)}, f(inf)},
        {"rsqrt.approx.f64", "ll", {d(4)}, d(0.5)},
        {"ex2.approx.f32", "rr", {f(3)}, f(8)},
        {"ex2.approx.ftz.f32", "rr", {f(-140)}, 0},
        {"ex2.approx.f32", "rr", {f(-inf)}, 0},
        {"lg2.approx.f32", "rr", {f(8)}, f(3)},
        {"lg2.approx.f32", "rr", {f(0)}, f(-inf)},
        {"lg2.approx.ftz.f32", "rr", {f(-1)}, nan32},
        {"sin.approx.f32", "rr", {f(0)}, 0},
        {"sin.approx.ftz.f32", "rr", {f(0.5f)}, f(std::sin(0.5f))},
        {"cos.approx.f32", "rr", {f(0)}, f(1)},
        {"cos.approx.f32", "rr", {f(inf)}, nan32},
        {"tanh.approx.f32", "rr", {f(100)}, f(1)},
        {"testp.finite.f32", "pr", {f(1)}, 1},
        {"testp.infinite.f32", "pr", {f(-inf)}, 1},
        {"testp.notanumber.f32", "pr", {qnan}, 1},
        {"testp.number.f32", "pr", {qnan}, 0},
        {"testp.normal.f32", "pr", {tiny}, 0},
        {"testp.subnormal.f32", "pr", {tiny}, 1},
        {"testp.subnormal.f64", "pl", {d(1)}, 0},
    });
}

/** 0x3c00 is 1 as f16, 0x3f80 as bf16; a pair of halves has its first in the low bits. */
TEST(Float, Halves)
{
    check_table({
        {"add.f16", "hhh", {0x3c00, 0x4000}, 0x4200},
        {"add.rn.f16x2", "rrr", {0x40003c00, 0x3c003c00}, 0x42004000},
        {"add.f16", "hhh", {0x7bff, 0x7bff}, 0x7c00},
        {"add.f16", "hhh", {0x0001, 0x0001}, 0x0002},
        {"add.ftz.f16", "hhh", {0x0001, 0x0001}, 0},
        {"add.sat.f16", "hhh", {0x3c00, 0x3c00}, 0x3c00},
        {"add.bf16", "hhh", {0x3f80, 0x3f80}, 0x4000},
        {"add.rn.bf16x2", "rrr", {0x3f803f80, 0x40003f80}, 0x40404000},
        {"sub.f16", "hhh", {0x3c00, 0x4000}, 0xbc00},
        {"sub.bf16x2", "rrr", {0x3f803f80, 0x40003f80}, 0xbf800000},
        {"mul.f16", "hhh", {0x4000, 0x4200}, 0x4600},
        {"mul.bf16", "hhh", {0x4000, 0x4040}, 0x40c0},
        {"mul.f16x2", "rrr", {0x3c004000, 0x3c004200}, 0x3c004600},
        {"fma.rn.f16",
         "hhhh",
         {0x3c01, 0x3bff, 0xbc00},
         0x0ffe}, /* (1 + 2^-10)(1 - 2^-11) - 1 = 2^-12 (1 + 1022 / 1024) */
        {"fma.rn.f16x2", "rrrr", {0x3c003c00, 0x3c004000, 0x3c003c00}, 0x40004200},
        {"fma.rn.relu.f16", "hhhh", {0x3c00, 0xbc00, 0}, 0},
        {"fma.rn.bf16", "hhhh", {0x3f80, 0x4000, 0x3f80}, 0x4040},
        {"fma.rn.bf16x2", "rrrr", {0x3f803f80, 0x3f804000, 0x3f803f80}, 0x40004040},
        {"neg.f16", "hh", {0x3c00}, 0xbc00},
        {"neg.bf16x2", "rr", {0x3f80bf80}, 0xbf803f80},
        {"abs.f16", "hh", {0xbc00}, 0x3c00},
        {"abs.bf16", "hh", {0xbf80}, 0x3f80},
        {"min.f16", "hhh", {0x7e00, 0x3c00}, 0x3c00},
        {"min.NaN.f16", "hhh", {0x7e00, 0x3c00}, 0x7fff},
        {"max.f16x2", "rrr", {0x3c00bc00, 0x40000000}, 0x40000000},
        {"max.bf16", "hhh", {0x3f80, 0x4000}, 0x4000},
        {"max.NaN.bf16x2", "rrr", {0x7fc03f80, 0x40004000}, 0x7fff4000},
        {"ex2.approx.f16", "hh", {0x4200}, 0x4800},
        {"ex2.approx.ftz.bf16", "hh", {0x4040}, 0x4100},
        {"tanh.approx.f16", "hh", {0x7c00}, 0x3c00},
        {"tanh.approx.bf16", "hh", {0}, 0},
    });
}

} // namespace cudasim_test
