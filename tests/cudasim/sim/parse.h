/** tests/cudasim/sim/parse.h: tokens of PTX text and what parse.cc and body.cc share. */
#ifndef CUDASIM_PARSE_H
#define CUDASIM_PARSE_H

#include "tests/cudasim/sim/decode.h"

namespace cudasim
{

struct Token {
    std::string text;
    int line;
};

struct Tokens {
    std::vector<Token> list;
    size_t at = 0;

    Tokens(const char *text, size_t size);
    [[noreturn]] void fail(const std::string &what) const;
    bool done() const
    {
        return at + 1 >= list.size();
    }
    const std::string &peek(size_t ahead = 0) const
    {
        return list[std::min(at + ahead, list.size() - 1)].text;
    }
    const std::string &next();
    bool accept(const char *text);
    void expect(const char *text);
    void skip_past(const char *text);
    void skip_line();
    u32 number();
    size_t closing(size_t from) const; /* behind the brace that closes what opens at `from` */
};

struct Fix { /* an address in a variable's initial value; `at`: offset, later the place itself */
    u64 at;
    std::string name;
    s64 offset;
};

struct Declaration {
    Space space = Space::global;
    std::string name;
    u32 align = 0, size = 0, element = 1;
    bool external = false;
    std::vector<u8> initial;
    std::vector<Fix> fixes;
};

/** false: no number. `real_bytes`: 4 or 8 for 0f and 0d forms, whose bits `value` gets. */
bool parse_number(const std::string &text, s64 *value, int *real_bytes);
u32 round_up(u32 value, u32 align);
Declaration parse_declaration(Tokens &tokens);
void declare(Module &module, Function *function, Tokens &tokens, std::vector<Fix> *fixes);
void place_shared(Function &function, const std::string &name, u32 align, u32 size);
void parse_body(Function &function, Tokens &tokens); /* from the opening brace */

} // namespace cudasim

#endif
