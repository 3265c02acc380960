/** layers/pooling.h: the config that max and average pooling share. */
#ifndef EGI_POOLING_H
#define EGI_POOLING_H

#include "core/ops/pool.h"
#include "layers/spatial.h"

typedef struct egi_pooling {
    int64_t pool_size[2], strides[2]; /* strides -1: the pool's size */
    int padding, data_format;
} egi_pooling;

#define EGI_POOLING_FIELDS                                                                      \
    EGI_PAIR(egi_pooling, pool_size, "2", 1, EGI_WINDOW_MAX, "height and width of the window"), \
        {.name = "strides",                                                                     \
         .kind = EGI_FIELD_PAIR,                                                                \
         .offset = offsetof(egi_pooling, strides),                                              \
         .fallback = "null",                                                                    \
         .min = 1,                                                                              \
         .max = EGI_WINDOW_MAX,                                                                 \
         .help = "steps down and right; null: the window's size",                               \
         .automatic = "null",                                                                   \
         .automatic_value = -1},                                                                \
        EGI_PADDING(egi_pooling), EGI_DATA_FORMAT(egi_pooling)

eg_status egi_pooling_check(const void *config);
eg_status egi_pooling_build(egi_builder *b, const void *config);
/** The geometry for input 0. Errors: SHAPE. */
EG_MUST_USE eg_status egi_pooling_geometry(egi_emit *e, const egi_pooling *config, egi_pool_geometry *out);

#endif
