/** Counters of launches, and that every opcode of the simulator has a test. */
#include "tests/cudasim/sim_test/harness.h"

#include <fstream>
#include <regex>
#include <sstream>

#include <dirent.h>

namespace cudasim
{
std::vector<std::string> opcode_names(); /* sim/decode.h */
}

namespace cudasim_test
{

cudasim::Counters count(const std::string &body, uint32_t threads, const std::vector<uint64_t> &parameters)
{
    cudasim::Module *module = load(entry("mov.u32 %r1, %tid.x;\n" + body, (int)parameters.size()));
    expect_silence(run_module(module, "k", {2, 1, 1}, {threads, 1, 1}, parameters));
    return cudasim::counters_of(cudasim::find_kernel(module, "k"));
}

TEST(Counters, InstructionsAndBranches)
{
    cudasim::Counters c = count("setp.lt.u32 %p1, %r1, 8;\n@%p1 bra end;\nadd.u32 %r2, %r1, 1;\nend:", 40, {});
    EXPECT_EQ(c.launches, 1u);
    EXPECT_EQ(c.blocks, 2u);
    EXPECT_EQ(c.branches, 2u); /* the second warp's eight lanes do not branch at all */
    EXPECT_EQ(c.divergent_branches, 2u);
    EXPECT_EQ(c.warp_instructions, 2 * (5 + 5u));
    EXPECT_EQ(c.thread_instructions, 2 * (4 * 40u + 32));
}

TEST(Counters, SectorsOfGlobalRequests)
{
    Buffer<uint32_t> x(std::vector<uint32_t>(32 * 32, 0));
    struct {
        const char *stride;
        uint64_t sectors;
    } cases[] = {{"4", 4}, {"8", 8}, {"32", 32}, {"128", 32}, {"0", 1}};
    for (auto &c : cases) {
        cudasim::Counters counted = count("mul.wide.u32 %l1, %r1, " + std::string(c.stride) +
                                              ";\nadd.s64 %l1, %a0, %l1;\nld.global.u32 %r2, [%l1];",
                                          32, {x.address});
        EXPECT_EQ(counted.global_requests, 2u);
        EXPECT_EQ(counted.global_sectors, 2 * c.sectors) << "stride " << c.stride;
    }
    cudasim::Counters wide =
        count("mul.wide.u32 %l1, %r1, 16;\nadd.s64 %l1, %a0, %l1;\nld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%l1];", 32,
              {x.address});
    EXPECT_EQ(wide.global_sectors, 2 * 16u);
    cudasim::Counters reversed =
        count("sub.u32 %r2, 31, %r1;\nmul.wide.u32 %l1, %r2, 4;\nadd.s64 %l1, %a0, %l1;\nld.global.u32 %r2, [%l1];", 32,
              {x.address});
    EXPECT_EQ(reversed.global_sectors, 2 * 4u);
}

TEST(Counters, PassesOfSharedRequests)
{
    struct {
        const char *stride;
        uint64_t passes;
    } cases[] = {{"4", 1}, {"8", 2}, {"128", 32}, {"132", 1}, {"0", 1}};
    for (auto &c : cases) {
        cudasim::Counters counted =
            count(".shared .align 16 .b8 s[8192];\nmov.u32 %r2, s;\nmad.lo.u32 %r3, %r1, " + std::string(c.stride) +
                      ", %r2;\nsetp.gt.u32 %p1, %r1, 100;\n@!%p1 st.shared.u32 [%r3], 0;\nsetp.eq.u32 %p1, %r1, 99;\n",
                  32, {});
        EXPECT_EQ(counted.shared_requests, 2u);
        EXPECT_EQ(counted.shared_passes, 2 * c.passes) << "stride " << c.stride;
        EXPECT_EQ(counted.shared_conflicts, 2 * (c.passes - 1)) << "stride " << c.stride;
    }
    cudasim::Counters wide = count(".shared .align 16 .b8 s[8192];\nmov.u32 %r2, s;\nmad.lo.u32 %r3, %r1, 16, "
                                   "%r2;\nst.shared.v4.u32 [%r3], {%r1, %r1, %r1, %r1};",
                                   32, {});
    EXPECT_EQ(wide.shared_passes, 2 * 4u);
    EXPECT_EQ(wide.shared_conflicts, 0u);
    EXPECT_EQ(count(".local .align 8 .b8 depot[8];\nst.local.u32 [depot], %r1;", 32, {}).local_requests, 2u);
}

/** An opcode that no PTX text of these tests holds is not tested. */
TEST(Coverage, EveryOpcodeIsInSomeTest)
{
    const char *folder = getenv("EG_SIM_TEST_DIR");
    ASSERT_NE(folder, nullptr) << "EG_SIM_TEST_DIR is this folder";
    std::stringstream text;
    DIR *dir = opendir(folder);
    ASSERT_NE(dir, nullptr);
    while (dirent *entry = readdir(dir)) {
        std::string name = entry->d_name;
        if (name.size() > 3 && name.compare(name.size() - 3, 3, ".cc") == 0)
            text << std::ifstream(std::string(folder) + "/" + name).rdbuf();
    }
    closedir(dir);
    const std::string all = text.str();
    for (const std::string &opcode : cudasim::opcode_names())
        EXPECT_TRUE(std::regex_search(all, std::regex("(\"|n|[0-9]| )" + opcode + "(\\.[a-zA-Z0-9]|;| %)")))
            << opcode << " has no test";
}

} // namespace cudasim_test
