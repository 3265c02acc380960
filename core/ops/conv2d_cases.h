/** core/ops/conv2d_cases.h: the geometries that the cases of convolutions and their gradients share, as fields of an
 * args struct. */
#ifndef EGI_OP_CONV2D_CASES_H
#define EGI_OP_CONV2D_CASES_H

#include "core/ops/conv2d.h"

#define EGI_CONV_GEOMETRY(s0, s1, p0, p1, d0, d1, groups_) \
    .g = {.stride = {s0, s1}, .pad = {p0, p1}, .dilation = {d0, d1}, .groups = groups_}
#define EGI_CONV_POOL(h, w, k0, k1, s0, s1, p0, p1) \
    .pool = {.size = {h, w}, .g = {.window = {k0, k1}, .stride = {s0, s1}, .pad = {p0, p1}}}

#define EGI_CONV_VALID     EGI_CONV_GEOMETRY(1, 1, 0, 0, 1, 1, 1)
#define EGI_CONV_SAME3     EGI_CONV_GEOMETRY(1, 1, 1, 1, 1, 1, 1)
#define EGI_CONV_SAME5     EGI_CONV_GEOMETRY(1, 1, 2, 2, 1, 1, 1)
#define EGI_CONV_STRIDE2   EGI_CONV_GEOMETRY(2, 2, 0, 0, 1, 1, 1)
#define EGI_CONV_STRIDE23  EGI_CONV_GEOMETRY(2, 3, 1, 0, 1, 1, 1)
#define EGI_CONV_DILATED   EGI_CONV_GEOMETRY(1, 1, 2, 3, 2, 3, 1)
#define EGI_CONV_GROUPED   EGI_CONV_GEOMETRY(1, 1, 1, 1, 1, 1, 2)
#define EGI_CONV_DEPTHWISE EGI_CONV_GEOMETRY(1, 1, 1, 1, 1, 1, 5)
/* Groups of channels by fours, of one channel, of one that makes two, and so many that a device is full. */
#define EGI_CONV_GROUPED2   EGI_CONV_GEOMETRY(2, 1, 1, 1, 1, 1, 2)
#define EGI_CONV_DEPTHWISE2 EGI_CONV_GEOMETRY(2, 2, 1, 0, 1, 1, 8)
#define EGI_CONV_DEPTHWISE5 EGI_CONV_GEOMETRY(1, 1, 2, 2, 1, 1, 12)
#define EGI_CONV_TWOFOLD    EGI_CONV_GEOMETRY(1, 2, 2, 1, 2, 1, 4)
#define EGI_CONV_MANY       EGI_CONV_GEOMETRY(1, 1, 0, 0, 1, 1, 66)
/* Strides and dilations with a common divisor, and a stride beyond the window. */
#define EGI_CONV_COMMON EGI_CONV_GEOMETRY(4, 6, 1, 0, 2, 4, 1)
#define EGI_CONV_BEYOND EGI_CONV_GEOMETRY(3, 5, 0, 1, 1, 1, 1)

/* With pooling. */
#define EGI_CONV_LENET1  EGI_CONV_SAME5, EGI_CONV_POOL(28, 28, 2, 2, 2, 2, 0, 0)
#define EGI_CONV_LENET2  EGI_CONV_SAME5, EGI_CONV_POOL(14, 14, 2, 2, 2, 2, 0, 0)
#define EGI_CONV_ODD     EGI_CONV_SAME3, EGI_CONV_POOL(9, 7, 2, 2, 2, 2, 0, 0)
#define EGI_CONV_EDGES   EGI_CONV_SAME3, EGI_CONV_POOL(7, 9, 3, 3, 2, 2, 1, 1)
#define EGI_CONV_OVERLAP EGI_CONV_VALID, EGI_CONV_POOL(5, 5, 3, 2, 1, 1, 0, 0)
#define EGI_CONV_GAPS    EGI_CONV_GEOMETRY(2, 1, 1, 0, 2, 1, 1), EGI_CONV_POOL(7, 8, 1, 2, 3, 3, 0, 0)
#define EGI_CONV_APART   EGI_CONV_STRIDE2, EGI_CONV_POOL(4, 6, 2, 2, 2, 2, 0, 0)
#define EGI_CONV_SMALL   EGI_CONV_GEOMETRY(1, 1, 2, 1, 1, 1, 1), EGI_CONV_POOL(1, 1, 1, 1, 1, 1, 0, 0)
/* Pooling begins before the edge and ends inside. */
#define EGI_CONV_SHORT  EGI_CONV_SAME3, EGI_CONV_POOL(8, 8, 2, 2, 2, 2, 1, 1)
#define EGI_CONV_APIECE EGI_CONV_DEPTHWISE, EGI_CONV_POOL(6, 5, 2, 2, 2, 2, 0, 0)
/* Holes in the kernel's rows. */
#define EGI_CONV_SPREAD EGI_CONV_GEOMETRY(1, 1, 1, 2, 1, 2, 1), EGI_CONV_POOL(8, 8, 2, 2, 2, 2, 0, 0)

#endif
