// Fat binaries: a header and entries, one an architecture, of which the PTX is wanted; nvcc 13 compresses it with zstd.
#include <zstd.h>

#include <cstring>
#include <unordered_map>

#include "runtime.h"

namespace cudasim
{
namespace
{

constexpr uint32_t kWrapperMagic = 0x466243b1, kImageMagic = 0xBA55ED50, kZstdMagic = 0xFD2FB528;
constexpr uint16_t kPtx = 1;
constexpr uint32_t kArchitecture = 90;

/** What nvcc's host code hands to __cudaRegisterFatBinary. */
struct Wrapper {
    uint32_t magic, version;
    const void *image;
    void *unused;
};

struct Header {
    uint32_t magic;
    uint16_t version, bytes;
    uint64_t entries_bytes;
};

struct Entry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t bytes;
    uint32_t compressed_bytes, options;
    uint16_t minor, major;
    uint32_t architecture;
    uint32_t name_offset, name_bytes;
    uint64_t flags, zero, plain_bytes;
};

template <class T> T read(const uint8_t *at)
{
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

std::string text_of(const uint8_t *at)
{
    const Entry entry = read<Entry>(at);
    const uint8_t *data = at + entry.header_bytes;
    if (read<uint32_t>(data) != kZstdMagic)
        return std::string((const char *)data, entry.bytes);
    const size_t size = entry.compressed_bytes ? entry.compressed_bytes : entry.bytes;
    std::string text(entry.plain_bytes, '\0');
    const size_t got = ZSTD_decompress(&text[0], text.size(), data, size);
    if (ZSTD_isError(got)) {
        report_host("fat binary: zstd: %s", ZSTD_getErrorName(got));
        return "";
    }
    text.resize(got);
    return text;
}

/** The PTX of the newest architecture up to the device's. */
std::string choose(const uint8_t *image, cudaError_t *error)
{
    const Header header = read<Header>(image);
    const uint8_t *best = nullptr;
    uint32_t newest = 0;
    bool too_new = false;
    const uint8_t *end = image + header.bytes + header.entries_bytes;
    for (const uint8_t *at = image + header.bytes; at < end;) {
        const Entry entry = read<Entry>(at);
        if (entry.kind == kPtx && entry.architecture > kArchitecture)
            too_new = true;
        else if (entry.kind == kPtx && entry.architecture >= newest) {
            newest = entry.architecture;
            best = at;
        }
        at += entry.header_bytes + entry.bytes;
    }
    if (best)
        return text_of(best);
    *error = too_new ? cudaErrorUnsupportedPtxVersion : cudaErrorNoKernelImageForDevice;
    report_host("a fat binary has no PTX up to compute_%u: compile with -gencode arch=compute_80,code=compute_80",
                kArchitecture);
    return "";
}

/** Modules live as long as the process: programs that load the same kernels again and again get the same module. */
Module *load_once(const std::string &text, cudaError_t *error)
{
    static std::unordered_map<std::string, Module *> loaded;
    const auto found = loaded.find(text);
    std::string why;
    Module *module = found != loaded.end() ? found->second : load_module(text.data(), text.size(), &why);
    *error = module ? cudaSuccess : cudaErrorInvalidPtx;
    if (!module)
        report_host("PTX that cannot be loaded: %s", why.c_str());
    else if (!has_variables(module))
        loaded[text] = module;
    return module;
}

} // namespace

Module *load_image(const void *image, cudaError_t *error)
{
    *error = cudaErrorInvalidKernelImage;
    if (read<uint32_t>((const uint8_t *)image) == kWrapperMagic)
        image = read<Wrapper>((const uint8_t *)image).image;
    const bool fat = read<uint32_t>((const uint8_t *)image) == kImageMagic;
    std::string text = fat ? choose((const uint8_t *)image, error) : std::string((const char *)image);
    const size_t begin = text.find_first_not_of(std::string("\n\r\t \0", 5));
    if (begin == std::string::npos)
        return nullptr;
    text.erase(0, begin);
    text.resize(std::strlen(text.c_str())); /* entries are padded with zeros */
    return load_once(text, error);
}

} // namespace cudasim
