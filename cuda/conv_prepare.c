/* What the prepare functions of convolutions share: sizes, pooling, and sums of parts. */
#include "cuda/conv_prepare.h"

#define BLOCK 256
#define FAR   ((int64_t)1 << 29) /* coordinates stay below: sums of two do not overflow */

egi_divisor egi_cuda_divisor(int64_t by)
{
    uint32_t log = 0;
    while ((int64_t)1 << log < by)
        log++;
    if (by == 1)
        return (egi_divisor){.by = 1};
    const uint64_t multiplier = (((uint64_t)1 << (31 + log)) + (uint64_t)by - 1) / (uint64_t)by;
    return (egi_divisor){.by = (uint32_t)by, .multiplier = (uint32_t)multiplier, .shift = log - 1};
}

int64_t egi_cuda_conv_pixels(const egi_cuda_conv *c)
{
    return c->d.n * c->d.oh * c->d.ow;
}

/* a * b * c, or a number that is too large. */
static int64_t product(int64_t a, int64_t b, int64_t c)
{
    const double exact = (double)a * (double)b * (double)c;
    return exact < 9e18 ? a * b * c : INT64_MAX;
}

static bool axis_fits(const egi_cuda_conv *c, int axis, int64_t in, int64_t kernel)
{
    const egi_conv_geometry *g = c->g;
    if (g->stride[axis] >= FAR || (double)kernel * (double)g->dilation[axis] >= (double)FAR || in >= FAR)
        return false;
    return !c->pool || (c->pool->g.stride[axis] < FAR && c->pool->g.window[axis] < 1 << 15);
}

static bool fits(const egi_cuda_conv *c)
{
    const egi_conv_dims *d = &c->d;
    const int64_t limit = INT32_MAX / 4;
    return axis_fits(c, 0, d->h, d->kh) && axis_fits(c, 1, d->w, d->kw) && product(d->n, d->h, d->w) < limit &&
           product(d->n, d->oh, d->ow) < limit && product(d->kh, d->kw, d->cg) < limit &&
           product(1, d->h, d->w) < limit && product(d->kh, d->kw, d->fg) < limit && d->c < limit && d->f < limit;
}

eg_status egi_cuda_conv_of(const egi_kernel *k, egi_val x, egi_val kernel, egi_val y, const egi_conv_geometry *g,
                           const egi_conv_pool *pool, egi_cuda_conv *out)
{
    const egi_shape *ys = &k->t[y].shape;
    *out = (egi_cuda_conv){.g = g,
                           .pool = pool && pool->size[0] ? pool : NULL,
                           .d = egi_conv_dims_of(&k->t[x].shape, &k->t[kernel].shape, ys, pool),
                           .pooled = {ys->dim[1], ys->dim[2]}};
    return egi_cuda_is_f32(k) && fits(out) ? EG_OK : EGI_CUDA_DECLINE;
}

bool egi_cuda_conv_is_depthwise(const egi_cuda_conv *c)
{
    return c->d.cg == 1 && c->g->groups > 1;
}

bool egi_cuda_conv_vectors(const egi_kernel *k, const egi_cuda_conv *c, const egi_val *values, int n)
{
    const bool depthwise = egi_cuda_conv_is_depthwise(c);
    for (int i = 0; i < n; i++)
        if ((uintptr_t)egi_cuda_data(k, values[i]) % 16)
            return false;
    return depthwise ? c->d.fg == 1 && c->d.c % 4 == 0 : c->d.cg % 4 == 0 && c->d.fg % 4 == 0;
}

void egi_cuda_walk(const egi_kernel *k, int64_t pixels, int64_t channels, int vector, int32_t *lanes, int64_t *grid)
{
    const int64_t threads = (channels + vector - 1) / vector;
    for (*lanes = 1; *lanes < threads && *lanes < BLOCK;)
        *lanes *= 2;
    grid[0] = egi_cuda_blocks(pixels, BLOCK / *lanes, 16 * (int64_t)egi_cuda_of(k)->processors);
    grid[1] = (threads + *lanes - 1) / *lanes;
}

egi_cuda_window egi_cuda_window_of(const egi_cuda_conv *c)
{
    egi_cuda_window w = {.rows = egi_cuda_divisor(c->pooled[0]), .columns = egi_cuda_divisor(c->pooled[1])};
    for (int axis = 0; axis < 2; axis++) {
        w.window[axis] = (int32_t)c->pool->g.window[axis];
        w.stride[axis] = (int32_t)c->pool->g.stride[axis];
        w.pad[axis] = (int32_t)c->pool->g.pad[axis];
        w.size[axis] = (int32_t)c->pool->size[axis];
    }
    return w;
}

eg_status egi_cuda_unpool(egi_kernel *k, const egi_cuda_conv *c, egi_val dy, egi_val index, int64_t *floats)
{
    *floats = 0;
    if (!c->pool)
        return EG_OK;
    egi_cuda_unpool_args args = {.window = egi_cuda_window_of(c),
                                 .rows = egi_cuda_divisor(c->d.oh),
                                 .columns = egi_cuda_divisor(c->d.ow),
                                 .dy = egi_cuda_data(k, dy),
                                 .index = egi_cuda_data(k, index),
                                 .pixels = (uint32_t)egi_cuda_conv_pixels(c),
                                 .f = (int32_t)c->d.f};
    int64_t grid[2];
    egi_cuda_walk(k, args.pixels, c->d.f, 1, &args.lanes, grid);
    *floats = args.pixels * c->d.f;
    return EGI_CUDA_LAUNCH(k, .name = "eg_conv_unpool", .grid = {grid[0], grid[1]}, .block = BLOCK, .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_unpool_args, dz));
}

eg_status egi_cuda_pool(egi_kernel *k, const egi_cuda_conv *c, egi_val y, egi_val index)
{
    egi_cuda_conv_pool_args args = {.window = egi_cuda_window_of(c),
                                    .y = egi_cuda_data(k, y),
                                    .index = egi_cuda_data(k, index),
                                    .pixels = (uint32_t)(c->d.n * c->pooled[0] * c->pooled[1]),
                                    .f = (int32_t)c->d.f};
    int64_t grid[2];
    egi_cuda_walk(k, args.pixels, c->d.f, 1, &args.lanes, grid);
    return EGI_CUDA_LAUNCH(k, .name = "eg_conv_pool", .grid = {grid[0], grid[1]}, .block = BLOCK, .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_conv_pool_args, x));
}

/* Enough splits to fill the device several times over, and sums in f32 of at most 4096 pixels; but not so many that
 * adding the parts is the work. */
egi_cuda_parts egi_cuda_parts_of(const egi_kernel *k, const egi_cuda_conv *c, int64_t blocks, int64_t unit)
{
    const int64_t pixels = egi_cuda_conv_pixels(c), wanted = 6 * (int64_t)egi_cuda_of(k)->processors / blocks,
                  least = (pixels + 4095) / 4096, most = (pixels + 127) / 128;
    int64_t splits = wanted < most ? wanted : most;
    splits = splits < least ? least : splits;
    splits = splits > 65535 / c->g->groups ? 65535 / c->g->groups : splits;
    splits = splits < 1 ? 1 : splits;
    const int64_t units = (pixels + unit * splits - 1) / (unit * splits), each = units < 1 ? unit : units * unit;
    return (egi_cuda_parts){.splits = pixels ? (pixels + each - 1) / each : 1, .each = each};
}

eg_status egi_cuda_add_parts(egi_kernel *k, const egi_cuda_conv *c, const egi_cuda_parts *parts, int64_t before,
                             egi_val dw, egi_val db, bool add)
{
    const int64_t n = egi_count(&k->t[dw]), part = n + c->d.f;
    const egi_cuda_parts_args args = {.dw = egi_cuda_data(k, dw),
                                      .db = egi_cuda_data(k, db),
                                      .parts = before,
                                      .part = part,
                                      .n_dw = n,
                                      .n = db == EGI_NONE ? n : part,
                                      .splits = (int32_t)parts->splits,
                                      .add = add};
    k->scratch_bytes = (size_t)(before + parts->splits * part) * sizeof(float);
    return EGI_CUDA_LAUNCH(k, .name = "eg_conv_add_parts",
                           .grid = {egi_cuda_blocks(args.n, BLOCK, 16 * (int64_t)egi_cuda_of(k)->processors)},
                           .block = BLOCK, .args = &args, .size = sizeof args,
                           .scratch_field = EGI_FIELD(egi_cuda_parts_args, scratch));
}
