/* The training loop: steps, epochs, recovery, stopping. */
#include "core/mirror.h"
#include "finetune/run.h"

#include <math.h>
#include <string.h>

#define BATCH_LEAST    8 /* new examples; with rehearsal as many old ones beside them */
#define BATCH_MOST     EGI_BATCH_DEFAULT
#define STEPS_WANTED   64   /* an epoch, of small data sets */
#define PROGRESS_EVERY 0.05 /* seconds */
#define RECOVERY_RATE  0.1
#define PROBE_STEPS    5

int64_t egi_run_new_share(int64_t batch, double mix)
{
    const int64_t old = llround((double)batch * mix), most = batch - 1;
    if (mix <= 0 || batch < 2)
        return batch;
    return batch - (old < 1 ? 1 : old > most ? most : old);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static int64_t automatic_batch(int64_t examples)
{
    int64_t batch = BATCH_MOST;
    while (batch > BATCH_LEAST && examples / batch < STEPS_WANTED)
        batch /= 2;
    return batch;
}

static void choose_batch(egi_run *run)
{
    const int64_t one = automatic_batch(run->new_part.n_train);
    run->batch = run->config->finetune.batch;
    if (run->batch == 0)
        run->batch = run->rehearses ? 2 * one : one;
    const double mix = run->config->remember.mix;
    run->protect.steer_mix = run->rehearses && mix < 0;
    run->protect.mix = run->protect.mix_least = !run->rehearses ? 0 : mix < 0 ? 0.5 : mix;
    run->batch_new = egi_run_new_share(run->batch, run->protect.mix);
}

static int64_t steps_per_epoch(const egi_run *run)
{
    return (run->new_pool.n + run->batch_new - 1) / run->batch_new;
}

/* Large networks were trained long: their weights are moved more carefully. */
static double automatic_rate(const eg_model *model, const egi_optimizer_type *optimizer)
{
    return optimizer->lr * (model->arena_count > 10000000 ? 0.1 : model->arena_count > 1000000 ? 0.3 : 1);
}

static void make_schedule(egi_run *run, const egi_optimizer_type *optimizer)
{
    const bool given = run->config->finetune.lr >= 0;
    const int kind = run->config->finetune.schedule; /* 0: auto */
    const int64_t steps = steps_per_epoch(run), limit = run->config->finetune.max_steps;
    const int64_t total = steps * run->config->finetune.epochs;
    run->schedule = (egi_schedule){
        .type = kind ? egi_schedule_types[kind - 1] : egi_schedule_find(given ? "constant" : "cosine"),
        .lr = given ? run->config->finetune.lr : automatic_rate(run->model, optimizer),
        .warmup = run->config->finetune.warmup,
        .total = limit > 0 && limit < total ? limit : total,
        .every = run->config->finetune.step_every * steps,
        .factor = run->config->finetune.gamma,
        .floor = run->config->finetune.lr_floor,
        .patience = run->config->finetune.step_every,
        .min_delta = run->config->finetune.early_stopping.min_delta,
    };
}

/* NULL: the run is not profiled. */
static egi_laps *laps_of(egi_run *run)
{
    return run->config->run.profile ? &run->laps : NULL;
}

static eg_status make_trainer(egi_run *run, double *rates)
{
    const int64_t used = run->rehearses ? run->n_sources : 1;
    EG_TRY(egi_objective_make(&run->objective, run->model, run->config, run->sources, used));
    egi_trainer_options options = {
        .objective = run->objective,
        .sources = run->cache ? egi_cache_sources(run->cache) : run->sources,
        .n_sources = used,
        .anchor = run->anchor.theta,
        .omega = run->anchor.omega,
        .log_penalty = run->config->run.log_steps > 0,
        .seed = run->seed,
        /* what the cache holds is still being computed */
        .resident = run->cache ? EGI_RESIDENT_OFF : (egi_resident_mode)run->config->finetune.resident,
    };
    egi_trainer_configure(&options, run->config);
    options.penalties.lr_scale = rates;
    eg_model *trained = run->cache ? egi_cache_model(run->cache) : run->model;
    EG_TRY(egi_trainer_create(&run->trainer, trained, &options));
    if (laps_of(run))
        EG_TRY(egi_trainer_measure(run->trainer, laps_of(run)));
    make_schedule(run, options.optimizer);
    if (run->rehearses) /* every batch is filled up with old examples */
        return egi_trainer_prepare(run->trainer, run->batch);
    const int64_t n = run->new_pool.n, rest = n % run->batch;
    if (n >= run->batch)
        EG_TRY(egi_trainer_prepare(run->trainer, run->batch));
    return rest ? egi_trainer_prepare(run->trainer, rest) : EG_OK;
}

static eg_status make_new_pool(egi_run *run)
{
    const egi_part *part = &run->new_part;
    egi_item *items;
    int64_t n = 0;
    EG_TRY(egi_alloc(&items, run->context, part->n_train, sizeof *items));
    for (int64_t i = 0; i < part->n_train; i++)
        if (egi_source_row(&run->sources[0], part->train_index[i]) >= 0)
            items[n++] = (egi_item){.index = part->train_index[i], .source = 0};
    if (n == 0) {
        egi_free(run->context, items);
        return egi_fail(EG_ERR_DATA, "data set %s: no example has a label that the head knows", run->new_train->name);
    }
    return egi_pool_create(&run->new_pool, run->context, items, n, run->seed, EGI_RNG_SHUFFLE,
                           run->config->data.shuffle);
}

eg_status egi_run_build(egi_run *run)
{
    double *rates;
    EG_TRY(make_new_pool(run));
    choose_batch(run);
    EG_TRY(egi_alloc(&run->items, run->context, run->batch, sizeof *run->items));
    EG_TRY(egi_run_cache(run, steps_per_epoch(run)));
    EG_TRY(egi_freeze_rates(&rates, run->model, run->config));
    const eg_status status = make_trainer(run, rates);
    egi_free(run->context, rates);
    EG_TRY(status);
    run->budget = (egi_budget){
        .budget = run->n_methods > 0 ? egi_run_budget(run) : INFINITY,
        .min_delta = run->config->finetune.early_stopping.min_delta,
        .patience = run->new_part.select_is_train ? 0 : run->config->finetune.early_stopping.patience,
    };
    return egi_model_arena(&run->best, run->model);
}

/* --- an epoch ----------------------------------------------------------------------------------------------------- */

/* What an epoch has seen so far. */
typedef struct tally {
    int64_t epoch, step, steps, examples;
    double loss, correct, began, lr, told, collected;
    bool diverged, stop;
} tally;

static double seconds_left(const egi_run *run, const tally *t, double now)
{
    const double share = (double)t->step / (double)t->steps, spent = now - t->began;
    const double epochs = (double)(run->config->finetune.epochs - t->epoch);
    return share > 0 ? spent / share * (1 - share + epochs) : 0;
}

/* Tells how it goes, at most every 50 ms; asks whether to go on. */
static void tell(egi_run *run, tally *t)
{
    const double now = egi_clock(), limit = egi_config_seconds(run->config->run.time_limit);
    if (limit > 0 && now - run->started > limit)
        run->timed_out = t->stop = true;
    if (!run->job->progress || now - t->told < PROGRESS_EVERY)
        return;
    t->told = now;
    const eg_progress p = {
        .epoch = t->epoch,
        .epochs = run->config->finetune.epochs,
        .step = t->step,
        .steps = t->steps,
        .loss = t->loss / (double)t->examples,
        .examples_per_second = (double)t->examples / (now - t->began + 1e-9),
        .seconds_left = seconds_left(run, t, now),
    };
    if (!run->job->progress(run->job->user, &p))
        run->cancelled = t->stop = true;
}

/* The place in the schedule is that of the share of the run that has passed: epochs may differ in steps. */
static double rate_of(const egi_run *run, const tally *t, int64_t planned)
{
    const int64_t within = t->steps == planned ? t->step : t->step * planned / t->steps;
    return egi_schedule_lr(&run->schedule, (t->epoch - 1) * planned + within);
}

static eg_status add_result(egi_run *run, tally *t, const egi_step_result *r, int64_t step)
{
    const int64_t every = run->config->run.log_steps;
    t->examples += r->n;
    t->loss += r->loss * (double)r->n;
    t->correct += r->correct;
    t->diverged = t->diverged || !isfinite(r->loss + r->penalty);
    if (run->report && every > 0 && step % every == 0 && !t->diverged)
        return egi_report_step(run->report, step, r->loss + r->penalty);
    return EG_OK;
}

/* What the open steps found. Where asking waits for a device, only now and then and at the end. */
static eg_status collect(egi_run *run, tally *t, bool all)
{
    egi_step_result results[EGI_STEPS_OPEN];
    const int64_t open = egi_trainer_open(run->trainer), done = egi_trainer_steps(run->trainer);
    int64_t n;
    if (open == 0 || (!all && open < EGI_STEPS_OPEN && egi_trainer_waits(run->trainer) &&
                      egi_clock() - t->collected < PROGRESS_EVERY))
        return EG_OK;
    EG_TRY(egi_trainer_results(run->trainer, results, &n));
    t->collected = egi_clock();
    for (int64_t i = 0; i < n; i++)
        EG_TRY(add_result(run, t, &results[i], done - n + i + 1));
    return EG_OK;
}

static eg_status train_step(egi_run *run, tally *t, int64_t planned)
{
    const int64_t left = run->new_pool.n - t->step * run->batch_new;
    int64_t n = left < run->batch_new ? left : run->batch_new;
    egi_pool_draw(&run->new_pool, n, run->items);
    for (int i = 0; i < run->n_methods; i++)
        if (run->methods[i].type->compose_batch)
            run->methods[i].type->compose_batch(&run->methods[i], run, run->items, &n);
    if (run->cache)
        EG_TRY(egi_cache_items(run->cache, run->items, n));
    t->lr = rate_of(run, t, planned);
    egi_laps_add(laps_of(run), EGI_LAP_COMPOSE);
    EG_TRY(egi_trainer_begin_step(run->trainer, run->items, n, t->lr, run->protect.strength));
    t->step++;
    run->laps.steps++;
    run->laps.examples += n;
    return collect(run, t, false);
}

static bool out_of_steps(const egi_run *run)
{
    const int64_t limit = run->config->finetune.max_steps;
    return limit > 0 && egi_trainer_steps(run->trainer) >= limit;
}

static eg_status train_epoch(egi_run *run, tally *t, int64_t planned)
{
    egi_laps_begin(laps_of(run));
    egi_pool_seek(&run->new_pool, (uint32_t)(t->epoch - 1), 0);
    while (t->step < t->steps && !t->diverged && !t->stop && !out_of_steps(run)) {
        EG_TRY(train_step(run, t, planned));
        egi_laps_add(laps_of(run), EGI_LAP_LOOP);
        tell(run, t);
        egi_laps_add(laps_of(run), EGI_LAP_PROGRESS);
    }
    EG_TRY(collect(run, t, true));
    EG_TRY(egi_host_reads(run->context, run->model->weights));
    t->diverged = t->diverged || !egi_arena_finite(run->model, run->model->weights);
    return EG_OK;
}

/* --- between epochs ----------------------------------------------------------------------------------------------- */

/* Accuracy on the new task; where that is equal the drop on the old ones, then the loss. The loss alone where there are
 * no classes. */
static double score_of(const eg_epoch_result *e, double drop)
{
    const double loss = isnan(e->validation_loss) ? e->loss : e->validation_loss;
    return isnan(e->new_accuracy) ? -loss : e->new_accuracy - 1e-4 * fmax(drop, 0) - 1e-7 * fmin(loss, 10);
}

static void keep_weights(egi_run *run)
{
    memcpy(run->best, run->model->weights, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
}

/* Without a split that selects, or without restoring, the last epoch is the best. */
static bool takes_last(const egi_run *run)
{
    return run->new_part.select_is_train || !run->config->finetune.early_stopping.restore_best;
}

static eg_status finish_epoch(egi_run *run, const tally *t)
{
    eg_epoch_result e = {.epoch = t->epoch,
                         .loss = t->loss / (double)t->examples,
                         .lr = t->lr,
                         .strength = run->protect.strength,
                         .mix = run->protect.mix,
                         .seconds = egi_clock() - t->began};
    e.examples_per_second = (double)t->examples / (e.seconds + 1e-9);
    run->train_seconds += e.seconds;
    run->examples_seen += t->examples;
    EG_TRY(egi_run_measure_epoch(run, &e));
    e.accuracy = isnan(e.new_accuracy) ? NAN : t->correct / (double)t->examples;
    e.best = egi_budget_epoch(&run->budget, e.epoch, egi_run_drop(run), score_of(&e, egi_run_drop(run)));
    if (takes_last(run)) {
        e.best = true;
        run->budget.best_epoch = e.epoch;
    }
    if (e.best)
        keep_weights(run);
    EG_TRY(EGI_RESERVE(run->context, run->epochs, run->epochs_run + 1, run->epochs_capacity));
    run->epochs[++run->epochs_run] = e;
    egi_schedule_epoch(&run->schedule, -score_of(&e, 0));
    if (run->report)
        EG_TRY(egi_report_epoch(run->report, &e));
    return EG_OK;
}

static void tell_epoch(egi_run *run)
{
    const eg_epoch_result *e = &run->epochs[run->epochs_run];
    egi_run_line(run, false, "epoch %lld: loss %.4f, new %.2f %%, keep %.2f %%, lr %.2e, %.0f examples/s, %.1f s%s",
                 (long long)e->epoch, e->loss, e->new_accuracy * 100, e->keep_accuracy * 100, e->lr,
                 e->examples_per_second, e->seconds, e->best ? ", best" : "");
    const eg_progress p = {.epoch = e->epoch,
                           .epochs = run->config->finetune.epochs,
                           .loss = e->loss,
                           .examples_per_second = e->examples_per_second,
                           .finished = e};
    if (run->job->progress && !run->job->progress(run->job->user, &p))
        run->cancelled = true;
}

static void steer(egi_run *run)
{
    if (run->n_methods == 0 || run->n_old == 0)
        return;
    egi_protection_steer(&run->protect, egi_run_budget(run), egi_run_drop(run));
    run->batch_new = egi_run_new_share(run->batch, run->protect.mix);
}

/* Once a run goes back to the beginning of an epoch, with a tenth of the rate. */
static eg_status recover(egi_run *run, const tally *t)
{
    if (run->recovered)
        return egi_fail(EG_ERR_NUMERIC,
                        "training: the loss is not finite in epoch %lld again, after going back with a tenth of the "
                        "rate; lower finetune.lr or set finetune.clip_norm=1",
                        (long long)t->epoch);
    run->recovered = true;
    EG_TRY(egi_trainer_return(run->trainer));
    run->schedule.lr *= RECOVERY_RATE;
    egi_run_line(run, true, "warning loss not finite in epoch %lld, step %lld: back to its beginning with lr %.2e",
                 (long long)t->epoch, (long long)t->step, run->schedule.lr);
    return EG_OK;
}

static bool goes_on(const egi_run *run)
{
    return run->epochs_run < run->config->finetune.epochs && !run->cancelled && !run->timed_out &&
           !run->stopped_early && !out_of_steps(run);
}

static eg_status restore(egi_run *run)
{
    eg_epoch_result e;
    EG_TRY(egi_trainer_average(run->trainer, true)); /* where an unfinished epoch was given up */
    const void *weights = run->epochs_run ? run->best : run->start;
    if (run->budget.best_epoch == run->epochs_run && run->epochs_run > 0 && !run->cancelled)
        return EG_OK;
    EG_TRY(egi_host_writes(run->context, run->model->weights));
    memcpy(run->model->weights, weights, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    return egi_run_measure_epoch(run, &e);
}

eg_status egi_run_train(egi_run *run)
{
    const int64_t planned = steps_per_epoch(run);
    while (goes_on(run)) {
        tally t = {.epoch = run->epochs_run + 1, .steps = steps_per_epoch(run), .began = egi_clock()};
        EG_TRY(egi_trainer_average(run->trainer, false));
        EG_TRY(egi_trainer_mark(run->trainer));
        EG_TRY(train_epoch(run, &t, planned));
        if (t.diverged) {
            EG_TRY(recover(run, &t));
            continue;
        }
        if (run->cancelled || t.examples == 0) /* an unfinished epoch is given up; what was best stays */
            break;
        EG_TRY(egi_trainer_average(run->trainer, true)); /* what is measured, kept and written */
        EG_TRY(finish_epoch(run, &t));
        tell_epoch(run);
        run->stopped_early = egi_budget_exhausted(&run->budget) && run->epochs_run < run->config->finetune.epochs;
        steer(run);
    }
    return restore(run);
}

/* Seconds of an epoch, by its first steps. */
static eg_status probe_epoch(egi_run *run, double *loss, double *seconds)
{
    const int64_t planned = steps_per_epoch(run), steps = planned < PROBE_STEPS ? planned : PROBE_STEPS;
    double began = egi_clock();
    tally t = {.epoch = 1, .steps = planned, .began = began, .told = INFINITY};
    egi_pool_seek(&run->new_pool, 0, 0);
    for (int64_t i = 0; i < steps; i++) {
        EG_TRY(train_step(run, &t, planned));
        if (i == 0)
            EG_TRY(collect(run, &t, true));
        if (i == 0)
            *loss = t.loss / (double)t.examples;
        if (i == 0 && steps > 1) /* the first step warms up */
            began = egi_clock();
    }
    EG_TRY(collect(run, &t, true));
    *seconds = (egi_clock() - began) / (double)(steps > 1 ? steps - 1 : 1) * (double)planned;
    return EG_OK;
}

eg_status egi_run_probe(egi_run *run, double *loss, double *first, double *later)
{
    double again;
    EG_TRY(probe_epoch(run, loss, first));
    *later = *first;
    return run->cache ? probe_epoch(run, &again, later) : EG_OK; /* the same examples, which are kept by now */
}
