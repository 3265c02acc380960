// Gradient rules against central differences, square rules against the squared gradients of single samples; all in f64.
#include "harness.h"

#include <cmath>

using namespace ops;

// Some cases are there for fast kernels only: too large for the reference to be run some hundred times.
static bool is_small(const Case &k)
{
    for (const egi_shape &s : k.data->in)
        if (egi_shape_count(&s) > 100000)
            return false;
    return true;
}

static std::vector<Case> differentiable()
{
    std::vector<Case> some;
    for (const Case &k : all_cases())
        if (k.op->grad && is_small(k))
            some.push_back(k);
    return some;
}

static std::vector<Case> with_squares()
{
    std::vector<Case> some;
    for (const Case &k : all_cases())
        if (k.op->square && is_small(k) && k.data->in[0].dim[0] > 0 && k.data->out_absent == 0 &&
            (k.data->in_absent & 6) != 6) // some parameter
            some.push_back(k);
    return some;
}

// Inputs that no gradient goes to: statistics, targets, weights of samples.
static bool is_constant(const egi_op *op, uint16_t field)
{
    const struct {
        const egi_op *op;
        uint16_t field;
    } constants[] = {
        {&egi_op_batchnorm, EGI_FIELD(egi_batchnorm, moving_mean)},
        {&egi_op_batchnorm, EGI_FIELD(egi_batchnorm, moving_var)},
        {&egi_op_batchnorm_infer, EGI_FIELD(egi_batchnorm_infer, mean)},
        {&egi_op_batchnorm_infer, EGI_FIELD(egi_batchnorm_infer, var)},
        {&egi_op_softmax_xent, EGI_FIELD(egi_softmax_xent, targets)},
        {&egi_op_softmax_xent, EGI_FIELD(egi_softmax_xent, weights)},
        {&egi_op_distill, EGI_FIELD(egi_distill, teacher)},
        {&egi_op_distill, EGI_FIELD(egi_distill, weights)},
        {&egi_op_pointwise_loss, EGI_FIELD(egi_pointwise_loss, targets)},
        {&egi_op_pointwise_loss, EGI_FIELD(egi_pointwise_loss, weights)},
    };
    for (const auto &k : constants)
        if (k.op == op && k.field == field)
            return true;
    return false;
}

static bool is_leaf(const Instance &x, const Value &v)
{
    return v.in && v.dtype == EGI_F64 && !is_constant(x.k.op, v.field);
}

// Random factors of the first output: the loss is their scalar product. Losses are their own.
static std::vector<double> factors(Instance &x)
{
    const Value &y = x.of(x.k.op->out[0]);
    if (y.shape.rank == 0)
        return {1.0};
    egi_rng r = egi_rng_make(5, EGI_RNG_TEST, 77);
    std::vector<double> f;
    for (int64_t i = 0; i < y.count(); i++)
        f.push_back(egi_rng_normal(&r));
    return f;
}

static double loss_of(Instance &x, const std::vector<double> &f)
{
    const std::vector<double> y = x.of(x.k.op->out[0]).get();
    double loss = 0;
    for (size_t i = 0; i < y.size(); i++)
        loss += y[i] * f[i];
    return loss;
}

class Gradient : public ::testing::TestWithParam<Case>
{
  protected:
    // Cases that leave out the output which the gradient rule needs.
    static bool without_its_gradient(const Instance &x)
    {
        return (x.k.op == &egi_op_softmax_xent || x.k.op == &egi_op_pointwise_loss || x.k.op == &egi_op_maxpool ||
                x.k.op == &egi_op_conv2d_maxpool || x.k.op == &egi_op_distill) &&
               (x.k.data->out_absent & 2);
    }
};
INSTANTIATE_TEST_SUITE_P(Ops, Gradient, ::testing::ValuesIn(differentiable()),
                         [](const auto &info) { return info.param.id(); });

// Emits the operation with every leaf asking for its gradient, and the backward pass; `f` is bound as the output's
// gradient.
static eg_status emit_backward(Instance *x, eg_context *c, std::vector<double> *f)
{
    EG_TRY(x->bind(c));
    for (const Value &v : x->values)
        if (is_leaf(*x, v))
            egi_plan_leaf(x->plan, v.v, EGI_NONE);
    x->plan->want_grad = true;
    EG_TRY(x->emit());
    const Value &y = x->of(x->k.op->out[0]);
    const egi_val dy = egi_plan_bind(x->plan, EGI_F64, y.shape, f->data());
    EG_TRY(egi_plan_backward_from(x->plan, y.v, dy, false));
    return egi_plan_compile(x->plan);
}

static std::vector<double> gradient_of(const Instance &x, const Value &v)
{
    const egi_val g = egi_plan_grad(x.plan, v.v);
    EXPECT_NE(EGI_NONE, g) << "no gradient";
    if (g == EGI_NONE)
        return std::vector<double>((size_t)egi_shape_count(&v.shape), NAN);
    const double *data = (const double *)egi_plan_data(x.plan, g);
    return std::vector<double>(data, data + egi_shape_count(&v.shape));
}

// Some elements of a value: all of few, else a spread of 24.
static std::vector<size_t> sample(int64_t n)
{
    std::vector<size_t> some;
    const int64_t wanted = n < 24 ? n : 24;
    for (int64_t i = 0; i < wanted; i++)
        some.push_back((size_t)((i * n + n / 2) / wanted));
    return some;
}

TEST_P(Gradient, IsTheCentralDifference)
{
    Context c;
    Instance x(GetParam(), EGI_F64), probe(GetParam(), EGI_F64);
    std::vector<double> f = factors(x);
    if (without_its_gradient(x)) {
        EXPECT_EQ(EG_ERR_STATE, emit_backward(&x, c.c, &f));
        EXPECT_STRNE("", eg_last_message());
        return;
    }
    const egi_control step = control();
    ASSERT_OK(emit_backward(&x, c.c, &f));
    ASSERT_OK(egi_plan_run(x.plan, &step));
    ASSERT_OK(probe.run(c.c, step));
    for (size_t i = 0; i < x.values.size(); i++) {
        if (!is_leaf(x, x.values[i]) || x.values[i].count() == 0)
            continue;
        const std::vector<double> g = gradient_of(x, x.values[i]), at = probe.values[i].get();
        const double scale = std::fmax(largest(g), 1e-3), h = 1e-5;
        for (size_t j : sample(probe.values[i].count())) {
            std::vector<double> moved = at;
            double loss[2];
            for (int side = 0; side < 2; side++) {
                moved[j] = at[j] + (side ? h : -h);
                probe.values[i].set(moved);
                ASSERT_OK(egi_plan_run(probe.plan, &step));
                loss[side] = loss_of(probe, f);
            }
            ASSERT_NEAR((loss[1] - loss[0]) / (2 * h), g[j], 1e-6 * scale) << "value " << i << ", element " << j;
        }
        probe.values[i].set(at);
    }
}

// --- squares ---------------------------------------------------------------------------------------------------------

class Square : public ::testing::TestWithParam<Case>
{
};
INSTANTIATE_TEST_SUITE_P(Ops, Square, ::testing::ValuesIn(with_squares()),
                         [](const auto &info) { return info.param.id(); });

// Values that hold a row a sample: the first input, and what is added to the result. The others are parameters.
static bool is_by_sample(const egi_op *op, uint16_t field)
{
    return field == op->in[0] || (op == &egi_op_batchnorm_infer && field == EGI_FIELD(egi_batchnorm_infer, r)) ||
           (op == &egi_op_conv2d && field == EGI_FIELD(egi_conv2d, r));
}

// The case with a batch of one: the shapes of those inputs and the first output are cut.
static egi_op_case single(const egi_op *op, const egi_op_case &k)
{
    egi_op_case one = k;
    for (int i = 0; op->in[i]; i++)
        if (is_by_sample(op, op->in[i]))
            one.in[i].dim[0] = 1;
    one.out[0].dim[0] = 1;
    if (op == &egi_op_conv2d_maxpool)
        one.out[1].dim[0] = 1;
    return one;
}

static bool is_parameter(const Instance &x, const Value &v)
{
    return is_leaf(x, v) && !is_by_sample(x.k.op, v.field);
}

static std::vector<double> slice(const std::vector<double> &x, int64_t batch, int64_t i)
{
    const size_t n = x.size() / (size_t)batch;
    return std::vector<double>(x.begin() + (long)(n * (size_t)i), x.begin() + (long)(n * (size_t)(i + 1)));
}

TEST_P(Square, IsTheSumOfSquaredGradientsOfSamples)
{
    Context c;
    const Case k = GetParam();
    const int64_t batch = k.data->in[0].dim[0];
    Instance x(k, EGI_F64);
    std::vector<double> f = factors(x);
    std::vector<std::vector<double>> squares(x.values.size()), wanted(x.values.size());
    for (size_t i = 0; i < x.values.size(); i++) {
        squares[i].assign((size_t)x.values[i].count(), 0.25); // what is there is added to
        wanted[i] = squares[i];
    }
    const egi_control step = control();

    const egi_op_case one = single(k.op, *k.data);
    for (int64_t n = 0; n < batch; n++) {
        Instance s({k.op, k.index, &one}, EGI_F64);
        for (size_t i = 0; i < s.values.size(); i++)
            s.values[i].set(is_by_sample(k.op, s.values[i].field) ? slice(x.values[i].get(), batch, n)
                                                                  : x.values[i].get());
        std::vector<double> part = slice(f, batch, n);
        ASSERT_OK(emit_backward(&s, c.c, &part));
        ASSERT_OK(egi_plan_run(s.plan, &step));
        for (size_t i = 1; i < s.values.size(); i++)
            if (is_parameter(s, s.values[i])) {
                const std::vector<double> g = gradient_of(s, s.values[i]);
                for (size_t j = 0; j < g.size(); j++)
                    wanted[i][j] += g[j] * g[j];
            }
    }

    ASSERT_OK(x.bind(c.c));
    for (size_t i = 1; i < x.values.size(); i++)
        if (is_parameter(x, x.values[i])) {
            egi_plan_leaf(x.plan, x.values[i].v, EGI_NONE);
            const egi_val square = egi_plan_bind(x.plan, EGI_F64, x.values[i].shape, squares[i].data());
            x.plan->values[x.values[i].v].square = square;
        }
    ASSERT_OK(x.emit());
    const Value &y = x.of(k.op->out[0]);
    const egi_val dy = egi_plan_bind(x.plan, EGI_F64, y.shape, f.data());
    ASSERT_OK(egi_plan_backward_from(x.plan, y.v, dy, true));
    EXPECT_TRUE(egi_plan_squares_exact(x.plan));
    ASSERT_OK(egi_plan_compile(x.plan));
    ASSERT_OK(egi_plan_run(x.plan, &step));
    int compared = 0;
    for (size_t i = 1; i < x.values.size(); i++)
        for (size_t j = 0; is_parameter(x, x.values[i]) && j < squares[i].size(); j++, compared++)
            ASSERT_NEAR(squares[i][j], wanted[i][j], 1e-10 * largest(wanted[i])) << "value " << i << ", element " << j;
    EXPECT_GT(compared, 0);
}

// A network of operations: squares of every layer at once, below a batch norm with a fused activation.
namespace
{
struct Chain {
    static constexpr int64_t kIn = 5, kHidden = 7, kOut = 3;
    Context c;
    std::vector<double> x, w1, gamma, beta, mean, var, w2, b2, dy;
    std::vector<double> grads[4], squares[4];
    egi_plan *plan = nullptr;

    static std::vector<double> numbers(int64_t n, uint32_t seed, bool positive = false)
    {
        egi_rng r = egi_rng_make(3, EGI_RNG_TEST, seed);
        std::vector<double> v;
        for (int64_t i = 0; i < n; i++)
            v.push_back(positive ? 0.5 + egi_rng_uniform64(&r) : egi_rng_normal(&r));
        return v;
    }

    Chain(std::vector<double> samples, std::vector<double> seeds, bool square) : x(samples), dy(seeds)
    {
        w1 = numbers(kIn * kHidden, 1);
        gamma = numbers(kHidden, 2, true);
        beta = numbers(kHidden, 3);
        mean = numbers(kHidden, 4);
        var = numbers(kHidden, 5, true);
        w2 = numbers(kHidden * kOut, 6);
        b2 = numbers(kOut, 7);
        const int64_t n = (int64_t)x.size() / kIn;
        EXPECT_OK(build(n, square));
        const egi_control step = control();
        EXPECT_OK(egi_plan_run(plan, &step));
    }
    ~Chain()
    {
        egi_plan_free(plan);
    }

    egi_val leaf(std::vector<double> *v, egi_shape shape, int i)
    {
        grads[i].assign(v->size(), 0);
        squares[i].assign(v->size(), 0);
        const egi_val w = egi_plan_bind(plan, EGI_F64, shape, v->data());
        egi_plan_leaf(plan, w, egi_plan_bind(plan, EGI_F64, shape, grads[i].data()));
        const egi_val square = egi_plan_bind(plan, EGI_F64, shape, squares[i].data()); // moves plan->values
        plan->values[w].square = square;
        return w;
    }

    static egi_shape shape(int64_t a, int64_t b = -1)
    {
        egi_shape s = {};
        s.rank = b < 0 ? 1 : 2;
        s.dim[0] = a;
        s.dim[1] = b < 0 ? 0 : b;
        return s;
    }

    eg_status build(int64_t n, bool square)
    {
        EG_TRY(egi_plan_create(&plan, c.c, n, EGI_F64, true));
        const egi_shape hidden = shape(kHidden);
        egi_dense first = {};
        first.x = egi_plan_bind(plan, EGI_F64, shape(n, kIn), x.data());
        first.w = leaf(&w1, shape(kIn, kHidden), 0);
        first.y = egi_temp(plan, shape(n, kHidden));
        EG_TRY(egi_plan_emit(plan, &egi_op_dense, &first));
        egi_batchnorm_infer norm = {};
        norm.x = first.y;
        norm.gamma = leaf(&gamma, hidden, 1);
        norm.beta = leaf(&beta, hidden, 2);
        norm.mean = egi_plan_bind(plan, EGI_F64, hidden, mean.data());
        norm.var = egi_plan_bind(plan, EGI_F64, hidden, var.data());
        norm.y = egi_temp(plan, shape(n, kHidden));
        norm.epsilon = 1e-3f;
        norm.act = EGI_ACT_TANH;
        EG_TRY(egi_plan_emit(plan, &egi_op_batchnorm_infer, &norm));
        egi_dense last = {};
        last.x = norm.y;
        last.w = leaf(&w2, shape(kHidden, kOut), 3);
        last.b = egi_plan_bind(plan, EGI_F64, shape(kOut), b2.data());
        last.y = egi_temp(plan, shape(n, kOut));
        EG_TRY(egi_plan_emit(plan, &egi_op_dense, &last));
        const egi_val seed = egi_plan_bind(plan, EGI_F64, shape(n, kOut), dy.data());
        EG_TRY(egi_plan_backward_from(plan, last.y, seed, square));
        return egi_plan_compile(plan);
    }
};
} // namespace

TEST(Squares, OfANetworkAreThoseOfItsSamples)
{
    constexpr int64_t n = 6;
    const std::vector<double> x = Chain::numbers(n * Chain::kIn, 8), dy = Chain::numbers(n * Chain::kOut, 9);
    Chain all(x, dy, true);
    std::vector<double> wanted[4];
    for (int p = 0; p < 4; p++)
        wanted[p].assign(all.squares[p].size(), 0);
    for (int64_t i = 0; i < n; i++) {
        Chain one(slice(x, n, i), slice(dy, n, i), false);
        for (int p = 0; p < 4; p++)
            for (size_t j = 0; j < wanted[p].size(); j++)
                wanted[p][j] += one.grads[p][j] * one.grads[p][j];
    }
    for (int p = 0; p < 4; p++) {
        EXPECT_GT(largest(wanted[p]), 0);
        for (size_t j = 0; j < wanted[p].size(); j++)
            EXPECT_NEAR(all.squares[p][j], wanted[p][j], 1e-10 * largest(wanted[p])) << p << ", " << j;
    }
}
