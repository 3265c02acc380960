/** core/cpu/winners.h: gradients of a convolution that is pooled. Of each pooling window only the pixel that won has
 * one, so the kernels go through lists of those instead of all pixels. */
#ifndef EGI_CPU_WINNERS_H
#define EGI_CPU_WINNERS_H

#include "core/cpu/direct.h"

/** A gradient that is not zero, and where its counterpart begins: its part of the input, or its channel's weights. */
typedef struct egi_winner {
    int32_t at;
    float d;
} egi_winner;

/** Can lists serve this convolution? Where a stretch of floats meets a kernel row, and no window reaches over an edge.
 * dy: the shape of the pooled output's gradient. */
bool egi_winners_suit(const egi_kernel *kernel, const egi_conv_dims *d, const egi_conv_geometry *g,
                      const egi_conv_pool *pool, const egi_shape *dy);

#endif
