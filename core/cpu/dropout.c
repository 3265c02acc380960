#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/pointwise.h"
#include "core/rng.h"

#define BLOCKS 64 /* Philox blocks drawn side by side */

typedef struct stream {
    uint32_t number, step, key[2];
    uint32_t keep; /* an element is dropped where its 24 random bits are less */
    float scale;
} stream;

/* The words of blocks [first, first + BLOCKS): Philox4x32-10 as egi_philox_block() does it, side by side. */
static inline EGI_SIMD_BODY void draw_body(const stream *s, uint64_t first, uint32_t *words)
{
    const uint32_t number = s->number, step = s->step, key0 = s->key[0], key1 = s->key[1];
#pragma omp simd
    for (uint32_t b = 0; b < BLOCKS; b++) {
        const uint64_t block = first + b;
        uint32_t c0 = (uint32_t)block, c1 = number, c2 = step, c3 = EGI_RNG_DROPOUT | (uint32_t)(block >> 32) << 8;
        uint32_t k0 = key0, k1 = key1;
        for (int round = 0; round < 10; round++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            c0 = n0;
            c2 = n2;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        words[4 * b] = c0;
        words[4 * b + 1] = c1;
        words[4 * b + 2] = c2;
        words[4 * b + 3] = c3;
    }
}
EGI_SIMD(draw, (const stream *s, uint64_t first, uint32_t *words), (s, first, words))

static inline EGI_SIMD_BODY void mask_body(const stream *s, const uint32_t *words, const float *x, float *y, int64_t n)
{
    const uint32_t keep = s->keep;
    const float scale = s->scale;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (int32_t)(words[i] >> 8) >= (int32_t)keep ? x[i] * scale : 0;
}
EGI_SIMD(mask, (const stream *s, const uint32_t *words, const float *x, float *y, int64_t n), (s, words, x, y, n))

static void part(const egi_kernel *k, const egi_control *control, int64_t begin, int64_t end)
{
    const egi_dropout *a = k->args;
    const float *x = k->t[a->x].data;
    float *y = k->t[a->y].data;
    const stream s = {
        .number = a->stream,
        .step = (uint32_t)control->step,
        .key = {(uint32_t)control->seed, (uint32_t)(control->seed >> 32)},
        .keep = (uint32_t)ceil((double)a->rate * 0x1p24),
        .scale = (float)(1 / (1 - (double)a->rate)),
    };
    for (int64_t at = begin; at < end; at += 4 * BLOCKS) { /* `begin` is a multiple of 4 */
        uint32_t words[4 * BLOCKS];
        draw(&s, (uint64_t)at / 4, words);
        mask(&s, words, x + at, y + at, end - at < 4 * BLOCKS ? end - at : 4 * BLOCKS);
    }
}

static eg_status run(const egi_kernel *k, const egi_control *control)
{
    egi_cpu_split(k, control, egi_count(&k->t[((const egi_dropout *)k->args)->y]), 4, part);
    return EG_OK;
}

eg_status egi_cpu_dropout(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cpu_is_f32(out))
        return EGI_CPU_DECLINE;
    out->run = run;
    return EG_OK;
}
