/* ZeroPadding2D: zeros around height and width.  x: (h, w, c)  y: (h + top + bottom, w + left + right, c). */
#include "core/ops/pointwise.h"
#include "layers/spatial.h"

typedef struct config {
    int64_t padding[4]; /* top, bottom, left, right */
    int data_format;
} config;

static const egi_field fields[] = {
    EGI_PAD(config, padding, "1", 0, EGI_WINDOW_MAX, "rows and columns of zeros"),
    EGI_DATA_FORMAT(config),
};

static eg_status check(const void *config_)
{
    return egi_check_data_format(((const config *)config_)->data_format);
}

static eg_status build(egi_builder *b, const void *config_)
{
    const int64_t *pad = ((const config *)config_)->padding;
    EG_TRY(egi_want_image(b));
    return egi_out_shape(
        b, EGI_SHAPE(egi_in_dim(b, 0) + pad[0] + pad[1], egi_in_dim(b, 1) + pad[2] + pad[3], egi_in_dim(b, 2)));
}

static eg_status emit(egi_emit *e, const void *config_)
{
    const int64_t *pad = ((const config *)config_)->padding;
    return EGI_EMIT(egi_emit_plan(e), pad2d, .x = egi_in(e, 0), .y = egi_out(e), .top = pad[0], .left = pad[2]);
}

static const egi_layer_case cases[] = {
    {.config = "{}", .in = {EGI_STATIC_SHAPE(3, 4, 2)}, .n_in = 1},
    {.config = "{\"padding\": [2, 1]}", .in = {EGI_STATIC_SHAPE(2, 5, 3)}, .n_in = 1},
    {.config = "{\"padding\": [[0, 1], [2, 3]]}", .in = {EGI_STATIC_SHAPE(4, 4, 1)}, .n_in = 1},
};

const egi_layer_type egi_layer_zero_padding2d = {
    .keras = "ZeroPadding2D",
    .config = sizeof(config),
    EGI_FIELDS(fields),
    .build = build,
    .emit = emit,
    .check = check,
    EGI_LAYER_CASES(cases),
};
