/* libpng's and libjpeg's low-level calls: the simplified PNG call would apply gamma and blend alpha, so that bytes
 * would differ from what the network was trained on. */
#include "data/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

#define SIDE_MAX     65535
#define HEAD_BYTES   26
#define EXPANSION    2048 /* pixel bytes that a byte of a file can stand for, at most; deflate 1032, JPEG about 1024 */
#define SMALL_ENOUGH (1 << 20)

static bool say(char *why, const char *text)
{
    snprintf(why, EGI_IMAGE_WHY, "%s", text);
    return false;
}

static bool is_png(const unsigned char *head, int64_t n)
{
    return n >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_jpeg(const unsigned char *head, int64_t n)
{
    return n >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0;
}

bool egi_image_magic(const unsigned char *head, int64_t n)
{
    return is_png(head, n) || is_jpeg(head, n);
}

/* A few bytes must not make anybody allocate gigabytes. */
static bool plausible(const egi_image *image, FILE *file, char *why)
{
    struct stat st;
    if (image->width < 1 || image->height < 1 || image->width > SIDE_MAX || image->height > SIDE_MAX)
        return say(why, "impossible width or height");
    const int64_t bytes = image->width * image->height * image->channels;
    if (fstat(fileno(file), &st) != 0 || (bytes > SMALL_ENOUGH && bytes / EXPANSION > st.st_size))
        return say(why, "its width and height promise more than the file can hold");
    return true;
}

/* --- PNG ---------------------------------------------------------------------------------------------------------- */

static void png_failed(png_structp png, png_const_charp text)
{
    say(png_get_error_ptr(png), text);
    longjmp(png_jmpbuf(png), 1);
}

static void png_warned(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* IHDR is always first, at a fixed place. */
static bool probe_png(egi_image *out, const unsigned char *head, char *why)
{
    const unsigned char *w = head + 16, *h = head + 20, color = head[25];
    if (memcmp(head + 12, "IHDR", 4) != 0)
        return say(why, "broken PNG: no IHDR chunk");
    out->width = (int64_t)w[0] << 24 | w[1] << 16 | w[2] << 8 | w[3];
    out->height = (int64_t)h[0] << 24 | h[1] << 16 | h[2] << 8 | h[3];
    out->channels = color & PNG_COLOR_MASK_COLOR ? 3 : 1; /* a palette is colour */
    return true;
}

/* Any bit depth and colour type becomes 8 bits of gray or RGB. */
static void png_to_bytes(png_structp png, png_infop info, int channels)
{
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (channels == 3)
        png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static bool png_rows(png_structp png, png_infop info, FILE *file, const egi_image *image, uint8_t *dst, char *why)
{
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_init_io(png, file);
    png_set_user_limits(png, SIDE_MAX, SIDE_MAX);
    png_set_chunk_malloc_max(png, 8 << 20);
    png_read_info(png, info);
    if (png_get_image_width(png, info) != image->width || png_get_image_height(png, info) != image->height)
        return say(why, "changed while it was read");
    const int passes = png_get_interlace_type(png, info) == PNG_INTERLACE_ADAM7 ? 7 : 1;
    png_to_bytes(png, info, image->channels);
    if (png_get_rowbytes(png, info) != stride)
        return say(why, "its colour type does not fit the header");
    for (int pass = 0; pass < passes; pass++)
        for (int64_t y = 0; y < image->height; y++)
            png_read_row(png, dst + (size_t)y * stride, NULL);
    png_read_end(png, NULL);
    return true;
}

static bool decode_png(const egi_image *image, FILE *file, uint8_t *dst, char *why)
{
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, why, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    const bool done = info ? png_rows(png, info, file, image, dst, why) : say(why, "no memory for libpng");
    png_destroy_read_struct(&png, info ? &info : NULL, NULL);
    return done;
}

/* --- JPEG --------------------------------------------------------------------------------------------------------- */

typedef struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    char *why;
} jpeg_reader;

static void jpeg_failed(j_common_ptr jpeg)
{
    jpeg_reader *r = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    say(r->why, text);
    longjmp(r->back, 1);
}

/* libjpeg only warns where pixels are missing or wrong: that is a failure here. Other oddities are let pass. */
static void jpeg_warned(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE))
        jpeg_failed(jpeg);
}

static void jpeg_start(jpeg_reader *r, char *why)
{
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = jpeg_failed;
    r->errors.emit_message = jpeg_warned;
    r->jpeg.client_data = r;
    r->why = why;
}

static bool jpeg_head(jpeg_reader *r, FILE *file, egi_image *out)
{
    if (setjmp(r->back))
        return false;
    jpeg_create_decompress(&r->jpeg);
    jpeg_stdio_src(&r->jpeg, file);
    jpeg_read_header(&r->jpeg, TRUE);
    if (r->jpeg.num_components != 1 && r->jpeg.num_components != 3)
        return say(r->why, "unsupported: a JPEG of 4 inks (CMYK); convert it to RGB");
    *out = (egi_image){r->jpeg.image_width, r->jpeg.image_height, r->jpeg.num_components};
    return true;
}

static bool probe_jpeg(egi_image *out, FILE *file, char *why)
{
    jpeg_reader r = {0};
    jpeg_start(&r, why);
    const bool done = jpeg_head(&r, file, out);
    jpeg_destroy_decompress(&r.jpeg);
    return done;
}

static bool jpeg_rows(jpeg_reader *r, const egi_image *image, uint8_t *dst)
{
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    if (setjmp(r->back))
        return false;
    r->jpeg.out_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_start_decompress(&r->jpeg);
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        JSAMPROW row = dst + (size_t)r->jpeg.output_scanline * stride;
        jpeg_read_scanlines(&r->jpeg, &row, 1);
    }
    jpeg_finish_decompress(&r->jpeg);
    return true;
}

static bool decode_jpeg(const egi_image *image, FILE *file, uint8_t *dst, char *why)
{
    jpeg_reader r = {0};
    egi_image found;
    jpeg_start(&r, why);
    bool done = jpeg_head(&r, file, &found);
    if (done && (found.width != image->width || found.height != image->height || found.channels > image->channels))
        done = say(why, "changed while it was read");
    if (done)
        done = jpeg_rows(&r, image, dst);
    jpeg_destroy_decompress(&r.jpeg);
    return done;
}

/* --- either ------------------------------------------------------------------------------------------------------- */

/* Opens a file and reads its head; the file stands at its beginning again. */
static FILE *open_image(const char *path, unsigned char *head, char *why)
{
    FILE *file = fopen(path, "rbe");
    if (!file) {
        say(why, strerror(errno));
        return NULL;
    }
    const size_t n = fread(head, 1, HEAD_BYTES, file);
    rewind(file);
    if (n == HEAD_BYTES && egi_image_magic(head, HEAD_BYTES))
        return file;
    say(why, n < HEAD_BYTES ? "truncated: too short for an image" : "wanted a PNG or JPEG, found other bytes");
    fclose(file);
    return NULL;
}

bool egi_image_probe(egi_image *out, const char *path, char *why)
{
    unsigned char head[HEAD_BYTES];
    egi_image image = {0};
    FILE *file = open_image(path, head, why);
    if (!file)
        return false;
    const bool done = (is_png(head, HEAD_BYTES) ? probe_png(&image, head, why) : probe_jpeg(&image, file, why)) &&
                      plausible(&image, file, why);
    fclose(file);
    if (done)
        *out = image;
    return done;
}

bool egi_image_decode(const egi_image *image, const char *path, uint8_t *dst, char *why)
{
    unsigned char head[HEAD_BYTES];
    FILE *file = open_image(path, head, why);
    if (!file)
        return false;
    const bool done = is_png(head, HEAD_BYTES) ? decode_png(image, file, dst, why) : decode_jpeg(image, file, dst, why);
    fclose(file);
    return done;
}
