#include "core/ops/update.h"

#include "core/ops/check.h"
#include "core/ops/update_cases.h"

static eg_status check_segments(const egi_update *a, int64_t count)
{
    int64_t at = 0;
    for (int i = 0; i < a->n_segments; i++) {
        const egi_segment *s = &a->segments[i];
        if (s->begin < at || s->end < s->begin || s->end > count)
            return egi_fail(EG_ERR_ARG, "segment %d: wanted a stretch within %lld to %lld, found %lld to %lld", i,
                            (long long)at, (long long)count, (long long)s->begin, (long long)s->end);
        at = s->end;
    }
    return EG_OK;
}

static eg_status check_numbers(const egi_update *a)
{
    const struct {
        const char *name;
        double value;
    } below_one[] = {{"momentum", a->momentum},
                     {"beta1", a->beta1},
                     {"beta2", a->beta2},
                     {"rho", a->rho},
                     {"ema_momentum", a->ema_momentum}};
    for (size_t i = 0; i < sizeof below_one / sizeof *below_one; i++)
        if (!(below_one[i].value >= 0 && below_one[i].value < 1))
            return egi_fail(EG_ERR_ARG, "%s: wanted 0 to less than 1, found %g", below_one[i].name, below_one[i].value);
    if (!(a->epsilon >= 0))
        return egi_fail(EG_ERR_ARG, "epsilon: wanted 0 or more, found %g", a->epsilon);
    if (a->nesterov && !(a->momentum > 0))
        return egi_fail(EG_ERR_ARG, "nesterov: wanted with a momentum above 0, found %g", a->momentum);
    return EG_OK;
}

eg_status egi_update_check(const egi_plan *p, const egi_update *a, bool wants_m, bool wants_v)
{
    EG_TRY(egi_check_real(p, "w", a->w, 1));
    const egi_dtype dtype = egi_dtype_of(p, a->w);
    const egi_shape w = *egi_shape_of(p, a->w);
    EG_TRY(check_numbers(a));
    EG_TRY(check_segments(a, egi_shape_count(&w)));
    EG_TRY(egi_check_is(p, "grad", a->grad, dtype, w));
    EG_TRY((wants_m ? egi_check_is : egi_check_may)(p, "m", a->m, dtype, w));
    EG_TRY((wants_v ? egi_check_is : egi_check_may)(p, "v", a->v, dtype, w));
    if ((a->anchor == EGI_NONE) != (a->omega == EGI_NONE))
        return egi_fail(EG_ERR_ARG, "anchor, omega: wanted both or neither, found one");
    EG_TRY(egi_check_may(p, "anchor", a->anchor, dtype, w));
    EG_TRY(egi_check_may(p, "omega", a->omega, dtype, w));
    EG_TRY(egi_check_may(p, "ema", a->ema, dtype, w));
    EG_TRY((a->clip_norm > 0 ? egi_check_is : egi_check_may)(p, "norm", a->norm, dtype, EGI_SCALAR));
    return egi_check_may(p, "penalty", a->penalty, dtype, EGI_SCALAR);
}

double egi_update_bytes(const void *args, const egi_tensor *t, double all)
{
    const egi_update *a = args;
    int64_t trained = 0;
    for (int i = 0; i < a->n_segments; i++)
        trained += a->segments[i].end - a->segments[i].begin;
    const int64_t count = egi_count(&t[a->w]);
    return count ? all * (double)trained / (double)count : 0;
}

double egi_update_gradient(const egi_update *a, const egi_segment *s, const egi_tensor *t, double strength, int64_t i,
                           double w)
{
    double g = egi_get(&t[a->grad], i);
    if (s->l1 != 0 || s->l2 != 0)
        g += s->l1 * ((w > 0) - (w < 0)) + 2 * s->l2 * w;
    if (strength != 0)
        g += strength * egi_get(&t[a->omega], i) * (w - egi_get(&t[a->anchor], i));
    return g;
}

static double penalty_of(const egi_update *a, const egi_segment *s, const egi_tensor *t, double strength, int64_t i,
                         double w)
{
    double penalty = s->l1 != 0 || s->l2 != 0 ? s->l1 * fabs(w) + s->l2 * w * w : 0;
    if (strength != 0) {
        const double away = w - egi_get(&t[a->anchor], i);
        penalty += strength / 2 * egi_get(&t[a->omega], i) * away * away;
    }
    return penalty;
}

void egi_update_reference(const egi_update *a, const egi_tensor *t, const egi_control *control, egi_update_step step)
{
    const egi_update_rates r = egi_update_rates_of(a, t, control);
    double penalty = 0;
    for (int k = 0; k < a->n_segments; k++) {
        const egi_segment *s = &a->segments[k];
        const double lr = control->lr * s->lr_scale;
        for (int64_t i = s->begin; i < s->end; i++) {
            const double w = egi_get(&t[a->w], i), g = r.clip * egi_update_gradient(a, s, t, r.strength, i, w);
            double m = a->m ? egi_get(&t[a->m], i) : 0, v = a->v ? egi_get(&t[a->v], i) : 0;
            penalty += penalty_of(a, s, t, r.strength, i, w);
            const double moved = step(a, &r, lr, w - lr * s->weight_decay * w, g, &m, &v);
            egi_set(&t[a->w], i, moved);
            if (a->m)
                egi_set(&t[a->m], i, m);
            if (a->v)
                egi_set(&t[a->v], i, v);
            if (a->ema)
                egi_set(&t[a->ema], i, r.keep == 0 ? moved : r.keep * egi_get(&t[a->ema], i) + (1 - r.keep) * moved);
        }
    }
    if (a->penalty)
        egi_set(&t[a->penalty], 0, penalty);
}

const egi_segment egi_update_small[3] = {
    {.begin = 0, .end = 7, .l1 = 0.01, .l2 = 0.02, .lr_scale = 1},
    {.begin = 7, .end = 16, .lr_scale = 0.5, .weight_decay = 0.1},
    {.begin = 20, .end = 40, .l2 = 0.05, .lr_scale = 1},
};
const egi_segment egi_update_large[4] = {
    {.begin = 0, .end = 16400, .lr_scale = 1},
    {.begin = 16400, .end = 16416, .l1 = 0.01, .lr_scale = 2, .weight_decay = 0.01},
    {.begin = 16480, .end = 16480, .lr_scale = 1}, /* nothing in it */
    {.begin = 16512, .end = 39999, .l1 = 0.001, .l2 = 0.001, .lr_scale = 1},
};
