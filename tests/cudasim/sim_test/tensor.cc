/** ldmatrix, mma and wmma against plain products; cp.async. Values are small whole numbers, so that all sums are exact.
 */
#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

int a_value(int row, int column)
{
    return (row * 3 + column * 5) % 7 - 3;
}

int b_value(int row, int column)
{
    return (row * 2 + column * 3) % 5 - 2;
}

int c_value(int row, int column)
{
    return row - column;
}

int product(int row, int column, int depth)
{
    int sum = c_value(row, column);
    for (int k = 0; k < depth; k++)
        sum += a_value(row, k) * b_value(k, column);
    return sum;
}

/** A whole number as bits of a type. */
uint32_t bits_of(const std::string &type, int x)
{
    uint32_t bits = bits_as<uint32_t>((float)x);
    if (type == "bf16")
        return bits >> 16;
    if (type == "f16")
        return x ? (bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 1023) : 0;
    if (type == "s8" || type == "u8")
        return (uint32_t)x & 255;
    return type == "s32" ? (uint32_t)x : bits;
}

struct Shape {
    std::string inputs, sums;
    int depth, packed; /* packed: elements in a register */
};

/** The registers of lane i, laid out as PTX's manual draws them. */
std::vector<uint32_t> fragments(const Shape &s, int i)
{
    std::vector<uint32_t> registers;
    const int group = i / 4, part = i % 4, bits = 32 / s.packed;
    for (int r = 0; r < s.depth / s.packed / 2; r++) {
        uint32_t x = 0;
        for (int e = 0; e < s.packed; e++)
            x |= bits_of(s.inputs, a_value(group + r % 2 * 8, part * s.packed + r / 2 * 4 * s.packed + e))
                 << (e * bits % 32);
        registers.push_back(x);
    }
    for (int r = 0; r < s.depth / s.packed / 4; r++) {
        uint32_t x = 0;
        for (int e = 0; e < s.packed; e++)
            x |= bits_of(s.inputs, b_value(part * s.packed + r * 4 * s.packed + e, group)) << (e * bits % 32);
        registers.push_back(x);
    }
    for (int r = 0; r < (s.sums == "f16" ? 2 : 4); r++) {
        if (s.sums == "f16")
            registers.push_back(bits_of("f16", c_value(group + r * 8, part * 2)) |
                                bits_of("f16", c_value(group + r * 8, part * 2 + 1)) << 16);
        else
            registers.push_back(bits_of(s.sums, c_value(group + r / 2 * 8, part * 2 + r % 2)));
    }
    return registers;
}

std::string braces(int first, int count)
{
    std::string text = "{";
    for (int i = 0; i < count; i++)
        text += (i ? ", %r" : "%r") + std::to_string(first + i);
    return text + "}";
}

TEST(Tensor, ProductsOfAllShapes)
{
    const Shape shapes[] = {{"f16", "f32", 16, 2}, {"bf16", "f32", 16, 2}, {"f16", "f32", 8, 2},
                            {"bf16", "f32", 8, 2}, {"f16", "f16", 16, 2},  {"tf32", "f32", 8, 1},
                            {"tf32", "f32", 4, 1}, {"s8", "s32", 32, 4},   {"s8", "s32", 16, 4}};
    for (const Shape &s : shapes) {
        SCOPED_TRACE(s.inputs + " " + s.sums + " " + std::to_string(s.depth));
        const int a = s.depth / s.packed / 2, b = a / 2, sums = s.sums == "f16" ? 2 : 4, all = a + b + sums;
        std::vector<uint32_t> in;
        for (int i = 0; i < 32; i++) {
            std::vector<uint32_t> own = fragments(s, i);
            own.resize(16);
            in.insert(in.end(), own.begin(), own.end());
        }
        std::string body =
            "mov.u32 %r60, %laneid;\nmul.wide.u32 %l1, %r60, 64;\nadd.s64 %l2, %a0, %l1;\nadd.s64 %l3, %a1, %l1;\n";
        for (int r = 0; r < all; r++)
            body += "ld.global.u32 %r" + std::to_string(r) + ", [%l2+" + std::to_string(4 * r) + "];\n";
        body += "mma.sync.aligned.m16n8k" + std::to_string(s.depth) + ".row.col." + s.sums + "." + s.inputs + "." +
                s.inputs + "." + s.sums + " " + braces(20, sums) + ", " + braces(0, a) + ", " + braces(a, b) + ", " +
                braces(a + b, sums) + ";\n";
        for (int r = 0; r < sums; r++)
            body += "st.global.u32 [%l3+" + std::to_string(4 * r) + "], %r" + std::to_string(20 + r) + ";\n";
        Buffer<uint32_t> inputs(in), out(std::vector<uint32_t>(512, 0));
        expect_silence(run(body, {}, {32, 1, 1}, {inputs.address, out.address}));
        std::vector<uint32_t> results = out.get();
        for (int i = 0; i < 32; i++)
            for (int e = 0; e < 4; e++) {
                uint32_t expected = bits_of(s.sums, product(i / 4 + e / 2 * 8, i % 4 * 2 + e % 2, s.depth));
                uint32_t got = s.sums == "f16" ? results[i * 16 + e / 2] >> (e % 2 * 16) & 0xffff : results[i * 16 + e];
                ASSERT_EQ(got, expected) << "lane " << i << " element " << e;
            }
    }
}

/** Four matrices of 8 x 8 halves in shared memory; lane i's register j holds two of row i / 4 of matrix j. */
TEST(Tensor, LdmatrixAndItsTransposedForm)
{
    for (bool transposed : {false, true}) {
        Buffer<uint32_t> out(128);
        expect_silence(run(
            ".shared .align 16 .b8 s[512];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, s;\nshl.b32 %r3, %r1, 4;\nadd.u32 %r2, "
            "%r2, %r3;\n"
            "shl.b32 %r4, %r1, 3;\nmov.u32 %r5, 0;\n"
            "fill:\nadd.u32 %r6, %r4, %r5;\nshl.b32 %r7, %r5, 1;\nadd.u32 %r7, %r2, %r7;\nst.shared.u16 [%r7], %r6;\n"
            "add.u32 %r5, %r5, 1;\nsetp.lt.u32 %p1, %r5, 8;\n@%p1 bra fill;\nbar.sync 0;\n"
            "ldmatrix.sync.aligned.m8n8.x4" +
                std::string(transposed ? ".trans" : "") +
                ".shared.b16 {%r10, %r11, %r12, %r13}, [%r2];\n"
                "mul.wide.u32 %l1, %r1, 16;\nadd.s64 %l1, %a0, %l1;\nst.global.v4.u32 [%l1], {%r10, %r11, %r12, %r13};",
            {}, {32, 1, 1}, {out.address}));
        std::vector<uint32_t> results = out.get();
        for (int i = 0; i < 32; i++)
            for (int j = 0; j < 4; j++) {
                auto at = [&](int row, int column) {
                    return (uint32_t)(j * 64 + (transposed ? column * 8 + row : row * 8 + column));
                };
                EXPECT_EQ(results[i * 4 + j], at(i / 4, i % 4 * 2) | at(i / 4, i % 4 * 2 + 1) << 16);
            }
    }
}

/** 16 x 16 tiles: a row-major, b column-major, c and d row-major. */
TEST(Tensor, WmmaTiles)
{
    for (const std::string &type : {std::string("f16"), std::string("bf16")}) {
        std::vector<uint16_t> a(256), b(256);
        std::vector<float> c(256);
        for (int r = 0; r < 16; r++)
            for (int k = 0; k < 16; k++) {
                a[r * 16 + k] = (uint16_t)bits_of(type, a_value(r, k));
                b[k * 16 + r] = (uint16_t)bits_of(type, b_value(r, k));
                c[r * 16 + k] = (float)c_value(r, k);
            }
        Buffer<uint16_t> da(a), db(b);
        Buffer<float> dc(c), out(256);
        std::string four = braces(0, 4), sums = braces(16, 8);
        std::string inputs = type == "f16" ? "" : ".bf16.bf16";
        expect_silence(run("wmma.load.a.sync.aligned.row.m16n16k16.global." + type + " " + four + ", [%a0], 16;\n" +
                               "wmma.load.b.sync.aligned.col.m16n16k16.global." + type + " " + braces(8, 4) +
                               ", [%a1], 16;\n" + "wmma.load.c.sync.aligned.row.m16n16k16.global.f32 " + sums +
                               ", [%a2], 16;\n" + "wmma.mma.sync.aligned.row.col.m16n16k16.f32" + inputs + ".f32 " +
                               braces(24, 8) + ", " + four + ", " + braces(8, 4) + ", " + sums + ";\n" +
                               "wmma.store.d.sync.aligned.row.m16n16k16.global.f32 [%a3], " + braces(24, 8) + ", 16;\n",
                           {}, {32, 1, 1}, {da.address, db.address, dc.address, out.address}));
        std::vector<float> results = out.get();
        for (int r = 0; r < 16; r++)
            for (int k = 0; k < 16; k++)
                ASSERT_EQ(results[r * 16 + k], (float)product(r, k, 16)) << type << " " << r << " " << k;
    }
}

TEST(Tensor, PartialWarpsAreReported)
{
    std::string body = "mov.u32 %r60, %laneid;\nsetp.gt.u32 %p1, %r60, 3;\n@%p1 "
                       "exit;\nmma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 " +
                       braces(8, 4) + ", {%r0, %r1}, {%r2}, " + braces(4, 4) + ";";
    expect_report(run(body, {}, {32, 1, 1}, {}), {"without all lanes"});
}

/* --- cp.async ----------------------------------------------------------------------------------------------------- */

std::string copy_body(const std::string &wait)
{
    return ".shared .align 16 .b8 s[512];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %l1, %r1, 16;\nadd.s64 %l2, %a0, "
           "%l1;\nshl.b32 %r2, %r1, 4;\n"
           "mov.u32 %r3, s;\nadd.u32 %r2, %r2, %r3;\nsetp.eq.u32 %p1, %r1, 0;\nselp.u32 %r4, 8, 16, %p1;\n"
           "cp.async.cg.shared.global [%r2], [%l2], 16, %r4;\ncp.async.commit_group;\n" +
           wait +
           "\nld.shared.v4.u32 {%r5, %r6, %r7, %r8}, [%r2];\nadd.s64 %l3, %a1, %l1;\nst.global.v4.u32 [%l3], {%r5, "
           "%r6, %r7, %r8};";
}

TEST(Tensor, AsynchronousCopies)
{
    std::vector<uint32_t> values(128);
    for (uint32_t i = 0; i < 128; i++)
        values[i] = i + 1;
    for (const char *wait : {"cp.async.wait_group 0;", "cp.async.wait_all;"}) {
        Buffer<uint32_t> in(values), out(128);
        expect_silence(run(copy_body(wait), {}, {32, 1, 1}, {in.address, out.address}));
        std::vector<uint32_t> expected = values;
        expected[2] = expected[3] = 0; /* the first lane took 8 bytes */
        EXPECT_EQ(out.get(), expected);
    }
    Buffer<uint32_t> in(values), out(128);
    expect_report(run(copy_body(""), {}, {32, 1, 1}, {in.address, out.address}), {"uninitialised shared read"});
    expect_report(run(copy_body("cp.async.wait_group 1;"), {}, {32, 1, 1}, {in.address, out.address}),
                  {"uninitialised shared read"});
}

} // namespace cudasim_test
