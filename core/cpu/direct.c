#include "core/cpu/direct.h"

#include <string.h>

/* Offsets are 32 bits wide; sizes are far below what they can hold. */
bool egi_direct_suits(const egi_conv_dims *d, const egi_conv_geometry *g)
{
    const int64_t limit = (int64_t)1 << 26, tall = d->h + d->oh + d->kh * g->dilation[0],
                  wide = d->w + d->ow + d->kw * g->dilation[1];
    if (tall >= limit || wide >= limit || d->c >= limit || d->f >= limit || tall * wide >= limit)
        return false;
    return g->groups == 1 && tall * wide * (d->c + d->f) < limit && g->stride[0] * g->stride[1] <= EGI_DIRECT_PASSES;
}

void egi_direct_frame_clear(const egi_direct_frame *f, float *copy)
{
    memset(copy, 0, (size_t)(f->ph * f->pw * f->c) * sizeof *copy);
}

void egi_direct_frame_fill(const egi_direct_frame *f, const float *x, float *copy)
{
    const int64_t rows = f->h < f->ph - f->top ? f->h : f->ph - f->top;
    const int64_t cols = f->w < f->pw - f->left ? f->w : f->pw - f->left;
    for (int64_t i = 0; i < rows; i++)
        memcpy(copy + ((f->top + i) * f->pw + f->left) * f->c, x + i * f->w * f->c, (size_t)(cols * f->c) * sizeof *x);
}
