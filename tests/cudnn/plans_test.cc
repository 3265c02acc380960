// Plans of the real cuDNN, made by the device's own code for GPUs that are not here.
#include "tests/cudnn/networks.h"

#include <cuda_runtime_api.h>
#include <cudnn_graph.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

extern "C" {
#include "cuda/cudnn_graph.h"
}

namespace
{

constexpr int64_t kBatch = 32, kWorkspace = int64_t{256} << 20;

struct Precision {
    const char *name;
    egi_precision precision;
};
const Precision kF32 = {"f32", EGI_PRECISION_F32}, kTf32 = {"tf32", EGI_PRECISION_TF32},
                kBf16 = {"bf16", EGI_PRECISION_BF16};

std::string ReadFile(const std::string &name)
{
    std::ifstream file(std::string(EG_SOURCE_DIR "/tests/cudnn/") + name + ".json");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

egi_cudnn_conv ConvOf(const Layer &l, egi_cudnn_pass pass, egi_precision precision)
{
    egi_cudnn_conv c = {};
    int64_t out = egi_conv_valid(l.size, l.kernel, l.stride, l.dilation), before = 0;
    if (l.same)
        egi_conv_same(l.size, l.kernel, l.stride, l.dilation, &out, &before);
    c.pass = pass;
    c.precision = precision;
    c.d = {kBatch, l.size, l.size, l.c, out, out, l.f, l.kernel, l.kernel, l.c / l.groups, l.f / l.groups};
    c.g = {{l.stride, l.stride}, {before, before}, {l.dilation, l.dilation}, l.groups};
    c.bias = c.relu = pass == EGI_CUDNN_FORWARD && precision != EGI_PRECISION_BF16;
    for (int64_t &aligned : c.aligned)
        aligned = 16;
    return c;
}

class Cudnn : public testing::Test
{
  protected:
    void SetUp() override
    {
        if (egi_cudnn_load(&cudnn_) != EG_OK)
            GTEST_SKIP() << eg_last_message();
    }
    void TearDown() override
    {
        egi_cudnn_release(&cudnn_);
    }
    void Describe(const std::string &device)
    {
        const std::string json = ReadFile(device);
        ASSERT_FALSE(json.empty()) << device;
        ASSERT_EQ(EG_OK, egi_cudnn_describe(&cudnn_, json.data(), json.size())) << eg_last_message();
    }
    // The engine, after its notes were looked at; -1: cuDNN has none.
    int64_t Engine(const egi_cudnn_conv &conv, int64_t most = kWorkspace)
    {
        egi_cudnn_plan plan;
        const eg_status status = egi_cudnn_plan_make(&plan, &cudnn_, &conv, most);
        EXPECT_TRUE(status == EG_OK || status == EGI_CUDA_DECLINE) << eg_last_message();
        if (status != EG_OK)
            return -1;
        EXPECT_FALSE(plan.numeric & 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
        EXPECT_FALSE(plan.numeric & 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
        EXPECT_FALSE(plan.numeric & 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
        EXPECT_FALSE(conv.precision == EGI_PRECISION_F32 && plan.numeric & 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
        EXPECT_FALSE(plan.behaviour & 1u << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
        EXPECT_LE(plan.workspace, most);
        if (plan.numeric & 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE)
            tensor_cores_++;
        const int64_t engine = plan.engine;
        egi_cudnn_plan_release(&cudnn_, &plan);
        return engine;
    }
    // Every convolution of the table has a plan, but the depthwise ones, which are not asked for.
    void ExpectAll(const std::string &device, std::initializer_list<Precision> precisions)
    {
        static const char *const passes[] = {"forward", "dx", "dw"};
        ASSERT_NO_FATAL_FAILURE(Describe(device));
        for (const Layer &l : layers)
            for (int pass = 0; pass < 3 && !IsDepthwise(l); pass++)
                for (const Precision &p : precisions) {
                    SCOPED_TRACE(device + ", " + l.network + " " + l.name + ", " + passes[pass] + ", " + p.name);
                    EXPECT_GE(Engine(ConvOf(l, static_cast<egi_cudnn_pass>(pass), p.precision)), 0)
                        << eg_last_message();
                }
    }
    static bool IsDepthwise(const Layer &l)
    {
        return l.groups > 1 && l.groups == l.c; // cuda/depthwise.cu
    }

    egi_cudnn cudnn_ = {};
    int tensor_cores_ = 0;
};

} // namespace

TEST_F(Cudnn, TakesAllConvolutionsOnH100)
{
    ExpectAll("h100", {kF32});
    EXPECT_EQ(0, tensor_cores_);
    ExpectAll("h100", {kTf32, kBf16});
    EXPECT_GT(tensor_cores_, 200); // of some 280: the precision is used
}

TEST_F(Cudnn, TakesAllConvolutionsOnA100)
{
    ExpectAll("a100", {kF32, kTf32, kBf16});
}

TEST_F(Cudnn, TakesAllConvolutionsOnRtx5090)
{
    ExpectAll("rtx5090", {kF32, kTf32, kBf16});
}

TEST_F(Cudnn, TakesAllConvolutionsOnT4) // which has neither TF32 nor bf16
{
    ExpectAll("t4", {kF32});
}

TEST_F(Cudnn, FusesBiasAndReluInF32)
{
    ASSERT_NO_FATAL_FAILURE(Describe("h100"));
    egi_cudnn_conv conv = ConvOf(layers[5], EGI_CUDNN_FORWARD, EGI_PRECISION_F32);
    EXPECT_GE(Engine(conv), 0) << eg_last_message();
    conv.relu = false;
    EXPECT_GE(Engine(conv), 0) << eg_last_message();
    conv.bias = false;
    EXPECT_GE(Engine(conv), 0) << eg_last_message();
}

TEST_F(Cudnn, KeepsToTheWorkspace) // and to what addresses are multiples of
{
    ASSERT_NO_FATAL_FAILURE(Describe("h100"));
    const egi_cudnn_conv conv = ConvOf(layers[5], EGI_CUDNN_DW, EGI_PRECISION_TF32);
    EXPECT_GE(Engine(conv, 0), 0) << eg_last_message();
    egi_cudnn_conv odd = ConvOf(layers[5], EGI_CUDNN_FORWARD, EGI_PRECISION_F32);
    odd.aligned[3] = 4; // biases lie side by side
    EXPECT_GE(Engine(odd), 0) << eg_last_message();
}

TEST_F(Cudnn, RefusesSizesThatDoNotFit) // so it reads the padding: layer 5 is padded after, and not before
{
    ASSERT_NO_FATAL_FAILURE(Describe("h100"));
    const egi_cudnn_conv right = ConvOf(layers[5], EGI_CUDNN_FORWARD, EGI_PRECISION_F32);
    ASSERT_EQ(0, right.g.pad[0]);
    egi_cudnn_conv wrong = right;
    wrong.d.oh -= 2; // less than there is without any padding
    EXPECT_GE(Engine(right), 0) << eg_last_message();
    EXPECT_EQ(-1, Engine(wrong));
}

TEST_F(Cudnn, ADescriptionThatIsNoneIsRefused)
{
    for (const std::string json : {"", "{}", "{\"deviceVer\": 900}"})
        EXPECT_EQ(EG_ERR_DEVICE, egi_cudnn_describe(&cudnn_, json.data(), json.size())) << json;
    EXPECT_NE(nullptr, strstr(eg_last_message(), "cudnn: description of a device: ")) << eg_last_message();
}
