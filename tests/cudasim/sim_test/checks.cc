/** Every check: a kernel that breaks the rule is reported, and one that nearly does is not. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

/** %r1 = the thread, %l2 = p0 + 4 * thread, %r3 = 4 * thread. */
const std::string by_thread =
    "mov.u32 %r1, %tid.x;\nmul.wide.u32 %l1, %r1, 4;\nadd.s64 %l2, %a0, %l1;\nshl.b32 %r3, %r1, 2;\n";
const std::string tile = ".shared .align 4 .b8 tile[256];\n.shared .align 4 .b8 other[256];\nmov.u32 %r10, "
                         "tile;\nadd.u32 %r11, %r10, %r3;\n";

std::vector<std::string> run_threads(const std::string &body, uint32_t threads, const std::vector<uint64_t> &parameters,
                                     uint32_t blocks = 1)
{
    return run(by_thread + body, {blocks, 1, 1}, {threads, 1, 1}, parameters);
}

std::vector<uint32_t> zeros(size_t n)
{
    return std::vector<uint32_t>(n, 0);
}

TEST(Checks, ReportsNameThePlace)
{
    cudasim::Module *module =
        load(".visible .entry _Z4fillPfi(.param .u64 p0)\n{\n.reg .b64 %l<4>;\n.reg .b32 %r<4>;\n.loc 1 42 9\n"
             "ld.param.u64 %l1, [p0];\nmov.u32 %r1, %tid.y;\n.loc 1 43 9, function_name $x, inlined_at 1 42 1\n"
             "st.global.u32 [%l1], %r1;\nret;\n}\n.file 1 \"fill.cu\"\n");
    Buffer<uint8_t> out(2);
    std::vector<std::string> reports = run_module(module, "_Z4fillPfi", {1, 2, 1}, {1, 2, 1}, {out.address});
    expect_report(reports,
                  {"kernel fill(float*, int) block (0,0,0) thread (0,0,0) at fill.cu:43", "st.global.u32 [%l1], %r1"});
    EXPECT_EQ(reports.size(), 1u) << "the same place is printed once";
    uint64_t before = cudasim::report_count();
    run_module(module, "_Z4fillPfi", {1, 2, 1}, {1, 2, 1}, {out.address});
    EXPECT_EQ(cudasim::report_count() - before, 4u) << "and counted always";
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

TEST(Checks, GlobalBounds)
{
    Buffer<uint32_t> x(zeros(64));
    expect_silence(run_threads("st.global.u32 [%l2], %r1;\nld.global.u32 %r2, [%l2];", 64, {x.address}));
    expect_report(run_threads("st.global.u32 [%l2], %r1;", 65, {x.address}),
                  {"global write out of bounds: 4 bytes at byte 256 of a block of 256", "thread (64,0,0)"});
    expect_report(run_threads("ld.global.u32 %r2, [%l2+-4];", 1, {x.address}),
                  {"global read out of bounds", "at byte -4"});
    expect_report(run_threads("ld.global.u32 %r2, [%a0+-140737488355328];", 1, {x.address}), {"of no block"});
    Buffer<uint8_t> odd(std::vector<uint8_t>(6, 1)); /* the last word is not whole */
    expect_report(run_threads("ld.global.u32 %r2, [%a0+4];", 1, {odd.address}), {"out of bounds"});
    expect_silence(run_threads("ld.global.u16 %r2, [%a0+4];", 1, {odd.address}));
    expect_report(run_threads("ld.global.u8 %r2, [%a0+6];", 1, {odd.address}), {"out of bounds"});
    expect_report(run_threads("atom.global.add.u32 %r2, [%a0+256], 1;", 1, {x.address}),
                  {"global atomic out of bounds"});
}

TEST(Checks, SharedBoundsAndGapsBetweenObjects)
{
    expect_silence(run_threads(tile + "st.shared.u32 [%r11], 1;", 64, {0}));
    expect_report(run_threads(tile + "st.shared.u32 [%r11], 1;", 65, {0}),
                  {"shared write out of bounds", "thread (64,0,0)"});
    expect_report(run_threads(tile + "ld.shared.u32 %r2, [%r10+100000];", 1, {0}), {"shared read out of bounds"});
    expect_report(
        run_threads(".shared .align 1 .b8 three[3];\nmov.u32 %r10, three;\nst.shared.u8 [%r10+3], 1;", 1, {0}),
        {"shared write out of bounds"});
    expect_silence(
        run_threads(".shared .align 1 .b8 three[3];\nmov.u32 %r10, three;\nst.shared.u8 [%r10+2], 1;", 1, {0}));
    const char *dynamic = ".extern .shared .align 4 .b8 dynamic[];\n";
    expect_silence(run("st.shared.u32 [dynamic+60], 1;", {}, {1, 1, 1}, {0}, dynamic, 64));
    expect_report(run("st.shared.u32 [dynamic+64], 1;", {}, {1, 1, 1}, {0}, dynamic, 64),
                  {"shared write out of bounds"});
}

TEST(Checks, LocalAndParameterBounds)
{
    const std::string depot = ".local .align 8 .b8 depot[16];\nmov.u64 %l4, depot;\n";
    expect_silence(run_threads(depot + "st.local.u32 [%l4+12], 1;\nld.u32 %r2, [%l4+12];", 32, {0}));
    expect_report(run_threads(depot + "st.local.u32 [%l4+16], 1;", 32, {0}), {"local write out of bounds"});
    expect_report(run_threads(depot + "st.local.u32 [%l4+-4], 1;", 1, {0}), {"local write out of bounds"});
    expect_report(run_threads("mov.b64 %l4, p0;\nld.param.u32 %r2, [%l4+8];", 1, {0}),
                  {"parameter read out of bounds"});
    expect_report(run_threads("ld.param.u32 %r2, [p0+8];", 1, {0}), {"cannot run", "past the end of the parameters"});
}

TEST(Checks, Alignment)
{
    Buffer<uint32_t> x(zeros(64));
    expect_report(run_threads("ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%a0+4];", 1, {x.address}),
                  {"misaligned global read of 16 bytes"});
    expect_silence(run_threads("ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%a0+16];", 1, {x.address}));
    expect_report(run_threads("st.global.u16 [%a0+1], %r1;", 1, {x.address}), {"misaligned global write of 2 bytes"});
    expect_report(run_threads(tile + "st.shared.u32 [%r10+2], 1;", 1, {0}), {"misaligned shared write of 4 bytes"});
    expect_report(
        run_threads(".local .align 8 .b8 depot[16];\nmov.u64 %l4, depot;\nst.local.u64 [%l4+4], %l4;", 1, {0}),
        {"misaligned local write"});
}

TEST(Checks, FreedAndHostMemory)
{
    uint64_t freed = cudasim::allocate(256, false);
    cudasim::release(freed);
    expect_report(run_threads("st.global.u32 [%l2], %r1;", 1, {freed}), {"global write of freed memory"});
    std::vector<uint32_t> host(64);
    expect_report(run_threads("ld.global.u32 %r2, [%l2];", 1, {(uint64_t)host.data()}),
                  {"global read of no block", "a host pointer or null?"});
    expect_report(run_threads("ld.global.u32 %r2, [%l2];", 1, {0}), {"global read of no block"});
    uint64_t pinned = cudasim::allocate(256, true);
    expect_silence(run_threads("ld.global.u32 %r2, [%l2];\nst.global.u32 [%l2], %r1;", 64, {pinned}));
    cudasim::release(pinned);
}

/* --- uninitialised memory ----------------------------------------------------------------------------------------- */

TEST(Checks, UninitialisedReads)
{
    Buffer<uint32_t> fresh(64), out(64);
    expect_report(run_threads("ld.global.u32 %r2, [%l2];", 1, {fresh.address}),
                  {"uninitialised global read: byte 0 of 256"});
    expect_report(run_threads("atom.global.add.u32 %r2, [%l2], 1;", 1, {fresh.address}), {"uninitialised global read"});
    Buffer<uint32_t> half(64);
    expect_silence(run_threads("st.global.u16 [%l2], %r1;\nld.global.u16 %r2, [%l2];", 1, {half.address}));
    expect_report(run_threads("ld.global.u32 %r2, [%l2];", 1, {half.address}), {"uninitialised global read"});
    expect_silence(run_threads("st.global.u32 [%l2], %r1;\nld.global.u32 %r2, [%l2];", 64, {out.address}));
    expect_report(run_threads(tile + "ld.shared.u32 %r2, [%r11];", 1, {0}), {"uninitialised shared read"});
    expect_silence(run_threads(tile + "st.shared.u32 [%r11], 1;\nld.shared.u32 %r2, [%r11];", 64, {0}));
    /* what a block wrote is not there for the next one */
    expect_report(run_threads(tile + "mov.u32 %r4, %ctaid.x;\nsetp.eq.u32 %p1, %r4, 0;\n@%p1 st.shared.u32 [%r11], "
                                     "1;\nld.shared.u32 %r2, [%r11];",
                              1, {0}, 2),
                  {"uninitialised shared read", "block (1,0,0)"});
}

/* --- races -------------------------------------------------------------------------------------------------------- */

TEST(Checks, SharedRacesAcrossWarps)
{
    const std::string store = tile + "st.shared.u32 [%r11], %r1;\n", again = "st.shared.u32 [%r11], %r3;";
    const std::string first = "ld.shared.u32 %r2, [%r10];\n",
                      last = "ld.shared.u32 %r2, [%r10+252];\n"; /* of threads 0 and 63 */
    expect_report(run_threads(store + first, 64, {0}),
                  {"data race: shared read of what was written by thread 0", "no barrier between"});
    expect_silence(run_threads(store + "bar.sync 0;\n" + first, 64, {0}));
    expect_report(run_threads(store + "bar.sync 0;\n" + last + again, 64, {0}),
                  {"data race: shared write after a read"});
    expect_silence(run_threads(store + "bar.sync 0;\n" + last + "bar.sync 0;\n" + again, 64, {0}));
}

TEST(Checks, RacesWithinAWarp)
{
    const std::string store = tile + "st.shared.u32 [%r11], %r1;\n",
                      load = "xor.b32 %r4, %r3, 4;\nadd.u32 %r4, %r4, %r10;\nld.shared.u32 %r2, [%r4];\n";
    expect_report(run_threads(store + load, 32, {0}), {"data race: shared read of what was written by thread"});
    expect_silence(run_threads(store + "bar.warp.sync -1;\n" + load, 32, {0}));
    expect_silence(
        run_threads(store + "bar.warp.sync -1;\n" + load + "bar.warp.sync -1;\nst.shared.u32 [%r11], %r3;", 32, {0}));
    expect_report(run_threads(store + "bar.warp.sync -1;\n" + load + "st.shared.u32 [%r11], %r3;", 32, {0}),
                  {"data race: shared write after a read"});
}

TEST(Checks, WritesOfOnePlace)
{
    Buffer<uint32_t> x(zeros(64));
    expect_report(run_threads("st.global.u32 [%a0], %r1;", 2, {x.address}),
                  {"data race: global write after a write by thread 0"});
    x.set(zeros(64));
    expect_silence(run_threads("st.global.u32 [%a0], 0;", 64, {x.address})); /* the value stays what it is */
    expect_silence(run_threads("setp.eq.u32 %p1, %r1, 5;\n@%p1 st.global.u32 [%a0], 9;", 64, {x.address}));
    expect_silence(run_threads("red.global.add.u32 [%a0], 1;", 64, {x.address}));
    expect_report(run_threads("red.global.add.u32 [%a0], 1;\nld.global.u32 %r2, [%a0];", 64, {x.address}),
                  {"data race: global read"});
    expect_silence(
        run_threads("red.global.add.u32 [%a0], 1;\nbar.sync 0;\nld.global.u32 %r2, [%a0];", 64, {x.address}));
    expect_silence(
        run_threads("st.volatile.global.u32 [%a0], %r1;\nld.volatile.global.u32 %r2, [%a0];", 64, {x.address}));
    expect_silence(
        run_threads("st.relaxed.gpu.global.u32 [%a0], %r1;\nld.relaxed.gpu.global.u32 %r2, [%a0];", 64, {x.address}));
}

/** Neighbouring halves and bytes of a word are places of their own. */
TEST(Checks, RacesOfHalvesAndBytes)
{
    Buffer<uint32_t> x(zeros(64));
    const std::string half = "mul.wide.u32 %l3, %r1, 2;\nadd.s64 %l3, %a0, %l3;\n",
                      byte = "cvt.u64.u32 %l3, %r1;\nadd.s64 %l3, %a0, %l3;\n";
    expect_silence(run_threads(half + "st.global.u16 [%l3], %r1;\nld.global.u16 %r2, [%l3];\nst.global.u16 [%l3], %r3;",
                               64, {x.address}));
    expect_silence(run_threads(byte + "st.global.u8 [%l3], %r1;\nld.global.u8 %r2, [%l3];\nst.global.u8 [%l3], %r3;",
                               64, {x.address}));
    expect_report(run_threads("st.global.u16 [%a0+2], %r1;", 2, {x.address}),
                  {"data race: global write after a write"});
    expect_report(run_threads("st.global.u8 [%a0+3], %r1;", 2, {x.address}), {"data race"});
    expect_report(run_threads(half + "st.global.u16 [%l3], %r3;\nld.global.u16 %r2, [%a0+8];", 64, {x.address}),
                  {"data race: global read"});
    /* a word over a half of it that another thread wrote */
    expect_report(
        run_threads("setp.eq.u32 %p1, %r1, 0;\n@%p1 st.global.u16 [%a0+2], 9;\n@!%p1 ld.global.u32 %r2, [%a0];", 2,
                    {x.address}),
        {"data race: global"});
    expect_silence(run_threads(
        "setp.eq.u32 %p1, %r1, 0;\n@%p1 st.global.u16 [%a0+6], 7;\n@!%p1 ld.global.u32 %r2, [%a0];", 2, {x.address}));
}

TEST(Checks, RacesAcrossBlocks)
{
    Buffer<uint32_t> x(zeros(64));
    const std::string block = "mov.u32 %r4, %ctaid.x;\nadd.u32 %r5, %r4, 7;\nsetp.eq.u32 %p1, %r4, 0;\n";
    expect_report(run_threads(block + "st.global.u32 [%a0], %r5;", 1, {x.address}, 2),
                  {"data race: global write after a write by another block"});
    expect_report(
        run_threads(block + "@%p1 st.global.u32 [%a0], 99;\n@!%p1 ld.global.u32 %r2, [%a0];", 1, {x.address}, 2),
        {"data race: global read of what was written by another block"});
    expect_report(
        run_threads(block + "@%p1 ld.global.u32 %r2, [%a0];\n@!%p1 st.global.u32 [%a0], 98;", 1, {x.address}, 2),
        {"data race: global write after a read by another block"});
    expect_report(run_threads("ld.global.u32 %r2, [%a0];\nmov.u32 %r4, %ctaid.x;\nsetp.eq.u32 %p1, %r4, 2;\n@%p1 "
                              "st.global.u32 [%a0], 97;",
                              1, {x.address}, 3),
                  {"data race: global write after a read by another block"});
    expect_silence(run_threads("ld.global.u32 %r2, [%a0];", 64, {x.address}, 3));
    expect_silence(run_threads("mul.wide.u32 %l4, %r1, 4;\nst.global.u32 [%l2], %r1;", 64, {x.address}, 1));
    expect_silence(run_threads("ld.global.u32 %r2, [%l2];", 64, {x.address}, 1)); /* another launch */
}

/* --- barriers and warps ------------------------------------------------------------------------------------------- */

TEST(Checks, DivergentBarriers)
{
    const std::string low = "setp.lt.u32 %p1, %r1, 40;\n";
    expect_report(run_threads(low + "@%p1 bar.sync 0;", 64, {0}), {"divergent barrier: 40 of 64 threads"});
    expect_report(run_threads(low + "@%p1 ret;\nbar.sync 0;", 64, {0}), {"divergent barrier: 24 of 64 threads"});
    expect_report(run_threads(low + "@%p1 bra a;\nbar.sync 0;\nbra end;\na:\nbar.sync 0;\nend:", 64, {0}),
                  {"divergent barrier: threads of the block wait at different places"});
    expect_silence(run_threads(low + "@%p1 mov.u32 %r2, 1;\nbar.sync 0;\nbarrier.sync 1;", 64, {0}));
    expect_report(run_threads("bar.sync 1, 96;", 64, {0}), {"divergent barrier: 64 of its 96 threads"});
    expect_report(run_threads("bar.sync 16;", 32, {0}), {"there are 16"});
}

TEST(Checks, WarpIntrinsicsWithAbsentLanes)
{
    const std::string low = "setp.lt.u32 %p1, %r1, 16;\n", shuffle = "shfl.sync.bfly.b32 %r2, %r1, 16, 31, ";
    expect_report(run_threads(low + "@%p1 " + shuffle + "-1;", 32, {0}),
                  {"warp intrinsic: lanes 0xffff0000 of its mask"});
    expect_report(run_threads(low + "@%p1 " + shuffle + "0xffff;", 32, {0}),
                  {"shfl reads lane 16, which does not take part"});
    expect_silence(run_threads(shuffle + "-1;", 32, {0}));
    expect_report(run_threads(shuffle + "0xfffffffe;", 1, {0}), {"the calling lane is not in its own mask"});
    expect_report(run_threads(low + "@%p1 vote.sync.any.pred %p2, %p1, -1;", 32, {0}), {"warp intrinsic: lanes"});
    expect_report(run_threads(low + "@%p1 ret;\nbar.warp.sync -1;", 32, {0}),
                  {"warp intrinsic: lanes 0xffff of its mask have exited"});
}

TEST(Checks, IndexedBranchesStayInTheirTable)
{
    expect_report(run_threads("t: .branchtargets a, b;\nmov.u32 %r2, 2;\nbrx.idx %r2, t;\na:\nb:", 1, {0}),
                  {"brx.idx: index 2 of 2 targets"});
}

TEST(Checks, ManyReportsStopALaunch)
{
    Buffer<uint32_t> x(zeros(1));
    uint64_t before = cudasim::report_count();
    run_threads("again:\nld.global.u32 %r2, [%a0+4];\nbra again;", 32, {x.address});
    EXPECT_EQ(cudasim::last_ending(), cudasim::Ending::stopped);
    EXPECT_GT(cudasim::report_count() - before, 1000u);
}

} // namespace cudasim_test
