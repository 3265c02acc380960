// Matrix products: a row of the result does not depend on how many others there are.
extern "C" {
#include "core/cpu/product.h"
#include "core/cpu/tile.h"
#include "core/device.h"
}
#include "engram/engram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace
{

std::vector<float> numbers(int64_t n, int seed)
{
    std::vector<float> v((size_t)n);
    for (size_t i = 0; i < v.size(); i++)
        v[i] = std::sin((float)(i * 7 + (size_t)seed * 13)) * (float)(1 + i % 3);
    return v;
}

std::vector<float> whole_numbers(int64_t n, int seed)
{
    std::vector<float> v((size_t)n);
    for (size_t i = 0; i < v.size(); i++)
        v[i] = (float)((i * 7 + (size_t)seed * 13) % 11) - 5;
    return v;
}

struct Team {
    eg_context *c = nullptr;
    egi_kernel kernel{};
    explicit Team(int threads)
    {
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.threads = threads;
        EXPECT_EQ(EG_OK, eg_context_create(&c, &o));
        kernel.device = c->device;
        kernel.threads = threads;
    }
    ~Team()
    {
        eg_context_free(c);
    }
    std::vector<float> multiply(egi_product p)
    {
        std::vector<float> c((size_t)(p.m * p.n), 0.25f), scratch((size_t)egi_cpu_product_scratch(&kernel, &p));
        p.c = c.data();
        egi_cpu_multiply(&kernel, &p, scratch.data());
        return c;
    }
};

// Fewer than seven rows are multiplied without packing, more in tiles of six, many by several threads and in blocks.
TEST(Product, ARowDoesNotDependOnTheOthers)
{
    Team team(2);
    for (int64_t n : {1, 10, 16, 27, 120})
        for (int64_t k : {1, 17, 84, 401, 900}) {
            const int64_t most = 200;
            const std::vector<float> a = numbers(most * k, 1), b = numbers(k * n, 2), bias = numbers(n, 3);
            egi_product p{};
            p.n = n;
            p.k = k;
            p.a = a.data();
            p.b = b.data();
            p.finish.b = bias.data();
            p.finish.act = EGI_ACT_RELU;
            p.m = most;
            const std::vector<float> all = team.multiply(p);
            for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 50, 97}) {
                p.m = m;
                const std::vector<float> some = team.multiply(p);
                for (size_t i = 0; i < some.size(); i++)
                    ASSERT_EQ(all[i], some[i]) << m << " rows, " << n << " columns, depth " << k << ", at " << i;
            }
        }
}

// What is packed once gives the bits of what is packed on the way, however the work is cut.
TEST(Product, PackedBeforehandIsTheSame)
{
    for (int threads : {1, 3}) {
        Team team(threads);
        for (int64_t m : {7, 50, 400})
            for (int64_t n : {1, 8, 10, 16, 27, 200})
                for (int64_t k : {1, 84, 401, 900})
                    for (bool transposed : {false, true}) {
                        const std::vector<float> a = numbers(m * k, 1), b = numbers(k * n, 2);
                        egi_product p{};
                        p.m = m;
                        p.n = n;
                        p.k = k;
                        p.tb = transposed;
                        p.a = a.data();
                        p.b = b.data();
                        const std::vector<float> once = team.multiply(p);
                        std::vector<float> packed((size_t)egi_cpu_product_packed(&p));
                        egi_cpu_product_pack(&p, packed.data());
                        p.packed = packed.data();
                        p.b = nullptr;
                        ASSERT_EQ(once, team.multiply(p))
                            << m << " x " << n << " x " << k << " transposed " << transposed;
                    }
    }
}

// Sizes around those of tiles, panels, blocks and depths, in every layout, against sums in double.
TEST(Product, EverySizeAndLayout)
{
    Team team(3);
    for (int64_t m : {1, 5, 6, 7, 65, 97, 200})
        for (int64_t n : {1, 8, 9, 16, 33})
            for (int64_t k : {0, 1, 8, 399, 401})
                for (int bits = 0; bits < 16; bits++) {
                    const std::vector<float> a = numbers(m * k, 1), b = numbers(k * n, 2);
                    egi_product p{};
                    p.m = m;
                    p.n = n;
                    p.k = k;
                    p.a = a.data();
                    p.b = b.data();
                    p.ta = bits & 1;
                    p.tb = bits & 2;
                    p.accumulate = bits & 4;
                    p.squared = bits & 8;
                    if (p.squared && (!p.ta || p.tb))
                        continue;
                    const std::vector<float> c = team.multiply(p);
                    double worst = 0, largest = 1;
                    for (int64_t i = 0; i < m; i++)
                        for (int64_t j = 0; j < n; j++) {
                            double sum = p.accumulate ? 0.25 : 0;
                            for (int64_t l = 0; l < k; l++) {
                                const double x = a[(size_t)(p.ta ? l * m + i : i * k + l)];
                                const double y = b[(size_t)(p.tb ? j * k + l : l * n + j)];
                                sum += p.squared ? x * x * y * y : x * y;
                            }
                            worst = std::fmax(worst, std::fabs(sum - (double)c[(size_t)(i * n + j)]));
                            largest = std::fmax(largest, std::fabs(sum));
                        }
                    ASSERT_LT(worst, 1e-5 * largest) << m << " " << n << " " << k << " layout " << bits;
                }
}

// The kernel for wide registers, compiled for the baseline, so that any processor runs it: what the narrow one gives.
// That one may multiply and add with one rounding, this one cannot: small whole numbers need none, so the tolerance is
// 0.
TEST(Product, SixteenLanesGiveWhatEightGive)
{
    for (int64_t rows : {6, 12, 18, 48})
        for (int64_t k : {1, 7, 64})
            for (bool packed : {false, true})
                for (bool add : {false, true}) {
                    const std::vector<float> a = whole_numbers(rows * k, 1), b = whole_numbers(k * 16, 2);
                    std::vector<float> one((size_t)(rows * 16), 0.5f), other = one;
                    egi_panels p{};
                    p.a = a.data();
                    p.panels = b.data();
                    p.c = one.data();
                    p.row = packed ? 1 : k;
                    p.col = packed ? 6 : 1;
                    p.next = 6 * k;
                    p.ldc = p.cols = 16;
                    p.rows = rows;
                    p.k = k;
                    p.add = add;
                    egi_cpu_multiply_panels(&p);
                    egi_tile t{};
                    t.a = p.a;
                    t.b = p.panels;
                    t.c = other.data();
                    t.row = p.row;
                    t.col = p.col;
                    t.step = t.ldc = 16;
                    t.k = k;
                    t.count = rows / 6;
                    t.next = p.next;
                    t.add = add;
                    egi_tile_sixteen(&t);
                    for (size_t i = 0; i < one.size(); i++)
                        ASSERT_EQ(one[i], other[i]) << rows << " rows, depth " << k;
                }
}

} // namespace
