/* Batches out of a data set that is on the device. */
#include "cuda/gather.h"

#include "cuda/cuda.h"

#define BLOCK 256
#define EACH  4     /* values, or fours of them, that a thread takes of an example */
#define MOST  65535 /* pieces of an example at once */

/* Can a thread take four neighbours at once: are they so in x and y, and aligned in every example? */
static bool by_four(const egi_cuda_gather_args *p, egi_dtype dtype)
{
    const bool aligned = dtype == EGI_U8 ? (uintptr_t)p->x % 4 == 0 : egi_cuda_aligned(p->x);
    return p->n % 4 == 0 && aligned && egi_cuda_aligned(p->y) && egi_cuda_aligned(p->base) && !p->affine.reversed &&
           !p->augment.flip && !p->augment.shift;
}

static bool set_image(egi_cuda_gather_args *p, const egi_tensor *x, const egi_tensor *y)
{
    egi_picture image = {.channels = 1};
    egi_gather_picture(&x->shape, &y->shape, &image);
    p->height = (int32_t)image.height;
    p->width = (int32_t)image.width;
    p->channels = (int32_t)image.channels;
    return image.height <= INT32_MAX / 2 && image.width <= INT32_MAX / 2 && image.channels <= INT32_MAX;
}

eg_status egi_cuda_gather_examples(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_gather *a = out->args;
    const egi_tensor *x = &out->t[a->x], *y = &out->t[a->y];
    const int64_t n = egi_shape_span(&y->shape, 1, y->shape.rank);
    if (!egi_cuda_is_f32(out) || n > INT32_MAX / 2)
        return EGI_CUDA_DECLINE;
    egi_cuda_gather_args args = {.x = x->data,
                                 .index = egi_cuda_data(out, a->index),
                                 .base = egi_cuda_data(out, a->base),
                                 .y = y->data,
                                 .control = egi_cuda_of(out)->control,
                                 .examples = x->shape.dim[0],
                                 .batch = y->shape.dim[0],
                                 .n = (int32_t)n,
                                 .affine = a->affine,
                                 .augment = a->augment};
    if (!set_image(&args, x, y))
        return EGI_CUDA_DECLINE;
    const bool four = by_four(&args, x->dtype), augmented = a->augment.flip || a->augment.shift;
    const int64_t units = four ? n / 4 : n;
    args.lanes = egi_cuda_lanes(units, BLOCK);
    const char *const names[2][3] = {{"eg_gather_f32", "eg_gather_f32_by_four", "eg_gather_f32_augmented"},
                                     {"eg_gather_u8", "eg_gather_u8_by_four", "eg_gather_u8_augmented"}};
    return EGI_CUDA_LAUNCH(out, .name = names[x->dtype == EGI_U8][augmented ? 2 : four],
                           .grid = {units ? egi_cuda_blocks(args.batch, BLOCK / args.lanes, INT32_MAX) : 0,
                                    egi_cuda_blocks(units, (int64_t)args.lanes * EACH, MOST)},
                           .block = BLOCK, .args = &args, .size = sizeof args);
}

eg_status egi_cuda_gather_labels(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_gather_labels *a = out->args;
    const egi_cuda_gather_labels_args args = {.x = egi_cuda_data(out, a->x),
                                              .index = egi_cuda_data(out, a->index),
                                              .y = egi_cuda_data(out, a->y),
                                              .n = egi_count(&out->t[a->x]),
                                              .batch = egi_count(&out->t[a->y])};
    return EGI_CUDA_LAUNCH(out, .name = "eg_gather_labels", .grid = {egi_cuda_blocks(args.batch, BLOCK, INT32_MAX)},
                           .block = BLOCK, .args = &args, .size = sizeof args);
}
