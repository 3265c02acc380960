// `engram predict` on sets of any length: the same lines, the same memory, and what damage in the middle leaves behind.
#include "support.h"

#include <chrono>
#include <csignal>
#include <sys/resource.h>
#include <thread>
#include <zlib.h>

namespace
{

class CliPredict : public Cli
{
  protected:
    // n images of 8 x 8 pixels in IDX: the head, and pixels that deflate cannot shorten.
    static std::string Head(uint32_t n)
    {
        std::string text("\0\0\x08\3\0\0\0\0\0\0\0\x08\0\0\0\x08", 16);
        for (int i = 0; i < 4; i++)
            text[4 + static_cast<size_t>(i)] = static_cast<char>(n >> (24 - 8 * i));
        return text;
    }
    static std::string Noise(size_t bytes)
    {
        std::string text;
        for (uint32_t x = 1; text.size() < bytes; x = x * 1664525 + 1013904223)
            text += static_cast<char>(x >> 24);
        return text;
    }
    // A file of `head` and zeros, which takes no place on the disk.
    void Sparse(const std::string &name, const std::string &head, uintmax_t bytes)
    {
        Write(name, head);
        fs::resize_file(At(name), bytes);
    }
    static std::string NpyHead(const std::string &type, int n)
    {
        const std::string dict =
            "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + std::to_string(n) + ", 8, 8, 1), }";
        return std::string("\x93NUMPY\1\0", 8) + static_cast<char>(dict.size()) + '\0' + dict;
    }
    void Zip(const std::string &name, const std::string &bytes, double share)
    {
        gzFile file = gzopen(At(name).c_str(), "wb");
        ASSERT_EQ(static_cast<int>(bytes.size()), gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())));
        gzclose(file);
        fs::resize_file(At(name), static_cast<uintmax_t>(static_cast<double>(fs::file_size(At(name))) * share));
    }
    pid_t Start(const std::vector<std::string> &arguments)
    {
        std::vector<char *> argv = {const_cast<char *>("engram")};
        for (const std::string &a : arguments)
            argv.push_back(const_cast<char *>(a.c_str()));
        argv.push_back(nullptr);
        const pid_t child = fork();
        if (child == 0) {
            FILE *to = freopen("/dev/null", "w", stdout);
            to = freopen("/dev/null", "w", stderr);
            (void)to;
            execv(engram_.c_str(), argv.data());
            _exit(127);
        }
        return child;
    }
    // The most memory, in kB, that the command had; an address sanitizer in it keeps nothing that was freed.
    long Peak(const std::vector<std::string> &arguments)
    {
        int status;
        rusage usage = {};
        const char *before = getenv("ASAN_OPTIONS");
        const std::string options = std::string(before ? before : "") + ":quarantine_size_mb=0";
        setenv("ASAN_OPTIONS", options.c_str(), 1);
        wait4(Start(arguments), &status, 0, &usage);
        EXPECT_EQ(0, WIFEXITED(status) ? WEXITSTATUS(status) : 1000) << arguments[2];
        return usage.ru_maxrss;
    }
    // Lines without their first column, whose numbers begin anew in each file.
    static std::vector<std::string> Lines(const std::string &text)
    {
        std::vector<std::string> out;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);)
            out.push_back(line.substr(line.find(',')));
        return out;
    }
    void ExpectNothingLeft(const std::string &name)
    {
        for (const auto &entry : fs::directory_iterator(folder_))
            EXPECT_NE(0u, entry.path().filename().string().find(name)) << entry.path();
    }
    const std::string path_ = kDigits + "digits04.h5";
};

TEST_F(CliPredict, ALongSetGivesTheLinesOfItsPieces)
{
    const std::string pixels = Noise(2500 * 64);
    Write("all.idx", Head(2500) + pixels);
    Ran r = Run("predict " + model_ + " all.idx");
    ASSERT_EQ(0, r.code) << r.err;
    const std::vector<std::string> all = Lines(r.out);
    ASSERT_EQ(2501u, all.size());
    EXPECT_NE(std::string::npos, r.out.find("\nall.idx[2499],")) << "numbers go on over chunks";
    std::vector<std::string> parts = {all[0]};
    std::string files;
    for (uint32_t at = 0; at < 2500; at += 500) {
        const std::string name = std::to_string(at) + ".idx";
        Write(name, Head(500) + pixels.substr(at * 64, 500 * 64));
        files += " " + name;
        r = Run("predict " + model_ + " " + name);
        ASSERT_EQ(0, r.code) << r.err;
        const std::vector<std::string> lines = Lines(r.out);
        parts.insert(parts.end(), lines.begin() + 1, lines.end());
    }
    EXPECT_TRUE(all == parts);
    EXPECT_TRUE(all == Lines(Run("predict " + model_ + files).out)) << "several inputs in one call";
}

TEST_F(CliPredict, LongArraysGiveTheRowsOfTheirPieces)
{
    const std::string pixels = Noise(2500 * 64);
    Write("x.npy", NpyHead("|u1", 2500) + pixels);
    ASSERT_EQ(0, Run("predict " + model_ + " x.npy -o y.npy").code);
    const std::string all = Slurp(At("y.npy"));
    std::string rows;
    for (size_t at = 0; at < 2500; at += 500) {
        Write("x.npy", NpyHead("|u1", 500) + pixels.substr(at * 64, 500 * 64));
        ASSERT_EQ(0, Run("predict " + model_ + " x.npy -o y.npy").code);
        const std::string part = Slurp(At("y.npy"));
        rows += part.substr(part.size() - 500 * 5 * sizeof(float));
    }
    ASSERT_EQ(2500 * 5 * sizeof(float), rows.size());
    EXPECT_TRUE(all.substr(all.size() - rows.size()) == rows);
}

TEST_F(CliPredict, MemoryDoesNotGrowWithTheNumberOfExamples)
{
    long peak[2][2];
    for (const int large : {0, 1}) {
        const int n = large ? 100000 : 10000;
        Sparse("x.idx", Head(static_cast<uint32_t>(n)), 16 + static_cast<uintmax_t>(n) * 64);
        peak[large][0] = Peak({"predict", path_, At("x.idx"), "run.threads=1"});
        const std::string head = NpyHead("<f4", n);
        Sparse("x.npy", head, head.size() + static_cast<uintmax_t>(n) * 256);
        peak[large][1] = Peak({"predict", path_, At("x.npy"), "-o", At("y.npy"), "run.threads=1"});
    }
    for (int k = 0; k < 2; k++)
        EXPECT_LE(peak[1][k], peak[0][k] + 2048) << (k ? "x.npy: 23 MB more are read" : "x.idx: 6 MB more are read");
}

TEST_F(CliPredict, DamageInTheMiddleLeavesNoFile)
{
    const std::string pixels = Noise(4000 * 64), array = NpyHead("<f4", 4000) + Noise(4000 * 256);
    Zip("cut.idx", Head(4000) + pixels, 0.7);
    Zip("cut.npy", array, 0.7);
    ExpectRefused(Run("predict " + model_ + " cut.idx -o p.csv"), 3, "cut.idx: truncated");
    ExpectRefused(Run("predict " + model_ + " cut.idx -o p.jsonl"), 3, "cut.idx: truncated");
    ExpectRefused(Run("predict " + model_ + " cut.npy -o p.npy"), 3, "cut.npy: truncated");
    ExpectNothingLeft("p.");
    const Ran r = Run("predict " + model_ + " cut.idx");
    ExpectRefused(r, 3, "cut.idx: truncated");
    EXPECT_EQ(1 + 2048u, Lines(r.out).size()) << "whole chunks before the damage";
    Zip("whole.npy", array, 1);
    EXPECT_EQ(0, Run("predict " + model_ + " whole.npy -o p.npy").code) << "the cut was the damage";
}

// The head of the lines names five classes, those of the first output; this data means the second one.
TEST_F(CliPredict, RowsOfAnotherWidthThanTheHeadAreRefused)
{
    std::string labels("\0\0\x08\1\0\0\0\x46", 8);
    for (int i = 0; i < 70; i++)
        labels += static_cast<char>(i % 7);
    fs::create_directory(folder_ / "seven");
    Write("seven/train-images-idx3-ubyte", Head(70) + Noise(70 * 64));
    Write("seven/train-labels-idx1-ubyte", labels);
    const Ran tuned = Run("finetune " + model_ + " --data seven data.classes=multi finetune.epochs=1 -o out");
    ASSERT_TRUE(tuned.code == 0 || tuned.code == 7) << tuned.err;
    ExpectRefused(Run("predict out/model.h5 seven -o p.csv"), 3, "output 1 of the model, of 7 values");
    ExpectNothingLeft("p.");
    EXPECT_EQ(0, Run("predict out/model.h5 '" + kDigits + "zero-to-four' -o p.csv").code) << "the first output";
}

TEST_F(CliPredict, ASignalStopsALongPrediction)
{
    Sparse("x.idx", Head(5000000), 16 + 5000000ULL * 64);
    for (const int signal : {SIGINT, SIGTERM}) {
        const pid_t child = Start({"predict", path_, At("x.idx"), "-o", At("p.csv")});
        const fs::path temporary = At("p.csv.tmp" + std::to_string(child));
        for (int i = 0; i < 600 && !(fs::exists(temporary) && fs::file_size(temporary) > 100000); i++)
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        EXPECT_GT(fs::file_size(temporary), 100000u);
        kill(child, signal);
        int status;
        waitpid(child, &status, 0);
        EXPECT_EQ(128 + signal, WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
        ExpectNothingLeft("p.");
    }
}

TEST_F(CliPredict, AFullDiskStopsIt)
{
    Sparse("x.idx", Head(5000000), 16 + 5000000ULL * 64);
    ExpectRefused(Run("predict " + model_ + " x.idx -o p.csv", "ulimit -f 64; "), 1, "'p.csv' could not be written");
    ExpectNothingLeft("p.");
}

} // namespace
