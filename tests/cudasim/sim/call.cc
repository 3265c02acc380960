/** tests/cudasim/sim/call.cc: calls of functions, and the two of CUDA's library that are done here: vprintf,
 * __assertfail. */
#include "tests/cudasim/sim/lanes.h"

#include <cstdio>
#include <set>

namespace cudasim
{

namespace
{

const u32 depth_limit = 1000; /* a device's stack holds fewer frames of any size */

std::set<u64> &functions()
{
    static auto *instance = new std::set<u64>;
    return *instance;
}

/* --- vprintf ------------------------------------------------------------------------------------------------------ */

/** A string in device memory. */
std::string device_string(u64 address)
{
    std::string text;
    const Allocation *block = find_allocation(address);
    if (!block || block->freed)
        return address ? "(bad pointer)" : "(null)";
    for (u64 at = address; at < block->end && *(const char *)at; at++)
        text += *(const char *)at;
    return text;
}

/** The arguments of a printf: each aligned to its size. */
struct Arguments {
    const u8 *begin = nullptr;
    u64 size = 0, at = 0;

    template <class T> T next()
    {
        T value = T();
        at = (at + sizeof(T) - 1) / sizeof(T) * sizeof(T);
        if (at + sizeof(T) <= size)
            memcpy(&value, begin + at, sizeof value);
        at += sizeof(T);
        return value;
    }
};

template <class T> std::string formatted(const std::string &spec, T value)
{
    char text[600];
    snprintf(text, sizeof text, spec.c_str(), value);
    return text;
}

/** One conversion from its % on; `i` moves behind it. */
std::string format_one(const std::string &format, size_t &i, Arguments &arguments)
{
    std::string spec = "%";
    int longs = 0;
    for (i++; i < format.size(); i++) {
        char c = format[i];
        if (c == '*')
            spec += std::to_string(arguments.next<s32>());
        else if (c == 'l' || c == 'z' || c == 'j' || c == 't')
            longs += 1;
        else if (c != 'h') /* arguments have 32 bits at least */
            spec += c;
        if (strchr("diuoxXcsfFeEgGaAp%", c))
            break;
    }
    if (i >= format.size())
        return spec;
    char conversion = format[i++];
    switch (conversion) {
    case '%':
        return "%";
    case 's':
        return formatted(spec, device_string(arguments.next<u64>()).c_str());
    case 'p':
        return formatted(spec, (void *)arguments.next<u64>());
    case 'c':
        return formatted(spec, arguments.next<s32>());
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        return formatted(spec, arguments.next<double>());
    default:
        if (!longs)
            return formatted(spec, arguments.next<s32>());
        spec.insert(spec.size() - 1, "ll");
        return formatted(spec, arguments.next<s64>());
    }
}

std::string format_all(const std::string &format, Arguments arguments)
{
    std::string text;
    for (size_t i = 0; i < format.size();) {
        if (format[i] == '%')
            text += format_one(format, i, arguments);
        else
            text += format[i++];
    }
    return text;
}

/** How far the memory at an address goes: a local variable of the lane, or a block. */
u64 bytes_from(Warp &w, int lane, u64 address)
{
    for (Frame *f = w.frame; f; f = f->caller) {
        u64 offset = address - (u64)f->local_of(lane);
        if (offset < f->function->local_bytes)
            return f->function->local_bytes - offset;
    }
    const Allocation *block = find_allocation(address);
    return block && !block->freed ? block->end - address : 0;
}

template <class T> T argument(Warp &w, const Callee &callee, int lane, size_t index)
{
    T value = T();
    if (index < callee.arguments.size())
        memcpy(&value, w.frame->params_of(lane) + callee.arguments[index].offset, sizeof value);
    return value;
}

void call_printf(Warp &w, const Instruction &in, u32 mask)
{
    const Callee &callee = *in.callee;
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        Arguments arguments;
        u64 buffer = argument<u64>(w, callee, i, 1);
        arguments.begin = (const u8 *)buffer;
        arguments.size = buffer ? bytes_from(w, i, buffer) : 0;
        std::string text = format_all(device_string(argument<u64>(w, callee, i, 0)), arguments);
        fwrite(text.data(), 1, text.size(), stdout);
        s32 written = (s32)text.size();
        if (!callee.results.empty())
            memcpy(w.frame->params_of(i) + callee.results[0].offset, &written, sizeof written);
    }
}

void call_assert(Warp &w, const Instruction &in, u32 mask)
{
    const Callee &callee = *in.callee;
    const Dim &block = w.block->index, &size = w.block->threads;
    for (int i = 0; i < 32; i++) {
        if (!has_lane(mask, i))
            continue;
        u32 thread = w.id * 32 + (u32)i;
        std::string message = device_string(argument<u64>(w, callee, i, 0));
        fprintf(stderr, "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n",
                device_string(argument<u64>(w, callee, i, 1)).c_str(), argument<u32>(w, callee, i, 2),
                device_string(argument<u64>(w, callee, i, 3)).c_str(), block.x, block.y, block.z, thread % size.x,
                thread / size.x % size.y, thread / size.x / size.y, message.c_str());
        report(w, in, i, "assertion failed: %s", message.c_str());
    }
    w.block->ending = Ending::assertion;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

Frame *take_frame(Function *f)
{
    if (f->idle.empty())
        return new Frame(f);
    Frame *frame = f->idle.back().release();
    f->idle.pop_back();
    return frame;
}

Function *find_callee(Warp &w, const Instruction &in, u32 mask)
{
    const Callee &callee = *in.callee;
    if (callee.name.empty())
        return function_at(source<u64>(w, callee.row)[first_lane(mask)]);
    if (!callee.function) {
        auto found = w.frame->function->module->functions.find(callee.name);
        callee.function = found == w.frame->function->module->functions.end() ? nullptr : found->second.get();
    }
    return callee.function;
}

} // namespace

Frame::Frame(Function *f) : function(f)
{
    storage.resize(f->register_bytes + 64);
    registers = (u8 *)(((u64)storage.data() + 63) & ~63ull);
    predicates.resize(f->predicates);
    local.resize((size_t)f->local_bytes * 32);
    params.resize((size_t)f->frame_params * 32);
}

Function *function_at(u64 address)
{
    return functions().count(address) ? (Function *)address : nullptr;
}

void register_function(Function *function)
{
    functions().insert((u64)function);
}

Frame *enter_call(Warp &w, const Instruction &in, u32 mask, int return_pc)
{
    const Callee &callee = *in.callee;
    if (callee.name == "vprintf") {
        call_printf(w, in, mask);
        return nullptr;
    }
    if (callee.name == "__assertfail") {
        call_assert(w, in, mask);
        return nullptr;
    }
    Function *f = find_callee(w, in, mask);
    bool deep = w.frame->depth >= depth_limit;
    if (!f || !f->defined || !f->error.empty() || deep) {
        report(w, in, first_lane(mask),
               deep ? "stack overflow: more than %u calls deep" : "call of what is not simulated", depth_limit);
        w.block->ending = Ending::trap;
        return nullptr;
    }
    Frame *frame = take_frame(f);
    frame->caller = w.frame;
    frame->call = &in;
    frame->return_pc = return_pc;
    frame->depth = w.frame->depth + 1;
    frame->inside = mask;
    for (int i = 0; i < 32; i++)
        for (size_t k = 0; k < f->params.size() && k < callee.arguments.size() && has_lane(mask, i); k++)
            memcpy(frame->params_of(i) + f->params[k].offset, w.frame->params_of(i) + callee.arguments[k].offset,
                   std::min(f->params[k].size, callee.arguments[k].size));
    return frame;
}

void leave_call(Frame *frame, u32 mask)
{
    const Function &f = *frame->function;
    const Callee &callee = *frame->call->callee;
    for (int i = 0; i < 32; i++)
        for (size_t k = 0; k < f.results.size() && k < callee.results.size() && has_lane(mask, i); k++)
            memcpy(frame->caller->params_of(i) + callee.results[k].offset, frame->params_of(i) + f.results[k].offset,
                   std::min(f.results[k].size, callee.results[k].size));
    drop_lanes(frame, mask);
}

void drop_lanes(Frame *frame, u32 mask)
{
    frame->inside &= ~mask;
    if (!frame->inside)
        frame->function->idle.emplace_back(frame);
}

} // namespace cudasim
