/** Comparisons, selections, and mov in its forms. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

const uint64_t ones32 = 0xffffffff, ones64 = ~0ull, qnan = 0x7fc00000;

TEST(Compare, Setp)
{
    check_table({
        {"setp.eq.s32", "prr", {5, 5}, 1},
        {"setp.ne.s32", "prr", {5, 5}, 0},
        {"setp.lt.s32", "prr", {ones32, 1}, 1},
        {"setp.lt.u32", "prr", {ones32, 1}, 0},
        {"setp.le.s32", "prr", {1, 1}, 1},
        {"setp.gt.u32", "prr", {ones32, 1}, 1},
        {"setp.ge.s32", "prr", {ones32, 1}, 0},
        {"setp.lo.u32", "prr", {1, ones32}, 1},
        {"setp.ls.u32", "prr", {1, 1}, 1},
        {"setp.hi.u32", "prr", {1, ones32}, 0},
        {"setp.hs.u32", "prr", {1, 1}, 1},
        {"setp.lt.s64", "pll", {ones64, 1}, 1},
        {"setp.lt.u64", "pll", {ones64, 1}, 0},
        {"setp.eq.b32", "prr", {7, 7}, 1},
        {"setp.lt.s16", "phh", {0xffff, 1}, 1},
        {"setp.lt.u16", "phh", {0xffff, 1}, 0},
        {"setp.eq.f32", "prr", {f(0), f(-0.f)}, 1},
        {"setp.eq.f32", "prr", {qnan, qnan}, 0},
        {"setp.ne.f32", "prr", {qnan, f(1)}, 0},
        {"setp.neu.f32", "prr", {qnan, f(1)}, 1},
        {"setp.equ.f32", "prr", {qnan, f(1)}, 1},
        {"setp.lt.f32", "prr", {f(1), f(2)}, 1},
        {"setp.ltu.f32", "prr", {qnan, f(2)}, 1},
        {"setp.leu.f32", "prr", {f(3), f(2)}, 0},
        {"setp.gtu.f32", "prr", {f(3), f(2)}, 1},
        {"setp.geu.f32", "prr", {f(1), f(2)}, 0},
        {"setp.num.f32", "prr", {qnan, f(2)}, 0},
        {"setp.nan.f32", "prr", {qnan, f(2)}, 1},
        {"setp.gt.ftz.f32", "prr", {1, 0}, 0},
        {"setp.gt.f32", "prr", {1, 0}, 1},
        {"setp.lt.f64", "pll", {d(-1), d(1)}, 1},
        {"setp.lt.and.s32", "prrp", {1, 2, 0}, 0},
        {"setp.lt.or.s32", "prrp", {3, 2, 1}, 1},
        {"setp.lt.xor.s32", "prrp", {1, 2, 1}, 0},
        {"setp.lt.f16", "phh", {0x3c00, 0x4000}, 1},
        {"setp.ltu.f16", "phh", {0x7e00, 0x4000}, 1},
        {"setp.ne.f16", "phh", {0x7e00, 0x4000}, 0},
        {"setp.neu.f16", "phh", {0x7e00, 0x7e00}, 1},
        {"setp.gt.bf16", "phh", {0x3f80, 0x4000}, 0},
        {"setp.gt.f16x2", "prr", {0x3c004000, 0x3c003c00}, 1},
    });
}

TEST(Compare, SetAndSelections)
{
    check_table({
        {"set.lt.u32.s32", "rrr", {1, 2}, ones32},
        {"set.gt.f32.f32", "rrr", {f(2), f(1)}, f(1)},
        {"set.eq.f16.f16", "hhh", {0x3c00, 0x3c00}, 0x3c00},
        {"set.lt.bf16.bf16", "hhh", {0x4000, 0x3f80}, 0},
        {"set.gt.f16x2.f16x2", "rrr", {0x3c004000, 0x3c003c00}, 0x00003c00},
        {"set.gt.u32.f16x2", "rrr", {0x40003c00, 0x3c003c00}, 0xffff0000},
        {"set.lt.and.u32.s32", "rrrp", {1, 2, 0}, 0},
        {"selp.b32", "rrrp", {1, 2, 1}, 1},
        {"selp.f32", "rrrp", {f(1), f(2), 0}, f(2)},
        {"selp.b64", "lllp", {1, ones64, 0}, ones64},
        {"selp.u16", "hhhp", {1, 2, 1}, 1},
        {"slct.f32.s32", "rrrr", {f(1), f(2), 0}, f(1)},
        {"slct.u32.s32", "rrrr", {1, 2, ones32}, 2},
        {"slct.u64.f32", "lllr", {1, 2, f(-1)}, 2},
        {"slct.b32.f32", "rrrr", {1, 2, f(-0.f)}, 1},
    });
}

TEST(Compare, Moves)
{
    check_table({
        {"mov.u32", "rr", {7}, 7},
        {"mov.b16", "hh", {7}, 7},
        {"mov.f32", "rr", {f(1)}, f(1)},
        {"mov.b64", "ll", {ones64}, ones64},
        {"mov.f64", "ll", {d(1)}, d(1)},
        {"mov.pred", "pp", {1}, 1},
    });
}

/** Both destinations of setp, vectors packed and unpacked, negated predicates, immediate operands of all kinds. */
TEST(Compare, PackedForms)
{
    Buffer<uint64_t> out(8);
    expect_silence(run(
        "mov.b32 %r1, 5;\nsetp.lt.and.s32 %p1|%p2, %r1, 7, !%p3;\n"
        "selp.u64 %l1, 1, 0, %p1;\nselp.u64 %l2, 1, 0, %p2;\nst.global.u64 [%a0], %l1;\nst.global.u64 [%a0+8], %l2;\n"
        "mov.b16 %h1, 0x1234;\nmov.b16 %h2, 0x5678;\nmov.b32 %r2, {%h1, %h2};\n"
        "mov.b64 %l3, {%r2, %r1};\nst.global.u64 [%a0+16], %l3;\n"
        "mov.b64 {%r3, %r4}, %l3;\nmov.b32 {%h3, %h4}, %r3;\nmov.b64 {_, %r5}, %l3;\n"
        "mov.b64 %l4, {%h4, %h3, %h4, %h3};\nst.global.u64 [%a0+24], %l4;\n"
        "cvt.u64.u32 %l5, %r5;\nst.global.u64 [%a0+32], %l5;\n"
        "mov.f32 %f1, 0f3F800000;\nadd.f32 %f1, %f1, 0fBF000000;\nmov.b32 %r6, %f1;\ncvt.u64.u32 %l6, %r6;\n"
        "st.global.u64 [%a0+40], %l6;\nmov.f64 %d1, 0d3FF0000000000000;\nadd.f64 %d1, %d1, 0d3FF0000000000000;\n"
        "st.global.f64 [%a0+48], %d1;\nmov.s32 %r7, -3;\ncvt.s64.s32 %l7, %r7;\nst.global.u64 [%a0+56], %l7;",
        {}, {1, 1, 1}, {out.address}));
    std::vector<uint64_t> expected = {1, 0, 0x0000000556781234, 0x1234567812345678, 5, f(0.5f), d(2), (uint64_t)-3};
    EXPECT_EQ(out.get(), expected);
}

} // namespace cudasim_test
