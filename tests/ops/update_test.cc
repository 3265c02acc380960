// Ten optimizer steps against Keras 3 (tests/golden/make/optimizers.py), and what Keras has not: anchors and segments.
#include "harness.h"

#include <jansson.h>

#include <cmath>
#include <cstring>

using namespace ops;

namespace
{
struct Golden {
    json_t *root = nullptr;
    Golden()
    {
        json_error_t error;
        root = json_load_file(EG_SOURCE_DIR "/tests/golden/data/optimizers.json", 0, &error);
        EXPECT_NE(nullptr, root) << error.text;
    }
    ~Golden()
    {
        json_decref(root);
    }
};

std::vector<double> numbers(const json_t *array)
{
    std::vector<double> x;
    for (size_t i = 0; i < json_array_size(array); i++)
        x.push_back(json_number_value(json_array_get(array, i)));
    return x;
}

// An arena and a plan that updates it.
struct Arena {
    Context c;
    egi_dtype dtype;
    int64_t n;
    std::vector<egi_segment> segments;
    std::vector<char> memory;
    egi_plan *plan = nullptr;
    egi_update a = {};

    Arena(egi_dtype type, int64_t count, bool reference)
        : c(reference), dtype(type), n(count), memory((size_t)count * 9 * 8, 0)
    {
        EXPECT_OK(egi_plan_create(&plan, c.c, 1, dtype, true));
    }
    ~Arena()
    {
        egi_plan_free(plan);
    }
    egi_val bind(int stream, egi_shape shape)
    {
        return egi_plan_bind(plan, dtype, shape, memory.data() + stream * n * 8);
    }
    egi_shape shape() const
    {
        egi_shape s = {};
        s.rank = 1;
        s.dim[0] = n;
        return s;
    }
    egi_tensor at(egi_val v) const
    {
        return plan->t[v];
    }
    void set(egi_val v, const std::vector<double> &x)
    {
        const egi_tensor t = at(v);
        for (size_t i = 0; i < x.size(); i++)
            egi_set(&t, (int64_t)i, x[i]);
    }
    std::vector<double> get(egi_val v) const
    {
        const egi_tensor t = at(v);
        std::vector<double> x;
        for (int64_t i = 0; i < egi_count(&t); i++)
            x.push_back(egi_get(&t, i));
        return x;
    }
    // Streams: w, grad, m, v, anchor, omega, norm, penalty, ema.
    void prepare(const egi_op *op, bool m, bool v, bool anchor, bool ema = false)
    {
        const egi_shape scalar = {};
        a.w = bind(0, shape());
        a.grad = bind(1, shape());
        a.m = m ? bind(2, shape()) : EGI_NONE;
        a.v = v ? bind(3, shape()) : EGI_NONE;
        a.anchor = anchor ? bind(4, shape()) : EGI_NONE;
        a.omega = anchor ? bind(5, shape()) : EGI_NONE;
        a.norm = bind(6, scalar);
        a.penalty = bind(7, scalar);
        a.ema = ema ? bind(8, shape()) : EGI_NONE;
        a.segments = segments.data();
        a.n_segments = (int)segments.size();
        if (a.clip_norm > 0) {
            EXPECT_OK(egi_plan_emit(plan, &egi_op_update_norm, &a));
        }
        EXPECT_OK(egi_plan_emit(plan, op, &a));
        EXPECT_OK(egi_plan_compile(plan));
    }
};

const egi_op *op_named(const std::string &name)
{
    return name == "sgd" ? &egi_op_sgd : name == "adam" ? &egi_op_adam : &egi_op_rmsprop;
}

egi_segment segment(int64_t begin, int64_t end, const json_t *k)
{
    egi_segment s = {};
    s.begin = begin;
    s.end = end;
    s.lr_scale = 1;
    s.l1 = json_number_value(json_object_get(k, "l1"));
    s.l2 = json_number_value(json_object_get(k, "l2"));
    s.weight_decay = json_number_value(json_object_get(k, "weight_decay"));
    return s;
}

void expect_average(const std::vector<double> &want, const std::vector<double> &got, double tolerance, size_t step)
{
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); i++)
        ASSERT_NEAR(want[i], got[i], tolerance * largest(want)) << "step " << step << ", average " << i;
}

void ten_steps(const json_t *root, const std::string &name, egi_dtype dtype, bool reference, double tolerance)
{
    const json_t *k = json_object_get(json_object_get(root, "cases"), name.c_str());
    const auto number = [k](const char *key) { return json_number_value(json_object_get(k, key)); };
    const std::vector<double> start = numbers(json_object_get(root, "start"));
    Arena x(dtype, (int64_t)start.size(), reference);
    const std::string op = json_string_value(json_object_get(k, "op"));
    x.segments = {segment(0, 4, k), segment(4, x.n, k)};
    x.a.momentum = number("momentum");
    x.a.beta1 = number("beta1");
    x.a.beta2 = number("beta2");
    x.a.rho = number("rho");
    x.a.epsilon = number("epsilon");
    x.a.clip_norm = number("clip_norm");
    x.a.nesterov = json_is_true(json_object_get(k, "nesterov"));
    const json_t *averages = json_object_get(k, "averages");
    x.a.ema_momentum = number("ema_momentum");
    x.prepare(op_named(op), op == "adam" || x.a.momentum > 0, op != "sgd", false, averages);
    x.set(x.a.w, start);
    if (averages) // what was there before the first step says nothing
        x.set(x.a.ema, std::vector<double>(start.size(), NAN));
    const json_t *gradients = json_object_get(root, "gradients");
    egi_control step = control();
    step.lr = number("lr");
    ASSERT_EQ(10u, json_array_size(gradients));
    for (size_t t = 0; t < 10; t++) {
        step.step = (int64_t)t;
        x.set(x.a.grad, numbers(json_array_get(gradients, t)));
        ASSERT_OK(egi_plan_run(x.plan, &step));
        const std::vector<double> want = numbers(json_array_get(json_object_get(k, "weights"), t)), got = x.get(x.a.w);
        for (size_t i = 0; i < want.size(); i++)
            ASSERT_NEAR(want[i], got[i], tolerance * largest(want)) << "step " << t << ", weight " << i;
        if (averages)
            expect_average(numbers(json_array_get(averages, t)), x.get(x.a.ema), tolerance, t);
        const double penalty = json_number_value(json_array_get(json_object_get(k, "penalties"), t));
        ASSERT_NEAR(penalty, x.get(x.a.penalty)[0], tolerance * std::fmax(penalty, 1e-3)) << "step " << t;
    }
}

std::vector<std::string> golden_names()
{
    Golden g;
    std::vector<std::string> names;
    const char *name;
    json_t *k;
    json_object_foreach(json_object_get(g.root, "cases"), name, k) names.push_back(name);
    return names;
}
} // namespace

class Optimizer : public ::testing::TestWithParam<std::string>
{
};
INSTANTIATE_TEST_SUITE_P(Keras, Optimizer, ::testing::ValuesIn(golden_names()), [](const auto &i) { return i.param; });

// f64: rounding only; some hyperparameters are float32 inside Keras. f32: some roundings in each of ten steps.
TEST_P(Optimizer, TenStepsOfTheReference)
{
    Golden g;
    if (!json_is_true(
            json_object_get(json_object_get(json_object_get(g.root, "cases"), GetParam().c_str()), "exact"))) {
        ten_steps(g.root, GetParam(), EGI_F64, true, 1e-7);
        return;
    }
    ten_steps(g.root, GetParam(), EGI_F64, true, 1e-12);
}

TEST_P(Optimizer, TenStepsOfTheFastKernel)
{
    Golden g;
    ten_steps(g.root, GetParam(), EGI_F32, false, 2e-6);
}

// The quadratic anchor: plain descent on strength / 2 omega (w - anchor)^2 shrinks the distance by 1 - lr strength
// omega a step.
TEST(Update, AnchorPullsByItsImportance)
{
    for (egi_dtype dtype : {EGI_F64, EGI_F32}) {
        Arena x(dtype, 6, dtype == EGI_F64);
        egi_segment s = {};
        s.end = 6;
        s.lr_scale = 1;
        x.segments = {s};
        x.prepare(&egi_op_sgd, false, false, true);
        const std::vector<double> anchor = {1, -2, 0.5, 3, 0, -1}, omega = {0, 0.5, 1, 2, 4, 0.25};
        x.set(x.a.anchor, anchor);
        x.set(x.a.omega, omega);
        x.set(x.a.w, {2, 2, 2, 2, 2, 2});
        egi_control step = control();
        step.lr = 0.1;
        step.strength = 0.75;
        for (int t = 0; t < 5; t++) {
            double penalty = 0;
            for (size_t i = 0; i < 6; i++) {
                const double d = (2 - anchor[i]) * std::pow(1 - 0.075 * omega[i], t);
                penalty += 0.375 * omega[i] * d * d;
            }
            ASSERT_OK(egi_plan_run(x.plan, &step));
            EXPECT_NEAR(penalty, x.get(x.a.penalty)[0], penalty * (dtype == EGI_F64 ? 1e-13 : 1e-6));
        }
        const std::vector<double> w = x.get(x.a.w);
        for (size_t i = 0; i < 6; i++)
            EXPECT_NEAR(anchor[i] + (2 - anchor[i]) * std::pow(1 - 0.075 * omega[i], 5), w[i],
                        dtype == EGI_F64 ? 1e-13 : 1e-6);
    }
}

// Elements in no segment are not touched by any stream.
TEST(Update, FrozenStretchesStay)
{
    for (const egi_op *op : {&egi_op_sgd, &egi_op_adam, &egi_op_rmsprop}) {
        Arena x(EGI_F32, 9000, false);
        egi_segment s = {};
        s.lr_scale = 1;
        s.l2 = 0.1;
        s.weight_decay = 0.1;
        s.begin = 16;
        s.end = 5000;
        x.segments = {s};
        s.begin = 5008;
        s.end = 8000;
        x.segments.push_back(s);
        x.a.momentum = x.a.ema_momentum = 0.9;
        x.a.beta1 = x.a.beta2 = x.a.rho = 0.9;
        x.a.epsilon = 1e-7;
        x.prepare(op, true, op != &egi_op_sgd, true, true);
        std::vector<char> &memory = x.memory;
        for (size_t i = 0; i < memory.size() / 4; i++) {
            const float one = 1.0f + (float)i * 1e-6f;
            std::memcpy(memory.data() + 4 * i, &one, 4);
        }
        const std::vector<char> before = memory;
        const egi_control step = control();
        ASSERT_OK(egi_plan_run(x.plan, &step));
        for (int stream : {0, 1, 2, 3, 4, 5, 8})
            for (int64_t i = 0; i < 9000; i++) {
                const bool inside = (i >= 16 && i < 5000) || (i >= 5008 && i < 8000);
                const size_t at = (size_t)(stream * 9000 * 8 + i * 4);
                const bool same = std::memcmp(before.data() + at, memory.data() + at, 4) == 0;
                const bool written =
                    inside && (stream == 0 || stream == 2 || stream == 8 || (stream == 3 && op != &egi_op_sgd));
                ASSERT_EQ(!written, same) << op->name << ", stream " << stream << ", element " << i;
            }
    }
}

TEST(Update, ClippingByNormIsOfTheWholeArena)
{
    Arena x(EGI_F32, 5000, false);
    egi_segment s = {};
    s.lr_scale = 1;
    s.end = 5000;
    x.segments = {s};
    x.a.clip_norm = 2;
    x.prepare(&egi_op_sgd, false, false, false);
    x.set(x.a.grad, std::vector<double>(5000, 0.5));
    egi_control step = control();
    step.lr = 1;
    ASSERT_OK(egi_plan_run(x.plan, &step));
    const double norm = std::sqrt(5000 * 0.25);
    EXPECT_NEAR(norm, x.get(x.a.norm)[0], 1e-5 * norm);
    for (double w : x.get(x.a.w))
        ASSERT_NEAR(-0.5 * 2 / norm, w, 1e-7);
    x.set(x.a.grad, std::vector<double>(5000, 0.001)); // shorter than the limit: as it is
    x.set(x.a.w, std::vector<double>(5000, 0.0));
    ASSERT_OK(egi_plan_run(x.plan, &step));
    for (double w : x.get(x.a.w))
        ASSERT_FLOAT_EQ(-0.001f, (float)w);
}
