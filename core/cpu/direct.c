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

egi_direct_frame egi_direct_frame_of(const egi_conv_dims *s, const egi_conv_geometry *g)
{
    const int64_t need_h = (s->oh - 1) * g->stride[0] + (s->kh - 1) * g->dilation[0] + 1;
    const int64_t need_w = (s->ow - 1) * g->stride[1] + (s->kw - 1) * g->dilation[1] + 1;
    const bool inside = g->pad[0] == 0 && g->pad[1] == 0 && need_h <= s->h && need_w <= s->w;
    return (egi_direct_frame){.h = s->h,
                              .w = s->w,
                              .c = s->c,
                              .top = g->pad[0],
                              .left = g->pad[1],
                              .ph = inside ? s->h : need_h,
                              .pw = inside ? s->w : need_w};
}
