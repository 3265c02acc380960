// Each setting of a run reaches what it is for: one or a few steps on eight examples, against what the formula says.
#include "support.h"

#include <numeric>

namespace
{

const char kNet[] = R"([
    {"class_name":"Dense","config":{"name":"hidden","units":3,"activation":"tanh"}},
    {"class_name":"Dropout","config":{"name":"drop","rate":0.5}},
    {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";

using Settings = std::vector<std::pair<const char *, const char *>>;
using Numbers = std::vector<double>;

struct Trained {
    Numbers all_before, all, hidden_before, hidden, head_before, head, bias;
    Numbers rates; // of the last step of each epoch
};

// SGD at rate 1 without dropout and without shuffling on eight examples, six of them of the first class.
Trained train(const Settings &settings, const char *net = kNet)
{
    Context context;
    Model model;
    Dataset data;
    Config config(context.c);
    Trained t;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(2), net);
    data.make(context.c, normal(16, 21), {2}, {0, 0, 1, 0, 0, 0, 1, 0}, "eight");
    config.set("finetune.optimizer", "sgd").set("finetune.lr", "1").set("finetune.schedule", "constant");
    config.set("finetune.batch", "8").set("finetune.epochs", "1").set("finetune.dropout", "0");
    config.set("data.classes", "keep").set("data.validation", "0").set("data.shuffle", "false");
    config.set("remember.method", "none");
    for (const auto &[key, value] : settings)
        config.set(key, value);
    const auto all = [&] {
        Numbers out;
        for (int64_t k = 0; k < model.m->n_params; k++) {
            const egi_tensor p = egi_param_view(model.m, k);
            for (int64_t i = 0; i < egi_count(&p); i++)
                out.push_back(egi_get(&p, i));
        }
        return out;
    };
    t.all_before = all();
    t.hidden_before = model.get("hidden/kernel");
    t.head_before = model.get("head/kernel");
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config.c;
    job.new_train = data.d;
    eg_finetune_result *r = nullptr;
    EXPECT_OK(eg_finetune(&r, model.m, &job));
    for (int64_t i = 1; r && i <= r->epochs_run; i++)
        t.rates.push_back(r->epochs[i].lr);
    eg_finetune_result_free(r);
    t.all = all();
    t.hidden = model.get("hidden/kernel");
    t.head = model.get("head/kernel");
    t.bias = model.get("head/bias");
    return t;
}

Numbers minus(const Numbers &a, const Numbers &b)
{
    Numbers out;
    for (size_t i = 0; i < a.size(); i++)
        out.push_back(a[i] - b[i]);
    return out;
}

double length(const Numbers &a)
{
    return std::sqrt(std::inner_product(a.begin(), a.end(), a.begin(), 0.0));
}

void expect_near(const Numbers &wanted, const Numbers &found, double tolerance = 1e-6)
{
    ASSERT_EQ(wanted.size(), found.size());
    for (size_t i = 0; i < wanted.size(); i++)
        EXPECT_NEAR(wanted[i], found[i], tolerance) << i;
}

} // namespace

TEST(Settings, ClippingShortensTheStep)
{
    const Trained free = train({}), clipped = train({{"finetune.clip_norm", "0.01"}});
    EXPECT_GT(length(minus(free.all, free.all_before)), 0.05);
    EXPECT_NEAR(0.01, length(minus(clipped.all, clipped.all_before)), 1e-5);
}

TEST(Settings, MomentumAndNesterovAreThoseOfSgd)
{
    const Settings two = {{"finetune.epochs", "2"}},
                   momentum = {{"finetune.epochs", "2"}, {"finetune.momentum", "0.5"}};
    const Trained one = train({}), plain = train(two), moved = train(momentum);
    for (size_t i = 0; i < one.all.size(); i++)
        EXPECT_NEAR(plain.all[i] + 0.5 * (one.all[i] - one.all_before[i]), moved.all[i], 1e-6) << i;
    const Trained ahead = train({{"finetune.momentum", "0.5"}, {"finetune.nesterov", "true"}});
    for (size_t i = 0; i < one.all.size(); i++)
        EXPECT_NEAR(1.5 * (one.all[i] - one.all_before[i]), ahead.all[i] - ahead.all_before[i], 1e-6) << i;
}

// One step an epoch: the weights after each epoch are those of a run of so many. Keras: the first average is the first
// weights.
TEST(Settings, EndsWithTheAverageOfTheWeights)
{
    Numbers average;
    const auto last = [](Settings s, int epochs) {
        static std::string text;
        text = std::to_string(epochs);
        s.insert(s.end(), {{"finetune.epochs", text.c_str()}, {"finetune.momentum", "0.5"}});
        return train(s).all;
    };
    for (int epochs = 1; epochs <= 10; epochs++) {
        const Numbers w = last({}, epochs);
        if (epochs == 1)
            average = w;
        for (size_t i = 0; i < w.size(); i++)
            average[i] = 0.75 * average[i] + 0.25 * w[i];
        expect_near(average, last({{"finetune.ema", "0.75"}}, epochs));
        if (epochs == 10) {
            EXPECT_GT(length(minus(w, average)), 0.01);
        }
    }
    const Numbers whole = last({{"finetune.ema", "0.75"}}, 4);
    expect_near(whole, last({{"finetune.ema", "0.75"}, {"finetune.max_steps", "4"}}, 10));
}

TEST(Settings, FrozenWeightsAreNotAveraged)
{
    const Settings head = {{"finetune.epochs", "4"}, {"finetune.freeze", "hidden"}},
                   averaged = {{"finetune.epochs", "4"}, {"finetune.freeze", "hidden"}, {"finetune.ema", "0.9"}};
    const Trained plain = train(head), ema = train(averaged);
    EXPECT_EQ(ema.hidden_before, ema.hidden);
    EXPECT_NE(plain.head, ema.head);
    for (const char *cache : {"on", "off"}) { // the cached front's back has weights of the same arena
        Settings s = averaged;
        s.push_back({"finetune.cache", cache});
        expect_near(ema.all, train(s).all);
    }
}

TEST(Settings, PenaltiesAreOfKernelsAlone)
{
    const Trained plain = train({}), l1 = train({{"finetune.l1", "0.01"}}), l2 = train({{"finetune.l2", "0.05"}});
    for (size_t i = 0; i < plain.head.size(); i++) {
        const double w = plain.head_before[i];
        EXPECT_NEAR(plain.head[i] - 0.01 * (w > 0 ? 1 : -1), l1.head[i], 1e-6) << i;
        EXPECT_NEAR(plain.head[i] - 0.1 * w, l2.head[i], 1e-6) << i;
    }
    Context context;
    Model model;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(2), kNet);
    egi_penalties penalties{};
    penalties.l1 = 0.1;
    penalties.l2 = 0.2;
    egi_segment *segments = nullptr;
    int n = 0;
    ASSERT_OK(egi_segments_build(&segments, &n, model.m, &penalties));
    ASSERT_EQ(4, n);
    for (int i = 0; i < n; i++) {
        const bool kernel = model.m->params[i].shape.rank == 2;
        EXPECT_EQ(kernel ? 0.1 : 0, segments[i].l1) << i;
        EXPECT_EQ(kernel ? 0.2 : 0, segments[i].l2) << i;
    }
    egi_free(context.c, segments);
}

TEST(Settings, WeightDecayOfAdamwIsThatOfKerasUnlessSaid)
{
    const Settings adamw = {{"finetune.optimizer", "adamw"}};
    const Trained none = train({{"finetune.optimizer", "adamw"}, {"finetune.weight_decay", "0"}});
    const Trained automatic = train(adamw);
    const Trained said = train({{"finetune.optimizer", "adamw"}, {"finetune.weight_decay", "0.1"}});
    for (size_t i = 0; i < none.head.size(); i++) {
        EXPECT_NEAR(none.head[i] - 0.004 * none.head_before[i], automatic.head[i], 1e-6) << i;
        EXPECT_NEAR(none.head[i] - 0.1 * none.head_before[i], said.head[i], 1e-6) << i;
    }
}

TEST(Settings, LayersBelowTheHeadHaveALowerRate)
{
    const Trained same = train({}), lower = train({{"finetune.lr_decay_per_layer", "0.25"}});
    expect_near(same.head, lower.head);
    for (size_t i = 0; i < same.hidden.size(); i++)
        EXPECT_NEAR(0.25 * (same.hidden[i] - same.hidden_before[i]), lower.hidden[i] - lower.hidden_before[i], 1e-6);
}

TEST(Settings, FreezeTakesTheFirstLayersOrWhatTheFileSays)
{
    const Trained first = train({{"finetune.freeze", "1"}});
    EXPECT_EQ(first.hidden_before, first.hidden);
    EXPECT_NE(first.head_before, first.head);
    const char frozen[] = R"([
        {"class_name":"Dense","config":{"name":"hidden","units":3,"activation":"tanh"}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax","trainable":false}}])";
    const Trained file = train({{"finetune.freeze", "auto"}}, frozen),
                  none = train({{"finetune.freeze", "none"}}, frozen);
    EXPECT_EQ(file.head_before, file.head);
    EXPECT_NE(file.hidden_before, file.hidden);
    EXPECT_NE(none.head_before, none.head);
}

TEST(Settings, DropoutIsThatOfTheFileUnlessSaid)
{
    const Trained none = train({}), file = train({{"finetune.dropout", "file"}}),
                  half = train({{"finetune.dropout", "0.5"}});
    EXPECT_EQ(file.all, half.all) << "the file says 0.5";
    EXPECT_NE(none.all, half.all);
}

TEST(Settings, BalancedClassWeightsAreThoseOfScikitLearn)
{
    const Trained balanced = train({{"finetune.class_weights", "balanced"}});
    expect_near(train({{"finetune.class_weights", "0.66666667,2"}}).all, balanced.all);
    EXPECT_GT(length(minus(balanced.all, train({}).all)), 0.01);
}

TEST(Settings, SmoothedLabelsPullTheHeadTogether)
{
    const Trained hard = train({}), smooth = train({{"finetune.label_smoothing", "0.2"}});
    EXPECT_NEAR(hard.bias[0] + 0.2 * (0.5 - 0.75), smooth.bias[0], 1e-6);
    EXPECT_NEAR(hard.bias[1] + 0.2 * (0.5 - 0.25), smooth.bias[1], 1e-6);
}

TEST(Settings, TheLossIsTheOneThatWasAskedFor)
{
    EXPECT_EQ(train({}).all, train({{"finetune.loss", "sparse_categorical_crossentropy"}}).all);
    EXPECT_GT(length(minus(train({}).all, train({{"finetune.loss", "mse"}}).all)), 0.01);
}

TEST(Settings, ShufflingChangesTheBatchesAndCanBeLeftOut)
{
    const Trained stored = train({{"finetune.batch", "2"}});
    const Trained again = train({{"finetune.batch", "2"}, {"run.seed", "2"}});
    const Trained drawn = train({{"finetune.batch", "2"}, {"data.shuffle", "true"}});
    EXPECT_EQ(stored.all, again.all) << "the order of the file depends on no seed";
    EXPECT_NE(stored.all, drawn.all);
}

TEST(Settings, RatesWarmUpStepAndStayAboveTheFloor)
{
    expect_near({0, 0.25, 0.5, 0.75, 1, 1}, train({{"finetune.epochs", "6"}, {"finetune.warmup", "4"}}).rates);
    const Settings step = {{"finetune.epochs", "4"},
                           {"finetune.batch", "4"},
                           {"finetune.schedule", "step"},
                           {"finetune.step_every", "2"},
                           {"finetune.gamma", "0.5"}};
    expect_near({1, 1, 0.5, 0.5}, train(step).rates);
    const Settings plateau = {{"finetune.epochs", "6"},     {"finetune.lr", "1e-9"},   {"finetune.schedule", "plateau"},
                              {"finetune.step_every", "2"}, {"finetune.gamma", "0.1"}, {"finetune.lr_floor", "0.05"}};
    expect_near({1e-9, 1e-9, 1e-9, 1e-10, 1e-10, 5e-11}, train(plateau).rates, 1e-16);
    const Settings short_run = {
        {"finetune.epochs", "100"}, {"finetune.max_steps", "4"}, {"finetune.schedule", "cosine"}};
    expect_near({1, 0.5 + std::sqrt(0.125), 0.5, 0.5 - std::sqrt(0.125)}, train(short_run).rates);
}

TEST(Settings, ASmallGainIsNoProgressForPlateau)
{
    const Settings plateau = {{"finetune.epochs", "4"},
                              {"finetune.lr", "0.1"},
                              {"finetune.schedule", "plateau"},
                              {"finetune.gamma", "0.5"},
                              {"finetune.early_stopping.min_delta", "2"}};
    expect_near({0.1, 0.1, 0.05, 0.025}, train(plateau).rates, 1e-12);
}

TEST(Settings, AutomaticIsConstantForARateThatWasSaidAndElseCosine)
{
    expect_near({1, 1}, train({{"finetune.epochs", "2"}, {"finetune.schedule", "auto"}}).rates);
    const Settings automatic = {{"finetune.epochs", "2"}, {"finetune.schedule", "auto"}, {"finetune.lr", "auto"}};
    expect_near({0.01, 0.005}, train(automatic).rates, 1e-9);
}

TEST(Settings, BetasRhoAndEpsilonAreThoseOfKeras)
{
    const Trained sgd = train({});
    const Trained adam = train({{"finetune.optimizer", "adam"}, {"finetune.beta2", "0.99"}, {"finetune.epsilon", "1"}});
    const Trained rmsprop =
        train({{"finetune.optimizer", "rmsprop"}, {"finetune.rho", "0.5"}, {"finetune.epsilon", "1"}});
    for (size_t i = 0; i < sgd.all.size(); i++) {
        const double g = sgd.all_before[i] - sgd.all[i];
        EXPECT_NEAR(0.1 * g / (0.1 * std::fabs(g) + 1), adam.all_before[i] - adam.all[i], 1e-6) << i;
        EXPECT_NEAR(g / std::sqrt(0.5 * g * g + 1), rmsprop.all_before[i] - rmsprop.all[i], 1e-6) << i;
    }
    const Settings two = {{"finetune.optimizer", "adam"}, {"finetune.epochs", "2"}};
    const Settings other = {{"finetune.optimizer", "adam"}, {"finetune.epochs", "2"}, {"finetune.beta1", "0.5"}};
    EXPECT_NE(train(two).all, train(other).all);
}

TEST(Settings, TheAutomaticRateIsThatOfTheOptimizerAndLowerForLargeNetworks)
{
    const Settings automatic = {{"finetune.lr", "auto"}, {"finetune.optimizer", "adam"}};
    const char large[] = R"([
        {"class_name":"Dense","config":{"name":"hidden","units":1000}},
        {"class_name":"Dense","config":{"name":"wide","units":1000}},
        {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";
    expect_near({1e-3}, train(automatic).rates, 1e-12);
    expect_near({3e-4}, train(automatic, large).rates, 1e-12);
}
