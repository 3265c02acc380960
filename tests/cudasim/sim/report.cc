/** tests/cudasim/sim/report.cc: what the checks found, printed once a place and counted always. */
#include "tests/cudasim/sim/program.h"

#include <cstdarg>
#include <cstdio>

namespace cudasim
{

namespace
{

const size_t texts_limit = 10000;

struct Reports {
    u64 count = 0;
    std::map<std::string, u64> seen;
    std::vector<std::string> texts;
};

Reports &reports()
{
    static Reports *instance = new Reports; /* never destroyed: programs report while they exit */
    return *instance;
}

std::string formatted(const char *format, va_list arguments)
{
    char text[1000];
    vsnprintf(text, sizeof text, format, arguments);
    return text;
}

void add(const std::string &key, const std::string &text)
{
    Reports &r = reports();
    r.count++;
    if (r.seen[key]++)
        return;
    if (r.texts.size() < texts_limit)
        r.texts.push_back(text);
    fprintf(stderr, "cudasim: %s\n", text.c_str());
}

std::string dim_text(u32 x, u32 y, u32 z)
{
    return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}

} // namespace

void report(Warp &w, const Instruction &in, int lane, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    std::string text = formatted(format, arguments);
    va_end(arguments);
    const Function &function = *w.frame->function;
    const Block &block = *w.block;
    size_t pc = (size_t)(&in - function.code.data());
    std::string kind = text.substr(0, 24); /* without the numbers that differ from thread to thread */
    std::string key = block.kernel->name + "/" + function.name + "/" + std::to_string(pc) + "/" + kind;
    u32 thread = w.id * 32 + (u32)lane;
    const Dim &size = block.threads;
    text += "\n    kernel " + block.kernel->shown + " block " + dim_text(block.index.x, block.index.y, block.index.z) +
            " thread " + dim_text(thread % size.x, thread / size.x % size.y, thread / size.x / size.y);
    if (&function != block.kernel)
        text += " in " + function.shown;
    if (pc < function.sources.size()) {
        const Source &source = function.sources[pc];
        auto file = function.module->files.find(source.file);
        if (file != function.module->files.end())
            text += " at " + file->second + ":" + std::to_string(source.line);
        if (!source.text.empty())
            text += "\n    " + source.text;
    }
    add(key, text);
    if (reports().count > w.block->reports_limit && w.block->ending == Ending::complete) {
        report_host("kernel %s is stopped: too many reports", w.block->kernel->shown.c_str());
        w.block->ending = Ending::stopped;
    }
}

void report_host(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    std::string text = formatted(format, arguments);
    va_end(arguments);
    add("host/" + text, text);
}

u64 report_count()
{
    return reports().count;
}

std::vector<std::string> take_reports()
{
    std::vector<std::string> texts;
    texts.swap(reports().texts);
    reports().seen.clear();
    return texts;
}

} // namespace cudasim
