#include "support.h"

#include <numeric>

class EvalTest : public Parts
{
  protected:
    void SetWeights(eg_model *m, const json_t *weights)
    {
        const char *key;
        json_t *values;
        json_object_foreach((json_t *)weights, key, values)
        {
            const std::string path = key;
            const size_t slash = path.rfind('/');
            egi_tensor t = Param(m, path.substr(0, slash).c_str(), path.substr(slash + 1).c_str());
            ASSERT_EQ((size_t)egi_count(&t), json_array_size(values)) << path;
            for (size_t i = 0; i < json_array_size(values); i++)
                egi_set(&t, (int64_t)i, Number(values, i));
        }
    }
    static std::vector<float> Flat(const json_t *rows)
    {
        std::vector<float> out;
        for (size_t i = 0; i < json_array_size(rows); i++)
            for (size_t j = 0; j < json_array_size(json_array_get(rows, i)); j++)
                out.push_back((float)Number(json_array_get(rows, i), j));
        return out;
    }
    // The data set of a golden case: labels where it has them, else targets.
    Set Data(const json_t *c)
    {
        std::vector<int32_t> labels;
        for (size_t i = 0; i < json_array_size(json_object_get(c, "labels")); i++)
            labels.push_back((int32_t)Number(json_object_get(c, "labels"), i));
        Set d = Floats(Flat(json_object_get(c, "x")), {4}, labels);
        if (labels.empty()) {
            const std::vector<float> t = Flat(json_object_get(c, "targets"));
            d->target_shape = EGI_SHAPE((int64_t)t.size() / d->n);
            EXPECT_FINE(egi_alloc(&d->targets, ctx, (int64_t)t.size(), sizeof(float)));
            memcpy(d->targets, t.data(), t.size() * sizeof(float));
        }
        return d;
    }
    Evaluator Make(const eg_model *m, egi_loss_name loss = EGI_LOSS_NAME_AUTO, double smoothing = 0, int64_t batch = 0)
    {
        egi_evaluator *e = nullptr;
        EXPECT_FINE(egi_evaluator_create(&e, m, loss, smoothing, batch));
        return Evaluator(e);
    }
    // Random weights of a fixed seed.
    void Randomise(eg_model *m, unsigned seed)
    {
        egi_rng rng = egi_rng_make(seed, EGI_RNG_TEST, 0);
        for (int64_t p = 0; p < m->n_params; p++) {
            egi_tensor t = egi_param_view(m, p);
            for (int64_t i = 0; i < egi_count(&t); i++)
                egi_set(&t, i, 2 * egi_rng_uniform64(&rng) - 1);
        }
    }
    std::vector<float> Random(int64_t n, unsigned seed)
    {
        egi_rng rng = egi_rng_make(seed, EGI_RNG_TEST, 1);
        std::vector<float> x((size_t)n);
        for (float &v : x)
            v = (float)(2 * egi_rng_uniform64(&rng) - 1);
        return x;
    }
};

struct Golden {
    egi_loss_name loss;
    double smoothing;
};
static Golden SettingsOf(const std::string &name)
{
    if (name == "softmax_smoothed")
        return {EGI_LOSS_NAME_CATEGORICAL, 0.1};
    if (name == "one_sigmoid_smoothed")
        return {EGI_LOSS_NAME_BINARY, 0.2};
    if (name == "softmax_mse")
        return {EGI_LOSS_NAME_MSE, 0};
    if (name == "regression_mae")
        return {EGI_LOSS_NAME_MAE, 0};
    return {EGI_LOSS_NAME_AUTO, 0};
}

// Float32 networks with weights of order 1: Keras' own sums are float32, hence 1e-5.
TEST_F(EvalTest, LossesAndAccuraciesAsKerasSays)
{
    const json_t *c;
    size_t i;
    json_array_foreach(json_object_get(GoldenNumbers(), "cases"), i, c)
    {
        const std::string name = json_string_value(json_object_get(c, "name"));
        for (egi_dtype dtype : {EGI_F32, EGI_F64})
            for (int64_t batch : {0, 1, 7, 23}) {
                const Model m = Build(json_string_value(json_object_get(c, "architecture")), dtype);
                SetWeights(m.get(), json_object_get(c, "weights"));
                const Set d = Data(c);
                const Golden g = SettingsOf(name);
                const Evaluator e = Make(m.get(), g.loss, g.smoothing, batch);
                egi_eval_set set = {};
                set.data = d.get();
                set.n = d->n;
                egi_eval_figures f;
                ASSERT_FINE(egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f)) << name;
                const double loss = json_number_value(json_object_get(c, "loss"));
                EXPECT_NEAR(loss, f.loss, 1e-5 * std::max(1.0, loss)) << name << " batch " << batch;
                const json_t *accuracy = json_object_get(c, "accuracy");
                if (name == "softmax_mse")
                    continue;
                if (json_is_null(accuracy))
                    EXPECT_TRUE(std::isnan(f.accuracy)) << name;
                else
                    EXPECT_NEAR(json_number_value(accuracy), f.accuracy, 1e-6) << name;
            }
    }
}

TEST_F(EvalTest, OutputsAreThePlansAndLogitsAreBeforeTheActivation)
{
    const json_t *c;
    size_t i;
    json_array_foreach(json_object_get(GoldenNumbers(), "cases"), i, c)
    {
        const Model m = Build(json_string_value(json_object_get(c, "architecture")));
        SetWeights(m.get(), json_object_get(c, "weights"));
        const Set d = Data(c);
        const Evaluator e = Make(m.get());
        egi_eval_set set = {};
        set.data = d.get();
        set.n = d->n;
        const std::vector<float> want = Flat(json_object_get(c, "y"));
        std::vector<float> y(want.size()), z(want.size());
        ASSERT_FINE(egi_evaluator_outputs(e.get(), &set, false, y.data()));
        ASSERT_FINE(egi_evaluator_outputs(e.get(), &set, true, z.data()));
        const size_t k = want.size() / (size_t)d->n;
        for (size_t r = 0; r < y.size(); r++)
            EXPECT_NEAR(want[r], y[r], 2e-6 * std::max(1.0f, std::fabs(want[r])));
        for (size_t r = 0; r < y.size(); r++) {
            double sum = 0;
            for (size_t j = r / k * k; j < r / k * k + k; j++)
                sum += std::exp((double)z[j]);
            if (egi_evaluator_head(e.get(), 0) == EGI_ACT_SOFTMAX)
                EXPECT_NEAR(y[r], std::exp((double)z[r]) / sum, 1e-6);
            else if (egi_evaluator_head(e.get(), 0) == EGI_ACT_SIGMOID)
                EXPECT_NEAR(y[r], 1 / (1 + std::exp(-(double)z[r])), 1e-6);
            else
                EXPECT_EQ(y[r], z[r]);
        }
    }
}

TEST_F(EvalTest, FollowsTheWeightsAndAllocatesNothing)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    std::vector<int32_t> labels(50);
    for (size_t i = 0; i < labels.size(); i++)
        labels[i] = (int32_t)(i % 3);
    const Set d = Floats(Random(200, 3), {4}, labels);
    const Evaluator e = Make(m.get(), EGI_LOSS_NAME_AUTO, 0, 16);
    egi_eval_set set = {};
    set.data = d.get();
    set.n = d->n;
    egi_eval_figures f1, f2, f3;
    std::vector<int32_t> predicted(50);
    std::vector<uint8_t> correct(50);
    Randomise(m.get(), 1);
    ASSERT_FINE(egi_evaluator_run(e.get(), &set, predicted.data(), correct.data(), &f1));
    const int64_t blocks = ctx->total_blocks;
    Randomise(m.get(), 2);
    ASSERT_FINE(egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f2));
    Randomise(m.get(), 1);
    ASSERT_FINE(egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f3));
    EXPECT_EQ(blocks, ctx->total_blocks);
    EXPECT_NE(f1.loss, f2.loss);
    EXPECT_EQ(f1.loss, f3.loss) << "the same weights gave other bits";
    EXPECT_EQ(f1.accuracy, f3.accuracy);
    double right = 0;
    for (size_t i = 0; i < 50; i++) {
        EXPECT_EQ(predicted[i] == labels[i], correct[i] == 1);
        right += correct[i];
    }
    EXPECT_NEAR(right / 50, f1.accuracy, 1e-15);
    // The reused plan with a part of the examples, in another order.
    const int64_t index[] = {49, 3, 3, 17};
    int32_t some[4];
    set.index = index;
    set.n = 4;
    ASSERT_FINE(egi_evaluator_run(e.get(), &set, some, nullptr, &f2));
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(predicted[(size_t)index[i]], some[i]);
}

TEST_F(EvalTest, RowsMapLabelsAndRestrictTheRace)
{
    const Model m = Build(Mlp(4, 5, "softmax"));
    Randomise(m.get(), 4);
    std::vector<int32_t> labels(40);
    for (size_t i = 0; i < labels.size(); i++)
        labels[i] = (int32_t)(i % 3);
    const Set d = Floats(Random(160, 5), {4}, labels);
    const Evaluator e = Make(m.get());
    egi_eval_set set = {};
    set.data = d.get();
    set.n = d->n;
    std::vector<float> z(200);
    ASSERT_FINE(egi_evaluator_outputs(e.get(), &set, true, z.data()));
    const int32_t rows[] = {4, 1, -1};
    set.rows = rows;
    for (bool restricted : {false, true}) {
        set.restricted = restricted;
        double loss = 0, right = 0;
        int counted = 0;
        for (size_t i = 0; i < 40; i++) {
            const float *row = &z[i * 5];
            const std::vector<int> racing = restricted ? std::vector<int>{1, 4} : std::vector<int>{0, 1, 2, 3, 4};
            int best = racing[0];
            double sum = 0;
            for (int c : racing) {
                best = row[c] > row[best] ? c : best;
                sum += std::exp((double)row[c]);
            }
            const int32_t truth = rows[labels[i]];
            right += best == truth;
            if (truth >= 0) {
                loss += std::log(sum) - row[truth];
                counted++;
            }
        }
        egi_eval_figures f;
        ASSERT_FINE(egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
        EXPECT_NEAR(right / 40, f.accuracy, 1e-15);
        EXPECT_NEAR(loss / counted, f.loss, 1e-6);
    }
}

TEST_F(EvalTest, WhatDoesNotFitIsRefused)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Evaluator e = Make(m.get());
    egi_eval_figures f;
    egi_eval_set set = {};
    const Set none = Floats(Random(8, 1), {4}, {});
    set.data = none.get();
    set.n = 2;
    EXPECT_EQ(EG_ERR_DATA, egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
    const Set wide = Floats(Random(10, 1), {5}, {0, 1});
    set.data = wide.get();
    EXPECT_EQ(EG_ERR_SHAPE, egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
    const Set good = Floats(Random(8, 1), {4}, {0, 1});
    set.data = good.get();
    set.output = 1;
    EXPECT_EQ(EG_ERR_ARG, egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
    set.output = 0;
    set.n = 3;
    EXPECT_EQ(EG_ERR_ARG, egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
    const Model s = Build(Mlp(4, 3, "sigmoid"));
    const Evaluator odd = Make(s.get(), EGI_LOSS_NAME_CATEGORICAL);
    set.n = 2;
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_evaluator_run(odd.get(), &set, nullptr, nullptr, &f));
    set.n = 0;
    ASSERT_FINE(egi_evaluator_run(e.get(), &set, nullptr, nullptr, &f));
    EXPECT_TRUE(std::isnan(f.accuracy));
}

TEST_F(EvalTest, PublicEvalGivesConfusionAndSaysItsMapping)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    Randomise(m.get(), 9);
    std::vector<int32_t> labels(30);
    for (size_t i = 0; i < labels.size(); i++)
        labels[i] = (int32_t)(i % 3);
    const Set d = Floats(Random(120, 6), {4}, labels, "things");
    eg_eval_result *r = nullptr;
    ASSERT_FINE(eg_eval(&r, m.get(), d.get(), nullptr));
    EXPECT_STREQ("index", r->mapping);
    EXPECT_EQ(30, r->n);
    ASSERT_EQ(3, r->classes);
    EXPECT_EQ(30, std::accumulate(r->confusion, r->confusion + 9, (int64_t)0));
    for (int t = 0; t < 3; t++)
        EXPECT_NEAR((double)r->confusion[4 * t] / 10, r->per_class[t], 1e-15);
    EXPECT_NEAR((double)(r->confusion[0] + r->confusion[4] + r->confusion[8]) / 30, r->accuracy, 1e-15);
    eg_eval_result_free(r);

    std::vector<float> y(90), part(15);
    ASSERT_FINE(eg_predict_dataset(m.get(), d.get(), 0, 30, nullptr, y.data()));
    ASSERT_FINE(eg_predict_dataset(m.get(), d.get(), 7, 5, nullptr, part.data()));
    for (size_t i = 0; i < 15; i++)
        EXPECT_NEAR(y[21 + i], part[i], 1e-6);
    EXPECT_EQ(EG_ERR_ARG, eg_predict_dataset(m.get(), d.get(), 28, 5, nullptr, y.data()));

    const Set more = Floats(Random(16, 6), {4}, {0, 1, 2, 3}, "things");
    EXPECT_EQ(EG_ERR_DATA, eg_eval(&r, m.get(), more.get(), nullptr));
    EXPECT_TRUE(strstr(eg_last_message(), "class '3'")) << eg_last_message();
    eg_eval_options o = EG_EVAL_OPTIONS_INIT;
    o.task = "unknown";
    EXPECT_EQ(EG_ERR_DATA, eg_eval(&r, m.get(), d.get(), &o));
    o = EG_EVAL_OPTIONS_INIT;
    o.struct_size = 3;
    EXPECT_EQ(EG_ERR_ARG, eg_eval(&r, m.get(), d.get(), &o));
}

TEST_F(EvalTest, PredictGivesTheOutputsOfThePlan)
{
    const json_t *c = json_array_get(json_object_get(GoldenNumbers(), "cases"), 0);
    const Model m = Build(json_string_value(json_object_get(c, "architecture")));
    SetWeights(m.get(), json_object_get(c, "weights"));
    const std::vector<float> x = Flat(json_object_get(c, "x")), want = Flat(json_object_get(c, "y"));
    std::vector<float> y(want.size());
    for (int64_t n : {23, 1, 23}) {
        std::fill(y.begin(), y.end(), -1.0f);
        const float *in[] = {x.data()};
        float *out[] = {y.data()};
        ASSERT_FINE(eg_model_predict(m.get(), in, n, out));
        for (size_t i = 0; i < (size_t)n * 3; i++)
            EXPECT_NEAR(want[i], y[i], 2e-6);
        for (size_t i = (size_t)n * 3; i < y.size(); i++)
            EXPECT_EQ(-1.0f, y[i]);
    }
    const int64_t blocks = ctx->total_blocks;
    const float *in[] = {x.data()};
    float *out[] = {y.data()};
    ASSERT_FINE(eg_model_predict(m.get(), in, 23, out));
    EXPECT_EQ(blocks, ctx->total_blocks) << "a second prediction of the same size allocated";
    EXPECT_EQ(EG_ERR_ARG, eg_model_predict(m.get(), nullptr, 1, out));

    int64_t infer = 0, train = 0, large = 0;
    ASSERT_FINE(eg_model_plan_bytes(m.get(), 1, false, &infer));
    ASSERT_FINE(eg_model_plan_bytes(m.get(), 1, true, &train));
    ASSERT_FINE(eg_model_plan_bytes(m.get(), 64, false, &large));
    EXPECT_GT(infer, 0);
    EXPECT_GT(train, infer);
    EXPECT_GT(large, infer);
    EXPECT_EQ(EG_ERR_ARG, eg_model_plan_bytes(m.get(), 0, false, &infer));
}

/* --- real networks ------------------------------------------------------------------------------------------------ */

static std::vector<int64_t> ReadArgmax(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    const std::string raw((std::istreambuf_iterator<char>(in)), {});
    std::vector<int64_t> out;
    if (raw.size() < 10)
        return out;
    const size_t head = 10 + (size_t)(unsigned char)raw[8] + 256 * (size_t)(unsigned char)raw[9];
    const std::string type = raw.substr(0, head);
    const size_t size = type.find("'<i8'") != std::string::npos ? 8 : type.find("'<i4'") != std::string::npos ? 4 : 1;
    for (size_t at = head; at + size <= raw.size(); at += size) {
        int64_t value = 0;
        memcpy(&value, raw.data() + at, size);
        out.push_back(value);
    }
    return out;
}

struct RealNet {
    const char *file, *arch, *argmax, *data, *preprocess;
    double accuracy;
    int agree;
};

class RealEval : public EvalTest, public ::testing::WithParamInterface<RealNet>
{
};

TEST_P(RealEval, AccuracyAndClassesOfTheReference)
{
    const RealNet n = GetParam();
    const std::string file = SharedPath(std::string("checkpoints/") + n.file);
    if (!std::filesystem::exists(file) || !std::filesystem::exists(SharedPath(n.data)))
        GTEST_SKIP() << file << " or " << n.data << " is not here (EG_SHARED)";
    eg_load_options o = EG_LOAD_OPTIONS_INIT;
    const std::string arch = n.arch ? SharedPath(std::string("checkpoints/") + n.arch) : "";
    o.arch = n.arch ? arch.c_str() : nullptr;
    eg_model *m = nullptr;
    ASSERT_FINE(eg_model_load(&m, ctx, file.c_str(), &o));
    const Model model(m);
    eg_dataset *d = nullptr;
    ASSERT_FINE(eg_dataset_load(&d, ctx, SharedPath(n.data).c_str(), EG_PART_TEST));
    const Set data(d);
    eg_eval_result *r = nullptr;
    ASSERT_FINE(eg_eval(&r, m, d, nullptr));
    EXPECT_NEAR(n.accuracy, r->accuracy, 5e-5);
    const std::vector<int64_t> reference = ReadArgmax(SharedPath(std::string("checkpoints/") + n.argmax));
    ASSERT_EQ((size_t)r->n, reference.size());
    int agree = 0;
    for (size_t i = 0; i < reference.size(); i++)
        agree += reference[i] == r->predicted[i];
    EXPECT_GE(agree, n.agree);
    std::printf("%s: %.2f %%, agrees on %d, %.2f s\n", n.file, 100 * r->accuracy, agree, r->seconds);
    eg_eval_result_free(r);

    egi_preprocess_choice choice;
    ASSERT_FINE(egi_preprocess_choose(&choice, m, "auto", d, d, nullptr, 0));
    EXPECT_STREQ(n.preprocess, choice.text) << choice.reason;
    std::printf("preprocess %s: %s\n", choice.text, choice.reason);
    ASSERT_FINE(egi_preprocess_choose(&choice, m, "auto", d, nullptr, nullptr, 0)); // without labels
    EXPECT_STREQ(n.preprocess, choice.text) << choice.reason;
    std::printf("without labels %s: %s\n", choice.text, choice.reason);
}

INSTANTIATE_TEST_SUITE_P(
    Nets, RealEval,
    ::testing::Values(
        RealNet{"deepxplore-mnist-lenets/Model1.h5", "deepxplore-mnist-lenets/Model1.arch.json",
                "deepxplore-mnist-lenets/Model1.mnist_test_argmax.npy", "data/mnist", "unit", 0.9788, 9999},
        RealNet{"deepxplore-mnist-lenets/Model2.h5", "deepxplore-mnist-lenets/Model2.arch.json",
                "deepxplore-mnist-lenets/Model2.mnist_test_argmax.npy", "data/mnist", "unit", 0.9852, 9999},
        RealNet{"deepxplore-mnist-lenets/Model3.h5", "deepxplore-mnist-lenets/Model3.arch.json",
                "deepxplore-mnist-lenets/Model3.mnist_test_argmax.npy", "data/mnist", "unit", 0.9881, 9999},
        RealNet{"mlperf-tiny-resnet8-cifar10/pretrainedResnet.h5", nullptr,
                "mlperf-tiny-resnet8-cifar10/cifar10_test_argmax.npy", "data/cifar-10", "none", 0.8719, 9995}),
    [](const ::testing::TestParamInfo<RealNet> &info) { return "net" + std::to_string(info.index); });
