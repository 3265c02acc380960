/** data/classes.h: the examples of a data set grouped by class. */
#ifndef EGI_CLASSES_H
#define EGI_CLASSES_H

#include "data/dataset.h"

/** Examples of class k: order[start[k]] to order[start[k + 1] - 1], ascending. Without labels everything is one class.
 */
typedef struct egi_groups {
    int64_t classes;
    int64_t *start; /* (classes + 1) */
    int64_t *order; /* (n) */
} egi_groups;

/** Owner: caller, egi_groups_free(). Errors: NOMEM. */
EG_MUST_USE eg_status egi_groups_make(egi_groups *out, const eg_dataset *d);
void egi_groups_free(egi_groups *g, eg_context *context);

static inline int64_t egi_group_size(const egi_groups *g, int64_t k)
{
    return g->start[k + 1] - g->start[k];
}

/** Sorts `n` indices ascending. */
void egi_sort_index(int64_t *index, int64_t n);

#endif
