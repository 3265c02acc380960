/* eg_bench(): how fast a model is on this machine, and where the time goes. Steps are timed first as they are, then
 * again with every operation measured. */
#include "finetune/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_LEAST 3
#define STEPS_KEPT  4096 /* times that the median is taken of */
#define BATCH_LIMIT 65536
#define TIME_LIMIT  3600.0

typedef struct bench {
    eg_context *context;
    eg_bench_options o;
    eg_config *config_owned; /* a checked copy */
    const egi_run_config *config;
    eg_model *model; /* a copy */
    eg_dataset *made;
    int32_t *rows; /* (classes of the data) */
    egi_preprocess_choice preprocess;
    egi_source source;
    egi_pool pool;
    int64_t batch;
    egi_item *items; /* (batch) */
    egi_trainer *trainer;
    egi_plan *plan; /* of inference */
    egi_feed feed;
    egi_laps laps, *measured; /* measured: &laps in the second half, before it NULL */
    double *times;            /* (STEPS_KEPT) */
    int64_t n_times;
} bench;

static void bench_release(bench *b)
{
    egi_trainer_free(b->trainer);
    egi_feed_release(&b->feed);
    egi_plan_free(b->plan);
    egi_pool_release(&b->pool);
    eg_dataset_free(b->made);
    eg_model_free(b->model);
    eg_config_free(b->config_owned);
    egi_free(b->context, b->rows);
    egi_free(b->context, b->items);
    egi_free(b->context, b->times);
}

/* --- what is measured --------------------------------------------------------------------------------------------- */

static eg_status check(const void *out, const eg_model *model, const eg_bench_options *o)
{
    if (!out || !model)
        return egi_fail(EG_ERR_ARG, "bench: the output or the model is NULL");
    if (o->struct_size != sizeof *o)
        return egi_fail(EG_ERR_ARG, "bench: the options were made for another version");
    if (o->batch < 0 || o->batch > BATCH_LIMIT)
        return egi_fail(EG_ERR_ARG, "bench: batch: wanted 0 (automatic) to %d, found %lld", BATCH_LIMIT,
                        (long long)o->batch);
    if (!(o->seconds >= 0 && o->seconds <= TIME_LIMIT))
        return egi_fail(EG_ERR_ARG, "bench: seconds: wanted 0 (automatic) to %.0f, found %g", TIME_LIMIT, o->seconds);
    if (o->data && o->data->n < 1)
        return egi_fail(EG_ERR_DATA, "data set %s: it has no examples", o->data->name);
    return EG_OK;
}

static eg_status make_config(bench *b)
{
    if (b->o.config)
        EG_TRY(eg_config_clone(&b->config_owned, b->o.config));
    else
        EG_TRY(eg_config_create(&b->config_owned, b->context));
    EG_TRY(egi_config_check(b->config_owned));
    b->config = egi_config_run(b->config_owned);
    b->batch = b->o.batch ? b->o.batch : b->config->finetune.batch ? b->config->finetune.batch : EGI_BATCH_DEFAULT;
    return EG_OK;
}

/* As many examples as a step takes: labels where the output is a row of classes, else targets of its shape. */
static eg_status make_random(bench *b)
{
    const eg_model *m = b->model;
    const egi_shape *out = &m->tensors[m->outputs[0]];
    const int64_t rows = egi_output_rows(m, 0);
    egi_shape inputs[EGI_INPUTS_MAX];
    for (int i = 0; i < m->n_inputs; i++)
        inputs[i] = m->tensors[m->inputs[i]];
    return egi_dataset_random(&b->made, b->context, b->batch, inputs, m->n_inputs,
                              out->rank == 1 && rows > 1 ? rows : 0, out, b->context->seed);
}

static eg_status make_source(bench *b)
{
    const eg_dataset *data = b->o.data;
    if (!data) {
        EG_TRY(make_random(b));
        data = b->made;
    }
    for (int i = 0; i < b->model->n_inputs; i++)
        EG_TRY(egi_dataset_fits(data, i, &b->model->tensors[b->model->inputs[i]]));
    EG_TRY(egi_preprocess_choose(&b->preprocess, b->model, b->config->data.preprocess, data, NULL, NULL, 0));
    EG_TRY(egi_alloc(&b->rows, b->context, data->classes, sizeof *b->rows));
    for (int64_t i = 0; i < data->classes; i++)
        b->rows[i] = (int32_t)(i % egi_output_classes(b->model, 0));
    b->source = (egi_source){.data = data, .preprocess = &b->preprocess.p, .rows = b->rows};
    egi_item *items;
    EG_TRY(egi_alloc(&items, b->context, data->n, sizeof *items));
    for (int64_t i = 0; i < data->n; i++)
        items[i].index = i;
    return egi_pool_create(&b->pool, b->context, items, data->n, b->context->seed, EGI_RNG_SHUFFLE,
                           b->config->data.shuffle);
}

static eg_status make_trainer(bench *b)
{
    double *rates;
    egi_trainer_options o = {.sources = &b->source, .n_sources = 1, .seed = b->context->seed};
    egi_trainer_configure(&o, b->config);
    EG_TRY(egi_objective_make(&o.objective, b->model, b->config, &b->source, 1));
    EG_TRY(egi_freeze_apply(b->model, b->config));
    EG_TRY(egi_freeze_rates(&rates, b->model, b->config));
    o.penalties.lr_scale = rates;
    const eg_status status = egi_trainer_create(&b->trainer, b->model, &o);
    egi_free(b->context, rates);
    EG_TRY(status);
    return egi_trainer_prepare(b->trainer, b->batch);
}

static eg_status emit_inference(bench *b, egi_model_io *io)
{
    EG_TRY(egi_model_emit(b->model, b->plan, NULL, NULL, io));
    EG_TRY(egi_plan_fuse(b->plan));
    EG_TRY(egi_feed_create(&b->feed, b->model, b->plan, io));
    return egi_plan_compile(b->plan);
}

static eg_status make_inference(bench *b)
{
    egi_model_io io = {.params = NULL};
    EG_TRY(egi_plan_create(&b->plan, b->context, b->batch, b->model->dtype, false));
    const eg_status status = emit_inference(b, &io);
    egi_free(b->context, io.params);
    return status;
}

static eg_status make(bench *b, const eg_model *model)
{
    EG_TRY(make_config(b));
    EG_TRY(eg_model_clone(&b->model, model));
    EG_TRY(make_source(b));
    EG_TRY(egi_alloc(&b->items, b->context, b->batch, sizeof *b->items));
    EG_TRY(egi_alloc(&b->times, b->context, STEPS_KEPT, sizeof *b->times));
    return b->o.training ? make_trainer(b) : make_inference(b);
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static eg_status infer(bench *b)
{
    const egi_control control = {.weights_version = 1};
    EG_TRY(egi_feed_fill(&b->feed, &b->source, 1, b->items, b->batch));
    egi_laps_add(b->measured, EGI_LAP_FILL);
    EG_TRY(egi_plan_run(b->plan, &control));
    egi_laps_add(b->measured, EGI_LAP_RUN);
    return EG_OK;
}

/* The rate is 0, so that a long measurement does not run into numbers that this model would never meet. */
static eg_status one_step(bench *b)
{
    egi_step_result ignored;
    egi_pool_draw(&b->pool, b->batch, b->items);
    egi_laps_add(b->measured, EGI_LAP_COMPOSE);
    EG_TRY(b->trainer ? egi_trainer_step(b->trainer, b->items, b->batch, 0, 0, &ignored) : infer(b));
    egi_laps_add(b->measured, EGI_LAP_LOOP);
    return EG_OK;
}

/* Steps for about `seconds`; their times go into b->times where they are not measured otherwise. */
static eg_status run_steps(bench *b, double seconds)
{
    const double began = egi_clock();
    double last = began;
    egi_laps_begin(b->measured);
    for (int64_t i = 0; i < STEPS_LEAST || last - began < seconds; i++) {
        EG_TRY(one_step(b));
        const double now = egi_clock();
        if (!b->measured && b->n_times < STEPS_KEPT)
            b->times[b->n_times++] = now - last;
        b->laps.steps += b->measured != NULL;
        last = now;
    }
    b->laps.examples = b->laps.steps * b->batch;
    return EG_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *times, int64_t n)
{
    qsort(times, (size_t)n, sizeof *times, ascending);
    return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

static eg_status measure(bench *b)
{
    const double seconds = b->o.seconds > 0 ? b->o.seconds : 1;
    EG_TRY(run_steps(b, seconds / 10)); /* warms up */
    b->n_times = 0;
    EG_TRY(run_steps(b, seconds / 2));
    b->measured = &b->laps;
    EG_TRY(b->trainer ? egi_trainer_measure(b->trainer, b->measured) : egi_plan_profile(b->plan));
    return run_steps(b, seconds / 2);
}

static eg_status fill_profile(eg_profile *p, bench *b)
{
    eg_peak peak;
    EG_TRY(b->trainer ? egi_trainer_profile(b->trainer, p) : egi_profile_add(p, b->model, b->plan));
    if (b->o.peak)
        peak = *b->o.peak;
    else
        EG_TRY(eg_peak_measure(&peak, b->context));
    egi_profile_finish(p, &b->laps, &peak);
    p->step_seconds = median(b->times, b->n_times);
    return EG_OK;
}

static eg_status run(eg_profile **out, bench *b, const eg_model *model)
{
    eg_profile *p;
    EG_TRY(make(b, model));
    EG_TRY(measure(b));
    EG_TRY(egi_profile_create(&p, b->context, b->o.training));
    const eg_status status = fill_profile(p, b);
    if (status != EG_OK) {
        eg_profile_free(p);
        return status;
    }
    *out = p;
    return EG_OK;
}

eg_status eg_bench(eg_profile **out, const eg_model *model, const eg_bench_options *options)
{
    const eg_bench_options defaults = EG_BENCH_OPTIONS_INIT;
    const eg_bench_options *o = options ? options : &defaults;
    EG_TRY(check(out, model, o));
    bench b = {.context = model->context, .o = *o};
    const eg_status status = run(out, &b, model);
    bench_release(&b);
    return status;
}
