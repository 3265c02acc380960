/** Elastic weight consolidation (Kirkpatrick et al. 2017, eq. 3): the diagonal Fisher information at the old weights is
 * the importance of a quadratic anchor. Online form (Schwarz et al. 2018): one sum of importance over tasks, each
 * normalised first, anchored at the last weights. The optimizer's one pass applies it. */
#include "finetune/run.h"

#include <math.h>
#include <string.h>

#define SAMPLES_AUTO   1000
#define STRENGTH_ALONE 0.1 /* of importance with mean 1, where nothing else protects */

typedef struct ewc {
    void *omega;  /* importance of all old tasks; arena, owned; NULL: nothing is known */
    double scale; /* what the last importance was divided by */
} ewc;

/* The more old examples are rehearsed, the less the anchor has to hold, and the more it would only hinder: measured on
 * LeNet-5, MNIST to Fashion-MNIST, with 450 to 54,000 old examples. */
static double automatic_strength(const egi_run *run)
{
    int64_t n = 0;
    for (int64_t i = 0; i < run->n_old && run->rehearses; i++)
        n += run->old[i].part.n_train;
    return n > 0 ? fmin(fmax(1 / (double)n, 1e-5), 1e-2) : STRENGTH_ALONE;
}

/* Evenly spaced examples of a part. */
static int64_t take_items(egi_item *items, const egi_part *part, const egi_source *source, int32_t number,
                          int64_t wanted)
{
    int64_t n = 0;
    for (int64_t i = 0; i < wanted; i++) {
        const int64_t index = part->train_index[i * part->n_train / wanted];
        if (egi_source_row(source, index) >= 0)
            items[n++] = (egi_item){.index = index, .source = number};
    }
    return n;
}

static int64_t sample_count(const egi_run *run, int64_t available)
{
    const int64_t wanted =
        run->config->remember.fisher_samples > 0 ? run->config->remember.fisher_samples : SAMPLES_AUTO;
    return wanted < available ? wanted : available;
}

/* Importance from `n` items: the Fisher information, scale-free unless asked otherwise. */
static eg_status estimate(ewc *s, egi_run *run, void *omega, const egi_item *items, int64_t n, int64_t classes)
{
    egi_fisher_request r = {
        .sources = run->sources,
        .n_sources = run->n_sources,
        .items = items,
        .n = n,
        .classes = classes,
        .batch = 50,
        .seed = run->seed,
    };
    r.mode = egi_fisher_choose((egi_fisher_choice)run->config->remember.fisher,
                               classes ? classes : egi_output_rows(run->model, run->map->output), n);
    EG_TRY(egi_objective_make(&r.objective, run->model, run->config, run->sources, run->n_sources));
    EG_TRY(egi_fisher(omega, run->model, &r));
    if (classes)
        egi_run_mark_fresh(run, omega, 0); /* what was drawn a moment ago holds no knowledge */
    s->scale = run->config->remember.scale == EGI_SCALE_MEAN ? egi_importance_normalise(run->model, omega) : 1;
    return EG_OK;
}

/* Is this old task already in the importance that the file carries? */
static bool is_known(const egi_run *run, const egi_old_task *old)
{
    return run->memory->importance && egi_memory_find(run->memory, old->name);
}

static eg_status gather(egi_run *run, egi_item **out, int64_t *n)
{
    int64_t tasks = 0, room = 0;
    for (int64_t i = 0; i < run->n_old; i++)
        tasks += !is_known(run, &run->old[i]);
    for (int64_t i = 0; i < run->n_old; i++)
        room += run->old[i].part.n_train;
    egi_item *items;
    EG_TRY(egi_alloc(&items, run->context, room, sizeof *items));
    *n = 0;
    for (int64_t i = 0; i < run->n_old; i++) {
        const egi_part *part = &run->old[i].part;
        if (is_known(run, &run->old[i]))
            continue;
        const int64_t all = sample_count(run, INT64_MAX), share = all / tasks > 0 ? all / tasks : 1;
        *n += take_items(items + *n, part, &run->sources[1 + i], (int32_t)(1 + i),
                         share < part->n_train ? share : part->n_train);
    }
    *out = items;
    return EG_OK;
}

/* How many rows an exact estimate must differentiate: new rows cannot be the answer to an old example. 0: all. */
static int64_t old_rows(const egi_run *run)
{
    return run->model->n_outputs == 1 ? egi_output_rows(run->model, 0) - run->map->added : 0;
}

/* Importance of old tasks that the file does not know yet, at the weights as they are. */
static eg_status add_unknown(ewc *s, egi_run *run)
{
    egi_item *items;
    int64_t n;
    void *fresh = NULL;
    EG_TRY(gather(run, &items, &n));
    eg_status status = EG_OK;
    if (n > 0) {
        status = egi_model_arena(&fresh, run->model);
        if (status == EG_OK)
            status = estimate(s, run, fresh, items, n, old_rows(run));
        if (status == EG_OK)
            status = egi_run_anchor(run, run->start, fresh, automatic_strength(run));
        if (status == EG_OK && !s->omega)
            status = egi_model_arena(&s->omega, run->model);
        if (status == EG_OK)
            egi_arena_blend(run->model, s->omega, run->config->remember.gamma, fresh);
    }
    egi_free(run->context, fresh);
    egi_free(run->context, items);
    return status;
}

static eg_status begin_task(egi_method *m, egi_run *run)
{
    ewc *s;
    EG_TRY(egi_alloc(&s, run->context, 1, sizeof *s));
    m->state = s;
    s->scale = run->memory->scale;
    if (run->memory->importance) {
        EG_TRY(egi_run_anchor(run, run->memory->anchor, run->memory->importance, automatic_strength(run)));
        EG_TRY(egi_model_arena(&s->omega, run->model));
        egi_arena_blend(run->model, s->omega, 1, run->memory->importance);
    }
    EG_TRY(add_unknown(s, run));
    if (!s->omega)
        return egi_fail(EG_ERR_CONFIG, "remember.method: ewc needs old data (--keep) or a memory in the model file; "
                                       "without either use l2sp");
    return EG_OK;
}

static eg_status estimate_new(ewc *s, egi_run *run, void *omega)
{
    egi_item *items;
    const int64_t wanted = sample_count(run, run->new_part.n_train);
    EG_TRY(egi_alloc(&items, run->context, wanted, sizeof *items));
    const int64_t n = take_items(items, &run->new_part, &run->sources[0], 0, wanted);
    const eg_status status = n > 0 ? estimate(s, run, omega, items, n, 0) : EG_OK;
    egi_free(run->context, items);
    return status;
}

/* omega <- gamma omega + omega of the new task; anchored where the weights are now. */
static eg_status end_task(egi_method *m, egi_run *run)
{
    ewc *s = m->state;
    egi_memory *memory = run->memory;
    if (!memory->anchor)
        EG_TRY(egi_model_arena(&memory->anchor, run->model));
    if (!memory->importance)
        EG_TRY(egi_model_arena(&memory->importance, run->model));
    EG_TRY(estimate_new(s, run, memory->importance));
    if (run->config->remember.online) {
        egi_arena_blend(run->model, s->omega, run->config->remember.gamma, memory->importance);
        memcpy(memory->importance, s->omega, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    }
    memcpy(memory->anchor, run->model->weights, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    memory->scale = s->scale;
    memory->tasks = run->config->remember.online ? run->n_old + 1 : 1;
    return EG_OK;
}

static void release(egi_method *m, egi_run *run)
{
    ewc *s = m->state;
    if (s)
        egi_free(run->context, s->omega);
    egi_free(run->context, s);
    m->state = NULL;
}

const egi_method_type egi_method_ewc = {
    .name = "ewc", .begin_task = begin_task, .end_task = end_task, .release = release};
