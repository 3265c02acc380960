// What the tests of finetune's parts share: a context that must not leak, a folder that goes away, small models, golden
// numbers.
#pragma once

extern "C" {
#include "checkpoints/keras_config.h"
#include "core/model.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "engram/engram.h"
#include "finetune/config.h"
#include "finetune/eval.h"
#include "finetune/heads.h"
#include "finetune/memory.h"
#include "finetune/metrics.h"
#include "finetune/preprocess.h"
#include "finetune/report.h"
#include "finetune/tasks.h"
#include "optim/optim.h"
}

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#define ASSERT_FINE(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()
#define EXPECT_FINE(call) EXPECT_EQ(EG_OK, (call)) << eg_last_message()

template <typename T, void (*Free)(T *)> struct Deleter {
    void operator()(T *p) const
    {
        Free(p);
    }
};
using Model = std::unique_ptr<eg_model, Deleter<eg_model, eg_model_free>>;
using Set = std::unique_ptr<eg_dataset, Deleter<eg_dataset, eg_dataset_free>>;
using Config = std::unique_ptr<eg_config, Deleter<eg_config, eg_config_free>>;
using Evaluator = std::unique_ptr<egi_evaluator, Deleter<egi_evaluator, egi_evaluator_free>>;
using Map = std::unique_ptr<egi_head_map, Deleter<egi_head_map, egi_head_map_free>>;
using Memory = std::unique_ptr<egi_memory, Deleter<egi_memory, egi_memory_free>>;
using Json = std::unique_ptr<json_t, Deleter<json_t, json_decref>>;

class Parts : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.threads = 2;
        ASSERT_EQ(EG_OK, eg_context_create(&ctx, &o)) << eg_last_message();
        folder = std::filesystem::temp_directory_path() / ("engram_parts_" + std::to_string(getpid()));
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
        live = ctx->live_blocks;
    }
    void TearDown() override
    {
        EXPECT_EQ(live, ctx->live_blocks) << "something was not released";
        eg_context_free(ctx);
        std::filesystem::remove_all(folder);
    }
    std::string Write(const std::string &name, const std::string &text)
    {
        std::ofstream(folder / name, std::ios::binary) << text;
        return (folder / name).string();
    }
    // A model built from an architecture; its weights are the initializers'.
    Model Build(const std::string &architecture, egi_dtype dtype = EGI_F32)
    {
        json_t *config = nullptr;
        eg_model *m = nullptr;
        EXPECT_EQ(EG_OK, egi_keras_parse(&config, architecture.c_str(), "test")) << eg_last_message();
        EXPECT_EQ(EG_OK, egi_keras_build(&m, ctx, config, dtype, 3)) << eg_last_message();
        json_decref(config);
        return Model(m);
    }
    // Examples of float arrays, with class names when given.
    Set Floats(const std::vector<float> &x, const std::vector<int64_t> &shape, const std::vector<int32_t> &labels,
               const char *name = "arrays")
    {
        return Arrays(x.data(), EG_DTYPE_F32, x.size(), shape, labels, name);
    }
    Set Bytes(const std::vector<uint8_t> &x, const std::vector<int64_t> &shape, const std::vector<int32_t> &labels,
              const char *name = "arrays")
    {
        return Arrays(x.data(), EG_DTYPE_U8, x.size(), shape, labels, name);
    }
    void NameClasses(eg_dataset *d, const std::vector<std::string> &names)
    {
        d->classes = (int64_t)names.size();
        ASSERT_EQ(EG_OK, egi_alloc(&d->class_names, ctx, d->classes, sizeof *d->class_names));
        for (size_t i = 0; i < names.size(); i++)
            ASSERT_EQ(EG_OK, egi_strdup(&d->class_names[i], ctx, names[i].c_str()));
    }

    eg_context *ctx = nullptr;
    std::filesystem::path folder;
    int64_t live = 0;

  private:
    Set Arrays(const void *x, eg_dtype dtype, size_t count, const std::vector<int64_t> &shape,
               const std::vector<int32_t> &labels, const char *name)
    {
        int64_t one = 1;
        for (int64_t d : shape)
            one *= d;
        eg_dataset *d = nullptr;
        EXPECT_EQ(EG_OK, eg_dataset_from_arrays(&d, ctx, x, dtype, (int64_t)count / one, shape.data(),
                                                (int)shape.size(), labels.empty() ? nullptr : labels.data()))
            << eg_last_message();
        egi_free(ctx, d->name);
        d->name = nullptr;
        EXPECT_EQ(EG_OK, egi_strdup(&d->name, ctx, name));
        return Set(d);
    }
};

// The same with a configuration of defaults.
class ConfiguredParts : public Parts
{
  protected:
    void SetUp() override
    {
        Parts::SetUp();
        eg_config *c = nullptr;
        ASSERT_FINE(eg_config_create(&c, ctx));
        config.reset(c);
    }
    void TearDown() override
    {
        config.reset();
        Parts::TearDown();
    }

    Config config;
};

// {"class_name": "Sequential", ...}: (in) -> Dense 5 tanh "hidden" -> Dense `units` `activation` "head".
inline std::string Mlp(int in, int units, const std::string &activation)
{
    return R"({"class_name":"Sequential","config":{"name":"mlp","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,)" +
           std::to_string(in) + R"(],"dtype":"float32","name":"x"}},
      {"class_name":"Dense","config":{"name":"hidden","units":5,"activation":"tanh","use_bias":true}},
      {"class_name":"Dense","config":{"name":"head","units":)" +
           std::to_string(units) + R"(,"activation":")" + activation + R"(","use_bias":true}}]}})";
}

// The same with the activation in a layer of its own.
inline std::string MlpSplit(int in, int units)
{
    return R"({"class_name":"Sequential","config":{"name":"mlp","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,)" +
           std::to_string(in) + R"(],"dtype":"float32","name":"x"}},
      {"class_name":"Dense","config":{"name":"head","units":)" +
           std::to_string(units) + R"(,"activation":"linear","use_bias":true}},
      {"class_name":"Activation","config":{"name":"last","activation":"softmax"}}]}})";
}

inline egi_tensor Param(const eg_model *m, const char *layer, const char *name)
{
    const int l = egi_model_find_layer(m, layer);
    EXPECT_GE(l, 0) << layer;
    const int64_t p = egi_model_find_param(m, l, name);
    EXPECT_GE(p, 0) << name;
    return egi_param_view(m, p);
}

inline float At(const egi_tensor &t, int64_t i)
{
    return (float)egi_get(&t, i);
}

inline std::string ReadText(const std::filesystem::path &path)
{
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in.good()) << path;
    return std::string(std::istreambuf_iterator<char>(in), {});
}

inline json_t *GoldenNumbers()
{
    static const Json golden(json_load_file(EG_SOURCE_DIR "/tests/golden/data/finetune_parts.json", 0, nullptr));
    EXPECT_TRUE(golden) << "tests/golden/data/finetune_parts.json cannot be read";
    return golden.get();
}

inline double Number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

inline std::string SharedPath(const std::string &name)
{
    const char *shared = getenv("EG_SHARED");
    return (shared ? std::string(shared) : std::string(EG_SOURCE_DIR) + "/../shared") + "/" + name;
}
