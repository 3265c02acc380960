#include "support.h"

class PreprocessTest : public Parts
{
  protected:
    // Bytes of 1 x 1 x 1 images with labels v > 127, and a network that is right about them only where inputs are
    // x/127.5 - 1: it asks whether the input is above 0.
    Set Values(const char *name = "values")
    {
        std::vector<uint8_t> x;
        std::vector<int32_t> labels;
        for (int v = 0; v < 256; v++) {
            x.push_back((uint8_t)v);
            labels.push_back(v > 127);
        }
        return Bytes(x, {1, 1, 1}, labels, name);
    }
    Model Threshold(double at)
    {
        Model m = Build(R"({"class_name":"Sequential","config":{"name":"t","layers":[
          {"class_name":"InputLayer","config":{"batch_shape":[null,1,1,1],"dtype":"float32","name":"x"}},
          {"class_name":"Flatten","config":{"name":"flat"}},
          {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}]}})");
        const egi_tensor kernel = Param(m.get(), "head", "kernel"), bias = Param(m.get(), "head", "bias");
        egi_set(&kernel, 0, -4);
        egi_set(&kernel, 1, 4);
        egi_set(&bias, 0, 4 * at);
        egi_set(&bias, 1, -4 * at);
        return m;
    }
    egi_preprocess_choice Choose(const eg_model *m, const char *wanted, const eg_dataset *data,
                                 const eg_dataset *labelled)
    {
        egi_preprocess_choice c = {};
        EXPECT_FINE(egi_preprocess_choose(&c, m, wanted, data, labelled, nullptr, 0));
        return c;
    }
};

TEST_F(PreprocessTest, TheCandidateThatIsRightIsFound)
{
    const Set data = Values();
    EXPECT_STREQ("tf", Choose(Threshold(0).get(), "auto", data.get(), data.get()).text);
    EXPECT_STREQ("unit", Choose(Threshold(0.5).get(), nullptr, data.get(), data.get()).text);
    const egi_preprocess_choice raw = Choose(Threshold(127.5).get(), "auto", data.get(), data.get());
    EXPECT_STREQ("none", raw.text);
    EXPECT_TRUE(strstr(raw.reason, "examples of values: 100.0 % right")) << raw.reason;
}

TEST_F(PreprocessTest, WhereAllAreRightTheUsualOneIsTaken)
{
    std::vector<uint8_t> x;
    std::vector<int32_t> labels;
    for (int i = 0; i < 64; i++) {
        x.push_back(i % 2 ? 255 : 0);
        labels.push_back(i % 2);
    }
    const Set data = Bytes(x, {1, 1, 1}, labels, "ends");
    const egi_preprocess_choice c = Choose(Threshold(0.5).get(), "auto", data.get(), data.get());
    EXPECT_STREQ("unit", c.text);
    EXPECT_TRUE(strstr(c.reason, "examples of ends: all right, as with ")) << c.reason;
}

TEST_F(PreprocessTest, WithoutEvidenceTheReasonSaysSo)
{
    const Set data = Values();
    const egi_preprocess_choice c = Choose(Threshold(0).get(), "auto", data.get(), nullptr);
    EXPECT_STREQ("unit", c.text);
    EXPECT_TRUE(strstr(c.reason, "nothing says otherwise")) << c.reason;
    const Model blind = Threshold(1e6); // always the same answer
    EXPECT_TRUE(strstr(Choose(blind.get(), "auto", data.get(), data.get()).reason, "nothing says otherwise"));
}

TEST_F(PreprocessTest, WhoeverSaysItIsBelieved)
{
    const Model m = Threshold(0);
    const Set data = Values(), floats = Floats({1, 2}, {1, 1, 1}, {0, 1}, "floats");
    EXPECT_STREQ("asked for", Choose(m.get(), "caffe", data.get(), data.get()).reason);
    EXPECT_STREQ("none", Choose(m.get(), "auto", floats.get(), floats.get()).text);
    egi_preprocess_choice c = Choose(m.get(), "0.5/0.25", data.get(), nullptr);
    ASSERT_FINE(egi_preprocess_record(m.get(), &c, floats.get()));
    EXPECT_EQ(nullptr, json_object_get(m->meta, "preprocess")) << "floats say nothing about bytes";
    ASSERT_FINE(egi_preprocess_record(m.get(), &c, data.get()));
    c = Choose(m.get(), "auto", data.get(), data.get());
    EXPECT_STREQ("0.5/0.25", c.text);
    EXPECT_STREQ("from the file", c.reason);
    eg_model_info info;
    eg_model_get_info(m.get(), &info);
    EXPECT_STREQ("asked for", info.preprocess_reason);
    EXPECT_STRNE("", info.preprocess);

    // A task's own way is nearer than the model's.
    const int32_t rows[] = {0, 1};
    ASSERT_FINE(egi_tasks_record(m.get(), "values", data.get(), rows, 0));
    ASSERT_FINE(egi_tasks_set_preprocess(m.get(), "values", "tf"));
    EXPECT_STREQ("tf", Choose(m.get(), "auto", data.get(), data.get()).text);
    ASSERT_FINE(egi_tasks_record(m.get(), "values", data.get(), rows, 0));
    EXPECT_STREQ("tf", Choose(m.get(), "auto", data.get(), data.get()).text) << "recording anew lost it";

    egi_preprocess_choice out;
    EXPECT_EQ(EG_ERR_CONFIG, egi_preprocess_choose(&out, m.get(), "magic", data.get(), nullptr, nullptr, 0));
    ASSERT_FINE(egi_tasks_set_preprocess(m.get(), "values", "magic"));
    EXPECT_EQ(EG_ERR_FORMAT, egi_preprocess_choose(&out, m.get(), "auto", data.get(), nullptr, nullptr, 0));
}

TEST_F(PreprocessTest, BatchNormStatisticsTellWithoutLabels)
{
    const Model m = Build(R"({"class_name":"Sequential","config":{"name":"b","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,1,1,1],"dtype":"float32","name":"x"}},
      {"class_name":"Conv2D","config":{"name":"conv","filters":2,"kernel_size":[1,1],"activation":"linear"}},
      {"class_name":"BatchNormalization","config":{"name":"bn","axis":-1}},
      {"class_name":"Flatten","config":{"name":"flat"}},
      {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}]}})");
    const Set data = Values();
    const egi_tensor w = Param(m.get(), "conv", "kernel"), mean = Param(m.get(), "bn", "moving_mean"),
                     var = Param(m.get(), "bn", "moving_variance");
    // What a network that saw 0, 1, ..., 255 through each candidate would have stored: mean and variance of a uniform
    // range.
    const struct {
        const char *name;
        double shift, scale;
    } ways[] = {{"none", 0, 1}, {"unit", 0, 1 / 255.0}, {"tf", 127.5, 1 / 127.5}};
    for (const auto &way : ways) {
        for (int64_t k = 0; k < 2; k++) {
            egi_set(&w, k, k ? -0.5 : 2);
            egi_set(&mean, k, (127.5 - way.shift) * way.scale * egi_get(&w, k));
            egi_set(&var, k, (256.0 * 256 - 1) / 12 * way.scale * way.scale * egi_get(&w, k) * egi_get(&w, k));
        }
        const egi_preprocess_choice c = Choose(m.get(), "auto", data.get(), nullptr);
        EXPECT_STREQ(way.name, c.text) << c.reason;
        EXPECT_TRUE(strstr(c.reason, "batch normalisation")) << c.reason;
    }
}
