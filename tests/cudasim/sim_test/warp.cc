/** What lanes of a warp and warps of a block do together. */
#include "tests/cudasim/sim_test/harness.h"

#include <functional>

namespace cudasim_test
{

/** Runs one instruction in 32 lanes with %r1 = the lane and %r2 = in[lane]; %r3 is the result of each. */
std::vector<uint32_t> by_lane(const std::string &body, const std::vector<uint32_t> &values)
{
    Buffer<uint32_t> in(values), out(32);
    expect_silence(
        run("mov.u32 %r1, %laneid;\nmul.wide.u32 %l1, %r1, 4;\nadd.s64 %l2, %a0, %l1;\nadd.s64 %l3, %a1, %l1;\n"
            "ld.global.u32 %r2, [%l2];\nmov.u32 %r3, 0;\n" +
                body + "\nst.global.u32 [%l3], %r3;",
            {}, {32, 1, 1}, {in.address, out.address}));
    return out.get();
}

void expect_lanes(const std::string &body, const std::function<uint32_t(int)> &expected)
{
    SCOPED_TRACE(body);
    std::vector<uint32_t> values(32);
    for (int i = 0; i < 32; i++)
        values[i] = (uint32_t)(i * 7 % 5);
    std::vector<uint32_t> results = by_lane(body, values);
    for (int i = 0; i < 32; i++)
        EXPECT_EQ(results[i], expected(i)) << "lane " << i;
}

uint32_t value(int lane)
{
    return (uint32_t)(lane * 7 % 5);
}

TEST(Warp, Shuffles)
{
    expect_lanes("shfl.sync.up.b32 %r3, %r1, 3, 0, -1;", [](int i) { return i < 3 ? i : i - 3; });
    expect_lanes("shfl.sync.down.b32 %r3, %r1, 3, 31, -1;", [](int i) { return i > 28 ? i : i + 3; });
    expect_lanes("shfl.sync.bfly.b32 %r3, %r1, 5, 31, -1;", [](int i) { return i ^ 5; });
    expect_lanes("shfl.sync.idx.b32 %r3, %r1, 9, 31, -1;", [](int) { return 9; });
    expect_lanes("shfl.sync.idx.b32 %r3, %r1, 2, 0x181f, -1;", [](int i) { return i / 8 * 8 + 2; }); /* segments of 8 */
    expect_lanes("shfl.sync.down.b32 %r4|%p1, %r1, 3, 31, -1;\nselp.u32 %r3, 1, 0, %p1;",
                 [](int i) { return i <= 28; });
    expect_lanes("setp.lt.u32 %p1, %r1, 16;\n@%p1 shfl.sync.bfly.b32 %r3, %r1, 1, 31, 0xffff;",
                 [](int i) { return i < 16 ? i ^ 1 : 0; });
}

TEST(Warp, VotesMatchesAndReductions)
{
    uint32_t odd = 0, sum = 0;
    for (int i = 0; i < 32; i++) {
        odd |= (value(i) & 1) << i;
        sum += value(i);
    }
    const char *parity = "and.b32 %r4, %r2, 1;\nsetp.eq.u32 %p1, %r4, 1;\n", *answer = "\nselp.u32 %r3, 1, 0, %p2;";
    auto vote = [&](const char *what) { return parity + std::string(what) + answer; };
    expect_lanes(std::string(parity) + "vote.sync.ballot.b32 %r3, %p1, -1;", [&](int) { return odd; });
    expect_lanes(std::string(parity) + "vote.sync.ballot.b32 %r3, !%p1, -1;", [&](int) { return ~odd; });
    expect_lanes("vote.sync.ballot.b32 %r3, 1, -1;", [](int) { return ~0u; });
    expect_lanes(vote("vote.sync.any.pred %p2, %p1, -1;"), [](int) { return 1; });
    expect_lanes(vote("vote.sync.all.pred %p2, %p1, -1;"), [](int) { return 0; });
    expect_lanes(vote("vote.sync.uni.pred %p2, %p1, -1;"), [](int) { return 0; });
    auto same = [](int i) {
        uint32_t lanes = 0;
        for (int j = 0; j < 32; j++)
            lanes |= (uint32_t)(value(j) == value(i)) << j;
        return lanes;
    };
    expect_lanes("match.any.sync.b32 %r3, %r2, -1;", same);
    expect_lanes("cvt.u64.u32 %l5, %r2;\nmatch.any.sync.b64 %r3, %l5, -1;", same);
    expect_lanes("mov.b32 %r5, 1;\nmatch.all.sync.b32 %r3|%p1, %r5, -1;", [](int) { return ~0u; });
    expect_lanes("match.all.sync.b32 %r4|%p2, %r2, -1;\nselp.u32 %r3, 1, %r4, %p2;", [](int) { return 0; });
    expect_lanes("redux.sync.add.s32 %r3, %r2, -1;", [&](int) { return sum; });
    expect_lanes("redux.sync.min.u32 %r3, %r2, -1;", [](int) { return 0; });
    expect_lanes("sub.s32 %r4, 0, %r2;\nredux.sync.min.s32 %r3, %r4, -1;", [](int) { return (uint32_t)-4; });
    expect_lanes("sub.s32 %r4, 0, %r2;\nredux.sync.max.s32 %r3, %r4, -1;", [](int) { return 0; });
    expect_lanes("redux.sync.or.b32 %r3, %r2, -1;", [](int) { return 7; });
    expect_lanes("redux.sync.and.b32 %r3, %r2, -1;", [](int) { return 0; });
    expect_lanes("redux.sync.xor.b32 %r3, %r1, -1;", [](int) { return 0; });
    expect_lanes("activemask.b32 %r3;", [](int) { return ~0u; });
    expect_lanes("setp.lt.u32 %p1, %r1, 4;\n@%p1 activemask.b32 %r3;", [](int i) { return i < 4 ? 15 : 0; });
    expect_lanes("elect.sync _|%p1, -1;\nselp.u32 %r3, 1, 0, %p1;", [](int i) { return i == 0; });
}

/** A warp's halves go different ways and meet at bar.warp.sync in two places. */
TEST(Warp, SyncAtDifferentPlaces)
{
    expect_lanes("setp.lt.u32 %p1, %r1, 16;\n@%p1 bra low;\nbar.warp.sync -1;\nmov.u32 %r3, 2;\nbra "
                 "end;\nlow:\nbar.warp.sync -1;\n"
                 "mov.u32 %r3, 1;\nend:",
                 [](int i) { return i < 16 ? 1 : 2; });
}

TEST(Warp, BlockReductionsByBarriers)
{
    const size_t threads = 70;
    auto results = [&](const char *reduction, const char *result) {
        Buffer<uint32_t> out(threads);
        expect_silence(run("mov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 33;\n" + std::string(reduction) + "\n" +
                               result +
                               "\nmul.wide.u32 %l1, %r1, 4;\nadd.s64 %l1, %a0, %l1;\nst.global.u32 [%l1], %r3;",
                           {}, {(uint32_t)threads, 1, 1}, {out.address}));
        return out.get();
    };
    const char *as_number = "selp.u32 %r3, 1, 0, %p2;";
    EXPECT_EQ(results("bar.red.popc.u32 %r3, 0, %p1;", ""), std::vector<uint32_t>(threads, 33));
    EXPECT_EQ(results("barrier.red.popc.aligned.u32 %r3, 0, !%p1;", ""), std::vector<uint32_t>(threads, 37));
    EXPECT_EQ(results("bar.red.and.pred %p2, 0, %p1;", as_number), std::vector<uint32_t>(threads, 0));
    EXPECT_EQ(results("bar.red.or.pred %p2, 0, %p1;", as_number), std::vector<uint32_t>(threads, 1));
}

/** One warp produces, the other waits for it at a barrier of 64 threads that the first only arrives at. */
TEST(Warp, ArriveAndCounts)
{
    Buffer<uint32_t> out(std::vector<uint32_t>{0});
    expect_silence(
        run(".shared .align 4 .b8 s[4];\nmov.u32 %r1, %tid.x;\nsetp.ge.u32 %p1, %r1, 64;\n@%p1 exit;\nsetp.lt.u32 %p1, "
            "%r1, 32;\n"
            "@%p1 bra consume;\nsetp.eq.u32 %p2, %r1, 32;\n@%p2 st.shared.u32 [s], 5;\nbar.arrive 1, 64;\nbra "
            "end;\nconsume:\n"
            "bar.sync 1, 64;\nld.shared.u32 %r2, [s];\nsetp.eq.u32 %p3, %r1, 3;\n@%p3 st.global.u32 [%a0], %r2;\nend:",
            {}, {96, 1, 1}, {out.address}));
    EXPECT_EQ(out.get()[0], 5u);
}

} // namespace cudasim_test
