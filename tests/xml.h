// Is a text well-formed XML, as far as our pictures use it? Elements, attributes, the five entities, no comments.
#ifndef TESTS_XML_H
#define TESTS_XML_H

#include <cctype>
#include <cstring>
#include <string>
#include <vector>

// check(): "" or what is wrong and where; counts the elements.
struct Xml {
    explicit Xml(const std::string &text) : s(text)
    {
    }
    std::string check()
    {
        while (at < s.size() && wrong.empty())
            s[at] == '<' ? tag() : character('\0');
        if (wrong.empty() && (!open.empty() || elements == 0))
            wrong = "unclosed";
        return wrong.empty() ? "" : wrong + " at " + std::to_string(at) + ": " + s.substr(at, 40);
    }
    int elements = 0;

    const std::string &s;
    size_t at = 0;
    std::string wrong;
    std::vector<std::string> open;

    // One character of text or of an attribute between `quote`s.
    void character(char quote)
    {
        const unsigned char c = static_cast<unsigned char>(s[at]);
        if (c < 32 && c != '\n')
            wrong = "control character";
        else if (c == '<' || (quote && c == static_cast<unsigned char>(quote)))
            wrong = "unexpected character";
        else if (c == '&' && !entity())
            wrong = "bare ampersand";
        at++;
    }
    bool entity() const
    {
        for (const char *e : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"})
            if (s.compare(at, strlen(e), e) == 0)
                return true;
        return false;
    }
    std::string name()
    {
        const size_t begin = at;
        while (at < s.size() && (isalnum(static_cast<unsigned char>(s[at])) || strchr("-:_", s[at])))
            at++;
        if (at == begin)
            wrong = "no name";
        return s.substr(begin, at - begin);
    }
    bool take(const char *what)
    {
        if (s.compare(at, strlen(what), what) != 0)
            return false;
        at += strlen(what);
        return true;
    }
    void attribute()
    {
        name();
        if (!take("=\""))
            wrong = "no value";
        while (wrong.empty() && at < s.size() && s[at] != '"')
            character('"');
        if (!take("\""))
            wrong = "unclosed value";
    }
    void tag()
    {
        if (take("</")) {
            if (open.empty() || name() != open.back() || !take(">"))
                wrong = "wrong end";
            else
                open.pop_back();
            return;
        }
        at++;
        const std::string element = name();
        elements++;
        while (wrong.empty() && take(" "))
            attribute();
        if (!take("/>")) {
            open.push_back(element);
            if (!take(">"))
                wrong = "unclosed tag";
        }
    }
};

#endif
