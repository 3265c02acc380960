// Which plans become one mlp_step, and that all of them compute what the cpu does.
#include "tests/finetune/support.h"

extern "C" {
#include "core/ops/ops.h"
#include "core/plan.h"
}

namespace
{

std::vector<float> floats(int64_t n, uint32_t step, double scale)
{
    return normal(n, step, scale);
}

// What a plan computed.
struct Found {
    std::vector<std::vector<float>> values; // loss, correct, dw and db of each layer
    int fused = 0, kernels = 0;
};

// A chain of dense layers with a loss. Hooks change one thing each.
struct Net {
    int64_t rows = 9;
    std::vector<int64_t> widths{20, 17, 12, 5};
    std::vector<egi_act> acts{EGI_ACT_RELU, EGI_ACT_TANH, EGI_ACT_LINEAR};
    bool training = true, separate = false, bias = true;
    int frozen = 0;                                   // layers from the first on that are not trained
    int no_dw = -1, no_db = -1;                       // a layer whose kernel, whose bias alone is not trained
    std::function<egi_val(egi_plan *, egi_val)> wrap; // of the first layer's output
    std::function<void(egi_plan *, const std::vector<egi_val> &y, const egi_softmax_xent &)> more; // after the loss
    std::function<void(egi_plan *, const egi_softmax_xent &)> late;                                // before compiling
    egi_precision precision = EGI_PRECISION_F32;
    bool input_wants = false, pointwise = false, shared = false, from_logits = false;

    std::vector<std::vector<float>> memory;
    egi_val bind(egi_plan *p, egi_shape shape, double scale, egi_val *grad = nullptr)
    {
        memory.push_back(floats(egi_shape_count(&shape), (uint32_t)memory.size() + 1, scale));
        const egi_val v = egi_plan_bind(p, EGI_F32, shape, memory.back().data());
        if (grad) {
            memory.emplace_back((size_t)egi_shape_count(&shape), -7.0f);
            *grad = egi_plan_bind(p, EGI_F32, shape, memory.back().data());
            egi_plan_leaf(p, v, *grad);
        }
        return v;
    }

    void layers(egi_plan *p, std::vector<egi_val> *y, std::vector<egi_val> *grads)
    {
        egi_val w = EGI_NONE, b = EGI_NONE, g = EGI_NONE;
        for (size_t l = 0; l + 1 < widths.size(); l++) {
            egi_dense d = {};
            d.x = l == 1 && wrap ? wrap(p, y->back()) : y->back();
            const int64_t in = egi_dim(p, d.x, 1);
            const bool trains = (int)l >= frozen, again = shared && l == 2;
            if (!again) {
                w = bind(p, EGI_SHAPE(in, widths[l + 1]), 1 / std::sqrt((double)in),
                         trains && (int)l != no_dw ? &g : nullptr);
                if (trains && (int)l != no_dw)
                    grads->push_back(g);
                b = bias ? bind(p, EGI_SHAPE(widths[l + 1]), 0.1, trains && (int)l != no_db ? &g : nullptr) : EGI_NONE;
                if (trains && bias && (int)l != no_db)
                    grads->push_back(g);
            }
            d.w = w;
            d.b = b;
            d.act = acts[l];
            d.alpha = 0.3f;
            d.y = egi_temp(p, EGI_SHAPE(egi_dim(p, d.x, 0), widths[l + 1]));
            ASSERT_OK(egi_plan_emit(p, &egi_op_dense, &d));
            y->push_back(d.y);
        }
    }

    egi_val loss(egi_plan *p, const std::vector<egi_val> &y, egi_val *correct)
    {
        const int64_t n = egi_dim(p, y.back(), 0), classes = egi_dim(p, y.back(), 1);
        egi_softmax_xent x = {};
        x.z = y.back();
        x.labels = egi_plan_input(p, EGI_I32, EGI_SHAPE(n));
        labels_of = x.labels;
        x.loss = egi_temp(p, EGI_SCALAR);
        x.dz = egi_temp(p, EGI_SHAPE(n, classes));
        x.correct = *correct = egi_temp(p, EGI_SCALAR);
        x.scale = 1;
        x.label_smoothing = 0.1f;
        egi_pointwise_loss mse = {};
        mse.kind = EGI_LOSS_MSE;
        mse.y = x.z;
        mse.loss = x.loss;
        mse.dy = x.dz;
        mse.scale = 1;
        if (pointwise) {
            mse.targets = bind(p, EGI_SHAPE(n, classes), 1);
            *correct = EGI_NONE;
            EXPECT_OK(egi_plan_emit(p, &egi_op_pointwise_loss, &mse));
        } else {
            EXPECT_OK(egi_plan_emit(p, &egi_op_softmax_xent, &x));
        }
        egi_val total = x.loss;
        if (more)
            more(p, y, x);
        if (sum_of)
            total = sum_of(p, x.loss);
        if (*correct)
            egi_plan_keep(p, *correct);
        egi_plan_keep(p, total);
        EXPECT_OK(from_logits ? egi_plan_backward_from(p, x.z, x.dz, false) : egi_plan_backward(p, total));
        if (late)
            late(p, x);
        return total;
    }
    std::function<egi_val(egi_plan *, egi_val)> sum_of;
    egi_val labels_of = EGI_NONE;

    void run(Found *out, const char *device)
    {
        Context context(1, nullptr, device);
        egi_plan *p = nullptr;
        memory.clear();
        memory.reserve(64);
        context.c->device->separate = separate;
        ASSERT_OK(egi_context_set_precision(context.c, precision));
        ASSERT_OK(egi_plan_create(&p, context.c, rows, EGI_F32, training));
        std::vector<egi_val> y, grads;
        egi_val g = EGI_NONE, correct = EGI_NONE;
        y.push_back(bind(p, EGI_SHAPE(rows, widths[0]), 1, input_wants ? &g : nullptr));
        layers(p, &y, &grads);
        const egi_val total = loss(p, y, &correct);
        ASSERT_OK(egi_plan_compile(p));
        int32_t *labels = static_cast<int32_t *>(egi_plan_data(p, labels_of));
        for (int64_t i = 0; labels && i < egi_dim(p, y.back(), 0); i++)
            labels[i] = (int32_t)((i * 7 + 1) % (widths.back() + 1)) - 1; // some are -1: they do not count
        const egi_control control = {};
        ASSERT_OK(egi_plan_run(p, &control));
        std::vector<egi_val> read{total};
        if (correct)
            read.push_back(correct);
        read.insert(read.end(), grads.begin(), grads.end());
        for (const egi_val v : read) {
            const float *data = static_cast<const float *>(egi_plan_data(p, v));
            out->values.emplace_back(data, data + egi_count(&p->t[v]));
        }
        out->kernels = p->n_kernels;
        for (int i = 0; i < p->n_kernels; i++)
            out->fused += p->kernels[i].op == &egi_op_mlp_step;
        egi_plan_free(p);
    }
};

void expect_near(const Found &want, const Found &got)
{
    ASSERT_EQ(want.values.size(), got.values.size());
    for (size_t v = 0; v < want.values.size(); v++) {
        float most = 0;
        for (const float x : want.values[v])
            most = std::fmax(most, std::fabs(x));
        EXPECT_TRUE(most > 0 || v == 1) << "value " << v; // correct, number 1, may be 0
        for (size_t i = 0; i < want.values[v].size(); i++)
            ASSERT_NEAR(want.values[v][i], got.values[v][i], 1e-5 * most) << "value " << v << ", element " << i;
    }
}

// On cuda: one mlp_step or none, and in all `kernels`, where given; the numbers are the cpu's, and those of the
// separate operations.
void expect(Net net, int fused, int kernels = -1)
{
    Found cpu, cuda, again, apart;
    net.run(&cpu, "cpu");
    net.run(&cuda, "cuda");
    net.run(&again, "cuda");
    net.separate = true;
    net.run(&apart, "cuda");
    EXPECT_EQ(0, cpu.fused);
    EXPECT_EQ(fused, cuda.fused);
    EXPECT_EQ(0, apart.fused);
    if (kernels >= 0) {
        EXPECT_EQ(kernels, cuda.kernels);
    }
    expect_near(cpu, cuda);
    expect_near(apart, cuda);
    EXPECT_EQ(cuda.values, again.values);
}

Net plain()
{
    return Net();
}

} // namespace

// --- fused -----------------------------------------------------------------------------------------------------------

TEST(MlpStep, IsTheWholePlan)
{
    expect(plain(), 1, 1);
    Net mnist;
    mnist.rows = 32;
    mnist.widths = {784, 100, 100, 10};
    mnist.acts = {EGI_ACT_RELU, EGI_ACT_RELU, EGI_ACT_LINEAR};
    expect(mnist, 1, 1);
    Net small;
    small.rows = 64;
    small.widths = {64, 32, 10};
    small.acts = {EGI_ACT_SIGMOID, EGI_ACT_LEAKY_RELU};
    expect(small, 1, 1);
    Net one;
    one.bias = false;
    one.widths = {33, 4};
    one.acts = {EGI_ACT_RELU6};
    expect(one, 1, 1);
    Net wide;
    wide.widths = {3, 256, 5};
    wide.acts = {EGI_ACT_TANH, EGI_ACT_LINEAR};
    expect(wide, 1, 1);
}

TEST(MlpStep, HasSixLayersAtMost)
{
    Net net;
    net.widths = {5, 6, 7, 6, 5, 6, 4};
    net.acts = {EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_LINEAR};
    expect(net, 1, 1);
    net.widths.push_back(5);
    net.acts.push_back(EGI_ACT_LINEAR);
    expect(net, 0);
}

TEST(MlpStep, ComesAfterFrozenLayersAndAnything)
{
    Net net;
    net.frozen = 1;
    expect(net, 1, 2); // dense
    net.wrap = [](egi_plan *p, egi_val x) {
        egi_dropout d = {};
        d.x = x;
        d.y = egi_temp_like(p, x);
        d.rate = 0.5f;
        EXPECT_OK(egi_plan_emit(p, &egi_op_dropout, &d));
        return d.y;
    };
    expect(net, 1, 3);
}

TEST(MlpStep, SeesThroughFlatten)
{
    Net net;
    net.wrap = [](egi_plan *p, egi_val x) { return egi_alias(p, x, *egi_shape_of(p, x)); };
    expect(net, 1, 1);
}

TEST(MlpStep, MayHaveItsLossReadAndItsKernelShared)
{
    Net net;
    net.sum_of = [](egi_plan *p, egi_val loss) {
        egi_add a = {};
        a.a = a.b = loss;
        a.y = egi_temp(p, EGI_SCALAR);
        EXPECT_OK(egi_plan_emit(p, &egi_op_add, &a));
        return a.y;
    };
    expect(net, 1, 2);
    Net shared; // two layers with one kernel: its gradients are added up behind
    shared.shared = true;
    shared.widths = {8, 6, 6, 6};
    shared.acts = {EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_LINEAR};
    expect(shared, 1, 3);
}

// --- left alone ------------------------------------------------------------------------------------------------------

TEST(MlpStep, LeavesAWideLayerAlone)
{
    Net hidden;
    hidden.widths = {3, 257, 5};
    hidden.acts = {EGI_ACT_TANH, EGI_ACT_LINEAR};
    expect(hidden, 0);
    Net classes;
    classes.widths = {3, 4, 257};
    classes.acts = {EGI_ACT_TANH, EGI_ACT_LINEAR};
    expect(classes, 0);
}

TEST(MlpStep, LeavesKeptValuesAlone)
{
    for (const size_t which : {1, 2, 3}) { // outputs; the last are the logits
        Net net;
        net.more = [=](egi_plan *p, const std::vector<egi_val> &y, const egi_softmax_xent &) {
            egi_plan_keep(p, y[which]);
        };
        expect(net, 0);
    }
    Net gradient;
    gradient.late = [](egi_plan *p, const egi_softmax_xent &x) { egi_plan_keep(p, x.dz); };
    expect(gradient, 0);
}

TEST(MlpStep, LeavesValuesWithOtherReadersAlone)
{
    const auto read = [](egi_plan *p, egi_val x) {
        egi_copy c = {};
        c.x = x;
        c.y = egi_temp_like(p, x);
        EXPECT_OK(egi_plan_emit(p, &egi_op_copy, &c));
        egi_plan_keep(p, c.y);
    };
    for (const size_t which : {1, 2, 3}) {
        Net net;
        net.more = [=](egi_plan *p, const std::vector<egi_val> &y, const egi_softmax_xent &) { read(p, y[which]); };
        expect(net, 0);
    }
    Net gradient;
    gradient.late = [=](egi_plan *p, const egi_softmax_xent &x) { read(p, x.dz); };
    expect(gradient, 0);
}

TEST(MlpStep, LeavesASecondLossAlone)
{
    Net net;
    egi_val other = EGI_NONE;
    net.more = [&](egi_plan *p, const std::vector<egi_val> &, const egi_softmax_xent &x) {
        egi_softmax_xent second = x;
        second.loss = other = egi_temp(p, EGI_SCALAR);
        second.dz = egi_temp_like(p, x.dz);
        second.correct = EGI_NONE;
        second.scale = 0.5f;
        EXPECT_OK(egi_plan_emit(p, &egi_op_softmax_xent, &second));
    };
    net.sum_of = [&](egi_plan *p, egi_val loss) {
        egi_add a = {};
        a.a = loss;
        a.b = other;
        a.y = egi_temp(p, EGI_SCALAR);
        EXPECT_OK(egi_plan_emit(p, &egi_op_add, &a));
        return a.y;
    };
    expect(net, 0);
}

TEST(MlpStep, LeavesOtherOperationsBetweenAlone)
{
    Net dropout, gelu, rows;
    dropout.wrap = [](egi_plan *p, egi_val x) {
        egi_dropout d = {};
        d.x = x;
        d.y = egi_temp_like(p, x);
        d.rate = 0.25f;
        EXPECT_OK(egi_plan_emit(p, &egi_op_dropout, &d));
        return d.y;
    };
    expect(dropout, 0);
    gelu.acts[0] = EGI_ACT_LINEAR;
    gelu.wrap = [](egi_plan *p, egi_val x) {
        egi_activation a = {};
        a.x = x;
        a.y = egi_temp_like(p, x);
        a.act = EGI_ACT_GELU;
        EXPECT_OK(egi_plan_emit(p, &egi_op_activation, &a));
        return a.y;
    };
    expect(gelu, 0);
    rows.rows = 12; // two rows an example, flattened behind the first layer
    rows.wrap = [](egi_plan *p, egi_val x) { return egi_alias(p, x, EGI_SHAPE(6, 2 * egi_dim(p, x, 1))); };
    expect(rows, 0);
}

TEST(MlpStep, LeavesOtherLossesAlone)
{
    Net net;
    net.pointwise = true;
    expect(net, 0);
}

TEST(MlpStep, LeavesAnInputThatWantsAGradientAlone)
{
    Net net;
    net.input_wants = true;
    expect(net, 0);
}

TEST(MlpStep, LeavesLayersThatAreTrainedInPartAlone)
{
    for (const int l : {0, 1, 2}) {
        Net kernel, bias;
        kernel.no_dw = l;
        bias.no_db = l;
        expect(kernel, 0);
        expect(bias, 0);
    }
}

TEST(MlpStep, LeavesPlansThatDoNotTrainAlone)
{
    Net net;
    net.training = false;
    expect(net, 0);
}

// Nearly what a backward pass makes: one thing of it is changed.
TEST(MlpStep, LeavesOtherGradientsAlone)
{
    const auto change = [](const egi_op *op, int which, const std::function<void(egi_plan *, void *)> &how) {
        Net net;
        net.widths = {9, 9, 9, 9}; // as many as rows: any product of any two fits
        net.acts[1] = EGI_ACT_LEAKY_RELU;
        net.late = [=](egi_plan *p, const egi_softmax_xent &) {
            for (int64_t i = p->n_forward, n = 0; i < p->n_nodes; i++)
                if (p->nodes[i].op == op && n++ == which)
                    how(p, p->nodes[i].args);
        };
        expect(net, 0);
    };
    const auto slope = [](void *args) { return static_cast<egi_activation_grad *>(args); };
    const auto gemm = [](void *args) { return static_cast<egi_gemm *>(args); };
    change(&egi_op_activation_grad, 1, [=](egi_plan *, void *a) { slope(a)->act = EGI_ACT_TANH; });
    change(&egi_op_activation_grad, 0, [=](egi_plan *, void *a) { slope(a)->alpha = 0.5f; });
    change(&egi_op_activation_grad, 1, [=](egi_plan *, void *a) { slope(a)->y = slope(a)->dy; });
    change(&egi_op_gemm, 0, [=](egi_plan *, void *a) { gemm(a)->accumulate = true; });
    change(&egi_op_gemm, 1, [=](egi_plan *, void *a) { gemm(a)->accumulate = true; });
    for (const int which : {0, 1}) { // dw = x' dz, dx = dz w'
        change(&egi_op_gemm, which, [=](egi_plan *, void *a) { gemm(a)->ta = !gemm(a)->ta; });
        change(&egi_op_gemm, which, [=](egi_plan *, void *a) { gemm(a)->tb = !gemm(a)->tb; });
        change(&egi_op_gemm, which, [=](egi_plan *, void *a) { gemm(a)->b = gemm(a)->a; });
    }
    change(&egi_op_gemm, 0, [=](egi_plan *, void *a) { gemm(a)->a = gemm(a)->b; });
}

// Its backward part may be run several times, after one forward part.
TEST(MlpStep, LeavesABackwardPassFromTheLogitsAlone)
{
    Net net;
    net.from_logits = true;
    expect(net, 0);
}

// Tensor cores are the products' own.
TEST(MlpStep, LeavesRoundedFactorsAlone)
{
    for (const egi_precision precision : {EGI_PRECISION_TF32, EGI_PRECISION_BF16}) {
        Net net;
        Found found;
        net.precision = precision;
        net.run(&found, "cuda");
        EXPECT_EQ(0, found.fused);
    }
}

// The device declines what separate kernels do better.
TEST(MlpStep, LeavesLargeStepsAlone)
{
    Net rows;
    rows.rows = 2049;
    rows.widths = {3, 2};
    rows.acts = {EGI_ACT_LINEAR};
    expect(rows, 0);
    rows.rows = 2048;
    expect(rows, 1, 1);
    Net weights;
    weights.rows = 1;
    weights.widths = {2049, 256, 3};
    weights.acts = {EGI_ACT_LINEAR, EGI_ACT_LINEAR};
    expect(weights, 0);
}
