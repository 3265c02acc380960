/** core/ops/update_cases.h: what the cases of the operations over the arena share. */
#ifndef EGI_OP_UPDATE_CASES_H
#define EGI_OP_UPDATE_CASES_H

#include "core/ops/update.h"

/** Segments with and without each penalty, with gaps between them. */
extern const egi_segment egi_update_small[3], egi_update_large[4];
#define EGI_UPDATE_SMALL_COUNT 40
#define EGI_UPDATE_LARGE_COUNT 40000

#define EGI_UPDATE_IN                                                                                              \
    {                                                                                                              \
        EGI_FIELD(egi_update, w), EGI_FIELD(egi_update, grad), EGI_FIELD(egi_update, m), EGI_FIELD(egi_update, v), \
            EGI_FIELD(egi_update, anchor), EGI_FIELD(egi_update, omega), EGI_FIELD(egi_update, norm),              \
            EGI_FIELD(egi_update, ema)                                                                             \
    }
#define EGI_UPDATE_OUT                                                                                            \
    {                                                                                                             \
        EGI_FIELD(egi_update, w), EGI_FIELD(egi_update, m), EGI_FIELD(egi_update, v), EGI_FIELD(egi_update, ema), \
            EGI_FIELD(egi_update, penalty)                                                                        \
    }

/* Bits of values that are absent, in both lists. */
#define EGI_UPDATE_NO_M       (1 << 2)
#define EGI_UPDATE_NO_V       (1 << 3)
#define EGI_UPDATE_NO_ANCHOR  (1 << 4 | 1 << 5)
#define EGI_UPDATE_NO_NORM    (1 << 6)
#define EGI_UPDATE_NO_PENALTY (1 << 8)
#define EGI_UPDATE_EMA        (1 << 7) /* the other way round: it is there */

/** A case over segments `size` (small or large) with attributes. */
#define EGI_UPDATE_CASE(size, count, absent, ...)                                                                    \
    {                                                                                                                \
        .args = &(const egi_update){.segments = size, .n_segments = (int)(sizeof size / sizeof *size), __VA_ARGS__}, \
        .in = {EGI_STATIC_SHAPE(count),                                                                              \
               EGI_STATIC_SHAPE(count),                                                                              \
               EGI_STATIC_SHAPE(count),                                                                              \
               EGI_STATIC_SHAPE(count),                                                                              \
               EGI_STATIC_SHAPE(count),                                                                              \
               EGI_STATIC_SHAPE(count),                                                                              \
               {0},                                                                                                  \
               EGI_STATIC_SHAPE(count)},                                                                             \
        .out = {EGI_STATIC_SHAPE(count),                                                                             \
                EGI_STATIC_SHAPE(count),                                                                             \
                EGI_STATIC_SHAPE(count),                                                                             \
                EGI_STATIC_SHAPE(count),                                                                             \
                {0}},                                                                                                \
        .in_absent = ((absent) ^ EGI_UPDATE_EMA) & 0xff,                                                             \
        .out_absent = ((absent) >> 1 & 6) | (((absent) ^ EGI_UPDATE_EMA) >> 4 & 8) | ((absent) >> 4 & 16), .fill = { \
            EGI_FILL_AWAY,                                                                                           \
            EGI_FILL_NORMAL,                                                                                         \
            EGI_FILL_NORMAL,                                                                                         \
            EGI_FILL_POSITIVE,                                                                                       \
            EGI_FILL_NORMAL,                                                                                         \
            EGI_FILL_POSITIVE,                                                                                       \
            EGI_FILL_POSITIVE,                                                                                       \
            EGI_FILL_NORMAL                                                                                          \
        }                                                                                                            \
    }
#define EGI_UPDATE_SMALL(absent, ...) EGI_UPDATE_CASE(egi_update_small, EGI_UPDATE_SMALL_COUNT, absent, __VA_ARGS__)
#define EGI_UPDATE_LARGE(absent, ...) EGI_UPDATE_CASE(egi_update_large, EGI_UPDATE_LARGE_COUNT, absent, __VA_ARGS__)

#endif
