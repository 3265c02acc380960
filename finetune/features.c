/* What the head sees: the space in which exemplars are chosen by herding. */
#include "core/ops/dense.h"
#include "finetune/run.h"

#include <string.h>

#define BATCH 64

typedef struct extractor {
    egi_plan *plan;
    egi_feed feed;
    egi_val features;
} extractor;

/* The input of the dense operation that makes the logits; the logits themselves where another operation does. */
static egi_val find_features(egi_plan *plan, egi_val logits)
{
    const egi_node *node = egi_plan_producer(plan, logits);
    const egi_val v = node && node->op == &egi_op_dense ? ((const egi_dense *)node->args)->x : logits;
    return plan->values[egi_root(plan, v)].kind == EGI_VAL_BOUND ? logits : v;
}

static eg_status emit(extractor *x, const eg_model *model, int output, egi_model_io *io)
{
    egi_val logits;
    egi_act head;
    EG_TRY(egi_model_emit(model, x->plan, NULL, NULL, io));
    EG_TRY(egi_feed_create(&x->feed, model, x->plan, io));
    EG_TRY(egi_plan_logits(x->plan, io->out[output], &logits, &head));
    x->features = find_features(x->plan, logits);
    egi_plan_keep(x->plan, x->features);
    EG_TRY(egi_plan_fuse(x->plan));
    return egi_plan_compile(x->plan);
}

static eg_status compile(extractor *x, const eg_model *model, int output)
{
    egi_model_io io = {.params = NULL};
    EG_TRY(egi_plan_create(&x->plan, model->context, BATCH, model->dtype, false));
    const eg_status status = emit(x, model, output, &io);
    egi_free(model->context, io.params);
    return status;
}

static eg_status extract(extractor *x, const egi_source *source, const int64_t *index, int64_t n, float *out,
                         int64_t dim)
{
    const egi_control control = {.weights_version = 1};
    egi_item items[BATCH];
    for (int64_t at = 0; at < n; at += BATCH) {
        const int64_t some = n - at < BATCH ? n - at : BATCH;
        for (int64_t i = 0; i < some; i++)
            items[i] = (egi_item){.index = index[at + i], .source = 0};
        EG_TRY(egi_feed_fill(&x->feed, source, 1, items, some));
        EG_TRY(egi_plan_run(x->plan, &control));
        for (int64_t k = 0; k < some * dim; k++)
            out[at * dim + k] = (float)egi_get(&x->plan->t[x->features], k);
    }
    return EG_OK;
}

eg_status egi_features(float **out, int64_t *dim, const eg_model *model, const egi_source *source, const int64_t *index,
                       int64_t n)
{
    extractor x = {0};
    float *features = NULL;
    int64_t count = 0;
    eg_status status = compile(&x, model, source->output);
    if (status == EG_OK) {
        count = egi_shape_count(egi_shape_of(x.plan, x.features)) / BATCH;
        status = egi_alloc(&features, model->context, n * count, sizeof *features);
    }
    if (status == EG_OK)
        status = extract(&x, source, index, n, features, count);
    egi_feed_release(&x.feed);
    egi_plan_free(x.plan);
    if (status != EG_OK) {
        egi_free(model->context, features);
        return status;
    }
    *out = features;
    *dim = count;
    return EG_OK;
}
