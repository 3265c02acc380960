// Ten training steps against Keras: every optimizer, regularizers of the file, batch norm that trains, a last batch
// that is smaller.
#include "support.h"

namespace
{

struct Golden {
    Json all{Json::golden("ten_steps.json")};
    json_t *of(const char *net)
    {
        return json_object_get(all.j, net);
    }
};

double setting(const json_t *run, const char *key, double otherwise)
{
    const json_t *v = json_object_get(json_object_get(run, "settings"), key);
    return v ? json_number_value(v) : otherwise;
}

egi_shape shape_of(const json_t *list)
{
    egi_shape s{};
    for (size_t i = 0; i < json_array_size(list); i++)
        s.dim[s.rank++] = json_integer_value(json_array_get(list, i));
    return s;
}

void load_weights(Model &model, const json_t *weights)
{
    const char *path;
    const json_t *w;
    json_object_foreach((json_t *)weights, path, *(json_t **)&w) model.set(path, numbers(json_object_get(w, "values")));
}

egi_trainer_options options_of(const std::string &name, const json_t *run)
{
    egi_trainer_options o{};
    o.optimizer = egi_optimizer_find(name.substr(0, name.find('_')).c_str());
    o.settings = o.optimizer->fallback;
    o.settings.momentum = setting(run, "momentum", 0);
    o.settings.nesterov = json_is_true(json_object_get(json_object_get(run, "settings"), "nesterov"));
    o.settings.beta1 = setting(run, "beta_1", o.settings.beta1);
    o.settings.beta2 = setting(run, "beta_2", o.settings.beta2);
    o.settings.rho = setting(run, "rho", o.settings.rho);
    o.settings.clip_norm = setting(run, "global_clipnorm", 0);
    o.penalties.weight_decay = setting(run, "weight_decay", 0);
    o.log_penalty = true;
    o.seed = 1;
    return o;
}

void expect_weights(const Model &model, const json_t *end, const std::string &what)
{
    const char *path;
    json_t *list;
    json_object_foreach((json_t *)end, path, list)
    {
        const std::vector<double> wanted = numbers(list), found = model.get(path);
        ASSERT_EQ(wanted.size(), found.size());
        for (size_t i = 0; i < wanted.size(); i++)
            ASSERT_NEAR(wanted[i], found[i], 1e-4) << what << " " << path << "[" << i << "]";
    }
}

// A network, its data and a trainer as Keras had them.
struct Training {
    Golden golden;
    Context context;
    json_t *g, *run;
    Model model;
    Dataset data;
    Config config{context.c};
    egi_source source{};
    egi_trainer *trainer = nullptr;
    int64_t n, batch;

    Training(const char *net, const char *name, double ema)
        : g(golden.of(net)), run(json_object_get(json_object_get(g, "runs"), name))
    {
        const egi_shape sample = shape_of(json_object_get(g, "input"));
        Model::chain(model, context.c, EGI_F32, sample, json_object_get(g, "layers"));
        load_weights(model, json_object_get(g, "start"));
        std::vector<float> x;
        for (double v : numbers(json_object_get(json_object_get(g, "x"), "values")))
            x.push_back((float)v);
        std::vector<int32_t> y;
        for (double v : numbers(json_object_get(g, "y")))
            y.push_back((int32_t)v);
        data.make(context.c, x, std::vector<int64_t>(sample.dim, sample.dim + sample.rank), y);
        n = (int64_t)y.size();
        batch = json_integer_value(json_object_get(golden.all.j, "batch"));
        source.data = data.d;
        make_trainer(options_of(name, run), ema);
    }
    ~Training()
    {
        egi_trainer_free(trainer);
    }
    void make_trainer(egi_trainer_options o, double ema)
    {
        o.settings.ema_momentum = ema;
        o.sources = &source;
        o.n_sources = 1;
        ASSERT_OK(egi_objective_make(&o.objective, model.m, egi_config_run(config.c), &source, 1));
        ASSERT_OK(egi_trainer_create(&trainer, model.m, &o));
        ASSERT_OK(egi_trainer_prepare(trainer, batch));
        ASSERT_OK(egi_trainer_prepare(trainer, n % batch));
    }
    egi_step_result step(int64_t at)
    {
        std::vector<egi_item> items;
        for (int64_t i = at; i < std::min(at + batch, n); i++)
            items.push_back({i, 0});
        egi_step_result r{};
        EXPECT_OK(
            egi_trainer_step(trainer, items.data(), (int64_t)items.size(), setting(run, "learning_rate", 0), 0, &r));
        return r;
    }
    std::vector<double> weights(bool average)
    {
        std::vector<double> all;
        EXPECT_OK(egi_trainer_average(trainer, average));
        EXPECT_OK(egi_host_reads(context.c, model.m->weights));
        for (int64_t k = 0; k < model.m->n_params; k++) {
            const egi_tensor p = egi_param_view(model.m, k);
            for (int64_t i = 0; i < egi_count(&p); i++)
                all.push_back(egi_get(&p, i));
        }
        return all;
    }
};

void run_case(const char *net, const char *name)
{
    Training x(net, name, 0);
    ASSERT_NE(nullptr, x.trainer);
    const std::vector<double> losses = numbers(json_object_get(x.run, "losses"));
    for (int64_t at = 0, step = 0; at < x.n; at += x.batch, step++) {
        const egi_step_result r = x.step(at);
        EXPECT_NEAR(losses[(size_t)step], r.loss + r.penalty, 1e-5 * losses[(size_t)step])
            << net << " " << name << " step " << step;
    }
    EXPECT_EQ(10, egi_trainer_steps(x.trainer));
    expect_weights(x.model, json_object_get(x.run, "end"), std::string(net) + " " + name);
}

} // namespace

class TenSteps : public ::testing::TestWithParam<std::tuple<const char *, const char *>>
{
};

TEST_P(TenSteps, AreThoseOfKeras)
{
    run_case(std::get<0>(GetParam()), std::get<1>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, TenSteps,
                         ::testing::Combine(::testing::Values("mlp", "cnn"),
                                            ::testing::Values("sgd", "sgd_momentum", "sgd_nesterov", "adam",
                                                              "adam_clip", "adamw", "rmsprop", "rmsprop_momentum")),
                         [](const auto &info) {
                             return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

// The average is that of the weights after each step, however often it is looked at, and over a way back. Statistics of
// batch norm are not averaged (Keras).
TEST(TenSteps, KeepTheAverageOfTheWeights)
{
    for (const char *net : {"mlp", "cnn"}) {
        Training plain(net, "adamw", 0), x(net, "adamw", 0.75);
        ASSERT_NE(nullptr, x.trainer);
        EXPECT_EQ(x.weights(false), x.weights(true)) << "there is none before the first step";
        std::vector<double> average;
        for (int64_t at = 0, step = 0; at < x.n; at += x.batch, step++) {
            ASSERT_OK(egi_trainer_mark(x.trainer));
            if (step % 4 == 0) { // a step that is taken back
                x.step(0);
                EXPECT_EQ(step == 0, x.weights(true) == x.weights(false));
                ASSERT_OK(egi_trainer_return(x.trainer));
            }
            x.step(at);
            plain.step(at);
            const std::vector<double> w = plain.weights(true);
            average.resize(w.size());
            size_t i = 0;
            for (int64_t k = 0; k < x.model.m->n_params; k++)
                for (int64_t e = 0; e < x.model.m->params[k].count; e++, i++)
                    average[i] = step == 0 || x.model.m->params[k].state ? w[i] : 0.75 * average[i] + 0.25 * w[i];
            const std::vector<double> found = x.weights(true);
            for (i = 0; i < w.size(); i++)
                ASSERT_NEAR(average[i], found[i], 1e-6 * std::max(1.0, std::fabs(average[i]))) << net << " " << step;
            EXPECT_EQ(w, x.weights(false)) << net << ": steps are those without an average";
        }
        EXPECT_EQ(plain.model.m->arena_count * 4, egi_trainer_bytes(x.trainer) - egi_trainer_bytes(plain.trainer));
    }
}
