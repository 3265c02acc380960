/** tests/cudasim/sim/parse.cc: PTX text to tokens, tokens to declarations; bodies of functions are in body.cc. */
#include "tests/cudasim/sim/parse.h"

#include <cctype>
#include <cxxabi.h>

namespace cudasim
{

namespace
{

bool in_name(char c)
{
    return isalnum((u8)c) || c == '_' || c == '$' || c == '%';
}

size_t token_end(const char *p, size_t size, size_t i)
{
    size_t j = i + 1;
    if (p[i] == '"') {
        while (j < size && p[j] != '"')
            j++;
        return j + 1;
    }
    if (!in_name(p[i]) && !(p[i] == '.' && j < size && in_name(p[j])))
        return j;
    const bool directive = p[i] == '.'; /* .reg.b16 is two */
    for (; j < size; j++) {
        bool colons = p[j] == ':' && j + 1 < size && p[j + 1] == ':'; /* shared::cta */
        if (colons)
            j++;
        else if (!in_name(p[j]) && (p[j] != '.' || directive))
            break;
    }
    return j;
}

std::string demangled(const std::string &name)
{
    int status = 0;
    char *text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    std::string result = status == 0 && text ? text : name;
    free(text);
    return result;
}

} // namespace

Tokens::Tokens(const char *p, size_t size)
{
    int line = 1;
    for (size_t i = 0; i < size && p[i];) {
        if (p[i] == '\n') {
            line++;
            i++;
        } else if (isspace((u8)p[i])) {
            i++;
        } else if (p[i] == '/' && i + 1 < size && p[i + 1] == '/') {
            while (i < size && p[i] && p[i] != '\n')
                i++;
        } else if (p[i] == '/' && i + 1 < size && p[i + 1] == '*') {
            for (i += 2; i + 1 < size && !(p[i] == '*' && p[i + 1] == '/'); i++)
                line += p[i] == '\n';
            i += 2;
        } else {
            size_t end = std::min(token_end(p, size, i), size);
            list.push_back({std::string(p + i, end - i), line});
            i = end;
        }
    }
    list.push_back({"", line}); /* the end: no loop runs past it */
}

void Tokens::fail(const std::string &what) const
{
    throw std::runtime_error("PTX line " + std::to_string(list[at].line) + ": " + what);
}

const std::string &Tokens::next()
{
    if (done())
        fail("unexpected end");
    return list[at++].text;
}

bool Tokens::accept(const char *text)
{
    if (list[at].text != text)
        return false;
    at++;
    return true;
}

void Tokens::expect(const char *text)
{
    if (!accept(text))
        fail("expected " + std::string(text) + " before " + peek());
}

void Tokens::skip_past(const char *text)
{
    while (next() != text) {
    }
}

void Tokens::skip_line()
{
    int line = list[at].line;
    while (!done() && list[at].line == line)
        at++;
}

u32 Tokens::number()
{
    return (u32)strtoul(next().c_str(), nullptr, 0);
}

bool parse_number(const std::string &s, s64 *value, int *real_bytes)
{
    *real_bytes = 0;
    if (s.empty() || !isdigit((u8)s[0]))
        return false;
    bool marked = s.size() > 2 && s[0] == '0';
    if (marked && (s[1] == 'f' || s[1] == 'F'))
        *real_bytes = 4;
    if (marked && (s[1] == 'd' || s[1] == 'D'))
        *real_bytes = 8;
    if (*real_bytes)
        *value = (s64)strtoull(s.c_str() + 2, nullptr, 16);
    else if (marked && (s[1] == 'b' || s[1] == 'B'))
        *value = (s64)strtoull(s.c_str() + 2, nullptr, 2);
    else
        *value = (s64)strtoull(s.c_str(), nullptr, 0);
    return true;
}

u32 round_up(u32 value, u32 align)
{
    return align ? (value + align - 1) / align * align : value;
}

/* --- variables ---------------------------------------------------------------------------------------------------- */

Declaration parse_declaration(Tokens &t)
{
    Declaration d;
    Type type = Type::b8;
    u32 elements = 1;
    while (t.peek()[0] == '.') {
        std::string word = t.next();
        if (word == ".shared")
            d.space = Space::shared;
        else if (word == ".local")
            d.space = Space::local;
        else if (word == ".const")
            d.space = Space::constant;
        else if (word == ".param")
            d.space = Space::param;
        else if (word == ".extern")
            d.external = true;
        else if (word == ".align")
            d.align = t.number();
        else if (word == ".ptr") /* the alignment that follows is the pointee's */
            t.accept(".align") ? (void)t.number() : (void)0;
        else if (word == ".v2" || word == ".v4")
            elements = word == ".v2" ? 2 : 4;
        else if (Type named = type_named(word.substr(1)); named != Type::none)
            type = named;
    }
    d.name = t.next();
    d.element = (u32)size_of(type);
    while (t.accept("[")) {
        elements *= t.peek() == "]" ? 0 : t.number();
        t.expect("]");
    }
    d.size = elements * d.element;
    if (!d.align)
        d.align = d.element;
    return d;
}

/** The values of an initialiser: numbers, names of functions and variables, generic(name), each plus an offset. */
static void parse_initial(Tokens &t, Declaration &d)
{
    int depth = 0;
    do {
        std::string word = t.next();
        bool negative = word == "-";
        if (negative)
            word = t.next();
        s64 value = 0;
        int real = 0;
        if (word == "{") {
            depth++;
        } else if (word == "}") {
            depth--;
        } else if (parse_number(word, &value, &real)) {
            value = negative ? -value : value;
            auto *bytes = (const u8 *)&value;
            d.initial.insert(d.initial.end(), bytes, bytes + d.element);
        } else if (word != ",") {
            if (word == "generic") {
                t.expect("(");
                word = t.next();
                t.expect(")");
            }
            s64 offset = t.accept("+") ? (s64)t.number() : 0;
            d.fixes.push_back({(u32)d.initial.size(), word, offset});
            d.initial.resize(d.initial.size() + d.element);
        }
    } while (depth > 0 || t.peek() != ";");
}

void place_shared(Function &f, const std::string &name, u32 align, u32 size)
{
    const u32 gap = f.shared_objects.empty() ? 0 : 16; /* so that an overrun hits nothing */
    f.static_shared = round_up(f.static_shared, align) + size;
    f.shared_bytes = round_up(f.shared_bytes + gap, std::max(align, 16u));
    Symbol symbol;
    symbol.space = Space::shared;
    symbol.value = f.shared_bytes;
    symbol.size = size;
    f.symbols[name] = symbol;
    f.shared_objects.push_back({f.shared_bytes, size});
    f.shared_bytes += size;
}

static void declare_shared(Module &module, Function *function, const Declaration &d)
{
    if (d.external) {
        Symbol symbol;
        symbol.space = Space::shared;
        symbol.dynamic = true;
        (function ? function->symbols : module.variables)[d.name] = symbol;
    } else if (function && !function->entry) {
        throw std::runtime_error("shared memory inside a function: " + d.name);
    } else if (function) {
        place_shared(*function, d.name, d.align, d.size);
    } else {
        module.shared[d.name] = {d.align, d.size};
    }
}

void declare(Module &module, Function *function, Tokens &t, std::vector<Fix> *fixes)
{
    Declaration d = parse_declaration(t);
    if (t.accept("="))
        parse_initial(t, d);
    t.expect(";");
    if (d.space == Space::shared)
        return declare_shared(module, function, d);
    Symbol symbol;
    symbol.space = d.space;
    symbol.size = d.size;
    if (d.space == Space::local && function) {
        function->local_bytes = round_up(function->local_bytes, std::max(d.align, 16u));
        symbol.value = function->local_bytes;
        function->local_bytes = round_up(function->local_bytes + d.size, 16);
        function->symbols[d.name] = symbol;
    } else if (d.space == Space::param && function) {
        function->frame_params = round_up(function->frame_params, std::max(d.align, 8u));
        symbol.value = function->frame_params;
        function->frame_params += d.size;
        function->symbols[d.name] = symbol;
    } else {
        if (d.external)
            t.fail("an external variable: " + d.name);
        symbol.value = allocate_variable(d.size ? d.size : 4);
        std::copy_n(d.initial.begin(), std::min<size_t>(d.initial.size(), d.size), (u8 *)symbol.value);
        for (Fix &fix : d.fixes)
            fixes->push_back({symbol.value + fix.at, fix.name, fix.offset});
        module.variables[d.name] = symbol;
    }
}

/* --- functions ---------------------------------------------------------------------------------------------------- */

/** Formal parameters or results. An entry's lie in the launch's parameter memory, a function's in its frame's. */
static void parse_formals(Function &f, Tokens &t, std::vector<Piece> &pieces, bool entry)
{
    u32 &bytes = entry ? f.param_bytes : f.frame_params;
    while (!t.accept(")")) {
        if (t.accept(","))
            continue;
        Declaration d = parse_declaration(t);
        bytes = round_up(bytes, entry ? d.align : std::max(d.align, 8u));
        Symbol symbol;
        symbol.space = Space::param;
        symbol.value = bytes;
        symbol.size = d.size;
        symbol.entry = entry;
        f.symbols[d.name] = symbol;
        pieces.push_back({bytes, d.size});
        bytes += d.size;
    }
}

/** Shared variables of the module that the body names; with a call in it, all of them, in the same places everywhere.
 */
static void place_module_shared(Function &f, const Tokens &t, size_t begin, size_t end)
{
    bool calls = !f.entry;
    for (size_t i = begin; i < end; i++)
        calls |= t.list[i].text.compare(0, 4, "call") == 0;
    for (auto &shared : f.module->shared) {
        bool named = calls;
        for (size_t i = begin; i < end && !named; i++)
            named = t.list[i].text == shared.first;
        if (named)
            place_shared(f, shared.first, shared.second.align, shared.second.size);
    }
}

static void parse_function(Module &module, Tokens &t, bool entry)
{
    Function f;
    f.module = &module;
    f.entry = entry;
    if (!entry && t.accept("("))
        parse_formals(f, t, f.results, false);
    f.name = t.next();
    f.shown = demangled(f.name);
    if (t.accept("("))
        parse_formals(f, t, f.params, entry);
    while (t.peek() != "{" && t.peek() != ";")
        t.next();                          /* .maxntid and the like */
    auto &slot = module.functions[f.name]; /* declared before: its address stays */
    if (!slot)
        slot = std::make_unique<Function>();
    if (t.accept(";")) {
        if (!slot->defined)
            *slot = std::move(f);
        return;
    }
    *slot = std::move(f);
    size_t begin = t.at, end = t.closing(begin);
    place_module_shared(*slot, t, begin, end);
    slot->defined = true;
    try {
        parse_body(*slot, t);
    } catch (std::runtime_error &e) {
        slot->error = e.what();
    }
    t.at = end;
}

size_t Tokens::closing(size_t from) const
{
    int depth = 0;
    for (size_t i = from; i < list.size(); i++) {
        depth += list[i].text == "{";
        depth -= list[i].text == "}";
        if (depth == 0)
            return i + 1;
    }
    fail("a brace is not closed");
}

/** At .visible, .extern and the like: is it an entry, a function or a variable? Leaves t behind .entry or .func. */
static char kind_of(Tokens &t)
{
    size_t from = t.at;
    while (t.peek()[0] == '.') {
        const std::string word = t.next();
        if (word == ".entry")
            return 'e';
        if (word == ".func")
            return 'f';
    }
    t.at = from;
    return 'v';
}

static void resolve(Module &module, const std::vector<Fix> &fixes)
{
    for (const Fix &fix : fixes) {
        auto variable = module.variables.find(fix.name);
        auto function = module.functions.find(fix.name);
        u64 value = variable != module.variables.end()   ? variable->second.value
                    : function != module.functions.end() ? (u64)function->second.get()
                                                         : 0;
        if (!value)
            throw std::runtime_error("an initialiser names " + fix.name);
        value += (u64)fix.offset;
        memcpy((void *)fix.at, &value, sizeof value);
    }
}

void parse_module(Module &module, const char *text, size_t size)
{
    Tokens t(text, size);
    std::vector<Fix> fixes;
    while (!t.done()) {
        const std::string &word = t.peek();
        if (word == ".version" || word == ".target" || word == ".address_size") {
            t.skip_line();
        } else if (word == ".file") {
            t.next();
            int number = (int)t.number();
            const std::string &name = t.peek();
            module.files[number] = name.substr(1, name.size() - 2);
            t.skip_line();
        } else if (word == ".section") {
            t.skip_past("}");
        } else if (word == ".alias" || word == ".pragma") {
            t.skip_past(";");
        } else if (word[0] != '.') {
            t.fail("unexpected " + word);
        } else {
            char kind = kind_of(t);
            if (kind == 'v')
                declare(module, nullptr, t, &fixes);
            else
                parse_function(module, t, kind == 'e');
        }
    }
    for (auto &function : module.functions)
        register_function(function.second.get());
    resolve(module, fixes);
}

} // namespace cudasim
