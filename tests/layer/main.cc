// Runs the tests; with --print-cases writes every case with its numbers as JSON: what tests/golden/make/layers.py
// reads.
#include "tests/layer/harness.h"

#include <cstdio>
#include <cstring>

using namespace layer;

static json_t *numbers(const std::vector<double> &v)
{
    json_t *list = json_array();
    for (const double x : v)
        json_array_append_new(list, json_real(x));
    return list;
}

static json_t *shape_of(const egi_shape &s)
{
    json_t *list = json_array();
    for (int i = 0; i < s.rank; i++)
        json_array_append_new(list, json_integer(s.dim[i]));
    return list;
}

static json_t *describe(eg_context *c, const Case &k)
{
    Net net;
    EXPECT_OK(build_case(net, c, k, EGI_F32));
    fill(net);
    json_t *inputs = json_array(), *weights = json_array();
    for (int64_t i = 0; i < net.m->n_params; i++) {
        const egi_param *p = &net.m->params[i];
        json_array_append_new(
            strcmp(p->name, "x") == 0 ? inputs : weights,
            json_pack("{s:s, s:o, s:o}", "name", p->name, "shape", shape_of(p->shape), "values", numbers(net.get(i))));
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", k.id().c_str(), "class", k.type->keras, "config",
                     json_loads(k.data->config, 0, nullptr), "inputs", inputs, "weights", weights);
}

static int print_cases()
{
    const Context context;
    json_t *all = json_array();
    for (const Case &k : all_cases())
        json_array_append_new(all, describe(context.c, k));
    json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(all);
    return testing::Test::HasFailure();
}

int main(int argc, char **argv)
{
    testing::InitGoogleTest(&argc, argv);
    return argc > 1 && strcmp(argv[1], "--print-cases") == 0 ? print_cases() : RUN_ALL_TESTS();
}
