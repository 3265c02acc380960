#include "tests/data/support.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <png.h>

Bytes ReadAll(const std::filesystem::path &path)
{
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in.good()) << path;
    return Bytes(std::istreambuf_iterator<char>(in), {});
}

Bytes Gzip(const Bytes &plain)
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

std::filesystem::path Golden(const std::string &name)
{
    return std::filesystem::path(EG_SOURCE_DIR) / "tests/golden/data" / name;
}

std::filesystem::path Shared(const std::string &name)
{
    const char *root = std::getenv("EG_SHARED");
    return (root ? std::filesystem::path(root) : std::filesystem::path(EG_SOURCE_DIR) / "../shared") / name;
}

Bytes Big32(uint32_t v)
{
    return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

Bytes Little(uint64_t v, int bytes)
{
    Bytes out;
    for (int i = 0; i < bytes; i++)
        out += static_cast<char>(v >> (8 * i));
    return out;
}

Bytes Idx(int type, std::vector<uint32_t> dims, const Bytes &data)
{
    Bytes out = {0, 0, static_cast<char>(type), static_cast<char>(dims.size())};
    for (const uint32_t d : dims)
        out += Big32(d);
    return out + data;
}

Bytes Counting(int n, int from)
{
    Bytes out;
    for (int i = 0; i < n; i++)
        out += static_cast<char>(from + i);
    return out;
}

Bytes Npy(const std::string &header, const Bytes &data)
{
    return Bytes("\x93NUMPY\1\0", 8) + Little(header.size(), 2) + header + data;
}

Bytes NpyOf(const std::string &descr, const std::string &shape, const Bytes &data)
{
    return Npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }", data);
}

Bytes Zip(const std::vector<Member> &members)
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

Bytes RawDeflate(const Bytes &plain)
{
    const Bytes gz = Gzip(plain);
    return gz.substr(10, gz.size() - 18);
}

void Data::SetUp()
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

void Data::TearDown()
{
    if (context) {
        EXPECT_EQ(before, context->live_blocks) << "something was not freed";
    }
    eg_context_free(context);
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
}

std::string Data::Put(const std::string &name, const Bytes &bytes) const
{
    const std::filesystem::path path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
}

Set Data::Load(const std::string &path, eg_part part) const
{
    eg_dataset *d = nullptr;
    EXPECT_EQ(EG_OK, eg_dataset_load(&d, context, path.c_str(), part)) << eg_last_message();
    return Set(d, eg_dataset_free);
}

Set Data::Arrays(const void *x, eg_dtype dtype, int64_t n, std::vector<int64_t> shape, const int32_t *labels) const
{
    eg_dataset *d = nullptr;
    EXPECT_EQ(EG_OK,
              eg_dataset_from_arrays(&d, context, x, dtype, n, shape.data(), static_cast<int>(shape.size()), labels))
        << eg_last_message();
    return Set(d, eg_dataset_free);
}

void Data::Refused(const std::string &path, eg_status status, std::vector<std::string> words, eg_part part) const
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

std::vector<int32_t> Data::Labels(const Set &d)
{
    std::vector<int32_t> out;
    for (int64_t i = 0; i < d->n; i++)
        out.push_back(eg_dataset_label(d.get(), i));
    return out;
}

std::vector<int64_t> Data::Shape(const Set &d, int input)
{
    return {d->shape[input].dim, d->shape[input].dim + d->shape[input].rank};
}

Bytes Png(int width, int height, int bits, int color, const Bytes &samples, bool interlaced)
{
    Bytes out;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(
        png, &out,
        [](png_structp p, png_bytep data, size_t n) {
            static_cast<Bytes *>(png_get_io_ptr(p))->append(reinterpret_cast<char *>(data), n);
        },
        nullptr);
    png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bits, color,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    std::vector<png_bytep> rows;
    for (int y = 0; y < height; y++)
        rows.push_back(reinterpret_cast<png_bytep>(const_cast<char *>(samples.data())) +
                       samples.size() / static_cast<size_t>(height) * static_cast<size_t>(y));
    png_write_image(png, rows.data());
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return out;
}

Bytes Jpeg(int width, int height, int components, const Bytes &samples)
{
    jpeg_compress_struct jpeg = {};
    jpeg_error_mgr errors;
    unsigned char *memory = nullptr;
    unsigned long bytes = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &memory, &bytes);
    jpeg.image_width = static_cast<JDIMENSION>(width);
    jpeg.image_height = static_cast<JDIMENSION>(height);
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = reinterpret_cast<JSAMPROW>(const_cast<char *>(samples.data())) +
                       static_cast<size_t>(jpeg.next_scanline) * static_cast<size_t>(width * components);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    const Bytes out(reinterpret_cast<char *>(memory), bytes);
    free(memory);
    return out;
}
