#include "tests/cudasim/sim_test/harness.h"

namespace cudasim_test
{

cudasim::Module *load(const std::string &text)
{
    std::string whole = ".version 8.8\n.target sm_90\n.address_size 64\n" + text, error;
    cudasim::Module *module = cudasim::load_module(whole.data(), whole.size(), &error);
    EXPECT_NE(module, nullptr) << error << "\n" << text;
    return module;
}

std::string entry(const std::string &body, int parameters, const std::string &before)
{
    std::string text = before + "\n.visible .entry k(", loads;
    for (int i = 0; i < parameters; i++) {
        std::string n = std::to_string(i);
        text += (i ? ", " : "") + std::string(".param .u64 p") + n;
        loads += "ld.param.u64 %a" + n + ", [p" + n + "];\n";
    }
    text += ")\n{\n.reg .pred %p<16>;\n.reg .b16 %h<16>;\n.reg .b32 %r<64>;\n.reg .f32 %f<32>;\n.reg .b64 %l<32>;\n"
            ".reg .f64 %d<16>;\n.reg .b64 %a<8>;\n";
    return text + loads + body + "\nret;\n}\n";
}

std::vector<std::string> run_module(cudasim::Module *module, const char *name, Dim grid, Dim block,
                                    const std::vector<uint64_t> &parameters, size_t dynamic_shared)
{
    cudasim::Kernel *kernel = module ? cudasim::find_kernel(module, name) : nullptr;
    EXPECT_NE(kernel, nullptr);
    if (!kernel)
        return {"no kernel"};
    std::vector<const void *> args;
    for (const uint64_t &value : parameters)
        args.push_back(&value);
    cudasim::take_reports();
    uint64_t reports = cudasim::launch(kernel, grid, block, args.data(), dynamic_shared);
    std::vector<std::string> texts = cudasim::take_reports();
    EXPECT_EQ(reports == 0, texts.empty());
    return texts;
}

std::vector<std::string> run(const std::string &body, Dim grid, Dim block, const std::vector<uint64_t> &parameters,
                             const std::string &before, size_t dynamic_shared)
{
    cudasim::Module *module = load(entry(body, (int)parameters.size(), before));
    return run_module(module, "k", grid, block, parameters, dynamic_shared);
}

void expect_report(const std::vector<std::string> &reports, const std::vector<std::string> &parts)
{
    ASSERT_FALSE(reports.empty()) << "no report with " << parts[0];
    for (const std::string &part : parts)
        EXPECT_NE(reports[0].find(part), std::string::npos) << "\"" << part << "\" is not in: " << reports[0];
}

void expect_silence(const std::vector<std::string> &reports)
{
    for (const std::string &report : reports)
        ADD_FAILURE() << "report: " << report;
}

namespace
{

/** Loads source i from memory, for all lanes the same. */
std::string load_source(char kind, int i)
{
    std::string n = std::to_string(i + 1), from = ", [%a1+" + std::to_string(8 * i) + "];\n";
    switch (kind) {
    case 'h':
        return "ld.global.u16 %h" + n + from;
    case 'r':
        return "ld.global.u32 %r" + n + from;
    case 'l':
        return "ld.global.u64 %l" + n + from;
    default:
        return "ld.global.u32 %r" + n + from + "setp.ne.u32 %p" + n + ", %r" + n + ", 0;\n";
    }
}

std::string body_of(const Case &c)
{
    std::string opcode = c.opcode, tail,
                body = "mov.u32 %r40, %tid.x;\nmul.wide.u32 %l30, %r40, 8;\nadd.s64 %a0, %a0, %l30;\n"
                       "mov.b64 %l29, 0;\n";
    size_t bar = opcode.find('|');
    if (bar != std::string::npos) {
        tail = "," + opcode.substr(bar + 1);
        opcode = opcode.substr(0, bar);
    }
    std::string kinds = c.kinds, operands = std::string("%") + kinds[0] + "0";
    for (size_t i = 1; i < kinds.size(); i++) {
        body += load_source(kinds[i], (int)i - 1);
        operands += std::string(", %") + kinds[i] + std::to_string(i);
    }
    body += opcode + " " + operands + tail + ";\n";
    switch (kinds[0]) {
    case 'h':
        body += "cvt.u64.u16 %l29, %h0;\n";
        break;
    case 'r':
        body += "cvt.u64.u32 %l29, %r0;\n";
        break;
    case 'l':
        body += "mov.b64 %l29, %l0;\n";
        break;
    default:
        body += "selp.b64 %l29, 1, 0, %p0;\n";
    }
    return body + "st.global.u64 [%a0], %l29;\n";
}

} // namespace

void check_table(const std::vector<Case> &table)
{
    for (const Case &c : table) {
        const size_t threads = 37; /* a full warp, and five lanes of another */
        std::string values;
        for (uint64_t value : c.sources)
            values += " " + std::to_string(value);
        SCOPED_TRACE(std::string(c.opcode) + values);
        ASSERT_EQ(c.sources.size() + 1, strlen(c.kinds));
        Buffer<uint64_t> out(threads), in(std::vector<uint64_t>(8, 0));
        std::vector<uint64_t> sources = c.sources;
        sources.resize(8);
        in.set(sources);
        expect_silence(run(body_of(c), {}, {(uint32_t)threads, 1, 1}, {out.address, in.address}));
        std::vector<uint64_t> results = out.get();
        for (size_t i = 0; i < threads; i++)
            ASSERT_EQ(results[i], c.result) << std::hex << "lane " << i << ": " << results[i] << ", not " << c.result;
    }
}

} // namespace cudasim_test
