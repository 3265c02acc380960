// The command as a user meets it: exit codes, what it prints, which files it leaves, on the digits that ship with the
// repository.
#include <gtest/gtest.h>
#include <jansson.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace fs = std::filesystem;

namespace
{

const std::string kDigits = std::string(EG_SOURCE_DIR) + "/examples/digits/";

struct Ran {
    int code;
    std::string out, err;
};

std::string Slurp(const fs::path &path)
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

double Number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

TEST_F(Cli, SaysItsVersionAndHelps)
{
    EXPECT_EQ("engram 0.1.0\n", Run("--version").out);
    EXPECT_EQ(0, Run("--help").code);
    for (const char *verb : {"finetune", "eval", "predict", "inspect", "check", "compare", "config", "doctor"}) {
        const Ran r = Run(std::string(verb) + " --help");
        EXPECT_EQ(0, r.code);
        EXPECT_NE(std::string::npos, r.out.find(std::string("usage: engram ") + verb)) << r.out;
    }
    EXPECT_EQ(2, Run("").code);
}

TEST_F(Cli, NamesTheNearestWordOfAMistypedOne)
{
    ExpectRefused(Run("finetun x"), 2, "did you mean 'finetune'");
    ExpectRefused(Run("eval x --dat y"), 2, "did you mean '--data'");
    ExpectRefused(Run("finetune " + model_ + " " + new_ + "finetune.lrr=1"), 2, "finetune.lr");
}

TEST_F(Cli, RefusesWhatIsMissingOrWrongWithItsOwnCode)
{
    ExpectRefused(Run("eval absent.h5 " + new_), 4, "absent.h5");
    ExpectRefused(Run("eval " + model_ + " --data absent/"), 3, "absent");
    ExpectRefused(Run("finetune " + model_ + " --data absent/ " + keep_), 3, "absent");
    ExpectRefused(Run("finetune " + model_), 2, "which data");
    ExpectRefused(Run("finetune " + new_), 2, "which model");
    ExpectRefused(Run("finetune " + model_ + " " + new_ + "finetune.lr=fast"), 2, "finetune.lr");
    ExpectRefused(Run("finetune " + model_ + " " + new_ + "finetune.epochs=-3"), 2, "finetune.epochs");
    ExpectRefused(Run("finetune " + model_ + " " + new_ + "run.device=cuda"), 5, "cuda");
    Write("broken.h5", "this is no HDF5 file");
    ExpectRefused(Run("inspect broken.h5"), 4, "broken.h5");
    Write("short.h5", Slurp(kDigits + "digits04.h5").substr(0, 40000));
    ExpectRefused(Run("finetune short.h5 " + new_ + keep_), 4, "short.h5");
}

TEST_F(Cli, ReportsAllConfigurationErrorsAtOnce)
{
    Write("run.yaml", "finetune:\n  lr: fast\n  epochz: 3\nremember:\n  budget: -1\n");
    const Ran r = Run("config -c run.yaml");
    EXPECT_EQ(2, r.code);
    for (const char *part : {"run.yaml:2:", "run.yaml:3:", "run.yaml:5:", "finetune.epochs"})
        EXPECT_NE(std::string::npos, r.err.find(part)) << part << " in\n" << r.err;
}

TEST_F(Cli, TheResolvedConfigurationLoadsBackToItself)
{
    ASSERT_EQ(0, Run("config --resolve finetune.lr=0.25 remember.method=ewc -o first.yaml").code);
    ASSERT_EQ(0, Run("config --resolve -c first.yaml -o second.yaml").code);
    EXPECT_EQ(Slurp(At("first.yaml")), Slurp(At("second.yaml")));
    EXPECT_NE(std::string::npos, Slurp(At("first.yaml")).find("0.25"));
}

TEST_F(Cli, EvalGivesTheFieldsThatScriptsRead)
{
    const Ran r = Run("eval " + model_ + " --data '" + kDigits + "zero-to-four' --json");
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_GT(Number(j, "accuracy"), 0.95);
    EXPECT_GT(Number(j, "loss"), 0);
    const json_int_t n = json_integer_value(json_object_get(j, "n"));
    EXPECT_EQ(5u, json_array_size(json_object_get(j, "per_class")));
    const json_t *confusion = json_object_get(j, "confusion");
    json_int_t sum = 0, right = 0;
    for (size_t i = 0; i < json_array_size(confusion); i++)
        for (size_t k = 0; k < json_array_size(json_array_get(confusion, i)); k++) {
            const json_int_t cell = json_integer_value(json_array_get(json_array_get(confusion, i), k));
            sum += cell;
            right += i == k ? cell : 0;
        }
    EXPECT_EQ(n, sum);
    EXPECT_NEAR(Number(j, "accuracy"), static_cast<double>(right) / static_cast<double>(n), 1e-9);
    json_decref(j);
}

TEST_F(Cli, FinetuneLearnsKeepsAndLeavesItsFiles)
{
    const Ran r = Run("finetune " + model_ + " " + new_ + keep_ + "run.threads=1 run.log_steps=1 -o out --json");
    ASSERT_TRUE(r.code == 0 || r.code == 7) << r.err;
    for (const char *name : {"model.h5", "config.yaml", "metrics.csv", "metrics.jsonl", "report.json", "log.txt"})
        EXPECT_TRUE(fs::exists(folder_ / "out" / name)) << name;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    const json_t *keep = json_array_get(json_object_get(j, "keep"), 0);
    for (const char *key :
         {"name", "n", "before", "after", "drop", "budget", "met", "negative_flips", "positive_flips"})
        EXPECT_TRUE(json_object_get(keep, key)) << key;
    for (const char *key : {"epochs_run", "best_epoch", "stopped_early", "seconds", "examples_per_second", "model"})
        EXPECT_TRUE(json_object_get(j, key)) << key;
    EXPECT_NEAR(Number(keep, "before") - Number(keep, "after"), Number(keep, "drop"), 1e-9);
    EXPECT_LT(Number(keep, "drop"), 0.05);
    EXPECT_GT(Number(json_object_get(j, "new"), "after"), 0.8);
    EXPECT_EQ(r.code == 0, json_is_true(json_object_get(keep, "met")));

    std::istringstream lines(Slurp(At("out/metrics.jsonl")));
    std::string line;
    json_int_t steps = 0;
    while (std::getline(lines, line)) {
        json_t *step = json_loads(line.c_str(), 0, nullptr);
        ASSERT_TRUE(step) << line;
        if (json_object_get(step, "step") && json_object_get(step, "loss"))
            steps++;
        json_decref(step);
    }
    EXPECT_EQ(json_integer_value(json_object_get(j, "steps")), steps);
    json_decref(j);
}

TEST_F(Cli, ForgetsWithoutProtectionAndSaysSo)
{
    const Ran r = Run("finetune " + model_ + " " + new_ + keep_ + "run.threads=1 remember.method=none -o out --json");
    EXPECT_EQ(7, r.code) << r.err;
    EXPECT_TRUE(fs::exists(folder_ / "out/model.h5")); // written all the same
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j);
    const json_t *keep = json_array_get(json_object_get(j, "keep"), 0);
    EXPECT_GT(Number(keep, "drop"), 0.3);
    EXPECT_TRUE(json_is_false(json_object_get(keep, "met")));
    json_decref(j);
}

TEST_F(Cli, TheSameSeedGivesTheSameFile)
{
    const std::string job = "finetune " + model_ + " " + new_ + keep_ + "finetune.epochs=2 ";
    ASSERT_NE(1, Run(job + "-o a").code);
    ASSERT_NE(1, Run(job + "-o b").code);
    ASSERT_NE(1, Run(job + "run.seed=2 -o c").code);
    ASSERT_NE(1, Run("finetune " + model_ + " -c a/config.yaml -o d").code);
    const std::string a = Slurp(At("a/model.h5"));
    ASSERT_FALSE(a.empty());
    EXPECT_TRUE(a == Slurp(At("b/model.h5")));
    EXPECT_FALSE(a == Slurp(At("c/model.h5")));
    EXPECT_TRUE(a == Slurp(At("d/model.h5"))) << "the written configuration does not repeat its run";
}

TEST_F(Cli, ASecondRunIsProtectedByTheMemoryInTheFile)
{
    ASSERT_NE(1, Run("finetune " + model_ + " " + new_ + keep_ + "run.threads=1 -o first").code);
    const Ran r = Run("finetune first/model.h5 --data '" + kDigits +
                      "zero-to-four' data.classes=keep run.threads=1 finetune.epochs=1 -o second --json");
    ASSERT_TRUE(r.code == 0 || r.code == 7) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_GE(json_array_size(json_object_get(j, "keep")), 1u);
    EXPECT_NE(nullptr, strstr(json_string_value(json_object_get(j, "method")), "rehearsal"));
    json_decref(j);
}

TEST_F(Cli, PredictWritesWhatEvalCounts)
{
    const Ran r = Run("predict " + model_ + " '" + kDigits + "zero-to-four' -o p.csv");
    ASSERT_EQ(0, r.code) << r.err;
    std::istringstream lines(Slurp(At("p.csv")));
    std::string line;
    std::getline(lines, line);
    EXPECT_EQ(0u, line.find("source,class,probability,"));
    int rows = 0;
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        std::string field;
        std::vector<double> values;
        for (int i = 0; std::getline(fields, field, ','); i++)
            if (i >= 3)
                values.push_back(std::stod(field));
        ASSERT_EQ(5u, values.size()) << line;
        double sum = 0;
        for (double v : values)
            sum += v;
        EXPECT_NEAR(1, sum, 1e-4) << line; // five probabilities of six digits
        rows++;
    }
    EXPECT_EQ(225, rows);
    EXPECT_EQ(2, Run("predict " + model_ + " '" + kDigits + "zero-to-four' --format xml").code);
}

TEST_F(Cli, ARunGoesToAFolderNamedAfterItsData)
{
    for (const char *part : {"", ":train", "/", "/:all"}) // a part names no folder, and no run overwrites another
        EXPECT_EQ(
            0, Run("finetune " + model_ + " --data '" + kDigits + "five-to-nine" + part + "' finetune.epochs=0").code)
            << part;
    for (const char *name : {"five-to-nine", "five-to-nine-2", "five-to-nine-3", "five-to-nine-4"})
        EXPECT_TRUE(fs::exists(At(std::string("runs/") + name + "/model.h5"))) << name;
}

TEST_F(Cli, InspectCompareCheckAndDoctorAnswerInJson)
{
    for (const std::string &line :
         {"inspect " + model_, "compare " + model_ + " " + model_ + " --data '" + kDigits + "zero-to-four'",
          "check " + model_ + " " + new_ + keep_, std::string("doctor"), std::string("config --schema")}) {
        const Ran r = Run(line + " --json");
        EXPECT_EQ(0, r.code) << line << "\n" << r.err;
        json_t *j = json_loads(r.out.c_str(), 0, nullptr);
        EXPECT_TRUE(j) << line << "\n" << r.out;
        json_decref(j);
    }
}

TEST_F(Cli, AModelComparedWithItselfHasNotMoved)
{
    const Ran r = Run("compare " + model_ + " " + model_ + " --data '" + kDigits + "zero-to-four' --json");
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j);
    EXPECT_EQ(0, Number(json_array_get(json_object_get(j, "data"), 0), "changed"));
    size_t i;
    json_t *layer;
    json_array_foreach(json_object_get(j, "layers"), i, layer) EXPECT_EQ(0, Number(layer, "drift"));
    json_decref(j);
}

TEST_F(Cli, ASignalStopsTheRunAndLeavesOlderFilesWhole)
{
    ASSERT_NE(1, Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "-o out").code);
    const std::string before = Slurp(At("out/model.h5"));
    ASSERT_FALSE(before.empty());
    const fs::path stopped = folder_ / "out/stopped.h5"; // what was best so far, beside the older files
    for (int delay : {30, 150, 0}) {                     // 0: when an epoch has ended
        const pid_t child = fork();
        if (child == 0) {
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

} // namespace
