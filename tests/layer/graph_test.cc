// Graphs of layers: shared layers, several inputs and outputs, old names and keys, refusals by shape.
#include "tests/layer/harness.h"

#include <cmath>
#include <cstring>

using namespace layer;

static void start(Net &net, const Context &context, egi_dtype dtype = EGI_F64, int keras_major = 3)
{
    ASSERT_OK(egi_model_create(&net.m, context.c, dtype, keras_major));
}

static void finish(Net &net, std::vector<int> outputs)
{
    for (const int out : outputs)
        ASSERT_OK(egi_model_add_output(net.m, out));
    ASSERT_OK(egi_model_finish(net.m));
    fill(net);
}

TEST(Graph, SharedLayerSumsItsGradients)
{
    // y = (a W + b) + (c W + b): dW = a'r + c'r, db = 2 sum r.
    const Context context;
    Net net;
    Pass pass;
    start(net, context);
    const int a = net.source(EGI_SHAPE(4), "a"), c = net.source(EGI_SHAPE(4), "c");
    const int dense = net.layer("Dense", "{\"name\": \"d\", \"units\": 2}"),
              add = net.layer("Add", "{\"name\": \"s\"}");
    finish(net, {net.call(add, {net.call(dense, {a}), net.call(dense, {c})})});
    ASSERT_EQ(4, net.m->n_params) << "two sources, one kernel, one bias";
    ASSERT_OK(pass.make(net, false));
    ASSERT_OK(pass.all());
    const std::vector<double> xa = net.get(net.param("a", "x")), xc = net.get(net.param("c", "x"));
    std::vector<double> kernel(8), bias(2);
    for (int n = 0; n < kBatch; n++)
        for (int j = 0; j < 2; j++) {
            bias[j] += 2 * pass.r[n * 2 + j];
            for (int i = 0; i < 4; i++)
                kernel[i * 2 + j] += (xa[n * 4 + i] + xc[n * 4 + i]) * pass.r[n * 2 + j];
        }
    EXPECT_LT(difference(pass.gradient(net.param("d", "kernel")), kernel), 1e-14);
    EXPECT_LT(difference(pass.gradient(net.param("d", "bias")), bias), 1e-14);
}

// The gradient of `loss`, computed with everything in place, against central differences.
static void check_all(Net &net, egi_plan *plan, const void *grads, egi_val loss)
{
    egi_control control = {};
    for (int64_t i = 0; i < net.m->n_params; i++) {
        const egi_param *p = &net.m->params[i];
        const std::vector<double> value = net.get(i);
        std::vector<double> moved = value, numeric, analytic;
        for (size_t k = 0; k < value.size(); k++) {
            double at[2];
            for (int side = 0; side < 2; side++) {
                moved[k] = value[k] + (side ? -1e-5 : 1e-5);
                net.set(i, moved);
                control.weights_version++;
                ASSERT_OK(egi_plan_run_forward(plan, &control));
                at[side] = *(double *)egi_plan_data(plan, loss);
            }
            moved[k] = value[k];
            numeric.push_back((at[0] - at[1]) / 2e-5);
            analytic.push_back(((const double *)grads)[p->offset + (int64_t)k]);
        }
        net.set(i, value);
        EXPECT_LT(difference(analytic, numeric), 1e-6) << net.m->layers[p->layer].path << " " << p->name;
    }
}

TEST(Graph, TwoInputsTwoOutputs)
{
    const Context context;
    Net net;
    start(net, context);
    const int image = net.source(EGI_SHAPE(6, 6, 2), "image"), vector = net.source(EGI_SHAPE(5), "vector");
    const int conv =
        net.layer("Conv2D", "{\"name\": \"c\", \"filters\": 3, \"kernel_size\": 3, \"activation\": \"tanh\"}");
    const int pool = net.layer("MaxPooling2D", "{\"name\": \"p\"}"), flat = net.layer("Flatten", "{\"name\": \"f\"}");
    const int left = net.layer("Dense", "{\"name\": \"l\", \"units\": 4}");
    const int right = net.layer("Dense", "{\"name\": \"r\", \"units\": 4, \"activation\": \"sigmoid\"}");
    const int sum = net.layer("Add", "{\"name\": \"s\"}"), head = net.layer("Dense", "{\"name\": \"h\", \"units\": 2}");
    const int a = net.call(left, {net.call(flat, {net.call(pool, {net.call(conv, {image})})})});
    const int b = net.call(right, {vector});
    const int s = net.call(sum, {a, b, a});
    finish(net, {net.call(head, {s}), b});

    egi_plan *plan;
    void *grads;
    egi_model_io io;
    ASSERT_OK(egi_plan_create(&plan, context.c, kBatch, EGI_F64, false));
    ASSERT_OK(egi_model_arena(&grads, net.m));
    ASSERT_OK(egi_model_emit(net.m, plan, grads, nullptr, &io));
    ASSERT_OK(egi_plan_fuse(plan));
    egi_val losses[2], targets[2];
    for (int i = 0; i < 2; i++) {
        egi_pointwise_loss loss = {};
        const egi_shape shape = *egi_shape_of(plan, io.out[i]);
        targets[i] = egi_plan_input(plan, EGI_F64, shape);
        losses[i] = egi_temp(plan, egi_shape{});
        loss.y = io.out[i];
        loss.targets = targets[i];
        loss.loss = losses[i];
        loss.dy = egi_temp(plan, shape);
        loss.kind = EGI_LOSS_MSE;
        loss.scale = i ? 0.5f : 2.0f;
        ASSERT_OK(egi_plan_emit(plan, &egi_op_pointwise_loss, &loss));
    }
    egi_add both = {};
    both.a = losses[0];
    both.b = losses[1];
    both.y = egi_temp(plan, egi_shape{});
    ASSERT_OK(egi_plan_emit(plan, &egi_op_add, &both));
    egi_plan_keep(plan, both.y);
    ASSERT_OK(egi_plan_backward(plan, both.y));
    ASSERT_OK(egi_plan_compile(plan));
    for (int i = 0; i < 2; i++) {
        const std::vector<double> t = input_values(egi_shape_count(egi_shape_of(plan, targets[i])), 77);
        memcpy(egi_plan_data(plan, targets[i]), t.data(), t.size() * sizeof(double));
    }
    egi_control control = {};
    ASSERT_OK(egi_plan_run(plan, &control));
    check_all(net, plan, grads, both.y);
    egi_plan_free(plan);
    egi_free(context.c, io.params);
    egi_free(context.c, grads);
}

TEST(Graph, FreshWeightsAreGlorotUniform)
{
    const Context context;
    Net net;
    start(net, context);
    const int c = net.layer("Conv2D", "{\"name\": \"c\", \"filters\": 30, \"kernel_size\": 3}"),
              d = net.layer("Dense", "{\"name\": \"d\", \"units\": 40}");
    ASSERT_OK(egi_model_add_output(net.m, net.call(d, {net.call(c, {net.source(EGI_SHAPE(5, 5, 20), "x")})})));
    ASSERT_OK(egi_model_finish(net.m));
    EXPECT_EQ(0, largest(net.get(net.param("d", "bias"))));
    const double dense = std::sqrt(6.0 / (30 + 40)), conv = std::sqrt(6.0 / (9 * (20 + 30)));
    EXPECT_LE(largest(net.get(net.param("d", "kernel"))), dense);
    EXPECT_GT(largest(net.get(net.param("d", "kernel"))), 0.97 * dense);
    EXPECT_LE(largest(net.get(net.param("c", "kernel"))), conv);
    EXPECT_GT(largest(net.get(net.param("c", "kernel"))), 0.97 * conv);
}

TEST(Graph, PredictionsFollowTheWeights)
{
    const Context context;
    for (const char *name : {"Conv2D", "Dense"}) {
        Net net;
        start(net, context, EGI_F32);
        const egi_shape in = *name == 'D' ? EGI_SHAPE(64) : EGI_SHAPE(8, 8, 64);
        const char *config = *name == 'D' ? "{\"units\": 64}" : "{\"filters\": 64, \"kernel_size\": 3}";
        int x;
        ASSERT_OK(egi_model_add_input(net.m, &in, &x));
        finish(net, {net.call(net.layer(name, config), {x})});
        std::vector<float> xs((size_t)(9 * egi_shape_count(&in)), 1.0f), before(9 * 64 * 36), after(before.size());
        const float *inputs[] = {xs.data()};
        float *first[] = {before.data()}, *second[] = {after.data()};
        net.set(1, std::vector<double>(64));
        ASSERT_OK(eg_model_predict(net.m, inputs, 9, first));
        EXPECT_GT(std::fabs(before[0]), 1e-3);
        std::vector<double> kernel = net.get(0);
        for (double &v : kernel)
            v *= 2;
        net.set(0, kernel);
        ASSERT_OK(eg_model_predict(net.m, inputs, 9, second));
        for (size_t i = 0; i < before.size(); i++)
            ASSERT_NEAR(2 * before[i], after[i], 1e-4) << name;
    }
}

// A whole batch is read where the caller has it, part of one is copied: every kind of kernel that may come first sees
// the values of this call.
TEST(Graph, PredictionsReadTheInputOfTheCall)
{
    const struct {
        const char *type, *config;
        egi_shape in;
    } firsts[] = {
        {"Dense", "{\"units\": 24}", EGI_SHAPE(40)},
        {"Flatten", "{}", EGI_SHAPE(4, 4, 3)},
        {"ReLU", "{}", EGI_SHAPE(5)},
        {"MaxPooling2D", "{}", EGI_SHAPE(8, 8, 3)},
        {"Conv2D", "{\"filters\": 6, \"kernel_size\": 5}", EGI_SHAPE(12, 12, 1)},
        {"Conv2D", "{\"filters\": 16, \"kernel_size\": 3, \"strides\": 2}", EGI_SHAPE(9, 9, 3)},
        {"Conv2D", "{\"filters\": 16, \"kernel_size\": 3, \"padding\": \"same\"}", EGI_SHAPE(8, 8, 16)},
        {"Conv2D", "{\"filters\": 16, \"kernel_size\": 1}", EGI_SHAPE(6, 6, 16)},
        {"Conv2D", "{\"filters\": 16, \"kernel_size\": 1, \"strides\": 2}", EGI_SHAPE(6, 6, 16)},
        {"Conv2D", "{\"filters\": 8, \"kernel_size\": 3, \"groups\": 4}", EGI_SHAPE(6, 6, 8)},
    };
    const Context context;
    for (const auto &first : firsts)
        for (bool pooled : {false, true}) {
            if (pooled && std::strcmp(first.type, "Conv2D"))
                continue;
            Net net;
            start(net, context, EGI_F32);
            int x;
            ASSERT_OK(egi_model_add_input(net.m, &first.in, &x));
            int y = net.call(net.layer(first.type, first.config), {x});
            if (pooled)
                y = net.call(net.layer("MaxPooling2D", "{}"), {y});
            finish(net, {y});
            const size_t each = (size_t)egi_shape_count(&first.in),
                         out = (size_t)egi_shape_count(&net.m->tensors[net.m->outputs[0]]);
            std::vector<float> a(4 * each), b(4 * each), ya(4 * out), yb(4 * out), again(4 * out);
            for (size_t i = 0; i < a.size(); i++) {
                a[i] = (float)(i % 17) * 0.25f - 1;
                b[i] = 2 - (float)(i % 13) * 0.5f;
            }
            const std::vector<float> before = a;
            const auto predict = [&](const float *from, int64_t n, float *to) {
                EXPECT_EQ(EG_OK, eg_model_predict(net.m, &from, n, &to));
            };
            predict(a.data(), 4, ya.data());
            predict(b.data(), 4, yb.data());
            EXPECT_NE(ya, yb) << first.type << first.config;
            EXPECT_EQ(before, a) << first.type << first.config << ": the caller's input was written to";
            for (size_t n : {size_t{1}, size_t{3}, size_t{4}}) {
                std::vector<float> own(a.begin(), a.begin() + (std::ptrdiff_t)(n * each)); // ends with its last value
                predict(own.data(), (int64_t)n, again.data());
                for (size_t i = 0; i < n * out; i++)
                    ASSERT_NEAR(ya[i], again[i], 1e-5) << first.type << first.config << " of " << n;
            }
        }
}

TEST(Graph, GlobalPoolingKeepsItsDimensionsWhenAsked)
{
    const Context context;
    Net net;
    start(net, context);
    const int x = net.source(EGI_SHAPE(3, 4, 5), "x");
    const int flat = net.call(net.layer("GlobalAveragePooling2D", "{}"), {x});
    const int kept = net.call(net.layer("GlobalAveragePooling2D", "{\"keepdims\": true}"), {x});
    EXPECT_STREQ("(5)", egi_shape_format(&net.m->tensors[flat]).s);
    EXPECT_STREQ("(1, 1, 5)", egi_shape_format(&net.m->tensors[kept]).s);
}

TEST(Graph, AddOfATensorToItself)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context);
    const int x = net.source(EGI_SHAPE(3), "x");
    finish(net, {net.call(net.layer("Add", "{}"), {x, x})});
    ASSERT_OK(pass.make(net, false));
    ASSERT_OK(pass.all());
    std::vector<double> twice = pass.r;
    for (double &v : twice)
        v *= 2;
    EXPECT_EQ(twice, pass.gradient(0));
}

TEST(Graph, FrozenBatchNormUsesAndKeepsItsStatistics)
{
    for (const char *config : {"{\"name\": \"b\", \"trainable\": false}", "{\"name\": \"b\"}"}) {
        const Context context;
        Net net;
        Pass pass, inference;
        start(net, context);
        finish(net, {net.call(net.layer("BatchNormalization", config), {net.source(EGI_SHAPE(4, 3), "x")})});
        net.m->batchnorm_frozen = strstr(config, "trainable") == nullptr;
        const std::vector<double> mean = net.get(net.param("b", "moving_mean"));
        ASSERT_OK(pass.make(net, true));
        ASSERT_OK(pass.all());
        ASSERT_OK(inference.make(net, false));
        ASSERT_OK(inference.all());
        EXPECT_EQ(inference.output(), pass.output());
        EXPECT_EQ(mean, net.get(net.param("b", "moving_mean")));
        EXPECT_GT(largest(pass.gradient(net.param("b", "gamma"))), 0);
    }
}

TEST(Graph, LayersThatARunFreezesHaveNoGradients)
{
    const Context context;
    Net net;
    Pass pass, inference;
    start(net, context);
    const int d = net.layer("Dense", "{\"name\": \"d\", \"units\": 3}"),
              b = net.layer("BatchNormalization", "{\"name\": \"b\"}"),
              e = net.layer("Dense", "{\"name\": \"e\", \"units\": 2}");
    finish(net, {net.call(e, {net.call(b, {net.call(d, {net.source(EGI_SHAPE(4), "x")})})})});
    net.m->layers[b].frozen = net.m->layers[e].frozen = true;
    net.m->params[net.param("d", "bias")].frozen = true;
    const std::vector<double> mean = net.get(net.param("b", "moving_mean"));
    ASSERT_OK(pass.make(net, true));
    ASSERT_OK(pass.all());
    ASSERT_OK(inference.make(net, false));
    ASSERT_OK(inference.all());
    EXPECT_EQ(inference.output(), pass.output());
    EXPECT_EQ(mean, net.get(net.param("b", "moving_mean")));
    EXPECT_GT(largest(pass.gradient(net.param("d", "kernel"))), 0);
    for (const int64_t i : {net.param("d", "bias"), net.param("b", "gamma"), net.param("e", "kernel")})
        EXPECT_EQ(0, largest(pass.gradient(i))) << i;
}

TEST(Graph, DropoutKeepsTheMeanAndItsShare)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context, EGI_F32);
    finish(net, {net.call(net.layer("Dropout", "{\"rate\": 0.25}"), {net.source(EGI_SHAPE(20000), "x")})});
    net.set(0, std::vector<double>((size_t)kBatch * 20000, 1.0));
    ASSERT_OK(pass.make(net, true));
    ASSERT_OK(pass.all());
    double kept = 0;
    for (const double y : pass.output()) {
        EXPECT_TRUE(y == 0 || std::fabs(y - 4.0 / 3) < 1e-6) << y;
        kept += y != 0;
    }
    /* binomial: n = 60,000, p = 3/4; 5 standard deviations */
    EXPECT_NEAR(kept, 45000, 5 * std::sqrt(60000 * 0.75 * 0.25));
    Pass inference;
    ASSERT_OK(inference.make(net, false));
    ASSERT_OK(inference.all());
    EXPECT_EQ(net.get(0), inference.output());
}

// keras.layers.ReLU(...)([0.5, 1, 1.5, 2, 3]) of Keras 3.15.1: the threshold itself is below, max_value itself is not
// above.
TEST(Graph, ReluAtItsKinks)
{
    for (const bool reference : {false, true}) {
        const Context context;
        context.c->device->reference_only = reference;
        Net net;
        Pass pass;
        start(net, context, EGI_F32);
        const char *config = "{\"max_value\": 2.0, \"negative_slope\": 0.5, \"threshold\": 1.0}";
        finish(net, {net.call(net.layer("ReLU", config), {net.source(EGI_SHAPE(5), "x")})});
        net.set(0, {0.5, 1, 1.5, 2, 3, 0.5, 1, 1.5, 2, 3, 0.5, 1, 1.5, 2, 3});
        ASSERT_OK(pass.make(net, false));
        ASSERT_OK(pass.all());
        const std::vector<double> y = {-0.25, 0, 1.5, 2, 2, -0.25, 0, 1.5, 2, 2, -0.25, 0, 1.5, 2, 2};
        EXPECT_EQ(y, pass.output());
    }
}

TEST(Graph, TwoDropoutsDrawDifferently)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context, EGI_F32);
    const int x = net.source(EGI_SHAPE(1000), "x");
    const int one = net.call(net.layer("Dropout", "{\"name\": \"one\", \"rate\": 0.5}"), {x});
    const int two = net.call(net.layer("Dropout", "{\"name\": \"two\", \"rate\": 0.5}"), {x});
    finish(net, {net.call(net.layer("Add", "{}"), {one, two})});
    net.set(0, std::vector<double>((size_t)kBatch * 1000, 1.0));
    ASSERT_OK(pass.make(net, true));
    ASSERT_OK(pass.all());
    int in_one_only = 0;
    for (const double y : pass.output())
        in_one_only += y == 2;
    EXPECT_NEAR(in_one_only, 1500, 5 * std::sqrt(3000 * 0.25));
}

TEST(Graph, CallsRecordedAsInferenceStayThat)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context);
    const int drop = net.layer("Dropout", "{\"rate\": 0.9}");
    finish(net, {net.call(drop, {net.source(EGI_SHAPE(50), "x")}, 0)});
    ASSERT_OK(pass.make(net, true));
    ASSERT_OK(pass.all());
    EXPECT_EQ(net.get(0), pass.output());
}

// --- fusing ----------------------------------------------------------------------------------------------------------

TEST(Fusing, AnActivationKeepsItsSlopeAndTheOneBeforeIt)
{
    const struct {
        const char *before, *config, *after, *after_config;
        double (*y)(double);
    } pairs[] = {
        {"Dense", "{\"units\": 6}", "LeakyReLU", "{\"negative_slope\": 0.25}",
         [](double x) { return x < 0 ? 0.25 * x : x; }},
        {"Conv2D", "{\"filters\": 6, \"kernel_size\": 1}", "LeakyReLU", "{\"negative_slope\": 0.25}",
         [](double x) { return x < 0 ? 0.25 * x : x; }},
        {"Dense", "{\"units\": 6, \"activation\": \"tanh\"}", "Activation", "{\"activation\": \"relu\"}",
         [](double x) { return std::fmax(std::tanh(x), 0); }},
        {"Conv2D", "{\"filters\": 6, \"kernel_size\": 1, \"activation\": \"relu\"}", "Activation",
         "{\"activation\": \"sigmoid\"}", [](double x) { return 1 / (1 + std::exp(-std::fmax(x, 0))); }},
    };
    for (const auto &p : pairs) {
        const Context context;
        Net net;
        Pass pass;
        start(net, context);
        const int x = net.source(*p.before == 'D' ? EGI_SHAPE(6) : EGI_SHAPE(1, 1, 6), "x");
        const int before = net.call(net.layer(p.before, p.config), {x});
        finish(net, {net.call(net.layer(p.after, p.after_config), {before})});
        std::vector<double> identity(36);
        for (size_t i = 0; i < 6; i++)
            identity[i * 7] = 1;
        net.set(1, identity);
        net.set(2, std::vector<double>(6));
        std::vector<double> y = net.get(0);
        for (double &v : y)
            v = p.y(v);
        ASSERT_OK(pass.make(net, false));
        ASSERT_OK(pass.all());
        EXPECT_LT(difference(pass.output(), y), 1e-14) << p.before << " " << p.config << " " << p.after;
    }
}

TEST(Fusing, ASigmoidThatOthersReadComesBeforeThem)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context);
    const int x = net.source(EGI_SHAPE(4), "x");
    const int s = net.call(net.layer("Dense", "{\"name\": \"s\", \"units\": 3, \"activation\": \"sigmoid\"}"), {x});
    finish(net, {s, net.call(net.layer("Dense", "{\"name\": \"h\", \"units\": 2}"), {s})});
    ASSERT_OK(pass.make(net, false));
    ASSERT_OK(pass.all());
    egi_plan *plan;
    egi_model_io io;
    egi_val logits;
    egi_act head;
    ASSERT_OK(egi_plan_create(&plan, context.c, kBatch, EGI_F64, false));
    ASSERT_OK(egi_model_emit(net.m, plan, nullptr, nullptr, &io));
    ASSERT_OK(egi_plan_fuse(plan));
    ASSERT_OK(egi_plan_logits(plan, io.out[0], &logits, &head));
    EXPECT_EQ(EGI_ACT_SIGMOID, head);
    ASSERT_OK(egi_plan_compile(plan));
    const egi_control control = {};
    ASSERT_OK(egi_plan_run(plan, &control));
    const double *y = (const double *)egi_plan_data(plan, io.out[1]);
    EXPECT_EQ(pass.output(1), std::vector<double>(y, y + 2 * kBatch));
    egi_plan_free(plan);
    egi_free(context.c, io.params);
}

static int count(const egi_plan *p, const egi_op *op)
{
    int n = 0;
    for (int64_t i = 0; i < p->n_nodes; i++)
        n += !p->nodes[i].dead && p->nodes[i].op == op;
    return n;
}

// Two blocks of convolution and pooling; what the first pooling reads is an output too where `shown`.
static void two_blocks(Net &net, const Context &context, bool shown)
{
    start(net, context, EGI_F32);
    const int x = net.source(EGI_SHAPE(20, 18, 1), "x");
    const int a = net.call(net.layer("Conv2D", "{\"name\": \"a\", \"filters\": 6, \"kernel_size\": 5, \"padding\": "
                                               "\"same\", \"activation\": \"relu\"}"),
                           {x});
    const int b = net.call(net.layer("MaxPooling2D", "{\"name\": \"b\"}"), {a});
    const int c = net.call(net.layer("Conv2D", "{\"name\": \"c\", \"filters\": 9, \"kernel_size\": 3}"), {b});
    const int d = net.call(net.layer("Activation", "{\"name\": \"d\", \"activation\": \"relu\"}"), {c});
    const int e = net.call(net.layer("MaxPooling2D", "{\"name\": \"e\", \"strides\": 1}"), {d});
    if (shown)
        finish(net, {e, a});
    else
        finish(net, {e});
}

// With fast kernels the pairs are one operation each, without they are not: outputs and gradients agree.
TEST(Fuse, PoolingMovesIntoTheConvolutionBefore)
{
    for (const bool shown : {false, true}) {
        std::vector<std::vector<double>> results[2];
        for (const bool slow : {false, true}) {
            const Context context;
            context.c->device->reference_only = slow;
            Net net;
            Pass pass;
            two_blocks(net, context, shown);
            ASSERT_OK(pass.make(net, true));
            ASSERT_OK(pass.all());
            EXPECT_EQ(slow ? 0 : shown ? 1 : 2, count(pass.plan, &egi_op_conv2d_maxpool));
            EXPECT_EQ(slow ? 2 : shown ? 1 : 0, count(pass.plan, &egi_op_maxpool_grad));
            results[slow].push_back(pass.output());
            for (int64_t i = 0; i < net.m->n_params; i++)
                results[slow].push_back(pass.gradient(i));
        }
        for (size_t i = 0; i < results[0].size(); i++)
            EXPECT_LT(difference(results[0][i], results[1][i]), 1e-5) << "value " << i;
    }
}

TEST(Drift, IsRelativeToTheOlderWeights)
{
    const Context context;
    Net a, b, c;
    for (Net *net : {&a, &b, &c}) {
        start(*net, context);
        const int d =
            net->layer("Dense", net == &c ? "{\"name\": \"d\", \"units\": 3}" : "{\"name\": \"d\", \"units\": 2}");
        finish(*net, {net->call(d, {net->source(EGI_SHAPE(1), "x")})});
    }
    a.set(a.param("d", "kernel"), {3, 0});
    a.set(a.param("d", "bias"), {0, 4});
    b.set(b.param("d", "kernel"), {3, 1});
    b.set(b.param("d", "bias"), {-2, 2});
    const int64_t layer = egi_model_find_layer(a.m, "d");
    double drift = -1;
    ASSERT_OK(eg_model_drift(a.m, b.m, layer, &drift));
    EXPECT_DOUBLE_EQ(0.6, drift);
    ASSERT_OK(eg_model_drift(a.m, c.m, layer, &drift));
    EXPECT_TRUE(std::isnan(drift)) << "other shapes";
    EXPECT_EQ(EG_ERR_ARG, eg_model_drift(a.m, b.m, 9, &drift));
}

// --- old names and keys ----------------------------------------------------------------------------------------------

static std::vector<double> run_config(const char *class_name, const char *config, const egi_shape &in, int keras_major)
{
    const Context context;
    Net net;
    Pass pass;
    start(net, context, EGI_F64, keras_major);
    finish(net, {net.call(net.layer(class_name, config), {net.source(in, "x")})});
    EXPECT_OK(pass.make(net, false));
    EXPECT_OK(pass.all());
    return pass.output();
}

TEST(OldKeras, NamesAndKeysMeanTheSame)
{
    const struct {
        egi_shape in;
        const char *old_class, *old_config, *new_class, *new_config;
    } pairs[] = {
        {EGI_SHAPE(6, 7, 3), "Convolution2D",
         "{\"nb_filter\": 4, \"nb_row\": 3, \"nb_col\": 2, \"subsample\": [2, 1], \"border_mode\": \"same\", "
         "\"dim_ordering\": "
         "\"tf\", \"bias\": false, \"init\": \"glorot_uniform\", \"W_regularizer\": null}",
         "Conv2D",
         "{\"filters\": 4, \"kernel_size\": [3, 2], \"strides\": [2, 1], \"padding\": \"same\", \"use_bias\": false}"},
        {EGI_SHAPE(5), "Dense", "{\"output_dim\": 3, \"input_dim\": 5, \"bias\": true}", "Dense", "{\"units\": 3}"},
        {EGI_SHAPE(5, 5, 2), "MaxPooling2D",
         "{\"pool_size\": [2, 2], \"border_mode\": \"same\", \"dim_ordering\": \"tf\"}", "MaxPool2D",
         "{\"padding\": \"same\"}"},
        {EGI_SHAPE(5), "Dropout", "{\"p\": 0.5}", "Dropout", "{\"rate\": 0.5}"},
        {EGI_SHAPE(5), "LeakyReLU", "{\"alpha\": 0.1}", "LeakyReLU", "{\"negative_slope\": 0.1}"},
        {EGI_SHAPE(5), "ReLU", "{\"alpha\": 0.1}", "ReLU", "{\"negative_slope\": 0.1}"},
        {EGI_SHAPE(4, 4, 2), "AvgPool2D", "{}", "AveragePooling2D", "{}"},
        {EGI_SHAPE(4, 4, 2), "GlobalAvgPool2D", "{}", "GlobalAveragePooling2D", "{}"},
        {EGI_SHAPE(4), "BatchNormalization", "{\"mode\": 0, \"axis\": -1}", "BatchNormalization", "{}"},
    };
    for (const auto &p : pairs)
        EXPECT_EQ(run_config(p.old_class, p.old_config, p.in, 1), run_config(p.new_class, p.new_config, p.in, 3))
            << p.old_config;
}

TEST(OldKeras, Regularizers)
{
    const struct {
        const char *config;
        double kernel_l1, kernel_l2, bias_l1, bias_l2;
    } all[] = {
        {"{\"W_regularizer\": {\"name\": \"WeightRegularizer\", \"l1\": 0.5, \"l2\": 0.25}, \"b_regularizer\": \"l2\"}",
         0.5, 0.25, 0, 0.01},
        {"{\"kernel_regularizer\": \"l1\", \"bias_regularizer\": \"L1L2\"}", 0.01, 0, 0.01, 0.01},
        {"{\"kernel_regularizer\": {\"class_name\": \"L1L2\", \"config\": {\"l1\": 0.0, \"l2\": 0.125}}}", 0, 0.125, 0,
         0},
    };
    for (const auto &r : all) {
        const Context context;
        Net net;
        start(net, context);
        const Json config(r.config);
        json_object_set_new(config.j, "name", json_string("d"));
        json_object_set_new(config.j, "units", json_integer(2));
        int layer = -1;
        ASSERT_OK(egi_model_add_layer(net.m, egi_layer_type_find("Dense"), config.j, nullptr, &layer));
        finish(net, {net.call(layer, {net.source(EGI_SHAPE(3), "x")})});
        const egi_param &kernel = net.m->params[net.param("d", "kernel")],
                        &bias = net.m->params[net.param("d", "bias")];
        EXPECT_EQ(r.kernel_l1, kernel.l1) << r.config;
        EXPECT_EQ(r.kernel_l2, kernel.l2) << r.config;
        EXPECT_EQ(r.bias_l1, bias.l1) << r.config;
        EXPECT_EQ(r.bias_l2, bias.l2) << r.config;
    }
}

TEST(OldKeras, WhatTrainingLeavesOutIsLogged)
{
    for (const char *key : {"kernel_constraint", "activity_regularizer"}) {
        const Context context;
        Net net;
        std::string log;
        context.c->log = [](void *user, eg_log_level, const char *line) { *static_cast<std::string *>(user) += line; };
        context.c->log_user = &log;
        start(net, context);
        net.layer("Dense",
                  (std::string("{\"units\": 2, \"") + key + "\": {\"class_name\": \"L2\", \"config\": {\"l2\": 1}}}")
                      .c_str());
        EXPECT_NE(std::string::npos, log.find(key)) << log;
    }
}

// --- refusals --------------------------------------------------------------------------------------------------------

static eg_status try_layer(const char *class_name, const char *config, const egi_shape &in)
{
    const Context context;
    Net net;
    const Json json(config);
    int input, layer, out;
    EG_TRY(egi_model_create(&net.m, context.c, EGI_F32, 3));
    EG_TRY(egi_model_add_input(net.m, &in, &input));
    EG_TRY(egi_model_add_layer(net.m, egi_layer_type_find(class_name), json.j, nullptr, &layer));
    return egi_model_call(net.m, layer, &input, 1, -1, &out);
}

TEST(Refusals, SayWhatAndWhy)
{
    const struct {
        const char *class_name, *config;
        egi_shape in;
        eg_status status;
        const char *says;
    } bad[] = {
        {"Dense", "{}", EGI_SHAPE(3), EG_ERR_FORMAT, "'units' is missing"},
        {"Dense", "{\"units\": 0}", EGI_SHAPE(3), EG_ERR_FORMAT, "units: wanted an integer 1 to"},
        {"Conv2D", "{\"filters\": 3}", EGI_SHAPE(3, 3, 1), EG_ERR_FORMAT, "'kernel_size' is missing"},
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"data_format\": \"channels_first\"}", EGI_SHAPE(3, 3, 1),
         EG_ERR_UNSUPPORTED, "channels_first"},
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"dim_ordering\": \"th\"}", EGI_SHAPE(3, 3, 1),
         EG_ERR_UNSUPPORTED, "'th'"},
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 4}", EGI_SHAPE(3, 3, 1), EG_ERR_SHAPE, "4 x 4 does not fit"},
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 1}", EGI_SHAPE(3), EG_ERR_SHAPE,
         "(height, width, channels), found (3)"},
        {"Conv2D", "{\"filters\": 4, \"kernel_size\": 1, \"groups\": 2}", EGI_SHAPE(3, 3, 3), EG_ERR_SHAPE, "groups"},
        {"Conv2D", "{\"filters\": 3, \"kernel_size\": 1, \"groups\": 2}", EGI_SHAPE(3, 3, 4), EG_ERR_FORMAT, "groups"},
        {"Conv2D", "{\"filters\": 1000000000000, \"kernel_size\": 1000000, \"padding\": \"same\"}", EGI_SHAPE(4, 4, 1),
         EG_ERR_SHAPE, "kernel"},
        {"MaxPooling2D", "{\"data_format\": \"channels_first\"}", EGI_SHAPE(4, 4, 1), EG_ERR_UNSUPPORTED,
         "channels_first"},
        {"Flatten", "{\"data_format\": \"channels_first\"}", EGI_SHAPE(4, 4, 1), EG_ERR_UNSUPPORTED, "channels_first"},
        {"BatchNormalization", "{\"axis\": 1}", EGI_SHAPE(4, 4, 2), EG_ERR_UNSUPPORTED, "axis 1"},
        {"BatchNormalization", "{\"axis\": [1, 2]}", EGI_SHAPE(4, 4, 2), EG_ERR_UNSUPPORTED, "axis"},
        {"BatchNormalization", "{\"renorm\": true}", EGI_SHAPE(4), EG_ERR_UNSUPPORTED, "renorm"},
        {"Softmax", "{\"axis\": 1}", EGI_SHAPE(4, 2), EG_ERR_UNSUPPORTED, "axis"},
        {"Reshape", "{\"target_shape\": [5]}", EGI_SHAPE(4), EG_ERR_SHAPE, "(4)"},
        {"Reshape", "{\"target_shape\": [-1, -1]}", EGI_SHAPE(4), EG_ERR_FORMAT, "one -1"},
        {"Reshape", "{\"target_shape\": [-1, 3]}", EGI_SHAPE(4), EG_ERR_SHAPE, "-1"},
        {"Reshape", "{\"target_shape\": [1099511627776, 1099511627776]}", EGI_SHAPE(4), EG_ERR_SHAPE, "too many"},
        {"Add", "{}", EGI_SHAPE(4), EG_ERR_SHAPE, "at least 2"},
        {"Dropout", "{\"rate\": 1.5}", EGI_SHAPE(4), EG_ERR_FORMAT, "rate: wanted a number 0 to 1, found 1.5"},
        {"Dropout", "{\"rate\": 0.5, \"noise_shape\": [null, 1]}", EGI_SHAPE(4), EG_ERR_UNSUPPORTED, "noise_shape"},
        {"ReLU", "{\"max_value\": 1, \"threshold\": 2}", EGI_SHAPE(4), EG_ERR_UNSUPPORTED, "threshold"},
        {"Activation", "{\"activation\": \"mish\"}", EGI_SHAPE(4), EG_ERR_UNSUPPORTED, "'mish'"},
        {"Activation", "{\"activation\": \"softmax\"}", egi_shape{}, EG_ERR_SHAPE, "softmax"},
        {"InputLayer", "{\"batch_shape\": [null, 5]}", EGI_SHAPE(4), EG_ERR_SHAPE, "wanted (5), found (4)"},
        {"ZeroPadding2D", "{\"padding\": [[1, 2], [3]]}", EGI_SHAPE(4, 4, 1), EG_ERR_FORMAT, "padding"},
    };
    for (const auto &b : bad) {
        EXPECT_EQ(b.status, try_layer(b.class_name, b.config, b.in)) << b.class_name << " " << b.config;
        EXPECT_NE(nullptr, strstr(eg_last_message(), b.says)) << b.config << ": " << eg_last_message();
        EXPECT_NE(nullptr, strstr(eg_last_message(), b.class_name)) << eg_last_message();
    }
}

TEST(Refusals, AddOfDifferentShapes)
{
    const Context context;
    Net net;
    start(net, context);
    const int in[] = {net.source(EGI_SHAPE(3, 2), "a"), net.source(EGI_SHAPE(2, 3), "b")};
    int out;
    EXPECT_EQ(EG_ERR_UNSUPPORTED, egi_model_call(net.m, net.layer("Add", "{}"), in, 2, -1, &out));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "(3, 2) and (2, 3)")) << eg_last_message();
}

TEST(Refusals, SharedLayerOfAnotherShape)
{
    const Context context;
    Net net;
    start(net, context);
    const int dense = net.layer("Dense", "{\"name\": \"d\", \"units\": 2}");
    net.call(dense, {net.source(EGI_SHAPE(3), "a")});
    const int b = net.source(EGI_SHAPE(4), "b");
    int out;
    EXPECT_EQ(EG_ERR_SHAPE, egi_model_call(net.m, dense, &b, 1, -1, &out));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "kernel is (3, 2), this input wants (4, 2)")) << eg_last_message();
}

TEST(Refusals, AreOneLineWhateverTheFileSays)
{
    EXPECT_EQ(EG_ERR_UNSUPPORTED, try_layer("Activation", "{\"activation\": \"a\\nb\\u001b[2J\"}", EGI_SHAPE(3)));
    EXPECT_STREQ("layer 'Activation' (Activation): activation", std::string(eg_last_message()).substr(0, 43).c_str());
    EXPECT_NE(nullptr, strstr(eg_last_message(), "a?b?[2J")) << eg_last_message();
}

TEST(List, NamesAreUniqueAndFound)
{
    int n = 0;
    for (const egi_layer_type *const *t = egi_layer_types; *t; t++, n++) {
        EXPECT_EQ(*t, egi_layer_type_find((*t)->keras));
        for (int i = 0; i < 4 && (*t)->aliases[i]; i++)
            EXPECT_EQ(*t, egi_layer_type_find((*t)->aliases[i]));
        EXPECT_GE((*t)->n_cases, 3) << (*t)->keras;
        for (int i = 0; i < (*t)->n_fields; i++)
            EXPECT_NE(nullptr, (*t)->fields[i].help) << (*t)->keras << " " << (*t)->fields[i].name;
    }
    EXPECT_EQ(16, n);
    EXPECT_EQ(nullptr, egi_layer_type_find("Lambda"));
}
