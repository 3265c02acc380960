// The command as a user meets it: exit codes, what it prints, which files it leaves.
#include "support.h"

TEST_F(Cli, SaysItsVersionAndHelps)
{
    EXPECT_EQ("engram 0.1.0\n", Run("--version").out);
    EXPECT_EQ(0, Run("--help").code);
    for (const char *verb :
         {"finetune", "eval", "predict", "inspect", "check", "compare", "bench", "config", "doctor"}) {
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

TEST_F(Cli, TheFlipsAgainstAnOlderModel)
{
    ASSERT_EQ(7, Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "remember.method=none -o out").code);
    const std::string old = " --data '" + kDigits + "zero-to-four' --json";
    Ran r = Run("eval out/model.h5 --against " + model_ + old);
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_EQ(225, Number(j, "n")) << "the test part";
    EXPECT_GT(Number(j, "accuracy_before"), 0.95);
    EXPECT_LT(Number(j, "accuracy"), 0.7);
    EXPECT_GT(Number(j, "negative_flips"), Number(j, "positive_flips"));
    EXPECT_NEAR(225 * (Number(j, "accuracy_before") - Number(j, "accuracy")),
                Number(j, "negative_flips") - Number(j, "positive_flips"), 1e-6);
    const json_t *confusion = json_object_get(j, "confusion"), *per_class = json_object_get(j, "per_class");
    std::string zeros = "     0";
    for (size_t i = 0; i < 5; i++) {
        const json_t *row = json_array_get(confusion, i);
        json_int_t sum = 0;
        for (size_t k = 0; k < json_array_size(row); k++)
            sum += json_integer_value(json_array_get(row, k));
        EXPECT_NEAR(static_cast<double>(json_integer_value(json_array_get(row, i))) / static_cast<double>(sum),
                    json_number_value(json_array_get(per_class, i)), 1e-9);
    }
    for (size_t k = 0; k < json_array_size(confusion); k++) {
        char cell[16];
        snprintf(cell, sizeof cell, "%6lld", json_integer_value(json_array_get(json_array_get(confusion, 0), k)));
        zeros += cell;
    }
    r = Run("eval out/model.h5 --data '" + kDigits + "zero-to-four'");
    EXPECT_NE(std::string::npos, r.out.find("\n" + zeros + "\n")) << r.out;
    r = Run("compare " + model_ + " out/model.h5" + old);
    ASSERT_EQ(0, r.code) << r.err;
    json_t *k = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(k) << r.out;
    const json_t *row = json_array_get(json_object_get(k, "data"), 0), *layers = json_object_get(k, "layers");
    EXPECT_EQ(225, Number(row, "n"));
    EXPECT_EQ(Number(j, "accuracy_before"), Number(row, "a"));
    EXPECT_EQ(Number(j, "accuracy"), Number(row, "b"));
    EXPECT_EQ(Number(j, "negative_flips"), Number(row, "negative_flips"));
    EXPECT_EQ(Number(j, "positive_flips"), Number(row, "positive_flips"));
    EXPECT_GE(Number(row, "changed"), Number(row, "negative_flips"));
    EXPECT_GT(Number(json_array_get(layers, 0), "drift"), 0);
    char change[16];
    snprintf(change, sizeof change, " %+.2f ", 100 * (Number(row, "b") - Number(row, "a")));
    r = Run("compare " + model_ + " out/model.h5 --data '" + kDigits + "zero-to-four'");
    EXPECT_NE(std::string::npos, r.out.find(change)) << r.out;
    EXPECT_TRUE(json_is_null(json_object_get(json_array_get(layers, 3), "drift"))) << "the head has more rows now";
    json_decref(k);
    json_decref(j);
}

TEST_F(Cli, PreprocessingOfTheCommandLineIsUsed)
{
    const std::string data = " '" + kDigits + "zero-to-four' ";
    Ran r = Run("eval " + model_ + " --data" + data + "data.preprocess=none --json");
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_EQ(0, strncmp("none", json_string_value(json_object_get(j, "preprocess")), 4));
    json_decref(j);
    ASSERT_EQ(0, Run("predict " + model_ + data + "data.preprocess=none -o none.csv").code);
    ASSERT_EQ(0, Run("predict " + model_ + data + "data.preprocess=unit -o unit.csv").code);
    EXPECT_NE(Slurp(At("none.csv")), Slurp(At("unit.csv")));
}

TEST_F(Cli, FinetuneTellsHowItEnded)
{
    Ran r = Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "remember.method=none -o out");
    EXPECT_EQ(7, r.code) << r.err;
    EXPECT_NE(std::string::npos, r.out.find("MISSED)   forgotten ")) << r.out;
    EXPECT_NE(std::string::npos, r.out.find("wrote   out/model.h5")) << r.out;
    r = Run("finetune " + model_ + " " + new_ +
            "finetune.optimizer=sgd finetune.lr=2 finetune.schedule=constant remember.method=l2sp "
            "remember.strength=3 finetune.epochs=3 run.threads=1 -o away");
    EXPECT_EQ(6, r.code) << r.out << r.err;
}

TEST_F(Cli, FrozenLayersRunOnceOrItSaysWhyNot)
{
    const std::string start = "finetune " + model_ + " " + new_ + keep_ + quick_ + "-o out finetune.epochs=2 ";
    const std::string frozen = start + "finetune.freeze=edges,strokes ";
    EXPECT_NE(std::string::npos, Run(frozen).out.find("\nfrozen  5 of 7 layers run once, 1,")) << "two epochs";
    EXPECT_NE(std::string::npos,
              Run(frozen + "finetune.cache_mb=1 -o small").out.find("\nfrozen  run in every step: keeping 1,"));
    const Ran refused = Run(start + "finetune.cache=on");
    EXPECT_EQ(2, refused.code);
    EXPECT_NE(std::string::npos, refused.err.find("finetune.cache: on, but no frozen layer")) << refused.err;
}

TEST_F(Cli, AllOfAJobMayStandInTheFile)
{
    Write("run.yaml", "model: " + kDigits + "digits04.h5\ndata:\n  new: " + kDigits + "five-to-nine\n");
    const Ran r = Run("finetune -c run.yaml --keep '" + kDigits + "zero-to-four' --keep '" + kDigits +
                      "zero-to-four:train' " + quick_ + "-o out --json");
    ASSERT_TRUE(r.code == 0 || r.code == 7) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_EQ(2u, json_array_size(json_object_get(j, "keep")));
    json_decref(j);
}

TEST_F(Cli, EvalTakesSeveralDataSetsAndATask)
{
    ASSERT_NE(1, Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "-o out").code);
    fs::copy(kDigits + "five-to-nine", folder_ / "other");
    Ran r = Run("eval out/model.h5 --data other --data other --task five-to-nine --json");
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    const json_t *results = json_object_get(j, "results");
    ASSERT_EQ(2u, json_array_size(results));
    EXPECT_STREQ("task five-to-nine", json_string_value(json_object_get(json_array_get(results, 1), "classes")));
    json_decref(j);
    r = Run("eval out/model.h5 --data other --task six");
    EXPECT_NE(0, r.code);
    EXPECT_NE(std::string::npos, r.err.find("task 'six'")) << r.err;
}

TEST_F(Cli, PredictWritesRawOutputsOfEveryOutput)
{
    const auto npy = [](const std::string &shape, size_t count) {
        const std::string header =
            "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }" + std::string(60, ' ') + "\n";
        const std::vector<float> zeros(count);
        return std::string("\x93NUMPY\1\0", 8) + static_cast<char>(header.size()) + std::string(1, '\0') + header +
               std::string(reinterpret_cast<const char *>(zeros.data()), count * sizeof(float));
    };
    const std::string model = "'" + std::string(EG_SOURCE_DIR) + "/tests/golden/checkpoint/k3_functional.h5' ";
    Write("x.npy", npy("1025, 6, 6, 1", 1025 * 36));
    Write("large.npy", npy("2, 7, 7, 1", 2 * 49));
    Write("two.npy", npy("2, 6, 6, 1", 2 * 36));
    const Ran r = Run("predict " + model + "x.npy x.npy -o y.npy");
    ASSERT_EQ(0, r.code) << r.err;
    const std::string shapes[] = {"(1025, 2)", "(1025, 8)"};
    const size_t columns[] = {2, 8};
    for (int i = 0; i < 2; i++) {
        const std::string y = Slurp(At("y_" + std::to_string(i) + ".npy"));
        ASSERT_EQ(0u, y.find("\x93NUMPY"));
        EXPECT_NE(std::string::npos, y.find("'shape': " + shapes[i])) << y.substr(10, 60);
        const size_t row = columns[i] * sizeof(float), head = y.size() - 1025 * row;
        ASSERT_EQ(0u, head % 64);
        ASSERT_EQ('\n', y[head - 1]);
        std::vector<float> values(1025 * columns[i]);
        memcpy(values.data(), y.data() + head, 1025 * row);
        EXPECT_NE(0, values[0]);
        for (size_t k = 0; k < values.size(); k++)
            ASSERT_NEAR(values[k % columns[i]], values[k], 1e-5) << "the same input, the same output";
    }
    ExpectRefused(Run("predict " + model + "x.npy large.npy -o z.npy"), 3, "large.npy");
    ExpectRefused(Run("predict " + model + "x.npy two.npy -o z.npy"), 3, "two.npy");
    ExpectRefused(Run("predict " + model + "x.npy -o z.npy"), 2, "2 inputs");
    for (const auto &entry : fs::directory_iterator(folder_))
        EXPECT_NE(0u, entry.path().filename().string().find("z")) << entry.path();
}

TEST_F(Cli, PredictNamesTheMostProbableClass)
{
    fs::copy(kDigits + "zero-to-four", folder_ / "old \"digits\", all");
    ASSERT_EQ(0, Run("predict " + model_ + " 'old \"digits\", all' -o p.csv").code);
    ASSERT_EQ(0, Run("predict " + model_ + " 'old \"digits\", all' -o p.jsonl").code);
    std::istringstream csv(Slurp(At("p.csv"))), jsonl(Slurp(At("p.jsonl")));
    std::string line, text;
    std::getline(csv, line);
    EXPECT_EQ("source,class,probability,0,1,2,3,4", line);
    for (int row = 0; std::getline(csv, line) && std::getline(jsonl, text); row++) {
        const std::string source = "\"old \"\"digits\"\", all[" + std::to_string(row) + "]\",";
        ASSERT_EQ(0u, line.find(source)) << line;
        const std::string name = line.substr(source.size(), 1);
        json_t *j = json_loads(text.c_str(), 0, nullptr);
        ASSERT_TRUE(j) << text;
        EXPECT_EQ("old \"digits\", all[" + std::to_string(row) + "]", json_string_value(json_object_get(j, "source")));
        EXPECT_EQ(name, json_string_value(json_object_get(j, "class")));
        const double p = std::stod(line.substr(source.size() + 2));
        EXPECT_NEAR(p, Number(j, "probability"), 1e-5);
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(j, "probabilities"), key, value)
        {
            EXPECT_LE(json_number_value(value), Number(j, "probability")) << text;
        }
        EXPECT_EQ(Number(json_object_get(j, "probabilities"), name.c_str()), Number(j, "probability"));
        json_decref(j);
    }
    EXPECT_FALSE(std::getline(csv, line) || std::getline(jsonl, text)) << "as many lines";
}

TEST_F(Cli, WhatFailsLeavesNoFile)
{
    ExpectRefused(Run("predict " + model_ + " absent -o p.csv"), 3, "absent");
    Write("wide.csv", "0,0,0\n0,0,1\n");
    ExpectRefused(Run("predict " + model_ + " wide.csv -o p.csv"), 3, "(8, 8, 1)");
    for (const auto &entry : fs::directory_iterator(folder_))
        EXPECT_NE(0u, entry.path().filename().string().find("p.csv")) << entry.path();
    fs::create_directory(folder_ / "mine");
    for (const char *out : {"new", "mine", "deep/er"})
        ExpectRefused(Run("finetune " + model_ + " --data absent -o " + out), 3, "absent");
    EXPECT_FALSE(fs::exists(folder_ / "new")) << "a folder for nothing";
    EXPECT_FALSE(fs::exists(folder_ / "deep/er"));
    EXPECT_TRUE(fs::exists(folder_ / "mine")) << "the user's own";
    EXPECT_EQ(1, Run("config >/dev/full 2>/dev/null; exit $?; true").code);
}

TEST_F(Cli, TheCommandLineWinsOverTheFile)
{
    Write("run.yaml", "finetune:\n  lr: 0.125\n  epochs: 3\n");
    Ran r = Run("config -c run.yaml finetune.lr=0.25 --json");
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_STREQ("0.25", json_string_value(json_object_get(j, "finetune.lr")));
    EXPECT_STREQ("3", json_string_value(json_object_get(j, "finetune.epochs")));
    json_decref(j);
    r = Run("config --schema --json");
    j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    size_t i;
    json_t *entry;
    bool found = false;
    json_array_foreach(json_object_get(j, "keys"), i, entry)
    {
        if (strcmp("finetune.label_smoothing", json_string_value(json_object_get(entry, "key"))) != 0)
            continue;
        found = true;
        EXPECT_EQ(0, Number(entry, "min"));
        EXPECT_GT(Number(entry, "max"), 0);
    }
    EXPECT_TRUE(found) << r.out;
    json_decref(j);
}

TEST_F(Cli, InspectListsUnsupportedLayers)
{
    const std::string folder = std::string(EG_SOURCE_DIR) + "/tests/golden/checkpoint/";
    std::string text = Slurp(folder + "weights_only.json");
    const size_t at = text.find("\"Dense\"");
    ASSERT_NE(std::string::npos, at);
    Write("arch.json", text.replace(at, 7, "\"LSTM\""));
    const Ran r = Run("inspect '" + folder + "weights_only.h5' --arch arch.json");
    ExpectRefused(r, 4, "layers that this version cannot run");
    EXPECT_NE(std::string::npos, r.out.find("LSTM")) << r.out;
    json_t *j =
        json_loads(Run("inspect '" + folder + "weights_only.h5' --arch arch.json --json").out.c_str(), 0, nullptr);
    ASSERT_TRUE(j);
    EXPECT_EQ(1u, json_array_size(json_object_get(j, "unsupported")));
    json_decref(j);
}

TEST_F(Cli, InspectSaysWhatTrainingNeeds)
{
    const Ran r = Run("inspect " + model_ + " --json");
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    EXPECT_EQ(37957, Number(j, "parameters"));
    EXPECT_EQ(37957, Number(j, "trainable_parameters"));
    const json_t *bytes = json_object_get(j, "bytes"), *layer = json_array_get(json_object_get(j, "layer_list"), 3);
    EXPECT_LT(Number(bytes, "inference_batch_1"), Number(bytes, "inference_batch_32"));
    EXPECT_LT(Number(bytes, "inference_batch_32"), Number(bytes, "training_batch_32"));
    EXPECT_STREQ("strokes", json_string_value(json_object_get(layer, "name")));
    EXPECT_EQ(4640, Number(layer, "parameters"));
    json_decref(j);
    EXPECT_NE(std::string::npos, Run("inspect " + model_).out.find("| 37,957 parameters, 37,957 trainable"));
    const std::string frozen = "'" + std::string(EG_SOURCE_DIR) + "/tests/golden/checkpoint/k3_frozen.h5'";
    EXPECT_NE(std::string::npos, Run("inspect " + frozen).out.find("| 111 parameters, 105 trainable"));
    j = json_loads(Run("inspect " + frozen + " --json").out.c_str(), 0, nullptr);
    ASSERT_TRUE(j);
    size_t i;
    json_array_foreach(json_object_get(j, "layer_list"), i, layer)
    {
        const std::string name = json_string_value(json_object_get(layer, "name"));
        EXPECT_EQ(name != "inner/c1", json_is_true(json_object_get(layer, "trainable"))) << name;
    }
    json_decref(j);
}

TEST_F(Cli, WordsOfTheCommandLine)
{
    fs::copy(kDigits + "zero-to-four", folder_ / ".a=b");
    fs::copy(kDigits + "digits04.h5", folder_ / "-m.h5");
    EXPECT_EQ(0, Run("predict " + model_ + " .a=b -o p.csv").code) << "a path, not a setting";
    EXPECT_EQ(0, Run("eval " + model_ + " --data=.a=b").code);
    EXPECT_EQ(0, Run("inspect -- -m.h5").code);
    ExpectRefused(Run("inspect -m.h5"), 2, "-m.h5");
    ExpectRefused(Run("eval " + model_ + " --data"), 2, "--data");
    ExpectRefused(Run("finetune " + model_ + " " + new_ + new_), 2, "one --data");
}
