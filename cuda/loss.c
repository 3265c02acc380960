/* Losses with their gradients, and what a Fisher estimate sends back. */
#include "cuda/loss.h"

#include "core/ops/loss.h"
#include "cuda/cuda.h"

#define BLOCK 256
#define MOST  1024 /* blocks of a loss, on any device: the order of its sums does not depend on the device */
#define ALONE 1024 /* threads of a block that needs no other */
#define FEW   8192 /* elements that it does faster than a second launch would take */

static egi_cuda_loss_sums sums_of(const egi_kernel *k, egi_val loss, egi_val correct)
{
    return (egi_cuda_loss_sums){.loss = egi_cuda_data(k, loss), .correct = egi_cuda_data(k, correct)};
}

/* The second pass, where there is more than one block. */
static eg_status add_sum(egi_kernel *out, const egi_cuda_loss_sums *sums, int64_t blocks)
{
    if (blocks == 1)
        return EG_OK;
    const egi_cuda_loss_sum_args args = {.sums = *sums, .blocks = blocks};
    out->scratch_bytes = (size_t)blocks * 2 * sizeof(double);
    return EGI_CUDA_LAUNCH(out, .name = "eg_loss_sum", .grid = {1}, .block = BLOCK, .args = &args, .size = sizeof args,
                           .scratch_field = EGI_FIELD(egi_cuda_loss_sum_args, sums.partials));
}

egi_cuda_xent egi_cuda_xent_of(const egi_kernel *k, const egi_softmax_xent *a, int64_t rows, int64_t columns)
{
    const double smoothing = (double)a->label_smoothing;
    return (egi_cuda_xent){.targets = egi_cuda_data(k, a->targets),
                           .labels = egi_cuda_data(k, a->labels),
                           .weights = egi_cuda_data(k, a->weights),
                           .rows = rows,
                           .columns = columns,
                           .scale = (double)a->scale / (double)rows,
                           .keep = (float)(1 - smoothing),
                           .spread = (float)(smoothing / (double)columns),
                           .hits = a->correct != EGI_NONE};
}

eg_status egi_cuda_softmax_xent(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_softmax_xent *a = out->args;
    const int64_t rows = out->t[a->z].shape.dim[0], columns = out->t[a->z].shape.dim[1];
    const int block = rows * columns <= FEW ? ALONE : BLOCK;
    const egi_cuda_xent_args args = {.x = egi_cuda_xent_of(out, a, rows, columns),
                                     .z = egi_cuda_data(out, a->z),
                                     .dz = egi_cuda_data(out, a->dz),
                                     .sums = sums_of(out, a->loss, a->correct),
                                     .lanes = egi_cuda_row_lanes(columns, block)};
    const int64_t blocks = block == ALONE ? 1 : egi_cuda_blocks(rows, block / args.lanes, MOST);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = "eg_softmax_xent", .grid = {blocks}, .block = block, .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_xent_args, sums.partials)));
    return add_sum(out, &args.sums, blocks);
}

eg_status egi_cuda_distill(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_distill *a = out->args;
    const int64_t rows = out->t[a->z].shape.dim[0], columns = out->t[a->z].shape.dim[1];
    const int block = rows * columns <= FEW ? ALONE : BLOCK;
    const egi_cuda_distill_args args = {.z = egi_cuda_data(out, a->z),
                                        .teacher = egi_cuda_data(out, a->teacher),
                                        .weights = egi_cuda_data(out, a->weights),
                                        .dz = egi_cuda_data(out, a->dz),
                                        .sums = sums_of(out, a->loss, EGI_NONE),
                                        .rows = rows,
                                        .columns = columns,
                                        .begin = a->begin,
                                        .old = out->t[a->teacher].shape.dim[1],
                                        .scale = (double)a->scale / (double)rows,
                                        .cool = 1 / a->temperature,
                                        .lanes = egi_cuda_row_lanes(columns, block)};
    const int64_t blocks = block == ALONE ? 1 : egi_cuda_blocks(rows, block / args.lanes, MOST);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = "eg_distill", .grid = {blocks}, .block = block, .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_distill_args, sums.partials)));
    return add_sum(out, &args.sums, blocks);
}

eg_status egi_cuda_pointwise_loss(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_pointwise_loss *a = out->args;
    const int64_t n = egi_count(&out->t[a->y]), rows = out->t[a->y].shape.dim[0];
    const double smoothing = a->kind <= EGI_LOSS_BCE ? (double)a->label_smoothing : 0;
    const egi_cuda_pointwise_args args = {.y = egi_cuda_data(out, a->y),
                                          .targets = egi_cuda_data(out, a->targets),
                                          .weights = egi_cuda_data(out, a->weights),
                                          .dy = egi_cuda_data(out, a->dy),
                                          .sums = sums_of(out, a->loss, a->correct),
                                          .n = n,
                                          .each = n / rows,
                                          .scale = (double)a->scale / (double)n,
                                          .keep = (float)(1 - smoothing),
                                          .spread = (float)(smoothing / 2),
                                          .threshold = a->kind == EGI_LOSS_BCE_LOGITS ? 0 : 0.5f,
                                          .kind = (int32_t)a->kind};
    const int64_t blocks = n <= FEW ? 1 : egi_cuda_blocks(n, BLOCK, MOST);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = "eg_pointwise_loss", .grid = {blocks}, .block = blocks == 1 ? ALONE : BLOCK,
                           .args = &args, .size = sizeof args,
                           .scratch_field = EGI_FIELD(egi_cuda_pointwise_args, sums.partials)));
    return add_sum(out, &args.sums, blocks);
}

eg_status egi_cuda_fisher_seed(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_fisher_seed *a = out->args;
    const bool by_row = a->head == EGI_HEAD_SOFTMAX;
    const egi_cuda_fisher_args args = {.z = egi_cuda_data(out, a->z),
                                       .targets = egi_cuda_data(out, a->targets),
                                       .labels = egi_cuda_data(out, a->labels),
                                       .weights = egi_cuda_data(out, a->weights),
                                       .dz = egi_cuda_data(out, a->dz),
                                       .control = egi_cuda_of(out)->control,
                                       .rows = out->t[a->z].shape.dim[0],
                                       .columns = out->t[a->z].shape.dim[1],
                                       .head = (int32_t)a->head,
                                       .mode = (int32_t)a->mode,
                                       .lanes = egi_cuda_lanes(out->t[a->z].shape.dim[1], 32)};
    const int64_t most = 16 * (int64_t)egi_cuda_of(out)->processors;
    const int64_t blocks = by_row && args.columns ? egi_cuda_blocks(args.rows, BLOCK / args.lanes, most)
                                                  : egi_cuda_blocks(args.rows * args.columns, BLOCK, most);
    return EGI_CUDA_LAUNCH(out, .name = by_row ? "eg_fisher_softmax" : "eg_fisher_each", .grid = {blocks},
                           .block = BLOCK, .args = &args, .size = sizeof args);
}
