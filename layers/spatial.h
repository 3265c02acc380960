/** layers/spatial.h: what layers over height and width share: data formats, padding, windows. */
#ifndef EGI_SPATIAL_H
#define EGI_SPATIAL_H

#include "core/layer.h"

#define EGI_WINDOW_MAX 1048576 /* of a kernel, a stride, a dilation: their products never overflow */

/** `choice`: of EGI_DATA_FORMAT. Errors: UNSUPPORTED for channels first. */
EG_MUST_USE eg_status egi_check_data_format(int choice);
#define EGI_DATA_FORMAT(T)                                                                                            \
    {                                                                                                                 \
        .name = "data_format", .alias = "dim_ordering", .kind = EGI_FIELD_CHOICE, .offset = offsetof(T, data_format), \
        .fallback = "channels_last", .choices = "channels_last|channels_first|tf|th", /* tf, th: Keras 1 */           \
            .help = "order of the dimensions: only channels last"                                                     \
    }

typedef enum egi_padding { EGI_PADDING_VALID, EGI_PADDING_SAME } egi_padding;
#define EGI_PADDING(T)                                                                                              \
    {                                                                                                               \
        .name = "padding", .alias = "border_mode", .kind = EGI_FIELD_CHOICE, .offset = offsetof(T, padding),        \
        .fallback = "valid", .choices = "valid|same",                                                               \
        .help =                                                                                                     \
            "valid: none; same: the output has ceil(input / stride) positions, an odd one is added bottom or right" \
    }

/** A window that slides over height and width. */
typedef struct egi_window {
    int64_t size[2], stride[2], dilation[2];
    int padding; /* egi_padding */
} egi_window;

/** Positions and padding before (top, left) for an input of `height` x `width`. Errors: SHAPE when the window does not
 * fit. */
EG_MUST_USE eg_status egi_window_place(const egi_window *window, int64_t height, int64_t width, int64_t out[2],
                                       int64_t before[2]);

/** Input 0 is (h, w, c), per sample. Errors: SHAPE. */
EG_MUST_USE eg_status egi_want_image(const egi_builder *b);

#endif
