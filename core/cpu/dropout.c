#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"
#include "core/ops/pointwise.h"
#include "core/rng.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BLOCKS 64 /* Philox blocks drawn side by side */

typedef struct stream {
    uint32_t number, step;
    uint32_t keys[10][2]; /* of each round */
    uint32_t keep;        /* an element is dropped where its 24 random bits are less */
    float scale;
} stream;

#if defined(__x86_64__)
#define SIDE 2 /* independent chains hide the multiplications' latency */

/* Philox4x32-10 of 4 SIDE counters, each in a lane of 64 bits: the product of two low halves is one instruction, and
 * what is left in the high halves of other words does not matter. words: four of the first block, four of the second...
 */
__attribute__((target("avx2"))) static void draw_some(const stream *s, uint64_t first, uint32_t *words)
{
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    __m256i c0[SIDE], c1[SIDE], c2[SIDE], c3[SIDE];
    for (int i = 0; i < SIDE; i++) {
        c0[i] = _mm256_add_epi64(_mm256_set1_epi64x((long long)first + 4 * i), _mm256_set_epi64x(3, 2, 1, 0));
        c1[i] = _mm256_set1_epi64x(s->number);
        c2[i] = _mm256_set1_epi64x(s->step);
        c3[i] =
            _mm256_or_si256(_mm256_set1_epi64x(EGI_RNG_DROPOUT), _mm256_slli_epi64(_mm256_srli_epi64(c0[i], 32), 8));
    }
    for (int round = 0; round < 10; round++) {
        const __m256i k0 = _mm256_set1_epi64x(s->keys[round][0]), k1 = _mm256_set1_epi64x(s->keys[round][1]);
        for (int i = 0; i < SIDE; i++) {
            const __m256i p0 = _mm256_mul_epu32(m0, c0[i]), p1 = _mm256_mul_epu32(m1, c2[i]);
            c0[i] = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(c1[i], k0));
            c2[i] = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(c3[i], k1));
            c1[i] = p1;
            c3[i] = p0;
        }
    }
    const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
    for (int i = 0; i < SIDE; i++) {
        const __m256i a = _mm256_or_si256(_mm256_and_si256(c0[i], low), _mm256_slli_epi64(c1[i], 32));
        const __m256i b = _mm256_or_si256(_mm256_and_si256(c2[i], low), _mm256_slli_epi64(c3[i], 32));
        const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b); /* blocks 0, 2 and 1, 3 */
        _mm256_storeu_si256((__m256i *)(words + 16 * i), _mm256_permute2x128_si256(even, odd, 0x20));
        _mm256_storeu_si256((__m256i *)(words + 16 * i + 8), _mm256_permute2x128_si256(even, odd, 0x31));
    }
}

static bool has_some(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define SIDE 1

static void draw_some(const stream *s, uint64_t first, uint32_t *words)
{
    (void)s, (void)first, (void)words;
}

static bool has_some(void)
{
    return false;
}
#endif

/* The words of blocks [first, first + BLOCKS), as egi_dropout_block() gives them. */
static void draw(const stream *s, const egi_control *control, uint64_t first, uint32_t *words)
{
    const bool some = has_some();
    for (uint64_t b = 0; some && b < BLOCKS; b += 4 * SIDE)
        draw_some(s, first + b, words + 4 * b);
    for (uint64_t b = 0; !some && b < BLOCKS; b++) {
        const egi_philox block = egi_dropout_block(control, s->number, first + b);
        memcpy(words + 4 * b, block.v, sizeof block.v);
    }
}

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
    stream s = {
        .number = a->stream,
        .step = (uint32_t)control->step,
        .keep = (uint32_t)ceil((double)a->rate * 0x1p24),
        .scale = (float)(1 / (1 - (double)a->rate)),
    };
    for (uint32_t i = 0; i < 10; i++) {
        s.keys[i][0] = (uint32_t)control->seed + i * 0x9E3779B9u;
        s.keys[i][1] = (uint32_t)(control->seed >> 32) + i * 0xBB67AE85u;
    }
    for (int64_t at = begin; at < end; at += 4 * BLOCKS) { /* `begin` is a multiple of 4 */
        uint32_t words[4 * BLOCKS];
        draw(&s, control, (uint64_t)at / 4, words);
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
