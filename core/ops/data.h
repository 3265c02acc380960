#ifndef EGI_OP_DATA_H
#define EGI_OP_DATA_H

#include "core/op.h"
#include "core/rng.h"

/** How stored values become inputs: y_c = ((x_c' - before_c) / by_c - after_c) / over_c, c' = 2 - c where `reversed`.
 *  In float32 and in this order, everywhere: division stays division, so that all devices and numpy agree to the bit
 *  (data/preprocess.c). What is not wanted is 0 or 1 and changes no bit. */
typedef struct egi_affine {
    int32_t channels; /* 1: all alike, by the first of each; 3: neighbours in the last dimension, apart */
    int32_t reversed;
    float before[3], by[3], after[3], over[3];
} egi_affine;

static inline EGI_HOST_DEVICE float egi_affine_value(const egi_affine *a, int channel, float x)
{
    return ((x - a->before[channel]) / a->by[channel] - a->after[channel]) / a->over[channel];
}

/** Every example of a batch is mirrored left to right with probability 1/2 and moved by up to `shift` pixels up or down
 * and left or right; what comes in from outside is 0 after preprocessing. */
typedef struct egi_augment {
    int32_t flip, shift; /* both 0: examples stay as they are */
} egi_augment;

#define EGI_SHIFT_MAX 4096

/** What was drawn for one example: y[r, s] = v[r + down, (mirrored ? width - 1 - s : s) + right]. */
typedef struct egi_augmentation {
    int32_t mirrored, down, right;
} egi_augmentation;

/** The draw of row `row` of a batch: block `row` of Philox keyed by the seed and EGI_RNG_AUGMENT, counter the step. An
 * example's inputs share it. Of 2^32 words one place more or less falls to a shift: that is all the bias there is. */
static inline EGI_HOST_DEVICE egi_augmentation egi_augment_draw(egi_augment how, const egi_control *control,
                                                                int64_t row)
{
    const uint32_t counter[4] = {(uint32_t)row, (uint32_t)((uint64_t)row >> 32), (uint32_t)control->step,
                                 EGI_RNG_AUGMENT};
    const uint32_t key[2] = {(uint32_t)control->seed, (uint32_t)(control->seed >> 32)};
    const egi_philox words = egi_philox_block(counter, key);
    const uint64_t places = 2 * (uint64_t)how.shift + 1;
    egi_augmentation a;
    a.mirrored = how.flip && words.v[0] >> 31;
    a.down = (int32_t)(words.v[1] * places >> 32) - how.shift;
    a.right = (int32_t)(words.v[2] * places >> 32) - how.shift;
    return a;
}

/** An example as an image. */
typedef struct egi_picture {
    int64_t height, width, channels;
} egi_picture;

/** The image that examples stored as `stored` and read as `wanted` are: (h, w, c) where one of the two shapes says so,
 * else (h, w) with one channel; false: both are flat. */
bool egi_picture_of(const egi_shape *stored, const egi_shape *wanted, egi_picture *out);
/** The same of the operation's values: the first dimensions count examples. */
bool egi_gather_picture(const egi_shape *x, const egi_shape *y, egi_picture *out);

/** y_i = example index_i of `x`, preprocessed and augmented; where index_i is no example of x (-1): base_i, or zeros.
 *  x: (n, ...) u8 or float  index: (batch) i32  y: (batch, ...), as many values an example as in x  base: like y, what
 *  other data sets gave the batch, or EGI_NONE. Values are float32
 * also where y is float64. Labels have an operation of their own; weights and targets go through this one. */
typedef struct egi_gather {
    egi_val x, index, base, y;
    egi_affine affine;
    egi_augment augment;
} egi_gather;

/** The affine map that changes nothing. */
#define EGI_AFFINE_NONE                        \
    {                                          \
        .channels = 1, .by = {1}, .over = {1}, \
    }

/** y_i = x[index_i]; -1 where index_i is no place in x.  x: (n) i32  index, y: (batch) i32. */
typedef struct egi_gather_labels {
    egi_val x, index, y;
} egi_gather_labels;

#endif
