#ifndef EGI_OP_POOL_H
#define EGI_OP_POOL_H

#include "core/op.h"

typedef struct egi_pool_geometry {
    int64_t window[2], stride[2], pad[2]; /* pad: before (top, left) */
} egi_pool_geometry;

/** Do input, output (both NHWC) and geometry fit? Every window touches the input. Errors: SHAPE, ARG, naming them. */
EG_MUST_USE eg_status egi_pool_check(const egi_plan *plan, egi_val x, egi_val y, const egi_pool_geometry *g);
/** The same of their shapes, of four dimensions. */
EG_MUST_USE eg_status egi_pool_check_shapes(const egi_shape *x, const egi_shape *y, const egi_pool_geometry *g);
/** Does a place in the window fit into a byte? Errors: UNSUPPORTED. */
EG_MUST_USE eg_status egi_pool_check_index(const egi_pool_geometry *g);

/** The rows (axis 0) or columns (axis 1) that window `o` covers inside an input of `in`: [*from, *to). Returns where
 * the window begins, possibly outside. */
int64_t egi_pool_range(const egi_pool_geometry *g, int axis, int64_t o, int64_t in, int64_t *from, int64_t *to);

/** Largest value of each window; outside counts as -inf.  x: (n, h, w, c)  y: (n, oh, ow, c)  index: like y, uint8,
 * which position of the window won (the first of equals, row-major), or EGI_NONE when no gradient is wanted. Windows of
 * at most 255 positions. */
typedef struct egi_maxpool {
    egi_val x, y, index;
    egi_pool_geometry g;
} egi_maxpool;

/** For references: a pixel of the larger side. */
typedef struct egi_pool_pixels {
    double (*at)(const void *context, int64_t row, int64_t column);
    const void *context;
    int64_t h, w;
} egi_pool_pixels;
/** The largest of window (i, j); *position: which place of it won. */
double egi_pool_largest(const egi_pool_geometry *g, const egi_pool_pixels *x, int64_t i, int64_t j, int64_t *position);

typedef struct egi_maxpool_grad {
    egi_val dy, index, dx;
    egi_pool_geometry g;
} egi_maxpool_grad;

/** Mean of each window; positions outside do not count. */
typedef struct egi_avgpool {
    egi_val x, y;
    egi_pool_geometry g;
} egi_avgpool;

typedef struct egi_avgpool_grad {
    egi_val dy, dx;
    egi_pool_geometry g;
} egi_avgpool_grad;

/** y_nc = mean over the middle dimensions.  x: (n, ..., c)  y: (n, c). */
typedef struct egi_spatial_mean {
    egi_val x, y;
} egi_spatial_mean;

/** dx = dy / (number of positions), spread.  dy: (n, c)  dx: (n, ..., c). */
typedef struct egi_spatial_mean_grad {
    egi_val dy, dx;
} egi_spatial_mean_grad;

#endif
