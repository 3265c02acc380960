/** Branches, calls, printf, assert, traps, and special registers. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

/** Each lane goes round a loop as often as its number says; lanes part and meet again. */
TEST(Flow, LoopsOfDifferentLength)
{
    Buffer<uint32_t> out(64);
    expect_silence(
        run("mov.u32 %r1, %tid.x;\nmov.u32 %r2, 0;\nmov.u32 %r3, 0;\n"
            "again:\nsetp.ge.u32 %p1, %r3, %r1;\n@%p1 bra done;\nadd.u32 %r2, %r2, %r3;\nadd.u32 %r3, %r3, 1;\nbra.uni "
            "again;\n"
            "done:\nbar.warp.sync -1;\nmul.wide.u32 %l1, %r1, 4;\nadd.s64 %l1, %a0, %l1;\nst.global.u32 [%l1], %r2;",
            {}, {64, 1, 1}, {out.address}));
    std::vector<uint32_t> sums = out.get();
    for (uint32_t i = 0; i < 64; i++)
        EXPECT_EQ(sums[i], i * (i - 1) / 2);
}

TEST(Flow, IndexedBranches)
{
    Buffer<uint32_t> out(32);
    expect_silence(run(
        "mov.u32 %r1, %tid.x;\nand.b32 %r2, %r1, 3;\ntable: .branchtargets one, two, three, one;\nbrx.idx %r2, table;\n"
        "one:\nmov.u32 %r3, 1;\nbra end;\ntwo:\nmov.u32 %r3, 2;\nbra end;\nthree:\nmov.u32 %r3, 3;\n"
        "end:\nmul.wide.u32 %l1, %r1, 4;\nadd.s64 %l1, %a0, %l1;\nst.global.u32 [%l1], %r3;",
        {}, {32, 1, 1}, {out.address}));
    const uint32_t expected[] = {1, 2, 3, 1};
    std::vector<uint32_t> values = out.get();
    for (int i = 0; i < 32; i++)
        EXPECT_EQ(values[i], expected[i % 4]);
}

/** Lanes that leave early, by ret and by exit, do not hold up the others. */
TEST(Flow, EarlyExits)
{
    Buffer<uint32_t> out(std::vector<uint32_t>(64, 7));
    expect_silence(
        run("mov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 10;\n@%p1 ret;\nsetp.gt.u32 %p2, %r1, 50;\n@%p2 exit;\n"
            "mul.wide.u32 %l1, %r1, 4;\nadd.s64 %l1, %a0, %l1;\nst.global.u32 [%l1], %r1;",
            {}, {64, 1, 1}, {out.address}));
    std::vector<uint32_t> values = out.get();
    for (uint32_t i = 0; i < 64; i++)
        EXPECT_EQ(values[i], i < 10 || i > 50 ? 7 : i);
}

/** Lane 0 spins until lane 31, which stands behind it in the program, has set a flag. */
TEST(Flow, LanesThatSpinForOthersGetOn)
{
    Buffer<uint32_t> flag(std::vector<uint32_t>{0});
    expect_silence(run("mov.u32 %r1, %tid.x;\nsetp.ne.u32 %p1, %r1, 0;\n@%p1 bra set;\n"
                       "spin:\natom.global.add.u32 %r2, [%a0], 0;\nsetp.eq.u32 %p2, %r2, 0;\n@%p2 bra spin;\nbra end;\n"
                       "set:\nsetp.eq.u32 %p3, %r1, 31;\n@%p3 atom.global.exch.b32 %r3, [%a0], 1;\nend:",
                       {}, {32, 1, 1}, {flag.address}));
    EXPECT_EQ(flag.get()[0], 1u);
}

const char *const functions =
    ".func (.param .b32 result) fib(.param .b32 n)\n{\n.reg .b32 %r<8>;\n.reg .pred %p<2>;\n.local .align 4 .b8 "
    "frame[4];\n.reg .b64 %l<2>;\n"
    "ld.param.u32 %r1, [n];\nmov.b64 %l1, frame;\nst.local.u32 [%l1], %r1;\nsetp.lt.s32 %p1, %r1, 2;\n@%p1 bra small;\n"
    "add.s32 %r2, %r1, -1;\n{\n.param .b32 param0;\nst.param.b32 [param0], %r2;\n.param .b32 retval0;\ncall.uni "
    "(retval0), fib, (param0);\n"
    "ld.param.b32 %r3, [retval0];\n}\nld.local.u32 %r1, [%l1];\nadd.s32 %r2, %r1, -2;\n{\n.param .b32 "
    "param0;\nst.param.b32 [param0], %r2;\n"
    ".param .b32 retval0;\ncall.uni (retval0), fib, (param0);\nld.param.b32 %r4, [retval0];\n}\nadd.s32 %r1, %r3, "
    "%r4;\n"
    "small:\nst.param.b32 [result], %r1;\nret;\n}\n"
    ".func (.param .align 8 .b8 result[16]) pair(.param .b64 x, .param .f32 y)\n{\n.reg .b64 %l<2>;\n.reg .f32 %f<2>;\n"
    "ld.param.u64 %l1, [x];\nld.param.f32 %f1, [y];\nst.param.b64 [result], %l1;\nst.param.f32 [result+8], "
    "%f1;\nret;\n}\n";

/** Each lane recurses to another depth and keeps what lies in its own local memory. */
TEST(Flow, RecursionByLanesOfDifferentDepth)
{
    Buffer<uint32_t> out(32);
    expect_silence(
        run("mov.u32 %r1, %tid.x;\nand.b32 %r2, %r1, 15;\n{\n.param .b32 param0;\nst.param.b32 [param0], %r2;\n"
            ".param .b32 retval0;\ncall.uni (retval0), fib, (param0);\nld.param.b32 %r3, [retval0];\n}\n"
            "mul.wide.u32 %l1, %r1, 4;\nadd.s64 %l1, %a0, %l1;\nst.global.u32 [%l1], %r3;",
            {}, {32, 1, 1}, {out.address}, functions));
    std::vector<uint32_t> fib = {0, 1}, values = out.get();
    for (int i = 2; i < 16; i++)
        fib.push_back(fib[i - 1] + fib[i - 2]);
    for (int i = 0; i < 32; i++)
        EXPECT_EQ(values[i], fib[i % 16]);
}

/** Structures as results, and calls through an address: half of the lanes call another function. */
TEST(Flow, StructuresAndIndirectCalls)
{
    Buffer<uint64_t> out(34);
    std::string before =
        std::string(functions) +
        ".func (.param .b32 r) twice(.param .b32 n)\n{\n.reg .b32 %r<2>;\nld.param.u32 %r1, [n];\n"
        "add.u32 %r1, %r1, %r1;\nst.param.b32 [r], %r1;\nret;\n}\n.global .align 8 .u64 pointer = twice;\n";
    expect_silence(run(
        "mov.u32 %r1, %tid.x;\n{\n.param .b64 param0;\nst.param.b64 [param0], %a0;\n.param .b32 param1;\n"
        "st.param.f32 [param1], 0f40000000;\n.param .align 8 .b8 retval0[16];\ncall.uni (retval0), pair, (param0, "
        "param1);\n"
        "ld.param.b64 %l1, [retval0];\nld.param.f32 %f1, [retval0+8];\n}\ncvt.f64.f32 %d1, %f1;\n"
        "setp.eq.u32 %p1, %r1, 0;\n@%p1 st.global.u64 [%l1+256], %l1;\n@%p1 st.global.f64 [%l1+264], %d1;\n"
        "mov.u64 %l2, fib;\nld.global.u64 %l3, [pointer];\nsetp.lt.u32 %p2, %r1, 16;\nselp.b64 %l4, %l2, %l3, %p2;\n"
        "{\n.param .b32 param0;\nst.param.b32 [param0], 7;\n.param .b32 retval0;\n"
        "shape : .callprototype (.param .b32 _) _ (.param .b32 _);\ncall (retval0), %l4, (param0), shape;\n"
        "ld.param.b32 %r2, [retval0];\n}\ncvt.u64.u32 %l5, %r2;\nmul.wide.u32 %l6, %r1, 8;\nadd.s64 %l6, %a0, %l6;\n"
        "st.global.u64 [%l6], %l5;",
        {}, {32, 1, 1}, {out.address}, before));
    std::vector<uint64_t> values = out.get();
    for (int i = 0; i < 32; i++)
        EXPECT_EQ(values[i], i < 16 ? 13u : 14u);
    EXPECT_EQ(values[32], out.address);
    EXPECT_EQ(values[33], d(2));
}

TEST(Flow, EndlessRecursionIsReported)
{
    const char *before = ".func down()\n{\ncall.uni down, ();\nret;\n}\n";
    expect_report(run("call.uni down, ();", {}, {1, 1, 1}, {}, before), {"stack overflow", "in down"});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::trap);
}

/* --- printf and assert -------------------------------------------------------------------------------------------- */

const char *const library =
    ".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b)\n;\n"
    ".extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e)\n;\n";

std::string string_variable(const std::string &name, const std::string &text)
{
    std::string bytes;
    for (char c : text)
        bytes += std::to_string((int)(unsigned char)c) + ", ";
    return ".global .align 1 .b8 " + name + "[" + std::to_string(text.size() + 1) + "] = {" + bytes + "0};\n";
}

std::string call_printf(const std::string &buffer)
{
    return "mov.u64 %l1, format;\ncvta.global.u64 %l2, %l1;\n{\n.param .b64 param0;\nst.param.b64 [param0], "
           "%l2;\n.param .b64 param1;\n"
           "st.param.b64 [param1], " +
           buffer +
           ";\n.param .b32 retval0;\ncall.uni (retval0), vprintf, (param0, param1);\nld.param.b32 %r9, [retval0];\n}\n";
}

TEST(Flow, PrintfFormatsAsCudaDoes)
{
    std::string before =
        library + string_variable("format", "%d %5.2f|%s|%c %x %lld %u%% %-4d| %p\n") + string_variable("word", "abc");
    testing::internal::CaptureStdout();
    expect_silence(
        run(".local .align 8 .b8 depot[64];\nmov.u64 %l4, depot;\ncvta.local.u64 %l3, %l4;\nst.local.u32 [%l4], -5;\n"
            "st.local.f64 [%l4+8], 0d3FF8000000000000;\nmov.u64 %l5, word;\nst.local.u64 [%l4+16], %l5;\nst.local.u32 "
            "[%l4+24], 88;\n"
            "st.local.u32 [%l4+28], 255;\nst.local.u64 [%l4+32], -9000000000;\nst.local.u32 [%l4+40], 4294967295;\n"
            "st.local.u32 [%l4+44], 7;\nst.local.u64 [%l4+48], 4096;\n" +
                call_printf("%l3"),
            {}, {1, 1, 1}, {}, before));
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "-5  1.50|abc|X ff -9000000000 4294967295% 7   | 0x1000\n");
}

TEST(Flow, PrintfWritesInOrderOfExecution)
{
    std::string before = library + string_variable("format", "%d,");
    testing::internal::CaptureStdout();
    expect_silence(
        run(".local .align 8 .b8 depot[8];\nmov.u64 %l4, depot;\ncvta.local.u64 %l3, %l4;\nmov.u32 %r1, %tid.x;\n"
            "mov.u32 %r2, %ctaid.x;\nmad.lo.u32 %r1, %r2, 3, %r1;\nst.local.u32 [%l4], %r1;\n" +
                call_printf("%l3"),
            {2, 1, 1}, {3, 1, 1}, {}, before));
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "0,1,2,3,4,5,");
}

TEST(Flow, AssertEndsTheLaunch)
{
    Buffer<uint32_t> out(std::vector<uint32_t>{0});
    std::string before = library + string_variable("text", "x > 0") + string_variable("file", "a.cu") +
                         string_variable("where", "void k()");
    testing::internal::CaptureStderr();
    std::vector<std::string> reports =
        run("mov.u32 %r1, %tid.x;\nsetp.ne.u32 %p1, %r1, 33;\n@%p1 bra fine;\nmov.u64 %l1, text;\nmov.u64 %l2, "
            "file;\nmov.u64 %l3, where;\n{\n"
            ".param .b64 param0;\nst.param.b64 [param0], %l1;\n.param .b64 param1;\nst.param.b64 [param1], "
            "%l2;\n.param .b32 param2;\n"
            "st.param.b32 [param2], 12;\n.param .b64 param3;\nst.param.b64 [param3], %l3;\n.param .b64 "
            "param4;\nst.param.b64 [param4], 1;\n"
            "call.uni __assertfail, (param0, param1, param2, param3, param4);\n}\nst.global.u32 [%a0], 1;\nfine:",
            {2, 1, 1}, {64, 1, 1}, {out.address}, before);
    std::string printed = testing::internal::GetCapturedStderr();
    EXPECT_EQ(printed.find("a.cu:12: void k(): block: [0,0,0], thread: [33,0,0] Assertion `x > 0` failed.\n"), 0u)
        << printed;
    expect_report(reports, {"assertion failed: x > 0", "thread (33,0,0)"});
    EXPECT_EQ(reports.size(), 1u);
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::assertion);
    EXPECT_EQ(out.get()[0], 0u);
}

TEST(Flow, TrapEndsTheLaunchAndBreakpointDoesNot)
{
    Buffer<uint32_t> out(std::vector<uint32_t>{0});
    expect_report(run("trap;\nst.global.u32 [%a0], 1;", {}, {1, 1, 1}, {out.address}), {"trap", "kernel k"});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::trap);
    EXPECT_EQ(out.get()[0], 0u);
    const char *before = ".func stop()\n{\ntrap;\nret;\n}\n";
    expect_report(run("call.uni stop, ();\nst.global.u32 [%a0], 1;", {}, {32, 1, 1}, {out.address}, before),
                  {"trap", "in stop"});
    EXPECT_EQ(out.get()[0], 0u);
    expect_report(run("brkpt;\nst.global.u32 [%a0], 1;", {}, {1, 1, 1}, {out.address}), {"brkpt"});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::complete);
    EXPECT_EQ(out.get()[0], 1u);
}

TEST(Flow, EndlessLoopsRunOutOfBudget)
{
    setenv("CUDASIM_BUDGET", "1000", 1);
    std::vector<std::string> reports = run("again:\nbra again;", {}, {1, 1, 1}, {});
    unsetenv("CUDASIM_BUDGET");
    expect_report(reports, {"endless loop?"});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::stopped);
}

/* --- special registers -------------------------------------------------------------------------------------------- */

TEST(Flow, SpecialRegisters)
{
    struct {
        const char *name;
        uint32_t value; /* of thread (3, 1, 1) of (4, 2, 2) in block (1, 2, 0) of (2, 3, 1) */
    } cases[] = {{"%tid.x", 3},
                 {"%tid.y", 1},
                 {"%tid.z", 1},
                 {"%ntid.x", 4},
                 {"%ntid.y", 2},
                 {"%ntid.z", 2},
                 {"%ctaid.x", 1},
                 {"%ctaid.y", 2},
                 {"%ctaid.z", 0},
                 {"%nctaid.x", 2},
                 {"%nctaid.y", 3},
                 {"%nctaid.z", 1},
                 {"%laneid", 15},
                 {"%warpid", 0},
                 {"%nwarpid", 1},
                 {"%lanemask_eq", 0x8000},
                 {"%lanemask_lt", 0x7fff},
                 {"%lanemask_le", 0xffff},
                 {"%lanemask_gt", 0xffff0000},
                 {"%lanemask_ge", 0xffff8000},
                 {"%smid", 0},
                 {"%dynamic_smem_size", 16}};
    const size_t count = sizeof cases / sizeof *cases;
    std::string body =
        "mov.u32 %r1, %laneid;\nsetp.ne.u32 %p1, %r1, 15;\n@%p1 exit;\nmov.u32 %r2, %ctaid.x;\nmov.u32 %r3, %ctaid.y;\n"
        "setp.ne.u32 %p2, %r2, 1;\n@%p2 exit;\nsetp.ne.u32 %p3, %r3, 2;\n@%p3 exit;\n";
    for (size_t i = 0; i < count; i++)
        body += std::string("mov.u32 %r5, ") + cases[i].name + ";\nst.global.u32 [%a0+" + std::to_string(4 * i) +
                "], %r5;\n";
    Buffer<uint32_t> out(count);
    expect_silence(run(body, {2, 3, 1}, {4, 2, 2}, {out.address}, "", 16));
    std::vector<uint32_t> values = out.get();
    for (size_t i = 0; i < count; i++)
        EXPECT_EQ(values[i], cases[i].value) << cases[i].name;
}

/** Clocks count instructions: they go on, and are the same in every run. */
TEST(Flow, ClocksGoOn)
{
    Buffer<uint64_t> out(2);
    expect_silence(run("mov.u32 %r1, %clock;\nmov.u64 %l1, %clock64;\nnanosleep.u32 10;\nmov.u64 %l2, "
                       "%globaltimer;\nsub.s64 %l2, %l2, %l1;\n"
                       "cvt.u32.u64 %r2, %l1;\nsub.s32 %r2, %r2, %r1;\ncvt.u64.u32 %l3, %r2;\nst.global.u64 [%a0], "
                       "%l2;\nst.global.u64 [%a0+8], %l3;",
                       {}, {1, 1, 1}, {out.address}));
    EXPECT_GT(out.get()[0], 0u);
    EXPECT_GT(out.get()[1], 0u);
}

TEST(Flow, UnknownOpcodesAreNamedAtLaunch)
{
    expect_report(run("tcgen05.alloc %r1;", {}, {1, 1, 1}, {}), {"cannot run", "tcgen05.alloc", "not simulated"});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::refused);
    const char *before = ".func inner()\n{\ngriddepcontrol.wait;\nwgmma.fence;\nret;\n}\n";
    expect_report(run("call.uni inner, ();", {}, {1, 1, 1}, {}, before), {"cannot run", "wgmma.fence"});
}

TEST(Flow, LaunchesBeyondTheLimitsAreRefused)
{
    expect_report(run("griddepcontrol.wait;", {}, {1025, 1, 1}, {}), {"cannot run", "block of 1025 threads"});
    expect_report(run("", {}, {1, 1, 65}, {}), {"cannot run"});
    expect_report(run("", {1, 65536, 1}, {1, 1, 1}, {}), {"cannot run", "grid"});
    expect_report(run("", {}, {1, 1, 1}, {}, "", 228 * 1024), {"cannot run", "shared memory"});
    expect_silence(run("", {}, {1024, 1, 1}, {}, "", 227 * 1024));
}

} // namespace cudasim_test
