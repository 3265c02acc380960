// What the tests of the command share: running it in a folder that goes away, on the digits that ship with the
// repository.
#pragma once

#include <gtest/gtest.h>
#include <jansson.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace fs = std::filesystem;

inline const std::string kDigits = std::string(EG_SOURCE_DIR) + "/examples/digits/";

struct Ran {
    int code;
    std::string out, err;
};

inline std::string Slurp(const fs::path &path)
{
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

class Cli : public testing::Test
{
  protected:
    void SetUp() override
    {
        const char *engram = getenv("ENGRAM");
        ASSERT_TRUE(engram) << "ENGRAM names the command; ctest sets it";
        engram_ = engram;
        folder_ = fs::temp_directory_path() / ("engram-cli-" + std::to_string(getpid()));
        fs::remove_all(folder_);
        fs::create_directories(folder_);
    }
    void TearDown() override
    {
        if (!folder_.empty())
            fs::remove_all(folder_);
    }

    Ran Run(const std::string &arguments, const std::string &before = "")
    {
        const std::string command =
            before + "'" + engram_ + "' " + arguments + " >'" + At("stdout") + "' 2>'" + At("stderr") + "'";
        const int status = std::system(("cd '" + folder_.string() + "' && " + command).c_str());
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), Slurp(At("stdout")),
                Slurp(At("stderr"))};
    }
    std::string At(const std::string &name) const
    {
        return (folder_ / name).string();
    }
    void Write(const std::string &name, const std::string &text)
    {
        std::ofstream(At(name), std::ios::binary) << text;
    }
    // One line on standard error that names the subject; nothing else said wrong.
    void ExpectRefused(const Ran &r, int code, const std::string &subject)
    {
        EXPECT_EQ(code, r.code) << r.err;
        EXPECT_NE(std::string::npos, r.err.find(subject)) << r.err;
        EXPECT_EQ(1, std::count(r.err.begin(), r.err.end(), '\n')) << r.err;
    }

    std::string engram_;
    fs::path folder_;
    const std::string model_ = "'" + kDigits + "digits04.h5'";
    const std::string new_ = "--data '" + kDigits + "five-to-nine' ", keep_ = "--keep '" + kDigits + "zero-to-four' ";
    const std::string quick_ = "finetune.epochs=2 run.threads=1 ";
};

inline double Number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}
