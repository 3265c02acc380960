/* Stored examples become rows of a batch. Every value goes through the operations of egi_affine_value(), so it has the
 * same bits everywhere. */
#include "core/cpu/gather.h"

#include "core/cpu/parallel.h"

#include <string.h>

#define AHEAD_BYTES 4096 /* of an example: the processor sees where it goes on */
#define LINE        64

/* --- values in a row ---------------------------------------------------------------------------------------------- */

static inline EGI_SIMD_BODY void bytes_body(const egi_affine *affine, const uint8_t *restrict from, float *restrict to,
                                            int64_t n)
{
    const egi_affine a = *affine;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = ((float)from[i] - a.before[0]) / a.by[0] - a.after[0];
}
EGI_SIMD(bytes, (const egi_affine *affine, const uint8_t *from, float *to, int64_t n), (affine, from, to, n))

static inline EGI_SIMD_BODY void floats_body(const egi_affine *affine, const float *restrict from, float *restrict to,
                                             int64_t n)
{
    const egi_affine a = *affine;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = (from[i] - a.before[0]) / a.by[0] - a.after[0];
}
EGI_SIMD(floats, (const egi_affine *affine, const float *from, float *to, int64_t n), (affine, from, to, n))

static void bytes_by_three(const egi_conversion *c, const uint8_t *restrict from, float *restrict to, int64_t n)
{
    const int first = c->affine.reversed ? 2 : 0, last = 2 - first;
    for (int64_t i = 0; i < n; i += 3) {
        to[i] = c->table[0][from[i + first]];
        to[i + 1] = c->table[1][from[i + 1]];
        to[i + 2] = c->table[2][from[i + last]];
    }
}

static void floats_by_three(const egi_affine *a, const float *restrict from, float *restrict to, int64_t n)
{
    for (int64_t i = 0; i < n; i += 3)
        for (int k = 0; k < 3; k++)
            to[i + k] = egi_affine_value(a, k, from[i + (a->reversed ? 2 - k : k)]);
}

/* Values [begin, begin + n) of an example, whole triples where there are three channels. */
static void convert(const egi_conversion *c, const void *example, int64_t begin, float *to, int64_t n)
{
    const uint8_t *u = (const uint8_t *)example + begin;
    const float *f = (const float *)example + begin;
    const bool by_three = c->affine.channels == 3;
    if (c->dtype == EGI_U8 && by_three)
        bytes_by_three(c, u, to, n);
    else if (c->dtype == EGI_U8)
        bytes(&c->affine, u, to, n);
    else if (c->same)
        memcpy(to, f, (size_t)n * sizeof *to);
    else if (by_three)
        floats_by_three(&c->affine, f, to, n);
    else
        floats(&c->affine, f, to, n);
    for (int64_t i = 0; !by_three && c->affine.over[0] != 1 && i < n; i++) /* no preprocessing of one channel has it */
        to[i] /= c->affine.over[0];
}

/* --- examples ----------------------------------------------------------------------------------------------------- */

void egi_conversion_make(egi_conversion *out, const egi_affine *affine, egi_dtype dtype, int64_t n)
{
    *out = (egi_conversion){.affine = *affine, .dtype = dtype, .n = n};
    out->same = dtype == EGI_F32 && affine->channels == 1 && affine->before[0] == 0 && affine->by[0] == 1 &&
                affine->after[0] == 0;
    for (int k = 0; k < 3 && affine->channels == 3 && dtype == EGI_U8; k++)
        for (int v = 0; v < 256; v++)
            out->table[k][v] = egi_affine_value(affine, k, (float)v);
}

static void mirror(float *row, int64_t width, int64_t channels)
{
    for (int64_t s = 0; s < width / 2; s++)
        for (int64_t c = 0; c < channels; c++) {
            float *a = &row[s * channels + c], *b = &row[(width - 1 - s) * channels + c], swapped = *a;
            *a = *b;
            *b = swapped;
        }
}

/* A row of the image: zeros, what lies inside, zeros. The columns of y that see x are [from, to). */
static void augmented_row(const egi_conversion *c, const void *example, int64_t r, egi_augmentation d, float *y)
{
    const int64_t width = c->picture.width, channels = c->picture.channels, row = r + d.down;
    const int64_t move = d.mirrored ? -d.right : d.right;
    int64_t from = move < 0 ? -move : 0, to = move > 0 ? width - move : width;
    if (row < 0 || row >= c->picture.height || from >= to)
        from = to = 0;
    memset(y, 0, (size_t)(from * channels) * sizeof *y);
    memset(y + to * channels, 0, (size_t)((width - to) * channels) * sizeof *y);
    if (from == to)
        return;
    const int64_t column = d.right > 0 ? d.right : 0; /* the first one of x that is seen */
    convert(c, example, (row * width + column) * channels, y + from * channels, (to - from) * channels);
    if (d.mirrored)
        mirror(y + from * channels, to - from, channels);
}

static int64_t bytes_of(const egi_conversion *c)
{
    return c->n * (int64_t)egi_dtype_size(c->dtype);
}

void egi_conversion_run(const egi_conversion *c, const void *x, int64_t index, const egi_augmentation *drawn, float *to)
{
    const void *example = (const char *)x + index * bytes_of(c);
    if (!drawn) {
        convert(c, example, 0, to, c->n);
        return;
    }
    for (int64_t r = 0; r < c->picture.height; r++)
        augmented_row(c, example, r, *drawn, to + r * c->picture.width * c->picture.channels);
}

/* Into the second cache: what is fetched into the first one waits for one of its few places for misses. */
void egi_conversion_fetch(const egi_conversion *c, const void *x, int64_t index)
{
    const char *from = (const char *)x + index * bytes_of(c);
    for (int64_t at = 0; at < bytes_of(c) && at < AHEAD_BYTES; at += LINE)
        __builtin_prefetch(from + at, 0, 2);
}

/* --- the operation ------------------------------------------------------------------------------------------------ */

static bool is_example(const egi_tensor *x, int32_t index)
{
    return index >= 0 && index < x->shape.dim[0];
}

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    const egi_gather *a = k->args;
    const egi_conversion *c = k->state;
    const egi_tensor *x = &k->t[a->x];
    const int32_t *index = k->t[a->index].data;
    const bool augment = a->augment.flip || a->augment.shift;
    for (int64_t i = begin; i < end; i++) {
        float *to = (float *)k->t[a->y].data + i * c->n;
        const float *base = a->base ? (const float *)k->t[a->base].data + i * c->n : NULL;
        const egi_augmentation drawn = egi_augment_draw(a->augment, control, i);
        if (i + EGI_CONVERSION_AHEAD < end && is_example(x, index[i + EGI_CONVERSION_AHEAD]))
            egi_conversion_fetch(c, x->data, index[i + EGI_CONVERSION_AHEAD]);
        if (is_example(x, index[i]))
            egi_conversion_run(c, x->data, index[i], augment ? &drawn : NULL, to);
        else if (!base)
            memset(to, 0, (size_t)c->n * sizeof *to);
        else if (base != to)
            memcpy(to, base, (size_t)c->n * sizeof *to);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    const egi_conversion *c = k->state;
    egi_cpu_split(k, control, k->t[((const egi_gather *)k->args)->index].shape.dim[0], 16 + c->n, part);
    return EG_OK;
}

eg_status egi_cpu_gather(egi_device *device, egi_kernel *out)
{
    const egi_gather *a = out->args;
    egi_conversion *c;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    const egi_tensor *x = &out->t[a->x], *y = &out->t[a->y];
    EG_TRY(egi_cpu_state(&c, device, out, sizeof *c));
    egi_conversion_make(c, &a->affine, x->dtype, egi_shape_span(&x->shape, 1, x->shape.rank));
    egi_gather_picture(&x->shape, &y->shape, &c->picture);
    out->run = run;
    return EG_OK;
}
