// Augmentation of training batches: what a step sees, that it is drawn anew, and that nothing else sees it.
#include "support.h"

namespace
{

using Settings = std::vector<std::pair<const char *, std::string>>;

const Settings kBoth = {{"data.augment.flip", "true"}, {"data.augment.shift", "2"}};
const int64_t kSide = 6, kSize = kSide * kSide;

const char kNet[] = R"([
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":12,"activation":"tanh"}},
    {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";

// What the draw of `row` makes of an image, by the definition.
std::vector<float> moved(const float *image, bool flip, int shift, uint64_t seed, int64_t step, int64_t row)
{
    egi_rng r = egi_rng_make(seed, EGI_RNG_AUGMENT, (uint32_t)step);
    r.index = (uint64_t)row;
    const bool mirrored = egi_rng_u32(&r) >> 31 && flip;
    const uint64_t places = 2 * (uint64_t)shift + 1;
    const int64_t down = (int64_t)(egi_rng_u32(&r) * places >> 32) - shift;
    const int64_t right = (int64_t)(egi_rng_u32(&r) * places >> 32) - shift;
    std::vector<float> out;
    for (int64_t y = 0; y < kSide; y++)
        for (int64_t x = 0; x < kSide; x++) {
            const int64_t v = y + down, u = (mirrored ? kSide - 1 - x : x) + right;
            out.push_back(v < 0 || v >= kSide || u < 0 || u >= kSide ? 0 : image[v * kSide + u]);
        }
    return out;
}

struct Outcome {
    std::vector<unsigned char> weights;
    double new_before = -1, new_after = -1;
    eg_status status = EG_OK;
    std::string message;
};

Outcome train(const std::vector<float> &x, const std::vector<int32_t> &y, const Settings &settings,
              const std::vector<int64_t> &shape = {kSide, kSide, 1}, const char *net = kNet)
{
    Outcome out;
    Context context;
    Model model;
    Dataset data;
    Config config(context.c);
    egi_shape input = {(int)shape.size(), {}};
    std::copy(shape.begin(), shape.end(), input.dim);
    Model::chain(model, context.c, EGI_F32, input, net);
    data.make(context.c, x, shape, y, "pictures");
    config.set("finetune.optimizer", "sgd").set("finetune.lr", "0.5").set("finetune.schedule", "constant");
    config.set("finetune.batch", "8").set("finetune.epochs", "1").set("data.shuffle", "false");
    config.set("data.classes", "keep").set("data.validation", "0").set("remember.method", "none");
    for (const auto &s : settings)
        config.set(s.first, s.second);
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config.c;
    job.new_train = data.d;
    eg_finetune_result *r = nullptr;
    out.status = eg_finetune(&r, model.m, &job);
    out.message = out.status == EG_OK ? "" : eg_last_message();
    if (r) {
        out.new_before = r->new_before;
        out.new_after = r->new_after;
    }
    eg_finetune_result_free(r);
    out.weights = model.bytes();
    return out;
}

Settings with(Settings a, const Settings &b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// The class is whether the upper or the lower half is bright: mirrors and small moves keep it.
struct Halves {
    std::vector<float> x;
    std::vector<int32_t> y;
    explicit Halves(int64_t n, uint32_t step) : x(normal(n * kSize, step, 0.3)), y(labels(n, 2, step + 1))
    {
        for (int64_t i = 0; i < n * kSize; i++)
            if ((i % kSize < kSize / 2) == (y[(size_t)(i / kSize)] == 0))
                x[(size_t)i] += 1;
    }
};

} // namespace

// Two steps with augmentation are two steps without on the examples that the draws make.
TEST(Augment, AStepSeesTheDrawnExamples)
{
    const std::vector<float> x = normal(16 * kSize, 1);
    const std::vector<int32_t> y = labels(16, 2, 2);
    for (const auto &[flip, shift] : {std::pair<bool, int>{true, 0}, {false, 2}, {true, 1}, {true, 7}}) {
        std::vector<float> drawn;
        for (int64_t i = 0; i < 16; i++) {
            const std::vector<float> one = moved(x.data() + i * kSize, flip, shift, 1, i / 8, i % 8);
            drawn.insert(drawn.end(), one.begin(), one.end());
        }
        const Outcome plain = train(drawn, y, {{"run.seed", "1"}}),
                      augmented = train(x, y,
                                        {{"run.seed", "1"},
                                         {"data.augment.flip", flip ? "true" : "false"},
                                         {"data.augment.shift", std::to_string(shift)}});
        ASSERT_EQ(EG_OK, augmented.status) << augmented.message;
        EXPECT_EQ(plain.weights, augmented.weights) << flip << shift;
        EXPECT_NE(train(x, y, {{"run.seed", "1"}}).weights, augmented.weights) << flip << shift;
    }
}

TEST(Augment, TheSeedDecides)
{
    const std::vector<float> x = normal(24 * kSize, 1);
    const std::vector<int32_t> y = labels(24, 2, 2);
    const Outcome one = train(x, y, with(kBoth, {{"run.seed", "1"}})),
                  again = train(x, y, with(kBoth, {{"run.seed", "1"}})),
                  other = train(x, y, with(kBoth, {{"run.seed", "2"}}));
    EXPECT_EQ(one.weights, again.weights);
    EXPECT_NE(one.weights, other.weights);
}

// At a rate of 0 nothing is learned, so whatever is measured would differ only if it saw augmented examples.
TEST(Augment, WhatIsMeasuredIsNotAugmented)
{
    const Halves data(40, 7);
    const Outcome plain = train(data.x, data.y, {{"finetune.lr", "0"}}),
                  augmented = train(data.x, data.y, with(kBoth, {{"finetune.lr", "0"}}));
    ASSERT_EQ(EG_OK, augmented.status) << augmented.message;
    EXPECT_EQ(plain.weights, augmented.weights);
    EXPECT_EQ(plain.new_before, augmented.new_before);
    EXPECT_EQ(plain.new_after, augmented.new_after);
}

TEST(Augment, ClassesThatSurviveAreLearned)
{
    const Halves data(400, 9);
    const Outcome o = train(data.x, data.y, with(kBoth, {{"finetune.epochs", "5"}}));
    ASSERT_EQ(EG_OK, o.status) << o.message;
    EXPECT_GT(o.new_after, 0.97);
}

// Rehearsed examples lie behind the new ones in a batch; each is drawn by its row.
TEST(Augment, EverySourceOfABatchIsAugmented)
{
    Context context;
    Model model;
    Dataset fresh, old;
    Model::chain(model, context.c, EGI_F32, EGI_SHAPE(kSide, kSide, 1), kNet);
    const std::vector<float> x[] = {normal(5 * kSize, 1), normal(4 * kSize, 2)};
    fresh.make(context.c, x[0], {kSide, kSide, 1}, labels(5, 2, 3));
    old.make(context.c, x[1], {kSide, kSide, 1}, labels(4, 2, 4));
    egi_source sources[2] = {};
    sources[0].data = fresh.d;
    sources[1].data = old.d;
    egi_plan *plan = nullptr;
    egi_model_io io = {};
    egi_feed feed = {};
    egi_control control = {};
    control.seed = 11;
    control.step = 70;
    ASSERT_OK(egi_plan_create(&plan, context.c, 6, EGI_F32, true));
    ASSERT_OK(egi_model_emit(model.m, plan, nullptr, nullptr, &io));
    ASSERT_OK(egi_feed_create(&feed, model.m, plan, &io));
    ASSERT_OK(egi_plan_compile(plan));
    feed.augment.flip = 1;
    feed.augment.shift = 2;
    feed.control = &control;
    const egi_item items[] = {{4, 0}, {0, 0}, {2, 1}, {1, 0}, {0, 1}, {3, 1}};
    const int sorted[][2] = {{4, 0}, {0, 0}, {1, 0}, {2, 1}, {0, 1}, {3, 1}};
    ASSERT_OK(egi_feed_fill(&feed, sources, 2, items, 6));
    const float *found = static_cast<const float *>(egi_plan_data(plan, feed.x[0]));
    for (int64_t row = 0; row < 6; row++) {
        const float *image = x[sorted[row][1]].data() + sorted[row][0] * kSize;
        EXPECT_EQ(moved(image, true, 2, 11, 70, row),
                  std::vector<float>(found + row * kSize, found + (row + 1) * kSize))
            << row;
    }
    egi_feed_release(&feed);
    egi_plan_free(plan);
    egi_free(context.c, io.params);
}

TEST(Augment, WhatIsNoImageIsRefused)
{
    const char net[] = R"([{"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";
    const Outcome o = train(normal(16 * 3, 1), labels(16, 2, 2), kBoth, {3}, net);
    EXPECT_EQ(EG_ERR_CONFIG, o.status);
    EXPECT_EQ("data.augment: wanted images, (h, w) or (h, w, c), found examples of (3) in pictures", o.message);
}
