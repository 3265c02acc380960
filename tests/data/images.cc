#include "tests/data/support.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <png.h>

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
