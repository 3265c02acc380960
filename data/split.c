/* A seeded split in proportion: largest remainders, so that the whole has the wanted share too. */
#include "core/rng.h"
#include "data/classes.h"

#include <math.h>
#include <string.h>

/* The class of those not yet raised whose exact number was cut most; -1: none. Ties: the lower class. */
static int64_t most_cut(const double *cut, int64_t classes)
{
    int64_t best = -1;
    for (int64_t k = 0; k < classes; k++)
        if (cut[k] > 0 && (best < 0 || cut[k] > cut[best]))
            best = k;
    return best;
}

/* take[k]: how many of class k go to the second side. `cut` has room for the classes. */
static void plan_counts(int64_t *take, double *cut, const egi_groups *g, double share)
{
    int64_t total = 0, wanted = llround(share * (double)g->start[g->classes]);
    for (int64_t k = 0; k < g->classes; k++) {
        const double exact = share * (double)egi_group_size(g, k);
        take[k] = (int64_t)floor(exact);
        cut[k] = exact - (double)take[k];
        total += take[k];
    }
    for (int64_t k; total < wanted && (k = most_cut(cut, g->classes)) >= 0; total++) {
        take[k]++;
        cut[k] = 0;
    }
    for (int64_t k = 0; k < g->classes && share > 0 && share < 1; k++) {
        const int64_t n = egi_group_size(g, k);
        if (n >= 2 && take[k] == 0)
            take[k] = 1;
        if (n >= 2 && take[k] == n)
            take[k] = n - 1;
    }
}

/* Shuffles each class and marks its first take[k] examples. */
static void draw(uint8_t *second, egi_groups *g, const int64_t *take, uint64_t seed)
{
    for (int64_t k = 0; k < g->classes; k++) {
        egi_rng rng = egi_rng_make(seed, EGI_RNG_SPLIT, (uint32_t)k);
        int64_t *members = g->order + g->start[k];
        egi_rng_shuffle(&rng, members, egi_group_size(g, k));
        for (int64_t i = 0; i < take[k]; i++)
            second[members[i]] = 1;
    }
}

static eg_status write_sides(int64_t **first, int64_t **second, const uint8_t *is_second, int64_t n, int64_t n_second,
                             eg_context *context)
{
    int64_t *a, *b, at_a = 0, at_b = 0;
    EG_TRY(egi_alloc(&a, context, n - n_second, sizeof *a));
    const eg_status status = egi_alloc(&b, context, n_second, sizeof *b);
    if (status != EG_OK) {
        egi_free(context, a);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        if (is_second[i])
            b[at_b++] = i;
        else
            a[at_a++] = i;
    }
    *first = a;
    *second = b;
    return EG_OK;
}

static eg_status split_groups(int64_t **first, int64_t **second, int64_t *n_second, const eg_dataset *d, egi_groups *g,
                              double share, uint64_t seed)
{
    int64_t *take = NULL, total = 0;
    double *cut = NULL;
    uint8_t *is_second = NULL;
    eg_status status;
    EG_TRY_GOTO(status, egi_alloc(&take, d->context, g->classes, sizeof *take));
    EG_TRY_GOTO(status, egi_alloc(&cut, d->context, g->classes, sizeof *cut));
    EG_TRY_GOTO(status, egi_alloc(&is_second, d->context, d->n, 1));
    plan_counts(take, cut, g, share);
    draw(is_second, g, take, seed);
    for (int64_t k = 0; k < g->classes; k++)
        total += take[k];
    EG_TRY_GOTO(status, write_sides(first, second, is_second, d->n, total, d->context));
    *n_second = total;
done:
    egi_free(d->context, take);
    egi_free(d->context, cut);
    egi_free(d->context, is_second);
    return status;
}

eg_status egi_dataset_split(int64_t **first, int64_t *n_first, int64_t **second, int64_t *n_second, const eg_dataset *d,
                            double share, uint64_t seed)
{
    egi_groups g;
    if (!(share >= 0 && share <= 1))
        return egi_fail(EG_ERR_ARG, "%s: a split of %g, wanted 0 to 1", d->name, share);
    EG_TRY(egi_groups_make(&g, d));
    const eg_status status = split_groups(first, second, n_second, d, &g, share, seed);
    egi_groups_free(&g, d->context);
    if (status == EG_OK)
        *n_first = d->n - *n_second;
    return status;
}
