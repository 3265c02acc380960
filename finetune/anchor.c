/* Arithmetic on arenas: importance made comparable, anchors added up. */
#include "core/mirror.h"
#include "finetune/importance.h"

#include <math.h>
#include <string.h>

static egi_tensor view(const eg_model *model, const void *arena)
{
    return (egi_tensor){.data = (void *)arena, .dtype = model->dtype, .shape = EGI_SHAPE(model->arena_count)};
}

static bool is_trained(const eg_model *model, const egi_param *p)
{
    return !p->state && !p->frozen && !model->layers[p->layer].frozen;
}

double egi_importance_normalise(const eg_model *model, void *omega)
{
    const egi_tensor t = view(model, omega);
    double sum = 0;
    int64_t n = 0;
    for (int64_t k = 0; k < model->n_params; k++) {
        const egi_param *p = &model->params[k];
        if (!is_trained(model, p))
            continue;
        for (int64_t i = p->offset; i < p->offset + p->count; i++)
            sum += egi_get(&t, i);
        n += p->count;
    }
    const double mean = n > 0 ? sum / (double)n : 0;
    if (!(mean > 0) || !isfinite(1 / mean))
        return 1;
    egi_arena_blend(model, omega, 1 / mean, NULL);
    return mean;
}

void egi_arena_blend(const eg_model *model, void *into, double factor, const void *add)
{
    const egi_tensor to = view(model, into), from = view(model, add);
    for (int64_t i = 0; i < model->arena_count; i++)
        egi_set(&to, i, factor * egi_get(&to, i) + (add ? egi_get(&from, i) : 0));
}

bool egi_arena_finite(const eg_model *model, const void *arena)
{
    const egi_tensor t = view(model, arena);
    for (int64_t i = 0; i < model->arena_count; i++)
        if (!isfinite(egi_get(&t, i)))
            return false;
    return true;
}

/* o1 (x - a1)^2 + o2 (x - a2)^2 = (o1 + o2) (x - (o1 a1 + o2 a2) / (o1 + o2))^2 + a constant */
eg_status egi_anchor_add(egi_anchor *anchor, const eg_model *model, const void *theta, const void *omega, double weight)
{
    if (!anchor->theta)
        EG_TRY(egi_model_arena(&anchor->theta, model));
    if (!anchor->omega)
        EG_TRY(egi_model_arena(&anchor->omega, model));
    EG_TRY(egi_host_writes(model->context, anchor->theta));
    EG_TRY(egi_host_writes(model->context, anchor->omega));
    const egi_tensor a = view(model, anchor->theta), o = view(model, anchor->omega);
    const egi_tensor a2 = view(model, theta), o2 = view(model, omega);
    for (int64_t i = 0; i < model->arena_count; i++) {
        const double before = egi_get(&o, i), more = weight * egi_get(&o2, i), sum = before + more;
        const double at = sum > 0 ? (before * egi_get(&a, i) + more * egi_get(&a2, i)) / sum : egi_get(&a2, i);
        egi_set(&a, i, before == 0 ? egi_get(&a2, i) : more == 0 ? egi_get(&a, i) : at);
        egi_set(&o, i, sum);
    }
    return EG_OK;
}

void egi_anchor_release(egi_anchor *anchor, eg_context *context)
{
    egi_free(context, anchor->theta);
    egi_free(context, anchor->omega);
    *anchor = (egi_anchor){NULL, NULL};
}
