/** data/image.h: PNG and JPEG files to rows of bytes. Any thread may call these: they use no context, and failures are
 * text. */
#ifndef EGI_IMAGE_H
#define EGI_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EGI_IMAGE_WHY 200

typedef struct egi_image {
    int64_t width, height;
    int channels; /* 1 gray, 3 colour; an alpha channel is dropped, as Keras' loaders do */
} egi_image;

/** Is it a PNG or a JPEG by its first bytes? */
bool egi_image_magic(const unsigned char *head, int64_t n);

/** Size and channels from the file's header; false: `why` (room EGI_IMAGE_WHY) says what was wanted and found. */
bool egi_image_probe(egi_image *out, const char *path, char *why);

/** Decodes a file of exactly the size `image`, in its number of channels (gray is repeated where 3 are wanted), into
 * dst (height, width, channels). 16-bit samples keep their high byte; colour profiles and EXIF rotation are ignored, as
 * Keras' loaders do. */
bool egi_image_decode(const egi_image *image, const char *path, uint8_t *dst, char *why);

#endif
