/* Products on the plain units: which tile, and how far k is split. */
#include "cuda/gemm.h"

#include "core/ops/dense.h"
#include "cuda/cuda.h"

/* As in gemm.cu. `blocks` fill a processor; less than `least` of k is not worth a block and its share of a second pass.
 */
typedef struct tile {
    int64_t rows, columns, depth, least;
    int threads, blocks;
} tile;

static const tile large = {.rows = 128, .columns = 128, .depth = 8, .least = 256, .threads = 256, .blocks = 2},
                  small = {.rows = 32, .columns = 32, .depth = 16, .least = 128, .threads = 64, .blocks = 8};

#define BLOCK 256

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t tiles_of(const tile *t, const egi_cuda_gemm_args *g)
{
    return up(g->m, t->rows) * up(g->n, t->columns);
}

/* k is split where the tiles alone would leave processors idle. */
static int64_t splits_of(const egi_cuda *c, const tile *t, const egi_cuda_gemm_args *g)
{
    const int64_t tiles = tiles_of(t, g), wanted = tiles ? (int64_t)t->blocks * c->processors / tiles : 1;
    const int64_t most = g->k / t->least, splits = wanted < most ? wanted : most;
    return splits > 1 ? splits : 1;
}

/* Large tiles where they are not half empty and there is one for each processor. */
static const tile *choose(const egi_cuda *c, const egi_cuda_gemm_args *g)
{
    const bool wide = g->m > small.rows * 2 && g->n > small.columns * 2;
    return wide && tiles_of(&large, g) * splits_of(c, &large, g) >= c->processors ? &large : &small;
}

static bool quads(const void *data, int64_t pitch)
{
    return (uintptr_t)data % 16 == 0 && pitch % 4 == 0;
}

/* Launches `name`_large or `name`_small, and the second pass where k is split. */
static eg_status launch(egi_kernel *out, const char *const names[2], const egi_cuda_gemm_args *what, bool ta, bool tb)
{
    const egi_cuda *c = egi_cuda_of(out);
    egi_cuda_gemm_args g = *what;
    const tile *t = choose(c, &g);
    g.chunk = up(up(g.k, splits_of(c, t, &g)), t->depth) * t->depth;
    g.splits = g.k ? (int32_t)up(g.k, g.chunk) : 1;
    g.quads_a = quads(g.a, ta ? g.m : g.k);
    g.quads_b = quads(g.b, tb ? g.k : g.n);
    g.quads_c = quads(g.c, g.n);
    const uint16_t parts = g.splits > 1 ? EGI_FIELD(egi_cuda_gemm_args, parts) : 0;
    if (parts)
        out->scratch_bytes = (size_t)(g.splits * g.m * g.n) * sizeof(float);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = names[t == &small], .grid = {tiles_of(t, &g), 1, g.splits}, .block = t->threads,
                           .args = &g, .size = sizeof g, .scratch_field = parts));
    if (!parts)
        return EG_OK;
    return EGI_CUDA_LAUNCH(out, .name = "eg_gemm_join",
                           .grid = {egi_cuda_blocks(g.m * g.n, BLOCK, 16 * (int64_t)c->processors)}, .block = BLOCK,
                           .args = &g, .size = sizeof g, .scratch_field = parts);
}

static const char *const names[2][2][2] = {
    {{"eg_gemm_nn_large", "eg_gemm_nn_small"}, {"eg_gemm_nt_large", "eg_gemm_nt_small"}},
    {{"eg_gemm_tn_large", "eg_gemm_tn_small"}, {"eg_gemm_tt_large", "eg_gemm_tt_small"}},
};

eg_status egi_cuda_gemm(egi_device *device, egi_kernel *out)
{
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_gemm *a = out->args;
    const egi_tensor *c = &out->t[a->c];
    const egi_cuda_gemm_args args = {.a = egi_cuda_data(out, a->a),
                                     .b = egi_cuda_data(out, a->b),
                                     .c = c->data,
                                     .m = c->shape.dim[0],
                                     .n = c->shape.dim[1],
                                     .k = out->t[a->a].shape.dim[!a->ta],
                                     .accumulate = a->accumulate,
                                     .precision = (int32_t)device->context->precision,
                                     .act = EGI_ACT_LINEAR};
    return launch(out, names[a->ta][a->tb], &args, a->ta, a->tb);
}

eg_status egi_cuda_dense(egi_device *device, egi_kernel *out)
{
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_dense *a = out->args;
    const egi_shape *w = &out->t[a->w].shape;
    const egi_cuda_gemm_args args = {.a = egi_cuda_data(out, a->x),
                                     .b = egi_cuda_data(out, a->w),
                                     .bias = egi_cuda_data(out, a->b),
                                     .c = egi_cuda_data(out, a->y),
                                     .m = out->t[a->x].shape.dim[0],
                                     .n = w->dim[1],
                                     .k = w->dim[0],
                                     .precision = (int32_t)device->context->precision,
                                     .act = (int32_t)a->act,
                                     .alpha = a->alpha};
    return launch(out, names[false][false], &args, false, false);
}

eg_status egi_cuda_square_gemm(egi_device *device, egi_kernel *out)
{
    static const char *const square_names[2] = {"eg_square_gemm_large", "eg_square_gemm_small"};
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_square_gemm *a = out->args;
    const egi_shape *f = &out->t[a->f].shape;
    const egi_cuda_gemm_args args = {.a = egi_cuda_data(out, a->a),
                                     .b = egi_cuda_data(out, a->d),
                                     .c = egi_cuda_data(out, a->f),
                                     .m = f->dim[0],
                                     .n = f->dim[1],
                                     .k = out->t[a->a].shape.dim[0],
                                     .accumulate = true,
                                     .act = EGI_ACT_LINEAR};
    return launch(out, square_names, &args, true, false);
}
