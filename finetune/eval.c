#include "finetune/eval.h"

#include "core/team.h"

#include "finetune/tasks.h"

#include <math.h>
#include <string.h>

struct egi_evaluator {
    eg_context *context;
    const eg_model *model;
    egi_plan *plan;
    egi_model_io io;
    egi_val logits[16];
    egi_act head[16];
    egi_loss_name loss;
    double smoothing;
    int64_t batch;
    egi_control control;
    int64_t *index;    /* (batch) scratch */
    double *losses;    /* (batch) */
    double *hits;      /* (batch) */
    int32_t *winners;  /* (batch) */
    uint8_t *right;    /* (batch) */
    uint8_t *allowed;  /* (rows of the widest head) */
    uint8_t *counts;   /* (batch) the row has a loss */
    float *in, *z, *y; /* a batch's values as floats where the model does not compute in f32; else NULL */
};

/* --- making ------------------------------------------------------------------------------------------------------- */

int64_t egi_eval_batch(const eg_model *model, int64_t wanted)
{
    if (wanted > 0)
        return wanted;
    const int64_t most = 256, bytes = (int64_t)64 << 20;
    int64_t sample = 1;
    for (int64_t i = 0; i < model->n_tensors; i++)
        sample += egi_shape_count(&model->tensors[i]) * (int64_t)egi_dtype_size(model->dtype);
    const int64_t fits = bytes / sample;
    return fits < 1 ? 1 : fits > most ? most : fits;
}

static eg_status emit(egi_evaluator *e)
{
    egi_plan *p = e->plan;
    EG_TRY(egi_model_emit(e->model, p, NULL, NULL, &e->io));
    for (int i = 0; i < e->model->n_outputs; i++) {
        EG_TRY(egi_plan_logits(p, e->io.out[i], &e->logits[i], &e->head[i]));
        egi_plan_keep(p, e->logits[i]);
    }
    EG_TRY(egi_plan_fuse(p));
    return egi_plan_compile(p);
}

static int64_t largest(const eg_model *m, const int *tensors, int n)
{
    int64_t most = 1;
    for (int i = 0; i < n; i++) {
        const int64_t count = egi_shape_count(&m->tensors[tensors[i]]);
        most = count > most ? count : most;
    }
    return most;
}

static eg_status allocate(egi_evaluator *e)
{
    const eg_model *m = e->model;
    int64_t widest = 2;
    for (int i = 0; i < m->n_outputs; i++)
        if (egi_output_rows(m, i) > widest)
            widest = egi_output_rows(m, i);
    EG_TRY(egi_alloc(&e->index, e->context, e->batch, sizeof *e->index));
    EG_TRY(egi_alloc(&e->losses, e->context, e->batch, sizeof *e->losses));
    EG_TRY(egi_alloc(&e->hits, e->context, e->batch, sizeof *e->hits));
    EG_TRY(egi_alloc(&e->winners, e->context, e->batch, sizeof *e->winners));
    EG_TRY(egi_alloc(&e->right, e->context, e->batch, 1));
    EG_TRY(egi_alloc(&e->allowed, e->context, widest, 1));
    EG_TRY(egi_alloc(&e->counts, e->context, e->batch, 1));
    if (m->dtype == EGI_F32)
        return EG_OK;
    const int64_t in = largest(m, m->inputs, m->n_inputs), out = largest(m, m->outputs, m->n_outputs);
    EG_TRY(egi_alloc(&e->in, e->context, e->batch * in, sizeof(float)));
    EG_TRY(egi_alloc(&e->z, e->context, e->batch * out, sizeof(float)));
    return egi_alloc(&e->y, e->context, e->batch * out, sizeof(float));
}

eg_status egi_evaluator_create(egi_evaluator **out, const eg_model *model, egi_loss_name loss, double label_smoothing,
                               int64_t batch)
{
    egi_evaluator *e;
    EG_TRY(egi_alloc(&e, model->context, 1, sizeof *e));
    e->context = model->context;
    e->model = model;
    e->loss = loss == EGI_LOSS_NAME_SPARSE_CATEGORICAL ? EGI_LOSS_NAME_CATEGORICAL : loss;
    e->smoothing = label_smoothing;
    e->batch = egi_eval_batch(model, batch);
    eg_status status = egi_plan_create(&e->plan, e->context, e->batch, model->dtype, false);
    if (status == EG_OK)
        status = emit(e);
    if (status == EG_OK)
        status = allocate(e);
    if (status != EG_OK) {
        egi_evaluator_free(e);
        return status;
    }
    *out = e;
    return EG_OK;
}

void egi_evaluator_free(egi_evaluator *e)
{
    if (!e)
        return;
    egi_plan_free(e->plan);
    egi_free(e->context, e->io.params);
    egi_free(e->context, e->index);
    egi_free(e->context, e->losses);
    egi_free(e->context, e->hits);
    egi_free(e->context, e->winners);
    egi_free(e->context, e->right);
    egi_free(e->context, e->allowed);
    egi_free(e->context, e->counts);
    egi_free(e->context, e->in);
    egi_free(e->context, e->z);
    egi_free(e->context, e->y);
    egi_free(e->context, e);
}

egi_act egi_evaluator_head(const egi_evaluator *e, int output)
{
    return e->head[output];
}

/* --- what a row is compared with ---------------------------------------------------------------------------------- */

/** How the examples of a set are judged at one output. */
typedef struct judge {
    const egi_eval_set *set;
    const float *z, *y; /* (batch, k) before and after the head's activation; z = y where they cannot be told apart */
    int64_t k;
    egi_act head;
    bool separated;     /* z really are logits */
    egi_loss_name loss; /* not AUTO */
    bool classes;       /* a winner among k rows */
    bool by_targets;
    double smoothing;
    const uint8_t *allowed; /* (k) rows that compete, or NULL: all */
} judge;

/* Labels at a linear head of several units can only mean that its values are logits. */
static egi_loss_name natural_loss(egi_act head, bool classes)
{
    if (head == EGI_ACT_SIGMOID)
        return EGI_LOSS_NAME_BINARY;
    return head == EGI_ACT_SOFTMAX || classes ? EGI_LOSS_NAME_CATEGORICAL : EGI_LOSS_NAME_MSE;
}

static eg_status check_fit(const egi_evaluator *e, const egi_eval_set *set)
{
    const eg_dataset *d = set->data;
    const int64_t k = egi_shape_count(&e->model->tensors[e->model->outputs[set->output]]);
    if (!d->labels && !d->targets)
        return egi_fail(EG_ERR_DATA, "data '%s': neither labels nor targets, nothing to measure by", d->name);
    if (!d->labels && egi_shape_count(&d->target_shape) != k)
        return egi_fail(EG_ERR_DATA, "data '%s': targets are %s, output %d of the model has %lld values", d->name,
                        egi_shape_format(&d->target_shape).s, set->output, (long long)k);
    if (d->labels && k != egi_output_rows(e->model, set->output))
        return egi_fail(EG_ERR_DATA, "data '%s': one label an example, output %d of the model is %s", d->name,
                        set->output, egi_shape_format(&e->model->tensors[e->model->outputs[set->output]]).s);
    return EG_OK;
}

static eg_status make_judge(judge *j, egi_evaluator *e, const egi_eval_set *set)
{
    EG_TRY(check_fit(e, set));
    *j = (judge){.set = set, .head = e->head[set->output], .by_targets = !set->data->labels, .smoothing = e->smoothing};
    j->k = egi_shape_count(&e->model->tensors[e->model->outputs[set->output]]);
    j->separated = e->logits[set->output] != e->io.out[set->output];
    j->classes = j->k > 1 && (j->head == EGI_ACT_SOFTMAX || !j->by_targets);
    j->loss = e->loss == EGI_LOSS_NAME_AUTO ? natural_loss(j->head, j->classes) : e->loss;
    if (j->loss == EGI_LOSS_NAME_CATEGORICAL && (!j->classes || j->head == EGI_ACT_SIGMOID))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: categorical cross-entropy at output %d (%s, %lld values)",
                        set->output, egi_act_name(j->head), (long long)j->k);
    if (!set->restricted || !set->rows || j->by_targets)
        return EG_OK;
    memset(e->allowed, 0, (size_t)j->k);
    for (int64_t i = 0; i < set->data->classes; i++)
        if (set->rows[i] >= 0 && set->rows[i] < j->k)
            e->allowed[set->rows[i]] = 1;
    j->allowed = e->allowed;
    return EG_OK;
}

/* The row that an example's label means; -1: none. */
static int32_t row_of(const judge *j, int64_t example)
{
    const eg_dataset *d = j->set->data;
    const int32_t label = d->labels[example];
    if (label < 0 || (j->set->rows && label >= d->classes))
        return -1;
    const int32_t row = j->set->rows ? j->set->rows[label] : label;
    return row < (j->k == 1 ? 2 : j->k) ? row : -1;
}

static int32_t largest_of(const float *v, int64_t k, const uint8_t *allowed)
{
    int32_t best = -1;
    for (int64_t c = 0; c < k; c++)
        if ((!allowed || allowed[c]) && (best < 0 || v[c] > v[best]))
            best = (int32_t)c;
    return best;
}

/* --- losses of one row, by the formulas of core/ops/loss.h -------------------------------------------------------- */

static double target_at(const judge *j, int64_t example, int32_t row, int64_t c)
{
    if (j->by_targets)
        return j->set->data->targets[example * j->k + c];
    if (j->k == 1)
        return j->head == EGI_ACT_SIGMOID ? row : j->set->data->labels[example];
    return c == row;
}

static double cross_entropy(const judge *j, const float *z, int64_t example, int32_t row)
{
    const float top = z[largest_of(z, j->k, j->allowed)];
    double sum = 0, dot = 0, weight = 0;
    int64_t competing = 0;
    for (int64_t c = 0; c < j->k; c++)
        if (!j->allowed || j->allowed[c]) {
            sum += exp((double)z[c] - top);
            competing++;
        }
    for (int64_t c = 0; c < j->k; c++)
        if (!j->allowed || j->allowed[c]) {
            const double t = target_at(j, example, row, c) * (1 - j->smoothing) + j->smoothing / (double)competing;
            weight += t;
            dot += t == 0 ? 0 : t * z[c];
        }
    return weight * (log(sum) + top) - dot;
}

static double binary_cross_entropy(const judge *j, double value, double t)
{
    t = t * (1 - j->smoothing) + j->smoothing / 2;
    if (j->separated)
        return fmax(value, 0) - value * t + log1p(exp(-fabs(value)));
    const double p = fmin(fmax(value, 1e-7), 1 - 1e-7);
    return -(t * log(p) + (1 - t) * log(1 - p));
}

static double pointwise(const judge *j, const float *z, const float *y, int64_t example, int32_t row)
{
    double sum = 0;
    for (int64_t c = 0; c < j->k; c++) {
        const double t = target_at(j, example, row, c);
        if (j->loss == EGI_LOSS_NAME_BINARY)
            sum += binary_cross_entropy(j, j->head == EGI_ACT_SIGMOID ? z[c] : y[c], t);
        else if (j->loss == EGI_LOSS_NAME_MSE)
            sum += ((double)y[c] - t) * ((double)y[c] - t);
        else
            sum += fabs((double)y[c] - t);
    }
    return sum / (double)j->k;
}

static bool is_on(const judge *j, const float *z, int64_t c)
{
    return z[c] > (j->separated ? 0.0f : 0.5f);
}

/* Several sigmoid units with targets: the share of units on the right side. */
static double units_right(const judge *j, const float *z, int64_t example)
{
    int64_t n = 0;
    for (int64_t c = 0; c < j->k; c++)
        n += is_on(j, z, c) == (target_at(j, example, 0, c) > 0.5);
    return (double)n / (double)j->k;
}

/* Judges row `i` of the batch, example `example`. */
static void judge_row(egi_evaluator *e, const judge *j, int64_t i, int64_t example)
{
    const float *z = j->z + i * j->k, *y = j->y + i * j->k;
    int32_t row = j->by_targets ? 0 : row_of(j, example), winner = -1;
    double hit = 0;
    if (j->classes) {
        winner = largest_of(z, j->k, j->allowed);
        if (j->by_targets)
            row = largest_of(j->set->data->targets + example * j->k, j->k, NULL);
        hit = winner == row;
    } else if (j->head == EGI_ACT_SIGMOID && j->k == 1) {
        winner = is_on(j, z, 0);
        hit = j->by_targets ? units_right(j, z, example) : winner == row;
    } else if (j->head == EGI_ACT_SIGMOID) {
        hit = units_right(j, z, example);
    }
    const bool regression = j->k == 1 && j->head != EGI_ACT_SIGMOID;
    e->counts[i] = row >= 0 || regression;
    if (e->counts[i])
        e->losses[i] =
            j->loss == EGI_LOSS_NAME_CATEGORICAL ? cross_entropy(j, z, example, row) : pointwise(j, z, y, example, row);
    e->hits[i] = hit;
    e->winners[i] = winner;
    e->right[i] = hit >= 1;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void widen(const egi_tensor *t, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        egi_set(t, i, from[i]);
}

/* Fills the inputs with n examples from `at` on; `index` says which. Rows behind keep what they had: nobody looks at
 * them. */
static eg_status fill(egi_evaluator *e, const egi_eval_set *set, int64_t at, int64_t n, const int64_t **index)
{
    for (int64_t i = 0; i < n && !set->index; i++)
        e->index[i] = at + i;
    *index = set->index ? set->index + at : e->index;
    for (int i = 0; i < e->model->n_inputs; i++) {
        const egi_shape *shape = &e->model->tensors[e->model->inputs[i]];
        float *data = egi_plan_data(e->plan, e->io.in[i]);
        EG_TRY(egi_batch_fill(set->data, i, *index, n, set->preprocess, shape, e->in ? e->in : data));
        if (e->in)
            widen(&e->plan->t[e->io.in[i]], e->in, n * egi_shape_count(shape));
    }
    return EG_OK;
}

/* Values of a kept tensor as floats, which are its own memory in f32. */
static const float *read_values(egi_evaluator *e, egi_val v, int64_t count, float *staging)
{
    if (!staging)
        return egi_plan_data(e->plan, v);
    for (int64_t i = 0; i < count; i++)
        staging[i] = (float)egi_get(&e->plan->t[v], i);
    return staging;
}

static eg_status check_set(const egi_evaluator *e, const egi_eval_set *set)
{
    const eg_model *m = e->model;
    if (set->output < 0 || set->output >= m->n_outputs)
        return egi_fail(EG_ERR_ARG, "evaluation: output %d, the model has %d", set->output, m->n_outputs);
    if (set->n < 0 || (!set->index && set->n > set->data->n))
        return egi_fail(EG_ERR_ARG, "evaluation: %lld examples wanted, the data has %lld", (long long)set->n,
                        (long long)set->data->n);
    if (set->data->n_inputs != m->n_inputs)
        return egi_fail(EG_ERR_SHAPE, "data '%s': %d arrays an example, the model has %d inputs", set->data->name,
                        set->data->n_inputs, m->n_inputs);
    for (int i = 0; i < m->n_inputs; i++)
        EG_TRY(egi_dataset_fits(set->data, i, &m->tensors[m->inputs[i]]));
    return EG_OK;
}

typedef struct judging {
    egi_evaluator *e;
    const judge *j;
    const int64_t *index;
    int64_t n, pieces;
} judging;

static void judge_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const judging *w = arg;
    int64_t from, to;
    egi_team_share(w->n, 1, piece, w->pieces, &from, &to);
    for (int64_t i = from; i < to; i++)
        judge_row(w->e, w->j, i, w->index[i]);
}

static void judge_batch(egi_evaluator *e, const judge *j, const int64_t *index, int64_t n)
{
    judging w = {.e = e, .j = j, .index = index, .n = n, .pieces = n * j->k > 4096 ? e->context->threads : 1};
    egi_team_run(e->context->team, e->context->threads, w.pieces, judge_piece, &w);
}

eg_status egi_evaluator_run(egi_evaluator *e, const egi_eval_set *set, int32_t *predicted, uint8_t *correct,
                            egi_eval_figures *out)
{
    const double began = egi_clock();
    EG_TRY(check_set(e, set));
    judge j;
    EG_TRY(make_judge(&j, e, set));
    double loss = 0, hits = 0;
    int64_t counted = 0;
    e->control.weights_version++;
    for (int64_t at = 0; at < set->n; at += e->batch) {
        const int64_t n = set->n - at < e->batch ? set->n - at : e->batch;
        const int64_t *index;
        EG_TRY(fill(e, set, at, n, &index));
        EG_TRY(egi_plan_run(e->plan, &e->control));
        j.z = read_values(e, e->logits[set->output], n * j.k, e->z);
        j.y = read_values(e, e->io.out[set->output], n * j.k, e->y);
        judge_batch(e, &j, index, n);
        for (int64_t i = 0; i < n; i++) {
            hits += e->hits[i];
            loss += e->counts[i] ? e->losses[i] : 0;
            counted += e->counts[i];
        }
        if (predicted)
            memcpy(predicted + at, e->winners, (size_t)n * sizeof *predicted);
        if (correct)
            memcpy(correct + at, e->right, (size_t)n);
    }
    const bool scored = j.classes || j.head == EGI_ACT_SIGMOID;
    *out = (egi_eval_figures){.n = set->n,
                              .accuracy = scored && set->n ? hits / (double)set->n : NAN,
                              .loss = counted ? loss / (double)counted : NAN,
                              .seconds = egi_clock() - began};
    return EG_OK;
}

eg_status egi_evaluator_outputs(egi_evaluator *e, const egi_eval_set *set, bool logits, float *y)
{
    EG_TRY(check_set(e, set));
    const int64_t k = egi_shape_count(&e->model->tensors[e->model->outputs[set->output]]);
    const egi_val v = logits ? e->logits[set->output] : e->io.out[set->output];
    e->control.weights_version++;
    for (int64_t at = 0; at < set->n; at += e->batch) {
        const int64_t n = set->n - at < e->batch ? set->n - at : e->batch;
        const int64_t *index;
        EG_TRY(fill(e, set, at, n, &index));
        EG_TRY(egi_plan_run(e->plan, &e->control));
        memcpy(y + at * k, read_values(e, v, n * k, e->y), (size_t)(n * k) * sizeof *y);
    }
    return EG_OK;
}
