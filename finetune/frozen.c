/* Whether the frozen front of the network runs once an example instead of in every step, and the line that says so. */
#include "finetune/run.h"
#include "finetune/screen.h"

#include <stdio.h>

#define MEGABYTE   1000000LL
#define AUTO_SHARE 4 /* of the free memory, one part */
#define AUTO_MOST  (2048 * MEGABYTE)

static int64_t budget_of(const egi_run *run)
{
    if (run->config->finetune.cache_mb > 0)
        return run->config->finetune.cache_mb * MEGABYTE;
    const int64_t share = egi_available_memory() / AUTO_SHARE;
    return share < AUTO_MOST ? share : AUTO_MOST;
}

/* Old examples are met in steps only where they are rehearsed; every selection split is measured each epoch. */
static egi_cache_need need_of(const egi_run *run, int64_t source)
{
    const egi_part *part = source == 0 ? &run->new_part : &run->old[source - 1].part;
    const bool trained = source == 0 || run->rehearses;
    return (egi_cache_need){.train = part->train_index,
                            .n_train = trained ? part->n_train : 0,
                            .select = part->select_index,
                            .n_select = part->n_select};
}

/* An upper bound: where training examples select they are counted once. */
static int64_t rows_of(const egi_run *run, int64_t source)
{
    const egi_part *part = source == 0 ? &run->new_part : &run->old[source - 1].part;
    const egi_cache_need need = need_of(run, source);
    return need.n_train > 0 && part->select_is_train ? need.n_train : need.n_train + need.n_select;
}

/* Why a row of today would not be that of tomorrow, or not the same number; NULL: nothing. */
static const char *objection(const egi_run *run)
{
    if (run->config->data.augment.flip || run->config->data.augment.shift)
        return "data.augment draws every example anew";
    return run->model->dtype != EGI_F32 ? "rows are kept in float32, the network computes in float64" : NULL;
}

static bool meets_twice(const egi_run *run, int64_t epoch_steps)
{
    const int64_t limit = run->config->finetune.max_steps;
    return run->config->finetune.epochs > 1 && (limit == 0 || limit > epoch_steps);
}

/* It cannot be done: an error where it was demanded, else a line, unless the user has nothing frozen to ask about. */
static eg_status go_without(egi_run *run, const char *reason, bool say)
{
    if (run->config->finetune.cache == EGI_CACHE_ON)
        return egi_fail(EG_ERR_CONFIG, "finetune.cache: on, but %s", reason);
    if (say)
        snprintf(run->frozen_line, sizeof run->frozen_line, "run in every step: %s", reason);
    return EG_OK;
}

static eg_status too_large(egi_run *run, int64_t floats, int64_t rows, int64_t budget)
{
    char reason[200];
    snprintf(reason, sizeof reason, "keeping %s x %s floats takes %.1f MB, over finetune.cache_mb=%lld%s",
             egi_count_format(rows).s, egi_count_format(floats).s, (double)rows * (double)floats * 4 / MEGABYTE,
             (long long)(budget / MEGABYTE), run->config->finetune.cache_mb ? "" : " (auto)");
    return go_without(run, reason, true);
}

static eg_status make_cache(egi_run *run, egi_cut *cut)
{
    egi_cache_need *needs;
    int64_t most = run->batch > EGI_SELECT_MAX ? run->batch : EGI_SELECT_MAX;
    EG_TRY(egi_alloc(&needs, run->context, run->n_sources, sizeof *needs));
    for (int64_t i = 0; i < run->n_sources; i++) {
        needs[i] = need_of(run, i);
        most = needs[i].n_select > most ? needs[i].n_select : most;
    }
    const eg_status status =
        egi_cache_create(&run->cache, cut, run->sources, run->n_sources, needs, most, run->batch_new);
    egi_free(run->context, needs);
    EG_TRY(status);
    const egi_cut *c = egi_cache_cut(run->cache);
    snprintf(run->frozen_line, sizeof run->frozen_line, "%lld of %lld layers run once, %s x %s floats, %.1f MB",
             (long long)c->front.n_calls, (long long)run->model->n_calls,
             egi_count_format(egi_cache_rows(run->cache)).s, egi_count_format(c->floats).s,
             (double)egi_cache_bytes(run->cache) / MEGABYTE);
    return EG_OK;
}

static eg_status decide(egi_run *run, egi_cut *cut, int64_t rows, int64_t budget, int64_t epoch_steps)
{
    if (cut->wanted == 0)
        return go_without(run, "no frozen layer comes before everything that is trained or drawn anew", false);
    if (objection(run))
        return go_without(run, objection(run), true);
    if (run->config->finetune.cache == EGI_CACHE_AUTO && !meets_twice(run, epoch_steps))
        return go_without(run, "no example is met twice", true);
    if (cut->front.n_calls == 0)
        return too_large(run, cut->wanted, rows, budget);
    return make_cache(run, cut);
}

eg_status egi_run_cache(egi_run *run, int64_t epoch_steps)
{
    const int64_t budget = budget_of(run);
    egi_cut cut;
    int64_t rows = 0;
    if (run->config->finetune.cache == EGI_CACHE_OFF)
        return EG_OK;
    for (int64_t i = 0; i < run->n_sources; i++)
        rows += rows_of(run, i);
    EG_TRY(egi_cut_find(&cut, run->model, budget / (int64_t)sizeof(float) / (rows > 0 ? rows : 1)));
    const eg_status status = decide(run, &cut, rows, budget, epoch_steps);
    egi_cut_release(&cut);
    return status;
}
