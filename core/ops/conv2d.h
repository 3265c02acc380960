#ifndef EGI_OP_CONV2D_H
#define EGI_OP_CONV2D_H

#include "core/act.h"
#include "core/ops/pool.h"

/** Geometry in the order height, width. `pad` is the padding before (top, left); after it follows from the output's
 * size. */
typedef struct egi_conv_geometry {
    int64_t stride[2], pad[2], dilation[2];
    int64_t groups;
} egi_conv_geometry;

/** y = act(x * w + b + r), cross-correlation as Keras computes it.  x: (n, h, w, c)  w: (kh, kw, c / groups, f)  b: (f)
 * or EGI_NONE  r: like y, what a residual network adds, or EGI_NONE  y: (n, oh, ow, f). */
typedef struct egi_conv2d {
    egi_val x, w, b, r, y;
    egi_conv_geometry g;
    egi_act act;
    float alpha;
} egi_conv2d;

/** Max pooling of a convolution's output that is never stored as a whole. */
typedef struct egi_conv_pool {
    int64_t size[2]; /* rows and columns of that output; 0: there is no pooling */
    egi_pool_geometry g;
} egi_conv_pool;

/** y = the largest of each window of act(x * w + b).  index: which position won, as maxpool's, or EGI_NONE. */
typedef struct egi_conv2d_maxpool {
    egi_val x, w, b, y, index;
    egi_conv_geometry g;
    egi_conv_pool pool;
    egi_act act;
    float alpha;
} egi_conv2d_maxpool;

/* Where there is pooling, the gradients' dy is that of the pooled output, and the convolution's own is dy where
 * `index` says so and 0 elsewhere. Else `index` is EGI_NONE. */

/** Gradient to the input.  dy: (n, oh, ow, f)  w: (kh, kw, c / groups, f)  dx: (n, h, w, c). */
typedef struct egi_conv2d_dx {
    egi_val dy, index, w, dx;
    egi_conv_geometry g;
    egi_conv_pool pool;
} egi_conv2d_dx;

/** Gradient to the kernel and, where db is not EGI_NONE, to the bias. */
typedef struct egi_conv2d_dw {
    egi_val x, dy, index, dw, db;
    egi_conv_geometry g;
    egi_conv_pool pool;
} egi_conv2d_dw;

/** fw += sum over samples of (that sample's kernel gradient)^2; fb likewise, unless it is EGI_NONE. */
typedef struct egi_conv2d_square {
    egi_val x, dy, index, fw, fb;
    egi_conv_geometry g;
    egi_conv_pool pool;
} egi_conv2d_square;

/** The sizes of a convolution; cg and fg are the channels in and out of a group. */
typedef struct egi_conv_dims {
    int64_t n, h, w, c, oh, ow, f, kh, kw, cg, fg;
} egi_conv_dims;
/** `y` is the output, or what `pool` (may be NULL) leaves of it. */
egi_conv_dims egi_conv_dims_of(const egi_shape *x, const egi_shape *kernel, const egi_shape *y,
                               const egi_conv_pool *pool);

/** Do x, kernel, y, index and the geometry fit? `y` is the output, or what `pool` (may be NULL) leaves of it. Every
 * window touches the input. Errors: SHAPE, ARG, naming them. */
EG_MUST_USE eg_status egi_conv_check(const egi_plan *plan, egi_val x, egi_val kernel, egi_val y,
                                     const egi_conv_geometry *g, const egi_conv_pool *pool);
/** And the index that a gradient needs: there with pooling, not there without. Errors: ARG, SHAPE. */
EG_MUST_USE eg_status egi_conv_check_index(const egi_plan *plan, egi_val dy, egi_val index, const egi_conv_pool *pool);

/** Emits the gradients (or the squares) of a convolution's inputs, given that of its output or of the pooled one. r:
 * what was added to the output, or EGI_NONE. */
EG_MUST_USE eg_status egi_conv_grad(egi_plan *plan, egi_grads *grads, const egi_conv2d_maxpool *conv, egi_val r);
EG_MUST_USE eg_status egi_conv_square(egi_plan *plan, egi_grads *grads, const egi_conv2d_maxpool *conv);

/** Input row (or column) that tap `k` of output `o` reads; may lie outside. */
static inline int64_t egi_conv_at(const egi_conv_geometry *g, int axis, int64_t o, int64_t k)
{
    return o * g->stride[axis] - g->pad[axis] + k * g->dilation[axis];
}

/** Multiply-adds of a convolution or one of its gradients, 2 each: every tap of the kernel at every output. `y` is the
 * output, or what `pool` (may be NULL) leaves of it. */
double egi_conv_flops(const egi_shape *kernel, const egi_shape *y, const egi_conv_pool *pool);

/** In double, for references: an element of the output. */
double egi_conv_element(const egi_conv2d *a, const egi_conv_dims *d, const egi_tensor *t, int64_t n, int64_t i,
                        int64_t j, int64_t f);

/** The gradient of the output, for references. */
typedef struct egi_conv_dz {
    const egi_tensor *dy, *index;
    const egi_conv_pool *pool;
} egi_conv_dz;
double egi_conv_dz_at(const egi_conv_dz *z, const egi_conv_dims *d, int64_t n, int64_t i, int64_t j, int64_t f);

/** In double, for references: element `at` of sample `n`'s kernel gradient, and element `f` of its bias gradient. */
double egi_conv_kernel_gradient(const egi_conv_geometry *g, const egi_conv_dims *d, const egi_tensor *x,
                                const egi_conv_dz *dz, int64_t n, int64_t at);
double egi_conv_bias_gradient(const egi_conv_dims *d, const egi_conv_dz *dz, int64_t n, int64_t f);

/** Keras' padding: `same`: out = ceil(in / s), the odd pixel goes bottom/right; `valid`: none. Sets *out and *before.
 */
void egi_conv_same(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t *out, int64_t *before);
/** Output size of `valid`; 0 or less when the window does not fit. */
int64_t egi_conv_valid(int64_t in, int64_t kernel, int64_t stride, int64_t dilation);

#endif
