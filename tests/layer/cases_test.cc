// Every entry of every layer's `cases`: gradients against central differences, fast kernels against the reference,
// every refusal with a message.
#include "tests/layer/harness.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace layer;

class LayerCase : public testing::TestWithParam<Case>
{
};

static std::string case_name(const testing::TestParamInfo<Case> &info)
{
    return std::string(info.param.type->keras) + "_" + std::to_string(info.param.index);
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerCase, testing::ValuesIn(all_cases()), case_name);

static void check_gradient(Net &net, Pass &pass, int64_t param)
{
    const double h = 1e-5;
    const std::vector<double> value = net.get(param), gradient = pass.gradient(param);
    std::vector<double> moved = value, numeric;
    for (size_t i = 0; i < value.size(); i++) {
        double loss[2];
        for (int side = 0; side < 2; side++) {
            moved[i] = value[i] + (side ? -h : h);
            net.set(param, moved);
            ASSERT_OK(pass.forward());
            loss[side] = pass.loss();
        }
        moved[i] = value[i];
        numeric.push_back((loss[0] - loss[1]) / (2 * h));
    }
    net.set(param, value);
    EXPECT_GT(largest(numeric), 1e-3) << "nothing to compare";
    EXPECT_LT(difference(gradient, numeric), 1e-6) << net.m->params[param].name;
}

static void check_gradients(const Case &k, bool training)
{
    const Context context;
    Net net;
    Pass pass;
    ASSERT_OK(build_case(net, context.c, k, EGI_F64));
    fill(net);
    ASSERT_OK(pass.make(net, training));
    ASSERT_OK(pass.all());
    for (int64_t i = 0; i < net.m->n_params; i++)
        if (!net.m->params[i].state)
            check_gradient(net, pass, i);
}

TEST_P(LayerCase, GradientsInInferenceAreCentralDifferences)
{
    check_gradients(GetParam(), false);
}

TEST_P(LayerCase, GradientsInTrainingAreCentralDifferences)
{
    check_gradients(GetParam(), true);
}

// Everything that a pass writes: outputs, gradients, moving statistics.
static void results(const Case &k, bool reference, bool training, std::vector<std::vector<double>> &out)
{
    const Context context;
    context.c->device->reference_only = reference;
    Net net;
    Pass pass;
    ASSERT_OK(build_case(net, context.c, k, EGI_F32));
    fill(net);
    ASSERT_OK(pass.make(net, training));
    ASSERT_OK(pass.all());
    out.push_back(pass.output());
    for (int64_t i = 0; i < net.m->n_params; i++)
        out.push_back(net.m->params[i].state ? net.get(i) : pass.gradient(i));
}

TEST_P(LayerCase, FastKernelsAgreeWithTheReference)
{
    for (const bool training : {false, true}) {
        std::vector<std::vector<double>> fast, reference;
        results(GetParam(), false, training, fast);
        results(GetParam(), true, training, reference);
        ASSERT_EQ(fast.size(), reference.size());
        EXPECT_GT(largest(reference[0]), 0) << "an output of zeros shows nothing";
        for (size_t i = 0; i < fast.size(); i++)
            EXPECT_LT(difference(fast[i], reference[i]), 1e-5) << "value " << i << (training ? ", training" : "");
    }
}

static std::vector<double> row(const std::vector<double> &v, int64_t i)
{
    const int64_t n = (int64_t)v.size() / kBatch;
    return std::vector<double>(v.begin() + i * n, v.begin() + (i + 1) * n);
}

// The cases that have something to train.
class ParameterCase : public LayerCase
{
};

static std::vector<Case> cases_with_parameters()
{
    const Context context;
    std::vector<Case> some;
    for (const Case &k : all_cases()) {
        Net net;
        EXPECT_OK(build_plain(net, context.c, k, EGI_F32));
        if (net.m->n_params > 0 && !net.m->params[0].state)
            some.push_back(k);
    }
    return some;
}

INSTANTIATE_TEST_SUITE_P(Layers, ParameterCase, testing::ValuesIn(cases_with_parameters()), case_name);

// The Fisher sums: squares of the whole batch against gradients of one sample at a time.
TEST_P(ParameterCase, SquaresAreSumsOverSamples)
{
    const Context context;
    Net net;
    ASSERT_OK(build_plain(net, context.c, GetParam(), EGI_F64));
    fill(net);
    Pass squares, one;
    ASSERT_OK(squares.make(net, false, true));
    ASSERT_OK(one.make(net, false, false, 1));
    ASSERT_TRUE(egi_plan_squares_exact(squares.plan));
    std::vector<std::vector<double>> x, sums((size_t)net.m->n_params);
    for (int i = 0; i < net.m->n_inputs; i++) {
        x.push_back(input_values(kBatch * egi_shape_count(&net.m->tensors[net.m->inputs[i]]), (uint32_t)i));
        squares.set_input(i, x.back());
    }
    ASSERT_OK(squares.all());
    for (int64_t sample = 0; sample < kBatch; sample++) {
        for (size_t i = 0; i < x.size(); i++)
            one.set_input((int)i, row(x[i], sample));
        one.set_r(row(squares.r, sample));
        ASSERT_OK(one.all());
        for (int64_t k = 0; k < net.m->n_params; k++) {
            const std::vector<double> g = one.gradient(k);
            sums[(size_t)k].resize(g.size());
            for (size_t i = 0; i < g.size(); i++)
                sums[(size_t)k][i] += g[i] * g[i];
        }
    }
    for (int64_t k = 0; k < net.m->n_params; k++) {
        EXPECT_LT(difference(squares.gradient(k), sums[(size_t)k]), 1e-12) << net.m->params[k].name;
        EXPECT_TRUE(net.m->params[k].state || largest(sums[(size_t)k]) > 0);
    }
}

static eg_status with_config(eg_context *c, const Case &k, json_t *config)
{
    Net net;
    int layer;
    EG_TRY(egi_model_create(&net.m, c, EGI_F32, 3));
    return egi_model_add_layer(net.m, k.type, config, nullptr, &layer);
}

TEST_P(LayerCase, UnknownKeysAreRefused)
{
    const Context context;
    const Json config(GetParam().data->config);
    json_object_set_new(config.j, "no_such_key", json_integer(3));
    EXPECT_EQ(EG_ERR_UNSUPPORTED, with_config(context.c, GetParam(), config.j));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "no_such_key")) << eg_last_message();
    EXPECT_NE(nullptr, strstr(eg_last_message(), GetParam().type->keras)) << eg_last_message();
    json_object_set_new(config.j, "no_such_key", json_null());
    EXPECT_OK(with_config(context.c, GetParam(), config.j));
}

TEST_P(LayerCase, WrongValuesAreRefusedByName)
{
    const Context context;
    for (int i = 0; i < GetParam().type->n_fields; i++) {
        const egi_field *field = &GetParam().type->fields[i];
        for (const char *wrong : {"{\"a\": 1}", "\"no such word\"", "[[[1]]]", "-1e300"}) {
            const Json config(GetParam().data->config);
            json_object_set_new(config.j, field->name, json_loads(wrong, JSON_DECODE_ANY, nullptr));
            const eg_status status = with_config(context.c, GetParam(), config.j);
            EXPECT_TRUE(status == EG_ERR_FORMAT || status == EG_ERR_UNSUPPORTED) << field->name << " " << wrong;
            EXPECT_NE(nullptr, strstr(eg_last_message(), field->name)) << eg_last_message();
        }
    }
}

// An allocator whose Nth block cannot be had.
struct Failing {
    int64_t left;
    static void *alloc(void *user, size_t bytes)
    {
        Failing *f = (Failing *)user;
        return f->left-- == 0 ? nullptr : aligned_alloc(64, (bytes + 63) / 64 * 64);
    }
    static void release(void *, void *block)
    {
        free(block);
    }
};

TEST_P(LayerCase, EveryAllocationMayFail)
{
    Failing failing = {INT64_MAX};
    const eg_allocator allocator = {Failing::alloc, Failing::release, &failing};
    const Context context(&allocator);
    eg_status status = EG_ERR_NOMEM;
    for (int64_t n = 0; status == EG_ERR_NOMEM && n < 2000; n++) {
        Net net;
        Pass pass;
        failing.left = n;
        status = build_case(net, context.c, GetParam(), EGI_F32);
        if (status == EG_OK)
            status = pass.make(net, true);
        failing.left = INT64_MAX;
    }
    EXPECT_OK(status);
}
