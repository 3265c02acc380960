// What the checkpoint tests share: a context that counts blocks, temporary folders, arrays from HDF5 files, outputs of
// models.
#ifndef TESTS_CHECKPOINT_SUPPORT_H
#define TESTS_CHECKPOINT_SUPPORT_H

#include <gtest/gtest.h>

extern "C" {
#include "checkpoints/hdf5.h"
#include "checkpoints/keras_source.h"
#include "engram/engram.h"
}

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fs = std::filesystem;

inline std::string Shared(const std::string &path)
{
    const char *set = std::getenv("EG_SHARED");
    return std::string(set ? set : EG_SOURCE_DIR "/../shared") + "/checkpoints/" + path;
}

inline std::string Golden(const std::string &name)
{
    return EG_SOURCE_DIR "/tests/golden/checkpoint/" + name;
}

inline std::vector<char> Bytes(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    return std::vector<char>(std::istreambuf_iterator<char>(in), {});
}

inline void WriteBytes(const std::string &path, const std::vector<char> &bytes)
{
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

struct ModelFree {
    void operator()(eg_model *m) const
    {
        eg_model_free(m);
    }
};
using Model = std::unique_ptr<eg_model, ModelFree>;

struct Array {
    egi_h5_data info;
    std::vector<char> bytes;
    std::vector<float> Floats() const
    {
        const float *p = reinterpret_cast<const float *>(bytes.data());
        return std::vector<float>(p, p + info.count);
    }
};

// A context and a folder; memory that is not given back fails the test.
class ContextTest : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.threads = 1;
        o.log_user = this;
        o.log = [](void *user, eg_log_level, const char *line) {
            static_cast<ContextTest *>(user)->log.push_back(line);
        };
        ASSERT_EQ(EG_OK, eg_context_create(&context, &o)) << eg_last_message();
        blocks = context->live_blocks;
        std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
        std::replace(name.begin(), name.end(), '/', '_');
        folder = fs::temp_directory_path() / ("engram_" + name + "_" + std::to_string(getpid()));
        fs::remove_all(folder);
        fs::create_directories(folder);
    }
    void TearDown() override
    {
        EXPECT_EQ(blocks, context->live_blocks) << "memory is leaked";
        eg_context_free(context);
        fs::remove_all(folder);
    }

    std::string Temp(const std::string &name) const
    {
        return (folder / name).string();
    }

    // Loads or fails the test.
    Model Load(const std::string &path, const std::string &arch = "")
    {
        eg_load_options o = EG_LOAD_OPTIONS_INIT;
        o.arch = arch.empty() ? nullptr : arch.c_str();
        eg_model *m = nullptr;
        EXPECT_EQ(EG_OK, eg_model_load(&m, context, path.c_str(), &o)) << eg_last_message();
        return Model(m);
    }

    eg_context *context = nullptr;
    int64_t blocks = 0;
    fs::path folder;
    std::vector<std::string> log;
};

// What is in a file.
class FileTest : public ContextTest
{
  protected:
    // All datasets of a file by path.
    std::map<std::string, Array> Tensors(const std::string &path, const std::string &below = "")
    {
        std::map<std::string, Array> all;
        egi_h5 *f = nullptr;
        EXPECT_EQ(EG_OK, egi_h5_open(&f, context, path.c_str())) << eg_last_message();
        if (f) {
            const int64_t node = egi_h5_find(f, 0, below.c_str());
            if (node >= 0)
                Walk(f, node, "", all);
            egi_h5_close(f);
        }
        return all;
    }

    void Walk(egi_h5 *f, int64_t node, const std::string &path, std::map<std::string, Array> &all)
    {
        if (egi_h5_kind_of(f, node) == EGI_H5_DATASET) {
            Array a;
            ASSERT_EQ(EG_OK, egi_h5_data_info(&a.info, f, node)) << eg_last_message();
            a.bytes.resize(static_cast<size_t>(a.info.count) * a.info.type.size + 1);
            ASSERT_EQ(EG_OK, egi_h5_data_read(a.bytes.data(), f, node, &a.info)) << eg_last_message();
            a.bytes.pop_back();
            all[path] = a;
            return;
        }
        int64_t first;
        const int64_t n = egi_h5_children(f, node, &first);
        for (int64_t i = first; i < first + n; i++)
            Walk(f, i, path + "/" + egi_h5_name(f, i), all);
    }

    // Attributes of an object as text: class, shape, elements.
    std::map<std::string, std::string> Attributes(const std::string &path, const std::string &object)
    {
        std::map<std::string, std::string> all;
        egi_h5 *f = nullptr;
        egi_h5_attrs attrs;
        EXPECT_EQ(EG_OK, egi_h5_open(&f, context, path.c_str())) << eg_last_message();
        EXPECT_EQ(EG_OK, egi_h5_attrs_read(&attrs, f, egi_h5_find(f, 0, object.c_str()))) << eg_last_message();
        for (int64_t i = 0; i < attrs.n; i++) {
            const egi_h5_attr &a = attrs.list[i];
            std::string text = std::to_string(a.type.kind) + egi_shape_format(&a.shape).s;
            for (int64_t k = 0; k < a.count && a.text; k++)
                text += std::string("|") + a.text[k];
            if (a.data)
                text += "|" + std::string(static_cast<char *>(a.data), static_cast<size_t>(a.count) * a.type.size);
            all[a.name] = text;
        }
        egi_h5_attrs_free(context, &attrs);
        egi_h5_close(f);
        return all;
    }
};

class CheckpointTest : public FileTest
{
  protected:
    // Outputs for the inputs x0, x1, ... of a group; compared with y0, y1, ...
    void ExpectOutputs(eg_model *m, const std::map<std::string, Array> &ref, const std::string &prefix)
    {
        std::vector<std::vector<float>> x, y;
        std::vector<const float *> px;
        std::vector<float *> py;
        const std::string first = ref.count(prefix + "x0") ? "x0" : "x";
        ASSERT_TRUE(ref.count(prefix + first)) << prefix;
        const int64_t n = ref.at(prefix + first).info.shape.dim[0];
        for (int i = 0; i < m->n_inputs; i++)
            x.push_back(ref.at(prefix + (first == "x" ? "x" : "x" + std::to_string(i))).Floats());
        for (auto &v : x)
            px.push_back(v.data());
        for (int i = 0; i < m->n_outputs; i++)
            y.emplace_back(static_cast<size_t>(n * egi_shape_count(&m->tensors[m->outputs[i]])));
        for (auto &v : y)
            py.push_back(v.data());
        ASSERT_EQ(EG_OK, eg_model_predict(m, px.data(), n, py.data())) << eg_last_message();
        for (int i = 0; i < m->n_outputs; i++) {
            const auto wanted = ref.at(prefix + (ref.count(prefix + "y") ? "y" : "y" + std::to_string(i))).Floats();
            ASSERT_EQ(wanted.size(), y[i].size()) << prefix;
            double most = 0;
            for (float v : wanted)
                most = std::fmax(most, std::fabs(v));
            for (size_t k = 0; k < wanted.size(); k++)
                ASSERT_NEAR(wanted[k], y[i][k], 1e-5 + 1e-4 * most) << prefix << " output " << i << " element " << k;
        }
    }
};

#define SKIP_WITHOUT(path) \
    if (!fs::exists(path)) \
    GTEST_SKIP() << "skipped: " << (path) << " is not there"

#endif
