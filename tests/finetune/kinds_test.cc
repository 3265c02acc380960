// Runs of other kinds: regression, yes or no, several heads, batch norm's three modes, herding, verdicts, parts of
// data.
#include "support.h"

#include <set>

extern "C" {
#include "finetune/tasks.h"
}

namespace
{

struct Simple {
    Context context;
    Model model;
    Dataset train, test;
    Config config{context.c};
    eg_finetune_result *r = nullptr;
    ~Simple()
    {
        eg_finetune_result_free(r);
    }
    void go(const eg_dataset *keep = nullptr)
    {
        eg_finetune_job job = EG_FINETUNE_JOB_INIT;
        job.config = config.c;
        job.new_train = train.d;
        job.new_test = test.d;
        job.keep_train = keep ? &keep : nullptr;
        job.n_keep = keep ? 1 : 0;
        ASSERT_OK(eg_finetune(&r, model.m, &job));
    }
};

// y = 2 x0 - x1 + 1
void line(Dataset &out, eg_context *c, int64_t n, uint32_t step)
{
    const std::vector<float> x = normal(2 * n, step);
    out.make(c, x, {2}, std::vector<int32_t>((size_t)n), "line");
    egi_free(c, out.d->labels);
    out.d->labels = nullptr;
    out.d->classes = 0;
    out.d->target_shape = EGI_SHAPE(1);
    ASSERT_OK(egi_alloc(&out.d->targets, c, n, sizeof(float)));
    for (int64_t i = 0; i < n; i++)
        out.d->targets[i] = 2 * x[(size_t)(2 * i)] - x[(size_t)(2 * i + 1)] + 1;
}

void sides(Dataset &out, eg_context *c, int64_t n, uint32_t step, double from = 0)
{
    const std::vector<float> x = normal(2 * n, step);
    std::vector<int32_t> y;
    for (int64_t i = 0; i < n; i++)
        y.push_back(x[(size_t)(2 * i)] > from);
    out.make(c, x, {2}, y, "sides");
}

} // namespace

TEST(Kinds, RegressionFindsTheLine)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2),
                 R"([{"class_name":"Dense","config":{"name":"head","units":1}}])");
    line(s.train, s.context.c, 400, 1);
    line(s.test, s.context.c, 100, 2);
    s.config.set("finetune.optimizer", "sgd").set("finetune.lr", "0.1").set("data.classes", "keep");
    s.config.set("remember.method", "none").set("finetune.batch", "16");
    s.go();
    const std::vector<double> w = s.model.get("head/kernel"), b = s.model.get("head/bias");
    EXPECT_NEAR(2, w[0], 1e-3);
    EXPECT_NEAR(-1, w[1], 1e-3);
    EXPECT_NEAR(1, b[0], 1e-3);
    EXPECT_TRUE(std::isnan(s.r->new_after)) << "regression has no accuracy";
    EXPECT_LT(s.r->epochs[s.r->epochs_run].validation_loss, 1e-5);
}

TEST(Kinds, RegressionOfTwoNumbersFindsBoth)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2),
                 R"([{"class_name":"Dense","config":{"name":"head","units":2}}])");
    line(s.train, s.context.c, 400, 1);
    line(s.test, s.context.c, 100, 2);
    for (eg_dataset *d : {s.train.d, s.test.d}) { // the second number is 3 of the first
        float *both = nullptr;
        ASSERT_OK(egi_alloc(&both, s.context.c, 2 * d->n, sizeof *both));
        for (int64_t i = 0; i < 2 * d->n; i++)
            both[i] = (i % 2 ? 3.0f : 1.0f) * d->targets[i / 2];
        egi_free(s.context.c, d->targets);
        d->targets = both;
        d->target_shape = EGI_SHAPE(2);
    }
    s.config.set("finetune.optimizer", "sgd").set("finetune.lr", "0.1").set("data.classes", "keep");
    s.config.set("remember.method", "none").set("finetune.batch", "16");
    s.go();
    const std::vector<double> w = s.model.get("head/kernel"), wanted = {2, 6, -1, -3};
    for (size_t i = 0; i < 4; i++)
        EXPECT_NEAR(wanted[i], w[i], 1e-3) << i;
}

TEST(Kinds, OneSigmoidUnitLearnsYesAndNo)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2),
                 R"([{"class_name":"Dense","config":{"name":"head","units":1,"activation":"sigmoid"}}])");
    sides(s.train, s.context.c, 600, 1);
    sides(s.test, s.context.c, 200, 2);
    s.config.set("finetune.optimizer", "adam").set("finetune.lr", "0.1").set("data.classes", "keep");
    s.config.set("remember.method", "l2sp").set("remember.strength", "0");
    s.go();
    EXPECT_GT(s.r->new_after, 0.97);
}

TEST(Kinds, ASecondHeadLeavesTheFirstItsRows)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2), R"([
        {"class_name":"Dense","config":{"name":"hidden","units":8,"activation":"tanh"}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    sides(s.train, s.context.c, 600, 1, 0.7);
    sides(s.test, s.context.c, 200, 2, 0.7);
    Dataset old;
    sides(old, s.context.c, 600, 3);
    s.config.set("finetune.optimizer", "adam").set("finetune.lr", "0.02").set("data.classes", "multi");
    s.config.set("remember.budget", "1");
    s.go(old.d);
    EXPECT_EQ(2, s.model.m->n_outputs);
    EXPECT_GT(s.r->new_after, 0.95);
    EXPECT_GT(s.r->keep[0].after, 0.95) << "rehearsal trains the first head on the old labels";
}

TEST(Kinds, ASecondSigmoidHeadIsTrainedByItsOwnExamplesAlone)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2), R"([
        {"class_name":"Dense","config":{"name":"hidden","units":8,"activation":"tanh"}},
        {"class_name":"Dense","config":{"name":"head","units":1,"activation":"sigmoid"}}])");
    sides(s.train, s.context.c, 600, 1);
    sides(s.test, s.context.c, 200, 2);
    Dataset old; // the other way round
    sides(old, s.context.c, 600, 3);
    for (int64_t i = 0; i < old.d->n; i++)
        old.d->labels[i] = 1 - old.d->labels[i];
    s.config.set("finetune.optimizer", "adam").set("finetune.lr", "0.02").set("data.classes", "multi");
    s.config.set("remember.method", "rehearsal").set("remember.budget", "1");
    s.go(old.d);
    EXPECT_EQ(2, s.model.m->n_outputs);
    EXPECT_GT(s.r->new_after, 0.95);
    EXPECT_GT(s.r->keep[0].after, 0.95);
}

TEST(Kinds, BatchNormIsFrozenOrMovesAsAsked)
{
    const char net[] = R"([
        {"class_name":"Dense","config":{"name":"hidden","units":6}},
        {"class_name":"BatchNormalization","config":{"name":"norm","momentum":0.5}},
        {"class_name":"Activation","config":{"name":"relu","activation":"relu"}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";
    struct Mode {
        const char *name;
        bool statistics, weights;
    };
    for (const Mode &mode : {Mode{"frozen", false, true}, Mode{"adapt", true, false}, Mode{"train", true, true}}) {
        Simple s;
        Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2), net);
        sides(s.train, s.context.c, 200, 1);
        const std::vector<double> mean = s.model.get("norm/moving_mean"), gamma = s.model.get("norm/gamma");
        s.config.set("finetune.batchnorm", mode.name).set("finetune.epochs", "1").set("data.classes", "keep");
        s.config.set("remember.method", "none");
        s.go();
        EXPECT_EQ(mode.statistics, mean != s.model.get("norm/moving_mean")) << mode.name;
        EXPECT_EQ(mode.weights, gamma != s.model.get("norm/gamma")) << mode.name;
        EXPECT_FALSE(s.model.m->batchnorm_frozen) << "the mark is taken off again";
    }
}

TEST(Kinds, DropoutIsThatOfTheRunAndThenThatOfTheFileAgain)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(2), R"([
        {"class_name":"Dense","config":{"name":"hidden","units":6}},
        {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    sides(s.train, s.context.c, 100, 1);
    s.config.set("finetune.dropout", "0.5").set("finetune.epochs", "1").set("data.classes", "keep");
    s.config.set("remember.method", "none");
    s.go();
    const egi_layer *l = &s.model.m->layers[egi_model_find_layer(s.model.m, "drop")];
    char text[32];
    egi_field_print(egi_field_find(l->type->fields, l->type->n_fields, "rate"), l->config, text, sizeof text);
    EXPECT_STREQ("0.25", text);
}

TEST(Kinds, FeaturesAreTheInputOfTheHead)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F64, EGI_SHAPE(2), R"([
        {"class_name":"Dense","config":{"name":"hidden","units":3,"activation":"relu"}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    sides(s.train, s.context.c, 100, 1);
    egi_source source{};
    source.data = s.train.d;
    const std::vector<int64_t> index = {5, 99, 0};
    float *f = nullptr;
    int64_t dim = 0;
    ASSERT_OK(egi_features(&f, &dim, s.model.m, &source, index.data(), 3));
    ASSERT_EQ(3, dim);
    const std::vector<double> w = s.model.get("hidden/kernel"), b = s.model.get("hidden/bias");
    const float *x = (const float *)s.train.d->x[0];
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 3; j++) {
            const float *row = x + 2 * index[(size_t)i];
            const double z = b[(size_t)j] + row[0] * w[(size_t)j] + row[1] * w[(size_t)(3 + j)];
            EXPECT_NEAR(std::fmax(z, 0), f[i * 3 + j], 1e-6);
        }
    egi_free(s.context.c, f);
}

TEST(Parts, TrainingSelectionAndTestDoNotMeet)
{
    Context context;
    Config config(context.c);
    Dataset d;
    sides(d, context.c, 1000, 1);
    egi_run run{};
    run.context = context.c;
    run.config = egi_config_run(config.c);
    run.seed = 3;
    config.set("data.validation", "0.2");
    egi_part part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, nullptr, 0));
    std::set<int64_t> all(part.train_index, part.train_index + part.n_train);
    all.insert(part.select_index, part.select_index + part.n_select);
    all.insert(part.test_index, part.test_index + part.n_test);
    EXPECT_EQ(1000u, all.size());
    EXPECT_EQ(1000, part.n_train + part.n_select + part.n_test);
    EXPECT_NEAR(200, part.n_test, 1);
    EXPECT_NEAR(160, part.n_select, 2);
    egi_part_release(&part, context.c);

    part = egi_part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, nullptr, 50));
    EXPECT_EQ(50, part.n_train + part.n_select) << "the limit is for all that is used";
    EXPECT_NEAR(200, part.n_test, 1);
    egi_part_release(&part, context.c);

    config.set("data.validation", "0");
    part = egi_part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, nullptr, 0));
    EXPECT_EQ(1000, part.n_train);
    EXPECT_TRUE(part.select_is_train && part.test_is_train);
    egi_part_release(&part, context.c);
}

TEST(Parts, SelectionIsCapped)
{
    Context context;
    Config config(context.c);
    config.set("data.validation", "0.5");
    Dataset d, test;
    sides(d, context.c, 30000, 1);
    sides(test, context.c, 10, 2);
    egi_run run{};
    run.context = context.c;
    run.config = egi_config_run(config.c);
    egi_part part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, test.d, 0));
    EXPECT_EQ(15000, part.n_train);
    EXPECT_EQ(EGI_SELECT_MAX, part.n_select);
    EXPECT_EQ(10, part.n_test);
    EXPECT_TRUE(std::is_sorted(part.select_index, part.select_index + part.n_select));
    egi_part_release(&part, context.c);
}

TEST(Parts, SelectionIsDrawnFromAllOfAnOrderedSet)
{
    Context context;
    Config config(context.c);
    config.set("data.validation", "0.5");
    Dataset d, test;
    const int64_t n = 4 * EGI_SELECT_MAX;
    std::vector<int32_t> y((size_t)n, 0);
    std::fill(y.begin() + n / 2, y.end(), 1);
    d.make(context.c, std::vector<float>((size_t)n), {1}, y, "ordered");
    test.make(context.c, {0}, {1}, {0});
    egi_run run{};
    run.context = context.c;
    run.config = egi_config_run(config.c);
    egi_part part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, test.d, 0));
    ASSERT_EQ(EGI_SELECT_MAX, part.n_select);
    int64_t second = 0;
    for (int64_t i = 0; i < part.n_select; i++)
        second += y[(size_t)part.select_index[i]];
    EXPECT_NEAR(0.5 * EGI_SELECT_MAX, (double)second, 0.05 * EGI_SELECT_MAX);
    egi_part_release(&part, context.c);
}

TEST(Parts, AKeepLimitTakesTheExamplesThatTheBufferWould)
{
    Context context;
    Config config(context.c);
    config.set("remember.buffer_kind", "balanced");
    Dataset d, test;
    sides(d, context.c, 1000, 1, 1.3);
    sides(test, context.c, 10, 2);
    egi_run run{};
    run.context = context.c;
    run.config = egi_config_run(config.c);
    egi_part part{};
    ASSERT_OK(egi_run_split(&run, &part, d.d, test.d, 60));
    int64_t right = 0;
    for (int64_t i = 0; i < part.n_train; i++)
        right += d.d->labels[part.train_index[i]];
    for (int64_t i = 0; i < part.n_select; i++)
        right += d.d->labels[part.select_index[i]];
    EXPECT_EQ(60, part.n_train + part.n_select);
    EXPECT_EQ(30, right) << "a tenth of the set";
    egi_part_release(&part, context.c);
}

namespace
{

struct Curve {
    double validation_accuracy, validation_loss;
};

std::string verdict(std::vector<Curve> curve, double train_accuracy, int64_t best)
{
    egi_run run{};
    std::vector<eg_epoch_result> epochs(1);
    for (const Curve &c : curve) {
        eg_epoch_result e{};
        e.new_accuracy = c.validation_accuracy;
        e.validation_loss = c.validation_loss;
        epochs.push_back(e);
    }
    run.epochs = epochs.data();
    run.epochs_run = (int64_t)curve.size();
    run.budget.best_epoch = best;
    run.train_accuracy = train_accuracy;
    EXPECT_OK(egi_run_verdict(&run));
    return run.verdict;
}

} // namespace

TEST(Verdict, TellsOverfittingFromUnderfitting)
{
    EXPECT_EQ(0u, verdict({{0.8, 0.5}, {0.82, 0.6}, {0.81, 0.8}}, 0.99, 2).find("overfitting: "));
    EXPECT_EQ(0u, verdict({{0.8, 0.5}, {0.82, 0.5}, {0.82, 0.5}}, 0.95, 2).find("some overfitting: "));
    EXPECT_EQ(0u, verdict({{0.4, 1.5}, {0.41, 1.5}, {0.41, 1.5}}, 0.42, 2).find("underfitting: "));
    EXPECT_EQ(0u, verdict({{0.8, 0.5}, {0.85, 0.4}, {0.9, 0.3}}, 0.91, 3).find("not finished: "));
    EXPECT_EQ(0u, verdict({{0.9, 0.3}, {0.91, 0.29}, {0.91, 0.29}}, 0.92, 3).find("good fit: "));
    EXPECT_EQ(0u, verdict({{0.8, 0.5}, {0.82, 0.5}, {0.82, 0.5}}, 0.88, 2).find("some overfitting: "));
    EXPECT_EQ(0u, verdict({{0.8, 0.5}, {0.82, 0.5}, {0.82, 0.5}}, 0.86, 2).find("good fit: "));
    EXPECT_EQ(0u, verdict({}, NAN, 0).find("no training"));
    for (const char *what : {"finetune.dropout", "finetune.l2", "since epoch 1"})
        EXPECT_NE(std::string::npos, verdict({{0.8, 0.5}, {0.82, 0.6}}, 0.99, 2).find(what)) << what;
}

TEST(Verdict, TellsOverfittingOfARegressionByItsLosses)
{
    std::vector<eg_epoch_result> epochs(4);
    for (eg_epoch_result &e : epochs)
        e.new_accuracy = NAN;
    egi_run run{};
    run.epochs = epochs.data();
    run.epochs_run = run.budget.best_epoch = 3;
    run.train_accuracy = NAN;
    for (int i = 1; i < 4; i++)
        epochs[(size_t)i].validation_loss = 0.5;
    run.train_loss = 0.1;
    ASSERT_OK(egi_run_verdict(&run));
    EXPECT_EQ(0u, std::string(run.verdict).find("some overfitting: ")) << run.verdict;
    run.train_loss = 0.45;
    ASSERT_OK(egi_run_verdict(&run));
    EXPECT_EQ(0u, std::string(run.verdict).find("good fit: ")) << run.verdict;
    epochs[3].validation_loss = 0.4;
    ASSERT_OK(egi_run_verdict(&run));
    EXPECT_EQ(0u, std::string(run.verdict).find("not finished: ")) << run.verdict;
}

namespace
{

// Bytes that a network tells apart only as x/127.5 - 1: is the input above 0?
void bytes(Dataset &out, eg_context *c, const char *name, bool labelled)
{
    std::vector<uint8_t> x;
    std::vector<int32_t> y;
    for (int v = 0; v < 256; v++) {
        x.push_back((uint8_t)v);
        y.push_back(labelled ? v > 127 : v % 2);
    }
    const int64_t shape[] = {1};
    ASSERT_OK(eg_dataset_from_arrays(&out.d, c, x.data(), EG_DTYPE_U8, 256, shape, 1, y.data()));
    egi_free(c, out.d->name);
    ASSERT_OK(egi_strdup(&out.d->name, c, name));
}

} // namespace

TEST(Kinds, OldDataSaysHowNewDataIsPreprocessed)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(1),
                 R"([{"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    s.model.set("head/kernel", {-4, 4});
    Dataset old;
    bytes(old, s.context.c, "old", true);
    bytes(s.train, s.context.c, "fresh", false);
    s.config.set("finetune.epochs", "1").set("remember.method", "none");
    s.go(old.d);
    EXPECT_STREQ("tf", json_string_value(json_object_get(s.model.m->meta, "preprocess")));
    egi_task task;
    for (const char *name : {"old", "fresh"}) {
        ASSERT_TRUE(egi_tasks_get(s.model.m, egi_tasks_find(s.model.m, name), &task)) << name;
        EXPECT_STREQ("tf", task.preprocess) << name;
    }
}

TEST(Kinds, EachTaskKeepsItsOwnPreprocessing)
{
    Simple s;
    Model::chain(s.model, s.context.c, EGI_F32, EGI_SHAPE(1),
                 R"([{"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    s.model.set("head/kernel", {-4, 4});
    Dataset old;
    bytes(old, s.context.c, "old", true);
    const std::vector<float> x = normal(100, 1);
    std::vector<int32_t> y;
    for (float v : x)
        y.push_back(v > 0);
    s.train.make(s.context.c, x, {1}, y, "fresh"); // numbers that are taken as they are
    s.config.set("finetune.epochs", "1").set("finetune.lr", "1e-6").set("data.classes", "keep");
    s.config.set("remember.method", "rehearsal").set("remember.buffer", "20");
    s.go(old.d);
    EXPECT_EQ(1, s.r->keep[0].before);
    EXPECT_EQ(1, s.r->keep[0].after);
    egi_memory *memory = nullptr;
    ASSERT_OK(egi_memory_load(&memory, s.model.m));
    ASSERT_EQ(2, memory->n_parts);
    EXPECT_STREQ("tf", egi_memory_find(memory, "old")->preprocess);
    EXPECT_STREQ("none", egi_memory_find(memory, "fresh")->preprocess);
    egi_memory_free(memory);
}
