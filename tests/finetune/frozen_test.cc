// Frozen layers that run once an example: where a network is cut, and that a run cannot tell the difference.
#include "support.h"

#include <cstring>

extern "C" {
#include "core/cut.h"
}

namespace
{

// --- networks -------------------------------------------------------------------------------------------------------

const char kConvNet[] = R"([
    {"class_name":"Conv2D","config":{"name":"c1","filters":6,"kernel_size":3,"activation":"relu"}},
    {"class_name":"MaxPooling2D","config":{"name":"p1"}},
    {"class_name":"Conv2D","config":{"name":"c2","filters":9,"kernel_size":2,"activation":"tanh"}},
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])";

void convNet(Model &out, eg_context *c)
{
    Model::chain(out, c, EGI_F32, EGI_SHAPE(8, 8, 2), kConvNet);
}

// Two residual blocks with batch norm; pooled; a head.
void residualNet(Model &out, eg_context *c)
{
    Graph g;
    g.start(c);
    const int a = g.relu(g.norm("n0", g.conv("c0", 5, g.input(EGI_SHAPE(8, 8, 2)))));
    const int b = g.relu(g.norm("n1", g.conv("c1", 5, a)));
    const int sum = g.relu(g.call("Add", R"("name":"s1")", {a, g.norm("n2", g.conv("c2", 5, b))}));
    const int d = g.relu(g.norm("n3", g.conv("c3", 5, sum)));
    const int last = g.relu(g.call("Add", R"("name":"s2")", {sum, g.norm("n4", g.conv("c4", 5, d))}));
    const int pooled = g.call("GlobalAveragePooling2D", R"("name":"pool")", {last});
    g.finish({g.head("head", 3, pooled)});
    out.m = g.m;
}

// Images whose brightness differs by class and channel.
void images(Dataset &out, eg_context *c, const char *name, int64_t n, uint32_t step)
{
    std::vector<float> x = normal(n * 8 * 8 * 2, step);
    const std::vector<int32_t> y = labels(n, 3, step + 50);
    for (int64_t i = 0; i < n * 128; i++)
        x[(size_t)i] += 0.6f * (float)(y[(size_t)(i / 128)] == 1 + (int)(i % 2));
    out.make(c, x, {8, 8, 2}, y, name);
}

// --- the same run with and without ----------------------------------------------------------------------------------

using Settings = std::vector<std::pair<const char *, std::string>>;
using Build = void (*)(Model &, eg_context *);

struct Outcome {
    std::vector<unsigned char> weights;
    std::vector<double> figures; // of all epochs and at the end
    std::string lines;
    eg_status status = EG_OK;
    std::string message;
};

void figures(Outcome &out, const eg_finetune_result *r)
{
    for (int64_t i = 0; i <= r->epochs_run; i++) {
        const eg_epoch_result &e = r->epochs[i];
        for (const double v :
             {e.loss, e.accuracy, e.validation_loss, e.new_accuracy, e.keep_accuracy, e.strength, e.mix})
            out.figures.push_back(std::isnan(v) ? -1 : v);
    }
    for (int64_t i = 0; i < r->n_keep; i++)
        out.figures.push_back(r->keep[i].after);
    out.figures.push_back(r->new_after);
}

Outcome run(Build build, const char *cache, const Settings &settings, int n_keep = 0)
{
    Outcome out;
    Context context;
    Model model;
    Dataset train, test, old[2];
    build(model, context.c);
    images(train, context.c, "fresh", 150, 1);
    images(test, context.c, "fresh", 40, 2);
    images(old[0], context.c, "one", 120, 3);
    images(old[1], context.c, "two", 70, 4);
    Config config(context.c);
    config.set("finetune.epochs", "4").set("finetune.batch", "16").set("finetune.early_stopping.patience", "0");
    config.set("data.classes", "keep").set("finetune.cache", cache).set("finetune.lr", "0.01");
    for (const auto &s : settings)
        config.set(s.first, s.second);
    const eg_dataset *keep[] = {old[0].d, old[1].d};
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config.c;
    job.new_train = train.d;
    job.new_test = test.d;
    job.keep_train = n_keep ? keep : nullptr;
    job.n_keep = n_keep;
    job.user = &out.lines;
    job.line = [](void *user, const char *line) { *static_cast<std::string *>(user) += std::string(line) + "\n"; };
    eg_finetune_result *r = nullptr;
    out.status = eg_finetune(&r, model.m, &job);
    out.message = out.status == EG_OK ? "" : eg_last_message();
    if (r)
        figures(out, r);
    eg_finetune_result_free(r);
    out.weights = model.bytes();
    return out;
}

bool says(const Outcome &o, const std::string &text)
{
    return o.lines.find(text) != std::string::npos;
}

// `line`: what the cached run says.
void expectTwins(Build build, const char *line, const Settings &settings, int n_keep = 0)
{
    const Outcome off = run(build, "off", settings, n_keep), on = run(build, "on", settings, n_keep);
    ASSERT_EQ(EG_OK, off.status) << off.message;
    ASSERT_EQ(EG_OK, on.status) << on.message;
    EXPECT_FALSE(says(off, "frozen  ")) << off.lines;
    EXPECT_TRUE(says(on, line)) << on.lines;
    EXPECT_EQ(off.figures, on.figures);
    EXPECT_EQ(off.weights, on.weights);
}

// Cuts a network of one of the builders, frozen as the settings say; what is between the halves.
struct Halves {
    Context context;
    Model model;
    egi_cut cut = {};
    void make(Build build, const Settings &settings, int64_t most = EGI_DIM_MAX)
    {
        if (!model.m)
            build(model, context.c);
        Config config(context.c);
        for (const auto &s : settings)
            config.set(s.first, s.second);
        ASSERT_OK(egi_freeze_apply(model.m, egi_config_run(config.c)));
        egi_cut_release(&cut);
        ASSERT_OK(egi_cut_find(&cut, model.m, most));
    }
    ~Halves()
    {
        egi_cut_release(&cut);
    }
    // Name of the layer that makes tensor `i` between the halves.
    std::string maker(int i = 0) const
    {
        for (int64_t k = 0; k < model.m->n_calls && i < cut.back.n_inputs; k++)
            if (model.m->calls[k].out == cut.back.inputs[i])
                return model.m->layers[model.m->calls[k].layer].name;
        return "";
    }
};

} // namespace

// --- where ----------------------------------------------------------------------------------------------------------

TEST(Cut, LiesBehindTheLastFrozenLayer)
{
    Halves h;
    h.make(convNet, {{"finetune.freeze", "c1,c2"}});
    ASSERT_EQ(1, h.cut.back.n_inputs);
    EXPECT_EQ("flat", h.maker());
    EXPECT_EQ(2 * 2 * 9, h.cut.floats);
    EXPECT_EQ(h.cut.floats, h.cut.wanted);
    EXPECT_EQ(h.model.m->n_calls, h.cut.front.n_calls + h.cut.back.n_calls);
}

TEST(Cut, NothingFrozenAtTheBeginningNothingGained)
{
    for (const char *freeze : {"none", "c2,head", "p1", "flat"}) {
        Halves h;
        h.make(convNet, {{"finetune.freeze", freeze}});
        EXPECT_EQ(0, h.cut.front.n_calls) << freeze;
        EXPECT_EQ(0, h.cut.wanted) << freeze;
    }
}

TEST(Cut, WhatMakesTheAnswersStaysBehind)
{
    Halves h;
    h.make(convNet, {{"finetune.freeze", "*"}});
    EXPECT_EQ("flat", h.maker()) << "losses look for logits in the head";
}

TEST(Cut, GoesThroughResidualBlocks)
{
    Halves whole, part;
    whole.make(residualNet, {{"finetune.freeze", "c?,n?"}});
    EXPECT_EQ("pool", whole.maker());
    EXPECT_EQ(5, whole.cut.floats);
    part.make(residualNet, {{"finetune.freeze", "c0,c1,c2,c3,n0,n1,n2,n3"}});
    EXPECT_EQ(2, part.cut.back.n_inputs) << "the second block's two branches";
    EXPECT_EQ(2 * 8 * 8 * 5, part.cut.floats);
}

TEST(Cut, AnEarlierOneIsTakenWhereTheLaterDoesNotFit)
{
    Halves h;
    h.make(residualNet, {{"finetune.freeze", "c0,c1,c2,c3,n0,n1,n2,n3"}}, 8 * 8 * 5);
    EXPECT_EQ(1, h.cut.back.n_inputs);
    EXPECT_EQ(8 * 8 * 5, h.cut.floats);
    EXPECT_EQ(2 * 8 * 8 * 5, h.cut.wanted) << "said where it does not fit";
    h.make(residualNet, {}, 8 * 8 * 5 - 1);
    EXPECT_EQ(0, h.cut.front.n_calls);
    EXPECT_EQ(2 * 8 * 8 * 5, h.cut.wanted);
}

TEST(Cut, ANarrowPlaceIsWorthACheapLayer)
{
    const Build build = [](Model &out, eg_context *c) {
        Model::chain(out, c, EGI_F32, EGI_SHAPE(4, 4, 2), R"([
            {"class_name":"Conv2D","config":{"name":"c1","filters":2,"kernel_size":3,"activation":"relu"}},
            {"class_name":"ZeroPadding2D","config":{"name":"pad","padding":3}},
            {"class_name":"Conv2D","config":{"name":"c2","filters":2,"kernel_size":3}},
            {"class_name":"Flatten","config":{"name":"flat"}},
            {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    };
    Halves h;
    h.make(build, {{"finetune.freeze", "c1"}});
    EXPECT_EQ("c1", h.maker());
}

TEST(Cut, DropoutAndBatchStatisticsAreNotPassed)
{
    const Build build = [](Model &out, eg_context *c) {
        Model::chain(out, c, EGI_F32, EGI_SHAPE(4), R"([
            {"class_name":"Dense","config":{"name":"d1","units":3}},
            {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
            {"class_name":"Dense","config":{"name":"d2","units":5}},
            {"class_name":"BatchNormalization","config":{"name":"norm"}},
            {"class_name":"Dense","config":{"name":"d3","units":6}},
            {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])");
    };
    struct Case {
        const char *freeze, *dropout, *batchnorm, *maker;
    };
    for (const Case &t :
         {Case{"d?,norm", "file", "frozen", "d1"}, Case{"d?,norm", "0", "frozen", "d3"}, Case{"d?", "0", "train", "d2"},
          Case{"d?", "0", "adapt", "d2"}, Case{"d?", "0", "frozen", "d2"} /* its scale is trained */,
          Case{"d?,norm", "0", "train", "d3"} /* a frozen layer keeps its statistics */}) {
        Halves h;
        h.make(build,
               {{"finetune.freeze", t.freeze}, {"finetune.dropout", t.dropout}, {"finetune.batchnorm", t.batchnorm}});
        EXPECT_EQ(t.maker, h.maker()) << t.freeze << " dropout " << t.dropout << " batchnorm " << t.batchnorm;
    }
}

TEST(Cut, AnInputMayPassBesideTheFront)
{
    Context context;
    Graph g;
    g.start(context.c);
    const int image = g.input(EGI_SHAPE(8, 8, 2)), vector = g.input(EGI_SHAPE(4));
    const int seen = g.call("GlobalAveragePooling2D", R"("name":"pool")", {g.conv("c", 5, image)});
    const int trained = g.call("Dense", R"("name":"trained","units":4)", {seen});
    g.finish({g.head("head", 2, g.call("Add", R"("name":"sum")", {trained, vector}))});
    Model owner;
    owner.m = g.m;
    owner.m->layers[egi_model_find_layer(owner.m, "c")].frozen = true;
    egi_cut cut;
    ASSERT_OK(egi_cut_find(&cut, owner.m, EGI_DIM_MAX));
    ASSERT_EQ(2, cut.back.n_inputs);
    EXPECT_EQ(seen, cut.back.inputs[0]);
    EXPECT_EQ(vector, cut.back.inputs[1]) << "kept too, so that the back reads all it needs from one place";
    EXPECT_EQ(5 + 4, cut.floats);
    egi_cut_release(&cut);
}

// An output that no operation makes, such as a reshape of an input, is the back's to give.
TEST(Cut, AReshapeThatIsAnOutputStaysBehind)
{
    Context context;
    Graph g;
    g.start(context.c);
    const int image = g.input(EGI_SHAPE(8, 8, 2)), flat = g.call("Flatten", R"("name":"flat")", {image});
    const int seen = g.call("GlobalAveragePooling2D", R"("name":"pool")", {g.conv("c", 5, image)});
    g.finish({g.head("head", 2, seen), flat});
    Model owner;
    owner.m = g.m;
    owner.m->layers[egi_model_find_layer(owner.m, "c")].frozen = true;
    egi_cut cut;
    ASSERT_OK(egi_cut_find(&cut, owner.m, EGI_DIM_MAX));
    EXPECT_EQ(2, cut.front.n_calls) << "the convolution and its pooling";
    bool behind = false;
    for (int64_t i = 0; i < cut.back.n_calls; i++)
        behind = behind || cut.back.calls[i].out == flat;
    EXPECT_TRUE(behind);
    egi_cut_release(&cut);
}

// --- the same run ---------------------------------------------------------------------------------------------------

// Convolutions, pools and norms make the same bits of an example in any batch, so nothing at all may differ.
TEST(Frozen, AConvolutionalNetTrainsItsHeadToTheSameBits)
{
    expectTwins(convNet, "frozen  5 of 6 layers run once, 150 x 36 floats, 0.0 MB",
                {{"finetune.freeze", "c?"}, {"remember.method", "none"}});
}

TEST(Frozen, AResidualNetTrainsItsHeadToTheSameBits)
{
    expectTwins(residualNet, "18 of 19 layers run once, 150 x 5 floats",
                {{"finetune.freeze", "c?,n?"}, {"remember.method", "l2sp"}});
}

TEST(Frozen, HalfAResidualNetIsEnough)
{
    expectTwins(residualNet, "13 of 19 layers run once, 150 x 640 floats",
                {{"finetune.freeze", "c0,c1,c2,c3,n0,n1,n2,n3"}, {"remember.method", "none"}});
}

TEST(Frozen, TwoOldTasksAreRehearsed)
{
    expectTwins(convNet, "run once, 321 x 36 floats", {{"finetune.freeze", "c?"}, {"remember.budget", "0"}}, 2);
}

TEST(Frozen, OldTasksThatAreOnlyMeasuredKeepWhatIsMeasured)
{
    // all 150 of the new data, and the 11 and 6 that select of the old
    expectTwins(convNet, "run once, 167 x 36 floats", {{"finetune.freeze", "c?"}, {"remember.method", "ewc"}}, 2);
}

TEST(Frozen, ASecondHeadAndClassWeights)
{
    expectTwins(convNet, "5 of 7 layers run once",
                {{"finetune.freeze", "c?"},
                 {"data.classes", "multi"},
                 {"finetune.class_weights", "balanced"},
                 {"finetune.label_smoothing", "0.1"}},
                1);
}

TEST(Frozen, DropoutBehindTheCutDrawsTheSame)
{
    const Build build = [](Model &out, eg_context *c) {
        Model::chain(out, c, EGI_F32, EGI_SHAPE(8, 8, 2), R"([
            {"class_name":"Conv2D","config":{"name":"c1","filters":3,"kernel_size":3,"activation":"relu"}},
            {"class_name":"BatchNormalization","config":{"name":"n1"}},
            {"class_name":"Dropout","config":{"name":"drop","rate":0.25}},
            {"class_name":"Conv2D","config":{"name":"c2","filters":4,"kernel_size":3,"activation":"relu"}},
            {"class_name":"Dropout","config":{"name":"again","rate":0.5}},
            {"class_name":"Flatten","config":{"name":"flat"}},
            {"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])");
    };
    expectTwins(build, "3 of 8 layers run once, 150 x 108 floats",
                {{"finetune.freeze", "c?,n?"}, {"remember.method", "none"}});
}

TEST(Frozen, ValidationOfTrainingExamplesAndALimitOfSteps)
{
    expectTwins(convNet, "run once, 150 x 36 floats",
                {{"finetune.freeze", "c?"},
                 {"remember.method", "none"},
                 {"data.validation", "0"},
                 {"finetune.max_steps", "23"},
                 {"data.shuffle", "false"}});
}

// A matrix product may sum a row in another order where the batch has few rows: the last one of an epoch, in which a
// shuffled run meets other examples every time. In order, and in whole batches, the front sees what training would.
TEST(Frozen, DenseLayersTrainToTheSameBitsInTheSameBatches)
{
    const Build build = [](Model &out, eg_context *c) {
        Model::chain(out, c, EGI_F32, EGI_SHAPE(8, 8, 2), R"([
            {"class_name":"Flatten","config":{"name":"flat"}},
            {"class_name":"Dense","config":{"name":"d1","units":33,"activation":"relu"}},
            {"class_name":"Dense","config":{"name":"d2","units":17,"activation":"tanh"}},
            {"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])");
    };
    const Settings in_order = {{"finetune.freeze", "d?"},
                               {"remember.method", "none"},
                               {"data.shuffle", "false"},
                               {"data.validation", "0.2"},
                               {"finetune.batch", "24"}}; // 120 are 5 batches
    const Outcome off = run(build, "off", in_order), on = run(build, "on", in_order);
    EXPECT_EQ(off.weights, on.weights);
    const Settings shuffled = {{"finetune.freeze", "d?"}, {"remember.method", "none"}};
    const Outcome a = run(build, "off", shuffled), b = run(build, "on", shuffled);
    ASSERT_EQ(a.figures.size(), b.figures.size());
    for (size_t i = 0; i < a.figures.size(); i++)
        EXPECT_NEAR(a.figures[i], b.figures[i], 1e-5) << i;
}

// --- when not -------------------------------------------------------------------------------------------------------

// 64 values of each filter a row.
static void wide_front(Model &out, eg_context *c, int filters)
{
    const std::string layers =
        R"([{"class_name":"Conv2D","config":{"name":"c1","kernel_size":1,"filters":)" + std::to_string(filters) + R"(}},
            {"class_name":"Flatten","config":{"name":"flat"}},
            {"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])";
    Model::chain(out, c, EGI_F32, EGI_SHAPE(8, 8, 2), layers.c_str());
}

TEST(Frozen, WhatDoesNotFitRunsEveryStepAndSaysSo)
{
    const Build build = [](Model &out, eg_context *c) { wide_front(out, c, 50); };
    const Settings small = {{"finetune.freeze", "c1"}, {"remember.method", "none"}, {"finetune.cache_mb", "1"}};
    const Outcome off = run(build, "off", small), automatic = run(build, "auto", small), on = run(build, "on", small);
    EXPECT_TRUE(says(automatic, "frozen  run in every step: keeping 150 x 3,200 floats takes 1.9 MB, over "
                                "finetune.cache_mb=1\n"))
        << automatic.lines;
    EXPECT_EQ(off.weights, automatic.weights);
    EXPECT_EQ(EG_ERR_CONFIG, on.status);
    EXPECT_EQ("finetune.cache: on, but keeping 150 x 3,200 floats takes 1.9 MB, over finetune.cache_mb=1", on.message);
    const Outcome enough = run(build, "on", {{"finetune.freeze", "c1"}, {"finetune.cache_mb", "2"}});
    EXPECT_EQ(EG_OK, enough.status) << enough.message;
    EXPECT_TRUE(says(enough, "150 x 3,200 floats, 1.9 MB")) << enough.lines;
}

// Rows of 1,728 floats of 150 examples are 1,036,800 bytes; where training examples select, they are counted once.
TEST(Frozen, AMegabyteIsAMillionBytesAndNoRowIsCountedTwice)
{
    const Build build = [](Model &out, eg_context *c) { wide_front(out, c, 27); };
    const Settings all = {{"finetune.freeze", "c1"}, {"remember.method", "none"}, {"data.validation", "0"}};
    Settings one = all, two = all;
    one.push_back({"finetune.cache_mb", "1"});
    two.push_back({"finetune.cache_mb", "2"});
    EXPECT_EQ(EG_ERR_CONFIG, run(build, "on", one).status);
    const Outcome fits = run(build, "on", two);
    EXPECT_EQ(EG_OK, fits.status) << fits.message;
    EXPECT_TRUE(says(fits, "150 x 1,728 floats, 1.0 MB")) << fits.lines;
}

TEST(Frozen, OnIsRefusedWhereNothingIsFrozen)
{
    const Outcome on = run(convNet, "on", {{"finetune.freeze", "none"}}), off = run(convNet, "auto", {});
    EXPECT_EQ(EG_ERR_CONFIG, on.status);
    EXPECT_EQ("finetune.cache: on, but no frozen layer comes before everything that is trained or drawn anew",
              on.message);
    EXPECT_FALSE(says(off, "frozen  ")) << "nothing is frozen, nothing to say";
}

TEST(Frozen, AutoLeavesItWhereNoExampleIsMetTwice)
{
    // 150 examples in batches of 16: ten steps an epoch
    const Settings one_epoch = {{"finetune.freeze", "c?"}, {"data.validation", "0"}, {"finetune.max_steps", "10"}},
                   a_step_more = {{"finetune.freeze", "c?"}, {"data.validation", "0"}, {"finetune.max_steps", "11"}};
    for (const Settings &once : {Settings{{"finetune.freeze", "c?"}, {"finetune.epochs", "1"}}, one_epoch}) {
        const Outcome o = run(convNet, "auto", once);
        EXPECT_TRUE(says(o, "frozen  run in every step: no example is met twice\n")) << o.lines;
    }
    for (const Settings &twice : {Settings{{"finetune.freeze", "c?"}, {"finetune.epochs", "2"}}, a_step_more}) {
        const Outcome o = run(convNet, "auto", twice);
        EXPECT_TRUE(says(o, "5 of 6 layers run once")) << o.lines;
    }
}

TEST(Frozen, AugmentedExamplesAreNotKept)
{
    const Settings flip = {{"finetune.freeze", "c?"}, {"data.augment.flip", "true"}},
                   shift = {{"finetune.freeze", "c?"}, {"data.augment.shift", "1"}};
    for (const Settings &s : {flip, shift}) {
        const Outcome off = run(convNet, "off", s), automatic = run(convNet, "auto", s), on = run(convNet, "on", s);
        EXPECT_TRUE(says(automatic, "frozen  run in every step: data.augment draws every example anew\n"))
            << automatic.lines;
        EXPECT_EQ(off.weights, automatic.weights);
        EXPECT_EQ(EG_ERR_CONFIG, on.status);
        EXPECT_EQ("finetune.cache: on, but data.augment draws every example anew", on.message);
    }
}

TEST(Frozen, DoublesAreNotKeptAsFloats)
{
    const Build build = [](Model &out, eg_context *c) { Model::chain(out, c, EGI_F64, EGI_SHAPE(8, 8, 2), kConvNet); };
    const Outcome o = run(build, "auto", {{"finetune.freeze", "c?"}});
    EXPECT_EQ(EG_OK, o.status) << o.message;
    EXPECT_TRUE(says(o, "run in every step: rows are kept in float32")) << o.lines;
}

// --- the cache itself -----------------------------------------------------------------------------------------------

TEST(Cache, RowsAreTheFrontsOutputsAndAreMadeOnce)
{
    Halves h;
    h.make(convNet, {{"finetune.freeze", "c?"}});
    Dataset data[2];
    images(data[0], h.context.c, "a", 30, 1);
    images(data[1], h.context.c, "b", 20, 2);
    const egi_source sources[] = {{data[0].d, nullptr, nullptr, 0, nullptr}, {data[1].d, nullptr, nullptr, 0, nullptr}};
    const std::vector<int64_t> train = {3, 29, 7, 0, 11}, select = {7, 5}, other = {19};
    const egi_cache_need needs[] = {{train.data(), select.data(), 5, 2}, {nullptr, other.data(), 0, 1}};
    egi_cache *cache;
    ASSERT_OK(egi_cache_create(&cache, &h.cut, sources, 2, needs, 8, 4));
    EXPECT_EQ(7, egi_cache_rows(cache)) << "example 7 has one row for both its uses";
    EXPECT_EQ(7 * 36 * 4, egi_cache_bytes(cache));
    const std::vector<egi_item> asked = {{29, 0}, {19, 1}, {5, 0}, {29, 0}, {0, 0}, {3, 0}};
    std::vector<egi_item> items = asked;
    const int64_t blocks = h.context.c->total_blocks;
    ASSERT_OK(egi_cache_items(cache, items.data(), (int64_t)items.size()));
    EXPECT_EQ(blocks, h.context.c->total_blocks) << "a step allocates nothing";
    EXPECT_EQ(items[0].index, items[3].index);

    float *features = nullptr; // by another way: the input of the head
    int64_t dim = 0;
    for (size_t i = 0; i < asked.size(); i++) {
        ASSERT_OK(egi_features(&features, &dim, h.model.m, &sources[asked[i].source], &asked[i].index, 1));
        ASSERT_EQ(36, dim);
        const egi_source &served = egi_cache_sources(cache)[items[i].source];
        EXPECT_EQ(0, memcmp(features, (float *)served.data->x[0] + items[i].index * 36, 36 * sizeof(float))) << i;
        EXPECT_EQ(sources[asked[i].source].data->labels[asked[i].index], served.data->labels[items[i].index]);
        egi_free(h.context.c, features);
    }
    memset(data[0].d->x[0], 0, 30 * 128 * sizeof(float)); // what is known is not computed again
    std::vector<egi_item> again = asked;
    const float first = ((float *)egi_cache_sources(cache)[0].data->x[0])[items[0].index * 36];
    ASSERT_OK(egi_cache_items(cache, again.data(), (int64_t)again.size()));
    EXPECT_EQ(first, ((float *)egi_cache_sources(cache)[0].data->x[0])[again[0].index * 36]);
    egi_item stranger = {1, 0};
    EXPECT_EQ(EG_ERR_INTERNAL, egi_cache_items(cache, &stranger, 1));
    egi_cache_free(cache);
}

TEST(Cache, WhatExamplesAreComparedWithGoesWithTheirRows)
{
    Halves h;
    h.make(convNet, {{"finetune.freeze", "c?"}});
    Dataset data;
    images(data, h.context.c, "a", 30, 1);
    const int64_t width = 3;
    data.d->target_shape = EGI_SHAPE(width);
    ASSERT_OK(egi_alloc(&data.d->targets, h.context.c, 30 * width, sizeof(float)));
    ASSERT_OK(egi_alloc(&data.d->weights, h.context.c, 30, sizeof(float)));
    for (int64_t i = 0; i < 30; i++) {
        data.d->weights[i] = (float)i;
        for (int64_t j = 0; j < width; j++)
            data.d->targets[i * width + j] = (float)(100 * i + j);
    }
    const egi_source source = {data.d, nullptr, nullptr, 0, nullptr};
    const std::vector<int64_t> train = {3, 29, 7};
    const egi_cache_need need = {train.data(), nullptr, 3, 0};
    egi_cache *cache;
    ASSERT_OK(egi_cache_create(&cache, &h.cut, &source, 1, &need, 8, 4));
    std::vector<egi_item> items = {{29, 0}, {3, 0}, {7, 0}};
    const std::vector<egi_item> asked = items;
    ASSERT_OK(egi_cache_items(cache, items.data(), 3));
    const eg_dataset *rows = egi_cache_sources(cache)[0].data;
    for (size_t i = 0; i < items.size(); i++) {
        EXPECT_EQ((float)asked[i].index, rows->weights[items[i].index]);
        for (int64_t j = 0; j < width; j++)
            EXPECT_EQ((float)(100 * asked[i].index + j), rows->targets[items[i].index * width + j]);
    }
    egi_cache_free(cache);
}
