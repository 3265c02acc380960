// The Fisher information: analytic where there is a formula, else squared gradients of single samples; whatever the
// batch.
#include "support.h"

namespace
{

constexpr int64_t kN = 50;

struct Setting {
    Context context;
    Model model;
    Dataset data;
    Config config{context.c};
    egi_source source{};
    std::vector<float> x;
    std::vector<int32_t> y;
    std::vector<egi_item> items;

    void make(const egi_shape &input, const char *layers, int32_t classes)
    {
        Model::chain(model, context.c, EGI_F64, input, layers);
        x = normal(kN * egi_shape_count(&input), 1);
        y = labels(kN, classes, 2);
        data.make(context.c, x, std::vector<int64_t>(input.dim, input.dim + input.rank), y);
        source.data = data.d;
        for (int64_t i = 0; i < kN; i++)
            items.push_back({i, 0});
        for (int64_t k = 0; k < model.m->n_params; k++) { // biases and norm parameters that are not 0 and 1
            const egi_param &p = model.m->params[k];
            const std::vector<float> noise = normal(p.count, 10 + (uint32_t)k, 0.2);
            const egi_tensor t = egi_param_view(model.m, k);
            for (int64_t i = 0; i < p.count; i++)
                egi_set(&t, i, egi_get(&t, i) + (p.state ? std::fabs(noise[(size_t)i]) : noise[(size_t)i]));
        }
    }
    std::vector<double> fisher(egi_fisher_mode mode, int64_t batch, bool one_by_one = false, uint64_t seed = 1)
    {
        std::vector<double> omega((size_t)model.m->arena_count, 7.0);
        egi_fisher_request r{};
        r.sources = &source;
        r.n_sources = 1;
        r.items = items.data();
        r.n = (int64_t)items.size();
        r.mode = mode;
        r.batch = batch;
        r.seed = seed;
        r.one_by_one = one_by_one;
        EXPECT_OK(egi_objective_make(&r.objective, model.m, egi_config_run(config.c), &source, 1));
        EXPECT_OK(egi_fisher(omega.data(), model.m, &r));
        return omega;
    }
    int64_t offset(const char *layer, const char *name) const
    {
        return model.m->params[egi_model_find_param(model.m, egi_model_find_layer(model.m, layer), name)].offset;
    }
};

// Probabilities (n, k) of a dense layer "head" on (n, in).
std::vector<double> logits_of(const Setting &s, int64_t in, int64_t k)
{
    const std::vector<double> w = s.model.get("head/kernel"), b = s.model.get("head/bias");
    std::vector<double> z((size_t)(kN * k));
    for (int64_t n = 0; n < kN; n++)
        for (int64_t j = 0; j < k; j++) {
            double sum = b[(size_t)j];
            for (int64_t i = 0; i < in; i++)
                sum += (double)s.x[(size_t)(n * in + i)] * w[(size_t)(i * k + j)];
            z[(size_t)(n * k + j)] = sum;
        }
    return z;
}

std::vector<double> softmax(std::vector<double> z, int64_t k)
{
    for (int64_t n = 0; n < kN; n++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++)
            sum += std::exp(z[(size_t)(n * k + j)]);
        for (int64_t j = 0; j < k; j++)
            z[(size_t)(n * k + j)] = std::exp(z[(size_t)(n * k + j)]) / sum;
    }
    return z;
}

// mean over n of x_i^2 d_j, with d: (n, k); i < 0: the bias.
double mean_square(const Setting &s, const std::vector<double> &d, int64_t in, int64_t k, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t n = 0; n < kN; n++) {
        const double x = i < 0 ? 1 : s.x[(size_t)(n * in + i)];
        sum += x * x * d[(size_t)(n * k + j)];
    }
    return sum / kN;
}

void expect_linear(Setting &s, const std::vector<double> &omega, const std::vector<double> &d, int64_t in, int64_t k,
                   const char *what)
{
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < k; j++)
            ASSERT_NEAR(mean_square(s, d, in, k, i, j), omega[(size_t)(s.offset("head", "kernel") + i * k + j)], 1e-10)
                << what << " kernel " << i << "," << j;
    for (int64_t j = 0; j < k; j++)
        ASSERT_NEAR(mean_square(s, d, in, k, -1, j), omega[(size_t)(s.offset("head", "bias") + j)], 1e-10) << what;
}

const char kLinear[] = R"([{"class_name":"Dense","config":{"name":"head","units":3,"activation":"softmax"}}])";
const char kConv[] = R"([
    {"class_name":"Conv2D","config":{"name":"a","filters":4,"kernel_size":3,"padding":"same","activation":"relu"}},
    {"class_name":"MaxPooling2D","config":{"name":"pool","pool_size":2}},
    {"class_name":"Conv2D","config":{"name":"b","filters":3,"kernel_size":2,"activation":"tanh","use_bias":false}},
    {"class_name":"Flatten","config":{"name":"flat"}},
    {"class_name":"Dense","config":{"name":"hidden","units":5,"activation":"sigmoid"}},
    {"class_name":"Dense","config":{"name":"head","units":4,"activation":"softmax"}}])";
const char kNorm[] = R"([
    {"class_name":"Conv2D","config":{"name":"a","filters":4,"kernel_size":3,"strides":2,"padding":"same"}},
    {"class_name":"BatchNormalization","config":{"name":"norm"}},
    {"class_name":"Activation","config":{"name":"relu","activation":"relu"}},
    {"class_name":"GlobalAveragePooling2D","config":{"name":"mean"}},
    {"class_name":"Dense","config":{"name":"head","units":4,"activation":"softmax"}}])";

void expect_single_samples(const char *layers)
{
    Setting s;
    s.make(EGI_SHAPE(6, 6, 2), layers, 4);
    s.model.m->batchnorm_frozen = true;
    const std::vector<unsigned char> weights = s.model.bytes();
    for (egi_fisher_mode mode : {EGI_FISHER_EXACT, EGI_FISHER_EMPIRICAL}) {
        const std::vector<double> wanted = s.fisher(mode, 1, true);
        double most = 0;
        for (double v : wanted)
            most = std::fmax(most, v);
        ASSERT_GT(most, 1e-6) << "the importance must not be nothing";
        for (int64_t batch : {1, 7, 50}) {
            const std::vector<double> found = s.fisher(mode, batch);
            for (size_t i = 0; i < wanted.size(); i++)
                ASSERT_NEAR(wanted[i], found[i], 1e-12 * most) << "batch " << batch << " element " << i;
        }
    }
    EXPECT_EQ(weights, s.model.bytes()) << "the importance pass moved weights or statistics";
}

} // namespace

TEST(Fisher, OfLinearSoftmaxIsTheAnalyticOne)
{
    Setting s;
    s.make(EGI_SHAPE(4), kLinear, 3);
    std::vector<double> p = softmax(logits_of(s, 4, 3), 3), exact = p, empirical = p;
    for (int64_t n = 0; n < kN; n++)
        for (int64_t j = 0; j < 3; j++) {
            const size_t at = (size_t)(n * 3 + j);
            exact[at] = p[at] * (1 - p[at]);
            empirical[at] = std::pow(p[at] - (s.y[(size_t)n] == j), 2);
        }
    for (int64_t batch : {1, 7, 50}) {
        expect_linear(s, s.fisher(EGI_FISHER_EXACT, batch), exact, 4, 3, "exact");
        expect_linear(s, s.fisher(EGI_FISHER_EMPIRICAL, batch), empirical, 4, 3, "empirical");
    }
    expect_linear(s, s.fisher(EGI_FISHER_EXACT, 1, true), exact, 4, 3, "one by one");
}

TEST(Fisher, OfSigmoidAndLinearHeadsIsTheAnalyticOne)
{
    Setting sigmoid, linear;
    sigmoid.make(EGI_SHAPE(4), R"([{"class_name":"Dense","config":{"name":"head","units":2,"activation":"sigmoid"}}])",
                 2);
    std::vector<double> d = logits_of(sigmoid, 4, 2);
    for (double &v : d)
        v = std::exp(-v) / std::pow(1 + std::exp(-v), 2); // p (1 - p)
    for (int64_t batch : {1, 7, 50})
        expect_linear(sigmoid, sigmoid.fisher(EGI_FISHER_EXACT, batch), d, 4, 2, "sigmoid");
    linear.make(EGI_SHAPE(4), R"([{"class_name":"Dense","config":{"name":"head","units":1}}])", 3);
    const std::vector<double> ones((size_t)kN, 1.0);
    for (int64_t batch : {1, 7, 50})
        expect_linear(linear, linear.fisher(EGI_FISHER_EXACT, batch), ones, 4, 1, "linear");
}

TEST(Fisher, SampledIsTheExactOneOnAverage)
{
    Setting s;
    s.make(EGI_SHAPE(4), kLinear, 3);
    const std::vector<double> exact = s.fisher(EGI_FISHER_EXACT, 50);
    const int rounds = 400;
    std::vector<double> sum(exact.size()), squares(exact.size());
    for (int i = 0; i < rounds; i++) {
        const std::vector<double> one = s.fisher(EGI_FISHER_SAMPLE, 16, false, 100 + (uint64_t)i);
        for (size_t k = 0; k < one.size(); k++) {
            sum[k] += one[k];
            squares[k] += one[k] * one[k];
        }
    }
    for (size_t k = 0; k < exact.size(); k++) {
        const double mean = sum[k] / rounds,
                     deviation = std::sqrt(std::fmax(squares[k] / rounds - mean * mean, 0) / rounds);
        EXPECT_NEAR(exact[k], mean, 5 * deviation + 1e-15) << k;
    }
}

TEST(Fisher, OfConvolutionsIsThatOfSingleSamples)
{
    expect_single_samples(kConv);
}

TEST(Fisher, OfFrozenBatchNormIsThatOfSingleSamples)
{
    expect_single_samples(kNorm);
}

TEST(Fisher, OfALayerThatIsUsedTwiceIsThatOfSingleSamples)
{
    Setting s;
    int tensor = 0, shared = 0, head = 0;
    const egi_shape input = EGI_SHAPE(5);
    ASSERT_OK(egi_model_create(&s.model.m, s.context.c, EGI_F64, 3));
    ASSERT_OK(egi_model_add_input(s.model.m, &input, &tensor));
    Json a{std::string(R"({"name":"shared","units":5,"activation":"tanh"})")};
    Json b{std::string(R"({"name":"head","units":3,"activation":"softmax"})")};
    ASSERT_OK(egi_model_add_layer(s.model.m, egi_layer_type_find("Dense"), a.j, nullptr, &shared));
    ASSERT_OK(egi_model_add_layer(s.model.m, egi_layer_type_find("Dense"), b.j, nullptr, &head));
    for (int use = 0; use < 2; use++)
        ASSERT_OK(egi_model_call(s.model.m, shared, &tensor, 1, -1, &tensor));
    ASSERT_OK(egi_model_call(s.model.m, head, &tensor, 1, -1, &tensor));
    ASSERT_OK(egi_model_add_output(s.model.m, tensor));
    ASSERT_OK(egi_model_finish(s.model.m));
    s.x = normal(kN * 5, 1);
    s.y = labels(kN, 3, 2);
    s.data.make(s.context.c, s.x, {5}, s.y);
    s.source.data = s.data.d;
    for (int64_t i = 0; i < kN; i++)
        s.items.push_back({i, 0});
    const std::vector<double> wanted = s.fisher(EGI_FISHER_EXACT, 1, true), found = s.fisher(EGI_FISHER_EXACT, 7);
    EXPECT_GT(wanted[0], 0);
    for (size_t i = 0; i < wanted.size(); i++)
        EXPECT_NEAR(wanted[i], found[i], 1e-15);
}

TEST(Fisher, IsExactWhereThatIsCheapUnlessSaid)
{
    EXPECT_EQ(EGI_FISHER_EXACT, egi_fisher_choose(EGI_FISHER_AUTO, 20, 100000));
    EXPECT_EQ(EGI_FISHER_SAMPLE, egi_fisher_choose(EGI_FISHER_AUTO, 21, 501));
    EXPECT_EQ(EGI_FISHER_EXACT, egi_fisher_choose(EGI_FISHER_AUTO, 100, 500));
    EXPECT_EQ(EGI_FISHER_SAMPLE, egi_fisher_choose(EGI_FISHER_AUTO, 101, 500));
    EXPECT_EQ(EGI_FISHER_EXACT, egi_fisher_choose(EGI_FISHER_BY_EXACT, 1000, 100000));
    EXPECT_EQ(EGI_FISHER_SAMPLE, egi_fisher_choose(EGI_FISHER_BY_SAMPLE, 2, 10));
    EXPECT_EQ(EGI_FISHER_EMPIRICAL, egi_fisher_choose(EGI_FISHER_BY_EMPIRICAL, 2, 10));
}

TEST(Fisher, FrozenLayersHaveNone)
{
    Setting s;
    s.make(EGI_SHAPE(6, 6, 2), kConv, 4);
    s.model.m->layers[egi_model_find_layer(s.model.m, "a")].frozen = true;
    const std::vector<double> omega = s.fisher(EGI_FISHER_EXACT, 10);
    EXPECT_EQ(0, omega[(size_t)s.offset("a", "kernel")]);
    EXPECT_GT(omega[(size_t)s.offset("b", "kernel")], 0);
}

TEST(Importance, IsScaleFree)
{
    Setting s;
    s.make(EGI_SHAPE(4), kLinear, 3);
    std::vector<double> omega = s.fisher(EGI_FISHER_EXACT, 10), times8 = omega;
    for (double &v : times8)
        v *= 8;
    const double scale = egi_importance_normalise(s.model.m, omega.data());
    EXPECT_DOUBLE_EQ(8 * scale, egi_importance_normalise(s.model.m, times8.data()));
    double sum = 0;
    for (size_t i = 0; i < omega.size(); i++) {
        sum += omega[i];
        EXPECT_NEAR(omega[i], times8[i], 1e-12);
    }
    EXPECT_NEAR(4 * 3 + 3, sum, 1e-9) << "mean 1 over the parameters";
    std::vector<double> nothing(omega.size(), 0.0);
    EXPECT_EQ(1, egi_importance_normalise(s.model.m, nothing.data()));
}

TEST(Anchor, SumIsTheSumOfAnchorsUpToAConstant)
{
    Setting s;
    s.make(EGI_SHAPE(4), kLinear, 3);
    const size_t n = (size_t)s.model.m->arena_count;
    std::vector<double> a1(n), o1(n), a2(n), o2(n);
    for (size_t i = 0; i < n; i++) {
        a1[i] = std::sin((double)i);
        a2[i] = std::cos((double)i);
        o1[i] = i % 3 ? 0.1 * (double)i : 0;
        o2[i] = i % 5 ? 2.0 : 0;
    }
    egi_anchor anchor{};
    ASSERT_OK(egi_anchor_add(&anchor, s.model.m, a1.data(), o1.data(), 1));
    ASSERT_OK(egi_anchor_add(&anchor, s.model.m, a2.data(), o2.data(), 3));
    const double *theta = (const double *)anchor.theta, *omega = (const double *)anchor.omega;
    for (size_t i = 0; i < n; i++)
        for (double x : {-1.0, 0.5}) // gradients are equal, so the sums differ by a constant
            EXPECT_NEAR(o1[i] * (x - a1[i]) + 3 * o2[i] * (x - a2[i]), omega[i] * (x - theta[i]), 1e-12) << i;
    egi_anchor_release(&anchor, s.context.c);
}
