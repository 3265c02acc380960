/** tests/cudasim/sim/decode.cc: finding an opcode's decoder, and what decoders share: operands to rows. */
#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

namespace
{

const Opcode *const tables[] = {integer_opcodes, bit_opcodes,     float_opcodes,  convert_opcodes,
                                move_opcodes,    compare_opcodes, access_opcodes, atomic_opcodes,
                                copy_opcodes,    warp_opcodes,    tensor_opcodes, flow_opcodes};

const std::unordered_map<std::string, Decode> &all_opcodes()
{
    static const std::unordered_map<std::string, Decode> map = [] {
        std::unordered_map<std::string, Decode> built;
        for (const Opcode *table : tables)
            for (; table->name; table++)
                built[table->name] = table->decode;
        return built;
    }();
    return map;
}

std::vector<std::string> split(const std::string &text)
{
    std::vector<std::string> words;
    size_t begin = 0, end;
    while ((end = text.find('.', begin)) != std::string::npos) {
        words.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    words.push_back(text.substr(begin));
    return words;
}

} // namespace

std::vector<std::string> opcode_names()
{
    std::vector<std::string> names;
    for (auto &entry : all_opcodes())
        names.push_back(entry.first);
    return names;
}

void Decoder::fail(const std::string &what) const
{
    throw std::runtime_error("instruction " + opcode + (what.empty() ? " is not simulated" : ": " + what));
}

bool Decoder::has(const char *word) const
{
    for (size_t i = 1; i < words.size(); i++)
        if (words[i] == word)
            return true;
    return false;
}

const Register *Decoder::find_register(const std::string &name) const
{
    for (size_t i = scopes.size(); i-- > 0;) {
        auto found = scopes[i].find(name);
        if (found != scopes[i].end())
            return &found->second;
    }
    return nullptr;
}

const Symbol *Decoder::find_symbol(const std::string &name) const
{
    auto own = function.symbols.find(name);
    if (own != function.symbols.end())
        return &own->second;
    auto variable = module.variables.find(name);
    return variable == module.variables.end() ? nullptr : &variable->second;
}

int Decoder::constant(u64 value, int wide)
{
    auto found = constant_rows.find({wide, value});
    if (found != constant_rows.end())
        return found->second;
    auto &pool = function.constants;
    int offset = (int)((pool.size() + 63) / 64 * 64);
    pool.resize(offset + 32 * wide);
    for (int i = 0; i < 32; i++)
        memcpy(&pool[offset + i * wide], &value, wide);
    return constant_rows[{wide, value}] = offset | 1;
}

int Decoder::low_row_of(const Operand &o, Type as)
{
    return o.kind == OperandKind::reg && o.wide == 8 && size_of(as) < 8 ? o.row : row_of(o, as);
}

int Decoder::row_of(const Operand &o, Type as)
{
    int bytes = size_of(as), wide = bytes == 8 ? 8 : 4;
    switch (o.kind) {
    case OperandKind::reg:
        if (as == Type::f64 || as == Type::u64 || as == Type::s64 || as == Type::b64) {
            if (o.wide != 8)
                fail("a narrow register for a wide operand");
        } else if (o.wide == 8) {
            fail("a wide register for a narrow operand");
        }
        return o.row;
    case OperandKind::integer:
        if (as == Type::f32)
            return constant(bits_as<u32>((float)o.value), 4);
        if (as == Type::f64)
            return constant(bits_as<u64>((double)o.value), 8);
        return constant(bytes == 8 ? (u64)o.value : (u64)o.value & ((1ull << 8 * bytes) - 1), wide);
    case OperandKind::real:
        if (wide == 8 && o.wide == 4)
            return constant(bits_as<u64>((double)bits_as<float>((u32)o.value)), 8);
        if (wide == 4 && o.wide == 8)
            return constant(bits_as<u32>((float)bits_as<double>((u64)o.value)), 4);
        return constant((u64)o.value, wide);
    case OperandKind::symbol:
        if (o.symbol->dynamic)
            return special_row(wide == 8 ? row_dynamic64 : row_dynamic);
        return constant((u64)o.value, wide);
    default:
        fail("operand " + o.name);
    }
}

int Decoder::row(size_t operand, Type as)
{
    if (operand >= operands.size())
        fail("too few operands");
    return row_of(operands[operand], as);
}

int Decoder::predicate(size_t operand, bool *negated) const
{
    if (operand >= operands.size() || operands[operand].kind != OperandKind::predicate)
        fail("a predicate is missing");
    *negated = operands[operand].negated;
    return operands[operand].row;
}

const std::vector<int> *Decoder::rows(const Operand &vector, Type as)
{
    std::vector<int> list;
    if (vector.kind != OperandKind::vector)
        list.push_back(row_of(vector, as));
    for (const Operand &part : vector.parts)
        list.push_back(row_of(part, as));
    function.lists.push_back(std::move(list));
    return &function.lists.back();
}

void Decoder::destination(Instruction &in)
{
    if (operands.empty())
        fail("no destination");
    const Operand &o = operands[0];
    if (o.kind == OperandKind::sink) { /* a register that nobody reads */
        in.wide = size_of(type) == 8 || has("wide") ? 8 : 4;
        in.d = (int)function.register_bytes;
        function.register_bytes += 256;
        return;
    }
    if (o.kind != OperandKind::reg || (o.row & 3))
        fail("the destination is no register");
    in.d = o.row;
    in.d2 = o.second;
    in.wide = (u8)o.wide;
}

void Decoder::sources(Instruction &in, Type a)
{
    destination(in);
    in.a = row(1, a);
}

void Decoder::sources(Instruction &in, Type a, Type b)
{
    sources(in, a);
    in.b = row(2, b);
}

void Decoder::sources(Instruction &in, Type a, Type b, Type c)
{
    sources(in, a, b);
    in.c = row(3, c);
}

void Decoder::address(Instruction &in, size_t operand)
{
    if (operand >= operands.size() || operands[operand].kind != OperandKind::memory)
        fail("an address is missing");
    const Operand &o = operands[operand];
    in.base = o.base;
    in.a = o.row;
    in.imm = o.value;
    if (o.symbol && o.symbol->space == Space::shared && in.space == Space::generic)
        in.space = Space::shared;
}

Space Decoder::space() const
{
    for (size_t i = 1; i < words.size(); i++) {
        const std::string &word = words[i];
        if (word == "global")
            return Space::global;
        if (word == "shared" || word == "shared::cta")
            return Space::shared;
        if (word == "local")
            return Space::local;
        if (word == "param" || word == "param::entry" || word == "param::func")
            return Space::param;
        if (word == "const")
            return Space::constant;
        if (word == "shared::cluster")
            fail();
    }
    return Space::generic;
}

void Decoder::memory_order(Instruction &in) const
{
    in.acquire = has("acquire") || has("acq_rel");
    in.release = has("release") || has("acq_rel");
    in.strong = in.acquire || in.release || has("volatile") || has("relaxed") || has("mmio");
}

void Decoder::decode(const std::string &text, std::vector<Operand> given, Instruction &in)
{
    opcode = text;
    words = split(text);
    operands = std::move(given);
    type = type_named(words.back());
    in.type = type;
    in.flush = has("ftz");
    in.saturate = has("sat");
    in.round = has("rz") || has("rzi")   ? Round::zero
               : has("rm") || has("rmi") ? Round::down
               : has("rp") || has("rpi") ? Round::up
               : has("rna")              ? Round::away
                                         : Round::nearest;
    auto found = all_opcodes().find(words[0]);
    if (found == all_opcodes().end())
        fail();
    found->second(*this, in);
}

} // namespace cudasim
