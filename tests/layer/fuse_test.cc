// Operations that became one give what they gave apart: values, gradients and moving statistics.
#include "tests/layer/harness.h"

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

TEST(Fusing, BatchNormsAndSumsTakeWhatComesAfterThem)
{
    for (const Residual &k : residuals) {
        expect_same(k, true);
        expect_same(k, false);
    }
}
