// What the fine-tuning tests share: a context, models from Keras layer configs, data sets over vectors, golden numbers.
#ifndef FINETUNE_SUPPORT_H
#define FINETUNE_SUPPORT_H

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

extern "C" {
#include "checkpoints/keras_config.h"
#include "core/context.h"
#include "core/mirror.h"
#include "core/rng.h"
#include "engram/engram.h"
#include "finetune/run.h"
#include "layers/layers.h"
}

#define ASSERT_OK(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()
#define EXPECT_OK(call) EXPECT_EQ(EG_OK, (call)) << eg_last_message()

struct Context {
    eg_context *c = nullptr;
    explicit Context(int threads = 1, const eg_allocator *allocator = nullptr, const char *device = nullptr)
    {
        eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
        options.threads = threads;
        options.allocator = allocator;
        options.device = device ? device : getenv("EG_TEST_DEVICE"); // NULL: auto
        EXPECT_OK(eg_context_create(&c, &options));
        live_at_start = c->live_blocks;
    }
    ~Context()
    {
        EXPECT_EQ(live_at_start, c->live_blocks) << "something was not freed";
        eg_context_free(c);
    }
    Context(const Context &) = delete;
    int64_t live_at_start = 0;
};

struct Json {
    json_t *j = nullptr;
    explicit Json(const std::string &text) : j(json_loads(text.c_str(), 0, nullptr))
    {
        EXPECT_NE(nullptr, j) << text.substr(0, 80);
    }
    explicit Json(json_t *own) : j(own)
    {
    }
    ~Json()
    {
        json_decref(j);
    }
    Json(const Json &) = delete;
    static json_t *golden(const char *name)
    {
        const std::string path = std::string(EG_SOURCE_DIR "/tests/golden/finetune/") + name;
        json_error_t error;
        json_t *j = json_load_file(path.c_str(), 0, &error);
        EXPECT_NE(nullptr, j) << path << ": " << error.text;
        return j;
    }
};

inline std::vector<double> numbers(const json_t *list)
{
    std::vector<double> out;
    for (size_t i = 0; i < json_array_size(list); i++)
        out.push_back(json_number_value(json_array_get(list, i)));
    return out;
}

struct Model {
    eg_model *m = nullptr;
    Model() = default;
    Model(const Model &) = delete;
    ~Model()
    {
        eg_model_free(m);
    }
    // A Sequential of layers: {"class_name": ..., "config": ...} each.
    static void chain(Model &out, eg_context *c, egi_dtype dtype, const egi_shape &input, const json_t *layers)
    {
        json_t *shape = json_array(), *list = json_deep_copy(layers);
        json_array_append_new(shape, json_null());
        for (int i = 0; i < input.rank; i++)
            json_array_append_new(shape, json_integer(input.dim[i]));
        json_array_insert_new(list, 0,
                              json_pack("{s:s, s:{s:o, s:s}}", "class_name", "InputLayer", "config", "batch_shape",
                                        shape, "name", "input"));
        Json config{
            json_pack("{s:s, s:{s:s, s:o}}", "class_name", "Sequential", "config", "name", "chain", "layers", list)};
        ASSERT_OK(egi_keras_build(&out.m, c, config.j, dtype, 3));
    }
    static void chain(Model &out, eg_context *c, egi_dtype dtype, const egi_shape &input, const char *layers)
    {
        Json j{std::string(layers)};
        chain(out, c, dtype, input, j.j);
    }
    egi_tensor weight(const std::string &path) const // "layer/name"
    {
        const size_t slash = path.rfind('/');
        const int layer = egi_model_find_layer(m, path.substr(0, slash).c_str());
        EXPECT_GE(layer, 0) << path;
        const int64_t p = egi_model_find_param(m, layer, path.substr(slash + 1).c_str());
        EXPECT_GE(p, 0) << path;
        return egi_param_view(m, p);
    }
    void set(const std::string &path, const std::vector<double> &values)
    {
        const egi_tensor t = weight(path);
        ASSERT_EQ((int64_t)values.size(), egi_count(&t)) << path;
        for (size_t i = 0; i < values.size(); i++)
            egi_set(&t, (int64_t)i, values[i]);
    }
    std::vector<double> get(const std::string &path) const
    {
        const egi_tensor t = weight(path);
        EXPECT_OK(egi_host_reads(m->context, t.data));
        std::vector<double> out;
        for (int64_t i = 0; i < egi_count(&t); i++)
            out.push_back(egi_get(&t, i));
        return out;
    }
    std::vector<unsigned char> bytes() const
    {
        EXPECT_OK(egi_host_reads(m->context, m->weights));
        const unsigned char *b = static_cast<const unsigned char *>(m->weights);
        return {b, b + m->arena_count * (int64_t)egi_dtype_size(m->dtype)};
    }
};

// Hands out layers of a graph by Keras' class and config.
struct Graph {
    eg_model *m = nullptr;
    void start(eg_context *c, egi_dtype dtype = EGI_F32)
    {
        ASSERT_OK(egi_model_create(&m, c, dtype, 3));
    }
    int input(const egi_shape &shape)
    {
        int t = -1;
        EXPECT_OK(egi_model_add_input(m, &shape, &t));
        return t;
    }
    int call(const char *type, const std::string &config, const std::vector<int> &in)
    {
        Json j{"{" + config + "}"};
        int layer = -1, out = -1;
        EXPECT_OK(egi_model_add_layer(m, egi_layer_type_find(type), j.j, nullptr, &layer));
        EXPECT_OK(egi_model_call(m, layer, in.data(), (int)in.size(), -1, &out));
        return out;
    }
    int conv(const char *name, int filters, int in)
    {
        return call("Conv2D",
                    std::string("\"name\":\"") + name + "\",\"filters\":" + std::to_string(filters) +
                        ",\"kernel_size\":3,\"padding\":\"same\"",
                    {in});
    }
    int norm(const char *name, int in)
    {
        return call("BatchNormalization", std::string("\"name\":\"") + name + "\"", {in});
    }
    int relu(int in)
    {
        return call("Activation", R"("activation":"relu")", {in});
    }
    int head(const char *name, int classes, int in)
    {
        return call("Dense",
                    std::string("\"name\":\"") + name +
                        "\",\"activation\":\"softmax\",\"units\":" + std::to_string(classes),
                    {in});
    }
    void finish(const std::vector<int> &outputs)
    {
        for (const int t : outputs)
            ASSERT_OK(egi_model_add_output(m, t));
        ASSERT_OK(egi_model_finish(m));
    }
};

struct Dataset {
    eg_dataset *d = nullptr;
    Dataset() = default;
    Dataset(const Dataset &) = delete;
    ~Dataset()
    {
        eg_dataset_free(d);
    }
    void make(eg_context *c, const std::vector<float> &x, const std::vector<int64_t> &shape,
              const std::vector<int32_t> &labels, const char *name = nullptr)
    {
        ASSERT_OK(eg_dataset_from_arrays(&d, c, x.data(), EG_DTYPE_F32, (int64_t)labels.size(), shape.data(),
                                         (int)shape.size(), labels.data()));
        if (name) {
            egi_free(c, d->name);
            ASSERT_OK(egi_strdup(&d->name, c, name));
        }
    }
};

inline std::vector<float> normal(int64_t n, uint32_t step, double scale = 1)
{
    egi_rng r = egi_rng_make(5, EGI_RNG_TEST, step);
    std::vector<float> out((size_t)n);
    for (float &v : out)
        v = (float)(scale * egi_rng_normal(&r));
    return out;
}

inline std::vector<int32_t> labels(int64_t n, int32_t classes, uint32_t step)
{
    egi_rng r = egi_rng_make(5, EGI_RNG_TEST, step);
    std::vector<int32_t> out((size_t)n);
    for (int32_t &v : out)
        v = (int32_t)egi_rng_below(&r, (uint64_t)classes);
    return out;
}

struct Config {
    eg_config *c = nullptr;
    explicit Config(eg_context *context)
    {
        EXPECT_OK(eg_config_create(&c, context));
    }
    ~Config()
    {
        eg_config_free(c);
    }
    Config(const Config &) = delete;
    Config &set(const char *key, const std::string &value)
    {
        EXPECT_OK(eg_config_set(c, key, value.c_str()));
        return *this;
    }
};

#endif
