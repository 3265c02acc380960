// Files that Keras wrote: everything is found by path and name, and the network computes what Keras computed.
#include "support.h"

namespace
{

class LoadFile : public CheckpointTest
{
  protected:
    void ExpectAllByPath(const Model &m)
    {
        eg_model_info info;
        eg_model_get_info(m.get(), &info);
        EXPECT_GT(info.report.wanted, 0);
        EXPECT_EQ(info.report.wanted, info.report.by_path);
        EXPECT_EQ(0, info.report.by_position);
        EXPECT_EQ(0, info.report.skipped);
        EXPECT_TRUE(log.empty()) << log[0];
    }
    void ExpectGolden(const std::string &name, const std::string &arch = "")
    {
        const Model m = Load(Golden(name + ".h5"), arch);
        ASSERT_TRUE(m);
        ExpectAllByPath(m);
        ExpectOutputs(m.get(), Tensors(Golden("refs.h5")), "/" + name + "/");
    }
};

TEST_F(LoadFile, WhatTheFileBringsIsItsOwnArchitecture)
{
    // One option serves two models: the old one, weights only, and the fine-tuned one, which has its own.
    const std::string other = Golden("weights_only.json");
    const Model full = Load(Golden("k3_sequential.h5"), other);
    ASSERT_TRUE(full);
    EXPECT_STREQ(Load(Golden("k3_sequential.h5"))->name, full->name);
    const Model old = Load(Golden("weights_only.h5"), other);
    ASSERT_EQ(EG_OK, eg_model_save(old.get(), Temp("out.h5").c_str())) << eg_last_message();
    WriteBytes(Temp("another.json"), {'{', '}'});
    EXPECT_TRUE(Load(Temp("out.h5"), Temp("another.json")));
}

TEST_F(LoadFile, Keras2FunctionalWithSharedAndNestedModels)
{
    ExpectGolden("k2_functional");
}
TEST_F(LoadFile, Keras3FunctionalWithSharedAndNestedModels)
{
    ExpectGolden("k3_functional");
}
TEST_F(LoadFile, Keras2ModelsInModels)
{
    ExpectGolden("k2_deep");
}
TEST_F(LoadFile, Keras3ModelsInModels)
{
    ExpectGolden("k3_deep");
}
TEST_F(LoadFile, Keras2PartFrozenNestedModelByName)
{
    ExpectGolden("k2_frozen");
}
TEST_F(LoadFile, Keras3PartFrozenNestedModelByName)
{
    ExpectGolden("k3_frozen");
}
TEST_F(LoadFile, Keras2Sequential)
{
    ExpectGolden("k2_sequential");
}
TEST_F(LoadFile, Keras3Sequential)
{
    ExpectGolden("k3_sequential");
}
TEST_F(LoadFile, Keras1ListForm)
{
    ExpectGolden("keras1");
}
TEST_F(LoadFile, SplitNamesAndEmptyArrays)
{
    ExpectGolden("split");
}
TEST_F(LoadFile, EveryStorageForm)
{
    ExpectGolden("stored");
}
TEST_F(LoadFile, WeightsOnlyWithArchitecture)
{
    ExpectGolden("weights_only", Golden("weights_only.json"));
}

TEST_F(LoadFile, FrozenFilesListWeightsInAnotherOrderThanTheLayers)
{
    // Else the two tests above would prove nothing.
    for (const char *name : {"k2_frozen.h5", "k3_frozen.h5"}) {
        const std::string text = Attributes(Golden(name), "model_weights/inner").at("weight_names");
        EXPECT_LT(text.find("c2"), text.find("c1")) << name;
    }
}

TEST_F(LoadFile, RecordedTrainingFalseReachesTheCall)
{
    for (const char *name : {"k2_functional.h5", "k3_functional.h5"}) {
        const Model m = Load(Golden(name));
        const int bn = egi_model_find_layer(m.get(), "bn");
        int calls = 0;
        for (int64_t i = 0; i < m->n_calls; i++) {
            EXPECT_EQ(m->calls[i].layer == bn ? 0 : -1, m->calls[i].training);
            calls += m->calls[i].layer == bn;
        }
        EXPECT_EQ(1, calls);
        EXPECT_GE(egi_model_find_layer(m.get(), "inner/c2"), 0);
    }
}

TEST_F(LoadFile, PositionOnlyWithWarnings)
{
    const Model m = Load(Golden("unnamed.h5"));
    EXPECT_EQ(0, m->report.by_path);
    EXPECT_EQ(8, m->report.by_position);
    EXPECT_EQ(4u, log.size()); // one a group, one for all
    ExpectOutputs(m.get(), Tensors(Golden("refs.h5")), "/unnamed/");
}

TEST_F(LoadFile, InfoSaysVersionAndFlavour)
{
    eg_model_info info;
    const Model a = Load(Golden("k3_sequential.h5"));
    eg_model_get_info(a.get(), &info);
    EXPECT_STREQ("3.15.1", info.keras_version);
    EXPECT_STREQ("full h5", info.flavour);
    EXPECT_EQ(3, info.keras_major);
    const Model b = Load(Golden("weights_only.h5"), Golden("weights_only.json"));
    eg_model_get_info(b.get(), &info);
    EXPECT_STREQ("weights h5", info.flavour);
    EXPECT_EQ(2, info.keras_major);
}

TEST_F(LoadFile, RegularizersOfTheFile)
{
    const Model m = Load(Golden("k3_sequential.h5"));
    const int64_t kernel = egi_model_find_param(m.get(), egi_model_find_layer(m.get(), "dense"), "kernel");
    ASSERT_GE(kernel, 0);
    EXPECT_NEAR(0.01, m->params[kernel].l2, 1e-9);
    EXPECT_EQ(0, m->params[kernel].l1);
}

TEST_F(LoadFile, HalfPrecisionIsExact)
{
    EXPECT_EQ(1.0f, egi_half_to_float(0x3c00));
    EXPECT_EQ(-2.0f, egi_half_to_float(0xc000));
    EXPECT_EQ(65504.0f, egi_half_to_float(0x7bff));
    EXPECT_EQ(std::ldexp(1.0f, -24), egi_half_to_float(0x0001));
    EXPECT_TRUE(std::isinf(egi_half_to_float(0x7c00)));
    EXPECT_TRUE(std::isnan(egi_half_to_float(0x7e01)));
    for (uint32_t h = 0; h < 0x10000; h++)
        if ((h & 0x7c00) != 0x7c00) {
            ASSERT_EQ(h, egi_float_to_half(egi_half_to_float(static_cast<uint16_t>(h)))) << h;
        }
    EXPECT_EQ(0x3c00, egi_float_to_half(1.0f + std::ldexp(1.0f, -11))); // a tie goes to the even neighbour
    EXPECT_EQ(0x3c02, egi_float_to_half(1.0f + 3 * std::ldexp(1.0f, -11)));
    EXPECT_EQ(0x7bff, egi_float_to_half(65519.0f));
    EXPECT_EQ(0x7c00, egi_float_to_half(65520.0f));
    EXPECT_EQ(0x0000, egi_float_to_half(std::ldexp(1.0f, -25)));
    EXPECT_EQ(0x0001, egi_float_to_half(std::ldexp(1.1f, -25)));
}

// --- checkpoints by others
// ---------------------------------------------------------------------------------------------

struct Real {
    const char *file, *arch, *ref;
    int wanted;
};

void PrintTo(const Real &r, std::ostream *out)
{
    *out << r.file;
}

class RealFile : public CheckpointTest, public ::testing::WithParamInterface<Real>
{
};

TEST_P(RealFile, LoadsByPathAndComputesTheReference)
{
    const Real &r = GetParam();
    SKIP_WITHOUT(Shared(r.file));
    const Model m = Load(Shared(r.file), r.arch ? Shared(r.arch) : "");
    ASSERT_TRUE(m);
    EXPECT_EQ(r.wanted, m->report.by_path);
    EXPECT_EQ(r.wanted, m->report.wanted);
    EXPECT_EQ(0, m->report.skipped);
    ExpectOutputs(m.get(), Tensors(Shared(r.ref)), "/");
}

#define LENET "deepxplore-mnist-lenets/Model"
INSTANTIATE_TEST_SUITE_P(All, RealFile,
                         ::testing::Values(Real{LENET "1.h5", LENET "1.arch.json", LENET "1.ref.h5", 6},
                                           Real{LENET "2.h5", LENET "2.arch.json", LENET "2.ref.h5", 8},
                                           Real{LENET "3.h5", LENET "3.arch.json", LENET "3.ref.h5", 10},
                                           Real{"mlperf-tiny-resnet8-cifar10/pretrainedResnet.h5", nullptr,
                                                "mlperf-tiny-resnet8-cifar10/ref.h5", 48},
                                           Real{"21cmvae-mlps/ae_emulator.h5", nullptr,
                                                "21cmvae-mlps/ae_emulator.ref.h5", 10},
                                           Real{"21cmvae-mlps/encoder.h5", nullptr, "21cmvae-mlps/encoder.ref.h5", 4},
                                           Real{"21cmvae-mlps/decoder.h5", nullptr, "21cmvae-mlps/decoder.ref.h5", 6},
                                           Real{"mlperf-tiny-ad01-dense-autoencoder/ad01.h5", nullptr,
                                                "mlperf-tiny-ad01-dense-autoencoder/ref.h5", 56},
                                           Real{"mmsplice/Donor.h5", nullptr, "mmsplice/Donor.ref.h5", 14}));

// Hundreds of small files of Keras 1.2.2 to 2.11: those with known layers load, the others are refused by the layers'
// names.
class Zoo : public CheckpointTest
{
  protected:
    void Try(const fs::path &path)
    {
        eg_model *m = nullptr;
        const eg_status status = eg_model_load(&m, context, path.c_str(), nullptr);
        const std::string name = fs::relative(path, folder).string(), message = eg_last_message();
        if (status == EG_OK) {
            const Model own(m);
            loaded++;
            EXPECT_EQ(m->report.wanted, m->report.by_path) << name;
            if (ref.count("/" + name + "/x0")) {
                ExpectOutputs(m, ref, "/" + name + "/");
                compared++;
            }
            return;
        }
        EXPECT_EQ(std::string::npos, message.find('\n'));
        if (status == EG_ERR_UNSUPPORTED) {
            refused++;
            EXPECT_NE(std::string::npos, message.find("unsupported layer")) << name << ": " << message;
        } else {
            EXPECT_EQ(EG_ERR_FORMAT, status) << name << ": " << message;
            EXPECT_NE(std::string::npos, message.find("weights only")) << name << ": " << message;
        }
    }
    std::map<std::string, Array> ref;
    int loaded = 0, refused = 0, compared = 0;
};

TEST_F(Zoo, LoadsOrRefusesByName)
{
    const std::string archive = Shared("dl4j-keras-import/models.tar.xz");
    SKIP_WITHOUT(archive);
    ASSERT_EQ(0, std::system(("tar -xJf '" + archive + "' -C '" + folder.string() + "'").c_str()));
    ref = Tensors(Shared("dl4j-keras-import/ref.h5"));
    for (const auto &entry : fs::recursive_directory_iterator(folder))
        if (entry.path().extension() == ".h5" && entry.path().string().find("inputs_and_outputs") == std::string::npos)
            Try(entry.path());
    EXPECT_GE(loaded, 80);
    EXPECT_GE(refused, 150);
    EXPECT_GE(compared, 70);
    RecordProperty("loaded", loaded);
    RecordProperty("refused", refused);
    RecordProperty("compared", compared);
}

} // namespace
