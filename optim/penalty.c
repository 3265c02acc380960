#include "optim/optim.h"

static bool is_trained(const eg_model *model, const egi_param *p)
{
    return !p->state && !p->frozen && p->count > 0 && !(p->layer >= 0 && model->layers[p->layer].frozen);
}

static egi_segment segment_of(const egi_param *p, const egi_penalties *run)
{
    const bool kernel = p->shape.rank >= 2;
    return (egi_segment){
        .begin = p->offset,
        .end = p->offset + p->count,
        .l1 = p->l1 + (kernel ? run->l1 : 0),
        .l2 = p->l2 + (kernel ? run->l2 : 0),
        .lr_scale = run->lr_scale && p->layer >= 0 ? run->lr_scale[p->layer] : 1,
        .weight_decay = run->weight_decay,
    };
}

/* The gap between two parameters is padding: zero weights with zero gradients, which every update leaves at zero. */
static bool joins(const egi_segment *a, const egi_segment *b)
{
    return b->begin >= a->end && b->begin - a->end < EGI_ARENA_ALIGN && a->l1 == b->l1 && a->l2 == b->l2 &&
           a->lr_scale == b->lr_scale && a->weight_decay == b->weight_decay;
}

eg_status egi_segments_build(egi_segment **out, int *n, const eg_model *model, const egi_penalties *penalties)
{
    egi_segment *s = NULL;
    int count = 0;
    EG_TRY(egi_alloc(&s, model->context, model->n_params, sizeof *s));
    for (int64_t i = 0; i < model->n_params; i++) {
        const egi_param *p = &model->params[i];
        if (!is_trained(model, p))
            continue;
        const egi_segment next = segment_of(p, penalties);
        if (count > 0 && joins(&s[count - 1], &next))
            s[count - 1].end = next.end;
        else
            s[count++] = next;
    }
    *out = s;
    *n = count;
    return EG_OK;
}
