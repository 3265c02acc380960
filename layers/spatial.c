#include "layers/spatial.h"

#include "core/ops/conv2d.h"

eg_status egi_check_data_format(int choice)
{
    if (choice == 1 || choice == 3)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: data_format '%s'; convert the model to channels_last",
                        choice == 1 ? "channels_first" : "th");
    return EG_OK;
}

eg_status egi_window_place(const egi_window *w, int64_t height, int64_t width, int64_t out[2], int64_t before[2])
{
    const int64_t in[2] = {height, width};
    for (int i = 0; i < 2; i++) {
        if (w->padding == EGI_PADDING_SAME) {
            egi_conv_same(in[i], w->size[i], w->stride[i], w->dilation[i], &out[i], &before[i]);
        } else {
            out[i] = egi_conv_valid(in[i], w->size[i], w->stride[i], w->dilation[i]);
            before[i] = 0;
        }
        if (out[i] < 1)
            return egi_fail(EG_ERR_SHAPE, "a window of %lld x %lld does not fit into an input of %lld x %lld",
                            (long long)((w->size[0] - 1) * w->dilation[0] + 1),
                            (long long)((w->size[1] - 1) * w->dilation[1] + 1), (long long)height, (long long)width);
    }
    return EG_OK;
}

eg_status egi_want_image(const egi_builder *b)
{
    const egi_shape *in = egi_in_shape(b, 0);
    if (in->rank != 3)
        return egi_fail(EG_ERR_SHAPE, "input: wanted (height, width, channels), found %s", egi_shape_format(in).s);
    return EG_OK;
}
