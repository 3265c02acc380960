#include "core/cpu/winograd.h"

bool egi_wino_suits(const egi_conv_dims *d, const egi_conv_geometry *g)
{
    const int64_t enough = 16; /* channels: below, the transforms cost what the products save */
    const bool unit = g->stride[0] == 1 && g->stride[1] == 1 && g->dilation[0] == 1 && g->dilation[1] == 1;
    const bool whole = d->c % EGI_LANES == 0 && d->f % EGI_LANES == 0 && d->c >= enough && d->f >= enough;
    return unit && whole && d->kh == 3 && d->kw == 3 && g->pad[0] <= 2 && g->pad[1] <= 2 && egi_direct_suits(d, g);
}

egi_wino_tiles egi_wino_tiles_of(int64_t h, int64_t w, int64_t c, int64_t oh, int64_t ow, int64_t top, int64_t left)
{
    egi_wino_tiles s = {.th = (oh + 1) / 2, .tw = (ow + 1) / 2};
    s.frame = (egi_direct_frame){.h = h, .w = w, .c = c, .top = top, .left = left};
    s.frame.ph = 2 * s.th + 2;
    s.frame.pw = 2 * s.tw + 2;
    return s;
}

int64_t egi_wino_block(int64_t c, int64_t floats)
{
    const int64_t rows = 6, block = floats / (EGI_WINO * c) / rows * rows;
    return block > 2 * rows ? block : 2 * rows;
}

/* B' = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1) of four vectors. */
static inline EGI_SIMD_BODY void rows_of_b(const egi_vec *d, egi_vec *t)
{
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
}

static inline EGI_SIMD_BODY void input_tile(const float *x, int64_t row, int64_t col, float *v, int64_t place)
{
    egi_vec d[4][4], t[4];
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 4; i++)
            t[i] = *(const egi_vec_at *)(x + i * row + j * col);
        egi_vec u[4];
        rows_of_b(t, u);
        for (int i = 0; i < 4; i++)
            d[i][j] = u[i];
    }
    for (int i = 0; i < 4; i++) {
        rows_of_b(d[i], t);
        for (int j = 0; j < 4; j++)
            *(egi_vec_at *)(v + (4 * i + j) * place) = t[j];
    }
}

static inline EGI_SIMD_BODY void input_body(const egi_wino_tiles *s, const float *frame, int64_t from, int64_t n,
                                            int64_t room, float *v)
{
    const int64_t c = s->frame.c, row = s->frame.pw * c;
    for (int64_t t = 0; t < n; t++) {
        const float *x = frame + (from + t) / s->tw * 2 * row + (from + t) % s->tw * 2 * c;
        for (int64_t k = 0; k < c; k += EGI_LANES)
            input_tile(x + k, row, c, v + t * c + k, room * c);
    }
}
EGI_SIMD(input, (const egi_wino_tiles *s, const float *frame, int64_t from, int64_t n, int64_t room, float *v),
         (s, frame, from, n, room, v))

void egi_wino_input(const egi_wino_tiles *s, const float *frame, int64_t from, int64_t n, int64_t room, float *v)
{
    input(s, frame, from, n, room, v);
}
