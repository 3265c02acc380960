/** tests/cudasim/sim/body.cc: the body of a function: registers, labels, statements and their operands. */
#include "tests/cudasim/sim/parse.h"

namespace cudasim
{

namespace
{

struct Special {
    const char *name;
    int row, wide;
};

const Special specials[] = {
    {"%tid.x", row_tid_x, 4},
    {"%tid.y", row_tid_y, 4},
    {"%tid.z", row_tid_z, 4},
    {"%ntid.x", row_ntid_x, 4},
    {"%ntid.y", row_ntid_y, 4},
    {"%ntid.z", row_ntid_z, 4},
    {"%ctaid.x", row_ctaid_x, 4},
    {"%ctaid.y", row_ctaid_y, 4},
    {"%ctaid.z", row_ctaid_z, 4},
    {"%nctaid.x", row_nctaid_x, 4},
    {"%nctaid.y", row_nctaid_y, 4},
    {"%nctaid.z", row_nctaid_z, 4},
    {"%laneid", row_laneid, 4},
    {"%warpid", row_warpid, 4},
    {"%nwarpid", row_nwarpid, 4},
    {"%smid", row_smid, 4},
    {"%nsmid", row_nsmid, 4},
    {"%gridid", row_gridid64, 8},
    {"%lanemask_eq", row_mask_eq, 4},
    {"%lanemask_lt", row_mask_lt, 4},
    {"%lanemask_le", row_mask_le, 4},
    {"%lanemask_gt", row_mask_gt, 4},
    {"%lanemask_ge", row_mask_ge, 4},
    {"%clock", row_clock, 4},
    {"%clock_hi", row_clock_hi, 4},
    {"%clock64", row_clock64, 8},
    {"%globaltimer", row_globaltimer, 8},
    {"%globaltimer_lo", row_clock, 4},
    {"%globaltimer_hi", row_clock_hi, 4},
    {"%dynamic_smem_size", row_dynamic_size, 4},
    {"%total_smem_size", row_total_size, 4},
};

const Special *find_special(const std::string &name)
{
    for (const Special &s : specials)
        if (name == s.name)
            return &s;
    return nullptr;
}

/* --- operands ----------------------------------------------------------------------------------------------------- */

Operand parse_operand(Decoder &d, Tokens &t);

Base base_of(const Symbol &symbol)
{
    if (symbol.dynamic)
        return Base::narrow;
    if (symbol.space == Space::local)
        return Base::local;
    if (symbol.space == Space::param)
        return symbol.entry ? Base::entry : Base::param;
    return Base::absolute;
}

/** [register], [symbol] or [number], each plus offsets; behind the opening bracket. */
Operand parse_address(Decoder &d, Tokens &t)
{
    Operand o;
    o.kind = OperandKind::memory;
    o.name = t.next();
    int real = 0;
    if (const Register *r = d.find_register(o.name)) {
        o.row = r->row;
        o.base = r->wide == 8 ? Base::wide : Base::narrow;
    } else if (const Symbol *symbol = d.find_symbol(o.name)) {
        o.symbol = symbol;
        o.value = (s64)symbol->value;
        o.base = base_of(*symbol);
        if (symbol->dynamic)
            o.row = special_row(row_dynamic);
    } else if (!parse_number(o.name, &o.value, &real)) {
        d.fail("address " + o.name);
    }
    while (!t.accept("]")) {
        s64 sign = t.accept("-") ? -1 : 1, offset = 0;
        if (sign > 0)
            t.expect("+");
        if (t.accept("-"))
            sign = -sign;
        if (!parse_number(t.next(), &offset, &real))
            d.fail("offset of an address");
        o.value += sign * offset;
    }
    return o;
}

Operand parse_negated(Decoder &d, Tokens &t)
{
    Operand o = parse_operand(d, t);
    if (o.kind == OperandKind::real)
        o.value ^= o.wide == 8 ? (s64)(1ull << 63) : 0x80000000ll;
    else if (o.kind == OperandKind::integer)
        o.value = -o.value;
    else
        d.fail("a minus before " + o.name);
    return o;
}

Operand register_operand(Decoder &d, Tokens &t, const Register &r)
{
    Operand o;
    o.kind = r.wide ? OperandKind::reg : OperandKind::predicate;
    o.row = r.row;
    o.wide = r.wide;
    if (t.accept("|")) {
        std::string name = t.next();
        const Register *second = d.find_register(name);
        if (!second && name != "_")
            d.fail("second destination " + name);
        o.second = second ? second->row : -1;
    }
    return o;
}

Operand named_operand(Decoder &d, Tokens &t)
{
    Operand o;
    o.name = t.next();
    if (const Register *r = d.find_register(o.name)) {
        std::string name = o.name;
        o = register_operand(d, t, *r);
        o.name = name;
    } else if (const Special *s = find_special(o.name)) {
        o.kind = OperandKind::reg;
        o.row = special_row(s->row);
        o.wide = s->wide;
    } else if (int real = 0; parse_number(o.name, &o.value, &real)) {
        o.kind = real ? OperandKind::real : OperandKind::integer;
        o.wide = real;
    } else if (const Symbol *symbol = d.find_symbol(o.name)) {
        o.kind = OperandKind::symbol;
        o.symbol = symbol;
        o.value = (s64)symbol->value;
        o.base = base_of(*symbol);
        if (t.accept("+"))
            o.value += (s64)t.number();
    } else if (o.name == "WARP_SZ") {
        o.kind = OperandKind::integer;
        o.value = 32;
    } else if (auto f = d.module.functions.find(o.name); f != d.module.functions.end()) {
        o.kind = OperandKind::integer;
        o.value = (s64)f->second.get();
    }
    return o;
}

Operand parse_operand(Decoder &d, Tokens &t)
{
    Operand o;
    if (t.accept("{")) {
        o.kind = OperandKind::vector;
        while (!t.accept("}"))
            if (!t.accept(","))
                o.parts.push_back(parse_operand(d, t));
        return o;
    }
    if (t.accept("["))
        return parse_address(d, t);
    if (t.accept("-"))
        return parse_negated(d, t);
    if (t.accept("!")) {
        o = parse_operand(d, t);
        o.negated = true;
        return o;
    }
    if (t.accept("_")) {
        o.kind = OperandKind::sink;
        if (t.accept("|"))
            o.second = parse_operand(d, t).row;
        return o;
    }
    return named_operand(d, t);
}

/* --- statements --------------------------------------------------------------------------------------------------- */

/** .reg .type a, b, %r<20>; */
void parse_registers(Decoder &d, Tokens &t)
{
    Type type = type_named(t.next().substr(1));
    if (type == Type::none)
        d.fail("a register's type");
    while (!t.accept(";")) {
        if (t.accept(","))
            continue;
        std::string name = t.next();
        bool many = t.accept("<");
        u32 count = many ? t.number() : 1;
        if (many)
            t.expect(">");
        for (u32 i = 0; i < count; i++) {
            Register r;
            if (type == Type::pred) {
                r.row = (int)d.function.predicates++;
            } else {
                r.wide = size_of(type) == 8 ? 8 : 4;
                r.row = (int)d.function.register_bytes;
                d.function.register_bytes += 32 * (u32)r.wide;
            }
            d.scopes.back()[many ? name + std::to_string(i) : name] = r;
        }
    }
}

std::vector<Piece> parse_pieces(Decoder &d, Tokens &t)
{
    std::vector<Piece> pieces;
    while (!t.accept(")")) {
        if (t.accept(","))
            continue;
        std::string name = t.next();
        const Symbol *symbol = d.find_symbol(name);
        if (!symbol || symbol->space != Space::param)
            d.fail("argument " + name);
        pieces.push_back({(u32)symbol->value, (u32)symbol->size});
    }
    return pieces;
}

/** call (result), function or register, (arguments), prototype; behind the opcode. */
void parse_call(Decoder &d, Tokens &t, Instruction &in)
{
    Callee callee;
    d.opcode = "call";
    if (t.accept("(")) {
        callee.results = parse_pieces(d, t);
        t.expect(",");
    }
    std::string name = t.next();
    if (const Register *r = d.find_register(name))
        callee.row = r->row;
    else
        callee.name = name;
    if (t.accept(",") && t.accept("("))
        callee.arguments = parse_pieces(d, t);
    while (t.peek() != ";")
        t.next(); /* the prototype */
    d.function.callees.push_back(std::move(callee));
    in.callee = &d.function.callees.back();
    in.flow = Flow::call;
}

std::string text_of(const Tokens &t, size_t begin, size_t end)
{
    std::string text;
    for (size_t i = begin; i < end; i++) {
        const std::string &word = t.list[i].text, &before = i > begin ? t.list[i - 1].text : word;
        bool joined = i == begin || word == "," || word == "]" || before == "[" || before == "@" || before == "!";
        text += (joined ? "" : " ") + word;
    }
    return text;
}

void parse_statement(Decoder &d, Tokens &t, Source source)
{
    Instruction in;
    size_t begin = t.at;
    if (t.accept("@")) {
        in.guard_negated = t.accept("!");
        const Register *r = d.find_register(t.next());
        if (!r || r->wide)
            d.fail("guard");
        in.guard = (s16)r->row;
    }
    std::string opcode = t.next();
    if (opcode == "call" || opcode == "call.uni") {
        parse_call(d, t, in);
    } else {
        std::vector<Operand> operands;
        while (t.peek() != ";")
            if (!t.accept(","))
                operands.push_back(parse_operand(d, t));
        d.decode(opcode, std::move(operands), in);
    }
    source.text = text_of(t, begin, t.at);
    d.function.code.push_back(in);
    d.function.sources.push_back(std::move(source));
    t.expect(";");
}

/** label: or label: .branchtargets a, b; or label: .callprototype ...; */
void parse_label(Decoder &d, Tokens &t)
{
    std::string name = t.next();
    t.expect(":");
    if (t.accept(".branchtargets")) {
        while (!t.accept(";"))
            if (!t.accept(","))
                d.branch_tables[name].push_back(t.next());
    } else if (t.peek() == ".callprototype") {
        t.skip_past(";");
    } else {
        d.labels[name] = (int)d.function.code.size();
    }
}

void close_branches(Decoder &d)
{
    auto place = [&](const std::string &label) {
        auto found = d.labels.find(label);
        if (found == d.labels.end())
            throw std::runtime_error("no label " + label);
        return found->second;
    };
    for (auto &open : d.open_branches)
        d.function.code[open.first].target = place(open.second);
    for (auto &open : d.open_tables) {
        std::vector<int> targets;
        for (const std::string &label : d.branch_tables[open.second])
            targets.push_back(place(label));
        d.function.lists.push_back(targets);
        d.function.code[open.first].rows = &d.function.lists.back();
    }
}

} // namespace

void parse_body(Function &f, Tokens &t)
{
    Decoder d(*f.module, f);
    Source source;
    t.expect("{");
    for (size_t depth = 1; depth > 0;) {
        const std::string &word = t.peek();
        if (t.accept("{")) {
            depth++;
            d.scopes.emplace_back();
        } else if (t.accept("}")) {
            depth--;
            d.scopes.pop_back();
        } else if (t.accept(";")) {
            continue;
        } else if (t.accept(".reg")) {
            parse_registers(d, t);
        } else if (t.accept(".loc")) {
            source.file = (int)t.number();
            source.line = (int)t.number();
            t.at--;
            t.skip_line();
        } else if (word == ".shared" || word == ".local" || word == ".param" || word == ".global" || word == ".const" ||
                   word == ".extern") {
            declare(*f.module, &f, t, nullptr);
        } else if (word[0] == '.') {
            t.skip_past(";");
        } else if (t.peek(1) == ":") {
            parse_label(d, t);
        } else {
            parse_statement(d, t, source);
        }
    }
    Instruction end;
    end.flow = Flow::leave;
    f.code.push_back(end);
    f.sources.push_back(source);
    close_branches(d);
    f.register_bytes = round_up(f.register_bytes, 64);
    f.frame_params = round_up(f.frame_params, 16); /* each lane's slice is aligned */
    if (f.constants.empty())
        f.constants.resize(64);
}

} // namespace cudasim
