#include "support.h"
#include "tests/decimal_comma.h"

extern "C" {
#include "core/file.h"
}

#include <clocale>
#include <csignal>
#include <sys/resource.h>

class ReportTest : public ConfiguredParts
{
  protected:
    static eg_epoch_result Epoch(int64_t n, bool best)
    {
        eg_epoch_result e = {};
        e.epoch = n;
        e.loss = n ? 0.5 / (double)n : NAN;
        e.accuracy = 0.9;
        e.validation_loss = 0.25;
        e.new_accuracy = 0.875;
        e.keep_accuracy = NAN;
        e.lr = 1e-3;
        e.best = best;
        return e;
    }
    // A result with every kind of value.
    void Fill(eg_finetune_result *r)
    {
        static eg_keep_result keep[1];
        static eg_epoch_result epochs[2];
        keep[0] = {"mnist", 10000, 0.9881, 0.9875, 0.0006, 0.01, true, 60, 54, 0.0021};
        epochs[0] = Epoch(0, false);
        epochs[1] = Epoch(1, true);
        *r = {};
        r->keep = keep;
        r->n_keep = 1;
        r->new_name = "fashion \"x\"\xff"; // not UTF-8
        r->new_n = 10000;
        r->new_before = 0.08;
        r->new_after = NAN;
        r->epochs = epochs;
        r->epochs_run = 1;
        r->best_epoch = 1;
        r->steps = 938;
        r->budget_met = true;
        r->seconds = 12.5;
        r->examples_per_second = 41000;
        r->method = "rehearsal+ewc";
        r->verdict = "fits well";
        r->warning = "";
        r->model_path = "runs/a/model.h5";
    }
};

TEST_F(ReportTest, FilesAreWhatTheUserIsPromised)
{
    ASSERT_FINE(eg_config_set(config.get(), "finetune.epochs", "5"));
    const auto run = folder / "a" / "b";
    egi_report *report = nullptr;
    ASSERT_FINE(egi_report_create(&report, ctx, run.c_str(), config.get()));
    for (const char *later : {"config.yaml", "metrics.csv", "metrics.jsonl", "report.json", "log.txt"})
        EXPECT_FALSE(std::filesystem::exists(run / later)) << later;
    ASSERT_FINE(egi_report_line(report, "model lenet5.h5"));
    ASSERT_FINE(egi_report_line(report, "data mnist"));
    const eg_epoch_result e0 = Epoch(0, false), e1 = Epoch(1, true);
    ASSERT_FINE(egi_report_epoch(report, &e0));
    ASSERT_FINE(egi_report_epoch(report, &e1));
    eg_finetune_result r;
    Fill(&r);
    ASSERT_FINE(egi_report_finish(report, &r));
    int files = 0;
    for (const char *const *f = egi_report_files(report); *f; f++, files++)
        EXPECT_TRUE(std::filesystem::exists(*f)) << *f;
    EXPECT_EQ(5, files);
    EXPECT_EQ(EG_ERR_STATE, egi_report_finish(report, &r));
    egi_report_free(report);
    for (const auto &entry : std::filesystem::directory_iterator(run))
        EXPECT_EQ(std::string::npos, entry.path().string().find(".part")) << entry.path();

    EXPECT_EQ("model lenet5.h5\ndata mnist\n", ReadText(run / "log.txt"));
    EXPECT_EQ("epoch,loss,accuracy,validation_loss,new_accuracy,keep_accuracy,lr,strength,mix,examples_per_second,"
              "seconds,best\n"
              "0,,0.9,0.25,0.875,,0.001,0,0,0,0,0\n"
              "1,0.5,0.9,0.25,0.875,,0.001,0,0,0,0,1\n",
              ReadText(run / "metrics.csv"));
    const std::string jsonl = ReadText(run / "metrics.jsonl");
    const Json first(json_loads(jsonl.substr(0, jsonl.find('\n')).c_str(), 0, nullptr));
    ASSERT_TRUE(first);
    EXPECT_TRUE(json_is_null(json_object_get(first.get(), "loss")));
    EXPECT_EQ(0.875, json_real_value(json_object_get(first.get(), "new_accuracy")));

    const Json json(json_loads(ReadText(run / "report.json").c_str(), JSON_REJECT_DUPLICATES, nullptr));
    ASSERT_TRUE(json);
    const json_t *keep = json_array_get(json_object_get(json.get(), "keep"), 0);
    for (const char *key :
         {"name", "n", "before", "after", "drop", "budget", "met", "negative_flips", "positive_flips"})
        EXPECT_NE(nullptr, json_object_get(keep, key)) << key;
    EXPECT_STREQ("mnist", json_string_value(json_object_get(keep, "name")));
    EXPECT_NEAR(0.9875, json_real_value(json_object_get(keep, "after")), 1e-12);
    EXPECT_EQ(60, json_integer_value(json_object_get(keep, "negative_flips")));
    EXPECT_TRUE(json_is_true(json_object_get(keep, "met")));
    const json_t *fresh = json_object_get(json.get(), "new");
    for (const char *key : {"name", "n", "before", "after"})
        EXPECT_NE(nullptr, json_object_get(fresh, key)) << key;
    EXPECT_TRUE(json_is_null(json_object_get(fresh, "after")));
    for (const char *key : {"epochs_run", "best_epoch", "stopped_early", "seconds", "examples_per_second", "model"})
        EXPECT_NE(nullptr, json_object_get(json.get(), key)) << key;
    EXPECT_EQ(2u, json_array_size(json_object_get(json.get(), "epochs")));

    eg_config *back = nullptr;
    ASSERT_FINE(eg_config_create(&back, ctx));
    const Config owned(back);
    ASSERT_FINE(eg_config_load(back, (run / "config.yaml").c_str()));
    EXPECT_STREQ("5", eg_config_get(back, "finetune.epochs"));
}

TEST_F(ReportTest, EveryFigureOfTheResultIsInTheJsonUnderItsName)
{
    eg_finetune_result r;
    Fill(&r);
    r.stopped_early = true;
    r.average_accuracy = 0.75;
    r.backward_transfer = -0.25;
    r.forgetting = 0.125;
    r.blend = 0.5;
    char *text = nullptr;
    ASSERT_FINE(eg_finetune_json(&text, ctx, &r));
    const Json json(json_loads(text, 0, nullptr));
    eg_text_free(ctx, text);
    ASSERT_TRUE(json);
    const auto number = [](const json_t *object, const char *key) {
        return json_number_value(json_object_get(object, key));
    };
    const json_t *keep = json_array_get(json_object_get(json.get(), "keep"), 0);
    EXPECT_NEAR(0.9881, number(keep, "before"), 1e-12);
    EXPECT_NEAR(0.0006, number(keep, "drop"), 1e-12);
    EXPECT_NEAR(0.01, number(keep, "budget"), 1e-12);
    EXPECT_EQ(54, number(keep, "positive_flips"));
    EXPECT_NEAR(0.0021, number(keep, "drop_upper"), 1e-12);
    EXPECT_EQ(0.75, number(json.get(), "average_accuracy"));
    EXPECT_EQ(-0.25, number(json.get(), "backward_transfer"));
    EXPECT_EQ(0.125, number(json.get(), "forgetting"));
    EXPECT_EQ(0.5, number(json.get(), "blend"));
    EXPECT_EQ(938, number(json.get(), "steps"));
    EXPECT_TRUE(json_is_true(json_object_get(json.get(), "stopped_early")));
    EXPECT_TRUE(json_is_true(json_object_get(json.get(), "budget_met")));
    EXPECT_TRUE(json_is_false(json_object_get(json.get(), "diverged")));
    EXPECT_TRUE(json_is_false(json_object_get(json.get(), "cancelled")));
}

TEST_F(ReportTest, AStepIsALineAndAllocatesNothing)
{
    ASSERT_FINE(eg_config_set(config.get(), "run.log_steps", "1"));
    egi_report *report = nullptr;
    ASSERT_FINE(egi_report_create(&report, ctx, folder.c_str(), config.get()));
    const int64_t blocks = ctx->total_blocks;
    for (int64_t i = 1; i <= 5000; i++)
        ASSERT_FINE(egi_report_step(report, i, i == 3 ? NAN : 1.0 / (double)i));
    EXPECT_EQ(blocks, ctx->total_blocks);
    const eg_epoch_result e = Epoch(1, true);
    ASSERT_FINE(egi_report_epoch(report, &e));
    eg_finetune_result r;
    Fill(&r);
    ASSERT_FINE(egi_report_finish(report, &r));
    egi_report_free(report);
    std::ifstream in(folder / "metrics.jsonl");
    int64_t n = 0;
    for (std::string line; std::getline(in, line); n++) {
        const Json step(json_loads(line.c_str(), 0, nullptr));
        ASSERT_TRUE(step) << line;
        EXPECT_EQ(n + 1, json_integer_value(json_object_get(step.get(), "step")));
        if (n != 2) {
            EXPECT_NEAR(1.0 / (double)(n + 1), json_number_value(json_object_get(step.get(), "loss")), 1e-9);
        }
        EXPECT_EQ(2u, json_object_size(step.get()));
    }
    EXPECT_EQ(5000, n);
}

TEST_F(ReportTest, NumbersHaveAPointInEveryLanguage)
{
    const DecimalComma german;
    ASSERT_TRUE(german.spoken) << "localedef and Debian's locales are wanted; tools/setup installs them";
    egi_report *report = nullptr;
    ASSERT_FINE(egi_report_create(&report, ctx, folder.c_str(), config.get()));
    const eg_epoch_result e = Epoch(1, true);
    EXPECT_FINE(egi_report_epoch(report, &e));
    eg_finetune_result r;
    Fill(&r);
    EXPECT_FINE(egi_report_finish(report, &r));
    egi_report_free(report);
    EXPECT_NE(std::string::npos, ReadText(folder / "metrics.csv").find("1,0.5,0.9,"));
    EXPECT_NE(std::string::npos, ReadText(folder / "report.json").find("0.9881"));
}

TEST_F(ReportTest, AnUnfinishedRunLeavesTheEarlierFiles)
{
    Write("metrics.jsonl", "old\n");
    Write("report.json", "{}\n");
    egi_report *report = nullptr;
    ASSERT_FINE(egi_report_create(&report, ctx, folder.c_str(), config.get()));
    const eg_epoch_result e = Epoch(1, true);
    ASSERT_FINE(egi_report_epoch(report, &e));
    egi_report_free(report);
    EXPECT_EQ("old\n", ReadText(folder / "metrics.jsonl"));
    EXPECT_EQ("{}\n", ReadText(folder / "report.json"));
    EXPECT_FALSE(std::filesystem::exists(folder / "metrics.csv"));
    for (const auto &entry : std::filesystem::directory_iterator(folder))
        EXPECT_EQ(std::string::npos, entry.path().string().find(".part")) << entry.path();
}

TEST_F(ReportTest, AFullDiskLeavesTheFileThatWasThere)
{
    const std::string path = Write("file", "the old one");
    struct rlimit limit, was;
    ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &was));
    limit = was;
    limit.rlim_cur = 1000; // writing on gives EFBIG, as a full disk gives ENOSPC
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
    const std::string large(100000, 'x');
    const eg_status status = egi_file_write_atomic(ctx, path.c_str(), large.data(), large.size());
    const std::string message = eg_last_message();
    setrlimit(RLIMIT_FSIZE, &was);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(EG_ERR_IO, status);
    EXPECT_NE(std::string::npos, message.find("cannot write")) << message;
    EXPECT_EQ("the old one", ReadText(path));
    EXPECT_EQ(1, std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST_F(ReportTest, FilesAndFoldersThatCannotBe)
{
    EXPECT_EQ(EG_ERR_IO, egi_file_write_atomic(ctx, (folder / "none" / "x").c_str(), "a", 1));
    std::filesystem::create_directory(folder / "taken");
    EXPECT_EQ(EG_ERR_IO, egi_file_write_atomic(ctx, (folder / "taken").c_str(), "a", 1));
    EXPECT_EQ(1, std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
    const std::string file = Write("file", "text");
    EXPECT_EQ(EG_ERR_IO, egi_folder_create(ctx, file.c_str()));
    EXPECT_EQ(EG_ERR_IO, egi_folder_create(ctx, (file + "/below").c_str()));
    EXPECT_FINE(egi_folder_create(ctx, (folder / "a/b/c").c_str()));
    EXPECT_FINE(egi_folder_create(ctx, (folder / "a/b/c/").c_str()));
    EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
    egi_report *report = nullptr;
    EXPECT_EQ(EG_ERR_IO, egi_report_create(&report, ctx, file.c_str(), config.get()));
    char *text = nullptr;
    size_t bytes = 0;
    EXPECT_EQ(EG_ERR_FORMAT, egi_file_slurp(&text, &bytes, ctx, file.c_str(), 3));
    ASSERT_FINE(egi_file_slurp(&text, &bytes, ctx, file.c_str(), 4));
    EXPECT_STREQ("text", text);
    EXPECT_EQ(4u, bytes);
    egi_free(ctx, text);
    EXPECT_EQ(EG_ERR_IO, egi_file_slurp(&text, &bytes, ctx, folder.c_str(), 100));
    const std::string large(100000, 'y');
    ASSERT_FINE(egi_file_write_atomic(ctx, file.c_str(), large.data(), large.size()));
    EXPECT_EQ(large, ReadText(file));
}
