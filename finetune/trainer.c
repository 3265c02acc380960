#include "finetune/trainer.h"
#include "core/mirror.h"
#include "core/ops/ops.h"

#include <string.h>

#define LOSS    0 /* columns of the ring; from CORRECT on one an output */
#define PENALTY 1
#define CORRECT 2
#define COLUMNS ((CORRECT + EGI_OUTPUTS_MAX + EGI_RECORD_MOST - 1) / EGI_RECORD_MOST * EGI_RECORD_MOST)

/* A compiled step of one batch size. */
typedef struct step {
    int64_t batch;
    egi_plan *plan;
    egi_feed feed;
    egi_loss_values values;
    egi_val penalty;
    egi_val *index; /* (n_sources) of resident data, else NULL; owned */
} step;

struct egi_trainer {
    eg_context *context;
    eg_model *model;
    egi_trainer_options options;
    egi_segment *segments;
    int n_segments;
    egi_optimizer_arenas arenas; /* grad, m, v, ema are owned */
    egi_control control;
    bool averaged;  /* weights and averages have changed places */
    bool resident;  /* the sources are in the device's memory */
    egi_laps *laps; /* NULL: steps are not measured */
    step *steps;
    int64_t n_steps, steps_capacity;
    void *mark_w, *mark_m, *mark_v, *mark_ema; /* owned */
    int64_t mark_step;
    bool mark_averaged;
    void *ring;                           /* (EGI_STEPS_OPEN, COLUMNS) what steps found; owned */
    int64_t open[EGI_STEPS_OPEN], n_open; /* examples of the steps whose results were not asked for yet */
};

static void step_release(eg_context *c, step *s)
{
    egi_feed_release(&s->feed);
    egi_plan_free(s->plan);
    egi_free(c, s->index);
}

void egi_trainer_free(egi_trainer *t)
{
    if (!t)
        return;
    eg_context *c = t->context;
    for (int64_t i = 0; i < t->n_steps; i++)
        step_release(c, &t->steps[i]);
    if (t->resident)
        egi_resident_end(t->model, t->options.sources, t->options.n_sources);
    egi_free(c, t->steps);
    egi_free(c, t->segments);
    egi_free(c, t->arenas.grad);
    egi_free(c, t->arenas.m);
    egi_free(c, t->arenas.v);
    egi_free(c, t->arenas.ema);
    egi_free(c, t->mark_w);
    egi_free(c, t->mark_m);
    egi_free(c, t->mark_v);
    egi_free(c, t->mark_ema);
    egi_free(c, t->ring);
    egi_free(c, t);
}

static eg_status make_arenas(egi_trainer *t)
{
    const egi_trainer_options *o = &t->options;
    EG_TRY(egi_segments_build(&t->segments, &t->n_segments, t->model, &o->penalties));
    if (t->n_segments == 0)
        return egi_fail(EG_ERR_STATE, "finetune.freeze: every layer is frozen, there is nothing to train");
    EG_TRY(egi_model_arena(&t->arenas.grad, t->model));
    if (o->optimizer->needs_m(&o->settings))
        EG_TRY(egi_model_arena(&t->arenas.m, t->model));
    if (o->optimizer->needs_v(&o->settings))
        EG_TRY(egi_model_arena(&t->arenas.v, t->model));
    if (o->settings.ema_momentum > 0)
        EG_TRY(egi_model_arena(&t->arenas.ema, t->model));
    EG_TRY(egi_mirror_alloc(&t->ring, t->context, EGI_STEPS_OPEN * COLUMNS, egi_dtype_size(t->model->dtype)));
    t->arenas.w = t->model->weights;
    t->arenas.count = t->model->arena_count;
    t->arenas.anchor = (void *)o->anchor; /* read only: a plan binds what it reads and what it writes alike */
    t->arenas.omega = (void *)o->omega;
    return EG_OK;
}

void egi_trainer_configure(egi_trainer_options *out, const egi_run_config *config)
{
    const egi_optimizer_type *type = egi_optimizer_types[config->finetune.optimizer];
    const double decay = config->finetune.weight_decay;
    out->optimizer = type;
    out->settings = (egi_optimizer_settings){
        .momentum = config->finetune.momentum,
        .beta1 = config->finetune.beta1,
        .beta2 = config->finetune.beta2,
        .rho = config->finetune.rho,
        .epsilon = config->finetune.epsilon,
        .clip_norm = config->finetune.clip_norm,
        .ema_momentum = config->finetune.ema,
        .nesterov = config->finetune.nesterov,
    };
    out->penalties = (egi_penalties){.l1 = config->finetune.l1,
                                     .l2 = config->finetune.l2,
                                     .weight_decay = decay < 0 ? type->fallback.weight_decay : decay};
    out->augment = (egi_augment){.flip = config->data.augment.flip, .shift = (int32_t)config->data.augment.shift};
}

eg_status egi_trainer_create(egi_trainer **out, eg_model *model, const egi_trainer_options *options)
{
    egi_trainer *t;
    EG_TRY(egi_alloc(&t, model->context, 1, sizeof *t));
    t->context = model->context;
    t->model = model;
    t->options = *options;
    t->control = (egi_control){.seed = options->seed, .weights_version = 1};
    eg_status status = make_arenas(t);
    if (status == EG_OK)
        status = egi_resident_begin(&t->resident, model, options->sources, options->n_sources, options->resident);
    if (status != EG_OK) {
        egi_trainer_free(t);
        return status;
    }
    *out = t;
    return EG_OK;
}

/* --- compiling ---------------------------------------------------------------------------------------------------- */

/* Outputs that a loss took the logits of need not be computed; those that a loss reads live on as its inputs. */
static void drop_outputs(egi_plan *plan, const eg_model *model, const egi_model_io *io)
{
    for (int j = 0; j < model->n_outputs; j++)
        plan->values[egi_root(plan, io->out[j])].kind = EGI_VAL_TEMP;
}

/* What a step found goes to its row of the ring, so that nobody has to wait for it. */
static eg_status emit_record(const egi_trainer *t, step *s)
{
    egi_val found[COLUMNS] = {[LOSS] = s->values.loss, [PENALTY] = s->penalty};
    memcpy(found + CORRECT, s->values.correct, sizeof s->values.correct);
    const egi_val ring = egi_plan_bind(s->plan, t->model->dtype, EGI_SHAPE(EGI_STEPS_OPEN, COLUMNS), t->ring);
    const int n = CORRECT + t->model->n_outputs;
    for (int first = 0; first < n; first += EGI_RECORD_MOST) {
        egi_record r = {.ring = ring, .first = first};
        memcpy(r.x, found + first, sizeof r.x);
        EG_TRY(egi_plan_emit(s->plan, &egi_op_record, &r));
    }
    for (int i = 0; i < n; i++)
        if (found[i])
            s->plan->values[found[i]].kind = EGI_VAL_TEMP;
    return EG_OK;
}

static eg_status emit_model(const egi_trainer *t, step *s, egi_model_io *io)
{
    const egi_trainer_options *o = &t->options;
    egi_val inputs[EGI_INPUTS_MAX];
    if (t->resident) {
        EG_TRY(egi_alloc(&s->index, t->context, o->n_sources, sizeof *s->index));
        EG_TRY(egi_resident_emit(inputs, s->index, t->model, s->plan, o->sources, o->n_sources, o->augment));
    }
    EG_TRY(egi_model_emit_from(t->model, s->plan, t->resident ? inputs : NULL, t->arenas.grad, NULL, io));
    EG_TRY(egi_feed_create(&s->feed, t->model, s->plan, io));
    s->feed.resident = s->index;
    return EG_OK;
}

static eg_status emit_step(const egi_trainer *t, step *s, egi_model_io *io)
{
    const egi_trainer_options *o = &t->options;
    EG_TRY(emit_model(t, s, io));
    s->feed.augment = o->augment;
    s->feed.control = &t->control;
    drop_outputs(s->plan, t->model, io);
    EG_TRY(egi_objective_emit(&s->values, s->plan, io, &s->feed, &o->objective));
    EG_TRY(egi_plan_fuse(s->plan));
    EG_TRY(egi_plan_backward(s->plan, s->values.loss));
    EG_TRY(egi_optimizer_emit(s->plan, o->optimizer, &o->settings, &t->arenas, t->segments, t->n_segments,
                              o->log_penalty ? &s->penalty : NULL));
    EG_TRY(emit_record(t, s));
    EG_TRY(egi_plan_compile(s->plan));
    return t->laps ? egi_plan_profile(s->plan) : EG_OK;
}

static eg_status compile_step(const egi_trainer *t, step *s, int64_t batch)
{
    egi_model_io io = {.params = NULL};
    s->batch = batch;
    EG_TRY(egi_plan_create(&s->plan, t->context, batch, t->model->dtype, true));
    const eg_status status = emit_step(t, s, &io);
    egi_free(t->context, io.params);
    return status;
}

static step *find_step(const egi_trainer *t, int64_t batch)
{
    for (int64_t i = 0; i < t->n_steps; i++)
        if (t->steps[i].batch == batch)
            return &t->steps[i];
    return NULL;
}

eg_status egi_trainer_prepare(egi_trainer *t, int64_t batch)
{
    if (find_step(t, batch))
        return EG_OK;
    EG_TRY(EGI_RESERVE(t->context, t->steps, t->n_steps, t->steps_capacity));
    step s = {0};
    const eg_status status = compile_step(t, &s, batch);
    if (status != EG_OK) {
        step_release(t->context, &s);
        return status;
    }
    t->steps[t->n_steps++] = s;
    return EG_OK;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

eg_status egi_trainer_begin_step(egi_trainer *t, const egi_item *items, int64_t n, double lr, double strength)
{
    step *s = find_step(t, n);
    if (!s || t->n_open == EGI_STEPS_OPEN)
        return egi_fail(EG_ERR_INTERNAL, "trainer: no step of %lld examples was prepared, or too many are open",
                        (long long)n);
    EG_TRY(egi_feed_fill(&s->feed, t->options.sources, t->options.n_sources, items, n));
    egi_laps_add(t->laps, EGI_LAP_FILL);
    t->control.lr = lr;
    t->control.strength = strength;
    EG_TRY(egi_plan_run(s->plan, &t->control));
    egi_laps_add(t->laps, EGI_LAP_RUN);
    t->control.step++;
    t->control.weights_version++;
    t->open[t->n_open++] = n;
    return EG_OK;
}

static egi_step_result result_of(const egi_trainer *t, int64_t i)
{
    const egi_tensor ring = {.data = t->ring, .dtype = t->model->dtype, .shape = EGI_SHAPE(EGI_STEPS_OPEN, COLUMNS)};
    const int64_t row = (t->control.step - t->n_open + i) % EGI_STEPS_OPEN * COLUMNS;
    egi_step_result r = {.n = t->open[i], .loss = egi_get(&ring, row + LOSS), .penalty = egi_get(&ring, row + PENALTY)};
    for (int j = 0; j < t->model->n_outputs; j++)
        r.correct += egi_get(&ring, row + CORRECT + j);
    return r;
}

int64_t egi_trainer_open(const egi_trainer *t)
{
    return t->n_open;
}

bool egi_trainer_waits(const egi_trainer *t)
{
    return t->context->device->type->upload != NULL;
}

eg_status egi_trainer_results(egi_trainer *t, egi_step_result *out, int64_t *n)
{
    *n = t->n_open;
    EG_TRY(egi_host_reads(t->context, t->ring));
    for (int64_t i = 0; i < t->n_open; i++)
        out[i] = result_of(t, i);
    t->n_open = 0;
    return EG_OK;
}

eg_status egi_trainer_step(egi_trainer *t, const egi_item *items, int64_t n, double lr, double strength,
                           egi_step_result *result)
{
    egi_step_result all[EGI_STEPS_OPEN];
    int64_t steps;
    EG_TRY(egi_trainer_begin_step(t, items, n, lr, strength));
    EG_TRY(egi_trainer_results(t, all, &steps));
    *result = all[steps - 1];
    return EG_OK;
}

const egi_plan *egi_trainer_plan(const egi_trainer *t, int64_t batch)
{
    const step *s = find_step(t, batch);
    return s ? s->plan : NULL;
}

int64_t egi_trainer_steps(const egi_trainer *t)
{
    return t->control.step;
}

eg_status egi_trainer_measure(egi_trainer *t, egi_laps *laps)
{
    t->laps = laps;
    for (int64_t i = 0; i < t->n_steps; i++)
        EG_TRY(egi_plan_profile(t->steps[i].plan));
    return EG_OK;
}

eg_status egi_trainer_profile(const egi_trainer *t, eg_profile *profile)
{
    for (int64_t i = 0; i < t->n_steps; i++)
        EG_TRY(egi_profile_add(profile, t->model, t->steps[i].plan));
    return EG_OK;
}

int64_t egi_trainer_bytes(const egi_trainer *t)
{
    const int64_t arena = t->arenas.count * (int64_t)egi_dtype_size(t->model->dtype);
    int64_t bytes = arena * (1 + (t->arenas.m != NULL) + (t->arenas.v != NULL) + (t->arenas.ema != NULL));
    for (int64_t i = 0; i < t->n_steps; i++)
        bytes += (int64_t)(t->steps[i].plan->workspace_bytes + t->steps[i].plan->scratch_bytes);
    return bytes;
}

/* --- the average -------------------------------------------------------------------------------------------------- */

static void exchange(egi_tensor *a, egi_tensor *b, const egi_segment *s)
{
    for (int64_t i = s->begin; i < s->end; i++) {
        const double x = egi_get(a, i);
        egi_set(a, i, egi_get(b, i));
        egi_set(b, i, x);
    }
}

eg_status egi_trainer_average(egi_trainer *t, bool on)
{
    if (!t->arenas.ema || t->averaged == on || t->control.step == 0)
        return EG_OK;
    EG_TRY(egi_host_writes(t->context, t->arenas.w));
    EG_TRY(egi_host_writes(t->context, t->arenas.ema));
    const egi_shape all = EGI_SHAPE(t->arenas.count);
    egi_tensor w = {.data = t->arenas.w, .dtype = t->model->dtype, .shape = all};
    egi_tensor ema = {.data = t->arenas.ema, .dtype = t->model->dtype, .shape = all};
    for (int k = 0; k < t->n_segments; k++)
        exchange(&w, &ema, &t->segments[k]);
    t->averaged = on;
    t->control.weights_version++;
    return EG_OK;
}

/* --- coming back -------------------------------------------------------------------------------------------------- */

static eg_status copy_arena(const egi_trainer *t, void **copy, const void *arena)
{
    if (!arena)
        return EG_OK;
    if (!*copy)
        EG_TRY(egi_model_arena(copy, t->model));
    EG_TRY(egi_host_reads(t->context, arena));
    memcpy(*copy, arena, (size_t)t->arenas.count * egi_dtype_size(t->model->dtype));
    return EG_OK;
}

eg_status egi_trainer_mark(egi_trainer *t)
{
    EG_TRY(copy_arena(t, &t->mark_w, t->arenas.w));
    EG_TRY(copy_arena(t, &t->mark_m, t->arenas.m));
    EG_TRY(copy_arena(t, &t->mark_v, t->arenas.v));
    EG_TRY(copy_arena(t, &t->mark_ema, t->arenas.ema));
    t->mark_step = t->control.step;
    t->mark_averaged = t->averaged;
    return EG_OK;
}

static eg_status put_arena(const egi_trainer *t, void *arena, const void *copy)
{
    if (!arena)
        return EG_OK;
    EG_TRY(egi_host_writes(t->context, arena));
    memcpy(arena, copy, (size_t)t->arenas.count * egi_dtype_size(t->model->dtype));
    return EG_OK;
}

eg_status egi_trainer_return(egi_trainer *t)
{
    EG_TRY(put_arena(t, t->arenas.w, t->mark_w));
    EG_TRY(put_arena(t, t->arenas.m, t->mark_m));
    EG_TRY(put_arena(t, t->arenas.v, t->mark_v));
    EG_TRY(put_arena(t, t->arenas.ema, t->mark_ema));
    t->control.step = t->mark_step;
    t->averaged = t->mark_averaged;
    t->n_open = 0;
    t->control.weights_version++;
    return EG_OK;
}
