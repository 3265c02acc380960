#include "support.h"

#include <set>

class ConfigTest : public ConfiguredParts
{
  protected:
    std::string Print(const eg_config *c)
    {
        char *text = nullptr;
        EXPECT_FINE(eg_config_print(&text, c));
        std::string s = text ? text : "";
        eg_text_free(ctx, text);
        return s;
    }
    std::vector<std::string> Errors(const std::string &yaml)
    {
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_load(config.get(), Write("run.yaml", yaml).c_str())) << yaml;
        std::vector<std::string> lines;
        std::string all = eg_config_errors(config.get());
        const std::string path = (folder / "run.yaml").string();
        for (size_t at = 0; at < all.size();) {
            const size_t end = std::min(all.find('\n', at), all.size());
            std::string line = all.substr(at, end - at);
            EXPECT_EQ(0u, line.find(path + ":")) << line;
            lines.push_back(line.substr(std::min(path.size(), line.size())));
            at = end + 1;
        }
        return lines;
    }
};

TEST_F(ConfigTest, EveryDefaultIsWithinItsOwnBoundsAndSetsItself)
{
    eg_config_entry e;
    int64_t n = 0;
    std::set<std::string> keys;
    for (; eg_config_schema(n, &e); n++) {
        EXPECT_TRUE(keys.insert(e.key).second) << e.key << " is there twice";
        EXPECT_STRNE("", e.help) << e.key;
        EXPECT_FINE(eg_config_set(config.get(), e.key, e.fallback));
    }
    EXPECT_GT(n, 50);
    EXPECT_FALSE(eg_config_schema(n, &e));
    EXPECT_FALSE(eg_config_schema(-1, &e));
    for (const char *key :
         {"finetune.batch",        "finetune.optimizer", "finetune.lr",    "finetune.momentum",  "finetune.nesterov",
          "finetune.weight_decay", "finetune.beta1",     "finetune.beta2", "finetune.epsilon",   "finetune.rho",
          "finetune.l1",           "finetune.l2",        "finetune.loss",  "finetune.max_steps", "finetune.batchnorm",
          "finetune.freeze",       "data.validation",    "data.classes",   "data.shuffle",       "remember.method",
          "remember.keep_limit",   "run.log_steps"})
        EXPECT_TRUE(keys.count(key)) << key;
}

TEST_F(ConfigTest, BoundsHoldForEveryNumber)
{
    eg_config_entry e;
    for (int64_t i = 0; eg_config_schema(i, &e); i++) {
        if (strcmp(e.kind, "integer") != 0 && strcmp(e.kind, "number") != 0)
            continue;
        char low[64], high[64];
        snprintf(low, sizeof low, "%.0f", std::floor(e.min) - 1);
        snprintf(high, sizeof high, "%.0f", std::ceil(e.max) * 2 + 1);
        const std::string before = eg_config_get(config.get(), e.key);
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), e.key, low)) << e.key << "=" << low;
        EXPECT_TRUE(strstr(eg_last_message(), e.key)) << eg_last_message();
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), e.key, high)) << e.key << "=" << high;
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), e.key, "many")) << e.key;
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), e.key, "nan")) << e.key;
        EXPECT_EQ(before, eg_config_get(config.get(), e.key)) << "a refused value was stored";
    }
}

TEST_F(ConfigTest, EveryChoiceOfTheSchemaIsTakenAndNoOther)
{
    eg_config_entry e;
    for (int64_t i = 0; eg_config_schema(i, &e); i++) {
        if (strcmp(e.kind, "choice") != 0)
            continue;
        std::string words = e.choices;
        ASSERT_NE("", words) << e.key;
        int index = 0;
        for (size_t at = 0; at <= words.size(); index++) {
            const size_t end = std::min(words.find('|', at), words.size());
            const std::string word = words.substr(at, end - at);
            ASSERT_FINE(eg_config_set(config.get(), e.key, word.c_str()));
            EXPECT_EQ(word, eg_config_get(config.get(), e.key));
            at = end + 1;
        }
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), e.key, "other")) << e.key;
    }
}

TEST_F(ConfigTest, EnumsFollowTheOrderOfTheWords)
{
    const egi_run_config *r = egi_config_run(config.get());
    const auto set = [&](const char *key, const char *text) { ASSERT_FINE(eg_config_set(config.get(), key, text)); };
    set("data.classes", "multi");
    EXPECT_EQ(EGI_CLASSES_MULTI, r->data.classes);
    set("finetune.batchnorm", "adapt");
    EXPECT_EQ(EGI_BN_ADAPT, r->finetune.batchnorm);
    set("finetune.optimizer", "rmsprop");
    EXPECT_STREQ("rmsprop", egi_optimizer_types[r->finetune.optimizer]->name);
    set("finetune.schedule", "plateau");
    EXPECT_STREQ("plateau", egi_schedule_types[r->finetune.schedule - 1]->name);
    set("finetune.loss", "mae");
    EXPECT_EQ(EGI_LOSS_NAME_MAE, r->finetune.loss);
    set("remember.fisher", "empirical");
    EXPECT_EQ(EGI_FISHER_BY_EMPIRICAL, r->remember.fisher);
    set("remember.buffer_kind", "herding");
    EXPECT_EQ(EGI_BUFFER_HERDING, r->remember.buffer_kind);
    set("remember.scale", "raw");
    EXPECT_EQ(EGI_SCALE_RAW, r->remember.scale);
}

TEST_F(ConfigTest, PrintLoadsBackToTheSame)
{
    const std::pair<const char *, const char *> values[] = {
        {"model", "a \"quoted\": path # no comment\\.h5"},
        {"data.new", "- no list"},
        {"data.keep", "a b, ../c:train, \xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98, null, no"},
        {"data.preprocess", "0.1307/0.3081"},
        {"finetune.lr", "0.1234567890123456789"},
        {"finetune.batch", "17"},
        {"finetune.weight_decay", "1e-5"},
        {"finetune.dropout", "0.25"},
        {"finetune.freeze", "block1_*, conv?"},
        {"finetune.class_weights", "1, 2.5, 1e-3"},
        {"finetune.early_stopping.restore_best", "no"},
        {"finetune.momentum", "0.9"},
        {"finetune.optimizer", "sgd"},
        {"finetune.nesterov", "true"},
        {"remember.method", "rehearsal+ewc"},
        {"remember.strength", "1e6"},
        {"run.seed", "9007199254740991"},
        {"run.time_limit", "1.5h"},
        {"run.device", "\x01\x7f\n\t\xc2\x85"},
    };
    for (const auto &[key, text] : values)
        ASSERT_FINE(eg_config_set(config.get(), key, text));
    const std::string once = Print(config.get());
    eg_config *back = nullptr;
    ASSERT_FINE(eg_config_create(&back, ctx));
    const Config owned(back);
    ASSERT_FINE(eg_config_load(back, Write("again.yaml", once).c_str()));
    eg_config_entry e;
    for (int64_t i = 0; eg_config_schema(i, &e); i++) {
        const std::string wanted = eg_config_get(config.get(), e.key);
        if (strcmp(e.kind, "list") != 0) {
            EXPECT_EQ(wanted, eg_config_get(back, e.key)) << e.key;
            continue;
        }
        char a[EGI_TEXT_MAX], b[EGI_TEXT_MAX];
        for (int64_t k = 0;; k++) {
            const bool more = egi_list_item(wanted.c_str(), k, a, sizeof a);
            const std::string text = eg_config_get(back, e.key);
            ASSERT_EQ(more, egi_list_item(text.c_str(), k, b, sizeof b)) << e.key;
            if (!more)
                break;
            EXPECT_STREQ(a, b) << e.key;
        }
    }
    EXPECT_EQ(0.1234567890123456789, egi_config_run(back)->finetune.lr);
    EXPECT_EQ(once, Print(back));
}

TEST_F(ConfigTest, DefaultsPrintAndLoad)
{
    ASSERT_FINE(eg_config_load(config.get(), Write("run.yaml", Print(config.get())).c_str()));
    EXPECT_EQ(EGI_AUTO, egi_config_run(config.get())->finetune.lr);
    EXPECT_EQ(0, egi_config_run(config.get())->finetune.batch);
    EXPECT_STREQ("auto", eg_config_get(config.get(), "finetune.lr"));
}

TEST_F(ConfigTest, ReadsWhatTheDocumentationShows)
{
    EXPECT_EQ(
        1u,
        Errors("data: {keep: [mnist/, \"digits, no\"]}\n").size()); // an item with a comma could not be told from two
    ASSERT_FINE(eg_config_load(config.get(), Write("run.yaml", R"(
model: lenet5.h5
data:
  new: fashion/              # a comment
  keep: [mnist/, no]
finetune:
  lr: 1e-3
  early_stopping: {patience: 5, restore_best: no}
remember.method: rehearsal+ewc
remember:
  budget: 0.02
run: {seed: 7, time_limit: 2h, log_steps: 1}
)")
                                                 .c_str()));
    const egi_run_config *r = egi_config_run(config.get());
    EXPECT_STREQ("mnist/,no", r->data.keep);
    EXPECT_EQ(5, r->finetune.early_stopping.patience);
    EXPECT_FALSE(r->finetune.early_stopping.restore_best);
    EXPECT_EQ(0.02, r->remember.budget);
    EXPECT_EQ(7200, egi_config_seconds(r->run.time_limit));
    EXPECT_TRUE(egi_config_given(config.get(), "run.seed"));
    EXPECT_FALSE(egi_config_given(config.get(), "run.threads"));
}

TEST_F(ConfigTest, AllErrorsAtOnceWithTheirPlaces)
{
    const auto lines = Errors("finetune:\n"
                              "  lrr: 1e-3\n"
                              "  epochs: -4\n"
                              "  nesterov: true\n"
                              "run:\n"
                              "  seed: 1\n"
                              "  seed: 2\n"
                              "data:\n"
                              "  classes: widen\n"
                              "  shuffle: [true]\n"
                              "modle: x\n");
    ASSERT_EQ(7u, lines.size()) << eg_config_errors(config.get());
    EXPECT_EQ(0u, lines[0].find(":2:3: unknown key 'finetune.lrr'")) << lines[0];
    EXPECT_TRUE(lines[0].find("finetune.lr") != std::string::npos) << lines[0];
    EXPECT_EQ(0u, lines[1].find(":3:11: finetune.epochs: wanted an integer 0 to 1000000, found '-4'")) << lines[1];
    EXPECT_EQ(0u, lines[2].find(":7:3: run.seed: already set in line 6")) << lines[2];
    EXPECT_EQ(0u, lines[3].find(":9:12: data.classes: wanted extend")) << lines[3];
    EXPECT_EQ(0u, lines[4].find(":10:12: data.shuffle: wanted a single value")) << lines[4];
    EXPECT_EQ(0u, lines[5].find(":11:1: unknown key 'modle'; the nearest: model")) << lines[5];
    EXPECT_EQ(0u, lines[6].find(":4:3: finetune.nesterov: needs")) << lines[6];
    EXPECT_TRUE(strstr(eg_last_message(), "7 problems, the first: ")) << eg_last_message();
    EXPECT_STREQ("auto", eg_config_get(config.get(), "finetune.lr"));
    EXPECT_FALSE(egi_config_given(config.get(), "run.seed")) << "a refused file left something behind";
}

TEST_F(ConfigTest, HostileYamlIsRefused)
{
    const std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ndata: {keep: *b}\n";
    for (const std::string &yaml :
         {bomb, std::string("model: &m x\n"), std::string("model: *m\n"), std::string("model: !!python/object x\n"),
          std::string("model: \"a\\0b\"\n"), std::string("model: [\n"), std::string("- a\n- b\n"),
          std::string("just words\n"), std::string("a: 1\n---\nb: 2\n"),
          std::string("data: {data: {data: {data: {new: x}}}}\n"), std::string("? [a, b]\n: c\n"),
          std::string("data: 3\n"), std::string("data:\n  new: x\ndata:\n  keep: y\n"),
          std::string("model: \xff\xfe\n"), std::string("\tmodel: x\n")}) {
        EXPECT_FALSE(Errors(yaml).empty()) << yaml;
    }
    std::string deep;
    for (int i = 0; i < 100000; i++)
        deep += "[";
    EXPECT_FALSE(Errors("data: {keep: " + deep).empty());
    EXPECT_EQ(EG_ERR_FORMAT, eg_config_load(config.get(), Write("big.yaml", std::string((1 << 20) + 1, '#')).c_str()));
    EXPECT_EQ(EG_ERR_IO, eg_config_load(config.get(), (folder / "none.yaml").c_str()));
    ASSERT_FINE(eg_config_load(config.get(), Write("empty.yaml", "").c_str()));
    ASSERT_FINE(eg_config_load(config.get(), Write("sections.yaml", "data:\nrun: ~\nmodel: null\n").c_str()));
    EXPECT_STREQ("", eg_config_get(config.get(), "model"));
}

TEST_F(ConfigTest, ConditionsBetweenKeysAreAllNamed)
{
    ASSERT_FINE(egi_config_check(config.get()));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.nesterov", "true"));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.momentum", "0.9"));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.loss", "mse"));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.label_smoothing", "0.1"));
    EXPECT_EQ(EG_ERR_CONFIG, egi_config_check(config.get()));
    const std::string all = eg_config_errors(config.get());
    EXPECT_EQ(2, std::count(all.begin(), all.end(), '\n')) << all;
    EXPECT_EQ(EG_ERR_CONFIG, eg_context_configure(ctx, config.get()));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.optimizer", "sgd"));
    ASSERT_FINE(eg_config_set(config.get(), "finetune.label_smoothing", "0"));
    EXPECT_FINE(egi_config_check(config.get()));
    EXPECT_STREQ("", eg_config_errors(config.get()));
}

TEST_F(ConfigTest, ValuesThatBoundsCannotSay)
{
    for (const auto &[key, text] :
         std::vector<std::pair<const char *, const char *>>{{"run.time_limit", "2 weeks"},
                                                            {"run.time_limit", "h"},
                                                            {"run.time_limit", "-1s"},
                                                            {"run.time_limit", "1e3"},
                                                            {"data.preprocess", "magic"},
                                                            {"finetune.class_weights", "1,x"},
                                                            {"finetune.class_weights", "1,,2"},
                                                            {"finetune.class_weights", "-1"},
                                                            {"remember.method", "ewc+magic"},
                                                            {"remember.method", "ewc+"},
                                                            {"remember.method", ""},
                                                            {"model", "\xff"},
                                                            {"finetune.nesterov", "maybe"}})
        EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), key, text)) << key << "=" << text;
    for (const char *text : {"none", "auto", "ewc", "rehearsal+ewc", "l2sp+rehearsal"})
        EXPECT_FINE(eg_config_set(config.get(), "remember.method", text));
    EXPECT_EQ(90, egi_config_seconds("90"));
    EXPECT_EQ(90, egi_config_seconds("1.5m"));
    EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), "lr", "1"));
    EXPECT_TRUE(strstr(eg_last_message(), "finetune.lr")) << eg_last_message();
    EXPECT_EQ(EG_ERR_CONFIG, eg_config_set(config.get(), "data.new", std::string(EGI_TEXT_MAX, 'x').c_str()));
    EXPECT_EQ(nullptr, eg_config_get(config.get(), "nothing"));
}

TEST_F(ConfigTest, ConfigureAppliesSeedAndThreadsAndChecksTheDevice)
{
    ASSERT_FINE(eg_config_set(config.get(), "run.seed", "42"));
    ASSERT_FINE(eg_config_set(config.get(), "run.threads", "1"));
    ASSERT_FINE(eg_config_set(config.get(), "run.device", "cpu"));
    ASSERT_FINE(eg_context_configure(ctx, config.get()));
    EXPECT_EQ(42u, ctx->seed);
    EXPECT_EQ(1, eg_context_threads(ctx));
    ASSERT_FINE(eg_config_set(config.get(), "run.device", "cuda"));
    EXPECT_EQ(EG_ERR_DEVICE, eg_context_configure(ctx, config.get()));
}

TEST_F(ConfigTest, CloneIsApart)
{
    ASSERT_FINE(eg_config_set(config.get(), "finetune.epochs", "3"));
    eg_config *c = nullptr;
    ASSERT_FINE(eg_config_clone(&c, config.get()));
    const Config clone(c);
    ASSERT_FINE(eg_config_set(c, "finetune.epochs", "4"));
    EXPECT_STREQ("3", eg_config_get(config.get(), "finetune.epochs"));
    EXPECT_STREQ("4", eg_config_get(c, "finetune.epochs"));
}
