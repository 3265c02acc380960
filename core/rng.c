#include "core/rng.h"

#include <math.h>

egi_rng egi_rng_make(uint64_t seed, egi_purpose purpose, uint32_t step)
{
    return (egi_rng){.seed = seed, .purpose = (uint32_t)purpose, .step = step, .used = 4};
}

uint32_t egi_rng_u32(egi_rng *r)
{
    if (r->used == 4) {
        const uint32_t counter[4] = {(uint32_t)r->index, (uint32_t)(r->index >> 32), r->step, r->purpose};
        const uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};
        r->block = egi_philox_block(counter, key);
        r->index++;
        r->used = 0;
    }
    return r->block.v[r->used++];
}

float egi_rng_uniform(egi_rng *r)
{
    return (float)(egi_rng_u32(r) >> 8) * 0x1p-24f;
}

double egi_rng_uniform64(egi_rng *r)
{
    const uint64_t high = egi_rng_u32(r) >> 5, low = egi_rng_u32(r) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

double egi_rng_normal(egi_rng *r)
{
    const double u = 1 - egi_rng_uniform64(r), v = egi_rng_uniform64(r); /* u is in (0, 1] */
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t egi_rng_below(egi_rng *r, uint64_t n)
{
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t x;
    do {
        const uint64_t high = egi_rng_u32(r);
        x = high << 32 | egi_rng_u32(r);
    } while (x >= limit);
    return x % n;
}

void egi_rng_shuffle(egi_rng *r, int64_t *index, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)egi_rng_below(r, (uint64_t)i + 1), t = index[i];
        index[i] = index[j];
        index[j] = t;
    }
}
