// Losses and their gradients against Keras 3 (tests/golden/make/losses.py).
#include "harness.h"

#include <jansson.h>

#include <algorithm>
#include <cmath>

using namespace ops;

namespace
{
json_t *golden()
{
    json_error_t error;
    json_t *root = json_load_file(EG_SOURCE_DIR "/tests/golden/data/losses.json", 0, &error);
    EXPECT_NE(nullptr, root) << error.text;
    return root;
}

std::vector<std::string> golden_names()
{
    std::vector<std::string> names;
    json_t *root = golden(), *k;
    const char *name;
    json_object_foreach(json_object_get(root, "cases"), name, k) names.push_back(name);
    json_decref(root);
    return names;
}

// One loss in a plan of `dtype`; buffers are doubles wide, whatever the dtype.
struct Loss {
    Context c;
    egi_dtype dtype;
    egi_plan *plan = nullptr;
    std::vector<std::vector<double>> buffers;
    std::vector<int32_t> labels;
    const json_t *k;
    int64_t rows, columns;

    Loss(const json_t *root, const std::string &name, egi_dtype type, bool reference)
        : c(reference), dtype(type), k(json_object_get(json_object_get(root, "cases"), name.c_str())),
          rows(json_integer_value(json_object_get(root, "rows"))),
          columns(json_integer_value(json_object_get(root, "columns")))
    {
        buffers.reserve(8);
        EXPECT_OK(egi_plan_create(&plan, c.c, rows, dtype, true));
    }
    ~Loss()
    {
        egi_plan_free(plan);
    }

    static egi_shape shape(int rank, int64_t a, int64_t b)
    {
        egi_shape s = {};
        s.rank = rank;
        s.dim[0] = a;
        s.dim[1] = b;
        return s;
    }
    egi_val empty(egi_shape s)
    {
        buffers.emplace_back((size_t)egi_shape_count(&s), 0.0);
        return egi_plan_bind(plan, dtype, s, buffers.back().data());
    }
    // A value with the numbers under `key`, or EGI_NONE.
    egi_val given(const char *key, egi_shape s)
    {
        const json_t *array = json_object_get(k, key);
        if (!json_is_array(array))
            return EGI_NONE;
        const egi_val v = empty(s);
        for (size_t i = 0; i < json_array_size(array); i++)
            egi_set(&plan->t[v], (int64_t)i, json_number_value(json_array_get(array, i)));
        return v;
    }
    egi_val given_labels()
    {
        const json_t *array = json_object_get(k, "labels");
        for (size_t i = 0; i < json_array_size(array); i++)
            labels.push_back((int32_t)json_integer_value(json_array_get(array, i)));
        return labels.empty() ? EGI_NONE : egi_plan_bind(plan, EGI_I32, shape(1, rows, 0), labels.data());
    }

    void check(double tolerance)
    {
        const std::string kind = json_string_value(json_object_get(k, "kind"));
        const float smoothing = (float)json_number_value(json_object_get(k, "smoothing"));
        const egi_shape y = shape(2, rows, columns), n = shape(1, rows, 0), scalar = {};
        egi_softmax_xent x = {};
        egi_pointwise_loss p = {};
        x.z = p.y = given("y", y);
        x.targets = p.targets = given("targets", y);
        x.weights = p.weights = given("weights", n);
        x.loss = p.loss = empty(scalar);
        x.dz = p.dy = empty(y);
        x.scale = p.scale = 1;
        x.label_smoothing = p.label_smoothing = smoothing;
        x.labels = given_labels();
        p.kind = kind == "bce_logits" ? EGI_LOSS_BCE_LOGITS
                 : kind == "bce"      ? EGI_LOSS_BCE
                 : kind == "mse"      ? EGI_LOSS_MSE
                                      : EGI_LOSS_MAE;
        ASSERT_OK(kind == "xent" ? egi_plan_emit(plan, &egi_op_softmax_xent, &x)
                                 : egi_plan_emit(plan, &egi_op_pointwise_loss, &p));
        ASSERT_OK(egi_plan_compile(plan));
        const egi_control step = control();
        ASSERT_OK(egi_plan_run(plan, &step));
        const double loss = json_number_value(json_object_get(k, "loss"));
        EXPECT_NEAR(loss, egi_get(&plan->t[x.loss], 0), tolerance * loss);
        const json_t *gradient = json_object_get(k, "gradient");
        for (int64_t i = 0; i < rows * columns; i++)
            EXPECT_NEAR(json_number_value(json_array_get(gradient, (size_t)i)), egi_get(&plan->t[x.dz], i), tolerance)
                << "element " << i;
    }
};
constexpr int64_t kRows = 35; // a whole block of rows, and some more

// What softmax_xent counts as correct, given labels as such or as targets.
float correct(std::vector<float> z, std::vector<int32_t> labels, bool as_targets, bool reference)
{
    const int64_t classes = (int64_t)z.size() / kRows;
    Context c(reference);
    egi_plan *plan = nullptr;
    float loss = 0, count = -1;
    std::vector<float> targets(z.size());
    for (size_t i = 0; i < labels.size(); i++)
        targets[i * (size_t)classes + (size_t)labels[i]] = 1;
    EXPECT_OK(egi_plan_create(&plan, c.c, kRows, EGI_F32, false));
    egi_softmax_xent a = {};
    a.scale = 1;
    a.z = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(kRows, classes), z.data());
    if (as_targets)
        a.targets = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(kRows, classes), targets.data());
    else
        a.labels = egi_plan_bind(plan, EGI_I32, EGI_SHAPE(kRows), labels.data());
    a.loss = egi_plan_bind(plan, EGI_F32, EGI_SCALAR, &loss);
    a.correct = egi_plan_bind(plan, EGI_F32, EGI_SCALAR, &count);
    const egi_control control = {};
    EXPECT_OK(egi_plan_emit(plan, &egi_op_softmax_xent, &a));
    EXPECT_OK(egi_plan_compile(plan));
    EXPECT_OK(egi_plan_run(plan, &control));
    egi_plan_free(plan);
    return count;
}

// Of several largest values the first is the answer, as numpy's argmax has it.
void expect_first(int64_t classes)
{
    const std::vector<float> begin[3] = {{1, 1, 0}, {0, 2, 2}, {3, 3, 3}}; // of rows; what follows is less
    const int32_t first[3] = {0, 1, 0};
    std::vector<float> z((size_t)(kRows * classes), -1.0f);
    for (int64_t i = 0; i < kRows; i++)
        std::copy(begin[i % 3].begin(), begin[i % 3].end(), z.begin() + i * classes);
    for (int shift = 0; shift < 3; shift++) {
        std::vector<int32_t> labels;
        for (int64_t i = 0; i < kRows; i++)
            labels.push_back((first[i % 3] + shift) % 3);
        for (const bool as_targets : {false, true})
            for (const bool reference : {false, true})
                EXPECT_EQ(shift ? 0 : kRows, correct(z, labels, as_targets, reference)) << shift << as_targets;
    }
}

TEST(SoftmaxXent, TheFirstOfTheLargestIsTheAnswer)
{
    expect_first(3);
}

TEST(SoftmaxXent, TheFirstOfTheLargestIsTheAnswerOfALongRow)
{
    expect_first(1500);
}

} // namespace

class KerasLoss : public ::testing::TestWithParam<std::string>
{
};
INSTANTIATE_TEST_SUITE_P(Keras, KerasLoss, ::testing::ValuesIn(golden_names()), [](const auto &i) { return i.param; });

TEST_P(KerasLoss, Reference)
{
    json_t *root = golden();
    Loss(root, GetParam(), EGI_F64, true).check(1e-12);
    json_decref(root);
}

TEST_P(KerasLoss, FastKernel)
{
    json_t *root = golden();
    Loss(root, GetParam(), EGI_F32, false).check(1e-6);
    json_decref(root);
}
