// Every planted bug is reported as its comment says, with exit code 86; its correct twin gives no output and code 0.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

#include "outcome.h"

namespace
{

enum class Blame { line, kernel, nobody };

struct Expectation {
    std::string name, text, file;
    int line = 0;
    Blame blame = Blame::line;
};

const std::pair<const char *, Blame> kMarks[] = {{"// planted on the host ", Blame::nobody},
                                                 {"// planted in the kernel ", Blame::kernel},
                                                 {"// planted ", Blame::line}};

bool parse(const std::string &line, Expectation *expectation)
{
    for (const auto &mark : kMarks) {
        const size_t at = line.find(mark.first);
        if (at == std::string::npos)
            continue;
        const std::string rest = line.substr(at + std::string(mark.first).size());
        const size_t colon = rest.find(": ");
        expectation->name = rest.substr(0, colon);
        expectation->text = rest.substr(colon + 2);
        expectation->blame = mark.second;
        return true;
    }
    return false;
}

std::vector<Expectation> expectations()
{
    std::vector<Expectation> all;
    for (const auto &entry : std::filesystem::directory_iterator(CUDASIM_TEST_SOURCES "/bugs")) {
        if (entry.path().extension() != ".cu")
            continue;
        std::ifstream source(entry.path());
        std::string line;
        Expectation expectation;
        for (expectation.line = 1; std::getline(source, line); expectation.line++) {
            expectation.file = entry.path().filename().string();
            if (parse(line, &expectation))
                all.push_back(expectation);
        }
    }
    return all;
}

/** A report is a line of text, a line with the kernel and where it was, and the instruction. */
std::string pattern_of(const Expectation &e)
{
    const std::string text = "(cudasim: |\n)[^\n]*" + ("(" + e.text) + ")[^\n]*\n";
    if (e.blame == Blame::nobody)
        return text;
    const std::string kernel = " *kernel [^\n]*" + e.name + "[^\n]* block \\([^\n]*";
    return e.blame == Blame::kernel ? text + kernel
                                    : text + kernel + " at [^\n]*" + e.file + ":" + std::to_string(e.line) + "\n";
}

/** Few instructions suffice, so that the endless loop ends soon. */
Outcome run_bug(const std::string &arguments)
{
    return run_on_simulator("CUDASIM_LEAKS=1 CUDASIM_BUDGET=1000000", CUDASIM_BUGS " " + arguments);
}

void PrintTo(const Expectation &e, std::ostream *to)
{
    *to << e.file << ":" << e.line << ": " << e.text;
}

class PlantedBug : public testing::TestWithParam<Expectation>
{
};

std::string name_of(const testing::TestParamInfo<Expectation> &info)
{
    return info.param.name;
}

TEST_P(PlantedBug, IsReportedWhereItIs)
{
    const Outcome outcome = run_bug(GetParam().name);
    EXPECT_EQ(outcome.code, 86);
    const std::string pattern = pattern_of(GetParam());
    EXPECT_TRUE(std::regex_search(outcome.output, std::regex(pattern))) << pattern << "\n" << outcome.output;
}

TEST_P(PlantedBug, HasACorrectTwinWithoutReports)
{
    const Outcome outcome = run_bug(GetParam().name + " right");
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBug, testing::ValuesIn(expectations()), name_of);

TEST(PlantedBugs, AreAllExpected)
{
    std::set<std::string> expected, planted;
    for (const Expectation &e : expectations())
        expected.insert(e.name);
    std::istringstream names(run_bug("").output);
    for (std::string name; std::getline(names, name);)
        planted.insert(name);
    EXPECT_EQ(planted, expected);
    EXPECT_GE(planted.size(), 24u);
}

TEST(Reports, CanLeaveTheExitCodeAlone)
{
    EXPECT_EQ(run_on_simulator("CUDASIM_KEEP_RC=1", CUDASIM_BUGS " global_bounds").code, 0);
}

} // namespace
