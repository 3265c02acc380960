#include "finetune/preprocess.h"

#include "core/ops/batchnorm.h"
#include "finetune/eval.h"
#include "finetune/tasks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CANDIDATES 5
static const char *const candidates[CANDIDATES] = {"unit", "none", "tf", "caffe", "torch"};

static eg_status choose(egi_preprocess_choice *out, const char *text, const char *reason)
{
    EG_TRY(egi_preprocess_parse(&out->p, text));
    snprintf(out->text, sizeof out->text, "%s", text);
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    return EG_OK;
}

/* Candidates that name channels need three of them. */
static int candidate_count(const eg_dataset *data)
{
    const egi_shape *s = &data->shape[0];
    return s->rank == 3 && s->dim[2] == 3 ? CANDIDATES : 3;
}

/* Every (n / count)th example. Returns how many. */
static int64_t spread(int64_t *index, int64_t count, int64_t n)
{
    if (count > n)
        count = n;
    for (int64_t i = 0; i < count; i++)
        index[i] = (int64_t)((double)i * (double)n / (double)count);
    return count;
}

/* --- by labels ---------------------------------------------------------------------------------------------------- */

typedef struct score {
    double accuracy, loss;
} score;

static eg_status score_all(score *scores, int n, const eg_model *model, egi_eval_set *set)
{
    egi_evaluator *evaluator;
    EG_TRY(egi_evaluator_create(&evaluator, model, EGI_LOSS_NAME_AUTO, 0, 0));
    eg_status status = EG_OK;
    for (int i = 0; i < n && status == EG_OK; i++) {
        egi_preprocess p;
        egi_eval_figures f = {0};
        status = egi_preprocess_parse(&p, candidates[i]);
        set->preprocess = &p;
        if (status == EG_OK)
            status = egi_evaluator_run(evaluator, set, NULL, NULL, &f);
        scores[i] = (score){f.accuracy, f.loss};
    }
    egi_evaluator_free(evaluator);
    return status;
}

/* A network of ReLUs answers nearly the same at any scale of its input, so among the nearly best the one that is surest
 * of the right answers wins: its loss is the lowest. Where all answers are right that says nothing (a larger scale is
 * surer of them whatever the network was trained on), and the usual one, which comes first, stays. */
static int best_score(const score *scores, int n)
{
    int best = 0;
    double most = 0;
    for (int i = 0; i < n; i++)
        most = scores[i].accuracy > most ? scores[i].accuracy : most;
    while (best < n - 1 && scores[best].accuracy < most - 0.02)
        best++;
    for (int i = best + 1; i < n; i++)
        if (scores[best].accuracy < 1 && scores[i].accuracy >= most - 0.02 && scores[i].loss < scores[best].loss)
            best = i;
    return best;
}

/* Better than three standard deviations above guessing? */
static bool stands_out(double accuracy, int64_t n, int64_t classes)
{
    const double chance = 1 / (double)classes;
    return accuracy > chance + 3 * sqrt(chance * (1 - chance) / (double)n);
}

/* Why candidate `best` was taken and not the next best, `other`. */
static void describe(char *reason, size_t room, const egi_eval_set *set, const score *scores, int best, int other)
{
    const char *name = set->data->name ? set->data->name : "the data";
    const int at = snprintf(reason, room, "tried on %lld examples of %.60s: ", (long long)set->n, name);
    const score *a = &scores[best], *b = &scores[other];
    if (a->accuracy == 1 && b->accuracy == 1)
        snprintf(reason + at, room - (size_t)at, "all right, as with %s; the usual one", candidates[other]);
    else
        snprintf(reason + at, room - (size_t)at, "%.1f %% right, loss %.3g; %s: %.1f %%, loss %.3g", 100 * a->accuracy,
                 a->loss, candidates[other], 100 * b->accuracy, b->loss);
}

static eg_status by_labels(egi_preprocess_choice *out, bool *found, const eg_model *model, const eg_dataset *data,
                           const int32_t *rows, int output)
{
    int64_t index[EGI_PREPROCESS_SAMPLE];
    const int64_t few = model->arena_count > 4000000 ? 128 : EGI_PREPROCESS_SAMPLE;
    egi_eval_set set = {.data = data, .index = index, .n = spread(index, few, data->n), .rows = rows, .output = output};
    score scores[CANDIDATES];
    const int n = candidate_count(data);
    EG_TRY(score_all(scores, n, model, &set));
    const int best = best_score(scores, n);
    *found = set.n > 0 && stands_out(scores[best].accuracy, set.n, egi_output_classes(model, output));
    if (!*found)
        return EG_OK;
    int other = best == 0;
    for (int i = 0; i < n; i++)
        if (i != best && scores[i].accuracy > scores[other].accuracy)
            other = i;
    char reason[192];
    describe(reason, sizeof reason, &set, scores, best, other);
    return choose(out, candidates[best], reason);
}

/* --- by the statistics of the first batch normalisation ----------------------------------------------------------- */

typedef struct probe {
    egi_plan *plan;
    egi_model_io io;
    const egi_batchnorm_infer *bn;
    int64_t batch;
} probe;

static void probe_release(probe *p, eg_context *context)
{
    egi_plan_free(p->plan);
    egi_free(context, p->io.params);
}

static eg_status probe_make(probe *p, const eg_model *model, int64_t batch)
{
    p->batch = batch;
    EG_TRY(egi_plan_create(&p->plan, model->context, batch, model->dtype, false));
    EG_TRY(egi_model_emit(model, p->plan, NULL, NULL, &p->io));
    for (int64_t i = 0; i < p->plan->n_nodes && !p->bn; i++)
        if (p->plan->nodes[i].op == &egi_op_batchnorm_infer)
            p->bn = p->plan->nodes[i].args;
    if (!p->bn)
        return EG_OK;
    egi_plan_keep(p->plan, p->bn->x); /* not fused: the convolution's output must be seen */
    return egi_plan_compile(p->plan);
}

/* How far the mean and the variance of each channel are from what the layer saw in training: 0 is the same. */
static double distance(const probe *p)
{
    const float *x = egi_plan_data(p->plan, p->bn->x);
    const float *mean = egi_plan_data(p->plan, p->bn->mean), *var = egi_plan_data(p->plan, p->bn->var);
    const int64_t c = egi_dim(p->plan, p->bn->x, -1), n = egi_shape_count(egi_shape_of(p->plan, p->bn->x)) / c;
    double sum = 0;
    for (int64_t k = 0; k < c; k++) {
        double m = 0, v = 0;
        for (int64_t i = 0; i < n; i++)
            m += x[i * c + k];
        m /= (double)n;
        for (int64_t i = 0; i < n; i++)
            v += (x[i * c + k] - m) * (x[i * c + k] - m);
        const double want = (double)var[k] + p->bn->epsilon, have = v / (double)n + p->bn->epsilon;
        sum += (m - mean[k]) * (m - mean[k]) / want + log(have / want) * log(have / want);
    }
    return sum / (double)c;
}

static eg_status measure(double *distances, int n, probe *p, const eg_model *model, const eg_dataset *data,
                         const int64_t *index)
{
    const egi_shape *wanted = &model->tensors[model->inputs[0]];
    const egi_control control = {.weights_version = 1};
    for (int i = 0; i < n; i++) {
        egi_preprocess pre;
        EG_TRY(egi_preprocess_parse(&pre, candidates[i]));
        EG_TRY(egi_batch_fill(data, 0, index, p->batch, &pre, wanted, egi_plan_data(p->plan, p->io.in[0])));
        EG_TRY(egi_plan_run_forward(p->plan, &control));
        distances[i] = distance(p);
    }
    return EG_OK;
}

static eg_status by_statistics(egi_preprocess_choice *out, bool *found, const eg_model *model, const eg_dataset *data)
{
    *found = false;
    if (data->n == 0 || model->n_inputs != 1 || model->dtype != EGI_F32)
        return EG_OK;
    EG_TRY(egi_dataset_fits(data, 0, &model->tensors[model->inputs[0]]));
    int64_t index[64];
    probe p = {0};
    double distances[CANDIDATES];
    const int n = candidate_count(data);
    eg_status status = probe_make(&p, model, spread(index, 64, data->n));
    if (status == EG_OK && p.bn)
        status = measure(distances, n, &p, model, data, index);
    *found = status == EG_OK && p.bn;
    probe_release(&p, model->context);
    if (!*found)
        return status;
    int best = 0;
    for (int i = 1; i < n; i++)
        if (distances[i] < distances[best])
            best = i;
    char reason[192];
    snprintf(reason, sizeof reason,
             "nearest to the statistics of the first batch normalisation (distance %.2g; %s: %.2g)", distances[best],
             candidates[best == 0], distances[best == 0]);
    return choose(out, candidates[best], reason);
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

/* What the file says about this data set's task, else about the model; "" nothing. */
static const char *from_file(const eg_model *model, const eg_dataset *data)
{
    egi_task task;
    if (egi_tasks_get(model, egi_tasks_find(model, data->name ? data->name : ""), &task) && *task.preprocess)
        return task.preprocess;
    const char *text = json_string_value(json_object_get(model->meta, "preprocess"));
    return text ? text : "";
}

bool egi_preprocess_said(const eg_model *model, const char *wanted, const eg_dataset *data)
{
    return (wanted && strcmp(wanted, "auto") != 0) || data->dtype[0] != EGI_U8 || *from_file(model, data);
}

eg_status egi_preprocess_choose(egi_preprocess_choice *out, const eg_model *model, const char *wanted,
                                const eg_dataset *data, const eg_dataset *labelled, const int32_t *rows, int output)
{
    if (wanted && strcmp(wanted, "auto") != 0)
        return choose(out, wanted, "asked for");
    if (data->dtype[0] != EGI_U8)
        return choose(out, "none", "float data is taken as it is");
    const char *said = from_file(model, data);
    if (*said) {
        const eg_status status = choose(out, said, "from the file");
        return status == EG_OK ? status : egi_fail_prefix(EG_ERR_FORMAT, "meta: preprocess");
    }
    bool found = false;
    if (labelled && labelled->labels && labelled->dtype[0] == EGI_U8)
        EG_TRY(by_labels(out, &found, model, labelled, rows, output));
    if (!found)
        EG_TRY(by_statistics(out, &found, model, data));
    return found ? EG_OK : choose(out, "unit", "stored bytes, and nothing says otherwise: x/255 is usual");
}

eg_status egi_preprocess_record(eg_model *model, const egi_preprocess_choice *choice, const eg_dataset *data)
{
    if (data->dtype[0] != EGI_U8)
        return EG_OK;
    if (json_object_set_new(model->meta, "preprocess", json_string(choice->text)) != 0 ||
        json_object_set_new(model->meta, "preprocess_reason", json_string(choice->reason)) != 0)
        return egi_fail(EG_ERR_NOMEM, "meta: no memory");
    return EG_OK;
}
