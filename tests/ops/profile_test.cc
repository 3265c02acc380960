// What operations count as their work, against figures counted by hand, and what a profiled plan says it did.
#include "harness.h"

#include <cstring>
#include <set>

using namespace ops;

namespace
{

// Tensors of an operation that is asked, never run. Index 0 is "none".
struct Values {
    std::vector<egi_tensor> t{egi_tensor{}};
    egi_val add(std::initializer_list<int64_t> shape, egi_dtype dtype = EGI_F32)
    {
        egi_tensor x = {};
        x.dtype = dtype;
        for (const int64_t n : shape)
            x.shape.dim[x.shape.rank++] = n;
        t.push_back(x);
        return static_cast<egi_val>(t.size() - 1);
    }
    template <class Args> double flops(const egi_op &op, const Args &args)
    {
        return egi_op_flops(&op, &args, t.data());
    }
    template <class Args> double bytes(const egi_op &op, const Args &args)
    {
        return egi_op_bytes(&op, &args, t.data());
    }
};

egi_conv_geometry geometry(int64_t stride, int64_t pad, int64_t dilation = 1, int64_t groups = 1)
{
    return {{stride, stride}, {pad, pad}, {dilation, dilation}, groups};
}

struct Conv {
    Values v;
    egi_conv2d a = {};
    Conv(std::initializer_list<int64_t> x, std::initializer_list<int64_t> w, std::initializer_list<int64_t> y,
         egi_conv_geometry g)
    {
        a.x = v.add(x);
        a.w = v.add(w);
        a.b = v.add({std::data(w)[3]});
        a.y = v.add(y);
        a.g = g;
    }
    double forward()
    {
        return v.flops(egi_op_conv2d, a);
    }
    // All three products of a convolution are equally long.
    void expect(double wanted)
    {
        egi_conv2d_dx dx = {};
        egi_conv2d_dw dw = {};
        dx.dx = dw.x = a.x;
        dx.w = dw.dw = a.w;
        dx.dy = dw.dy = a.y;
        dx.g = dw.g = a.g;
        EXPECT_EQ(wanted, forward());
        EXPECT_EQ(wanted, v.flops(egi_op_conv2d_dx, dx));
        EXPECT_EQ(wanted, v.flops(egi_op_conv2d_dw, dw));
    }
};

double dense(int64_t n, int64_t in, int64_t out)
{
    Values v;
    egi_dense a = {};
    a.x = v.add({n, in});
    a.w = v.add({in, out});
    a.y = v.add({n, out});
    return v.flops(egi_op_dense, a);
}

} // namespace

TEST(Profile, CountsLenet5ByHand)
{
    // Multiply-adds of LeCun et al. 1998 with full connections: 86,400 + 240,000 + 48,000 (C5) + 10,080 + 840.
    Conv({1, 32, 32, 1}, {5, 5, 1, 6}, {1, 28, 28, 6}, geometry(1, 0)).expect(2 * 28 * 28 * 6 * 25); // 117,600
    Conv({1, 14, 14, 6}, {5, 5, 6, 16}, {1, 10, 10, 16}, geometry(1, 0)).expect(2 * 240000);
    Conv({1, 5, 5, 16}, {5, 5, 16, 120}, {1, 1, 1, 120}, geometry(1, 0)).expect(2 * 48000);
    EXPECT_EQ(2 * 10080, dense(1, 120, 84));
    EXPECT_EQ(2 * 840, dense(1, 84, 10));
    EXPECT_EQ(64 * 2 * 840, dense(64, 84, 10));
}

TEST(Profile, CountsConvolutionsOfResnetByHand)
{
    // ResNet-50 at 224 x 224: conv1 118,013,952 multiply-adds, padding counted; a 3x3 of stage 2 115,605,504.
    Conv({1, 224, 224, 3}, {7, 7, 3, 64}, {1, 112, 112, 64}, geometry(2, 3)).expect(2 * 118013952.0);
    Conv({1, 56, 56, 64}, {3, 3, 64, 64}, {1, 56, 56, 64}, geometry(1, 1)).expect(2 * 115605504.0);
    Conv({1, 56, 56, 256}, {1, 1, 256, 512}, {1, 28, 28, 512}, geometry(2, 0)).expect(2 * 102760448.0);
    // Holes add nothing: 9 taps a place. Groups: each output sees its own 4 of 32 channels; depthwise: 1.
    Conv({2, 9, 9, 8}, {3, 3, 8, 5}, {2, 9, 9, 5}, geometry(1, 2, 2)).expect(2.0 * 2 * 81 * 5 * 9 * 8);
    Conv({1, 6, 6, 32}, {3, 3, 4, 64}, {1, 6, 6, 64}, geometry(1, 1, 1, 8)).expect(2.0 * 36 * 64 * 9 * 4);
    Conv({1, 6, 5, 5}, {3, 3, 1, 5}, {1, 6, 5, 5}, geometry(1, 1, 1, 5)).expect(2.0 * 30 * 5 * 9);
}

TEST(Profile, CountsProductsByHand)
{
    Values v;
    egi_gemm g = {};
    g.a = v.add({7, 5});
    g.b = v.add({7, 3});
    g.c = v.add({5, 3});
    g.ta = true;
    EXPECT_EQ(2 * 5 * 3 * 7, v.flops(egi_op_gemm, g));
    EXPECT_EQ(4 * (35 + 21 + 15), v.bytes(egi_op_gemm, g));
    g.accumulate = true; // c is read too
    EXPECT_EQ(4 * (35 + 21 + 15 + 15), v.bytes(egi_op_gemm, g));

    egi_square_gemm s = {};
    s.a = v.add({9, 4});
    s.d = v.add({9, 6});
    s.f = v.add({4, 6});
    EXPECT_EQ(2 * 4 * 6 * 9, v.flops(egi_op_square_gemm, s));

    // Per-sample kernel gradients, squared and added up: a product and two operations a sample and weight.
    egi_conv2d_square q = {};
    q.x = v.add({3, 6, 6, 2});
    q.dy = v.add({3, 4, 4, 5});
    q.fw = v.add({3, 3, 2, 5});
    q.g = geometry(1, 0);
    EXPECT_EQ(2 * 3 * 16 * 5 * 18 + 2 * 3 * 90, v.flops(egi_op_conv2d_square, q));

    // Forward and dw of both layers, and the gradient between them.
    egi_mlp_step m = {};
    m.layers = 2;
    m.x = v.add({9, 20});
    m.w[0] = v.add({20, 6});
    m.w[1] = v.add({6, 4});
    EXPECT_EQ(2 * 9 * (2 * 20 * 6 + 3 * 6 * 4), v.flops(egi_op_mlp_step, m));
}

TEST(Profile, CountsBytesOfWhatIsTouched)
{
    Values v;
    egi_add a = {};
    a.a = v.add({4, 5});
    a.b = v.add({4, 5});
    a.y = v.add({4, 5});
    EXPECT_EQ(3 * 20 * 4, v.bytes(egi_op_add, a));
    EXPECT_EQ(0, v.flops(egi_op_add, a));

    // Adam reads w, the gradient and both moments and writes all but the gradient; a frozen half is not touched.
    const egi_segment half = {0, 500, 0, 0, 1, 0};
    egi_update u = {};
    u.w = v.add({1000});
    u.grad = v.add({1000});
    u.m = v.add({1000});
    u.v = v.add({1000});
    u.segments = &half;
    u.n_segments = 1;
    EXPECT_EQ(7 * 500 * 4, v.bytes(egi_op_adam, u));
}

TEST(Profile, OnlyProductsHaveFlops)
{
    std::set<std::string> with;
    for (const egi_op *const *op = egi_ops; *op; op++)
        if ((*op)->flops)
            with.insert((*op)->name);
    EXPECT_EQ((std::set<std::string>{"dense", "gemm", "conv2d", "conv2d_maxpool", "conv2d_dx", "conv2d_dw",
                                     "conv2d_square", "square_gemm", "mlp_step"}),
              with);
}

TEST(Profile, APlanMeasuresOnlyWhenAsked)
{
    Context c;
    egi_plan *p = nullptr;
    ASSERT_OK(egi_plan_create(&p, c.c, 4, EGI_F32, false));
    egi_dense kept = {}, dropped = {};
    egi_cost cost;
    EXPECT_EQ(EG_ERR_STATE, egi_plan_profile(p));
    kept.x = egi_plan_input(p, EGI_F32, egi_shape{2, {4, 6}});
    kept.w = dropped.w = egi_plan_input(p, EGI_F32, egi_shape{2, {6, 3}});
    dropped.x = kept.x;
    dropped.y = egi_temp(p, egi_shape{2, {4, 3}});
    kept.y = egi_temp(p, egi_shape{2, {4, 3}});
    ASSERT_OK(egi_plan_emit(p, &egi_op_dense, &dropped));
    ASSERT_OK(egi_plan_emit(p, &egi_op_dense, &kept));
    egi_plan_keep(p, kept.y);
    ASSERT_OK(egi_plan_compile(p));
    const egi_control step = control();
    ASSERT_OK(egi_plan_run(p, &step));
    EXPECT_EQ(1, p->n_kernels);
    EXPECT_EQ(nullptr, p->kernels[0].time);
    EXPECT_FALSE(egi_plan_cost(p, 1, &cost)) << "not profiled";

    for (int again = 0; again < 2; again++) { // asked again, it begins again
        ASSERT_OK(egi_plan_profile(p));
        for (int i = 0; i < 5; i++)
            ASSERT_OK(egi_plan_run(p, &step));
        EXPECT_FALSE(egi_plan_cost(p, 0, &cost)) << "nobody reads it";
        ASSERT_TRUE(egi_plan_cost(p, 1, &cost));
        EXPECT_EQ(5, cost.calls);
        EXPECT_EQ(5 * 2 * 4 * 6 * 3, cost.flops);
        EXPECT_EQ(5 * 4 * (24 + 18 + 12), cost.bytes);
        EXPECT_EQ(EGI_PHASE_FORWARD, cost.phase);
        EXPECT_GT(cost.seconds, 0);
    }
    egi_plan_free(p);
}

TEST(Profile, ThePeakIsThatOfAMachine)
{
    Context c(false, 1);
    egi_peak peak = {};
    ASSERT_OK(c.c->device->type->peak(c.c->device, &peak));
    EXPECT_GT(peak.flops, 1e8);
    EXPECT_LT(peak.flops, 1e12) << "one thread";
    EXPECT_GT(peak.bytes, 1e8);
    EXPECT_LT(peak.bytes, 1e12);
}
