// engram bench, and the profile of a run, as a user meets them.
#include "support.h"
#include "tests/xml.h"

namespace
{

void ExpectColumns(const std::string &text, size_t most)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        EXPECT_LE(line.size(), most) << line;
}

} // namespace

class CliBench : public Cli
{
};

TEST_F(CliBench, PrintsATableOfEachMeasurementAndTheOperationsOfTraining)
{
    fs::copy(kDigits + "digits04.h5", At("net.h5"));
    const Ran r = Run("bench net.h5 --batch 3 --batch 20 --seconds 0.01 run.threads=1 -o pictures");
    ASSERT_EQ(0, r.code) << r.err;
    ExpectColumns(r.out, 100);
    for (const char *part : {"inference", "training", "conv2d_dw", "backward", "adam", "update", "of peak",
                             "fill batch", "examples/s", "workspace"})
        EXPECT_NE(std::string::npos, r.out.find(part)) << part << " in\n" << r.out;
    for (const char *name : {"inference-batch-3", "inference-batch-20", "training-batch-3", "training-batch-20"}) {
        const std::string svg = Slurp(At("pictures/" + std::string(name) + "-threads-1.svg"));
        Xml xml(svg);
        EXPECT_EQ("", xml.check()) << name;
        EXPECT_GT(xml.elements, 20) << name;
    }
}

TEST_F(CliBench, GivesTheFieldsThatScriptsRead)
{
    const Ran r = Run("bench " + model_ + " --data '" + kDigits + "five-to-nine' --train --batch 8 --seconds 0.01 " +
                      "run.threads=1 finetune.optimizer=sgd --json");
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    const json_t *list = json_object_get(j, "measurements");
    ASSERT_EQ(1u, json_array_size(list));
    const json_t *m = json_array_get(list, 0);
    EXPECT_STREQ("training", json_string_value(json_object_get(m, "what")));
    EXPECT_EQ(8, json_integer_value(json_object_get(m, "batch")));
    EXPECT_EQ(1, json_integer_value(json_object_get(m, "threads")));
    for (const char *key : {"seconds", "step_seconds", "examples_per_second"})
        EXPECT_GT(Number(m, key), 0) << key;
    EXPECT_GT(Number(json_object_get(m, "peak"), "flops"), 0);
    bool updated = false;
    double share = 0;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(m, "operations"), i, o)
    {
        share += Number(o, "step_share");
        updated = updated || std::string(json_string_value(json_object_get(o, "op"))) == "sgd";
        EXPECT_GT(json_integer_value(json_object_get(o, "calls")), 0);
    }
    json_array_foreach(json_object_get(m, "outside"), i, o) share += Number(o, "step_share");
    EXPECT_TRUE(updated);
    EXPECT_NEAR(1, share, 1e-6);
    json_decref(j);
}

TEST_F(CliBench, MeasuresTheUsualBatchesOnAllThreadsThenOnOne)
{
    const Ran r = Run("bench " + model_ + " --infer --seconds 0.01 --json");
    ASSERT_EQ(0, r.code) << r.err;
    json_t *j = json_loads(r.out.c_str(), 0, nullptr);
    ASSERT_TRUE(j) << r.out;
    const json_t *list = json_object_get(j, "measurements");
    const double threads = Number(json_array_get(list, 0), "threads");
    ASSERT_EQ(threads > 1 ? 6u : 3u, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        EXPECT_STREQ("inference", json_string_value(json_object_get(m, "what"))) << i;
        EXPECT_EQ(std::vector<int>({1, 32, 256})[i % 3], Number(m, "batch")) << i;
        EXPECT_EQ(i < 3 ? threads : 1, Number(m, "threads")) << i;
    }
    json_decref(j);
}

TEST_F(CliBench, RefusesWithItsOwnCodes)
{
    ExpectRefused(Run("bench"), 2, "too few paths");
    ExpectRefused(Run("bench absent.h5"), 4, "absent.h5");
    ExpectRefused(Run("bench " + model_ + " --batch 0"), 2, "--batch");
    ExpectRefused(Run("bench " + model_ + " --batch 12x"), 2, "12x");
    ExpectRefused(Run("bench " + model_ + " --batch 99999999999999999999"), 2, "--batch");
    ExpectRefused(Run("bench " + model_ + " --seconds soon"), 2, "soon");
    ExpectRefused(Run("bench " + model_ + " --seconds nan"), 2, "nan");
    ExpectRefused(Run("bench " + model_ + " --seconds 3601"), 2, "3601");
    ExpectRefused(Run("bench " + model_ + " --train --infer"), 2, "--infer");
    ExpectRefused(Run("bench " + model_ + " --data a --data b"), 2, "--data");
    ExpectRefused(Run("bench " + model_ + " --data absent/"), 3, "absent");
    ExpectRefused(Run("bench " + model_ + " finetune.lr=fast"), 2, "finetune.lr");
    ExpectRefused(Run("bench " + model_ + " --svg x"), 2, "--svg");
    Write("file", "no folder");
    ExpectRefused(
        Run("bench " + model_ + " --infer --batch 1 --seconds 0.01 run.threads=1 -o file/pictures >/dev/null"), 1,
        "file/pictures");
}

TEST_F(CliBench, ARunShowsItsProfileAndDrawsIt)
{
    const Ran r = Run("finetune " + model_ + " " + new_ + keep_ + quick_ + "run.profile=true -o out");
    ASSERT_TRUE(r.code == 0 || r.code == 7) << r.err;
    for (const char *part : {"profile training, batch 16, 1 thread", "conv2d_dw", "compose batch", "GFLOP/s"})
        EXPECT_NE(std::string::npos, r.out.find(part)) << part << " in\n" << r.out;
    const std::string svg = Slurp(At("out/profile.svg"));
    Xml xml(svg);
    EXPECT_EQ("", xml.check());
    EXPECT_NE(std::string::npos, Slurp(At("out/report.json")).find("\"profile\""));
    EXPECT_NE(std::string::npos, Slurp(At("out/config.yaml")).find("profile: true"));
}
