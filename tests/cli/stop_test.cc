// Signals and full disks: what a run that cannot end leaves behind.
#include "support.h"

#include <chrono>
#include <csignal>
#include <thread>

TEST_F(Cli, ASignalStopsTheRunAndLeavesOlderFilesWhole)
{
    ASSERT_NE(1, Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "-o out").code);
    const std::string before = Slurp(At("out/model.h5"));
    ASSERT_FALSE(before.empty());
    const fs::path stopped = folder_ / "out/stopped.h5"; // what was best so far, beside the older files
    for (int delay : {30, 150, 0}) {                     // 0: when an epoch has ended
        const pid_t child = fork();
        if (child == 0) {
            signal(SIGINT, SIG_DFL); // a shell's background jobs inherit that it is ignored
            FILE *to = freopen(At("live").c_str(), "w", stdout);
            to = freopen("/dev/null", "w", stderr);
            (void)to;
            execl(engram_.c_str(), "engram", "finetune", (kDigits + "digits04.h5").c_str(), "--data",
                  (kDigits + "five-to-nine").c_str(), "--keep", (kDigits + "zero-to-four").c_str(),
                  "finetune.epochs=100000", "finetune.early_stopping.patience=0", "-o", At("out").c_str(),
                  static_cast<char *>(nullptr));
            _exit(127);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(delay));
        for (int i = 0; delay == 0 && i < 600 && Slurp(At("live")).find(" 1/100000 ") == std::string::npos; i++)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        kill(child, SIGINT);
        int status;
        waitpid(child, &status, 0);
        EXPECT_EQ(130, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)) << "after " << delay << " ms";
        EXPECT_TRUE(before == Slurp(At("out/model.h5"))) << "after " << delay << " ms";
        for (const auto &entry : fs::directory_iterator(folder_ / "out"))
            EXPECT_EQ(std::string::npos, entry.path().string().find(".tmp")) << entry.path();
    }
    EXPECT_TRUE(fs::exists(stopped));
    EXPECT_EQ(0, Run("inspect out/stopped.h5").code);
}

TEST_F(Cli, ATermSignalStopsTheRunToo)
{
    const pid_t child = fork();
    if (child == 0) {
        FILE *to = freopen(At("live").c_str(), "w", stdout);
        to = freopen("/dev/null", "w", stderr);
        (void)to;
        execl(engram_.c_str(), "engram", "finetune", (kDigits + "digits04.h5").c_str(), "--data",
              (kDigits + "five-to-nine").c_str(), "finetune.epochs=100000", "finetune.early_stopping.patience=0", "-o",
              At("out").c_str(), static_cast<char *>(nullptr));
        _exit(127);
    }
    for (int i = 0; i < 600 && Slurp(At("live")).find(" 1/100000 ") == std::string::npos; i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    kill(child, SIGTERM);
    int status;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(143, WEXITSTATUS(status));
    EXPECT_TRUE(fs::exists(folder_ / "out/stopped.h5"));
}

TEST_F(Cli, ASecondSignalDoesNotWait)
{
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        FILE *to = freopen("/dev/null", "w", stdout);
        (void)to;
        execl(engram_.c_str(), "engram", "doctor", static_cast<char *>(nullptr));
        _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    int status = 0;
    for (int i = 0; i < 1000 && waitpid(child, &status, WNOHANG) == 0; i++) {
        kill(child, SIGINT);
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    EXPECT_EQ(130, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

TEST_F(Cli, AFullDiskLeavesOlderFilesWhole)
{
    ASSERT_NE(1, Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "-o out").code);
    const std::string before = Slurp(At("out/model.h5"));
    ASSERT_FALSE(before.empty());
    const Ran r = Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "run.seed=9 -o out", "ulimit -f 64; ");
    EXPECT_EQ(1, r.code) << r.err;
    EXPECT_NE(std::string::npos, r.err.find("model.h5")) << r.err;
    EXPECT_TRUE(before == Slurp(At("out/model.h5")));
}
