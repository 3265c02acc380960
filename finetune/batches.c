#include "finetune/batches.h"

#include <string.h>

int32_t egi_source_row(const egi_source *s, int64_t index)
{
    if (!s->data->labels)
        return 0;
    const int32_t label = s->data->labels[index];
    if (label < 0 || label >= s->data->classes)
        return -1;
    return s->rows ? s->rows[label] : label;
}

/* --- the order of examples ---------------------------------------------------------------------------------------- */

static void arrange(egi_pool *p)
{
    for (int64_t i = 0; i < p->n; i++)
        p->order[i] = i;
    if (!p->shuffle)
        return;
    egi_rng rng = egi_rng_make(p->seed, p->purpose, p->pass);
    egi_rng_shuffle(&rng, p->order, p->n);
}

eg_status egi_pool_create(egi_pool *out, eg_context *context, egi_item *items, int64_t n, uint64_t seed,
                          egi_purpose purpose, bool shuffle)
{
    egi_pool p = {.context = context, .items = items, .n = n, .seed = seed, .purpose = purpose, .shuffle = shuffle};
    const eg_status status = egi_alloc(&p.order, context, n, sizeof *p.order);
    if (status != EG_OK) {
        egi_free(context, items);
        return status;
    }
    arrange(&p);
    *out = p;
    return EG_OK;
}

void egi_pool_release(egi_pool *p)
{
    if (!p->context)
        return;
    egi_free(p->context, p->items);
    egi_free(p->context, p->order);
    *p = (egi_pool){0};
}

void egi_pool_seek(egi_pool *p, uint32_t pass, int64_t at)
{
    if (pass != p->pass) {
        p->pass = pass;
        arrange(p);
    }
    p->at = at;
}

void egi_pool_draw(egi_pool *p, int64_t n, egi_item *out)
{
    for (int64_t i = 0; i < n; i++) {
        if (p->at == p->n)
            egi_pool_seek(p, p->pass + 1, 0);
        out[i] = p->items[p->order[p->at++]];
    }
}

/* --- into a plan's inputs ----------------------------------------------------------------------------------------- */

static eg_status add_source(egi_objective *o, bool *seen, const eg_model *model, const egi_source *s)
{
    const eg_dataset *d = s->data;
    if (s->output < 0 || s->output >= model->n_outputs)
        return egi_fail(EG_ERR_INTERNAL, "data set %s: output %d of %d", d->name, s->output, model->n_outputs);
    if (!d->labels && !d->targets)
        return egi_fail(EG_ERR_DATA, "data set %s: wanted labels or targets to train on, found neither", d->name);
    const bool by_targets = !d->labels;
    if (seen[s->output] && o->by_targets[s->output] != by_targets)
        return egi_fail(EG_ERR_DATA, "data set %s: it has %s, the other data of this output has %s", d->name,
                        by_targets ? "targets" : "labels", by_targets ? "labels" : "targets");
    seen[s->output] = o->used[s->output] = true;
    o->by_targets[s->output] = by_targets;
    o->weighted = o->weighted || s->class_weights || d->weights;
    return EG_OK;
}

eg_status egi_objective_make(egi_objective *out, const eg_model *model, const egi_run_config *config,
                             const egi_source *sources, int64_t n)
{
    egi_objective o = {.loss = (egi_loss_name)config->finetune.loss,
                       .label_smoothing = (float)config->finetune.label_smoothing};
    bool seen[EGI_OUTPUTS_MAX] = {false};
    for (int64_t i = 0; i < n; i++)
        EG_TRY(add_source(&o, seen, model, &sources[i]));
    *out = o;
    return EG_OK;
}

static int64_t staging_count(const egi_feed *f)
{
    int64_t most = 0;
    for (int i = 0; i < f->model->n_inputs && f->plan->dtype != EGI_F32; i++) {
        const int64_t count = egi_shape_count(egi_shape_of(f->plan, f->x[i]));
        most = count > most ? count : most;
    }
    return most;
}

eg_status egi_feed_create(egi_feed *out, const eg_model *model, egi_plan *plan, const egi_model_io *io)
{
    egi_feed f = {.context = model->context, .model = model, .plan = plan, .n = plan->batch};
    for (int i = 0; i < model->n_inputs; i++)
        f.x[i] = io->in[i];
    EG_TRY(plan->status);
    eg_status status = egi_alloc(&f.index, f.context, f.n, sizeof *f.index);
    if (status == EG_OK)
        status = egi_alloc(&f.sorted, f.context, f.n, sizeof *f.sorted);
    if (status == EG_OK && plan->dtype != EGI_F32)
        status = egi_alloc(&f.staging, f.context, staging_count(&f), sizeof *f.staging);
    if (status != EG_OK) {
        egi_feed_release(&f);
        return status;
    }
    *out = f;
    return EG_OK;
}

void egi_feed_release(egi_feed *f)
{
    if (!f->context)
        return;
    egi_free(f->context, f->index);
    egi_free(f->context, f->staging);
    egi_free(f->context, f->sorted);
    *f = (egi_feed){0};
}

/* Row `row` of input `i`, as an address in the plan. */
static void *at_row(const egi_feed *f, egi_val v, int64_t row)
{
    const egi_tensor *t = &f->plan->t[v];
    const int64_t count = egi_shape_span(&t->shape, 1, t->shape.rank);
    return (char *)t->data + (size_t)(row * count) * egi_dtype_size(t->dtype);
}

/* Examples of one source, for the rows from `row` on. */
static eg_status fill_inputs(egi_feed *f, const egi_source *s, const egi_item *items, int64_t n, int64_t row)
{
    for (int64_t i = 0; i < n; i++)
        f->index[i] = items[i].index;
    for (int i = 0; i < f->model->n_inputs; i++) {
        const egi_shape *shape = &f->model->tensors[f->model->inputs[i]];
        if (!f->staging) {
            EG_TRY(egi_batch_fill(s->data, i, f->index, n, s->preprocess, shape, at_row(f, f->x[i], row)));
            continue;
        }
        EG_TRY(egi_batch_fill(s->data, i, f->index, n, s->preprocess, shape, f->staging));
        double *wide = at_row(f, f->x[i], row);
        for (int64_t k = 0; k < n * egi_shape_count(shape); k++)
            wide[k] = f->staging[k];
    }
    return EG_OK;
}

/* The targets of a row: stored ones, or what a label means: one-hot, or the label itself where there is one unit. */
static eg_status fill_target(const egi_feed *f, int output, const egi_source *s, int64_t index, int64_t row)
{
    const egi_tensor *t = &f->plan->t[f->targets[output]];
    const int64_t count = egi_shape_span(&t->shape, 1, t->shape.rank);
    if (!f->by_targets[output]) {
        const int32_t label = egi_source_row(s, index);
        for (int64_t k = 0; k < count; k++)
            egi_set(t, row * count + k, count == 1 ? label : k == label);
        return EG_OK;
    }
    const int64_t stored = egi_shape_count(&s->data->target_shape);
    if (stored != count)
        return egi_fail(EG_ERR_SHAPE, "data set %s: targets of %lld values, the network has %lld outputs",
                        s->data->name, (long long)stored, (long long)count);
    for (int64_t k = 0; k < count; k++)
        egi_set(t, row * count + k, s->data->targets[index * count + k]);
    return EG_OK;
}

static double weight_of(const egi_source *s, int64_t index)
{
    if (egi_source_row(s, index) < 0)
        return 0;
    const double own = s->data->weights ? s->data->weights[index] : 1;
    return s->class_weights && s->data->labels ? own * s->class_weights[s->data->labels[index]] : own;
}

static eg_status fill_row(egi_feed *f, const egi_source *s, int64_t index, int64_t row)
{
    for (int j = 0; j < f->model->n_outputs; j++) {
        const bool mine = s->output == j;
        if (f->labels[j])
            ((int32_t *)f->plan->t[f->labels[j]].data)[row] = mine ? egi_source_row(s, index) : -1;
        if (f->targets[j] && mine)
            EG_TRY(fill_target(f, j, s, index, row));
        if (f->weights[j])
            egi_set(&f->plan->t[f->weights[j]], row, mine ? weight_of(s, index) : 0);
    }
    return EG_OK;
}

/* Counting sort by source, stable: old examples of several tasks come mixed. */
static void sort_items(egi_feed *f, int64_t n_sources, const egi_item *items, int64_t n)
{
    int64_t at = 0;
    for (int64_t s = 0; s < n_sources; s++)
        for (int64_t i = 0; i < n; i++)
            if (items[i].source == s)
                f->sorted[at++] = items[i];
}

static void blank_row(egi_feed *f, int64_t row)
{
    for (int j = 0; j < f->model->n_outputs; j++) {
        if (f->labels[j])
            ((int32_t *)f->plan->t[f->labels[j]].data)[row] = -1;
        if (f->weights[j])
            egi_set(&f->plan->t[f->weights[j]], row, 0);
    }
}

eg_status egi_feed_fill(egi_feed *f, const egi_source *sources, int64_t n_sources, const egi_item *items, int64_t n)
{
    if (n > f->n)
        return egi_fail(EG_ERR_INTERNAL, "batch: %lld examples for %lld rows", (long long)n, (long long)f->n);
    EG_TRY(egi_plan_refill(f->plan));
    sort_items(f, n_sources, items, n);
    for (int64_t row = 0; row < n;) {
        int64_t end = row + 1;
        while (end < n && f->sorted[end].source == f->sorted[row].source)
            end++;
        const egi_source *s = &sources[f->sorted[row].source];
        EG_TRY(fill_inputs(f, s, f->sorted + row, end - row, row));
        for (; row < end; row++)
            EG_TRY(fill_row(f, s, f->sorted[row].index, row));
    }
    for (int64_t row = n; row < f->n; row++)
        blank_row(f, row);
    return EG_OK;
}
