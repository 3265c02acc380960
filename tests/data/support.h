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

Bytes ReadAll(const std::filesystem::path &path);

template <typename T> std::vector<T> ReadNumbers(const std::filesystem::path &path)
{
    const Bytes raw = ReadAll(path);
    std::vector<T> out(raw.size() / sizeof(T));
    memcpy(out.data(), raw.data(), out.size() * sizeof(T));
    return out;
}

Bytes Gzip(const Bytes &plain);

std::filesystem::path Golden(const std::string &name);

std::filesystem::path Shared(const std::string &name);

class Data : public testing::Test
{
  protected:
    void SetUp() override;

    void TearDown() override;

    // Writes a file under the test's folder, with the folders above it; returns its path.
    std::string Put(const std::string &name, const Bytes &bytes) const;

    Set Load(const std::string &path, eg_part part = EG_PART_TRAIN) const;

    Set Arrays(const void *x, eg_dtype dtype, int64_t n, std::vector<int64_t> shape,
               const int32_t *labels = nullptr) const;

    // The path must be refused with `status` and a one-line message that has all of `words`; nothing may leak or be
    // handed out.
    void Refused(const std::string &path, eg_status status, std::vector<std::string> words,
                 eg_part part = EG_PART_TRAIN) const;

    static std::vector<int32_t> Labels(const Set &d);

    static std::vector<int64_t> Shape(const Set &d, int input = 0);

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

// Files in the formats, written here and not by the library.

Bytes Big32(uint32_t v);

Bytes Little(uint64_t v, int bytes);

Bytes Idx(int type, std::vector<uint32_t> dims, const Bytes &data);

// `n` bytes: 0, 1, 2, ...
Bytes Counting(int n, int from = 0);

Bytes Npy(const std::string &header, const Bytes &data);

Bytes NpyOf(const std::string &descr, const std::string &shape, const Bytes &data);

struct Member {
    std::string name;
    Bytes data;
    int method = 0, flags = 0;
    Bytes packed = {};    // where the method is not 0
    int64_t claimed = -1; // size that the directory claims; -1: the true one
    uint32_t crc_xor = 0; // spoils the checksum
};

Bytes Zip(const std::vector<Member> &members);

Bytes RawDeflate(const Bytes &plain);

// A PNG by libpng: 8 or 16 bits, color type as PNG_COLOR_TYPE_*, rows of samples.
Bytes Png(int width, int height, int bits, int color, const Bytes &samples, bool interlaced = false);
// A JPEG by libjpeg: 1 or 3 components, or 4 (CMYK).
Bytes Jpeg(int width, int height, int components, const Bytes &samples);
