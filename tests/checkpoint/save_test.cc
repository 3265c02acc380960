// Saving gives back what was loaded: tensors byte for byte, names, order and attributes; the same model gives the same
// bytes.
#include "support.h"

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace
{

struct Case {
    std::string file, arch, weights; // `weights`: group that holds the tensors
};

void PrintTo(const Case &c, std::ostream *out)
{
    *out << c.file;
}

std::vector<Case> Cases()
{
    std::vector<Case> all;
    for (const char *name : {"k2_functional", "k3_functional", "k2_frozen", "k3_frozen", "k2_deep", "k3_deep",
                             "k2_sequential", "k3_sequential", "keras1", "split", "stored", "unnamed"})
        all.push_back({Golden(std::string(name) + ".h5"), "", "model_weights"});
    all.push_back({Golden("weights_only.h5"), Golden("weights_only.json"), ""});
    for (const char *i : {"1", "2", "3"})
        all.push_back({Shared(std::string("deepxplore-mnist-lenets/Model") + i + ".h5"),
                       Shared(std::string("deepxplore-mnist-lenets/Model") + i + ".arch.json"), ""});
    for (const char *name : {"mlperf-tiny-resnet8-cifar10/pretrainedResnet.h5", "21cmvae-mlps/ae_emulator.h5",
                             "mlperf-tiny-ad01-dense-autoencoder/ad01.h5", "mmsplice/Donor.h5"})
        all.push_back({Shared(name), "", "model_weights"});
    return all;
}

class Save : public CheckpointTest
{
  protected:
    std::string SaveTo(const eg_model *m, const std::string &name)
    {
        EXPECT_EQ(EG_OK, eg_model_save(m, Temp(name).c_str())) << eg_last_message();
        return Temp(name);
    }
};

class SaveFile : public Save, public ::testing::WithParamInterface<Case>
{
  protected:
    void ExpectSameTree(const std::string &a, const std::string &b)
    {
        const auto before = Tensors(a, GetParam().weights), after = Tensors(b, GetParam().weights);
        for (const auto &[path, array] : before) {
            if (path.find("/engram/") == 0 || path.find("/optimizer_weights/") == 0)
                continue;
            ASSERT_TRUE(after.count(path)) << path;
            EXPECT_EQ(array.bytes, after.at(path).bytes) << path;
            EXPECT_EQ(array.info.type.size, after.at(path).info.type.size) << path;
            EXPECT_EQ(array.info.type.big_endian, after.at(path).info.type.big_endian) << path;
            const std::string object = GetParam().weights + path;
            EXPECT_EQ(Attributes(a, object), Attributes(b, object)) << path;
        }
        EXPECT_GE(before.size(), 4u);
    }
};

TEST_P(SaveFile, GivesBackTensorsNamesAndAttributes)
{
    const Case &c = GetParam();
    SKIP_WITHOUT(c.file);
    const Model m = Load(c.file, c.arch);
    const std::string out = SaveTo(m.get(), "out.h5");
    ExpectSameTree(c.file, out);
    EXPECT_EQ(Attributes(c.file, "/"), Attributes(out, "/"));
    EXPECT_EQ(Attributes(c.file, c.weights), Attributes(out, c.weights));
    egi_h5 *f = nullptr;
    ASSERT_EQ(EG_OK, egi_h5_open(&f, context, c.file.c_str()));
    int64_t first;
    const int64_t n = egi_h5_children(f, egi_h5_find(f, 0, c.weights.c_str()), &first);
    for (int64_t i = first; i < first + n; i++) {
        const std::string group = c.weights + "/" + egi_h5_name(f, i);
        EXPECT_EQ(Attributes(c.file, group), Attributes(out, group)) << group;
    }
    egi_h5_close(f);

    const Model again = Load(out); // weights-only files now carry their architecture
    ASSERT_TRUE(again);
    EXPECT_EQ(m->report.wanted, again->report.by_path + again->report.by_position);
    EXPECT_TRUE(Bytes(out) == Bytes(SaveTo(again.get(), "again.h5")));
}

TEST_P(SaveFile, CloneSavesTheSameBytes)
{
    const Case &c = GetParam();
    SKIP_WITHOUT(c.file);
    const Model m = Load(c.file, c.arch);
    eg_model *copy = nullptr;
    ASSERT_EQ(EG_OK, eg_model_clone(&copy, m.get())) << eg_last_message();
    const Model own(copy);
    EXPECT_TRUE(Bytes(SaveTo(m.get(), "a.h5")) == Bytes(SaveTo(copy, "b.h5")));
}

INSTANTIATE_TEST_SUITE_P(All, SaveFile, ::testing::ValuesIn(Cases()));

TEST_F(Save, ChangedElementsOfDoublesAndHalvesAreStored)
{
    const Model m = Load(Golden("stored.h5"));
    auto before = Tensors(Golden("stored.h5"), "model_weights");
    for (int64_t i = 0; i < m->n_params; i++) {
        const egi_tensor t = egi_param_view(m.get(), i);
        egi_set(&t, 0, 0.75); // exact in every type
    }
    auto after = Tensors(SaveTo(m.get(), "out.h5"), "model_weights");
    ASSERT_EQ(before.size(), after.size());
    for (auto &[path, array] : before) {
        const uint32_t size = array.info.type.size;
        const char *p = after.at(path).bytes.data();
        double value = size == 8   ? *reinterpret_cast<const double *>(p)
                       : size == 4 ? *reinterpret_cast<const float *>(p)
                                   : egi_half_to_float(*reinterpret_cast<const uint16_t *>(p));
        EXPECT_EQ(0.75, value) << path;
        EXPECT_TRUE(std::equal(array.bytes.begin() + size, array.bytes.end(), after.at(path).bytes.begin() + size))
            << path;
    }
}

TEST_F(Save, OptimizerWeightsAreDroppedTrainingConfigStays)
{
    const Model m = Load(Golden("k3_sequential.h5"));
    const std::string out = SaveTo(m.get(), "out.h5");
    EXPECT_FALSE(Tensors(Golden("k3_sequential.h5"), "optimizer_weights").empty());
    EXPECT_TRUE(Tensors(out, "optimizer_weights").empty());
    EXPECT_EQ(Attributes(Golden("k3_sequential.h5"), "/").at("training_config"),
              Attributes(out, "/").at("training_config"));
}

TEST_F(Save, MemoryTravelsInTheGroupEngram)
{
    const Model m = Load(Golden("k2_sequential.h5"));
    json_object_set_new(m->meta, "classes", json_pack("[s, s]", "caf\xc3\xa9", "\"quoted\""));
    const std::string big(200000, 'x'); // needs more than one attribute
    json_object_set_new(m->meta, "long", json_string(big.c_str()));
    std::vector<uint8_t> images(3 * 40 * 41);
    std::vector<float> scores = {1.5f, -2, NAN, 4};
    std::vector<int32_t> labels = {7, -1, 2147483647};
    std::vector<double> exact = {0.1};
    for (size_t i = 0; i < images.size(); i++)
        images[i] = static_cast<uint8_t>(i * i);
    const egi_tensor arrays[] = {{images.data(), EGI_U8, {3, {3, 40, 41}}},
                                 {scores.data(), EGI_F32, {2, {2, 2}}},
                                 {labels.data(), EGI_I32, {1, {3}}},
                                 {exact.data(), EGI_F64, {0, {}}},
                                 {scores.data(), EGI_F32, {2, {0, 5}}}};
    const char *names[] = {"memory/x", "memory/scores", "memory/labels", "lambda", "memory/none"};
    for (int i = 0; i < 5; i++)
        ASSERT_EQ(EG_OK, egi_model_set_extra(m.get(), names[i], &arrays[i])) << eg_last_message();
    const std::string out = SaveTo(m.get(), "out.h5");
    EXPECT_EQ(1u, Attributes(out, "engram").count("meta3"));

    const Model again = Load(out);
    ASSERT_TRUE(again);
    EXPECT_TRUE(json_equal(m->meta, again->meta));
    ASSERT_EQ(5, again->n_extras);
    for (int i = 0; i < 5; i++) {
        const egi_tensor *t = egi_model_extra(again.get(), names[i]);
        ASSERT_NE(nullptr, t) << names[i];
        EXPECT_EQ(arrays[i].dtype, t->dtype);
        ASSERT_TRUE(egi_shape_equal(&arrays[i].shape, &t->shape)) << names[i];
        EXPECT_EQ(0,
                  std::memcmp(arrays[i].data, t->data, static_cast<size_t>(egi_count(t)) * egi_dtype_size(t->dtype)));
    }
    EXPECT_TRUE(Bytes(out) == Bytes(SaveTo(again.get(), "again.h5")));
}

TEST_F(Save, BuiltModelsBecomeFullFiles)
{
    const Model from = Load(Golden("k3_deep.h5"));
    for (int major : {1, 2, 3}) {
        json_t *config = json_deep_copy(from->config);
        eg_model *built = nullptr;
        ASSERT_EQ(EG_OK, egi_keras_build(&built, context, config, EGI_F32, major)) << eg_last_message();
        json_decref(config);
        const Model own(built);
        const Model again = Load(SaveTo(built, "built.h5"));
        ASSERT_TRUE(again);
        EXPECT_EQ(again->report.wanted, again->report.by_path);
        for (int64_t i = 0; i < built->n_params; i++)
            EXPECT_EQ(0, std::memcmp(egi_param_view(built, i).data, egi_param_view(again.get(), i).data,
                                     static_cast<size_t>(built->params[i].count) * 4));
    }
}

TEST_F(Save, ModelsWithoutAnArchitectureAreRefused)
{
    eg_model *m = nullptr;
    ASSERT_EQ(EG_OK, egi_model_create(&m, context, EGI_F32, 3));
    const Model own(m);
    EXPECT_EQ(EG_ERR_STATE, eg_model_save(m, Temp("x.h5").c_str()));
    EXPECT_FALSE(fs::exists(Temp("x.h5")));
}

TEST_F(Save, ListsOfNamesAreSplitAsKerasDoes)
{
    std::vector<std::string> names;
    std::vector<char *> p;
    for (int i = 0; i < 3001; i++)
        names.push_back("a_layer_with_a_name_of_" + std::to_string(i));
    for (auto &n : names)
        p.push_back(n.data());
    for (bool fixed : {true, false}) {
        egi_h5_attrs attrs = {nullptr, 0, 0};
        const egi_h5_type style = {fixed ? EGI_H5_STRING : EGI_H5_TEXT, 16, false, false, false, 1, 3};
        ASSERT_EQ(EG_OK, egi_keras_names_write(&attrs, context, "layer_names", p.data(), 3001, &style));
        // 27 bytes a name: 81,027, so numpy.array_split in two; 16 bytes of a reference: 48,016, so one.
        ASSERT_EQ(fixed ? 2 : 1, attrs.n);
        EXPECT_STREQ(fixed ? "layer_names0" : "layer_names", attrs.list[0].name);
        EXPECT_EQ(fixed ? 1501 : 3001, attrs.list[0].count);
        char **back = nullptr;
        int64_t n = 0;
        bool found = false;
        ASSERT_EQ(EG_OK, egi_keras_names_read(&back, &n, &found, context, &attrs, "layer_names"));
        ASSERT_EQ(3001, n);
        for (int64_t i = 0; i < n; i++)
            ASSERT_EQ(names[static_cast<size_t>(i)], back[i]);
        egi_keras_names_free(context, back, n);
        // Fewer names than before replace all parts, in the old style.
        ASSERT_EQ(EG_OK, egi_keras_names_write(&attrs, context, "layer_names", p.data(), 2, nullptr));
        EXPECT_EQ(1, attrs.n);
        EXPECT_EQ(fixed ? EGI_H5_STRING : EGI_H5_TEXT, attrs.list[0].type.kind);
        egi_h5_attrs_free(context, &attrs);
    }
}

// --- disks
// -------------------------------------------------------------------------------------------------------------

TEST_F(Save, FailuresLeaveTheOldFileWhole)
{
    const Model m = Load(Golden("k2_sequential.h5"));
    const std::string out = SaveTo(m.get(), "out.h5");
    const auto before = Bytes(out);

    EXPECT_EQ(EG_ERR_IO, eg_model_save(m.get(), Temp("no/such/folder/x.h5").c_str()));
    EXPECT_NE('\0', *eg_last_message());

    rlimit old, small = {4096, 4096}; // files may not grow beyond 4 kB: as on a full disk
    ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
    small.rlim_max = old.rlim_max;
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &small));
    const eg_status status = eg_model_save(m.get(), out.c_str());
    const std::string message = eg_last_message();
    ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(EG_ERR_IO, status);
    EXPECT_NE(std::string::npos, message.find("out.h5")) << message;
    EXPECT_TRUE(before == Bytes(out));
    int files = 0;
    for (const auto &entry : fs::directory_iterator(folder))
        files += entry.is_regular_file();
    EXPECT_EQ(1, files) << "a temporary file stayed behind";
}

TEST_F(Save, OverTheLoadedFileItself)
{
    fs::copy_file(Golden("k3_functional.h5"), Temp("m.h5"));
    const Model m = Load(Temp("m.h5"));
    ASSERT_EQ(EG_OK, eg_model_save(m.get(), Temp("m.h5").c_str())) << eg_last_message();
    const Model again = Load(Temp("m.h5"));
    ASSERT_TRUE(again);
    ExpectOutputs(again.get(), Tensors(Golden("refs.h5")), "/k3_functional/");
}

} // namespace
