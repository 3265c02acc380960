// Batches: bits are the same everywhere; what augmentation does to an example that can be followed by hand; draws.
#include "harness.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace ops;

namespace
{

std::vector<Case> gathers()
{
    std::vector<Case> some;
    for (const Case &k : all_cases())
        if (k.op == &egi_op_gather)
            some.push_back(k);
    return some;
}

egi_affine plain()
{
    egi_affine a = {};
    a.channels = 1;
    a.by[0] = a.over[0] = 1;
    return a;
}

// One image of 2 x 3 values 1 to 6, `batch` times, in the step `step`.
std::vector<std::vector<float>> images(egi_augment how, int64_t batch, int64_t step, uint64_t seed = 3)
{
    Context c;
    std::vector<float> x = {1, 2, 3, 4, 5, 6}, y((size_t)(batch * 6), -1.0f);
    std::vector<int32_t> index((size_t)batch, 0);
    egi_plan *plan = nullptr;
    EXPECT_OK(egi_plan_create(&plan, c.c, batch, EGI_F32, true));
    egi_gather a = {};
    a.affine = plain();
    a.augment = how;
    a.x = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(1, 2, 3), x.data());
    a.index = egi_plan_bind(plan, EGI_I32, EGI_SHAPE(batch), index.data());
    a.y = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(batch, 6), y.data());
    egi_control control = {};
    control.seed = seed;
    control.step = step;
    EXPECT_OK(egi_plan_emit(plan, &egi_op_gather, &a));
    EXPECT_OK(egi_plan_compile(plan));
    EXPECT_OK(egi_plan_run(plan, &control));
    egi_plan_free(plan);
    std::vector<std::vector<float>> rows;
    for (int64_t i = 0; i < batch; i++)
        rows.emplace_back(y.begin() + i * 6, y.begin() + (i + 1) * 6);
    return rows;
}

egi_augment augment(bool flip, int shift)
{
    egi_augment a = {};
    a.flip = flip;
    a.shift = shift;
    return a;
}

// Whoever computes a value computes it with the same operations in float32.
TEST(Gather, TheSameBitsAsTheReference)
{
    for (const Case &k : gathers()) {
        Context slow(true), fast;
        Instance want(k, EGI_F32, 1, 0x11), got(k, EGI_F32, 1, 0x22);
        ASSERT_OK(want.run(slow.c, control()));
        ASSERT_OK(got.run(fast.c, control()));
        EXPECT_EQ(want.of(EGI_FIELD(egi_gather, y)).memory, got.of(EGI_FIELD(egi_gather, y)).memory) << k.id();
    }
}

TEST(Gather, AnIndexThatIsNoExampleGivesZeros)
{
    for (const bool reference : {true, false}) {
        Context c(reference);
        Instance x(gathers()[0], EGI_F32);
        Value &index = x.of(EGI_FIELD(egi_gather, index)), &y = x.of(EGI_FIELD(egi_gather, y));
        std::vector<double> rows = index.get();
        const size_t n = (size_t)(y.count() / index.count());
        rows[0] = -1, rows[1] = 2, rows[2] = 11, rows[3] = 2147483647.0, rows[4] = -2147483648.0;
        index.set(rows);
        ASSERT_OK(x.run(c.c, control()));
        const std::vector<double> values = y.get();
        for (size_t i = 0; i < 5 * n; i++)
            if (i / n != 1) {
                ASSERT_EQ(0, values[i]) << i;
            }
        EXPECT_GT(largest(std::vector<double>(values.begin() + (int64_t)n, values.begin() + 2 * (int64_t)n)), 0);
    }
}

// Examples of bytes or floats that begin anywhere in memory: whether four at once can be read changes no bit.
void expect_anywhere(egi_dtype dtype)
{
    const int64_t n = 6, size = 20, room = 16, width = (int64_t)egi_dtype_size(dtype);
    Context c;
    char *memory = nullptr;
    std::vector<float> wanted;
    int32_t index[] = {5, 0, 3, -1, 2};
    ASSERT_OK(egi_mirror_alloc(&memory, c.c, n * size + room, (size_t)width));
    for (int64_t before : {0, 1, 2, 3, 4, 6}) {
        egi_plan *plan = nullptr;
        std::vector<float> y(5 * (size_t)size, -1.0f);
        ASSERT_OK(egi_host_writes(c.c, memory));
        const egi_tensor x = {memory + before * width, dtype, EGI_SHAPE(n, size)};
        for (int64_t i = 0; i < n * size; i++)
            egi_set(&x, i, (double)(i * 37 % 251));
        ASSERT_OK(egi_plan_create(&plan, c.c, 5, EGI_F32, true));
        egi_gather a = {};
        a.affine = plain();
        a.affine.by[0] = 255;
        a.x = egi_plan_bind(plan, dtype, x.shape, x.data);
        a.index = egi_plan_bind(plan, EGI_I32, EGI_SHAPE(5), index);
        a.y = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(5, size), y.data());
        const egi_control step = control();
        ASSERT_OK(egi_plan_emit(plan, &egi_op_gather, &a));
        ASSERT_OK(egi_plan_compile(plan));
        ASSERT_OK(egi_plan_run(plan, &step));
        egi_plan_free(plan);
        wanted = before ? wanted : y;
        EXPECT_EQ(wanted, y) << before;
        EXPECT_EQ((float)(5 * size * 37 % 251) / 255.0f, y[0]);
    }
    egi_free(c.c, memory);
}

TEST(Gather, ExamplesMayBeginAnywhere)
{
    expect_anywhere(EGI_U8);
    expect_anywhere(EGI_F32);
}

TEST(Gather, AFlippedImageIsTheImageOrItsMirror)
{
    const std::vector<float> as_it_is = {1, 2, 3, 4, 5, 6}, mirrored = {3, 2, 1, 6, 5, 4};
    int flips = 0;
    for (const auto &row : images(augment(true, 0), 1000, 7)) {
        ASSERT_TRUE(row == as_it_is || row == mirrored);
        flips += row == mirrored;
    }
    EXPECT_NEAR(500, flips, 80); // five standard deviations
}

// Every move by one pixel occurs; what comes in from outside is 0.
TEST(Gather, AMovedImageHasZerosWhereItWas)
{
    const std::vector<std::vector<float>> all = {{0, 0, 0, 0, 1, 2}, {0, 0, 0, 1, 2, 3}, {0, 0, 0, 2, 3, 0},
                                                 {0, 1, 2, 0, 4, 5}, {1, 2, 3, 4, 5, 6}, {2, 3, 0, 5, 6, 0},
                                                 {0, 4, 5, 0, 0, 0}, {4, 5, 6, 0, 0, 0}, {5, 6, 0, 0, 0, 0}};
    std::vector<int> met(all.size(), 0);
    for (const auto &row : images(augment(false, 1), 900, 7)) {
        const auto at = std::find(all.begin(), all.end(), row);
        ASSERT_NE(all.end(), at);
        met[(size_t)(at - all.begin())]++;
    }
    for (const int n : met)
        EXPECT_NEAR(100, n, 48); // five standard deviations
}

TEST(Gather, FlipAndShiftAreDrawnApart)
{
    std::set<std::vector<float>> kinds;
    for (const auto &row : images(augment(true, 1), 2000, 7))
        kinds.insert(row);
    EXPECT_EQ(18u, kinds.size());
}

TEST(Gather, DrawsDependOnSeedStepAndRowAlone)
{
    const egi_augment how = augment(true, 2);
    const auto all = images(how, 64, 7);
    EXPECT_EQ(all, images(how, 64, 7));
    EXPECT_NE(all, images(how, 64, 8));
    EXPECT_NE(all, images(how, 64, 7, 4));
    const auto fewer = images(how, 17, 7);
    EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), all.begin()));
}

} // namespace
