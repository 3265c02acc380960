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

void run_case(const char *net, const char *name)
{
    Golden golden;
    Context context;
    json_t *g = golden.of(net), *run = json_object_get(json_object_get(g, "runs"), name);
    ASSERT_NE(nullptr, run);
    Model model;
    Dataset data;
    Model::chain(model, context.c, EGI_F32, shape_of(json_object_get(g, "input")), json_object_get(g, "layers"));
    ASSERT_NE(nullptr, model.m);
    load_weights(model, json_object_get(g, "start"));
    std::vector<float> x;
    for (double v : numbers(json_object_get(json_object_get(g, "x"), "values")))
        x.push_back((float)v);
    std::vector<int32_t> y;
    for (double v : numbers(json_object_get(g, "y")))
        y.push_back((int32_t)v);
    const egi_shape sample = shape_of(json_object_get(g, "input"));
    data.make(context.c, x, std::vector<int64_t>(sample.dim, sample.dim + sample.rank), y);

    Config config(context.c);
    egi_source source{};
    source.data = data.d;
    egi_trainer_options o = options_of(name, run);
    o.sources = &source;
    o.n_sources = 1;
    ASSERT_OK(egi_objective_make(&o.objective, model.m, egi_config_run(config.c), &source, 1));
    egi_trainer *trainer = nullptr;
    ASSERT_OK(egi_trainer_create(&trainer, model.m, &o));
    const std::vector<double> losses = numbers(json_object_get(run, "losses"));
    const int64_t n = (int64_t)y.size(), batch = json_integer_value(json_object_get(golden.all.j, "batch"));
    std::vector<egi_item> items;
    ASSERT_OK(egi_trainer_prepare(trainer, batch));
    ASSERT_OK(egi_trainer_prepare(trainer, n % batch));
    for (int64_t at = 0, step = 0; at < n; at += batch, step++) {
        items.clear();
        for (int64_t i = at; i < std::min(at + batch, n); i++)
            items.push_back({i, 0});
        egi_step_result r{};
        ASSERT_OK(
            egi_trainer_step(trainer, items.data(), (int64_t)items.size(), setting(run, "learning_rate", 0), 0, &r));
        EXPECT_NEAR(losses[(size_t)step], r.loss + r.penalty, 1e-5 * losses[(size_t)step])
            << net << " " << name << " step " << step;
    }
    EXPECT_EQ(10, egi_trainer_steps(trainer));
    expect_weights(model, json_object_get(run, "end"), std::string(net) + " " + name);
    egi_trainer_free(trainer);
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
