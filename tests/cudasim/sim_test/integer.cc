/** Integer opcodes, a line a family and more for their edges. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

const uint64_t min32 = 0x80000000, max32 = 0x7fffffff, ones32 = 0xffffffff;
const uint64_t min64 = 0x8000000000000000, ones64 = ~0ull;

TEST(Integer, Arithmetic)
{
    check_table({
        {"add.s16", "hhh", {0x7fff, 1}, 0x8000},
        {"add.u32", "rrr", {ones32, 2}, 1},
        {"add.s32", "rrr", {max32, 1}, min32},
        {"add.sat.s32", "rrr", {max32, 1}, max32},
        {"sub.sat.s32", "rrr", {min32, 1}, min32},
        {"add.u64", "lll", {ones64, 2}, 1},
        {"add.s64", "lll", {5, ones64}, 4},
        {"sub.u16", "hhh", {0, 1}, 0xffff},
        {"sub.s32", "rrr", {3, 5}, (uint32_t)-2},
        {"sub.s64", "lll", {3, 5}, (uint64_t)-2},
        {"mul.lo.s16", "hhh", {300, 300}, 90000 & 0xffff},
        {"mul.lo.u32", "rrr", {0x10001, 0x10001}, 0x20001},
        {"mul.lo.s64", "lll", {(uint64_t)-3, 7}, (uint64_t)-21},
        {"mul.hi.u16", "hhh", {0xffff, 0xffff}, 0xfffe},
        {"mul.hi.s16", "hhh", {0x8000, 0x8000}, 0x4000},
        {"mul.hi.u32", "rrr", {ones32, ones32}, 0xfffffffe},
        {"mul.hi.s32", "rrr", {ones32, 5}, ones32},
        {"mul.hi.s32", "rrr", {min32, min32}, 0x40000000},
        {"mul.hi.u64", "lll", {ones64, ones64}, ones64 - 1},
        {"mul.hi.s64", "lll", {ones64, 5}, ones64},
        {"mul.wide.u16", "rhh", {0xffff, 0xffff}, 0xfffe0001},
        {"mul.wide.s16", "rhh", {0xffff, 2}, (uint32_t)-2},
        {"mul.wide.u32", "lrr", {ones32, ones32}, 0xfffffffe00000001},
        {"mul.wide.s32", "lrr", {min32, 2}, 0xffffffff00000000},
        {"mad.lo.u16", "hhhh", {300, 300, 5}, (90005) & 0xffff},
        {"mad.lo.s32", "rrrr", {7, (uint32_t)-3, 1}, (uint32_t)-20},
        {"mad.lo.u64", "llll", {7, 3, 1}, 22},
        {"mad.hi.u32", "rrrr", {ones32, ones32, 3}, 1},
        {"mad.hi.s32", "rrrr", {ones32, 5, 1}, 0},
        {"mad.wide.u16", "rhhr", {0xffff, 2, 1}, 0x1ffff},
        {"mad.wide.s16", "rhhr", {0xffff, 2, 1}, ones32},
        {"mad.wide.u32", "lrrl", {ones32, 2, 1}, 0x1ffffffff},
        {"mad.wide.s32", "lrrl", {ones32, 2, 1}, ones64},
        {"mul24.lo.u32", "rrr", {0xff000003, 0xff000005}, 15},
        {"mul24.hi.u32", "rrr", {0xffffff, 0xffffff}, 0xfffffe00},
        {"mul24.lo.s32", "rrr", {0xffffff, 5}, (uint32_t)-5},
        {"mad24.lo.s32", "rrrr", {0xffffff, 5, 7}, 2},
        {"mad24.lo.u32", "rrrr", {3, 5, 7}, 22},
        {"sad.u32", "rrrr", {3, 10, 1}, 8},
        {"sad.s32", "rrrr", {ones32, 1, 5}, 7},
    });
}

TEST(Integer, DivisionAndExtremes)
{
    check_table({
        {"div.s32", "rrr", {(uint32_t)-7, 2}, (uint32_t)-3},
        {"div.s32", "rrr", {min32, ones32}, min32},
        {"div.u32", "rrr", {7, 0}, ones32},
        {"div.u16", "hhh", {1000, 7}, 142},
        {"div.s64", "lll", {(uint64_t)-9, 2}, (uint64_t)-4},
        {"div.s64", "lll", {min64, ones64}, min64},
        {"div.u64", "lll", {ones64, 10}, ones64 / 10},
        {"rem.s32", "rrr", {(uint32_t)-7, 2}, ones32},
        {"rem.s32", "rrr", {min32, ones32}, 0},
        {"rem.u32", "rrr", {7, 0}, 7},
        {"rem.u64", "lll", {ones64, 10}, ones64 % 10},
        {"rem.s16", "hhh", {(uint16_t)-7, 3}, 0xffff},
        {"min.s32", "rrr", {ones32, 1}, ones32},
        {"min.u32", "rrr", {ones32, 1}, 1},
        {"min.s16", "hhh", {0xffff, 1}, 0xffff},
        {"min.s64", "lll", {ones64, 1}, ones64},
        {"max.s32", "rrr", {ones32, 1}, 1},
        {"max.u32", "rrr", {ones32, 1}, ones32},
        {"max.u64", "lll", {ones64, 1}, ones64},
        {"max.u16", "hhh", {0xffff, 1}, 0xffff},
        {"neg.s32", "rr", {min32}, min32},
        {"neg.s16", "hh", {1}, 0xffff},
        {"neg.s64", "ll", {1}, ones64},
        {"abs.s32", "rr", {min32}, min32},
        {"abs.s32", "rr", {(uint32_t)-5}, 5},
        {"abs.s64", "ll", {(uint64_t)-5}, 5},
        {"abs.s16", "hh", {(uint16_t)-5}, 5},
    });
}

TEST(Integer, LogicAndShifts)
{
    check_table({
        {"and.b32", "rrr", {0xff00ff00, 0x0ff00ff0}, 0x0f000f00},
        {"and.b16", "hhh", {0xff00, 0x0ff0}, 0x0f00},
        {"and.b64", "lll", {ones64, 0x123456789abcdef0}, 0x123456789abcdef0},
        {"and.pred", "ppp", {1, 0}, 0},
        {"or.b32", "rrr", {0xf0, 0x0f}, 0xff},
        {"or.b16", "hhh", {0xf0, 0x0f}, 0xff},
        {"or.b64", "lll", {min64, 1}, min64 | 1},
        {"or.pred", "ppp", {1, 0}, 1},
        {"xor.b32", "rrr", {ones32, 0xff}, 0xffffff00},
        {"xor.b16", "hhh", {0xffff, 0xff}, 0xff00},
        {"xor.b64", "lll", {ones64, 1}, ones64 - 1},
        {"xor.pred", "ppp", {1, 1}, 0},
        {"not.b32", "rr", {0xff}, 0xffffff00},
        {"not.b16", "hh", {0xff}, 0xff00},
        {"not.b64", "ll", {0}, ones64},
        {"not.pred", "pp", {0}, 1},
        {"cnot.b32", "rr", {0}, 1},
        {"cnot.b32", "rr", {7}, 0},
        {"shl.b32", "rrr", {1, 31}, min32},
        {"shl.b32", "rrr", {1, 32}, 0},
        {"shl.b32", "rrr", {1, ones32}, 0},
        {"shl.b16", "hhr", {3, 15}, 0x8000},
        {"shl.b16", "hhr", {3, 16}, 0},
        {"shl.b64", "llr", {1, 63}, min64},
        {"shl.b64", "llr", {1, 64}, 0},
        {"shr.u32", "rrr", {min32, 31}, 1},
        {"shr.u32", "rrr", {min32, 32}, 0},
        {"shr.s32", "rrr", {min32, 31}, ones32},
        {"shr.s32", "rrr", {min32, 200}, ones32},
        {"shr.s32", "rrr", {max32, 200}, 0},
        {"shr.u16", "hhr", {0x8000, 15}, 1},
        {"shr.s16", "hhr", {0x8000, 15}, 0xffff},
        {"shr.u64", "llr", {min64, 63}, 1},
        {"shr.s64", "llr", {min64, 70}, ones64},
        {"shr.b32", "rrr", {min32, 4}, 0x08000000},
        {"shf.l.wrap.b32", "rrrr", {0x80000001, 0x12345678, 4}, 0x23456788},
        {"shf.l.wrap.b32", "rrrr", {0x80000001, 0x12345678, 36}, 0x23456788},
        {"shf.r.wrap.b32", "rrrr", {0x80000001, 0x12345678, 4}, 0x88000000},
        {"shf.l.clamp.b32", "rrrr", {0x80000001, 0x12345678, 40}, 0x80000001},
        {"shf.r.clamp.b32", "rrrr", {0x80000001, 0x12345678, 40}, 0x12345678},
        {"lop3.b32|0xE8", "rrrr", {0xf0f0f0f0, 0xcccccccc, 0xaaaaaaaa}, 0xe8e8e8e8},
        {"lop3.b32|0x96", "rrrr", {0xf0f0f0f0, 0xcccccccc, 0xaaaaaaaa}, 0x96969696},
    });
}

TEST(Integer, Bits)
{
    check_table({
        {"popc.b32", "rr", {0xf00f}, 8},
        {"popc.b64", "rl", {ones64}, 64},
        {"clz.b32", "rr", {0}, 32},
        {"clz.b32", "rr", {1}, 31},
        {"clz.b64", "rl", {1}, 63},
        {"clz.b64", "rl", {0}, 64},
        {"brev.b32", "rr", {1}, min32},
        {"brev.b64", "ll", {1}, min64},
        {"bfind.u32", "rr", {0}, ones32},
        {"bfind.u32", "rr", {0x10}, 4},
        {"bfind.s32", "rr", {ones32}, ones32},
        {"bfind.s32", "rr", {0xffffffef}, 4},
        {"bfind.shiftamt.u32", "rr", {0x10}, 27},
        {"bfind.u64", "rl", {min64}, 63},
        {"bfind.s64", "rl", {ones64 - 1}, 0},
        {"bfe.u32", "rrrr", {0xabcd1234, 8, 8}, 0x12},
        {"bfe.s32", "rrrr", {0x0000f000, 8, 8}, 0xfffffff0},
        {"bfe.s32", "rrrr", {min32, 40, 8}, ones32},
        {"bfe.u32", "rrrr", {ones32, 28, 16}, 0xf},
        {"bfe.s32", "rrrr", {min32, 28, 16}, 0xfffffff8},
        {"bfe.u32", "rrrr", {ones32, 4, 0}, 0},
        {"bfe.u64", "llrr", {0x123456789abcdef0, 32, 16}, 0x5678},
        {"bfe.s64", "llrr", {min64, 60, 4}, ones64 - 7},
        {"bfi.b32", "rrrrr", {0xff, 0, 8, 4}, 0xf00},
        {"bfi.b32", "rrrrr", {0xff, 0x1234, 32, 4}, 0x1234},
        {"bfi.b32", "rrrrr", {0xabcdef01, 0, 0, 32}, 0xabcdef01},
        {"bfi.b64", "lllrr", {0xffff, 1, 32, 16}, 0xffff00000001},
        {"prmt.b32", "rrrr", {0x33221100, 0x77665544, 0x7531}, 0x77553311},
        {"prmt.b32", "rrrr", {0x80, 0, 0x888f}, 0xffffff00},
        {"prmt.b32.f4e", "rrrr", {0x33221100, 0x77665544, 1}, 0x44332211},
        {"prmt.b32.b4e", "rrrr", {0x33221100, 0x77665544, 0}, 0x55667700},
        {"prmt.b32.rc8", "rrrr", {0x33221100, 0x77665544, 2}, 0x22222222},
        {"prmt.b32.ecl", "rrrr", {0x33221100, 0x77665544, 2}, 0x33222222},
        {"prmt.b32.ecr", "rrrr", {0x33221100, 0x77665544, 2}, 0x22221100},
        {"prmt.b32.rc16", "rrrr", {0x33221100, 0x77665544, 1}, 0x33223322},
        {"dp4a.u32.u32", "rrrr", {0x01020304, 0xffffffff, 10}, 255 * 10 + 10},
        {"dp4a.s32.s32", "rrrr", {0x01020304, 0xffffffff, 10}, 0},
        {"dp4a.s32.u32", "rrrr", {0xffffffff, 0x01020304, 0}, (uint32_t)-10},
        {"dp2a.lo.u32.u32", "rrrr", {0x00020003, 0x05060708, 1}, 3 * 8 + 2 * 7 + 1},
        {"dp2a.hi.s32.s32", "rrrr", {0xffff0003, 0x05060708, 1}, 3 * 6 - 5 + 1},
    });
}

/** 128-bit sums by carries, and the high half of a product of 64 bits by madc. */
TEST(Integer, Carries)
{
    Buffer<uint64_t> out(6), in({ones64, 1, 5, 7});
    expect_silence(run("ld.global.u64 %l0, [%a1];\nld.global.u64 %l1, [%a1+8];\nld.global.u64 %l2, [%a1+16];\n"
                       "ld.global.u64 %l3, [%a1+24];\n"
                       "add.cc.u64 %l4, %l0, %l1;\naddc.u64 %l5, %l2, %l3;\n"
                       "sub.cc.u64 %l6, %l1, %l0;\nsubc.u64 %l7, %l2, %l3;\n"
                       "mov.b32 %r0, -1;\nmad.lo.cc.u32 %r1, %r0, %r0, %r0;\nmadc.hi.u32 %r2, %r0, %r0, 0;\n"
                       "mov.b64 %l8, {%r1, %r2};\n"
                       "add.cc.u32 %r3, %r0, 1;\naddc.cc.u32 %r4, %r0, 0;\naddc.u32 %r5, 0, 0;\n"
                       "mov.b64 %l9, {%r4, %r5};\n"
                       "st.global.u64 [%a0], %l4;\nst.global.u64 [%a0+8], %l5;\nst.global.u64 [%a0+16], %l6;\n"
                       "st.global.u64 [%a0+24], %l7;\nst.global.u64 [%a0+32], %l8;\nst.global.u64 [%a0+40], %l9;",
                       {}, {1, 1, 1}, {out.address, in.address}));
    std::vector<uint64_t> expected = {0, 13, 2, (uint64_t)-3, 0xffffffff00000000, 0x100000000};
    EXPECT_EQ(out.get(), expected);
}

} // namespace cudasim_test
