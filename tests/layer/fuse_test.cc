// Operations that became one give what they gave apart: values, gradients and moving statistics.
#include "tests/layer/harness.h"

#include <cmath>
#include <functional>

using namespace layer;

namespace
{

// In the forward part.
int count(const egi_plan *p, const egi_op *op)
{
    int n = 0;
    for (int64_t i = 0; i < p->n_forward; i++)
        n += !p->nodes[i].dead && p->nodes[i].op == op;
    return n;
}

struct Residual {
    const char *name;
    int additions, activations; // that are left in training
    std::function<int(Net &, int)> build;
};

int relu(Net &net, int x)
{
    return net.call(net.layer("ReLU", "{}"), {x});
}

int norm(Net &net, int x)
{
    return net.call(net.layer("BatchNormalization", "{\"momentum\": 0.75}"), {x});
}

int dense(Net &net, int x)
{
    return net.call(net.layer("Dense", "{\"units\": 6}"), {x});
}

int add(Net &net, int a, int b)
{
    return net.call(net.layer("Add", "{}"), {a, b});
}

const Residual residuals[] = {
    {"the sum's left side", 0, 0, [](Net &net, int x) { return relu(net, add(net, norm(net, dense(net, x)), x)); }},
    {"the sum's right side", 0, 0, [](Net &net, int x) { return relu(net, add(net, x, norm(net, dense(net, x)))); }},
    {"both sides", 0, 0,
     [](Net &net, int x) { return relu(net, add(net, norm(net, dense(net, x)), norm(net, dense(net, x)))); }},
    {"no activation", 0, 0, [](Net &net, int x) { return add(net, norm(net, dense(net, x)), x); }},
    {"an activation before the sum", 0, 0,
     [](Net &net, int x) { return add(net, relu(net, norm(net, dense(net, x))), norm(net, x)); }},
    {"the other side comes later", 0, 0,
     [](Net &net, int x) {
         const int left = norm(net, dense(net, x));
         return relu(net, add(net, left, dense(net, x)));
     }},
    {"the sum has another reader", 1, 1,
     [](Net &net, int x) {
         const int sum = add(net, norm(net, dense(net, x)), x);
         return add(net, dense(net, relu(net, sum)), sum);
     }},
    {"no batch norm", 1, 0, [](Net &net, int x) { return relu(net, add(net, dense(net, x), dense(net, x))); }},
    {"one side twice", 1, 0,
     [](Net &net, int x) {
         const int y = norm(net, dense(net, x));
         return add(net, y, y);
     }},
    {"a sum of a sum", 1, 0, [](Net &net, int x) { return add(net, add(net, norm(net, dense(net, x)), x), x); }},
    {"an input that the way back reads again", 0, 0,
     [](Net &net, int x) {
         const int y = dense(net, x), side = dense(net, y);
         return dense(net, relu(net, add(net, norm(net, y), side)));
     }},
    {"statistics that a later call moves", 1, 0,
     [](Net &net, int x) {
         const int shared = net.layer("BatchNormalization", "{\"name\": \"shared\", \"momentum\": 0.75}");
         const int first = net.call(shared, {dense(net, x)});
         return add(net, first, relu(net, net.call(shared, {x})));
     }},
};

// Emits the same model twice, fused and not, and compares after one step of each.
void expect_same(const Residual &k, bool training)
{
    SCOPED_TRACE(std::string(k.name) + (training ? ", training" : ""));
    const Context context;
    std::vector<std::vector<double>> found[2];
    for (int fused = 0; fused < 2; fused++) {
        Net net;
        Pass pass;
        pass.fuse = fused;
        ASSERT_OK(egi_model_create(&net.m, context.c, EGI_F64, 3));
        const int x = net.source(EGI_SHAPE(6), "x");
        ASSERT_OK(egi_model_add_output(net.m, k.build(net, x)));
        ASSERT_OK(egi_model_finish(net.m));
        fill(net);
        ASSERT_OK(pass.make(net, training));
        ASSERT_OK(pass.all());
        found[fused].push_back(pass.output());
        for (int64_t i = 0; i < net.m->n_params; i++) {
            found[fused].push_back(net.get(i)); // some are moving statistics
            if (!net.m->params[i].state)
                found[fused].push_back(pass.gradient(i));
        }
        if (fused && training) {
            EXPECT_EQ(k.additions, count(pass.plan, &egi_op_add));
            EXPECT_EQ(k.activations, count(pass.plan, &egi_op_activation));
        }
    }
    ASSERT_EQ(found[0].size(), found[1].size());
    for (size_t i = 0; i < found[0].size(); i++)
        EXPECT_LT(difference(found[1][i], found[0][i]), 1e-12) << i;
}

} // namespace

const char kFirst[] = "{\"filters\": 8, \"kernel_size\": 5, \"padding\": \"same\", \"use_bias\": false}";

int residual_net(Net &net, int image)
{
    const char *conv = "{\"filters\": 16, \"kernel_size\": 3, \"padding\": \"same\"}";
    const int a = norm(net, net.call(net.layer("Conv2D", kFirst), {image}));
    const int b = relu(net, add(net, a, image));
    const int c = norm(net, net.call(net.layer("Conv2D", conv), {b}));
    const int side = net.call(net.layer("Conv2D", "{\"filters\": 16, \"kernel_size\": 1}"), {b});
    const int d = relu(net, add(net, c, side));
    return relu(net, norm(net, dense(net, net.call(net.layer("Flatten", "{}"), {d}))));
}

// The sum becomes part of the convolution, whose weights alone cannot do what the batch norm does to both.
int norm_of_a_sum(Net &net, int image)
{
    return norm(net, add(net, net.call(net.layer("Conv2D", kFirst), {image}), image));
}

// Somebody else reads what is pooled.
int pooled_and_read(Net &net, int image)
{
    const int y = net.call(net.layer("Conv2D", kFirst), {image});
    const int pooled = net.call(net.layer("MaxPooling2D", "{}"), {y});
    const int left = dense(net, net.call(net.layer("Flatten", "{}"), {pooled}));
    return add(net, left, dense(net, net.call(net.layer("Flatten", "{}"), {y})));
}

// A forward pass without gradients, as prediction runs it.
class Forward
{
  public:
    Forward(const Context &context, egi_dtype dtype, bool fused, int (*build)(Net &, int) = residual_net)
    {
        EXPECT_OK(egi_model_create(&net.m, context.c, dtype, 3));
        const int image = net.source(EGI_SHAPE(9, 9, 8), "x");
        EXPECT_OK(egi_model_add_output(net.m, build(net, image)));
        EXPECT_OK(egi_model_finish(net.m));
        fill(net);
        EXPECT_OK(egi_plan_create(&plan, context.c, kBatch, dtype, false));
        EXPECT_OK(egi_model_emit(net.m, plan, nullptr, nullptr, &io));
        if (fused) {
            EXPECT_OK(egi_plan_fuse(plan));
        }
        EXPECT_OK(egi_plan_compile(plan));
    }
    ~Forward()
    {
        eg_context *c = plan->context;
        egi_plan_free(plan);
        egi_free(c, io.params);
    }
    std::vector<double> run(int64_t version)
    {
        egi_control control = {};
        control.weights_version = version;
        EXPECT_OK(egi_plan_run(plan, &control));
        const egi_tensor t = {egi_plan_data(plan, io.out[0]), plan->dtype, *egi_shape_of(plan, io.out[0])};
        std::vector<double> y;
        for (int64_t i = 0; i < egi_count(&t); i++)
            y.push_back(egi_get(&t, i));
        return y;
    }
    Net net;
    egi_plan *plan = nullptr;

  private:
    egi_model_io io = {};
};

TEST(Fusing, StoredStatisticsAreFoldedIntoWeights)
{
    for (const egi_dtype dtype : {EGI_F64, EGI_F32}) {
        const double tolerance = dtype == EGI_F64 ? 1e-12 : 1e-5;
        const Context context;
        Forward apart(context, dtype, false), folded(context, dtype, true);
        for (const egi_op *op : {&egi_op_batchnorm_infer, &egi_op_add, &egi_op_activation}) {
            int left = 0;
            for (int64_t i = 0; i < folded.plan->n_nodes; i++)
                left += !folded.plan->nodes[i].dead && folded.plan->nodes[i].op == op;
            EXPECT_EQ(0, left) << op->name;
        }
        const std::vector<double> y = folded.run(1);
        EXPECT_LT(difference(y, apart.run(1)), tolerance);
        EXPECT_EQ(y, folded.run(1)) << "what was folded is still there";
        for (Forward *f : {&apart, &folded})
            for (int64_t i = 0; i < f->net.m->n_params; i++) {
                std::vector<double> w = f->net.get(i);
                for (double &v : w)
                    v *= 1.25;
                f->net.set(i, w);
            }
        EXPECT_GT(difference(apart.run(2), y), 0.01);
        EXPECT_LT(difference(folded.run(2), apart.run(2)), tolerance) << "weights changed";
    }
}

TEST(Fusing, ABatchNormOfASumIsNotFolded)
{
    const Context context;
    Forward apart(context, EGI_F64, false, norm_of_a_sum), fused(context, EGI_F64, true, norm_of_a_sum);
    EXPECT_LT(difference(fused.run(1), apart.run(1)), 1e-12);
}

TEST(Fusing, WhatOthersReadIsStoredThoughItIsPooled)
{
    const Context context;
    Forward apart(context, EGI_F32, false, pooled_and_read), fused(context, EGI_F32, true, pooled_and_read);
    EXPECT_LT(difference(fused.run(1), apart.run(1)), 1e-5);
}

TEST(Fusing, FoldingCountsAsWorkOfTheLayerWhoseWeightsItFolds)
{
    const Context context;
    Forward folded(context, EGI_F32, true);
    int n = 0;
    for (int64_t i = 0; i < folded.plan->n_nodes; i++) {
        const egi_node &node = folded.plan->nodes[i];
        if (node.op != &egi_op_batchnorm_fold)
            continue;
        const egi_val w = static_cast<const egi_batchnorm_fold *>(node.args)->w;
        for (int64_t k = 0; k < folded.net.m->n_params; k++) {
            const egi_param &p = folded.net.m->params[k];
            const void *weights = (const char *)folded.net.m->weights + (size_t)p.offset * sizeof(float);
            if (folded.plan->t[w].data == weights) {
                EXPECT_EQ(p.layer, folded.net.m->calls[node.layer].layer);
                n++;
            }
        }
    }
    EXPECT_EQ(3, n);
}

TEST(Fusing, BatchNormsAndSumsTakeWhatComesAfterThem)
{
    for (const Residual &k : residuals) {
        expect_same(k, true);
        expect_same(k, false);
    }
}

TEST(Placing, AResultTakesThePlaceOfWhatNobodyReadsAfterIt)
{
    const Context context;
    egi_plan *p;
    const egi_shape shape = EGI_SHAPE(2, 70);
    ASSERT_OK(egi_plan_create(&p, context.c, 2, EGI_F64, false));
    const egi_val x = egi_plan_input(p, EGI_F64, shape);
    egi_val v[5] = {x};
    for (int i = 1; i < 4; i++) {
        egi_activation a = {};
        a.x = v[i - 1];
        a.y = v[i] = egi_temp(p, shape);
        a.act = EGI_ACT_SILU;
        ASSERT_OK(egi_plan_emit(p, &egi_op_activation, &a));
    }
    egi_add sum = {};
    sum.a = v[3];
    sum.b = egi_alias(p, v[1], shape);
    sum.y = v[4] = egi_temp(p, shape);
    ASSERT_OK(egi_plan_emit(p, &egi_op_add, &sum));
    egi_activation last = {};
    last.x = v[4];
    last.y = egi_temp(p, shape);
    last.act = EGI_ACT_SILU;
    ASSERT_OK(egi_plan_emit(p, &egi_op_activation, &last));
    egi_plan_keep(p, last.y);
    ASSERT_OK(egi_plan_compile(p));
    const auto at = [p](egi_val value) { return egi_plan_data(p, value); };
    EXPECT_NE(at(x), at(v[1])) << "an input stays";
    EXPECT_NE(at(v[1]), at(v[2])) << "read again by the sum";
    EXPECT_EQ(at(v[2]), at(v[3]));
    EXPECT_EQ(at(v[3]), at(v[4]));
    EXPECT_NE(at(v[4]), at(last.y)) << "an output has a place of its own";
    std::vector<double> want;
    for (int64_t i = 0; i < egi_shape_count(&shape); i++) {
        const auto silu = [](double u) { return u / (1 + std::exp(-u)); };
        const double u = 0.05 * (double)(i - 70), one = silu(u);
        ((double *)at(x))[i] = u;
        want.push_back(silu(silu(silu(one)) + one));
    }
    const egi_control control = {};
    for (int run = 0; run < 2; run++) {
        ASSERT_OK(egi_plan_run(p, &control));
        const double *y = (const double *)at(last.y);
        EXPECT_LT(difference(std::vector<double>(y, y + want.size()), want), 1e-14);
    }
    egi_plan_free(p);
}
