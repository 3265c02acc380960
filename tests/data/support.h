// What the tests of data/ share: a context, a folder that goes away, files made of bytes, golden numbers.
#pragma once

extern "C" {
#include "data/dataset.h"
#include "engram/engram.h"
}

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using Bytes = std::string;
using Set = std::unique_ptr<eg_dataset, decltype(&eg_dataset_free)>;

#define ASSERT_FINE(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()

inline Bytes ReadAll(const std::filesystem::path &path)
{
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in.good()) << path;
    return Bytes(std::istreambuf_iterator<char>(in), {});
}

template <typename T> std::vector<T> ReadNumbers(const std::filesystem::path &path)
{
    const Bytes raw = ReadAll(path);
    std::vector<T> out(raw.size() / sizeof(T));
    memcpy(out.data(), raw.data(), out.size() * sizeof(T));
    return out;
}

inline Bytes Gzip(const Bytes &plain)
{
    z_stream z = {};
    EXPECT_EQ(Z_OK, deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY));
    Bytes out(deflateBound(&z, plain.size()) + 64, '\0');
    z.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(plain.data()));
    z.avail_in = static_cast<uInt>(plain.size());
    z.next_out = reinterpret_cast<Bytef *>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(Z_STREAM_END, deflate(&z, Z_FINISH));
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

inline std::filesystem::path Golden(const std::string &name)
{
    return std::filesystem::path(EG_SOURCE_DIR) / "tests/golden/data" / name;
}

inline std::filesystem::path Shared(const std::string &name)
{
    const char *root = std::getenv("EG_SHARED");
    return (root ? std::filesystem::path(root) : std::filesystem::path(EG_SOURCE_DIR) / "../shared") / name;
}

class Data : public testing::Test
{
  protected:
    void SetUp() override
    {
        eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
        options.threads = 2;
        options.log = [](void *user, eg_log_level, const char *line) {
            static_cast<std::vector<std::string> *>(user)->push_back(line);
        };
        options.log_user = &log;
        ASSERT_FINE(eg_context_create(&context, &options));
        before = context->live_blocks;
        std::string name = access("/dev/shm", W_OK) == 0 ? "/dev/shm/engram-data-XXXXXX" : "/tmp/engram-data-XXXXXX";
        ASSERT_NE(nullptr, mkdtemp(name.data())); // thousands of small files: in memory where there is a place
        folder = name;
    }

    void TearDown() override
    {
        if (context) {
            EXPECT_EQ(before, context->live_blocks) << "something was not freed";
        }
        eg_context_free(context);
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }

    // Writes a file under the test's folder, with the folders above it; returns its path.
    std::string Put(const std::string &name, const Bytes &bytes) const
    {
        const std::filesystem::path path = folder / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }

    Set Load(const std::string &path, eg_part part = EG_PART_TRAIN) const
    {
        eg_dataset *d = nullptr;
        EXPECT_EQ(EG_OK, eg_dataset_load(&d, context, path.c_str(), part)) << eg_last_message();
        return Set(d, eg_dataset_free);
    }

    Set Arrays(const void *x, eg_dtype dtype, int64_t n, std::vector<int64_t> shape,
               const int32_t *labels = nullptr) const
    {
        eg_dataset *d = nullptr;
        EXPECT_EQ(EG_OK, eg_dataset_from_arrays(&d, context, x, dtype, n, shape.data(), static_cast<int>(shape.size()),
                                                labels))
            << eg_last_message();
        return Set(d, eg_dataset_free);
    }

    // The path must be refused with `status` and a one-line message that has all of `words`; nothing may leak or be
    // handed out.
    void Refused(const std::string &path, eg_status status, std::vector<std::string> words,
                 eg_part part = EG_PART_TRAIN) const
    {
        eg_dataset *d = nullptr;
        const int64_t live = context->live_blocks;
        EXPECT_EQ(status, eg_dataset_load(&d, context, path.c_str(), part)) << path << ": " << eg_last_message();
        EXPECT_EQ(nullptr, d) << path;
        EXPECT_EQ(live, context->live_blocks) << path;
        const std::string message = eg_last_message();
        EXPECT_EQ(std::string::npos, message.find('\n'));
        for (const std::string &word : words)
            EXPECT_NE(std::string::npos, message.find(word)) << "'" << word << "' is not in: " << message;
        if (d)
            eg_dataset_free(d);
    }

    static std::vector<int32_t> Labels(const Set &d)
    {
        std::vector<int32_t> out;
        for (int64_t i = 0; i < d->n; i++)
            out.push_back(eg_dataset_label(d.get(), i));
        return out;
    }

    static std::vector<int64_t> Shape(const Set &d, int input = 0)
    {
        return {d->shape[input].dim, d->shape[input].dim + d->shape[input].rank};
    }

    template <typename T> static std::vector<T> Values(const Set &d, int input = 0)
    {
        const T *x = static_cast<const T *>(d->x[input]);
        return {x, x + d->n * egi_shape_count(&d->shape[input])};
    }

    eg_context *context = nullptr;
    int64_t before = 0;
    std::filesystem::path folder;
    std::vector<std::string> log;
};

// --- files in the formats, written here and not by the library
// ---------------------------------------------------------------

inline Bytes Big32(uint32_t v)
{
    return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

inline Bytes Little(uint64_t v, int bytes)
{
    Bytes out;
    for (int i = 0; i < bytes; i++)
        out += static_cast<char>(v >> (8 * i));
    return out;
}

inline Bytes Idx(int type, std::vector<uint32_t> dims, const Bytes &data)
{
    Bytes out = {0, 0, static_cast<char>(type), static_cast<char>(dims.size())};
    for (const uint32_t d : dims)
        out += Big32(d);
    return out + data;
}

// `n` bytes: 0, 1, 2, ...
inline Bytes Counting(int n, int from = 0)
{
    Bytes out;
    for (int i = 0; i < n; i++)
        out += static_cast<char>(from + i);
    return out;
}

inline Bytes Npy(const std::string &header, const Bytes &data)
{
    return Bytes("\x93NUMPY\1\0", 8) + Little(header.size(), 2) + header + data;
}

inline Bytes NpyOf(const std::string &descr, const std::string &shape, const Bytes &data)
{
    return Npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }", data);
}

struct Member {
    std::string name;
    Bytes data;
    int method = 0, flags = 0;
    Bytes packed = {};    // where the method is not 0
    int64_t claimed = -1; // size that the directory claims; -1: the true one
    uint32_t crc_xor = 0; // spoils the checksum
};

inline Bytes Zip(const std::vector<Member> &members)
{
    Bytes out, directory;
    for (const Member &m : members) {
        const Bytes &packed = m.method ? m.packed : m.data;
        const uint32_t crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef *>(m.data.data()),
                                                         static_cast<uInt>(m.data.size()))) ^
                             m.crc_xor;
        const Bytes sizes = Little(crc, 4) + Little(packed.size(), 4) +
                            Little(m.claimed < 0 ? m.data.size() : static_cast<uint64_t>(m.claimed), 4);
        const Bytes common = Little(20, 2) + Little(static_cast<uint64_t>(m.flags), 2) +
                             Little(static_cast<uint64_t>(m.method), 2) + Little(0, 4) + sizes +
                             Little(m.name.size(), 2) + Little(0, 2);
        directory += "PK\1\2" + Little(20, 2) + common + Little(0, 2) + Little(0, 2) + Little(0, 2) + Little(0, 4) +
                     Little(out.size(), 4) + m.name;
        out += "PK\3\4" + common + m.name + packed;
    }
    const size_t at = out.size();
    out += directory + "PK\5\6" + Little(0, 4) + Little(members.size(), 2) + Little(members.size(), 2) +
           Little(directory.size(), 4) + Little(at, 4) + Little(0, 2);
    return out;
}

inline Bytes RawDeflate(const Bytes &plain)
{
    const Bytes gz = Gzip(plain);
    return gz.substr(10, gz.size() - 18);
}

// A PNG by libpng: 8 or 16 bits, color type as PNG_COLOR_TYPE_*, rows of samples.
Bytes Png(int width, int height, int bits, int color, const Bytes &samples, bool interlaced = false);
// A JPEG by libjpeg: 1 or 3 components, or 4 (CMYK).
Bytes Jpeg(int width, int height, int components, const Bytes &samples);
