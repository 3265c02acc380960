/** tests/cudasim/sim/decode.h: from statements of PTX to instructions. Every opcode has one line in one table, next to
 * its handlers: a name and the function that decodes it. */
#ifndef CUDASIM_DECODE_H
#define CUDASIM_DECODE_H

#include "tests/cudasim/sim/lanes.h"

#include <stdexcept>
#include <unordered_map>

namespace cudasim
{

enum class OperandKind { reg, predicate, integer, real, vector, memory, symbol, sink, label };

struct Operand {
    OperandKind kind = OperandKind::label;
    int row = 0, second = -1; /* of a register or predicate; second: after | */
    int wide = 0;             /* bytes a lane of the row; of a real: 4 or 8 */
    Base base = Base::absolute;
    s64 value = 0; /* of an integer; a real's bits; an address's constant part */
    bool negated = false;
    std::string name;
    const Symbol *symbol = nullptr;
    std::vector<Operand> parts; /* of a vector */
};

struct Register {
    int row = 0, wide = 0; /* wide 0: a predicate, row is its number */
};

/** One statement, taken apart, with what a decoder asks about it. */
struct Decoder {
    Module &module;
    Function &function;
    std::vector<std::map<std::string, Register>> scopes{1};
    std::map<std::string, int> labels;
    std::map<std::string, std::vector<std::string>> branch_tables;
    std::vector<std::pair<int, std::string>> open_branches, open_tables; /* instruction, label or table */
    std::map<std::pair<int, u64>, int> constant_rows;

    std::string opcode;             /* whole, for messages */
    std::vector<std::string> words; /* the opcode, split at its points */
    std::vector<Operand> operands;
    Type type = Type::none; /* the last word's */

    Decoder(Module &module, Function &function) : module(module), function(function)
    {
    }
    [[noreturn]] void fail(const std::string &what = "") const;
    bool has(const char *word) const;
    const Register *find_register(const std::string &name) const;
    const Symbol *find_symbol(const std::string &name) const;
    int constant(u64 value, int wide); /* a row of 32 times the value */
    int row(size_t operand, Type as);  /* a source's row */
    /** As row_of(), but a 64-bit register may stand for its low bits (cvt, st): who reads the row looks at `wide`. */
    int low_row_of(const Operand &operand, Type as);
    int row_of(const Operand &operand, Type as);
    int predicate(size_t operand, bool *negated) const;
    const std::vector<int> *rows(const Operand &vector, Type as); /* of each part */
    void destination(Instruction &in);
    void sources(Instruction &in, Type a); /* destination and one to three sources */
    void sources(Instruction &in, Type a, Type b);
    void sources(Instruction &in, Type a, Type b, Type c);
    void address(Instruction &in, size_t operand);
    Space space() const;
    void memory_order(Instruction &in) const;
    void decode(const std::string &text, std::vector<Operand> given, Instruction &in);
};

using Decode = void (*)(Decoder &, Instruction &);

struct Opcode {
    const char *name;
    Decode decode;
};

/** The tables, one a file of handlers; the last entry's name is NULL. */
extern const Opcode integer_opcodes[], bit_opcodes[], float_opcodes[], convert_opcodes[], move_opcodes[],
    compare_opcodes[], access_opcodes[], atomic_opcodes[], copy_opcodes[], warp_opcodes[], tensor_opcodes[],
    flow_opcodes[];

/** Names of all opcodes: the tests see that each is tested. */
std::vector<std::string> opcode_names();

/** Chooses among handlers by an integer type; the functor is called with a value of it. */
template <class F> Handler by_integer(const Decoder &decoder, Type type, F f)
{
    switch (type) {
    case Type::u16:
    case Type::b16:
        return f(u16());
    case Type::s16:
        return f(s16());
    case Type::u32:
    case Type::b32:
        return f(u32());
    case Type::s32:
        return f(s32());
    case Type::u64:
    case Type::b64:
        return f(u64());
    case Type::s64:
        return f(s64());
    default:
        decoder.fail();
    }
}

/** Handlers whose sources and result have one integer type. */
template <class Op> Handler unary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler { return run_lanes<Op, decltype(t), decltype(t)>; });
}

template <class Op> Handler binary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler { return run_lanes<Op, decltype(t), decltype(t), decltype(t)>; });
}

template <class Op> Handler ternary(const Decoder &d, Type type)
{
    return by_integer(d, type, [](auto t) -> Handler {
        using T = decltype(t);
        return run_lanes<Op, T, T, T, T>;
    });
}

/* Shared by opcodes with integer and floating-point forms, such as add. */
void decode_float(Decoder &decoder, Instruction &in);
void decode_integer(Decoder &decoder, Instruction &in);
void decode_predicate(Decoder &decoder, Instruction &in);
void decode_warp_sync(Decoder &decoder, Instruction &in); /* bar.warp.sync */

} // namespace cudasim

#endif
