// The profile of a run and of a model: it adds up, it changes nothing, and what is made of it can be read.
#include "tests/decimal_comma.h"
#include "tests/xml.h"
#include "world.h"

#include <filesystem>
#include <map>
#include <sstream>

namespace
{

std::string slurp(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

struct Profile {
    eg_profile *p = nullptr;
    Profile() = default;
    Profile(const Profile &) = delete;
    ~Profile()
    {
        eg_profile_free(p);
    }
};

std::string taken(eg_context *c, char *text)
{
    const std::string out = text;
    eg_text_free(c, text);
    return out;
}

std::string svg_of(eg_context *c, const eg_profile *p)
{
    char *text = nullptr;
    EXPECT_OK(eg_profile_svg(&text, c, p));
    return text ? taken(c, text) : "";
}

// All times stand somewhere, once.
void expect_adds_up(const eg_profile *p)
{
    double sum = 0;
    for (int64_t i = 0; i < p->n_rows; i++) {
        EXPECT_GE(p->rows[i].seconds, 0);
        EXPECT_GT(p->rows[i].bytes, 0) << p->rows[i].op;
        sum += p->rows[i].seconds;
    }
    for (int64_t i = 0; i < p->n_outside; i++) {
        EXPECT_GT(p->outside[i].seconds, 0);
        sum += p->outside[i].seconds;
    }
    EXPECT_NEAR(p->seconds, sum, 1e-9 * p->seconds);
    EXPECT_GT(p->seconds, 0);
    EXPECT_GT(p->peak.flops, 0);
    EXPECT_GT(p->peak.bytes, 0);
    EXPECT_GT(p->workspace_bytes, 0);
    EXPECT_GE(p->tensor_bytes, p->workspace_bytes);
}

const eg_profile_row *row(const eg_profile *p, const std::string &op, const std::string &layer)
{
    for (int64_t i = 0; i < p->n_rows; i++)
        if (op == p->rows[i].op && layer == p->rows[i].layer)
            return &p->rows[i];
    ADD_FAILURE() << "no row " << op << " of " << layer;
    return p->rows;
}

// Rows of a phase, and of a layer in it, stand together.
void expect_grouped(const eg_profile *p)
{
    std::map<std::string, int64_t> last;
    for (int64_t i = 0; i < p->n_rows; i++) {
        EXPECT_GE(p->rows[i].phase, p->rows[i > 0 ? i - 1 : 0].phase);
        const std::string key = std::string(eg_phase_name(p->rows[i].phase)) + "/" + p->rows[i].layer;
        EXPECT_EQ(i - 1, last.count(key) ? last[key] : i - 1) << key;
        last[key] = i;
    }
}

} // namespace

TEST(Profile, OfARunAddsUpAndChangesNoBit)
{
    std::vector<unsigned char> weights[2];
    for (int on = 0; on < 2; on++) {
        World w;
        Result out;
        w.config.set("run.profile", on ? "true" : "false").set("finetune.epochs", "2");
        finetune(out, w, w.fresh, {&w.old});
        weights[on] = w.model.bytes();
        ASSERT_EQ(on == 1, out.r->profile != nullptr);
        if (!on)
            continue;
        const eg_profile *p = out.r->profile;
        expect_adds_up(p);
        expect_grouped(p);
        EXPECT_TRUE(p->training);
        EXPECT_EQ(out.r->steps, p->steps);
        EXPECT_EQ(32, p->batch);
        EXPECT_EQ(1, p->threads);
        for (int64_t i = 0; i < p->n_rows; i++) // kernels that share a row are counted each
            EXPECT_EQ(0, p->rows[i].calls % p->steps) << p->rows[i].op << " of " << p->rows[i].layer;
        EXPECT_EQ(p->steps, row(p, "dense", "hidden")->calls);
        EXPECT_EQ(p->steps, row(p, "adam", "")->calls);
        EXPECT_EQ(EG_PHASE_UPDATE, row(p, "adam", "")->phase);
        EXPECT_EQ(EG_PHASE_BACKWARD, row(p, "gemm", "hidden")->phase);
        EXPECT_EQ(2.0 * 2 * 24 * (double)p->examples, row(p, "dense", "hidden")->flops);
    }
    EXPECT_EQ(weights[0], weights[1]);
}

// The last batch of an epoch is smaller and has a plan of its own: its operations are the same rows.
TEST(Profile, JoinsBatchesOfTwoSizes)
{
    World w;
    Result out;
    w.config.set("run.profile", "true").set("finetune.epochs", "2").set("remember.method", "none");
    w.config.set("finetune.batch", "50").set("data.validation", "0.1"); // 540 examples: ten batches and 40 left
    finetune(out, w, w.fresh);
    const eg_profile *p = out.r->profile;
    EXPECT_EQ(22, p->steps);
    EXPECT_EQ(1080, p->examples);
    EXPECT_EQ(50, p->batch);
    EXPECT_NEAR(p->seconds / 1080 * 50, p->step_seconds, 1e-9) << "of a whole batch";
    EXPECT_EQ(22, row(p, "dense", "head")->calls);
    EXPECT_EQ(2.0 * 24 * 4 * 1080, row(p, "dense", "head")->flops) << "two old and two new classes";
    expect_adds_up(p);
}

TEST(Profile, StandsInTheFilesOfTheRun)
{
    World w;
    Result out;
    const std::string folder = testing::TempDir() + "engram-profile-" + std::to_string(getpid());
    w.config.set("run.profile", "true").set("finetune.epochs", "1").set("remember.method", "none");
    eg_finetune_job job = w.job(w.fresh);
    job.out_dir = folder.c_str();
    ASSERT_OK(eg_finetune(&out.r, w.model.m, &job));
    Json report(slurp(folder + "/report.json"));
    const json_t *p = json_object_get(report.j, "profile");
    EXPECT_EQ((size_t)out.r->profile->n_rows, json_array_size(json_object_get(p, "operations")));
    EXPECT_EQ((json_int_t)out.r->profile->steps, json_integer_value(json_object_get(p, "steps")));
    const std::string svg = slurp(folder + "/profile.svg");
    Xml xml(svg);
    EXPECT_EQ("", xml.check());
    EXPECT_NE(std::string::npos, svg.find("hidden"));
    bool named = false;
    for (const char *const *f = out.r->wrote; *f; f++)
        named = named || std::string(*f).find("profile.svg") != std::string::npos;
    EXPECT_TRUE(named);
    Result later;
    w.config.set("run.profile", "false");
    ASSERT_OK(eg_finetune(&later.r, w.model.m, &job));
    EXPECT_FALSE(std::filesystem::exists(folder + "/profile.svg")) << "a picture of the run before";
    std::filesystem::remove_all(folder);
}

// --- eg_bench --------------------------------------------------------------------------------------------------------

TEST(Bench, MeasuresATrainingAndInferenceAndLeavesTheModelAlone)
{
    World w;
    const std::vector<unsigned char> before = w.model.bytes();
    const eg_peak peak = {1e11, 1e10};
    for (const bool training : {false, true}) {
        for (const eg_dataset *data : {(const eg_dataset *)nullptr, (const eg_dataset *)w.fresh.train.d}) {
            Profile out;
            eg_bench_options o = EG_BENCH_OPTIONS_INIT;
            o.training = training;
            o.batch = 20;
            o.seconds = 0.02;
            o.data = data;
            o.peak = &peak;
            ASSERT_OK(eg_bench(&out.p, w.model.m, &o));
            expect_adds_up(out.p);
            expect_grouped(out.p);
            EXPECT_EQ(training, out.p->training);
            EXPECT_EQ(20, out.p->batch);
            EXPECT_EQ(out.p->steps * 20, out.p->examples);
            EXPECT_GE(out.p->steps, 3);
            EXPECT_GT(out.p->step_seconds, 0);
            EXPECT_EQ(1e11, out.p->peak.flops);
            const eg_profile_row *r = row(out.p, "dense", "hidden");
            EXPECT_EQ(out.p->steps, r->calls);
            EXPECT_NEAR(r->flops / r->seconds / 1e11, eg_profile_share(out.p, r), 1e-12);
            EXPECT_EQ(training, out.p->rows[out.p->n_rows - 1].phase == EG_PHASE_UPDATE);
            if (training) { // no product: a share of the memory's rate
                r = row(out.p, "adam", "");
                EXPECT_EQ(0, r->flops);
                EXPECT_NEAR(r->bytes / r->seconds / 1e10, eg_profile_share(out.p, r), 1e-12);
            }
        }
    }
    EXPECT_EQ(before, w.model.bytes());
}

// Folded weights are made where the convolution was, which runs where the batch norm was: another layer is in between.
TEST(Bench, OperationsOfALayerStandTogetherWhereverTheyRun)
{
    Context context;
    Graph g;
    g.start(context.c);
    const int image = g.input(EGI_SHAPE(8, 8, 2)), a = g.conv("a", 5, image), b = g.conv("b", 5, image);
    const int sum = g.call("Add", R"("name":"sum")", {g.norm("na", a), g.norm("nb", b)});
    g.finish({g.head("head", 3, g.call("GlobalAveragePooling2D", R"("name":"pool")", {sum}))});
    Model owner;
    owner.m = g.m;
    Profile out;
    const eg_peak peak = {1e11, 1e10};
    eg_bench_options o = EG_BENCH_OPTIONS_INIT;
    o.batch = 4;
    o.seconds = 0.01;
    o.peak = &peak;
    ASSERT_OK(eg_bench(&out.p, owner.m, &o));
    expect_grouped(out.p);
    for (const char *layer : {"a", "b"})
        EXPECT_EQ(row(out.p, "batchnorm_fold", layer) + 1, row(out.p, "conv2d", layer));
}

TEST(Bench, TakesTheBatchAndTheOptimizerOfTheConfiguration)
{
    World w;
    Profile out;
    const eg_peak peak = {1e11, 1e10};
    w.config.set("finetune.optimizer", "sgd").set("finetune.batch", "17");
    eg_bench_options o = EG_BENCH_OPTIONS_INIT;
    o.training = true;
    o.seconds = 0.01;
    o.config = w.config.c;
    o.peak = &peak;
    ASSERT_OK(eg_bench(&out.p, w.model.m, &o));
    EXPECT_EQ(17, out.p->batch);
    row(out.p, "sgd", "");
}

TEST(Bench, RefusesWhatItCannotMeasure)
{
    World w;
    Profile out;
    Dataset wide, bare;
    eg_bench_options o = EG_BENCH_OPTIONS_INIT;
    EXPECT_EQ(EG_ERR_ARG, eg_bench(&out.p, nullptr, &o));
    EXPECT_EQ(EG_ERR_ARG, eg_bench(nullptr, w.model.m, &o));
    o.batch = 65537;
    EXPECT_EQ(EG_ERR_ARG, eg_bench(&out.p, w.model.m, &o));
    o = EG_BENCH_OPTIONS_INIT;
    o.seconds = NAN;
    EXPECT_EQ(EG_ERR_ARG, eg_bench(&out.p, w.model.m, &o));
    o = EG_BENCH_OPTIONS_INIT;
    o.struct_size--;
    EXPECT_EQ(EG_ERR_ARG, eg_bench(&out.p, w.model.m, &o));
    o = EG_BENCH_OPTIONS_INIT;
    wide.make(w.context.c, normal(12, 1), {3}, labels(4, 2, 1), "wide");
    o.data = wide.d;
    EXPECT_EQ(EG_ERR_SHAPE, eg_bench(&out.p, w.model.m, &o));
    const std::vector<float> x = normal(8, 1);
    const int64_t shape[] = {2};
    ASSERT_OK(eg_dataset_from_arrays(&bare.d, w.context.c, x.data(), EG_DTYPE_F32, 4, shape, 1, nullptr));
    o.data = bare.d;
    o.training = true;
    EXPECT_EQ(EG_ERR_DATA, eg_bench(&out.p, w.model.m, &o)) << "nothing to learn";
    o = EG_BENCH_OPTIONS_INIT;
    o.training = true;
    w.config.set("finetune.freeze", "2");
    o.config = w.config.c;
    EXPECT_EQ(EG_ERR_STATE, eg_bench(&out.p, w.model.m, &o)) << "everything is frozen";
    EXPECT_EQ(nullptr, out.p);
    EXPECT_EQ(EG_ERR_ARG, eg_peak_measure(nullptr, w.context.c));
}

// --- what is made of a profile ---------------------------------------------------------------------------------------

// Names that would end the text, the tooltip or the file; and what is no UTF-8 or no character of XML.
TEST(Picture, EscapesNamesOfStrangers)
{
    Context context;
    const char *const names[] = {"</title><script>alert('x')</script>", "a&b\"c\"", "bell\x07 \x1b[31m", "\xff\xfe",
                                 ("gr\xc3\xbc\xc3\x9f"
                                  "e \xef\xbf\xbf")};
    std::vector<eg_profile_row> rows;
    for (const char *name : names)
        rows.push_back({"dense", name, EG_PHASE_FORWARD, 10, 0.1, 1e9, 1e6});
    eg_profile_part outside[] = {{"fill batch", 0.5}};
    eg_profile p = {};
    p.steps = p.batch = 10;
    p.examples = 100;
    p.threads = 1;
    p.seconds = 1;
    p.step_seconds = 0.1;
    p.rows = rows.data();
    p.n_rows = (int64_t)rows.size();
    p.outside = outside;
    p.n_outside = 1;
    const std::string svg = svg_of(context.c, &p);
    Xml xml(svg);
    EXPECT_EQ("", xml.check());
    EXPECT_EQ(std::string::npos, svg.find("<script"));
    EXPECT_NE(std::string::npos, svg.find("&lt;/title&gt;&lt;script&gt;"));
    EXPECT_NE(std::string::npos, svg.find("a&amp;b"));
    EXPECT_NE(std::string::npos, svg.find("bell? ?[31m"));
    EXPECT_NE(std::string::npos, svg.find("gr\xc3\xbc\xc3\x9f"
                                          "e ?"));
    char *text = nullptr;
    ASSERT_OK(eg_profile_json(&text, context.c, &p));
    Json json(taken(context.c, text));
    EXPECT_EQ(5u, json_array_size(json_object_get(json.j, "operations")));
}

TEST(Picture, ReadsAnEmptyProfileAndSpeaksNoOtherLanguage)
{
    Context context;
    eg_profile p = {};
    const std::string empty = svg_of(context.c, &p);
    Xml xml(empty);
    EXPECT_EQ("", xml.check());
    eg_profile_row r = {"dense", "hidden", EG_PHASE_FORWARD, 3, 0.5, 1.5e9, 1e6};
    p.rows = &r;
    p.n_rows = 1;
    p.seconds = 0.75;
    p.steps = 3;
    const std::string plain = svg_of(context.c, &p);
    const DecimalComma german;
    ASSERT_TRUE(german.spoken) << "localedef and Debian's locales are wanted; tools/setup installs them";
    EXPECT_EQ(plain, svg_of(context.c, &p));
}
