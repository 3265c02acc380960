// The example program is what a user starts from: it must do what it says, in both languages, on the data that ships.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <string>

namespace fs = std::filesystem;

namespace
{

struct Outcome {
    int code;
    std::string text;
};

Outcome Execute(const std::string &command)
{
    Outcome outcome{-1, ""};
    FILE *pipe = popen((command + " 2>&1").c_str(), "r");
    char buffer[512];
    while (pipe && fgets(buffer, sizeof buffer, pipe))
        outcome.text += buffer;
    const int status = pipe ? pclose(pipe) : -1;
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

double Number(const std::string &text, const std::string &pattern)
{
    std::smatch match;
    return std::regex_search(text, match, std::regex(pattern)) ? std::stod(match[1]) : -1;
}

class Example : public testing::TestWithParam<const char *>
{
  protected:
    const std::string program = std::string(EG_BINARY_DIR) + "/examples/" + GetParam();
    const std::string digits = std::string(EG_SOURCE_DIR) + "/examples/digits";
    const fs::path folder =
        fs::temp_directory_path() / (std::string("engram-") + GetParam() + std::to_string(getpid()));
    void TearDown() override
    {
        fs::remove_all(folder);
    }
};

TEST_P(Example, LearnsTheNewDigitsAndKeepsTheOldOnes)
{
    const Outcome outcome = Execute(program + " " + digits + "/digits04.h5 " + digits + "/five-to-nine " + digits +
                                    "/zero-to-four " + folder.string());
    ASSERT_EQ(outcome.code, 0) << outcome.text;
    // Chance is 10 % on new digits; the network got 99.6 % of the old ones right before.
    EXPECT_NEAR(Number(outcome.text, "old zero-to-four: ([0-9.]+) %"), 99.6, 0.05) << outcome.text;
    EXPECT_GE(Number(outcome.text, "old zero-to-four: .* -> ([0-9.]+) %"), 97) << outcome.text;
    EXPECT_GE(Number(outcome.text, "new five-to-nine: .* -> ([0-9.]+) %"), 95) << outcome.text;
    EXPECT_TRUE(fs::exists(folder / "model.h5"));
    EXPECT_GE(Number(outcome.text, "image 0: label [0-9]+, row [0-9]+ of 10 with probability ([0-9.]+)"), 0)
        << outcome.text;
}

TEST_P(Example, NamesTheFileThatIsMissing)
{
    const Outcome outcome =
        Execute(program + " no-such.h5 " + digits + "/five-to-nine " + digits + "/zero-to-four " + folder.string());
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(std::regex_search(outcome.text, std::regex("^error: .*no-such.h5"))) << outcome.text;
    EXPECT_FALSE(fs::exists(folder / "model.h5"));
}

INSTANTIATE_TEST_SUITE_P(Languages, Example, testing::Values("example_minimal", "example_minimal_cxx"));

} // namespace
