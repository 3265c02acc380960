#include "layers/pooling.h"

eg_status egi_pooling_check(const void *config)
{
    return egi_check_data_format(((const egi_pooling *)config)->data_format);
}

static egi_window window_of(const egi_pooling *c)
{
    egi_window w = {.dilation = {1, 1}, .padding = c->padding};
    for (int i = 0; i < 2; i++) {
        w.size[i] = c->pool_size[i];
        w.stride[i] = c->strides[i] > 0 ? c->strides[i] : c->pool_size[i];
    }
    return w;
}

eg_status egi_pooling_build(egi_builder *b, const void *config)
{
    EG_TRY(egi_want_image(b));
    const egi_window window = window_of(config);
    int64_t out[2], before[2];
    EG_TRY(egi_window_place(&window, egi_in_dim(b, 0), egi_in_dim(b, 1), out, before));
    return egi_out_shape(b, EGI_SHAPE(out[0], out[1], egi_in_dim(b, 2)));
}

eg_status egi_pooling_geometry(egi_emit *e, const egi_pooling *config, egi_pool_geometry *out)
{
    const egi_plan *p = egi_emit_plan(e);
    const egi_val x = egi_in(e, 0);
    const egi_window w = window_of(config);
    int64_t positions[2];
    *out = (egi_pool_geometry){.window = {w.size[0], w.size[1]}, .stride = {w.stride[0], w.stride[1]}};
    return egi_window_place(&w, egi_dim(p, x, 1), egi_dim(p, x, 2), positions, out->pad);
}
