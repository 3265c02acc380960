// Every check of known/ runs to its end, lazily and eagerly, without a report.
#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "outcome.h"

namespace
{

std::vector<std::string> names()
{
    std::vector<std::string> all;
    std::istringstream lines(run_on_simulator("", CUDASIM_KNOWN).output);
    for (std::string name; std::getline(lines, name);)
        all.push_back(name);
    return all;
}

class Known : public testing::TestWithParam<std::string>
{
};

TEST_P(Known, AnswerIsRight)
{
    for (const char *eager : {"0", "1"}) {
        const Outcome outcome =
            run_on_simulator("CUDASIM_LEAKS=1 CUDASIM_EAGER=" + std::string(eager), CUDASIM_KNOWN " " + GetParam());
        EXPECT_EQ(outcome.code, 0);
        EXPECT_EQ(outcome.output, "");
    }
}

INSTANTIATE_TEST_SUITE_P(All, Known, testing::ValuesIn(names()), [](const auto &info) { return info.param; });

} // namespace
