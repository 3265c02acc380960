/* Batch normalisation: training, with stored statistics, their gradients and squared gradients, and folding. */
#include "cuda/norm.h"

#include "core/ops/batchnorm.h"
#include "cuda/cuda.h"
#include "cuda/reduce.h"

#define FORWARD_SCRATCH  EGI_FIELD(egi_cuda_batchnorm_args, parts)
#define BACKWARD_SCRATCH EGI_FIELD(egi_cuda_batchnorm_grad_args, sums)
#define DATA(field)      egi_cuda_data(out, a->field)

/* x as (samples, rows, c): samples is 1 or the first dimension. */
static egi_cuda_columns columns_of(const egi_kernel *k, egi_val x, int64_t samples, int vector)
{
    const egi_shape *s = &k->t[x].shape;
    const int64_t rows = egi_shape_span(s, 0, s->rank - 1);
    return egi_cuda_columns_of(samples, samples ? rows / samples : 0, s->dim[s->rank - 1], vector);
}

static int64_t channels(const egi_kernel *k, egi_val x)
{
    return k->t[x].shape.dim[k->t[x].shape.rank - 1];
}

/* --- forward ------------------------------------------------------------------------------------------------------ */

eg_status egi_cuda_batchnorm(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_columns g =
        columns_of(out, a->x, 1, EGI_COLUMNS_VECTOR(channels(out, a->x), DATA(x), DATA(r), DATA(y)));
    egi_cuda_batchnorm_args args = {.g = g,
                                    .rows = g.rows,
                                    .chunks = g.chunks,
                                    .x = DATA(x),
                                    .r = DATA(r),
                                    .gamma = DATA(gamma),
                                    .beta = DATA(beta),
                                    .y = DATA(y),
                                    .mean = DATA(mean),
                                    .istd = DATA(istd),
                                    .scatter = DATA(istd),
                                    .moving_mean = DATA(moving_mean),
                                    .moving_var = DATA(moving_var),
                                    .epsilon = a->epsilon,
                                    .momentum = a->momentum,
                                    .alpha = a->alpha,
                                    .unbiased = a->unbiased,
                                    .act = (int32_t)a->act};
    out->scratch_bytes = 2 * (size_t)egi_cuda_columns_parts(&g) * sizeof(double);
    EG_TRY(EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_moments", args, FORWARD_SCRATCH));
    args.g = egi_cuda_columns_few(1, g.chunks, g.c);
    EG_TRY(EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_statistics", args, FORWARD_SCRATCH));
    args.g = g;
    return EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_apply", args, 0);
}

eg_status egi_cuda_batchnorm_infer(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_batchnorm_args args = {
        .g = columns_of(out, a->x, 1, EGI_COLUMNS_VECTOR(channels(out, a->x), DATA(x), DATA(r), DATA(y))),
        .x = DATA(x),
        .r = DATA(r),
        .gamma = DATA(gamma),
        .beta = DATA(beta),
        .mean = DATA(mean),
        .scatter = DATA(var),
        .stored = true,
        .y = DATA(y),
        .epsilon = a->epsilon,
        .alpha = a->alpha,
        .act = (int32_t)a->act};
    return EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_apply", args, 0);
}

/* --- backward ----------------------------------------------------------------------------------------------------- */

/* The pass over the matrix, and what is made of its sums. */
static eg_status launch_sums(egi_kernel *out, egi_cuda_batchnorm_grad_args args)
{
    const egi_cuda_columns g = args.g;
    const size_t factors = 2 * (size_t)g.c * sizeof(float);
    out->scratch_bytes = 2 * (size_t)args.parts * sizeof(double) + factors;
    EG_TRY(EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_sums", args, BACKWARD_SCRATCH));
    if (!args.summed)
        return EG_OK;
    args.g = egi_cuda_columns_few(1, g.chunks, g.c);
    return EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_sums_finish", args, BACKWARD_SCRATCH);
}

/* dz is written by the first pass where it is wanted, and read by the second: it may be dy. */
static eg_status launch_dx(egi_kernel *out, egi_cuda_batchnorm_grad_args args)
{
    if (args.dz) {
        args.dy = args.dz;
        args.y = NULL;
    }
    return EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_dx", args, BACKWARD_SCRATCH);
}

eg_status egi_cuda_batchnorm_grad(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_grad *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_columns g = columns_of(
        out, a->x, 1, EGI_COLUMNS_VECTOR(channels(out, a->x), DATA(dy), DATA(y), DATA(x), DATA(dr), DATA(dx)));
    egi_cuda_batchnorm_grad_args args = {.g = g,
                                         .rows = g.rows,
                                         .parts = egi_cuda_columns_parts(&g),
                                         .dy = DATA(dy),
                                         .y = DATA(y),
                                         .x = DATA(x),
                                         .gamma = DATA(gamma),
                                         .mean = DATA(mean),
                                         .scatter = DATA(istd),
                                         .dz = DATA(dr),
                                         .dgamma = DATA(dgamma),
                                         .dbeta = DATA(dbeta),
                                         .alpha = a->alpha,
                                         .act = (int32_t)a->act,
                                         .summed = true};
    EG_TRY(launch_sums(out, args)); /* dx may be an input: it is left to the second pass */
    args.dx = DATA(dx);
    return args.dx ? launch_dx(out, args) : EG_OK;
}

eg_status egi_cuda_batchnorm_infer_grad(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer_grad *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_columns g = columns_of(
        out, a->x, 1, EGI_COLUMNS_VECTOR(channels(out, a->x), DATA(dy), DATA(y), DATA(x), DATA(dr), DATA(dx)));
    return launch_sums(out, (egi_cuda_batchnorm_grad_args){.g = g,
                                                           .rows = g.rows,
                                                           .parts = egi_cuda_columns_parts(&g),
                                                           .dy = DATA(dy),
                                                           .y = DATA(y),
                                                           .x = DATA(x),
                                                           .gamma = DATA(gamma),
                                                           .mean = DATA(mean),
                                                           .scatter = DATA(var),
                                                           .stored = true,
                                                           .dz = DATA(dr),
                                                           .dx = DATA(dx),
                                                           .dgamma = DATA(dgamma),
                                                           .dbeta = DATA(dbeta),
                                                           .epsilon = a->epsilon,
                                                           .alpha = a->alpha,
                                                           .act = (int32_t)a->act,
                                                           .summed = a->dgamma || a->dbeta});
}

/* f += the squares of one of the sums. */
static eg_status launch_squares(egi_kernel *out, const egi_cuda_columns *g, int64_t offset, float *f, const float *var,
                                float epsilon)
{
    const egi_cuda_square_args args = {.g = egi_cuda_columns_few(1, g->samples, g->c),
                                       .chunks = g->chunks,
                                       .offset = offset,
                                       .var = var,
                                       .f = f,
                                       .epsilon = epsilon};
    return f ? EGI_COLUMNS_LAUNCH(out, "eg_square_finish", args, EGI_FIELD(egi_cuda_square_args, parts)) : EG_OK;
}

eg_status egi_cuda_batchnorm_infer_square(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_infer_square *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_columns g =
        columns_of(out, a->dy, out->t[a->dy].shape.dim[0], EGI_COLUMNS_VECTOR(channels(out, a->dy), DATA(dy), DATA(x)));
    const egi_cuda_batchnorm_grad_args args = {.g = g,
                                               .parts = egi_cuda_columns_parts(&g),
                                               .dy = DATA(dy),
                                               .x = DATA(x),
                                               .mean = DATA(mean),
                                               .scatter = DATA(var),
                                               .stored = true,
                                               .epsilon = a->epsilon,
                                               .summed = true};
    out->scratch_bytes = 2 * (size_t)args.parts * sizeof(double);
    EG_TRY(EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_sums", args, BACKWARD_SCRATCH));
    EG_TRY(launch_squares(out, &g, 0, DATA(fbeta), NULL, 0));
    return launch_squares(out, &g, args.parts, DATA(fgamma), DATA(var), a->epsilon);
}

/* --- folding ------------------------------------------------------------------------------------------------------ */

eg_status egi_cuda_batchnorm_fold(egi_device *device, egi_kernel *out)
{
    const egi_batchnorm_fold *a = out->args;
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_batchnorm_fold_args args = {
        .g = columns_of(out, a->w, 1, EGI_COLUMNS_VECTOR(channels(out, a->w), DATA(w), DATA(fw))),
        .w = DATA(w),
        .b = DATA(b),
        .gamma = DATA(gamma),
        .beta = DATA(beta),
        .mean = DATA(mean),
        .var = DATA(var),
        .fw = DATA(fw),
        .fb = DATA(fb),
        .epsilon = a->epsilon};
    return EGI_COLUMNS_LAUNCH(out, "eg_batchnorm_fold", args, 0);
}
