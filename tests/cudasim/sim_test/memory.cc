/** Loads, stores and atomics of all widths; addresses; the host's side of device memory. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

TEST(Memory, LoadsOfAllWidths)
{
    Buffer<uint64_t> in({0x8899aabbccddeeff, 0x0123456789abcdef, 3, 4}), out(10);
    expect_silence(
        run("ld.global.u8 %h1, [%a0];\ncvt.u64.u16 %l1, %h1;\nst.global.u64 [%a1], %l1;\n"
            "ld.global.s8 %h1, [%a0];\ncvt.s64.s16 %l1, %h1;\nst.global.u64 [%a1+8], %l1;\n"
            "ld.global.s16 %r1, [%a0+2];\ncvt.s64.s32 %l1, %r1;\nst.global.u64 [%a1+16], %l1;\n"
            "ld.global.s32 %l1, [%a0];\nst.global.u64 [%a1+24], %l1;\n"
            "ld.global.v2.u32 {%r1, %r2}, [%a0+8];\nmov.b64 %l1, {%r2, %r1};\nst.global.u64 [%a1+32], %l1;\n"
            "ld.global.nc.v4.u16 {%h1, %h2, %h3, %h4}, [%a0];\nmov.b64 %l1, {%h4, %h3, %h2, %h1};\n"
            "st.global.v2.u64 [%a1+48], {%l1, %l1};\n"
            "ldu.global.v4.u32 {%r1, %r2, %r3, %r4}, [%a0+16];\nadd.u32 %r1, %r1, %r3;\ncvt.u64.u32 %l1, %r1;\n"
            "st.global.u64 [%a1+40], %l1;\nld.global.L1::no_allocate.v2.f64 {%d1, %d2}, [%a0+16];\n"
            "st.global.f64 [%a1+64], %d2;\nld.global.v8.u8 {%r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8}, [%a0];\n"
            "cvt.u64.u32 %l1, %r8;\nst.global.u64 [%a1+72], %l1;\nprefetch.global.L2 [%a0];\nprefetchu.L1 [%a0];",
            {}, {1, 1, 1}, {in.address, out.address}));
    std::vector<uint64_t> expected = {0xff,
                                      ~0ull,
                                      0xffffffffffffccdd,
                                      0xffffffffccddeeff,
                                      0x89abcdef01234567,
                                      7,
                                      0xeeffccddaabb8899,
                                      0xeeffccddaabb8899,
                                      4,
                                      0x88};
    EXPECT_EQ(out.get(), expected);
}

TEST(Memory, StoresOfAllWidths)
{
    Buffer<uint32_t> out({0, 0, 0, 0, 0, 0});
    expect_silence(run("mov.b32 %r1, 0x11223344;\nst.global.u8 [%a0+1], %r1;\nst.global.u16 [%a0+6], %r1;\n"
                       "mov.b16 %h1, 7;\nst.global.v2.u16 [%a0+8], {%h1, 9};\nmov.f32 %f1, 0f3F800000;\n"
                       "st.global.v2.f32 [%a0+16], {%f1, %f1};\nst.global.b8 [%a0+12], 255;",
                       {}, {1, 1, 1}, {out.address}));
    std::vector<uint32_t> expected = {0x4400, 0x33440000, 0x00090007, 0xff, 0x3f800000, 0x3f800000};
    EXPECT_EQ(out.get(), expected);
}

/** Shared, dynamic shared, local and constant memory; generic addresses of each, and cvta back. */
TEST(Memory, SpacesAndGenericAddresses)
{
    Buffer<uint32_t> out(12);
    const char *before = ".const .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 0, 0, 0};\n.global .align 4 .u32 number = 5;\n"
                         ".global .align 8 .u64 pointer = generic(number);\n.extern .shared .align 16 .b8 dynamic[];\n";
    expect_silence(run(
        ".local .align 8 .b8 depot[16];\n.shared .align 4 .b8 fixed[8];\n"
        "mov.b32 %r1, 11;\nst.shared.u32 [fixed+4], %r1;\nld.shared.u32 %r2, [fixed+4];\nst.global.u32 [%a0], %r2;\n"
        "mov.u32 %r3, dynamic;\nst.shared.u32 [%r3+4], 12;\nld.shared.u32 %r2, [dynamic+4];\n"
        "st.global.u32 [%a0+4], %r2;\nmov.u64 %l1, depot;\nst.local.u32 [%l1+4], 13;\n"
        "cvta.local.u64 %l2, %l1;\nld.u32 %r2, [%l2+4];\nst.global.u32 [%a0+8], %r2;\n"
        "cvta.to.local.u64 %l3, %l2;\nld.local.u32 %r2, [%l3+4];\nst.global.u32 [%a0+12], %r2;\n"
        "mov.u64 %l4, fixed;\ncvta.shared.u64 %l4, %l4;\nld.u32 %r2, [%l4+4];\nst.global.u32 [%a0+16], %r2;\n"
        "cvta.to.shared.u64 %l5, %l4;\nld.shared.u32 %r2, [%l5+4];\nst.global.u32 [%a0+20], %r2;\n"
        "ld.const.u32 %r2, [table+4];\nst.global.u32 [%a0+24], %r2;\nld.global.u32 %r2, [number];\n"
        "st.global.u32 [%a0+28], %r2;\nld.global.u64 %l6, [pointer];\nld.u32 %r2, [%l6];\nst.global.u32 [%a0+32], "
        "%r2;\n"
        "isspacep.shared %p1, %l4;\nisspacep.local %p2, %l2;\nisspacep.global %p3, %a0;\nisspacep.shared %p4, %a0;\n"
        "and.pred %p1, %p1, %p2;\nand.pred %p1, %p1, %p3;\nselp.u32 %r2, 1, 0, %p1;\nst.global.u32 [%a0+36], %r2;\n"
        "selp.u32 %r2, 1, 0, %p4;\nst.global.u32 [%a0+40], %r2;\nmov.u32 %r2, %dynamic_smem_size;\n"
        "st.global.u32 [%a0+44], %r2;",
        {}, {1, 1, 1}, {out.address}, before, 64));
    std::vector<uint32_t> expected = {11, 12, 13, 13, 11, 11, 2, 5, 5, 1, 0, 64};
    EXPECT_EQ(out.get(), expected);
}

/** Parameters at an address that varies, and structures by value. */
TEST(Memory, ParametersByAddress)
{
    cudasim::Module *module =
        load(".visible .entry k(.param .u64 out, .param .align 8 .b8 s[16])\n{\n.reg .b64 %l<8>;\n.reg .b32 %r<4>;\n"
             "ld.param.u64 %l1, [out];\nmov.b64 %l2, s;\nadd.s64 %l2, %l2, 4;\nld.param.u32 %r1, [%l2];\n"
             "ld.param.v2.u32 {%r2, %r3}, [s+8];\ncvta.param.u64 %l3, %l2;\nld.u32 %r0, [%l3+4];\n"
             "add.u32 %r1, %r1, %r3;\nst.global.u32 [%l1], %r1;\nst.global.u32 [%l1+4], %r0;\nret;\n}\n");
    cudasim::Kernel *kernel = cudasim::find_kernel(module, "k");
    ASSERT_NE(kernel, nullptr);
    EXPECT_EQ(cudasim::kernel_parameters(kernel), (std::vector<uint32_t>{8, 16}));
    Buffer<uint32_t> out(2);
    uint32_t values[4] = {1, 20, 300, 4000};
    const void *args[] = {&out.address, values};
    EXPECT_EQ(cudasim::launch(kernel, {}, {1, 1, 1}, args, 0), 0u);
    EXPECT_EQ(out.get(), (std::vector<uint32_t>{4020, 300}));
}

/* --- atomics ------------------------------------------------------------------------------------------------------ */

struct AtomicCase {
    const char *type, *operation;
    int wide; /* 2, 4 or 8 bytes */
    uint64_t old, operand, compare, fresh;
};

/** One thread: the old value comes back and the new one is in memory, through atom and through red. */
TEST(Memory, Atomics)
{
    const AtomicCase cases[] = {
        {"u32", "add", 4, 5, 7, 0, 12},
        {"s32", "add", 4, 5, 0xfffffffe, 0, 3},
        {"u64", "add", 8, 1ull << 40, 1, 0, (1ull << 40) + 1},
        {"f32", "add", 4, f(1), f(2), 0, f(3)},
        {"f64", "add", 8, d(1), d(2), 0, d(3)},
        {"noftz.f16", "add", 2, 0x3c00, 0x3c00, 0, 0x4000},
        {"noftz.f16x2", "add", 4, 0x3c004000, 0x3c003c00, 0, 0x40004200},
        {"noftz.bf16", "add", 2, 0x3f80, 0x3f80, 0, 0x4000},
        {"noftz.bf16x2", "add", 4, 0x3f803f80, 0x3f800000, 0, 0x40003f80},
        {"s32", "min", 4, 5, 0xffffffff, 0, 0xffffffff},
        {"u32", "min", 4, 5, 0xffffffff, 0, 5},
        {"s64", "max", 8, 5, ~0ull, 0, 5},
        {"u64", "max", 8, 5, ~0ull, 0, ~0ull},
        {"b32", "and", 4, 12, 10, 0, 8},
        {"b64", "or", 8, 12, 10, 0, 14},
        {"b32", "xor", 4, 12, 10, 0, 6},
        {"b32", "exch", 4, 12, 10, 0, 10},
        {"b64", "exch", 8, 12, 10, 0, 10},
        {"u32", "inc", 4, 3, 3, 0, 0},
        {"u32", "inc", 4, 2, 3, 0, 3},
        {"u32", "dec", 4, 0, 3, 0, 3},
        {"u32", "dec", 4, 2, 3, 0, 1},
        {"b32", "cas", 4, 12, 12, 9, 9},
        {"b32", "cas", 4, 12, 13, 9, 12},
        {"b64", "cas", 8, 12, 12, 9, 9},
        {"b16", "cas", 2, 12, 12, 9, 9},
    };
    for (const AtomicCase &c : cases) {
        SCOPED_TRACE(std::string(c.operation) + "." + c.type);
        std::string size = std::to_string(8 * c.wide), reg = c.wide == 2 ? "%h" : c.wide == 4 ? "%r" : "%l";
        bool cas = !strcmp(c.operation, "cas"), exch = !strcmp(c.operation, "exch");
        std::string type = c.type, operands = ", " + reg + "1" + (cas ? ", " + reg + "2" : "");
        std::string body = "ld.global.b" + size + " " + reg + "1, [%a0+8];\nld.global.b" + size + " " + reg +
                           "2, [%a0+16];\n" + "atom.global." + c.operation + "." + type + " " + reg + "3, [%a0]" +
                           operands + ";\nst.global.b" + size + " [%a0+32], " + reg + "3;\n";
        if (!cas && !exch)
            body += "red.relaxed.gpu.global." + std::string(c.operation) + "." + type + " [%a0+24]" + operands + ";\n";
        Buffer<uint64_t> cell({c.old, c.operand, c.compare, c.old, 0});
        expect_silence(run(body, {}, {1, 1, 1}, {cell.address}));
        std::vector<uint64_t> result = cell.get();
        EXPECT_EQ(result[0], c.fresh);
        EXPECT_EQ(result[4], c.old);
        EXPECT_EQ(result[3], cas || exch ? c.old : c.fresh);
    }
}

/** All threads add to one place in global and in shared memory: every one gets another old value. */
TEST(Memory, AtomicsOfManyThreads)
{
    Buffer<uint32_t> sum(std::vector<uint32_t>{0}), old(256);
    expect_silence(
        run(".shared .align 4 .b8 s[4];\nmov.u32 %r1, %tid.x;\nsetp.ne.u32 %p1, %r1, 0;\n@!%p1 st.shared.u32 [s], 0;\n"
            "bar.sync 0;\natom.shared.add.u32 %r2, [s], 1;\nred.global.add.u32 [%a0], 1;\nmul.wide.u32 %l1, %r1, 4;\n"
            "mov.u32 %r3, %ctaid.x;\nmul.wide.u32 %l2, %r3, 512;\nadd.s64 %l1, %l1, %l2;\nadd.s64 %l1, %l1, %a1;\n"
            "st.global.u32 [%l1], %r2;",
            {2, 1, 1}, {128, 1, 1}, {sum.address, old.address}));
    EXPECT_EQ(sum.get()[0], 256u);
    std::vector<uint32_t> values = old.get();
    for (uint32_t i = 0; i < 256; i++)
        EXPECT_EQ(values[i], i % 128);
}

/* --- the host's side ---------------------------------------------------------------------------------------------- */

TEST(Host, BlocksAreFoundCheckedAndCounted)
{
    size_t used = cudasim::memory_used(), alive = cudasim::blocks_alive();
    uint64_t begin, end, a = cudasim::allocate(100, false);
    ASSERT_NE(a, 0u);
    EXPECT_EQ(a % 256, 0u);
    EXPECT_EQ(cudasim::memory_used(), used + 100);
    EXPECT_EQ(cudasim::blocks_alive(), alive + 1);
    EXPECT_EQ(cudasim::where_is(a + 99, &begin, &end), cudasim::Where::device);
    EXPECT_EQ(begin, a);
    EXPECT_EQ(end, a + 100);
    EXPECT_EQ(cudasim::where_is(a + 100, nullptr, nullptr), cudasim::Where::none);
    cudasim::take_reports();
    EXPECT_TRUE(cudasim::host_writes(a + 3, 50, "copy"));
    EXPECT_TRUE(cudasim::host_reads(a + 3, 50, "copy"));
    expect_silence(cudasim::take_reports());
    EXPECT_FALSE(cudasim::host_reads(a + 2, 50, "copy"));
    expect_report(cudasim::take_reports(), {"copy reads uninitialised device memory", "byte 0 of 50"});
    EXPECT_FALSE(cudasim::host_writes(a + 60, 41, "copy"));
    expect_report(cudasim::take_reports(), {"copy of 41 bytes", "past the end of the allocation"});
    EXPECT_TRUE(cudasim::release(a));
    EXPECT_EQ(cudasim::where_is(a, nullptr, nullptr), cudasim::Where::freed);
    EXPECT_FALSE(cudasim::host_writes(a, 1, "copy"));
    expect_report(cudasim::take_reports(), {"freed memory"});
    EXPECT_FALSE(cudasim::release(a));
    expect_report(cudasim::take_reports(), {"double free"});
    EXPECT_FALSE(cudasim::release(12345));
    expect_report(cudasim::take_reports(), {"free of what is not a block's address"});
    int local = 0;
    EXPECT_FALSE(cudasim::host_reads((uint64_t)&local, 4, "copy"));
    expect_report(cudasim::take_reports(), {"not device memory"});
    EXPECT_EQ(cudasim::memory_used(), used);
    EXPECT_EQ(cudasim::blocks_alive(), alive);
}

TEST(Host, CapacityAndQuarantineAreBounded)
{
    EXPECT_EQ(cudasim::allocate(cudasim::memory_capacity() + 1, false), 0u);
    uint64_t first = cudasim::allocate(1 << 20, false);
    cudasim::release(first);
    EXPECT_EQ(cudasim::where_is(first, nullptr, nullptr), cudasim::Where::freed);
    std::vector<uint64_t> blocks; /* all at once, so that none takes the place of the first */
    for (int i = 0; i < 5; i++)
        blocks.push_back(cudasim::allocate(64 << 20, false));
    for (uint64_t block : blocks)
        cudasim::release(block);
    EXPECT_EQ(cudasim::where_is(first, nullptr, nullptr), cudasim::Where::none);
}

TEST(Host, VariablesAreFound)
{
    cudasim::Module *module = load(
        ".visible .global .align 4 .b8 weights[12] = {1, 2, 3};\n.const .align 8 .f64 half = 0d3FE0000000000000;\n");
    size_t size = 0;
    uint64_t a = cudasim::find_variable(module, "weights", &size);
    ASSERT_NE(a, 0u);
    EXPECT_EQ(size, 12u);
    EXPECT_EQ(*(uint32_t *)a, 0x030201u);
    a = cudasim::find_variable(module, "half", &size);
    EXPECT_EQ(*(double *)a, 0.5);
    EXPECT_EQ(cudasim::find_variable(module, "none", &size), 0u);
}

TEST(Host, BrokenModulesSayWhy)
{
    for (const char *text :
         {".visible .entry k(\n", "nonsense", ".visible .entry k() {\n", ".global .u64 p = nobody;\n"}) {
        std::string error;
        EXPECT_EQ(cudasim::load_module(text, strlen(text), &error), nullptr) << text;
        EXPECT_FALSE(error.empty()) << text;
    }
}

} // namespace cudasim_test
