// Runs of other kinds: regression, yes or no, several heads, batch norm's three modes, herding, verdicts, parts of
// data.
#include "support.h"

#include <set>

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
    EXPECT_EQ(0u, verdict({}, NAN, 0).find("no training"));
    for (const char *what : {"finetune.dropout", "finetune.l2", "since epoch 1"})
        EXPECT_NE(std::string::npos, verdict({{0.8, 0.5}, {0.82, 0.6}}, 0.99, 2).find(what)) << what;
}
