/* The diagonal Fisher information, per sample at the cost of a batch. */
#include "core/mirror.h"
#include "core/ops/update.h"
#include "finetune/importance.h"

#include <math.h>
#include <string.h>

/* One output's pass: its examples, and the compiled plan that sums their squares. */
typedef struct pass {
    const eg_model *model;
    const egi_fisher_request *request;
    int output;
    void *omega, *grads; /* grads: an arena, only one sample at a time */
    egi_plan *plan;
    egi_feed feed;
    egi_fisher_head head;
    int64_t classes;
    egi_control control;
    egi_item *items; /* (feed.n) */
} pass;

static void pass_release(pass *p)
{
    eg_context *c = p->model->context;
    egi_feed_release(&p->feed);
    egi_plan_free(p->plan);
    egi_free(c, p->grads);
    egi_free(c, p->items);
}

/* Kirkpatrick's p(y|x) is what the loss is the logarithm of: softmax, independent sigmoids, a Gaussian of unit
 * variance. */
static eg_status choose_head(pass *p, egi_val out, egi_val logits, egi_act act)
{
    const egi_loss_name loss = egi_objective_loss(&p->request->objective, p->output, act, egi_dim(p->plan, out, -1));
    if (loss == EGI_LOSS_NAME_CATEGORICAL && act != EGI_ACT_SIGMOID)
        p->head = EGI_HEAD_SOFTMAX;
    else if (loss == EGI_LOSS_NAME_BINARY && act == EGI_ACT_SIGMOID && logits != out)
        p->head = EGI_HEAD_SIGMOID;
    else if ((loss == EGI_LOSS_NAME_MSE || loss == EGI_LOSS_NAME_MAE) && act == EGI_ACT_LINEAR)
        p->head = EGI_HEAD_LINEAR;
    else
        return egi_fail(
            EG_ERR_UNSUPPORTED,
            "unsupported: ewc where the loss does not go with the head; use finetune.loss=auto or leave ewc out");
    p->classes = egi_shape_span(egi_shape_of(p->plan, logits), 1, egi_shape_of(p->plan, logits)->rank);
    return EG_OK;
}

/* (n, ...) as (n, K). */
static egi_val as_matrix(pass *p, egi_val v)
{
    return egi_shape_of(p->plan, v)->rank == 2 ? v : egi_alias(p->plan, v, EGI_SHAPE(p->plan->batch, p->classes));
}

static eg_status emit_seed(pass *p, egi_val logits, egi_val *dz)
{
    const bool empirical = p->request->mode == EGI_FISHER_EMPIRICAL, softmax = p->head == EGI_HEAD_SOFTMAX;
    const bool by_targets = p->request->objective.by_targets[p->output];
    const int j = p->output;
    const egi_val z = as_matrix(p, logits);
    if (empirical && softmax && !by_targets)
        p->feed.labels[j] = egi_plan_input(p->plan, EGI_I32, EGI_SHAPE(p->plan->batch));
    else if (empirical)
        p->feed.targets[j] = egi_plan_input(p->plan, p->plan->dtype, *egi_shape_of(p->plan, z));
    p->feed.by_targets[j] = by_targets;
    p->feed.weights[j] = egi_plan_input(p->plan, p->plan->dtype, EGI_SHAPE(p->plan->batch));
    *dz = egi_temp_like(p->plan, z);
    return EGI_EMIT(p->plan, fisher_seed, .z = z, .labels = p->feed.labels[j], .targets = p->feed.targets[j],
                    .weights = p->feed.weights[j], .dz = *dz, .head = p->head, .mode = p->request->mode);
}

/* One sample at a time: its gradient goes into an arena, whose squares are then added. */
static eg_status emit_square_add(pass *p)
{
    const egi_shape all = EGI_SHAPE(p->model->arena_count);
    const egi_val x = egi_plan_bind(p->plan, p->plan->dtype, all, p->grads);
    const egi_val f = egi_plan_bind(p->plan, p->plan->dtype, all, p->omega);
    return EGI_EMIT(p->plan, square_add, .x = x, .f = f);
}

static eg_status emit_pass(pass *p, egi_model_io *io, bool single)
{
    egi_val logits, dz;
    egi_act act;
    EG_TRY(egi_model_emit(p->model, p->plan, single ? p->grads : NULL, single ? NULL : p->omega, io));
    EG_TRY(egi_feed_create(&p->feed, p->model, p->plan, io));
    EG_TRY(egi_plan_logits(p->plan, io->out[p->output], &logits, &act));
    EG_TRY(choose_head(p, io->out[p->output], logits, act));
    EG_TRY(emit_seed(p, logits, &dz));
    EG_TRY(egi_plan_fuse(p->plan)); /* after the seed, which reads the logits: a sigmoid must not swallow them again */
    EG_TRY(egi_plan_backward_from(p->plan, as_matrix(p, logits), dz, !single));
    return single ? emit_square_add(p) : EG_OK;
}

/* Compiles the pass. *exact: false when the square rules do not reach every parameter, and nothing is compiled. */
static eg_status compile_pass(pass *p, int64_t batch, bool single, bool *exact)
{
    egi_model_io io = {.params = NULL};
    eg_context *c = p->model->context;
    if (single)
        EG_TRY(egi_model_arena(&p->grads, p->model));
    EG_TRY(egi_plan_create(&p->plan, c, batch, p->model->dtype, false));
    const eg_status status = emit_pass(p, &io, single);
    egi_free(c, io.params);
    EG_TRY(status);
    *exact = single || egi_plan_squares_exact(p->plan);
    if (!*exact)
        return EG_OK;
    EG_TRY(egi_alloc(&p->items, c, batch, sizeof *p->items));
    return egi_plan_compile(p->plan);
}

static eg_status prepare_pass(pass *p)
{
    const egi_fisher_request *r = p->request;
    bool exact = false;
    if (!r->one_by_one)
        EG_TRY(compile_pass(p, r->batch, false, &exact));
    if (exact)
        return EG_OK;
    if (!r->one_by_one)
        egi_log(p->model->context, EG_LOG_INFO,
                "importance: a parameter is used twice or has no batch rule, so samples are taken one at a time");
    egi_feed_release(&p->feed);
    egi_plan_free(p->plan);
    p->plan = NULL;
    return compile_pass(p, 1, true, &exact);
}

static eg_status run_batch(pass *p, int64_t n)
{
    const egi_fisher_request *r = p->request;
    EG_TRY(egi_feed_fill(&p->feed, r->sources, r->n_sources, p->items, n));
    EG_TRY(egi_plan_run_forward(p->plan, &p->control));
    const int64_t rows = r->classes > 0 && r->classes < p->classes ? r->classes : p->classes;
    const int64_t classes = r->mode == EGI_FISHER_EXACT ? rows : 1;
    for (int64_t k = 0; k < classes; k++) {
        p->control.fisher_class = k;
        EG_TRY(egi_plan_run_backward(p->plan, &p->control));
    }
    p->control.step++;
    return EG_OK;
}

static eg_status run_pass(pass *p)
{
    const egi_fisher_request *r = p->request;
    int64_t n = 0;
    EG_TRY(prepare_pass(p));
    for (int64_t i = 0; i < r->n; i++) {
        if (r->sources[r->items[i].source].output != p->output)
            continue;
        p->items[n++] = r->items[i];
        if (n == p->feed.n) {
            EG_TRY(run_batch(p, n));
            n = 0;
        }
    }
    return n ? run_batch(p, n) : EG_OK;
}

eg_status egi_fisher(void *omega, const eg_model *model, const egi_fisher_request *request)
{
    eg_status status = egi_host_writes(model->context, omega);
    memset(omega, 0, (size_t)model->arena_count * egi_dtype_size(model->dtype));
    for (int j = 0; j < model->n_outputs && status == EG_OK; j++) {
        if (!request->objective.used[j])
            continue;
        pass p = {.model = model, .request = request, .output = j, .omega = omega};
        p.control = (egi_control){.seed = request->seed, .weights_version = 1};
        status = run_pass(&p);
        pass_release(&p);
    }
    EG_TRY(status);
    EG_TRY(egi_host_writes(model->context, omega));
    egi_arena_blend(model, omega, 1 / (double)request->n, NULL);
    if (!egi_arena_finite(model, omega))
        return egi_fail(EG_ERR_NUMERIC, "importance: not finite; the network's outputs are not finite on the old data");
    return EG_OK;
}

egi_fisher_mode egi_fisher_choose(egi_fisher_choice wanted, int64_t classes, int64_t n)
{
    if (wanted == EGI_FISHER_BY_EXACT || wanted == EGI_FISHER_BY_SAMPLE || wanted == EGI_FISHER_BY_EMPIRICAL)
        return wanted == EGI_FISHER_BY_EXACT    ? EGI_FISHER_EXACT
               : wanted == EGI_FISHER_BY_SAMPLE ? EGI_FISHER_SAMPLE
                                                : EGI_FISHER_EMPIRICAL;
    return classes <= 20 || (n <= 500 && classes <= 100) ? EGI_FISHER_EXACT : EGI_FISHER_SAMPLE;
}
