/* Which examples to remember. */
#include "core/rng.h"
#include "core/team.h"
#include "data/classes.h"

#include <math.h>
#include <string.h>

/* Algorithm R (Vitter 1985): of the first i + 1 examples each is kept with probability count / (i + 1). The draw
 * includes i itself: a draw below i would keep every newcomer too often. */
static void reservoir(int64_t *index, int64_t count, int64_t n, uint64_t seed)
{
    egi_rng rng = egi_rng_make(seed, EGI_RNG_BUFFER, 0);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i < count ? i : (int64_t)egi_rng_below(&rng, (uint64_t)i + 1);
        if (at < count)
            index[at] = i;
    }
    egi_sort_index(index, count);
}

/* take[k]: the same number of every class, as far as there are; what small classes leave goes to the others, a rest to
 * the first. */
static void share_out(int64_t *take, const egi_groups *g, int64_t count)
{
    int64_t open = g->classes;
    while (count > 0 && open > 0) {
        const int64_t each = count / open ? count / open : 1;
        open = 0;
        for (int64_t k = 0; k < g->classes && count > 0; k++) {
            const int64_t left = egi_group_size(g, k) - take[k], now = left < each ? left : each;
            const int64_t given = now < count ? now : count;
            take[k] += given;
            count -= given;
        }
        for (int64_t k = 0; k < g->classes; k++)
            open += take[k] < egi_group_size(g, k);
    }
}

static void balanced(int64_t *index, const int64_t *take, egi_groups *g, uint64_t seed)
{
    int64_t n = 0;
    for (int64_t k = 0; k < g->classes; k++) {
        egi_rng rng = egi_rng_make(seed, EGI_RNG_BUFFER, (uint32_t)k + 1); /* step 0 is the reservoir's */
        int64_t *members = g->order + g->start[k];
        egi_rng_shuffle(&rng, members, egi_group_size(g, k));
        memcpy(index + n, members, (size_t)take[k] * sizeof *index);
        n += take[k];
    }
    egi_sort_index(index, n);
}

/* --- herding ------------------------------------------------------------------------------------------------------ */

/* Working memory for one class of n examples. */
typedef struct herd {
    int64_t n, dim;
    double *phi;     /* (n, dim): L2-normalised features */
    double *own;     /* (n): phi . phi: 1, or 0 for a feature that is all zero */
    double *to_mean; /* (n): phi . mean */
    double *to_sum;  /* (n): phi . sum of the chosen ones */
    double *mean;    /* (dim) */
    bool *chosen;    /* (n) */
} herd;

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void load_class(herd *h, const float *features, const int64_t *members)
{
    memset(h->mean, 0, (size_t)h->dim * sizeof *h->mean);
    for (int64_t i = 0; i < h->n; i++) {
        double *phi = h->phi + i * h->dim;
        for (int64_t j = 0; j < h->dim; j++)
            phi[j] = features[members[i] * h->dim + j];
        const double norm = sqrt(dot(phi, phi, h->dim));
        for (int64_t j = 0; j < h->dim && norm > 0; j++)
            phi[j] /= norm;
        for (int64_t j = 0; j < h->dim; j++)
            h->mean[j] += phi[j] / (double)h->n;
    }
    for (int64_t i = 0; i < h->n; i++) {
        h->own[i] = dot(h->phi + i * h->dim, h->phi + i * h->dim, h->dim);
        h->to_mean[i] = dot(h->phi + i * h->dim, h->mean, h->dim);
        h->to_sum[i] = 0;
        h->chosen[i] = false;
    }
}

/* |mean - (sum + phi_i) / k|^2 = const - 2/k phi_i.mean + (2 phi_i.sum + phi_i.phi_i) / k^2: the smallest over the free
 * i; ties go to the first. */
static int64_t closest(const herd *h, int64_t k)
{
    int64_t best = -1;
    double least = INFINITY;
    for (int64_t i = 0; i < h->n; i++) {
        if (h->chosen[i])
            continue;
        const double cost = -2 * h->to_mean[i] + (2 * h->to_sum[i] + h->own[i]) / (double)k;
        if (best < 0 || cost < least) {
            best = i;
            least = cost;
        }
    }
    return best;
}

typedef struct adding {
    herd *h;
    const double *added;
    int64_t pieces;
} adding;

static void add_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const adding *a = arg;
    herd *h = a->h;
    int64_t from, to;
    egi_team_share(h->n, 1, piece, a->pieces, &from, &to);
    for (int64_t i = from; i < to; i++)
        h->to_sum[i] += dot(h->phi + i * h->dim, a->added, h->dim);
}

static void choose(herd *h, const int64_t *members, int64_t *index, int64_t take, eg_context *c)
{
    for (int64_t k = 1; k <= take; k++) {
        const int64_t best = closest(h, k);
        adding a = {.h = h, .added = h->phi + best * h->dim};
        a.pieces = h->n * h->dim > (1 << 16) ? 2 * (int64_t)c->threads : 1;
        h->chosen[best] = true;
        index[k - 1] = members[best];
        egi_team_run(c->team, c->threads, a.pieces, add_piece, &a);
    }
}

static void free_herd(herd *h, eg_context *c)
{
    egi_free(c, h->phi);
    egi_free(c, h->own);
    egi_free(c, h->to_mean);
    egi_free(c, h->to_sum);
    egi_free(c, h->mean);
    egi_free(c, h->chosen);
}

/* Room for the largest class. */
static eg_status make_herd(herd *h, eg_context *c, const egi_groups *g, int64_t dim)
{
    int64_t most = 0;
    for (int64_t k = 0; k < g->classes; k++)
        most = egi_group_size(g, k) > most ? egi_group_size(g, k) : most;
    *h = (herd){.dim = dim};
    eg_status status;
    EG_TRY_GOTO(status, egi_alloc(&h->phi, c, most, (size_t)dim * sizeof *h->phi));
    EG_TRY_GOTO(status, egi_alloc(&h->own, c, most, sizeof *h->own));
    EG_TRY_GOTO(status, egi_alloc(&h->to_mean, c, most, sizeof *h->to_mean));
    EG_TRY_GOTO(status, egi_alloc(&h->to_sum, c, most, sizeof *h->to_sum));
    EG_TRY_GOTO(status, egi_alloc(&h->mean, c, dim, sizeof *h->mean));
    EG_TRY_GOTO(status, egi_alloc(&h->chosen, c, most, sizeof *h->chosen));
done:
    if (status != EG_OK)
        free_herd(h, c);
    return status;
}

/* Class after class, each in the order of choice: the first ones of a class are its best ones. */
static eg_status herding(int64_t *index, const int64_t *take, const egi_groups *g, const eg_dataset *d,
                         const float *features, int64_t dim)
{
    herd h;
    EG_TRY(make_herd(&h, d->context, g, dim));
    for (int64_t k = 0; k < g->classes; k++) {
        const int64_t *members = g->order + g->start[k];
        h.n = egi_group_size(g, k);
        if (take[k] == 0)
            continue;
        load_class(&h, features, members);
        choose(&h, members, index, take[k], d->context);
        index += take[k];
    }
    free_herd(&h, d->context);
    return EG_OK;
}

static eg_status by_class(int64_t *index, const eg_dataset *d, egi_buffer_kind kind, int64_t count,
                          const float *features, int64_t dim, uint64_t seed)
{
    egi_groups g;
    int64_t *take;
    EG_TRY(egi_groups_make(&g, d));
    eg_status status = egi_alloc(&take, d->context, g.classes, sizeof *take);
    if (status == EG_OK) {
        share_out(take, &g, count);
        if (kind == EGI_BUFFER_BALANCED)
            balanced(index, take, &g, seed);
        else
            status = herding(index, take, &g, d, features, dim);
        egi_free(d->context, take);
    }
    egi_groups_free(&g, d->context);
    return status;
}

eg_status egi_buffer_choose(int64_t **index, int64_t *n, const eg_dataset *d, egi_buffer_kind kind, int64_t count,
                            const float *features, int64_t dim, uint64_t seed)
{
    if (count < 0)
        return egi_fail(EG_ERR_ARG, "%s: a buffer of %lld examples, wanted 0 or more", d->name, (long long)count);
    if (kind == EGI_BUFFER_HERDING && (!features || dim < 1))
        return egi_fail(EG_ERR_ARG, "%s: herding wants features of every example", d->name);
    int64_t *chosen;
    count = count < d->n ? count : d->n;
    EG_TRY(egi_alloc(&chosen, d->context, count, sizeof *chosen));
    eg_status status = EG_OK;
    if (kind == EGI_BUFFER_RESERVOIR)
        reservoir(chosen, count, d->n, seed);
    else
        status = by_class(chosen, d, kind, count, features, dim, seed);
    if (status != EG_OK) {
        egi_free(d->context, chosen);
        return status;
    }
    *index = chosen;
    *n = count;
    return EG_OK;
}
