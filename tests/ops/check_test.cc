// What operations refuse, and that every refusal says why.
#include "harness.h"

#include <cmath>
#include <cstring>
#include <functional>

using namespace ops;

static Case case_of(const egi_op *op, int index = 0)
{
    return {op, index, &op->cases[index]};
}

// Emits a case after `spoil` changed it; it must be refused with a message that names the operation.
static void expect_refused(const Case &k, std::function<void(Instance &)> spoil, const char *what)
{
    Context c;
    Instance x(k, EGI_F32);
    ASSERT_OK(x.bind(c.c));
    spoil(x);
    (void)!egi_fail(EG_OK, "%s", "");
    EXPECT_NE(EG_OK, x.emit()) << k.id() << " took " << what;
    EXPECT_EQ(0, std::strncmp(eg_last_message(), k.op->name, std::strlen(k.op->name)))
        << what << ": " << eg_last_message();
    EXPECT_GT(std::strlen(eg_last_message()), std::strlen(k.op->name) + 5) << what;
}

// A value of the wrong shape, and none where the operation cannot do without.
TEST(Checks, WrongShapesAreRefusedByEveryOperation)
{
    for (const egi_op *const *op = egi_ops; *op; op++) {
        if (*op == &egi_op_record) // any matrix is a ring, and no scalar has to be there
            continue;
        const Case k = case_of(*op);
        const Instance count(k, EGI_F32);
        for (size_t i = 1; i < count.values.size(); i++) // what the first one's shape allows is the others' to fit
            expect_refused(
                k,
                [i](Instance &x) {
                    egi_shape shape = {};
                    shape.rank = 2;
                    shape.dim[0] = 3;
                    shape.dim[1] = 1237;
                    const egi_val v = egi_plan_bind(x.plan, x.values[i].dtype, shape, x.values[i].data());
                    *egi_arg_ref(x.args.data(), x.values[i].field) = v;
                },
                "a wrong shape");
        expect_refused(
            k, [](Instance &x) { *egi_arg_ref(x.args.data(), x.values[0].field) = EGI_NONE; }, "no first value");
    }
}

TEST(Checks, WrongTypesAreRefusedByEveryOperation)
{
    for (const egi_op *const *op = egi_ops; *op; op++) {
        if (*op == &egi_op_copy) // converts
            continue;
        const Case k = case_of(*op);
        const Instance count(k, EGI_F32);
        for (size_t i = *op == &egi_op_gather; i < count.values.size();
             i++) // its first value may be of bytes or floats
            expect_refused(
                k,
                [i](Instance &x) {
                    const egi_dtype other = x.values[i].dtype == EGI_F32 ? EGI_U8 : EGI_F32;
                    const egi_val v = egi_plan_bind(x.plan, other, x.values[i].shape, x.values[i].data());
                    *egi_arg_ref(x.args.data(), x.values[i].field) = v;
                },
                "a wrong type");
    }
}

template <class Args> static void expect_attribute(const Case &k, std::function<void(Args &)> spoil, const char *what)
{
    expect_refused(
        k, [&](Instance &x) { spoil(*(Args *)x.args.data()); }, what);
}

TEST(Checks, Attributes)
{
    const Case drop = case_of(&egi_op_dropout), act = case_of(&egi_op_activation), xent = case_of(&egi_op_softmax_xent);
    expect_attribute<egi_dropout>(
        drop, [](egi_dropout &a) { a.rate = 1; }, "a rate of 1");
    expect_attribute<egi_dropout>(
        drop, [](egi_dropout &a) { a.rate = -0.1f; }, "a negative rate");
    expect_attribute<egi_activation>(
        act, [](egi_activation &a) { a.act = EGI_ACT_SOFTMAX; }, "softmax as pointwise");
    expect_attribute<egi_softmax_xent>(
        xent, [](egi_softmax_xent &a) { a.label_smoothing = 2; }, "a smoothing of 2");
    expect_attribute<egi_softmax_xent>(
        xent, [](egi_softmax_xent &a) { a.labels = EGI_NONE; }, "no target at all");
    const Case norm = case_of(&egi_op_batchnorm_infer), grad = case_of(&egi_op_batchnorm_grad);
    expect_attribute<egi_batchnorm_infer>(
        norm, [](egi_batchnorm_infer &a) { a.act = EGI_ACT_GELU; }, "a fused gelu");
    expect_attribute<egi_batchnorm_grad>(
        grad, [](egi_batchnorm_grad &a) { a.dx = a.dgamma = a.dbeta = EGI_NONE; }, "nothing to compute");
    const Case record = case_of(&egi_op_record), distill = case_of(&egi_op_distill);
    expect_attribute<egi_record>(
        record, [](egi_record &a) { a.first = -1; }, "a column before the first");
    expect_attribute<egi_record>(
        record, [](egi_record &a) { a.first = 1; }, "a column behind the last");
    expect_attribute<egi_distill>(
        distill, [](egi_distill &a) { a.temperature = 0; }, "a temperature of 0");
    expect_attribute<egi_distill>(
        distill, [](egi_distill &a) { a.begin = 1; }, "columns beyond z");
}

TEST(Checks, Batches)
{
    const Case image = case_of(&egi_op_gather), flat = case_of(&egi_op_gather, 2);
    expect_attribute<egi_gather>(
        image, [](egi_gather &a) { a.affine.by[0] = 0; }, "a divisor of 0");
    expect_attribute<egi_gather>(
        image, [](egi_gather &a) { a.affine.channels = 2; }, "two channels");
    expect_attribute<egi_gather>(
        image, [](egi_gather &a) { a.affine.reversed = 1; }, "one channel in reverse");
    expect_attribute<egi_gather>(
        case_of(&egi_op_gather, 4), [](egi_gather &a) { a.affine.over[2] = NAN; }, "a divisor that is no number");
    expect_attribute<egi_gather>(
        image, [](egi_gather &a) { a.augment.shift = -1; }, "a negative shift");
    expect_attribute<egi_gather>(
        image, [](egi_gather &a) { a.augment.shift = EGI_SHIFT_MAX + 1; }, "a large shift");
    expect_attribute<egi_gather>(
        flat, [](egi_gather &a) { a.augment.flip = 1; }, "a flip of what is no image");
}

TEST(Checks, Updates)
{
    static egi_segment wrong[2] = {};
    const Case sgd = case_of(&egi_op_sgd, 3), adam = case_of(&egi_op_adam);
    expect_attribute<egi_update>(
        sgd, [](egi_update &a) { a.m = EGI_NONE; }, "momentum without m");
    expect_attribute<egi_update>(
        sgd, [](egi_update &a) { a.omega = EGI_NONE; }, "an anchor without importance");
    expect_attribute<egi_update>(
        adam, [](egi_update &a) { a.beta2 = 1; }, "beta2 of 1");
    expect_attribute<egi_update>(
        adam, [](egi_update &a) { a.ema_momentum = 1; }, "an average that never moves");
    expect_attribute<egi_update>(
        adam, [](egi_update &a) { a.epsilon = -1; }, "a negative epsilon");
    expect_attribute<egi_update>(
        adam, [](egi_update &a) { a.v = EGI_NONE; }, "adam without v");
    expect_attribute<egi_update>(
        sgd, [](egi_update &a) { a.clip_norm = 1, a.norm = EGI_NONE; }, "clipping without a norm");
    const auto segments = [&](int64_t b0, int64_t e0, int64_t b1, int64_t e1, const char *what) {
        wrong[0].begin = b0, wrong[0].end = e0, wrong[1].begin = b1, wrong[1].end = e1;
        expect_attribute<egi_update>(
            sgd, [](egi_update &a) { a.segments = wrong, a.n_segments = 2; }, what);
    };
    segments(0, 10, 5, 20, "segments that overlap");
    segments(0, 10, 30, 41, "a segment beyond the end");
    segments(10, 5, 30, 40, "a segment that ends before it begins");
    segments(20, 30, 0, 10, "segments out of order");
}

// Rows that do not count, labels outside: with the fast kernel and the reference alike.
TEST(Xent, RowsThatDoNotCount)
{
    for (bool reference : {true, false}) {
        Context c(reference);
        Instance x(case_of(&egi_op_softmax_xent, 1), EGI_F32);
        Value &z = x.of(EGI_FIELD(egi_softmax_xent, z)), &labels = x.of(EGI_FIELD(egi_softmax_xent, labels));
        Value &weights = x.of(EGI_FIELD(egi_softmax_xent, weights)), &dz = x.of(EGI_FIELD(egi_softmax_xent, dz));
        std::vector<double> zs = z.get(), ls = labels.get(), ws = weights.get();
        const size_t k = (size_t)z.shape.dim[1];
        ls[0] = -1;
        ws[1] = 0;
        zs[1 * k] = NAN;
        zs[1 * k + 1] = INFINITY;
        z.set(zs), labels.set(ls), weights.set(ws);
        ASSERT_OK(x.run(c.c, control()));
        const double loss = x.of(EGI_FIELD(egi_softmax_xent, loss)).get()[0];
        EXPECT_TRUE(loss > 0 && loss < 100) << loss;
        for (size_t j = 0; j < 2 * k; j++)
            EXPECT_EQ(0, dz.get()[j]);
        ls[5] = (double)k; // no such class: the loss shows it
        labels.set(ls);
        ASSERT_OK(x.run(c.c, control()));
        EXPECT_TRUE(std::isnan(x.of(EGI_FIELD(egi_softmax_xent, loss)).get()[0]));
    }
}

// Logits that overflow an exponential.
TEST(Xent, LargeLogits)
{
    for (bool reference : {true, false}) {
        Context c(reference);
        Instance x(case_of(&egi_op_softmax_xent, 0), EGI_F32);
        Value &z = x.of(EGI_FIELD(egi_softmax_xent, z)), &labels = x.of(EGI_FIELD(egi_softmax_xent, labels));
        const size_t n = (size_t)z.shape.dim[0], k = (size_t)z.shape.dim[1];
        std::vector<double> zs(n * k, 0.0);
        for (size_t i = 0; i < n; i++)
            zs[i * k] = 1000;
        z.set(zs);
        labels.set(std::vector<double>(n, 1.0));
        ASSERT_OK(x.run(c.c, control()));
        EXPECT_NEAR(1500, x.of(EGI_FIELD(egi_softmax_xent, loss)).get()[0], 1e-3); // scale 1.5
        EXPECT_EQ(0, x.of(EGI_FIELD(egi_softmax_xent, correct)).get()[0]);
        labels.set(std::vector<double>(n, 0.0));
        ASSERT_OK(x.run(c.c, control()));
        EXPECT_EQ(0, x.of(EGI_FIELD(egi_softmax_xent, loss)).get()[0]);
        EXPECT_EQ((double)n, x.of(EGI_FIELD(egi_softmax_xent, correct)).get()[0]);
    }
}

TEST(Xent, TheFirstOfEqualLogitsIsTheAnswer)
{
    for (bool reference : {true, false}) {
        Context c(reference);
        Instance x(case_of(&egi_op_softmax_xent, 0), EGI_F32);
        Value &z = x.of(EGI_FIELD(egi_softmax_xent, z)), &labels = x.of(EGI_FIELD(egi_softmax_xent, labels));
        const size_t n = (size_t)z.shape.dim[0];
        z.set(std::vector<double>(z.get().size(), 0.5));
        for (const int label : {0, 1}) {
            labels.set(std::vector<double>(n, label));
            ASSERT_OK(x.run(c.c, control()));
            EXPECT_EQ(label ? 0.0 : (double)n, x.of(EGI_FIELD(egi_softmax_xent, correct)).get()[0]);
        }
    }
}

TEST(PointwiseLoss, OnlyCrossEntropiesAreSmoothed)
{
    for (bool reference : {true, false})
        for (int index : {4, 6}) { // MSE, MAE
            Context c(reference);
            const Case k = case_of(&egi_op_pointwise_loss, index);
            Instance plain(k, EGI_F32), smoothed(k, EGI_F32);
            ((egi_pointwise_loss *)smoothed.args.data())->label_smoothing = 0.5f;
            ASSERT_OK(plain.run(c.c, control()));
            ASSERT_OK(smoothed.run(c.c, control()));
            for (uint16_t field : {EGI_FIELD(egi_pointwise_loss, loss), EGI_FIELD(egi_pointwise_loss, dy)})
                EXPECT_EQ(plain.of(field).get(), smoothed.of(field).get()) << k.id();
        }
}
