/** core/cpu/winograd.h: 3x3 convolutions of stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin & Gray 2016):
 * 16 multiplications for what takes 36. A 4x4 tile d of the input and a kernel g give a 2x2 tile
 *     y = A' [(G g G') .* (B' d B)] A
 * and, turned round, the kernel's gradient of a 2x2 tile dy is G' [(B' d B) .* (A dy A')] G. In between, each of the 16
 * places is a product of matrices over tiles and channels. Transforms only add and halve, so the error stays within
 * about twice that of plain sums. */
#ifndef EGI_CPU_WINOGRAD_H
#define EGI_CPU_WINOGRAD_H

#include "core/cpu/direct.h"

#define EGI_WINO 16 /* places of a transformed tile */

/** Tiles of the output, two by two pixels; the last ones may stand over its edge. */
typedef struct egi_wino_tiles {
    egi_direct_frame frame; /* of the side with the 4x4 tiles: big enough for all of them */
    int64_t th, tw;
    int64_t block; /* tiles at a time: what is transformed stays in the second cache */
} egi_wino_tiles;

/** Does it suit, and is it faster? c, f: channels of both sides; both in whole vectors. */
bool egi_wino_suits(const egi_conv_dims *d, const egi_conv_geometry *g);

/** Tiles of a convolution of (h, w, c) to (oh, ow) with so much padding before. */
egi_wino_tiles egi_wino_tiles_of(int64_t h, int64_t w, int64_t c, int64_t oh, int64_t ow, int64_t top, int64_t left);

/** Tiles at a time for transformed tiles of about so many floats: whole row tiles of a product, at least two. */
int64_t egi_wino_block(int64_t c, int64_t floats);

/** B' d B of tiles [from, from + n) of a framed sample: v[place][tile][channel]; `room` tiles a place. */
void egi_wino_input(const egi_wino_tiles *s, const float *frame, int64_t from, int64_t n, int64_t room, float *v);

#endif
