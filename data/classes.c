#include "data/classes.h"

#include <stdlib.h>

static int64_t class_of(const eg_dataset *d, int64_t i)
{
    return d->labels ? d->labels[i] : 0;
}

eg_status egi_groups_make(egi_groups *out, const eg_dataset *d)
{
    egi_groups g = {.classes = d->labels ? d->classes : 1};
    EG_TRY(egi_alloc(&g.start, d->context, g.classes + 1, sizeof *g.start));
    const eg_status status = egi_alloc(&g.order, d->context, d->n, sizeof *g.order);
    if (status != EG_OK) {
        egi_groups_free(&g, d->context);
        return status;
    }
    for (int64_t i = 0; i < d->n; i++)
        g.start[class_of(d, i) + 1]++;
    for (int64_t k = 0; k < g.classes; k++)
        g.start[k + 1] += g.start[k];
    for (int64_t i = 0; i < d->n; i++) /* start[k] walks to the end of class k, which is where class k + 1 began */
        g.order[g.start[class_of(d, i)]++] = i;
    for (int64_t k = g.classes; k > 0; k--)
        g.start[k] = g.start[k - 1];
    g.start[0] = 0;
    *out = g;
    return EG_OK;
}

void egi_groups_free(egi_groups *g, eg_context *context)
{
    egi_free(context, g->start);
    egi_free(context, g->order);
    *g = (egi_groups){0};
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void egi_sort_index(int64_t *index, int64_t n)
{
    if (n > 1)
        qsort(index, (size_t)n, sizeof *index, ascending);
}
