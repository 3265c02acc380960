/* The end of a run: its files and its result. */
#include "finetune/screen.h"

#include <math.h>
#include <string.h>

/* The public result and what it owns. */
typedef struct result {
    eg_finetune_result r;
    eg_context *context;
    char *texts[8];
    int n_texts;
    const char **wrote;
} result;

void eg_finetune_result_free(eg_finetune_result *r)
{
    if (!r)
        return;
    result *own = (result *)r; /* r is the first member */
    eg_context *c = own->context;
    for (int64_t i = 0; i < r->n_keep; i++)
        egi_free(c, (char *)r->keep[i].name);
    for (int64_t i = 0; own->wrote && own->wrote[i]; i++)
        egi_free(c, (char *)own->wrote[i]);
    for (int i = 0; i < own->n_texts; i++)
        egi_free(c, own->texts[i]);
    eg_profile_free(r->profile);
    egi_free(c, own->wrote);
    egi_free(c, r->keep);
    egi_free(c, r->epochs);
    egi_free(c, own);
}

static eg_status text(result *own, const char **out, const char *value)
{
    EG_TRY(egi_strdup(&own->texts[own->n_texts], own->context, value));
    *out = own->texts[own->n_texts++];
    return EG_OK;
}

static eg_status fill_keep(result *own, const egi_run *run)
{
    EG_TRY(egi_alloc(&own->r.keep, run->context, run->n_old, sizeof *own->r.keep));
    own->r.budget_met = true;
    for (int64_t i = 0; i < run->n_old; i++) {
        const egi_old_task *old = &run->old[i];
        const egi_flips f = egi_flips_count(old->right_before, old->right_after, old->part.n_test);
        eg_keep_result *k = &own->r.keep[i];
        *k = (eg_keep_result){.n = f.n,
                              .before = old->before,
                              .after = old->after,
                              .drop = old->before - old->after,
                              .budget = run->config->remember.budget,
                              .negative_flips = f.negative,
                              .positive_flips = f.positive};
        double lower;
        egi_drop_limits(&f, 0.95, &lower, &k->drop_upper);
        k->met = !egi_over_budget(k->drop, k->budget);
        own->r.budget_met = own->r.budget_met && k->met;
        own->r.n_keep = i + 1;
        char *name;
        EG_TRY(egi_strdup(&name, run->context, old->name));
        k->name = name;
    }
    return EG_OK;
}

/* Old tasks stand as they were before this run for every time that they were not trained; the run is the last row. */
static eg_status fill_figures(result *own, const egi_run *run)
{
    const int64_t tasks = run->n_old + 1;
    double *a;
    EG_TRY(egi_alloc(&a, run->context, tasks * tasks, sizeof *a));
    for (int64_t k = 0; k < tasks; k++) {
        for (int64_t i = 0; i < run->n_old; i++)
            a[k * tasks + i] = k == tasks - 1 ? run->old[i].after : run->old[i].before;
        a[k * tasks + tasks - 1] = k == tasks - 1 ? run->new_after : run->new_before;
    }
    own->r.average_accuracy = egi_average_accuracy(a, tasks);
    own->r.backward_transfer = egi_backward_transfer(a, tasks);
    own->r.forgetting = egi_forgetting(a, tasks);
    egi_free(run->context, a);
    return EG_OK;
}

static eg_status fill_epochs(result *own, const egi_run *run)
{
    const int64_t n = run->epochs_run + 1;
    EG_TRY(egi_alloc(&own->r.epochs, run->context, n, sizeof *own->r.epochs));
    memcpy(own->r.epochs, run->epochs, (size_t)n * sizeof *own->r.epochs);
    own->r.epochs_run = run->epochs_run;
    own->r.best_epoch = run->budget.best_epoch;
    own->r.steps = run->trainer ? egi_trainer_steps(run->trainer) : 0;
    own->r.stopped_early = run->stopped_early;
    own->r.diverged = run->recovered;
    own->r.cancelled = run->cancelled;
    own->r.blend = run->blend;
    own->r.seconds = egi_clock() - run->started;
    own->r.examples_per_second = run->train_seconds > 0 ? (double)run->examples_seen / run->train_seconds : 0;
    own->r.new_n = run->new_part.n_test;
    own->r.new_before = run->new_before;
    own->r.new_after = run->new_after;
    return EG_OK;
}

static eg_status fill_profile(result *own, const egi_run *run)
{
    eg_peak peak;
    if (!run->config->run.profile || !run->trainer)
        return EG_OK;
    EG_TRY(egi_profile_create(&own->r.profile, run->context, true));
    EG_TRY(egi_trainer_profile(run->trainer, own->r.profile));
    EG_TRY(eg_peak_measure(&peak, run->context));
    egi_profile_finish(own->r.profile, &run->laps, &peak);
    return EG_OK;
}

static eg_status fill(result *own, const egi_run *run, const char *model_path)
{
    EG_TRY(fill_profile(own, run));
    EG_TRY(fill_keep(own, run));
    EG_TRY(fill_figures(own, run));
    EG_TRY(fill_epochs(own, run));
    EG_TRY(text(own, &own->r.new_name, run->new_train->name));
    EG_TRY(text(own, &own->r.method, run->method_name));
    EG_TRY(text(own, &own->r.verdict, run->verdict));
    EG_TRY(text(own, &own->r.warning, run->warning));
    return text(own, &own->r.model_path, model_path);
}

static int64_t count_files(const char *const *files)
{
    int64_t n = 0;
    while (files && files[n])
        n++;
    return n;
}

/* The model first, then what the report wrote. */
static eg_status fill_wrote(result *own, const egi_run *run)
{
    const char *const *files = run->report && !run->cancelled ? egi_report_files(run->report) : NULL;
    const int64_t n = own->r.model_path[0] ? 1 + count_files(files) : 0;
    EG_TRY(egi_alloc(&own->wrote, run->context, n + 1, sizeof *own->wrote));
    own->r.wrote = own->wrote;
    char *path;
    for (int64_t i = 0; i < n; i++) {
        EG_TRY(egi_strdup(&path, run->context, i ? files[i - 1] : own->r.model_path));
        own->wrote[i] = path;
    }
    return EG_OK;
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

/* A file that missed its budget says so. */
static eg_status mark(egi_run *run, bool met)
{
    json_t *last = json_pack("{s:s, s:s, s:b}", "task", run->map->task, "method", run->method_name, "budget_met", met);
    if (!last || json_object_set_new(run->model->meta, "last_run", last) != 0)
        return egi_fail(EG_ERR_NOMEM, "model: no memory for a note on this run");
    return EG_OK;
}

static eg_status prepare_model(egi_run *run, bool met)
{
    egi_freeze_release(run->model, run->before);
    if (run->epochs_run == 0)
        return EG_OK;
    EG_TRY(egi_preprocess_record(run->model, &run->new_preprocess, run->new_train));
    EG_TRY(egi_tasks_set_preprocess(run->model, run->map->task, run->new_preprocess.text));
    for (int64_t i = 0; i < run->n_given; i++)
        EG_TRY(egi_tasks_set_preprocess(run->model, run->old[i].name, run->old[i].preprocess.text));
    if (run->n_methods > 0)
        EG_TRY(egi_run_remember(run));
    return mark(run, met);
}

static eg_status write_files(egi_run *run, result *own)
{
    EG_TRY(run->line_status);
    EG_TRY(eg_model_save(run->model, own->r.model_path));
    return run->cancelled ? EG_OK : egi_report_finish(run->report, &own->r);
}

/* A run that was stopped leaves the files of an earlier one alone: what was best so far goes beside them, and where no
 * epoch ended there is nothing to write. */
static eg_status model_path(char **path, const egi_run *run)
{
    const char *folder = run->job->out_dir, *name = run->cancelled ? "stopped.h5" : "model.h5";
    if (!run->report || (run->cancelled && run->epochs_run == 0))
        return egi_strdup(path, run->context, "");
    const size_t n = strlen(folder);
    return egi_format(path, run->context, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

static eg_status finish(egi_run *run, result *own)
{
    char *path = NULL;
    EG_TRY(model_path(&path, run));
    const bool writes = path[0] != '\0';
    const eg_status status = fill(own, run, path);
    egi_free(run->context, path);
    EG_TRY(status);
    EG_TRY(prepare_model(run, own->r.budget_met));
    if (writes)
        EG_TRY(write_files(run, own));
    return fill_wrote(own, run);
}

eg_status egi_run_finish(egi_run *run, eg_finetune_result **out)
{
    result *own;
    EG_TRY(egi_alloc(&own, run->context, 1, sizeof *own));
    own->context = run->context;
    const eg_status status = finish(run, own);
    if (status != EG_OK) {
        eg_finetune_result_free(&own->r);
        return status;
    }
    *out = &own->r;
    return EG_OK;
}
