/* eg_finetune(): a run from its configuration to its files, step by step; run.h names the steps. */
#include "engram/finetune.h"

#include "finetune/screen.h"

#include <math.h>
#include <string.h>

static eg_status make_config(egi_run *run)
{
    if (run->job->config)
        EG_TRY(eg_config_clone(&run->config_owned, run->job->config));
    else
        EG_TRY(eg_config_create(&run->config_owned, run->context));
    EG_TRY(egi_config_check(run->config_owned));
    run->config = egi_config_run(run->config_owned);
    run->seed = egi_config_given(run->config_owned, "run.seed") ? (uint64_t)run->config->run.seed : run->context->seed;
    return EG_OK;
}

eg_status egi_run_begin(egi_run *run, const eg_model *model, const eg_finetune_job *job)
{
    *run = (egi_run){.context = model->context, .job = job, .before = model, .started = egi_clock(), .blend = 1};
    run->train_accuracy = run->train_loss = NAN;
    if (job->struct_size != sizeof *job)
        return egi_fail(EG_ERR_ARG, "eg_finetune_job: struct_size is %zu, wanted %zu", job->struct_size, sizeof *job);
    EG_TRY(make_config(run));
    if (job->out_dir)
        EG_TRY(egi_report_create(&run->report, run->context, job->out_dir, run->config_owned));
    return EG_OK;
}

void egi_run_release(egi_run *run)
{
    eg_context *c = run->context;
    for (int i = 0; i < run->n_methods; i++)
        if (run->methods[i].type->release)
            run->methods[i].type->release(&run->methods[i], run);
    egi_trainer_free(run->trainer);
    egi_evaluator_free(run->evaluator);
    egi_evaluator_free(run->quick);
    egi_cache_free(run->cache);
    egi_pool_release(&run->new_pool);
    egi_anchor_release(&run->anchor, c);
    egi_part_release(&run->new_part, c);
    for (int64_t i = 0; i < run->n_old; i++) {
        egi_old_task *old = &run->old[i];
        egi_part_release(&old->part, c);
        egi_free(c, old->name);
        egi_free(c, old->rows_before);
        egi_free(c, old->right_before);
        egi_free(c, old->right_after);
    }
    egi_free(c, run->old);
    egi_free(c, run->sources);
    egi_free(c, run->class_weights);
    egi_free(c, run->items);
    egi_free(c, run->epochs);
    egi_free(c, run->start);
    egi_free(c, run->best);
    egi_head_map_free(run->map);
    egi_memory_free(run->memory);
    eg_model_free(run->model);
    for (int64_t i = 0; i < run->n_loaded; i++)
        eg_dataset_free(run->loaded[i]);
    egi_free(c, run->loaded);
    egi_report_free(run->report);
    eg_config_free(run->config_owned);
}

eg_status egi_run_prepare(egi_run *run)
{
    EG_TRY(egi_run_load(run));
    EG_TRY(egi_run_setup(run));
    EG_TRY(egi_model_arena(&run->start, run->model));
    memcpy(run->start, run->model->weights, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    EG_TRY(egi_run_methods(run));
    if (run->config->finetune.epochs > 0) {
        EG_TRY(egi_run_begin_methods(run));
        EG_TRY(egi_run_build(run));
        egi_heads_warning(run->map, (egi_classes)run->config->data.classes, run->rehearses, run->method_name,
                          run->warning, sizeof run->warning);
    }
    egi_screen_head(run);
    EG_TRY(egi_screen_duplicates(run));
    EG_TRY(egi_run_measure_before(run));
    egi_screen_before(run);
    return EG_OK;
}

static void tell_start(egi_run *run)
{
    const eg_progress p = {.epochs = run->config->finetune.epochs, .finished = &run->epochs[0]};
    if (run->job->progress && !run->job->progress(run->job->user, &p))
        run->cancelled = true;
}

static eg_status execute(egi_run *run, eg_finetune_result **out)
{
    EG_TRY(egi_run_prepare(run));
    tell_start(run);
    if (run->config->finetune.epochs > 0) {
        EG_TRY(egi_run_train(run));
        EG_TRY(egi_run_blend(run));
    }
    EG_TRY(egi_run_measure_after(run));
    EG_TRY(egi_run_verdict(run));
    if (run->epochs_run > 0)
        EG_TRY(egi_run_end_methods(run));
    egi_screen_after(run);
    return egi_run_finish(run, out);
}

/* The trained model becomes the caller's, the old one is freed with the run. */
static void exchange(eg_model *a, eg_model *b)
{
    egi_model_drop_cache(a);
    egi_model_drop_cache(b);
    const eg_model other = *a;
    *a = *b;
    *b = other;
}

eg_status eg_finetune(eg_finetune_result **out, eg_model *model, const eg_finetune_job *job)
{
    egi_run run;
    eg_status status = egi_run_begin(&run, model, job);
    if (status == EG_OK)
        status = execute(&run, out);
    if (status == EG_OK)
        exchange(model, run.model);
    egi_run_release(&run);
    return status;
}
