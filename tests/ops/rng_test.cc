// The generator against the known answers of Random123 (kat_vectors, philox4x32-10), and its draws against their
// distributions.
#include "harness.h"

#include <algorithm>
#include <cmath>
#include <set>

static std::vector<uint32_t> block(std::vector<uint32_t> counter, std::vector<uint32_t> key)
{
    const egi_philox b = egi_philox_block(counter.data(), key.data());
    return {b.v[0], b.v[1], b.v[2], b.v[3]};
}

TEST(Philox, KnownAnswers)
{
    using V = std::vector<uint32_t>;
    EXPECT_EQ((V{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), block({0, 0, 0, 0}, {0, 0}));
    const uint32_t f = 0xffffffff;
    EXPECT_EQ((V{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), block({f, f, f, f}, {f, f}));
    EXPECT_EQ((V{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}),
              block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}));
}

TEST(Rng, StreamsAreTheBlocksInOrder)
{
    egi_rng r = egi_rng_make(0x123456789abcdef0, EGI_RNG_MEMORY, 7);
    for (uint32_t i = 0; i < 3; i++)
        for (const uint32_t word : block({i, 0, 7, EGI_RNG_MEMORY}, {0x9abcdef0, 0x12345678}))
            EXPECT_EQ(word, egi_rng_u32(&r));
}

TEST(Rng, SeedsPurposesAndStepsAreApart)
{
    std::set<uint32_t> first;
    for (uint64_t seed : {1, 2})
        for (egi_purpose purpose : {EGI_RNG_SHUFFLE, EGI_RNG_DROPOUT})
            for (uint32_t step : {0, 1}) {
                egi_rng r = egi_rng_make(seed, purpose, step);
                first.insert(egi_rng_u32(&r));
            }
    EXPECT_EQ(8u, first.size());
}

// Pearson's statistic is below its 1 - 1e-6 quantile (Wilson & Hilferty 1931).
static void expect_uniform(const std::vector<int64_t> &counts)
{
    double n = 0, x = 0;
    for (int64_t c : counts)
        n += (double)c;
    const double each = n / (double)counts.size(), k = (double)counts.size() - 1;
    for (int64_t c : counts)
        x += ((double)c - each) * ((double)c - each) / each;
    const double limit = k * std::pow(1 - 2 / (9 * k) + 4.7534 * std::sqrt(2 / (9 * k)), 3);
    EXPECT_LT(x, limit);
}

TEST(Rng, ShuffleGivesEveryOrderAsOften)
{
    egi_rng r = egi_rng_make(3, EGI_RNG_SHUFFLE, 0);
    std::vector<int64_t> counts(24, 0);
    for (int i = 0; i < 48000; i++) {
        int64_t order[4] = {0, 1, 2, 3};
        egi_rng_shuffle(&r, order, 4);
        int rank = 0; // of the permutation, by counting what is smaller to the right
        const int weights[4] = {6, 2, 1, 0};
        for (int a = 0; a < 4; a++)
            for (int b = a + 1; b < 4; b++)
                rank += weights[a] * (order[b] < order[a]);
        counts[(size_t)rank]++;
    }
    expect_uniform(counts);
}

TEST(Rng, ShuffleKeepsTheElements)
{
    egi_rng r = egi_rng_make(3, EGI_RNG_SHUFFLE, 1);
    std::vector<int64_t> order(1000);
    for (int64_t i = 0; i < 1000; i++)
        order[(size_t)i] = i;
    egi_rng_shuffle(&r, order.data(), 1000);
    EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < 1000; i++)
        EXPECT_EQ(i, order[(size_t)i]);
    egi_rng_shuffle(&r, order.data(), 0);
    egi_rng_shuffle(&r, order.data(), 1);
}

TEST(Rng, BelowIsUniformAndBounded)
{
    for (uint64_t n : {1ull, 2ull, 3ull, 10ull, 1000ull}) {
        egi_rng r = egi_rng_make(5, EGI_RNG_TEST, (uint32_t)n);
        std::vector<int64_t> counts(n, 0);
        for (uint64_t i = 0; i < 20 * 1000; i++) {
            const uint64_t x = egi_rng_below(&r, n);
            ASSERT_LT(x, n);
            counts[x]++;
        }
        if (n > 1)
            expect_uniform(counts);
    }
    egi_rng r = egi_rng_make(5, EGI_RNG_TEST, 0);
    const uint64_t huge = 3ull << 62; // a quarter of the draws is thrown away
    int above = 0;
    for (int i = 0; i < 3000; i++) {
        const uint64_t x = egi_rng_below(&r, huge);
        ASSERT_LT(x, huge);
        above += x >= huge / 3 * 2;
    }
    EXPECT_NEAR(1000, above, 130); // 5 standard deviations
}

TEST(Rng, UniformAndNormalHaveTheirMoments)
{
    egi_rng r = egi_rng_make(9, EGI_RNG_TEST, 0);
    const int n = 200000;
    double sum = 0, squares = 0, normal[5] = {};
    for (int i = 0; i < n; i++) {
        const double u = egi_rng_uniform64(&r), z = egi_rng_normal(&r);
        const float f = egi_rng_uniform(&r);
        ASSERT_TRUE(u >= 0 && u < 1 && f >= 0 && f < 1);
        sum += u;
        squares += u * u;
        for (int p = 1; p < 5; p++)
            normal[p] += std::pow(z, p) / n;
    }
    EXPECT_NEAR(0.5, sum / n, 5 * std::sqrt(1.0 / 12 / n));
    EXPECT_NEAR(1.0 / 3, squares / n, 5 * std::sqrt(4.0 / 45 / n));
    EXPECT_NEAR(0, normal[1], 5 * std::sqrt(1.0 / n));
    EXPECT_NEAR(1, normal[2], 5 * std::sqrt(2.0 / n));
    EXPECT_NEAR(0, normal[3], 5 * std::sqrt(15.0 / n));
    EXPECT_NEAR(3, normal[4], 5 * std::sqrt(96.0 / n));
}

// Dropout keeps 1 - rate of the elements, and other steps and streams drop others.
TEST(Rng, DropoutKeepsItsShare)
{
    egi_control c = ops::control();
    const double rate = 0.3;
    int kept = 0, differs = 0;
    for (uint64_t b = 0; b < 25000; b++) {
        const egi_philox here = egi_dropout_block(&c, 1, b), beside = egi_dropout_block(&c, 2, b);
        for (int i = 0; i < 4; i++) {
            kept += (here.v[i] >> 8) * 0x1p-24 >= rate;
            differs += here.v[i] != beside.v[i];
        }
    }
    EXPECT_NEAR(70000, kept, 5 * std::sqrt(100000 * rate * (1 - rate)));
    EXPECT_GT(differs, 99990);
}
