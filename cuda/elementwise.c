/* Operations that compute every element by itself. */
#include "cuda/elementwise.h"

#include "core/ops/loss.h"
#include "core/ops/pointwise.h"
#include "cuda/cuda.h"

#include <math.h>

#define BLOCK 256

#define LAUNCH(k, kernel, blocks, a) \
    EGI_CUDA_LAUNCH((k), .name = (kernel), .grid = {(blocks)}, .block = BLOCK, .args = &(a), .size = sizeof(a))

static int64_t most_blocks(const egi_kernel *k)
{
    return 16 * (int64_t)egi_cuda_of(k)->processors;
}

/* Threads take four elements each where they can. */
static int64_t blocks_for(const egi_kernel *k, int64_t n, bool vector)
{
    return egi_cuda_blocks(n, vector ? 4 * BLOCK : BLOCK, most_blocks(k));
}

eg_status egi_cuda_add(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_add *a = out->args;
    egi_cuda_add_args args = {.a = egi_cuda_data(out, a->a),
                              .b = egi_cuda_data(out, a->b),
                              .y = egi_cuda_data(out, a->y),
                              .n = egi_count(&out->t[a->y]),
                              .act = (int32_t)a->act,
                              .alpha = a->alpha};
    args.vector = egi_cuda_aligned(args.a) && egi_cuda_aligned(args.b) && egi_cuda_aligned(args.y);
    return LAUNCH(out, "eg_add", blocks_for(out, args.n, args.vector), args);
}

eg_status egi_cuda_activation(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_activation *a = out->args;
    egi_cuda_act_args args = {.x = egi_cuda_data(out, a->x),
                              .y = egi_cuda_data(out, a->y),
                              .n = egi_count(&out->t[a->y]),
                              .act = (int32_t)a->act,
                              .alpha = a->alpha,
                              .max_value = a->max_value,
                              .threshold = a->threshold};
    args.vector = egi_cuda_aligned(args.x) && egi_cuda_aligned(args.y);
    return LAUNCH(out, "eg_activation", blocks_for(out, args.n, args.vector), args);
}

eg_status egi_cuda_activate(egi_kernel *k, float *y, int64_t n, egi_act act, float alpha)
{
    const egi_cuda_act_args args = {
        .x = y, .y = y, .n = n, .act = (int32_t)act, .alpha = alpha, .vector = egi_cuda_aligned(y)};
    return LAUNCH(k, "eg_activation", blocks_for(k, n, args.vector), args);
}

eg_status egi_cuda_activation_grad(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_activation_grad *a = out->args;
    egi_cuda_act_args args = {.x = egi_cuda_data(out, a->dy),
                              .at = egi_cuda_data(out, egi_act_by_output(a->act) ? a->y : a->x),
                              .y = egi_cuda_data(out, a->dx),
                              .n = egi_count(&out->t[a->dx]),
                              .act = (int32_t)a->act,
                              .alpha = a->alpha,
                              .max_value = a->max_value,
                              .threshold = a->threshold};
    args.vector = egi_cuda_aligned(args.x) && egi_cuda_aligned(args.at) && egi_cuda_aligned(args.y);
    return LAUNCH(out, "eg_activation_grad", blocks_for(out, args.n, args.vector), args);
}

eg_status egi_cuda_copy(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_copy *a = out->args;
    egi_cuda_copy_args args = {
        .x = egi_cuda_data(out, a->x), .y = egi_cuda_data(out, a->y), .n = egi_count(&out->t[a->y])};
    args.vector = egi_cuda_aligned(args.x) && egi_cuda_aligned(args.y);
    return LAUNCH(out, "eg_copy", blocks_for(out, args.n, args.vector), args);
}

eg_status egi_cuda_dropout(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_dropout *a = out->args;
    egi_cuda_dropout_args args = {.x = egi_cuda_data(out, a->x),
                                  .y = egi_cuda_data(out, a->y),
                                  .control = egi_cuda_of(out)->control,
                                  .n = egi_count(&out->t[a->y]),
                                  .stream = a->stream,
                                  .keep = (uint32_t)ceil((double)a->rate * 0x1p24),
                                  .scale = (float)(1 / (1 - (double)a->rate))};
    args.vector = egi_cuda_aligned(args.x) && egi_cuda_aligned(args.y);
    return LAUNCH(out, "eg_dropout", blocks_for(out, args.n, true), args);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static eg_status frame(egi_kernel *out, egi_val from, egi_val to, int64_t top, int64_t left)
{
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const int64_t *x = out->t[from].shape.dim, *y = out->t[to].shape.dim, channels = y[3];
    const bool vector = channels % 4 == 0 && egi_cuda_aligned(out->t[from].data) && egi_cuda_aligned(out->t[to].data);
    const int64_t width = vector ? channels / 4 : channels; /* of a place, in elements of the kernel */
    const egi_cuda_frame_args args = {.x = egi_cuda_data(out, from),
                                      .y = egi_cuda_data(out, to),
                                      .rows = egi_count(&out->t[to]) ? y[0] * y[1] : 0,
                                      .y_height = y[1],
                                      .x_height = x[1],
                                      .y_columns = y[2] * width,
                                      .x_columns = x[2] * width,
                                      .top = top,
                                      .left = left * width,
                                      .lanes = egi_cuda_lanes(y[2] * width, BLOCK)};
    const int64_t blocks = egi_cuda_blocks(args.rows, BLOCK / args.lanes, most_blocks(out));
    return LAUNCH(out, vector ? "eg_frame4" : "eg_frame", blocks, args);
}

eg_status egi_cuda_pad2d(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_pad2d *a = out->args;
    return frame(out, a->x, a->y, a->top, a->left);
}

eg_status egi_cuda_crop2d(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_crop2d *a = out->args;
    return frame(out, a->x, a->y, -a->top, -a->left);
}

eg_status egi_cuda_record(egi_device *device, egi_kernel *out)
{
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_record *a = out->args;
    const egi_tensor *ring = &out->t[a->ring];
    egi_cuda_record_args args = {.ring = (float *)ring->data + a->first,
                                 .control = ((egi_cuda *)device)->control,
                                 .rows = ring->shape.dim[0],
                                 .columns = ring->shape.dim[1]};
    for (int i = 0; i < EGI_RECORD_MOST; i++)
        args.x[i] = egi_cuda_data(out, a->x[i]);
    return EGI_CUDA_LAUNCH(out, .name = "eg_record", .grid = {1}, .block = 32, .args = &args, .size = sizeof args);
}
