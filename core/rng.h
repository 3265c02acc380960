/** core/rng.h: draws of Philox4x32-10 (core/philox.h), a counter-based generator, so a draw depends on (seed, purpose,
 *  step, index) and on nothing else. */
#ifndef EGI_RNG_H
#define EGI_RNG_H

#include "core/philox.h"

/** What a stream of draws is for; keeps streams apart. Never renumber. */
typedef enum egi_purpose {
    EGI_RNG_INIT = 1,
    EGI_RNG_SHUFFLE = 2,
    EGI_RNG_SPLIT = 3,
    EGI_RNG_DROPOUT = 4,
    EGI_RNG_BUFFER = 5,
    EGI_RNG_MEMORY = 6,
    EGI_RNG_FISHER = 7,
    EGI_RNG_AUGMENT = 8,
    EGI_RNG_TEST = 9,
} egi_purpose;

/** A position in a stream. */
typedef struct egi_rng {
    uint64_t seed;
    uint32_t purpose;
    uint32_t step;
    uint64_t index; /* next block */
    egi_philox block;
    int used; /* words of `block` used, 4: none left */
} egi_rng;

egi_rng egi_rng_make(uint64_t seed, egi_purpose purpose, uint32_t step);
uint32_t egi_rng_u32(egi_rng *rng);
/** Uniform in [0, 1) with 24 bits. */
float egi_rng_uniform(egi_rng *rng);
/** Uniform in [0, 1) with 53 bits. */
double egi_rng_uniform64(egi_rng *rng);
/** Standard normal (Box and Muller 1958). */
double egi_rng_normal(egi_rng *rng);
/** Uniform integer in [0, n), without bias (rejection); n >= 1. */
uint64_t egi_rng_below(egi_rng *rng, uint64_t n);
/** Fisher-Yates shuffle of indices. */
void egi_rng_shuffle(egi_rng *rng, int64_t *index, int64_t n);

#endif
