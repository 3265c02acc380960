/** cuda/conv_prepare.h: what the prepare functions of convolutions share. */
#ifndef EGI_CUDA_CONV_PREPARE_H
#define EGI_CUDA_CONV_PREPARE_H

#include "core/ops/conv2d.h"
#include "cuda/conv.h"
#include "cuda/cuda.h"

/** A convolution, forward or backward, with its pooling if there is any. */
typedef struct egi_cuda_conv {
    const egi_conv_geometry *g;
    const egi_conv_pool *pool; /* NULL: none */
    egi_conv_dims d;
    int64_t pooled[2]; /* rows and columns that pooling leaves */
} egi_cuda_conv;

/** x, kernel and y are values; y is the output, or what `pool` (of size 0: nothing) leaves of it. Sets *out. Errors:
 * EGI_CUDA_DECLINE for f64, and for sizes that 32-bit indices do not hold. */
EG_MUST_USE eg_status egi_cuda_conv_of(const egi_kernel *k, egi_val x, egi_val kernel, egi_val y,
                                       const egi_conv_geometry *g, const egi_conv_pool *pool, egi_cuda_conv *out);

/** Has each group one channel in, of several? */
bool egi_cuda_conv_is_depthwise(const egi_cuda_conv *c);

egi_divisor egi_cuda_divisor(int64_t by);
egi_cuda_window egi_cuda_window_of(const egi_cuda_conv *c);

/** Output pixels of all samples, before pooling. */
int64_t egi_cuda_conv_pixels(const egi_cuda_conv *c);

/** Are the values (EGI_NONE is) and every group's channels fit for loads of 4 floats? */
bool egi_cuda_conv_vectors(const egi_kernel *k, const egi_cuda_conv *c, const egi_val *values, int n);

/** How a block of 256 threads walks pixels of `channels` each, `vector` a thread: sets `lanes`, and the grid. */
void egi_cuda_walk(const egi_kernel *k, int64_t pixels, int64_t channels, int vector, int32_t *lanes, int64_t *grid);

/** Adds the launch that makes the gradient before pooling, where scratch begins. Returns its floats; 0 and no launch
 * without pooling. */
EG_MUST_USE eg_status egi_cuda_unpool(egi_kernel *k, const egi_cuda_conv *c, egi_val dy, egi_val index,
                                      int64_t *floats);

/** Adds the launch that pools what lies where scratch begins. */
EG_MUST_USE eg_status egi_cuda_pool(egi_kernel *k, const egi_cuda_conv *c, egi_val y, egi_val index);

/** Parts of a kernel's gradient: what a split is, and the launch that adds them up. */
typedef struct egi_cuda_parts {
    int64_t splits, each; /* each: output pixels */
} egi_cuda_parts;
/** `blocks`: of one split. A split is `unit` pixels or a multiple of it. */
egi_cuda_parts egi_cuda_parts_of(const egi_kernel *k, const egi_cuda_conv *c, int64_t blocks, int64_t unit);
EG_MUST_USE eg_status egi_cuda_add_parts(egi_kernel *k, const egi_cuda_conv *c, const egi_cuda_parts *parts,
                                         int64_t before, egi_val dw, egi_val db, bool add);

#endif
