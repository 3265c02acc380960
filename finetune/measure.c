/* Accuracies: before training with the model as it was, every epoch on the selection splits, at the end on the test
 * parts. */
#include "finetune/run.h"

#include <math.h>

#define EXAMPLES_OF_NOISE 2.0 /* fewer right answers than before that say nothing yet */

static egi_eval_set selection(const egi_part *part, const egi_preprocess *p, const int32_t *rows, int output)
{
    return (egi_eval_set){.data = part->train,
                          .preprocess = p,
                          .index = part->select_index,
                          .n = part->n_select,
                          .rows = rows,
                          .output = output};
}

static egi_eval_set test_of(const egi_part *part, const egi_preprocess *p, const int32_t *rows, int output)
{
    return (egi_eval_set){.data = part->test,
                          .preprocess = p,
                          .index = part->test_index,
                          .n = part->n_test,
                          .rows = rows,
                          .output = output};
}

static egi_eval_set new_set(const egi_run *run, bool test)
{
    const egi_source *s = &run->sources[0];
    return (test ? test_of : selection)(&run->new_part, s->preprocess, s->rows, s->output);
}

static egi_eval_set old_set(const egi_run *run, int64_t i, bool test)
{
    const egi_source *s = &run->sources[1 + i];
    return (test ? test_of : selection)(&run->old[i].part, s->preprocess, s->rows, s->output);
}

/* A set of training or selection examples: of cached rows where there are any. */
static eg_status measure_met(egi_run *run, int64_t source, egi_eval_set set, egi_eval_figures *f)
{
    if (!run->cache)
        return egi_evaluator_run(run->evaluator, &set, NULL, NULL, f);
    EG_TRY(egi_cache_set(run->cache, source, &set));
    return egi_evaluator_run(run->quick, &set, NULL, NULL, f);
}

static eg_status make_evaluator(egi_evaluator **out, const egi_run *run, const eg_model *model)
{
    return egi_evaluator_create(out, model, (egi_loss_name)run->config->finetune.loss,
                                run->config->finetune.label_smoothing, 0);
}

/* The model as it was, with its own head and its own rows. */
static eg_status measure_old(egi_run *run, egi_evaluator *as_it_was)
{
    for (int64_t i = 0; i < run->n_old; i++) {
        egi_old_task *old = &run->old[i];
        egi_eval_figures f;
        EG_TRY(egi_alloc(&old->right_before, run->context, old->part.n_test, 1));
        EG_TRY(egi_alloc(&old->right_after, run->context, old->part.n_test, 1));
        const egi_eval_set test = test_of(&old->part, &old->preprocess.p, old->rows_before, old->output_before);
        EG_TRY(egi_evaluator_run(as_it_was, &test, NULL, old->right_before, &f));
        old->before = f.accuracy;
        const egi_eval_set select = selection(&old->part, &old->preprocess.p, old->rows_before, old->output_before);
        EG_TRY(egi_evaluator_run(as_it_was, &select, NULL, NULL, &f));
        old->select_before = old->select_now = f.accuracy;
    }
    return EG_OK;
}

static double mean_keep(const egi_run *run)
{
    double sum = 0;
    for (int64_t i = 0; i < run->n_old; i++)
        sum += run->old[i].select_now;
    return run->n_old ? sum / (double)run->n_old : NAN;
}

/* What a task's selection split may show. */
static double allowance(const egi_run *run, const egi_old_task *old)
{
    return fmax(run->config->remember.budget, EXAMPLES_OF_NOISE / (double)old->part.n_select);
}

double egi_run_budget(const egi_run *run)
{
    double least = INFINITY;
    for (int64_t i = 0; i < run->n_old; i++)
        if (run->old[i].answerable)
            least = fmin(least, allowance(run, &run->old[i]));
    return least;
}

double egi_run_drop(const egi_run *run)
{
    const double budget = egi_run_budget(run);
    double most = NAN;
    for (int64_t i = 0; i < run->n_old; i++) {
        const egi_old_task *old = &run->old[i];
        if (old->answerable) /* fmax ignores NaN */
            most = fmax(most, (old->select_before - old->select_now) * (budget / allowance(run, old)));
    }
    return most;
}

eg_status egi_run_measure_before(egi_run *run)
{
    egi_evaluator *as_it_was;
    egi_eval_figures f;
    EG_TRY(make_evaluator(&as_it_was, run, run->before));
    const eg_status status = measure_old(run, as_it_was);
    egi_evaluator_free(as_it_was);
    EG_TRY(status);
    EG_TRY(make_evaluator(&run->evaluator, run, run->model));
    if (run->cache)
        EG_TRY(make_evaluator(&run->quick, run, egi_cache_model(run->cache)));
    const egi_eval_set test = new_set(run, true);
    EG_TRY(egi_evaluator_run(run->evaluator, &test, NULL, NULL, &f));
    run->new_before = f.accuracy;
    EG_TRY(measure_met(run, 0, new_set(run, false), &f));
    EG_TRY(EGI_RESERVE(run->context, run->epochs, 0, run->epochs_capacity));
    run->epochs[0] = (eg_epoch_result){.loss = NAN,
                                       .accuracy = NAN,
                                       .validation_loss = run->new_part.select_is_train ? NAN : f.loss,
                                       .new_accuracy = f.accuracy,
                                       .keep_accuracy = mean_keep(run),
                                       .strength = run->protect.strength,
                                       .mix = run->protect.mix};
    return EG_OK;
}

static eg_status measure_keep(egi_run *run)
{
    egi_eval_figures f;
    for (int64_t i = 0; i < run->n_old; i++) {
        EG_TRY(measure_met(run, 1 + i, old_set(run, i, false), &f));
        run->old[i].select_now = f.accuracy;
    }
    return EG_OK;
}

eg_status egi_run_measure_epoch(egi_run *run, eg_epoch_result *epoch)
{
    egi_eval_figures f;
    EG_TRY(measure_met(run, 0, new_set(run, false), &f));
    EG_TRY(measure_keep(run));
    epoch->validation_loss = run->new_part.select_is_train ? NAN : f.loss;
    epoch->new_accuracy = f.accuracy;
    epoch->keep_accuracy = mean_keep(run);
    return EG_OK;
}

/* As many training examples as selection ones, for the gap between the two. */
static eg_status measure_training(egi_run *run)
{
    egi_eval_figures f;
    egi_eval_set set = new_set(run, false);
    const int64_t all = run->new_part.n_train;
    int64_t *index;
    set.n = all < EGI_SELECT_MAX ? all : EGI_SELECT_MAX;
    EG_TRY(egi_alloc(&index, run->context, set.n, sizeof *index));
    for (int64_t i = 0; i < set.n; i++) /* evenly spread: a set may be ordered by class */
        index[i] = run->new_part.train_index[i * all / set.n];
    set.index = index;
    const eg_status status = measure_met(run, 0, set, &f);
    egi_free(run->context, index);
    EG_TRY(status);
    run->train_accuracy = f.accuracy;
    run->train_loss = f.loss;
    return EG_OK;
}

eg_status egi_run_measure_after(egi_run *run)
{
    egi_eval_figures f;
    const egi_eval_set set = new_set(run, true);
    EG_TRY(egi_evaluator_run(run->evaluator, &set, NULL, NULL, &f));
    run->new_after = f.accuracy;
    for (int64_t i = 0; i < run->n_old; i++) {
        egi_old_task *old = &run->old[i];
        const egi_eval_set test = old_set(run, i, true);
        EG_TRY(egi_evaluator_run(run->evaluator, &test, NULL, old->right_after, &f));
        old->after = f.accuracy;
    }
    return measure_training(run);
}
