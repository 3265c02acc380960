/* Sums and means by column. */
#include "cuda/reduce.h"

#include "core/ops/dense.h"
#include "core/ops/pool.h"
#include "cuda/cuda.h"

/* x as (samples, rows, c): its first dimension is samples where `by_sample`. */
static egi_cuda_columns columns_of(const egi_kernel *k, egi_val x, bool by_sample)
{
    const egi_shape *s = &k->t[x].shape;
    const int64_t c = s->dim[s->rank - 1];
    return egi_cuda_columns_of(by_sample ? s->dim[0] : 1, egi_shape_span(s, by_sample, s->rank - 1), c,
                               EGI_COLUMNS_VECTOR(c, egi_cuda_data(k, x)));
}

/* x NULL: it lies where scratch begins. The parts lie behind it. */
static eg_status launch_sums(egi_kernel *out, egi_cuda_sum_args args)
{
    const uint16_t x = args.x ? 0 : EGI_FIELD(egi_cuda_sum_args, x), parts = EGI_FIELD(egi_cuda_sum_args, parts);
    const size_t taken = args.x ? 0 : (size_t)(args.g.rows * args.g.c) * sizeof(float), at = (taken + 63) / 64 * 64,
                 wanted = at + (size_t)egi_cuda_columns_parts(&args.g) * sizeof(double);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = "eg_column_sum", .grid = {egi_cuda_columns_grid(&args.g)},
                           .block = egi_cuda_columns_block(&args.g), .args = &args, .size = sizeof args,
                           .scratch_field = parts, .scratch_at = at, .second_field = x));
    if (args.g.chunks == 1)
        return EG_OK;
    if (out->scratch_bytes < wanted)
        out->scratch_bytes = wanted;
    args.g = egi_cuda_columns_few(args.g.samples, args.g.chunks, args.g.c);
    return EGI_CUDA_LAUNCH(out, .name = "eg_column_sum_finish", .grid = {egi_cuda_columns_grid(&args.g)},
                           .block = egi_cuda_columns_block(&args.g), .args = &args, .size = sizeof args,
                           .scratch_field = parts, .scratch_at = at);
}

eg_status egi_cuda_column_sum_add(egi_kernel *k, const float *x, int64_t rows, int64_t c, float *y)
{
    const egi_cuda_columns g = egi_cuda_columns_of(1, rows, c, EGI_COLUMNS_VECTOR(c, x));
    return launch_sums(k, (egi_cuda_sum_args){.g = g, .x = x, .y = y, .count = 1});
}

eg_status egi_cuda_column_sum(egi_device *device, egi_kernel *out)
{
    const egi_column_sum *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    return launch_sums(out, (egi_cuda_sum_args){.g = columns_of(out, a->x, false),
                                                .x = egi_cuda_data(out, a->x),
                                                .y = egi_cuda_data(out, a->y),
                                                .count = 1});
}

eg_status egi_cuda_spatial_mean(egi_device *device, egi_kernel *out)
{
    const egi_spatial_mean *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    egi_cuda_sum_args args = {
        .g = columns_of(out, a->x, true), .x = egi_cuda_data(out, a->x), .y = egi_cuda_data(out, a->y)};
    args.count = (double)args.g.rows;
    return launch_sums(out, args);
}

eg_status egi_cuda_spatial_mean_grad(egi_device *device, egi_kernel *out)
{
    const egi_spatial_mean_grad *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_spread_args args = {
        .g = columns_of(out, a->dx, true), .dy = egi_cuda_data(out, a->dy), .dx = egi_cuda_data(out, a->dx)};
    return EGI_COLUMNS_LAUNCH(out, "eg_mean_spread", args, 0);
}

eg_status egi_cuda_square_column_sum(egi_device *device, egi_kernel *out)
{
    const egi_square_column_sum *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    egi_cuda_sum_args sums = {.g = columns_of(out, a->x, true), .x = egi_cuda_data(out, a->x), .to_parts = true};
    const egi_cuda_columns *g = &sums.g;
    const egi_cuda_square_args squares = {
        .g = egi_cuda_columns_few(1, g->samples, g->c), .chunks = g->chunks, .f = egi_cuda_data(out, a->f)};
    out->scratch_bytes = (size_t)egi_cuda_columns_parts(g) * sizeof(double);
    EG_TRY(EGI_COLUMNS_LAUNCH(out, "eg_column_sum", sums, EGI_FIELD(egi_cuda_sum_args, parts)));
    return EGI_COLUMNS_LAUNCH(out, "eg_square_finish", squares, EGI_FIELD(egi_cuda_square_args, parts));
}
