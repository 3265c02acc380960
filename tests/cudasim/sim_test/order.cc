/** Order between blocks: what fences and strong accesses make safe, and what stays a race without them. */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

/** Each block writes 64 partial values, thread 0 counts the block, and the last block adds them all up. */
struct LastBlock {
    std::string fence = "membar.gl;", count = "atom.global.inc.u32 %r4, [%a1], %r5;", before_count,
                barrier = "bar.sync 0;", load = "ld.global.u32", reader_fence;

    std::string body() const
    {
        return ".shared .align 4 .b8 last[4];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\nmov.u32 %r6, "
               "%nctaid.x;\nadd.u32 %r5, %r6, -1;\n"
               "shl.b32 %r7, %r2, 6;\nadd.u32 %r7, %r7, %r1;\nmul.wide.u32 %l1, %r7, 4;\nadd.s64 %l1, %a0, "
               "%l1;\nadd.u32 %r8, %r7, 1;\n"
               "st.global.u32 [%l1], %r8;\n" +
               fence + "\n" + before_count + "\n" + barrier + "\nsetp.ne.u32 %p1, %r1, 0;\n@%p1 bra counted;\n" +
               count +
               "\nsetp.eq.u32 %p2, %r4, %r5;\nselp.u32 %r9, 1, 0, %p2;\nst.shared.u32 [last], %r9;\ncounted:\nbar.sync "
               "0;\n"
               "ld.shared.u32 %r9, [last];\nsetp.eq.u32 %p3, %r9, 0;\n@%p3 ret;\n" +
               reader_fence +
               "\nmov.u32 %r10, 0;\nmov.u32 %r11, 0;\nmul.wide.u32 %l2, %r1, 4;\nadd.s64 %l2, %a0, %l2;\nsum:\n" +
               load +
               " %r12, [%l2];\nadd.u32 %r10, %r10, %r12;\nadd.s64 %l2, %l2, 256;\nadd.u32 %r11, %r11, 1;\nsetp.lt.u32 "
               "%p4, %r11, %r6;\n"
               "@%p4 bra sum;\nmul.wide.u32 %l3, %r1, 4;\nadd.s64 %l3, %a2, %l3;\nst.global.u32 [%l3], %r10;";
    }
};

const uint32_t blocks = 5;

std::vector<std::string> run_last_block(const LastBlock &last)
{
    Buffer<uint32_t> partial(64 * blocks), counter(std::vector<uint32_t>{0}), sums(64);
    std::vector<std::string> reports =
        run(last.body(), {blocks, 1, 1}, {64, 1, 1}, {partial.address, counter.address, sums.address});
    std::vector<uint32_t> results = sums.get();
    for (uint32_t i = 0; i < 64; i++)
        EXPECT_EQ(results[i], blocks * (i + 1) + 64 * (blocks * (blocks - 1) / 2));
    return reports;
}

TEST(Order, LastBlockWithFences)
{
    LastBlock last;
    expect_silence(run_last_block(last));
    last.fence = "fence.acq_rel.gpu;";
    last.load = "ld.volatile.global.u32";
    last.reader_fence = "fence.sc.gpu;";
    expect_silence(run_last_block(last));
    last.fence = ""; /* after the barrier, by the thread that counts: covers all that the barrier ordered before it */
    last.count = "fence.acq_rel.gpu;\natom.global.inc.u32 %r4, [%a1], %r5;";
    expect_silence(run_last_block(last));
    last.count = "atom.acq_rel.gpu.global.inc.u32 %r4, [%a1], %r5;";
    expect_silence(run_last_block(last));
    last.count = "atom.release.gpu.global.add.u32 %r4, [%a1], 1;";
    expect_silence(run_last_block(last));
}

TEST(Order, LastBlockWithoutFences)
{
    LastBlock last;
    last.fence = "";
    expect_report(run_last_block(last), {"data race: global read of what was written by another block"});
    last.fence = "membar.cta;"; /* orders nothing for other blocks */
    expect_report(run_last_block(last), {"data race: global read of what was written by another block"});
    last.fence = "";
    last.barrier = ""; /* thread 0's fence covers what the others did only behind a barrier */
    last.before_count = "setp.eq.u32 %p5, %r1, 0;\n@%p5 membar.gl;";
    expect_report(run_last_block(last), {"data race: global read of what was written by another block"});
}

/** Block 0 writes and raises a flag; block 1 sees the flag and reads. */
std::vector<std::string> run_flag(const std::string &write, const std::string &read)
{
    Buffer<uint32_t> data(std::vector<uint32_t>{0}), flag(std::vector<uint32_t>{0}), out(1);
    std::vector<std::string> reports =
        run("mov.u32 %r2, %ctaid.x;\nsetp.ne.u32 %p1, %r2, 0;\n@%p1 bra reader;\nst.global.u32 [%a0], 42;\n" + write +
                "\nret;\nreader:\n" + read +
                "\nsetp.eq.u32 %p2, %r3, 0;\n@%p2 ret;\nld.global.u32 %r4, [%a0];\nst.global.u32 [%a2], %r4;",
            {2, 1, 1}, {1, 1, 1}, {data.address, flag.address, out.address});
    EXPECT_EQ(out.get()[0], 42u);
    return reports;
}

TEST(Order, Flags)
{
    expect_silence(run_flag("st.release.gpu.global.u32 [%a1], 1;", "ld.acquire.gpu.global.u32 %r3, [%a1];"));
    expect_silence(run_flag("fence.acq_rel.gpu;\nst.relaxed.gpu.global.u32 [%a1], 1;",
                            "ld.relaxed.gpu.global.u32 %r3, [%a1];\nfence.acq_rel.gpu;"));
    expect_silence(
        run_flag("membar.gl;\nst.volatile.global.u32 [%a1], 1;", "ld.volatile.global.u32 %r3, [%a1];\nmembar.gl;"));
    expect_silence(run_flag("membar.sys;\natom.global.exch.b32 %r5, [%a1], 1;", "atom.global.add.u32 %r3, [%a1], 0;"));
    expect_report(run_flag("st.relaxed.gpu.global.u32 [%a1], 1;", "ld.acquire.gpu.global.u32 %r3, [%a1];"),
                  {"data race: global read"});
    expect_report(run_flag("membar.gl;\nst.global.u32 [%a1], 1;", "ld.global.u32 %r3, [%a1];"),
                  {"data race: global read"});
}

/** Block 1 passes on what it acquired from block 0 by another flag. */
TEST(Order, IsPassedOn)
{
    for (bool fence : {true, false}) {
        Buffer<uint32_t> data(std::vector<uint32_t>{0}), flags(std::vector<uint32_t>{0, 0}), out(1);
        std::vector<std::string> reports =
            run("mov.u32 %r2, %ctaid.x;\nsetp.eq.u32 %p1, %r2, 1;\n@%p1 bra middle;\nsetp.eq.u32 %p1, %r2, 2;\n@%p1 "
                "bra reader;\n"
                "st.global.u32 [%a0], 42;\nst.release.gpu.global.u32 [%a1], "
                "1;\nret;\nmiddle:\nld.acquire.gpu.global.u32 %r3, [%a1];\n" +
                    std::string(fence ? "st.release.gpu.global.u32" : "st.relaxed.gpu.global.u32") +
                    " [%a1+4], %r3;\nret;\nreader:\nld.acquire.gpu.global.u32 %r3, [%a1+4];\nld.global.u32 %r4, "
                    "[%a0];\nst.global.u32 [%a2], %r4;",
                {3, 1, 1}, {1, 1, 1}, {data.address, flags.address, out.address});
        if (fence)
            expect_silence(reports);
        else
            expect_report(reports, {"data race: global read of what was written by another block"});
    }
}

/** What a thread acquires is its own until a barrier. */
TEST(Order, IsSharedByABarrier)
{
    for (const char *barrier : {"bar.sync 0;", ""}) {
        Buffer<uint32_t> data(std::vector<uint32_t>{0}), flag(std::vector<uint32_t>{0});
        std::vector<std::string> reports =
            run("mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\nsetp.ne.u32 %p2, %r1, 0;\nsetp.ne.u32 %p1, %r2, "
                "0;\n@%p1 bra reader;\n"
                "@%p2 ret;\nst.global.u32 [%a0], 42;\nst.release.gpu.global.u32 [%a1], 1;\nret;\nreader:\n"
                "@!%p2 ld.acquire.gpu.global.u32 %r3, [%a1];\n" +
                    std::string(barrier) + "\nld.global.u32 %r4, [%a0];",
                {2, 1, 1}, {64, 1, 1}, {data.address, flag.address});
        if (*barrier)
            expect_silence(reports);
        else
            expect_report(reports, {"data race: global read of what was written by another block", "thread (1,0,0)"});
    }
}

} // namespace cudasim_test
