// What the device tells cuDNN of every convolution's case, and does around it: layouts, bf16, scratch, what is left.
#include "harness.h"

#ifdef EG_WITH_CUDNN
#include "cudnn_listener.h"
#include "engram/model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace ops;

namespace
{

class Cudnn : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        const char *device = getenv("EG_TEST_DEVICE");
        if (!device || strncmp(device, "cuda", 4) != 0)
            GTEST_SKIP() << "EG_TEST_DEVICE is not cuda";
    }
};

// Depthwise convolutions and those of nothing are left to the own kernels.
bool is_asked(const Case &k)
{
    Instance x(k, EGI_F32);
    const egi_shape &kernel = x.of(k.op == &egi_op_conv2d      ? EGI_FIELD(egi_conv2d, w)
                                   : k.op == &egi_op_conv2d_dx ? EGI_FIELD(egi_conv2d_dx, w)
                                                               : EGI_FIELD(egi_conv2d_dw, dw))
                                  .shape;
    const egi_conv_geometry &g = k.op == &egi_op_conv2d      ? static_cast<const egi_conv2d *>(k.data->args)->g
                                 : k.op == &egi_op_conv2d_dx ? static_cast<const egi_conv2d_dx *>(k.data->args)->g
                                                             : static_cast<const egi_conv2d_dw *>(k.data->args)->g;
    return x.values[0].shape.dim[0] > 0 && (g.groups == 1 || kernel.dim[2] > 1);
}

// Rounded factors and products, 2^-9 each, against the largest of sums; where these reach 20 and outputs 1, that.
double tolerance_of_bf16(const Case &k)
{
    const egi_conv2d *a = k.op == &egi_op_conv2d ? static_cast<const egi_conv2d *>(k.data->args) : nullptr;
    return a && (a->act == EGI_ACT_TANH || a->act == EGI_ACT_SIGMOID) ? 0.1 : 0.02;
}

// By cuDNN's calls, against the host's f64; returns how many plans ran.
int expect_close(const Case &k, egi_precision precision, double tolerance)
{
    Context host(true), gpu;
    listener::attach(gpu.c);
    gpu.c->precision = precision;
    {
        Instance want(k, EGI_F64, 1, 0x11), got(k, EGI_F32, 1, 0x22);
        EXPECT_OK(want.run(host.c, control()));
        EXPECT_OK(got.run(gpu.c, control()));
        for (size_t i = 0; i < want.values.size(); i++) {
            EXPECT_TRUE(got.values[i].canaries_whole());
            const std::vector<double> x = got.values[i].get(), y = want.values[i].get();
            const double most = tolerance * largest(y);
            double worst = 0;
            for (size_t j = 0; j < y.size(); j++)
                worst = std::fmax(worst, std::isnan(x[j]) ? INFINITY : std::fabs(x[j] - y[j]));
            EXPECT_LE(worst, most) << k.id() << ", precision " << precision << ", value " << i;
        }
    }
    EXPECT_EQ(0, listener::alive()) << k.id();
    return listener::runs();
}

} // namespace

TEST_F(Cudnn, IsToldTheRightConvolutions)
{
    for (const egi_op *op : {&egi_op_conv2d, &egi_op_conv2d_dx, &egi_op_conv2d_dw}) {
        int cases = 0, fused = 0;
        for (const Case &k : all_cases()) {
            if (k.op != op)
                continue;
            const int wanted = is_asked(k);
            EXPECT_EQ(wanted, expect_close(k, EGI_PRECISION_F32, 1e-5)) << k.id();
            fused += listener::operations() > 1;
            EXPECT_EQ(wanted, expect_close(k, EGI_PRECISION_BF16, tolerance_of_bf16(k))) << k.id();
            cases += wanted;
        }
        EXPECT_GT(cases, 5) << op->name;
        EXPECT_EQ(op == &egi_op_conv2d, fused > 0) << op->name;
    }
}

TEST_F(Cudnn, TheSelfTestSeesWrongResults)
{
    for (const double by : {1.0, 1.01}) {
        Context gpu;
        listener::attach(gpu.c);
        listener::scale(by);
        gpu.c->device->libraries = true;
        gpu.c->device->eager = true; // the listener copies, which a graph would not do
        char *text = nullptr;
        bool ok = false;
        ASSERT_OK(eg_selftest(&text, &ok, gpu.c));
        EXPECT_GT(listener::runs(), 100);
        EXPECT_EQ(by == 1, ok) << text;
        EXPECT_NE(nullptr, strstr(text, "NVIDIA's libraries against own kernels: f32 ")) << text;
        EXPECT_EQ(by == 1, !strstr(text, "run.libraries=off")) << text;
        eg_text_free(gpu.c, text);
    }
}

TEST_F(Cudnn, IsLeftOutWhereTheConfigurationSaysSo)
{
    const egi_op *const op = &egi_op_conv2d;
    Context gpu;
    listener::attach(gpu.c);
    gpu.own_kernels(true);
    for (const Case &k : all_cases())
        if (k.op == op) {
            Instance x(k, EGI_F32);
            ASSERT_OK(x.run(gpu.c, control()));
        }
    EXPECT_EQ(0, listener::runs());
}
#endif
