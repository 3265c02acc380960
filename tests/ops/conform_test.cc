// Every operation, every case: the reference in f64 is the oracle of the reference in f32 and of the fast kernels.
#include "harness.h"

#include <cmath>
#include <cstring>

using namespace ops;

class Conform : public ::testing::TestWithParam<Case>
{
};
INSTANTIATE_TEST_SUITE_P(Ops, Conform, ::testing::ValuesIn(all_cases()),
                         [](const auto &info) { return info.param.id(); });

TEST(Ops, EveryOperationHasCasesAndAReference)
{
    int n = 0;
    for (const egi_op *const *op = egi_ops; *op; op++, n++) {
        EXPECT_GT((*op)->n_cases, 0) << (*op)->name;
        EXPECT_NE(nullptr, (*op)->reference) << (*op)->name;
        EXPECT_NE(nullptr, (*op)->check) << (*op)->name;
    }
    EXPECT_GE(n, 38);
}

static bool one_of(const Case &k, std::initializer_list<const egi_op *> ops)
{
    for (const egi_op *op : ops)
        if (op == k.op)
            return true;
    return false;
}

static void expect_close(Instance &got, Instance &want, double tolerance)
{
    for (size_t i = 0; i < want.values.size(); i++) {
        const std::vector<double> x = got.values[i].get(), y = want.values[i].get();
        const double scale = largest(y);
        for (size_t j = 0; j < y.size(); j++)
            ASSERT_LE(std::fabs(x[j] - y[j]), tolerance * scale)
                << "value " << i << ", element " << j << ": " << x[j] << ", wanted " << y[j];
    }
}

static double tolerance_of(const Case &k)
{
    return k.data->tolerance > 0 ? k.data->tolerance : 1e-5;
}

static void expect_canaries(Instance &x)
{
    for (const Value &v : x.values)
        EXPECT_TRUE(v.canaries_whole()) << "memory beside a value was written";
}

static void expect_same_bits(Instance &a, Instance &b)
{
    for (size_t i = 0; i < a.values.size(); i++)
        EXPECT_EQ(a.values[i].memory, b.values[i].memory) << "value " << i;
}

// Inputs stay as they are unless they are outputs too.
static void expect_inputs_kept(Instance &x)
{
    Instance fresh(x.k, x.dtype);
    for (size_t i = 0; i < x.values.size(); i++)
        if (!x.values[i].out) {
            EXPECT_EQ(fresh.values[i].memory, x.values[i].memory) << "input " << i << " was changed";
        }
}

TEST_P(Conform, OutputsAreNotAllZero)
{
    Context c(true);
    Instance x(GetParam(), EGI_F64);
    ASSERT_OK(x.run(c.c, control()));
    for (Value &v : x.values)
        if (v.out && v.count() > 0 && v.dtype != EGI_U8) { /* an index may well be 0 everywhere */
            EXPECT_GT(largest(v.get()), 0) << "output " << &v - x.values.data();
        }
}

TEST_P(Conform, ReferenceInSinglePrecision)
{
    Context c(true);
    Instance wide(GetParam(), EGI_F64, 1, 0x11), narrow(GetParam(), EGI_F32, 1, 0x22);
    ASSERT_OK(wide.run(c.c, control()));
    ASSERT_OK(narrow.run(c.c, control()));
    expect_close(narrow, wide, 1e-6);
    expect_canaries(wide);
    expect_canaries(narrow);
}

TEST_P(Conform, FastKernel)
{
    Context slow(true), fast;
    Instance want(GetParam(), EGI_F64, 1, 0x11), got(GetParam(), EGI_F32, 1, 0x22), again(GetParam(), EGI_F32, 1, 0x22);
    ASSERT_OK(want.run(slow.c, control()));
    ASSERT_OK(got.run(fast.c, control()));
    ASSERT_OK(again.run(fast.c, control()));
    expect_close(got, want, tolerance_of(GetParam()));
    expect_same_bits(got, again);
    expect_canaries(got);
    expect_inputs_kept(got);
}

// Sums that are cut by thread may differ in their last bits with the number of threads (never from run to run): with
// any number they are as near to the oracle as a fast kernel has to be. All other kernels give the same bits.
TEST_P(Conform, ThreadsDoNotChangeBits)
{
    const bool cut = one_of(GetParam(), {&egi_op_conv2d_dw, &egi_op_conv2d_square});
    Context slow(true), one(false, 1), three(false, 3);
    Instance want(GetParam(), EGI_F64, 1, 0x11), a(GetParam(), EGI_F32), b(GetParam(), EGI_F32),
        again(GetParam(), EGI_F32);
    ASSERT_OK(want.run(slow.c, control()));
    ASSERT_OK(a.run(one.c, control()));
    ASSERT_OK(b.run(three.c, control()));
    ASSERT_OK(again.run(three.c, control()));
    expect_same_bits(b, again);
    if (cut) {
        expect_close(a, want, tolerance_of(GetParam()));
        expect_close(b, want, tolerance_of(GetParam()));
    } else {
        expect_same_bits(a, b);
    }
}

// What may be written over an input gives the same bits there as elsewhere.
TEST_P(Conform, OverAnInput)
{
    const Case k = GetParam();
    for (int i = 0; k.op->over[i].out; i++)
        for (const bool reference : {false, true}) {
            Context c(reference);
            Instance apart(k, EGI_F32), over(k, EGI_F32);
            const uint16_t out = k.op->over[i].out, in = k.op->over[i].in;
            if (!apart.has(out) || !apart.has(in))
                continue;
            ASSERT_TRUE(egi_shape_equal(&over.of(out).shape, &over.of(in).shape));
            const egi_control step = control();
            ASSERT_OK(apart.run(c.c, step));
            ASSERT_OK(over.bind(c.c));
            *egi_arg_ref(over.args.data(), out) = over.of(in).v;
            ASSERT_OK(over.emit());
            ASSERT_OK(egi_plan_compile(over.plan));
            ASSERT_OK(egi_plan_run(over.plan, &step));
            over.of(out).memory = over.of(in).memory;
            for (const Value &v : apart.values)
                if (v.out) {
                    EXPECT_EQ(v.memory, over.of(v.field).memory) << "pair " << i << ", reference " << reference;
                }
            expect_canaries(over);
        }
}

// A NaN in an input comes out in the same places as in the reference. Fast convolutions may multiply the zeros of their
// padding by a NaN: there it comes out in the same places at least, and is never lost.
TEST_P(Conform, NanPlaces)
{
    const bool padded = one_of(GetParam(), {&egi_op_conv2d, &egi_op_conv2d_maxpool, &egi_op_conv2d_dx,
                                            &egi_op_conv2d_dw, &egi_op_conv2d_square});
    Context slow(true), fast;
    for (size_t i = 0; i < Instance(GetParam(), EGI_F32).values.size(); i++) {
        Instance want(GetParam(), EGI_F32, 1, 0x11), got(GetParam(), EGI_F32, 1, 0x22);
        if (!want.values[i].in || want.values[i].dtype != EGI_F32 || want.values[i].count() == 0)
            continue;
        std::vector<double> x = want.values[i].get();
        x[x.size() / 3] = NAN;
        want.values[i].set(x);
        got.values[i].set(x);
        ASSERT_OK(want.run(slow.c, control()));
        ASSERT_OK(got.run(fast.c, control()));
        for (size_t o = 0; o < want.values.size(); o++) {
            const std::vector<double> w = want.values[o].get(), g = got.values[o].get();
            for (size_t j = 0; want.values[o].out && j < w.size(); j++)
                ASSERT_TRUE(std::isnan(w[j]) == std::isnan(g[j]) || (padded && std::isnan(g[j])))
                    << "NaN in value " << i << ": value " << o << ", element " << j << " is " << g[j] << ", wanted "
                    << w[j];
        }
    }
}
