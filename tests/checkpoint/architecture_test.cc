// Architecture JSON: what is built, and what is refused with which words; head surgery.
#include "support.h"

namespace
{

class Architecture : public CheckpointTest
{
  protected:
    struct Json {
        json_t *p;
        explicit Json(json_t *json) : p(json)
        {
        }
        ~Json()
        {
            json_decref(p);
        }
    };

    eg_status Build(const std::string &text, Model *out = nullptr, int major = 2)
    {
        json_t *config = nullptr;
        eg_status status = egi_keras_parse(&config, text.c_str(), "test");
        eg_model *m = nullptr;
        if (status == EG_OK)
            status = egi_keras_build(&m, context, config, EGI_F32, major);
        json_decref(config);
        Model own(m);
        if (status == EG_OK && out)
            *out = std::move(own);
        return status;
    }

    void ExpectRefused(eg_status status, const std::string &words, const std::string &text, int major = 2)
    {
        EXPECT_EQ(status, Build(text, nullptr, major)) << text;
        const std::string message = eg_last_message();
        EXPECT_NE(std::string::npos, message.find(words)) << "'" << message << "' lacks '" << words << "'";
        EXPECT_EQ(std::string::npos, message.find('\n'));
    }
};

std::string Layer(const std::string &class_name, const std::string &name, const std::string &config,
                  const std::string &nodes)
{
    return R"({"class_name": ")" + class_name + R"(", "name": ")" + name + R"(", "config": {"name": ")" + name + "\"" +
           (config.empty() ? "" : ", " + config) + R"(}, "inbound_nodes": )" + nodes + "}";
}

std::string Input(const std::string &name, const std::string &shape = "[null, 4]")
{
    return Layer("InputLayer", name, "\"batch_input_shape\": " + shape, "[]");
}

std::string Dense(const std::string &name, const std::string &from, int units = 4)
{
    return Layer("Dense", name, "\"units\": " + std::to_string(units), "[[[\"" + from + "\", 0, 0, {}]]]");
}

std::string Functional(const std::string &layers, const std::string &in = R"([["x", 0, 0]])",
                       const std::string &out = R"([["d", 0, 0]])")
{
    return R"({"class_name": "Functional", "config": {"name": "m", "layers": [)" + layers + R"(], "input_layers": )" +
           in + R"(, "output_layers": )" + out + "}}";
}

TEST_F(Architecture, LayersInAnyOrder)
{
    Model m;
    ASSERT_EQ(
        EG_OK,
        Build(Functional(Dense("d", "b", 2) + "," + Dense("b", "a", 3) + "," + Dense("a", "x") + "," + Input("x")), &m))
        << eg_last_message();
    EXPECT_EQ(4, m->n_layers);
    EXPECT_EQ(6, m->n_params);
    EXPECT_EQ(2, m->tensors[m->outputs[0]].dim[0]);
}

TEST_F(Architecture, SharedLayersHaveOneSetOfParameters)
{
    Model m;
    const std::string shared = Layer("Dense", "s", "\"units\": 4", R"([[["x", 0, 0, {}]], [["s", 0, 0, {}]]])");
    ASSERT_EQ(EG_OK, Build(Functional(Input("x") + "," + shared + "," +
                                      Layer("Add", "d", "", R"([[["s", 0, 0, {}], ["s", 1, 0, {}]]])")),
                           &m))
        << eg_last_message();
    EXPECT_EQ(2, m->n_params);
    EXPECT_EQ(4, m->n_calls); // x, s twice, d
}

TEST_F(Architecture, OutputsAsOneReferenceOrAsAnObject)
{
    Model m;
    ASSERT_EQ(EG_OK, Build(Functional(Input("x") + "," + Dense("d", "x"), R"(["x", 0, 0])", R"(["d", 0, 0])"), &m));
    ASSERT_EQ(EG_OK, Build(Functional(Input("x") + "," + Dense("d", "x"), R"({"in": ["x", 0, 0]})",
                                      R"({"one": ["d", 0, 0], "two": ["x", 0, 0]})"),
                           &m));
    EXPECT_EQ(2, m->n_outputs);
}

TEST_F(Architecture, Refusals)
{
    const std::string x = Input("x") + ",";
    ExpectRefused(EG_ERR_FORMAT, "JSON wanted", "{\"class_name\": ");
    ExpectRefused(EG_ERR_FORMAT, "duplicate", R"({"a": 1, "a": 2})");
    ExpectRefused(EG_ERR_FORMAT, "class_name", "[1, 2]");
    ExpectRefused(EG_ERR_FORMAT, "class_name", R"({"config": {}})");
    ExpectRefused(EG_ERR_FORMAT, "layers: a list wanted", R"({"class_name": "Sequential", "config": {"layers": 7}})");
    ExpectRefused(EG_ERR_FORMAT, "no layers", R"({"class_name": "Sequential", "config": []})");
    ExpectRefused(EG_ERR_UNSUPPORTED, "MyModel", R"({"class_name": "MyModel", "config": {"layers": []}})");
    ExpectRefused(EG_ERR_FORMAT, "layer 0 of 'm'", Functional("7"));
    ExpectRefused(EG_ERR_FORMAT, "config: an object wanted",
                  Functional(R"({"class_name": "Dense", "name": "d", "config": 3, "inbound_nodes": []})"));
    ExpectRefused(EG_ERR_FORMAT, "inbound_nodes", Functional(Layer("Dense", "d", "\"units\": 2", "\"x\"")));
    ExpectRefused(EG_ERR_FORMAT, "the name 'd'", Functional(x + Dense("d", "x") + "," + Dense("d", "x")));
    ExpectRefused(EG_ERR_FORMAT, "refers to layer 'nobody'", Functional(x + Dense("d", "nobody")));
    ExpectRefused(EG_ERR_FORMAT, "a cycle", Functional(x + Dense("a", "d") + "," + Dense("d", "a")));
    ExpectRefused(EG_ERR_FORMAT, "a cycle", Functional(x + Dense("d", "d")));
    ExpectRefused(EG_ERR_FORMAT, "call 3 of 'x'",
                  Functional(x + Layer("Dense", "d", "\"units\": 2", R"([[["x", 3, 0, {}]]])")));
    ExpectRefused(EG_ERR_FORMAT, "output 1 of 'x'",
                  Functional(x + Layer("Dense", "d", "\"units\": 2", R"([[["x", 0, 1, {}]]])")));
    ExpectRefused(EG_ERR_FORMAT, "call -1",
                  Functional(x + Layer("Dense", "d", "\"units\": 2", R"([[["x", -1, 0, {}]]])")));
    ExpectRefused(EG_ERR_FORMAT, "input [layer, call, output]",
                  Functional(x + Layer("Dense", "d", "\"units\": 2", R"([[["x", "0", 0]]])")));
    ExpectRefused(EG_ERR_FORMAT, "not among input_layers", Functional(x + Input("y") + "," + Dense("d", "x")));
    ExpectRefused(EG_ERR_FORMAT, "input_layers names 'd'", Functional(x + Dense("d", "x"), R"([["d", 0, 0]])"));
    ExpectRefused(EG_ERR_FORMAT, "'output_layers' refers",
                  Functional(x + Dense("d", "x"), R"([["x", 0, 0]])", R"([["z", 0, 0]])"));
    ExpectRefused(EG_ERR_FORMAT, "output_layers", Functional(x + Dense("d", "x"), R"([["x", 0, 0]])", "null"));
    ExpectRefused(EG_ERR_FORMAT, "has no input", Functional(x + Layer("Dense", "d", "\"units\": 2", "[[]]")));
    ExpectRefused(EG_ERR_FORMAT, "units",
                  Functional(x + Layer("Dense", "d", "\"units\": \"many\"", R"([[["x", 0, 0]]])")));
    ExpectRefused(EG_ERR_FORMAT, "units", Functional(x + Layer("Dense", "d", "", R"([[["x", 0, 0]]])")));
    ExpectRefused(EG_ERR_FORMAT, "units", Functional(x + Layer("Dense", "d", "\"units\": -3", R"([[["x", 0, 0]]])")));
    ExpectRefused(EG_ERR_UNSUPPORTED, "is open", Functional(Input("x", "[null, null, 3]") + "," + Dense("d", "x")));
    ExpectRefused(EG_ERR_FORMAT, "batch_shape", Functional(Input("x", "[null, -3]") + "," + Dense("d", "x")));
    ExpectRefused(EG_ERR_FORMAT, "a shape", Functional(Input("x", "7") + "," + Dense("d", "x")));
    ExpectRefused(EG_ERR_SHAPE, "layer 'd'",
                  Functional(Input("x", "[null, 1099511627776]") + "," + Dense("d", "x", 1000000)));
    ExpectRefused(EG_ERR_UNSUPPORTED, "shape of its input",
                  R"({"class_name": "Sequential", "config": {"name": "s", "layers": [)" +
                      Layer("Dense", "d", "\"units\": 2", "[]") + "]}}");
    ExpectRefused(EG_ERR_UNSUPPORTED, "training=True",
                  Functional(x + Layer("Dropout", "d", "\"rate\": 0.5", R"([[["x", 0, 0, {"training": true}]]])")));
    ExpectRefused(EG_ERR_UNSUPPORTED, "the argument 'y'",
                  Functional(x + Layer("Dense", "d", "\"units\": 2", R"([[["x", 0, 0, {"y": 2.0}]]])")));
}

TEST_F(Architecture, AllUnsupportedLayersAtOnce)
{
    const std::string text =
        Functional(Input("x") + "," + Layer("LSTM", "rnn", "\"units\": 2", R"([[["x", 0, 0]]])") + "," +
                   Layer("Conv2D", "c", R"("filters": 2, "kernel_size": [1, 1], "data_format": "channels_first")",
                         R"([[["rnn", 0, 0]]])") +
                   "," + Layer("Lambda", "d", "", R"([[["c", 0, 0]]])"));
    ExpectRefused(EG_ERR_UNSUPPORTED, "3 unsupported layers: rnn (LSTM), c (Conv2D), d (Lambda)", text);
    json_t *config = nullptr;
    char *lines = nullptr;
    int64_t count = 0;
    ASSERT_EQ(EG_OK, egi_keras_parse(&config, text.c_str(), "test"));
    ASSERT_EQ(EG_OK, egi_keras_unsupported(&lines, &count, context, config, 2)) << eg_last_message();
    EXPECT_EQ(3, count);
    const std::string all = lines;
    EXPECT_NE(std::string::npos, all.find("rnn (LSTM): no such layer"));
    EXPECT_NE(std::string::npos, all.find("channels_first"));
    EXPECT_NE(std::string::npos, all.find("d (Lambda): python code"));
    egi_free(context, lines);
    json_decref(config);
}

TEST_F(Architecture, OperationsOfKeras3AreRefusedWhereTheyHaveNumbers)
{
    const std::string tensor =
        R"({"class_name": "__keras_tensor__", "config": {"shape": [null, 4], "dtype": "float32", "keras_history": ["x", 0, 0]}})";
    ExpectRefused(
        EG_ERR_UNSUPPORTED, "d (Add): it is an operation on a number",
        Functional(Input("x") + "," + Layer("Add", "d", "", "[{\"args\": [" + tensor + ", 3.0], \"kwargs\": {}}]")), 3);
    Model m;
    EXPECT_EQ(EG_OK, Build(Functional(Input("x") + "," +
                                      Layer("Add", "d", "",
                                            "[{\"args\": [[" + tensor + ", " + tensor + "]], \"kwargs\": {}}]")),
                           &m, 3))
        << eg_last_message();
}

TEST_F(Architecture, HostileGraphsEndSoon)
{
    // Nested models that call the next 50 times each would mean 50^8 calls.
    std::string inner = Functional(Input("x") + "," + Dense("d", "x"));
    for (int depth = 0; depth < 8; depth++) {
        std::string nodes;
        for (int i = 0; i < 50; i++)
            nodes += std::string(i ? "," : "") + (i ? "[[\"i\", " + std::to_string(i) + ", 0]]" : "[[\"x\", 0, 0]]");
        inner.insert(1, R"("name": "i", "inbound_nodes": [)" + nodes + "], ");
        inner = Functional(Input("x") + "," + inner, R"([["x", 0, 0]])", R"([["i", 50, 0]])");
    }
    ExpectRefused(EG_ERR_FORMAT, "calls of layers", inner);

    std::string deep = Functional(Input("x") + "," + Dense("d", "x"));
    for (int depth = 0; depth < 40; depth++) {
        deep.insert(1, R"("name": "i", "inbound_nodes": [[["x", 0, 0]]], )");
        deep = Functional(Input("x") + "," + deep, R"([["x", 0, 0]])", R"([["i", 1, 0]])");
    }
    ExpectRefused(EG_ERR_FORMAT, "nested more than", deep);

    std::string chain;
    for (int i = 0; i < 3000; i++)
        chain += Dense(i ? "l" + std::to_string(i) : "d", "l" + std::to_string(i + 1)) + ",";
    ExpectRefused(EG_ERR_FORMAT, "stand before their inputs",
                  Functional(chain + Dense("l3000", "x") + "," + Input("x")));
    ExpectRefused(EG_ERR_FORMAT, "JSON wanted", std::string(100000, '['));
}

// --- head surgery
// ------------------------------------------------------------------------------------------------------

class Surgery : public Architecture
{
  protected:
    void Change(Model &m, const std::function<void(json_t *)> &change)
    {
        json_t *config = json_deep_copy(m->config);
        change(config);
        EXPECT_EQ(EG_OK, egi_keras_rebuild(m.get(), config)) << eg_last_message();
        json_decref(config);
    }
    // Values of every parameter by path and name.
    std::map<std::string, std::vector<float>> Values(const eg_model *m)
    {
        std::map<std::string, std::vector<float>> all;
        for (int64_t i = 0; i < m->n_params; i++) {
            const float *p = static_cast<const float *>(egi_param_view(m, i).data);
            all[std::string(m->layers[m->params[i].layer].path) + "/" + m->params[i].name] =
                std::vector<float>(p, p + m->params[i].count);
        }
        return all;
    }
};

TEST_F(Surgery, UnitsChangeAndTheRestStays)
{
    for (const char *name : {"k2_frozen.h5", "k3_frozen.h5", "k2_sequential.h5", "k3_sequential.h5", "keras1.h5"}) {
        Model m = Load(Golden(name));
        const auto before = Values(m.get());
        std::string head = m->layers[m->n_layers - 1].path;
        const std::string version = static_cast<egi_keras_source *>(m->source)->version;
        json_object_set_new(m->meta, "note", json_string("stays"));
        Change(m, [&](json_t *c) {
            EXPECT_EQ(EG_OK, egi_keras_config_set_units(c, head.c_str(), 7)) << eg_last_message();
        });
        const auto after = Values(m.get());
        ASSERT_EQ(before.size(), after.size());
        for (const auto &[path, values] : before) {
            if (path.find(head) == 0) {
                EXPECT_EQ(path.find("kernel") != std::string::npos
                              ? values.size() / (std::string(name).find("frozen") != std::string::npos ? 3 : 2) * 7
                              : 7u,
                          after.at(path).size());
            } else {
                EXPECT_EQ(values, after.at(path)) << path;
            }
        }
        EXPECT_EQ(7, m->tensors[m->outputs[0]].dim[0]);
        ASSERT_EQ(EG_OK, eg_model_save(m.get(), Temp("out.h5").c_str())) << eg_last_message();
        const Model again = Load(Temp("out.h5"));
        ASSERT_TRUE(again);
        EXPECT_EQ(again->report.wanted, again->report.by_path);
        EXPECT_EQ(after, Values(again.get()));
        EXPECT_EQ(version, static_cast<egi_keras_source *>(again->source)->version);
        EXPECT_STREQ("stays", json_string_value(json_object_get(again->meta, "note")));
        EXPECT_EQ(Attributes(Golden(name), "model_weights"), Attributes(Temp("out.h5"), "model_weights"));
    }
}

TEST_F(Surgery, ASecondHead)
{
    for (const char *name : {"k2_frozen.h5", "k3_frozen.h5", "k2_sequential.h5", "k3_sequential.h5", "keras1.h5"}) {
        Model m = Load(Golden(name));
        const auto before = Values(m.get());
        const int in = static_cast<int>(egi_shape_count(&m->tensors[m->inputs[0]]));
        std::vector<float> x(static_cast<size_t>(in) * 2), y(64), y0(64), y1(64);
        for (size_t i = 0; i < x.size(); i++)
            x[i] = std::sin(static_cast<float>(i));
        const float *px[] = {x.data()};
        float *py[] = {y.data()}, *pz[] = {y0.data(), y1.data()};
        ASSERT_EQ(EG_OK, eg_model_predict(m.get(), px, 2, py)) << eg_last_message();

        char *path = nullptr;
        const std::string head = m->layers[m->n_layers - 1].path;
        Change(m, [&](json_t *c) {
            EXPECT_EQ(EG_OK, egi_keras_config_add_head(&path, c, m.get(), head.c_str(), "fashion", 5))
                << eg_last_message();
        });
        ASSERT_NE(nullptr, path);
        EXPECT_EQ(head + "_fashion", path);
        egi_free(context, path);
        ASSERT_EQ(2, m->n_outputs);
        EXPECT_EQ(5, m->tensors[m->outputs[1]].dim[0]);
        ASSERT_EQ(EG_OK, eg_model_predict(m.get(), px, 2, pz)) << eg_last_message();
        EXPECT_EQ(y, y0) << name;
        const auto after = Values(m.get());
        EXPECT_EQ(before.size() + 2, after.size());

        ASSERT_EQ(EG_OK, eg_model_save(m.get(), Temp("out.h5").c_str())) << eg_last_message();
        const Model again = Load(Temp("out.h5"));
        ASSERT_TRUE(again) << name;
        EXPECT_EQ(again->report.wanted, again->report.by_path) << name;
        EXPECT_EQ(0, again->report.skipped);
        EXPECT_EQ(after, Values(again.get()));
        ASSERT_EQ(EG_OK, eg_model_save(again.get(), Temp("again.h5").c_str()));
        EXPECT_TRUE(Bytes(Temp("out.h5")) == Bytes(Temp("again.h5"))) << name;
    }
}

TEST_F(Surgery, NewTensorsAreNamedAsTheFileNamesItsOwn)
{
    const std::map<std::string, std::string> kernels = {{"k2_sequential.h5", "_new/kernel:0"},
                                                        {"k3_sequential.h5", "_new/kernel"},
                                                        {"k2_frozen.h5", "_new/kernel:0"},
                                                        {"k3_frozen.h5", "_new/kernel"},
                                                        {"keras1.h5", "_new_W:0"}};
    for (const auto &[name, kernel] : kernels) {
        Model m = Load(Golden(name));
        char *path = nullptr;
        const std::string head = m->layers[m->n_layers - 1].path;
        Change(m, [&](json_t *c) {
            EXPECT_EQ(EG_OK, egi_keras_config_add_head(&path, c, m.get(), head.c_str(), "new", 5)) << eg_last_message();
        });
        egi_free(context, path);
        ASSERT_EQ(EG_OK, eg_model_save(m.get(), Temp("out.h5").c_str())) << eg_last_message();
        int found = 0;
        for (const auto &[tensor, array] : Tensors(Temp("out.h5"), "model_weights"))
            found += tensor.size() > kernel.size() &&
                     tensor.compare(tensor.size() - kernel.size(), kernel.size(), kernel) == 0;
        EXPECT_EQ(1, found) << name;
    }
}

TEST_F(Surgery, ASecondHeadBesideDenseAndActivation)
{
    const std::string file = Shared("deepxplore-mnist-lenets/Model1.h5");
    SKIP_WITHOUT(file);
    Model m = Load(file, Shared("deepxplore-mnist-lenets/Model1.arch.json"));
    char *path = nullptr;
    Change(m, [&](json_t *c) {
        EXPECT_EQ(EG_OK, egi_keras_config_add_head(&path, c, m.get(), "before_softmax", "b", 20)) << eg_last_message();
    });
    EXPECT_STREQ("before_softmax_b", path);
    egi_free(context, path);
    EXPECT_GE(egi_model_find_layer(m.get(), "predictions_b"), 0);
    EXPECT_EQ(20, m->tensors[m->outputs[1]].dim[0]);
    ASSERT_EQ(EG_OK, eg_model_save(m.get(), Temp("out.h5").c_str())) << eg_last_message();
    const Model again = Load(Temp("out.h5")); // its architecture came along
    ASSERT_TRUE(again);
    EXPECT_EQ(8, again->report.by_path);
}

TEST_F(Surgery, Refusals)
{
    Model m = Load(Golden("k3_functional.h5"));
    json_t *c = json_deep_copy(m->config);
    char *path = nullptr;
    EXPECT_EQ(EG_ERR_ARG, egi_keras_config_set_units(c, "nobody", 3));
    EXPECT_EQ(EG_ERR_ARG, egi_keras_config_set_units(c, "d1", 0));
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_keras_config_set_units(c, "bn", 3));
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_keras_config_add_head(&path, c, m.get(), "inner/c2", "b", 3));
    EXPECT_EQ(nullptr, path);
    json_decref(c);

    Model deep = Load(Golden("k3_deep.h5"));
    c = json_deep_copy(deep->config);
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_keras_config_add_head(&path, c, deep.get(), "middle/e", "b", 3));
    json_decref(c);

    Model s = Load(Golden("k2_sequential.h5"));
    c = json_deep_copy(s->config);
    const std::string first = s->layers[1].path; // layers with weights follow
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_keras_config_add_head(&path, c, s.get(), first.c_str(), "b", 3));
    json_decref(c);
    ExpectOutputs(s.get(), Tensors(Golden("refs.h5")), "/k2_sequential/");
}

TEST_F(Surgery, AFailedRebuildLeavesTheModelAsItWas)
{
    Model m = Load(Golden("k2_sequential.h5"));
    const auto before = Values(m.get());
    json_t *bad = json_pack("{s: s, s: {s: []}}", "class_name", "Sequential", "config", "layers");
    EXPECT_EQ(EG_ERR_FORMAT, egi_keras_rebuild(m.get(), bad));
    json_decref(bad);
    EXPECT_EQ(before, Values(m.get()));
    ExpectOutputs(m.get(), Tensors(Golden("refs.h5")), "/k2_sequential/");
}

} // namespace
