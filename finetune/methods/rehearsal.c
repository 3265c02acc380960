/** Rehearsal: every batch is part new, part old examples, under one mean loss (experience replay: Ratcliff 1990;
 * Rolnick et al. 2019). Old ones are drawn without replacement, a pass at a time, in turn from every old task, so that
 * a small memory is not drowned by a large one. */
#include "finetune/run.h"

typedef struct rehearsal {
    egi_pool *pools; /* (n) one an old task; owned */
    int64_t n;
    int64_t turn; /* whose example comes next */
} rehearsal;

static eg_status make_items(egi_item **out, int64_t *n, const egi_run *run, int64_t task)
{
    const egi_part *part = &run->old[task].part;
    const egi_source *source = &run->sources[1 + task];
    egi_item *items;
    int64_t count = 0;
    EG_TRY(egi_alloc(&items, run->context, part->n_train, sizeof *items));
    for (int64_t i = 0; i < part->n_train; i++)
        if (egi_source_row(source, part->train_index[i]) >= 0)
            items[count++] = (egi_item){.index = part->train_index[i], .source = (int32_t)(1 + task)};
    *out = items;
    *n = count;
    return EG_OK;
}

static eg_status begin_task(egi_method *m, egi_run *run)
{
    rehearsal *s;
    EG_TRY(egi_alloc(&s, run->context, 1, sizeof *s));
    m->state = s;
    EG_TRY(egi_alloc(&s->pools, run->context, run->n_old, sizeof *s->pools));
    for (int64_t task = 0; task < run->n_old; task++) {
        egi_item *items;
        int64_t n;
        EG_TRY(make_items(&items, &n, run, task));
        if (n == 0) {
            egi_free(run->context, items);
            continue;
        }
        const uint64_t seed = run->seed + (uint64_t)task * 0x9E3779B97F4A7C15u;
        EG_TRY(egi_pool_create(&s->pools[s->n], run->context, items, n, seed, EGI_RNG_MEMORY, true));
        s->n++;
    }
    if (s->n == 0)
        return egi_fail(EG_ERR_CONFIG,
                        "remember.method: rehearsal needs examples of old classes that the head still has: give "
                        "--keep, or a model file that carries examples; without either use l2sp");
    return EG_OK;
}

static void compose_batch(egi_method *m, egi_run *run, egi_item *items, int64_t *n)
{
    rehearsal *s = m->state;
    for (; s->n > 0 && *n < run->batch; s->turn++)
        egi_pool_draw(&s->pools[s->turn % s->n], 1, &items[(*n)++]);
}

static void release(egi_method *m, egi_run *run)
{
    rehearsal *s = m->state;
    for (int64_t i = 0; s && i < s->n; i++)
        egi_pool_release(&s->pools[i]);
    if (s)
        egi_free(run->context, s->pools);
    egi_free(run->context, s);
    m->state = NULL;
}

const egi_method_type egi_method_rehearsal = {
    .name = "rehearsal", .begin_task = begin_task, .compose_batch = compose_batch, .release = release};
