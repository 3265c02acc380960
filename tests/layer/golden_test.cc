// Forward passes against Keras: tests/golden/layers.h5, made by tests/golden/make/layers.py.
#include "tests/layer/harness.h"

#include <hdf5.h>

#include <cstring>
#include <map>

using namespace layer;

static std::vector<char> read_bytes(hid_t file, const char *name, hid_t type)
{
    const hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);
    std::vector<char> bytes((size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type));
    EXPECT_GE(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), 0);
    H5Sclose(space);
    H5Dclose(set);
    return bytes;
}

// "Conv2D/0|y|3" -> values
static std::map<std::string, std::vector<double>> read_golden()
{
    std::map<std::string, std::vector<double>> golden;
    const hid_t file = H5Fopen(EG_SOURCE_DIR "/tests/golden/layers.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    EXPECT_GE(file, 0);
    const std::vector<char> text = read_bytes(file, "index", H5T_NATIVE_UINT8);
    const std::vector<char> raw = read_bytes(file, "values", H5T_NATIVE_FLOAT);
    H5Fclose(file);
    const float *values = (const float *)raw.data();
    const Json index(json_loadb(text.data(), text.size(), 0, nullptr));
    size_t i;
    json_t *item;
    json_array_foreach(index.j, i, item)
    {
        const char *id, *what;
        json_int_t keras, offset, count;
        EXPECT_EQ(0, json_unpack(item, "{s:s, s:s, s:I, s:I, s:I}", "id", &id, "what", &what, "keras", &keras, "offset",
                                 &offset, "count", &count));
        golden[std::string(id) + "|" + what + "|" + std::to_string(keras)] =
            std::vector<double>(values + offset, values + offset + count);
    }
    return golden;
}

class Golden : public testing::TestWithParam<Case>
{
  protected:
    static void SetUpTestSuite()
    {
        golden = read_golden();
    }
    static std::map<std::string, std::vector<double>> golden;

    // Keras 2's result where it differs from Keras 3's.
    static const std::vector<double> *wanted(const std::string &id, const char *what, int keras_major)
    {
        for (int keras = keras_major; keras <= 3; keras++) {
            const auto found = golden.find(id + "|" + what + "|" + std::to_string(keras));
            if (found != golden.end())
                return &found->second;
        }
        return nullptr;
    }

    static void compare(bool reference, int keras_major);
};
std::map<std::string, std::vector<double>> Golden::golden;

static std::string golden_name(const testing::TestParamInfo<Case> &info)
{
    return std::string(info.param.type->keras) + "_" + std::to_string(info.param.index);
}

INSTANTIATE_TEST_SUITE_P(Layers, Golden, testing::ValuesIn(all_cases()), golden_name);

static void expect_close(const std::vector<double> &found, const std::vector<double> *keras, const char *what)
{
    ASSERT_NE(nullptr, keras) << what << ": not in the golden file; run tests/golden/make/layers.py";
    EXPECT_LT(difference(found, *keras), 1e-5) << what;
}

void Golden::compare(bool reference, int keras_major)
{
    const Case &k = GetParam();
    const Context context;
    context.c->device->reference_only = reference;
    Net net;
    Pass inference, training;
    ASSERT_OK(build_case(net, context.c, k, EGI_F32, keras_major));
    fill(net);
    ASSERT_OK(inference.make(net, false));
    ASSERT_OK(inference.all());
    expect_close(inference.output(), wanted(k.id(), "y", keras_major), "y");
    if (strcmp(k.type->keras, "BatchNormalization") != 0)
        return;
    ASSERT_OK(training.make(net, true));
    ASSERT_OK(training.all());
    expect_close(training.output(), wanted(k.id(), "train_y", keras_major), "y in training");
    for (const char *name : {"moving_mean", "moving_variance"})
        expect_close(net.get(net.param("BatchNormalization", name)), wanted(k.id(), name, keras_major), name);
}

TEST_P(Golden, Keras3Fast)
{
    compare(false, 3);
}

TEST_P(Golden, Keras3Reference)
{
    compare(true, 3);
}

TEST_P(Golden, Keras2Fast)
{
    compare(false, 2);
}

TEST_P(Golden, Keras2Reference)
{
    compare(true, 2);
}
