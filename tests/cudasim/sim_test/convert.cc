/** cvt in all directions, roundings and saturations. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

const float inf = std::numeric_limits<float>::infinity();
const uint64_t ones32 = 0xffffffff, ones64 = ~0ull, qnan = 0x7fc00000;

/* PTX lets a wide register stand for its low bits; nvcc writes this after mov.b64 of two halves. */
TEST(Convert, WideRegistersOfNarrowTypes)
{
    Buffer<uint64_t> out(64);
    expect_silence(run("mov.u32 %r1, %tid.x;\nmov.u32 %r2, -7;\nsub.s32 %r2, %r2, %r1;\nmov.u32 %r3, 99;\n"
                       "mov.b64 %l1, {%r2, %r3};\ncvt.s64.s32 %l2, %l1;\ncvt.u64.u8 %l3, %l1;\n"
                       "mul.wide.u32 %l4, %r1, 16;\nadd.s64 %l4, %a0, %l4;\n"
                       "st.global.u64 [%l4], %l2;\nst.global.u64 [%l4+8], %l3;",
                       {}, {32, 1, 1}, {out.address}));
    const std::vector<uint64_t> got = out.get();
    for (int i = 0; i < 32; i++) {
        EXPECT_EQ((uint64_t)(int64_t)(-7 - i), got[(size_t)(2 * i)]) << i;
        EXPECT_EQ((uint64_t)(uint8_t)(-7 - i), got[(size_t)(2 * i + 1)]) << i;
    }
}

TEST(Convert, Integers)
{
    check_table({
        {"cvt.u16.u32", "hr", {0x12345678}, 0x5678},
        {"cvt.s64.s32", "lr", {ones32}, ones64},
        {"cvt.u64.u32", "lr", {ones32}, ones32},
        {"cvt.u32.u64", "rl", {0x123456789}, 0x23456789},
        {"cvt.s32.s16", "rh", {0x8000}, 0xffff8000},
        {"cvt.u32.u16", "rh", {0x8000}, 0x8000},
        {"cvt.s32.s8", "rr", {0x1ff}, ones32},
        {"cvt.u32.u8", "rr", {0x1ff}, 0xff},
        {"cvt.sat.u8.s32", "rr", {300}, 255},
        {"cvt.sat.u8.s32", "rr", {ones32}, 0},
        {"cvt.sat.s8.s32", "rr", {(uint32_t)-300}, (uint32_t)-128},
        {"cvt.sat.s16.s32", "hr", {40000}, 0x7fff},
        {"cvt.sat.s32.s64", "rl", {1ull << 40}, 0x7fffffff},
        {"cvt.sat.u32.s64", "rl", {ones64}, 0},
    });
}

TEST(Convert, FloatToInteger)
{
    check_table({
        {"cvt.rzi.s32.f32", "rr", {f(-2.7f)}, (uint32_t)-2},
        {"cvt.rni.s32.f32", "rr", {f(2.5f)}, 2},
        {"cvt.rni.s32.f32", "rr", {f(3.5f)}, 4},
        {"cvt.rmi.s32.f32", "rr", {f(-2.1f)}, (uint32_t)-3},
        {"cvt.rpi.s32.f32", "rr", {f(2.1f)}, 3},
        {"cvt.rzi.s32.f32", "rr", {f(3e9f)}, 0x7fffffff},
        {"cvt.rzi.s32.f32", "rr", {f(-inf)}, 0x80000000},
        {"cvt.rzi.s32.f32", "rr", {qnan}, 0},
        {"cvt.rzi.u32.f32", "rr", {f(-5)}, 0},
        {"cvt.rzi.u32.f32", "rr", {f(3e9f)}, 3000000000u},
        {"cvt.rzi.u32.f32", "rr", {f(5e9f)}, ones32},
        {"cvt.rzi.s64.f32", "lr", {f(-3e10f)}, (uint64_t)-30000001024},
        {"cvt.rzi.s64.f32", "lr", {qnan}, 1ull << 63},
        {"cvt.rzi.u64.f64", "ll", {d(1e19)}, 10000000000000000000ull},
        {"cvt.rzi.s32.f64", "rl", {d(-7.9)}, (uint32_t)-7},
        {"cvt.rzi.s32.f64", "rl", {d(NAN)}, 0x80000000},
        {"cvt.rzi.u16.f32", "hr", {f(70000)}, 0xffff},
        {"cvt.rzi.u8.f32", "rr", {f(300)}, 255},
        {"cvt.rni.s32.f16", "rh", {0x4100}, 2},
        {"cvt.rzi.s32.bf16", "rh", {0xc040}, (uint32_t)-3},
        {"cvt.rzi.ftz.s32.f32", "rr", {1}, 0},
    });
}

TEST(Convert, ToFloat)
{
    check_table({
        {"cvt.rn.f32.s32", "rr", {(uint32_t)-5}, f(-5)},
        {"cvt.rn.f32.u32", "rr", {ones32}, f(4294967296.f)},
        {"cvt.rz.f32.u32", "rr", {ones32}, f(4294967040.f)},
        {"cvt.rm.f32.s32", "rr", {16777219}, f(16777218)},
        {"cvt.rp.f32.s32", "rr", {16777217}, f(16777218)},
        {"cvt.rz.f32.s32", "rr", {(uint32_t)-16777217}, f(-16777216)},
        {"cvt.rn.f32.u64", "rl", {ones64}, f(18446744073709551616.f)},
        {"cvt.rn.f32.s64", "rl", {ones64}, f(-1)},
        {"cvt.rn.f32.u16", "rh", {0xffff}, f(65535)},
        {"cvt.rn.f32.u8", "rr", {0xffff}, f(255)},
        {"cvt.rn.f32.s8", "rr", {0xff}, f(-1)},
        {"cvt.rn.f64.s64", "ll", {ones64}, d(-1)},
        {"cvt.rn.f64.u64", "ll", {ones64}, d(18446744073709551616.0)},
        {"cvt.rz.f64.u64", "ll", {ones64}, d(18446744073709549568.0)},
        {"cvt.rn.f64.s32", "lr", {ones32}, d(-1)},
        {"cvt.f64.f32", "lr", {f(0.1f)}, d((double)0.1f)},
        {"cvt.rn.f32.f64", "rl", {d(0.1)}, f(0.1f)},
        {"cvt.rz.f32.f64", "rl", {d(1 + 0x1p-23 - 0x1p-40)}, f(1)},
        {"cvt.rp.f32.f64", "rl", {d(1 + 0x1p-40)}, f(1 + 0x1p-23f)},
        {"cvt.rm.f32.f64", "rl", {d(-1 - 0x1p-40)}, f(-1 - 0x1p-23f)},
        {"cvt.rn.f32.f64", "rl", {d(1e300)}, f(inf)},
        {"cvt.rni.f32.f32", "rr", {f(-2.5f)}, f(-2)},
        {"cvt.rmi.f32.f32", "rr", {f(-2.5f)}, f(-3)},
        {"cvt.rpi.f32.f32", "rr", {f(2.1f)}, f(3)},
        {"cvt.rzi.f32.f32", "rr", {f(-2.9f)}, f(-2)},
        {"cvt.rzi.f64.f64", "ll", {d(2.9)}, d(2)},
        {"cvt.sat.f32.f32", "rr", {f(1.5f)}, f(1)},
        {"cvt.sat.f32.f32", "rr", {qnan}, 0},
        {"cvt.ftz.f32.f32", "rr", {1}, 0},
    });
}

TEST(Convert, Halves)
{
    check_table({
        {"cvt.rn.f16.f32", "hr", {f(1)}, 0x3c00},
        {"cvt.rn.f16.f32", "hr", {f(1 + 0x1p-11f)}, 0x3c00},
        {"cvt.rn.f16.f32", "hr", {f(1 + 3 * 0x1p-11f)}, 0x3c02},
        {"cvt.rz.f16.f32", "hr", {f(1 + 3 * 0x1p-11f)}, 0x3c01},
        {"cvt.rp.f16.f32", "hr", {f(1 + 0x1p-20f)}, 0x3c01},
        {"cvt.rm.f16.f32", "hr", {f(-1 - 0x1p-20f)}, 0xbc01},
        {"cvt.rn.f16.f32", "hr", {f(65504)}, 0x7bff},
        {"cvt.rn.f16.f32", "hr", {f(65519)}, 0x7bff},
        {"cvt.rn.f16.f32", "hr", {f(65520)}, 0x7c00},
        {"cvt.rz.f16.f32", "hr", {f(1e9f)}, 0x7bff},
        {"cvt.rn.f16.f32", "hr", {f(0x1p-24f)}, 1},
        {"cvt.rn.f16.f32", "hr", {f(0x1p-25f)}, 0},
        {"cvt.rn.f16.f32", "hr", {f(-0x1.8p-25f)}, 0x8001},
        {"cvt.rn.f16.f32", "hr", {f(0x1p-14f - 0x1p-26f)}, 0x0400},
        {"cvt.rn.f16.f32", "hr", {qnan}, 0x7fff},
        {"cvt.f32.f16", "rh", {0x0001}, f(0x1p-24f)},
        {"cvt.f32.f16", "rh", {0xfc00}, f(-inf)},
        {"cvt.f32.f16", "rh", {0xc000}, f(-2)},
        {"cvt.f64.f16", "lh", {0x3800}, d(0.5)},
        {"cvt.rn.f16.s32", "hr", {(uint32_t)-3}, 0xc200},
        {"cvt.rn.f16.f64", "hl", {d(2)}, 0x4000},
        {"cvt.rn.bf16.f32", "hr", {f(1)}, 0x3f80},
        {"cvt.rn.bf16.f32", "hr", {f(1 + 0x1p-8f)}, 0x3f80},
        {"cvt.rn.bf16.f32", "hr", {f(1 + 3 * 0x1p-8f)}, 0x3f82},
        {"cvt.rz.bf16.f32", "hr", {0x3f81ffff}, 0x3f81},
        {"cvt.rn.bf16.f32", "hr", {f(3.4e38f)}, 0x7f80},
        {"cvt.rn.bf16.f32", "hr", {0x00010000}, 1},
        {"cvt.rn.bf16.s32", "hr", {3}, 0x4040},
        {"cvt.f32.bf16", "rh", {0x4040}, f(3)},
        {"cvt.rn.f16x2.f32", "rrr", {f(1), f(2)}, 0x3c004000},
        {"cvt.rn.bf16x2.f32", "rrr", {f(1), f(2)}, 0x3f804000},
        {"cvt.rn.relu.bf16x2.f32", "rrr", {f(-1), f(2)}, 0x00004000},
        {"cvt.rz.bf16x2.f32", "rrr", {0x3f81ffff, 0xbf81ffff}, 0x3f81bf81},
        {"cvt.rna.tf32.f32", "rr", {0x3f801000}, 0x3f802000},
        {"cvt.rna.tf32.f32", "rr", {0x3f800fff}, 0x3f800000},
        {"cvt.rn.tf32.f32", "rr", {0x3f801000}, 0x3f800000},
    });
}

} // namespace cudasim_test
