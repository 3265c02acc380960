/** tests/cudasim/sim/tensor.cc: ldmatrix, mma and wmma. Sums run in f32 from the first product to the last. */
#include "tests/cudasim/sim/access.h"

namespace cudasim
{

namespace
{

void whole_warp(Warp &w, const Instruction &in, u32 mask)
{
    if (mask != all_lanes)
        report(w, in, first_lane(mask), "a tensor operation without all lanes of the warp");
}

/* --- ldmatrix ----------------------------------------------------------------------------------------------------- */

/** Lane 8 j + r gives the address of row r of matrix j; lane i gets two halves of row i / 4 (or column). */
void load_matrix(Warp &w, const Instruction &in, u32 mask)
{
    u64 addresses[32];
    lane_addresses(w, in, addresses);
    whole_warp(w, in, mask);
    count_request(w, in, addresses, in.count == 4 ? all_lanes : (1u << 8 * in.count) - 1, 16);
    u32 result[4][32];
    for (int j = 0; j < in.count; j++) {
        u16 matrix[8][8] = {};
        for (int r = 0; r < 8; r++) {
            const int lane = 8 * j + r;
            const u8 *p = check_access(w, in, in.space, lane, addresses[lane], 16, Touch::read, nullptr);
            if (p)
                memcpy(matrix[r], p, 16);
        }
        for (int i = 0; i < 32; i++) {
            const int row = i / 4, column = i % 4 * 2;
            u32 low = in.mode ? matrix[column][row] : matrix[row][column];
            u32 high = in.mode ? matrix[column + 1][row] : matrix[row][column + 1];
            result[j][i] = low | high << 16;
        }
    }
    for (int j = 0; j < in.count; j++)
        memcpy(target<u32>(w, in.v[j]), result[j], sizeof result[j]);
}

void decode_ldmatrix(Decoder &d, Instruction &in)
{
    if (!d.has("m8n8") || d.type != Type::b16)
        d.fail();
    in.space = Space::shared;
    d.address(in, 1);
    in.mode = d.has("trans");
    const Operand &to = d.operands[0];
    std::vector<Operand> parts = to.kind == OperandKind::vector ? to.parts : std::vector<Operand>{to};
    in.count = (u8)parts.size();
    for (size_t k = 0; k < parts.size() && k < 4; k++)
        in.v[k] = parts[k].row;
    in.run = load_matrix;
}

/* --- mma.m16n8 ---------------------------------------------------------------------------------------------------- */

/** Element k of a 32-bit register that holds some of a type. */
float element(u32 bits, int k, Type type)
{
    switch (type) {
    case Type::f16:
        return from_f16((u16)(bits >> 16 * k));
    case Type::bf16:
        return from_bf16((u16)(bits >> 16 * k));
    case Type::s8:
        return (s8)(bits >> 8 * k);
    case Type::u8:
        return (u8)(bits >> 8 * k);
    default:
        return bits_as<float>(bits & 0xffffe000u); /* tf32: the low bits are not looked at */
    }
}

struct Accumulators { /* 16 x 8, of f32, f16 or s32 */
    float real[16][8];
    s32 whole[16][8];
};

/** rows: d, a, b and c registers in this order; mode: k; v[0..2]: how many registers d, a and b have. */
void read_accumulators(const Warp &w, const Instruction &in, Accumulators &acc, const int *rows)
{
    for (int i = 0; i < 32; i++)
        for (int r = 0; r < 4; r++) {
            int row = i / 4 + (r >> 1) * 8, column = i % 4 * 2 + (r & 1);
            if (in.type == Type::f16)
                acc.real[row][column] = from_f16((u16)(source<u32>(w, rows[r >> 1])[i] >> 16 * (r & 1)));
            else if (in.type == Type::s32)
                acc.whole[row][column] = source<s32>(w, rows[r])[i];
            else
                acc.real[row][column] = source<float>(w, rows[r])[i];
        }
}

void write_accumulators(Warp &w, const Instruction &in, const Accumulators &acc, const int *rows)
{
    for (int i = 0; i < 32; i++)
        for (int r = 0; r < 4; r++) {
            int row = i / 4 + (r >> 1) * 8, column = i % 4 * 2 + (r & 1);
            if (in.type == Type::f16) {
                u32 &pair = target<u32>(w, rows[r >> 1])[i];
                u32 half = to_f16(acc.real[row][column]);
                pair = r & 1 ? (pair & 0xffff) | half << 16 : half;
            } else if (in.type == Type::s32) {
                target<s32>(w, rows[r])[i] = acc.whole[row][column];
            } else {
                target<float>(w, rows[r])[i] = acc.real[row][column];
            }
        }
}

void multiply_matrices(Warp &w, const Instruction &in, u32 mask)
{
    whole_warp(w, in, mask);
    const Type type_b = (Type)in.mode2;
    const int k_size = in.mode, packed = in.from == Type::tf32                           ? 1
                                         : in.from == Type::f16 || in.from == Type::bf16 ? 2
                                                                                         : 4;
    const int *rows_d = in.rows->data(), *rows_a = rows_d + in.v[0], *rows_b = rows_a + in.v[1],
              *rows_c = rows_b + in.v[2];
    float a[16][32], b[32][8];
    for (int i = 0; i < 32; i++) {
        for (int r = 0; r < in.v[1]; r++)
            for (int e = 0; e < packed; e++)
                a[i / 4 + (r & 1) * 8][i % 4 * packed + (r >> 1) * 4 * packed + e] =
                    element(source<u32>(w, rows_a[r])[i], e, in.from);
        for (int r = 0; r < in.v[2]; r++)
            for (int e = 0; e < packed; e++)
                b[i % 4 * packed + r * 4 * packed + e][i / 4] = element(source<u32>(w, rows_b[r])[i], e, type_b);
    }
    Accumulators acc;
    read_accumulators(w, in, acc, rows_c);
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 8; c++)
            for (int k = 0; k < k_size; k++) {
                if (in.type == Type::s32)
                    acc.whole[r][c] = (s32)((u32)acc.whole[r][c] + (u32)((s32)a[r][k] * (s32)b[k][c]));
                else
                    acc.real[r][c] += a[r][k] * b[k][c];
            }
    write_accumulators(w, in, acc, rows_d);
}

/** All register rows of the operands, one after another. */
const std::vector<int> *operand_rows(Decoder &d)
{
    std::vector<int> rows;
    for (const Operand &o : d.operands) {
        const std::vector<int> *own = d.rows(o, Type::b32);
        rows.insert(rows.end(), own->begin(), own->end());
    }
    d.function.lists.push_back(rows);
    return &d.function.lists.back();
}

size_t register_count(const Operand &o)
{
    return o.kind == OperandKind::vector ? o.parts.size() : 1;
}

/** mma.sync.aligned.m16n8kK.row.col.D.A.B.C */
void decode_mma(Decoder &d, Instruction &in)
{
    size_t n = d.words.size();
    if (n < 9 || d.operands.size() != 4 || d.has("sp") || d.words[3].compare(0, 6, "m16n8k") != 0 || !d.has("row") ||
        !d.has("col") || d.has("satfinite"))
        d.fail();
    Type to = type_named(d.words[n - 4]), a = type_named(d.words[n - 3]), b = type_named(d.words[n - 2]), c = d.type;
    int k = atoi(d.words[3].c_str() + 6);
    bool bytes = a == Type::s8 || a == Type::u8, halves = a == Type::f16 || a == Type::bf16, tf32 = a == Type::tf32;
    bool sums = to == c && (bytes ? c == Type::s32 : c == Type::f32 || (c == Type::f16 && a == Type::f16));
    bool sizes = (halves && (k == 16 || k == 8)) || (tf32 && (k == 8 || k == 4)) || (bytes && (k == 32 || k == 16));
    if (!sums || !sizes || (a != b && !bytes))
        d.fail();
    in.type = c;
    in.from = a;
    in.mode2 = (u8)b;
    in.mode = (u8)k;
    for (int i = 0; i < 3; i++)
        in.v[i] = (int)register_count(d.operands[i]);
    int packed = tf32 ? 1 : halves ? 2 : 4;
    if (in.v[1] != k / packed / 2 || in.v[2] != k / packed / 4 || in.v[0] != (c == Type::f16 ? 2 : 4))
        d.fail("register counts");
    in.rows = operand_rows(d);
    in.run = multiply_matrices;
}

/* --- wmma.m16n16k16 ----------------------------------------------------------------------------------------------- */

/* Fragments are opaque to programs. Here lane l holds eight elements of row l / 2, from column l % 2 * 8: halves two in
 * a register, f32 one. The layout in memory is undone by load, so that mma looks at none. */
int fragment_row(int lane)
{
    return lane / 2;
}

int fragment_column(int lane, int e)
{
    return lane % 2 * 8 + e;
}

/** mode: 1 column-major in memory; b: the row of the stride. */
u64 element_address(const Warp &w, const Instruction &in, u64 base, int lane, int e)
{
    u64 stride = source<u32>(w, in.b)[lane], row = (u64)fragment_row(lane), column = (u64)fragment_column(lane, e);
    return base + in.bytes * (in.mode ? column * stride + row : row * stride + column);
}

void load_fragment(Warp &w, const Instruction &in, u32 mask)
{
    u64 addresses[32];
    lane_addresses(w, in, addresses);
    whole_warp(w, in, mask);
    for (int i = 0; i < 32; i++)
        for (int e = 0; e < 8; e++) {
            u64 at = element_address(w, in, addresses[i], i, e);
            const u8 *p = check_access(w, in, in.space, i, at, in.bytes, Touch::read, nullptr);
            u32 x = 0;
            if (p)
                memcpy(&x, p, in.bytes);
            u32 &cell = target<u32>(w, (*in.rows)[in.bytes == 4 ? e : e / 2])[i];
            cell = in.bytes == 4 || e % 2 == 0 ? x : (cell & 0xffff) | x << 16;
        }
}

void store_fragment(Warp &w, const Instruction &in, u32 mask)
{
    u64 addresses[32];
    lane_addresses(w, in, addresses);
    whole_warp(w, in, mask);
    for (int i = 0; i < 32; i++)
        for (int e = 0; e < 8; e++) {
            u32 x = source<u32>(w, (*in.rows)[in.bytes == 4 ? e : e / 2])[i];
            if (in.bytes == 2 && e % 2)
                x >>= 16;
            u64 at = element_address(w, in, addresses[i], i, e);
            u8 *p = check_access(w, in, in.space, i, at, in.bytes, Touch::write, &x);
            if (p)
                memcpy(p, &x, in.bytes);
        }
}

float fragment_element(const Warp &w, int row, int lane, int e, Type type)
{
    if (type == Type::f32)
        return source<float>(w, row)[lane];
    return element(source<u32>(w, row)[lane], e % 2, type);
}

/** rows: d, a, b, c; type: of the sums, from: of a and b; v: where a, b and c begin. */
void multiply_fragments(Warp &w, const Instruction &in, u32 mask)
{
    whole_warp(w, in, mask);
    const std::vector<int> &rows = *in.rows;
    const int each = in.type == Type::f32 ? 1 : 2;
    float a[16][16], b[16][16], c[16][16];
    for (int i = 0; i < 32; i++)
        for (int e = 0; e < 8; e++) {
            int row = fragment_row(i), column = fragment_column(i, e);
            a[row][column] = fragment_element(w, rows[in.v[0] + e / 2], i, e, in.from);
            b[row][column] = fragment_element(w, rows[in.v[1] + e / 2], i, e, in.from);
            c[row][column] = fragment_element(w, rows[in.v[2] + e / each], i, e, in.type);
        }
    for (int i = 0; i < 32; i++)
        for (int e = 0; e < 8; e++) {
            int row = fragment_row(i), column = fragment_column(i, e);
            float sum = c[row][column];
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k][column];
            u32 &cell = target<u32>(w, rows[e / each])[i];
            if (each == 1)
                cell = bits_as<u32>(sum);
            else
                cell = e % 2 ? (cell & 0xffff) | (u32)to_f16(sum) << 16 : to_f16(sum);
        }
}

void decode_fragment_access(Decoder &d, Instruction &in)
{
    bool load = d.has("load");
    in.space = d.space();
    in.bytes = (u8)size_of(d.type);
    in.mode = d.has("col");
    d.address(in, load ? 1 : 0);
    in.rows = d.rows(d.operands[load ? 0 : 1], Type::b32);
    in.b = d.operands.size() > 2 ? d.row(2, Type::u32) : d.constant(16, 4);
    if (in.rows->size() < (in.bytes == 4 ? 8u : 4u) ||
        (d.type != Type::f16 && d.type != Type::bf16 && d.type != Type::f32))
        d.fail();
    in.run = load ? load_fragment : store_fragment;
}

/** wmma.mma.sync.aligned.row.col.m16n16k16.D.C for f16, with .D.A.B.C for bf16. */
void decode_wmma(Decoder &d, Instruction &in)
{
    if (!d.has("m16n16k16"))
        d.fail();
    if (!d.has("mma"))
        return decode_fragment_access(d, in);
    size_t n = d.words.size();
    bool named = type_named(d.words[n - 3]) != Type::none;
    in.from = named ? type_named(d.words[n - 3]) : Type::f16;
    in.type = d.type;
    Type to = type_named(d.words[n - (named ? 4 : 2)]);
    bool sums = to == d.type && (d.type == Type::f32 || d.type == Type::f16);
    if (!sums || (in.from != Type::f16 && in.from != Type::bf16) || d.operands.size() != 4 || d.has("satfinite"))
        d.fail();
    int at = 0;
    for (int i = 0; i < 3; i++)
        in.v[i] = at += (int)register_count(d.operands[i]);
    in.rows = operand_rows(d);
    in.run = multiply_fragments;
}

} // namespace

const Opcode tensor_opcodes[] = {
    {"ldmatrix", decode_ldmatrix}, {"mma", decode_mma}, {"wmma", decode_wmma}, {nullptr, nullptr}};

} // namespace cudasim
