/* eg_eval(), eg_predict_dataset() and eg_predict_stream(): the evaluator behind the public API, with its guesses said
 * aloud. */
#include "finetune/eval.h"
#include "finetune/metrics.h"
#include "finetune/preprocess.h"
#include "finetune/tasks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What eg_eval() gives away; the public part is the first member. */
typedef struct owned_result {
    eg_eval_result r;
    eg_context *context;
    char mapping[192], preprocess[512];
    char **names; /* classes, owned */
} owned_result;

/* Everything that a set needs to be fed to a model. */
typedef struct measure {
    eg_context *context;
    int32_t *rows;
    egi_preprocess_choice pre;
    egi_evaluator *evaluator;
    egi_eval_set set;
} measure;

static void measure_release(measure *m)
{
    egi_evaluator_free(m->evaluator);
    egi_free(m->context, m->rows);
}

/* A label that occurs but has no row would silently count as wrong. */
static eg_status check_rows(const eg_model *model, const eg_dataset *data, const int32_t *rows, int output)
{
    for (int64_t i = 0; data->labels && i < data->n; i++) {
        const int32_t label = data->labels[i];
        if (label >= 0 && label < data->classes && rows[label] < 0)
            return egi_fail(EG_ERR_DATA,
                            "data '%s': class '%s' is none of the %lld classes of the model's head; name the task "
                            "whose classes are meant, or "
                            "fine-tune with data.classes=extend",
                            data->name, eg_dataset_class_name(data, label),
                            (long long)egi_output_classes(model, output));
    }
    return EG_OK;
}

/* `sample` is what preprocessing is judged by. */
static eg_status measure_make(measure *m, eg_model *model, const eg_dataset *data, const eg_dataset *sample,
                              const eg_eval_options *o, char *mapping, size_t room)
{
    int output;
    EG_TRY(egi_tasks_map(&m->rows, &output, mapping, room, model, data, o->task));
    m->set = (egi_eval_set){.data = data, .n = data->n, .rows = m->rows, .output = output};
    const bool judged = sample->labels && egi_output_rows(model, output) > 1;
    EG_TRY(egi_preprocess_choose(&m->pre, model, o->preprocess, sample, judged ? sample : NULL, m->rows, output));
    m->set.preprocess = &m->pre.p;
    return egi_evaluator_create(&m->evaluator, model, EGI_LOSS_NAME_AUTO, 0, o->batch);
}

static eg_status check_call(const void *out, const eg_model *model, const void *data, const eg_eval_options *o)
{
    if (!out || !model || !data)
        return egi_fail(EG_ERR_ARG, "evaluation: the output, the model or the data is NULL");
    if (o->struct_size != sizeof *o)
        return egi_fail(EG_ERR_ARG, "evaluation: the options were made for another version");
    if (o->batch < 0 || o->batch > 65536)
        return egi_fail(EG_ERR_ARG, "evaluation: batch: wanted 0 (automatic) to 65536, found %lld",
                        (long long)o->batch);
    return EG_OK;
}

/* --- eg_eval ------------------------------------------------------------------------------------------------------ */

static eg_status allocate(owned_result *r, eg_context *context, int64_t n, int64_t classes)
{
    r->context = context;
    r->r.n = n;
    r->r.classes = classes;
    r->r.mapping = r->mapping;
    r->r.preprocess = r->preprocess;
    EG_TRY(egi_alloc(&r->names, context, classes, sizeof *r->names));
    r->r.class_names = (const char *const *)r->names;
    EG_TRY(egi_alloc(&r->r.per_class, context, classes, sizeof *r->r.per_class));
    EG_TRY(egi_alloc(&r->r.confusion, context, classes * classes, sizeof *r->r.confusion));
    EG_TRY(egi_alloc(&r->r.predicted, context, n, sizeof *r->r.predicted));
    return egi_alloc(&r->r.correct, context, n, sizeof *r->r.correct);
}

static eg_status name_classes(owned_result *r, const eg_model *model, int output)
{
    for (int64_t i = 0; i < r->r.classes; i++)
        EG_TRY(egi_tasks_row_name(&r->names[i], model, output, i));
    return EG_OK;
}

static int32_t largest_target(const eg_dataset *d, int64_t example, int64_t k)
{
    const float *t = d->targets + example * k;
    int64_t best = 0;
    for (int64_t c = 1; c < k; c++)
        if (t[c] > t[best])
            best = c;
    return (int32_t)(k == 1 ? t[0] > 0.5f : best);
}

/* The confusion matrix: true rows against predicted ones. Several labels at once have none: it stays zero. */
static eg_status confuse(owned_result *r, const measure *m)
{
    const eg_dataset *d = m->set.data;
    int32_t *truth;
    EG_TRY(egi_alloc(&truth, r->context, d->n, sizeof *truth));
    for (int64_t i = 0; i < d->n; i++) {
        const int32_t label = d->labels ? d->labels[i] : -1;
        truth[i] = label >= 0 && label < d->classes ? m->rows[label] : -1;
        if (!d->labels)
            truth[i] = largest_target(d, i, egi_shape_count(&d->target_shape));
    }
    egi_confusion_add(r->r.confusion, r->r.classes, truth, r->r.predicted, d->n);
    egi_confusion_recall(r->r.confusion, r->r.classes, r->r.per_class);
    egi_free(r->context, truth);
    return EG_OK;
}

static eg_status evaluate(owned_result *r, eg_model *model, const eg_dataset *data, const eg_eval_options *o)
{
    measure m = {.context = model->context};
    egi_eval_figures f;
    eg_status status;
    EG_TRY_GOTO(status, measure_make(&m, model, data, data, o, r->mapping, sizeof r->mapping));
    EG_TRY_GOTO(status, check_rows(model, data, m.rows, m.set.output));
    EG_TRY_GOTO(status, allocate(r, model->context, data->n, egi_output_classes(model, m.set.output)));
    EG_TRY_GOTO(status, name_classes(r, model, m.set.output));
    snprintf(r->preprocess, sizeof r->preprocess, "%s [%s]", m.pre.text, m.pre.reason);
    EG_TRY_GOTO(status, egi_evaluator_run(m.evaluator, &m.set, r->r.predicted, r->r.correct, &f));
    r->r.accuracy = f.accuracy;
    r->r.loss = f.loss;
    r->r.seconds = f.seconds;
    status = confuse(r, &m);
done:
    measure_release(&m);
    return status;
}

eg_status eg_eval(eg_eval_result **out, eg_model *model, const eg_dataset *data, const eg_eval_options *options)
{
    const eg_eval_options defaults = EG_EVAL_OPTIONS_INIT;
    const eg_eval_options *o = options ? options : &defaults;
    EG_TRY(check_call(out, model, data, o));
    owned_result *r;
    EG_TRY(egi_alloc(&r, model->context, 1, sizeof *r));
    r->context = model->context;
    const eg_status status = evaluate(r, model, data, o);
    if (status != EG_OK) {
        eg_eval_result_free(&r->r);
        return status;
    }
    *out = &r->r;
    return EG_OK;
}

void eg_eval_result_free(eg_eval_result *result)
{
    if (!result)
        return;
    owned_result *r = (owned_result *)result;
    for (int64_t i = 0; r->names && i < r->r.classes; i++)
        egi_free(r->context, r->names[i]);
    egi_free(r->context, r->names);
    egi_free(r->context, r->r.per_class);
    egi_free(r->context, r->r.confusion);
    egi_free(r->context, r->r.predicted);
    egi_free(r->context, r->r.correct);
    egi_free(r->context, r);
}

/* --- eg_predict_dataset ------------------------------------------------------------------------------------------- */

eg_status eg_predict_dataset(eg_model *model, const eg_dataset *data, int64_t first, int64_t count,
                             const eg_eval_options *options, float *y)
{
    const eg_eval_options defaults = EG_EVAL_OPTIONS_INIT;
    const eg_eval_options *o = options ? options : &defaults;
    EG_TRY(check_call(y, model, data, o));
    if (first < 0 || count < 0 || first > data->n || count > data->n - first)
        return egi_fail(EG_ERR_ARG, "prediction: examples %lld to %lld of %lld", (long long)first,
                        (long long)first + count, (long long)data->n);
    measure m = {.context = model->context};
    char mapping[192];
    int64_t *index = NULL;
    eg_status status;
    EG_TRY_GOTO(status, measure_make(&m, model, data, data, o, mapping, sizeof mapping));
    EG_TRY_GOTO(status, egi_alloc(&index, model->context, count, sizeof *index));
    for (int64_t i = 0; i < count; i++)
        index[i] = first + i;
    m.set.index = index;
    m.set.n = count;
    status = egi_evaluator_outputs(m.evaluator, &m.set, false, y);
done:
    egi_free(model->context, index);
    measure_release(&m);
    return status;
}

/* --- eg_predict_stream -------------------------------------------------------------------------------------------- */

#define CHUNK_MOST  1024      /* examples */
#define CHUNK_LEAST 64        /* what tells a task's data from another's (egi_tasks_fingerprint()) */
#define CHUNK_BYTES (1 << 25) /* of examples and outputs, where the least number allows it */

/* Examples a chunk: full batches, since a short one costs as much. */
static int64_t chunk_size(const eg_model *model, const eg_dataset *set, const eg_eval_options *o)
{
    const int64_t batch = egi_eval_batch(model, o->batch);
    int64_t bytes = 0;
    for (int i = 0; i < model->n_outputs; i++)
        bytes += egi_shape_count(&model->tensors[model->outputs[i]]) * (int64_t)sizeof(float);
    for (int i = 0; i < set->n_inputs; i++)
        bytes += egi_shape_count(&set->shape[i]) * (int64_t)egi_dtype_size(set->dtype[i]);
    int64_t n = CHUNK_BYTES / bytes;
    n = n < CHUNK_LEAST ? CHUNK_LEAST : n > CHUNK_MOST ? CHUNK_MOST : n;
    return (n + batch - 1) / batch * batch;
}

/* Examples from all over the stream, where preprocessing must be found out and they can be had: a folder of images
 * begins with those of one class. NULL: the first chunk it is. */
static eg_status take_sample(eg_dataset **out, const eg_model *model, eg_stream *stream, const eg_eval_options *o)
{
    *out = NULL;
    if (egi_preprocess_said(model, o->preprocess, egi_stream_set(stream)))
        return EG_OK;
    return egi_stream_sample(out, stream, EGI_PREPROCESS_SAMPLE);
}

static eg_status check_inputs(const eg_model *model, const eg_dataset *set)
{
    if (set->n_inputs != model->n_inputs)
        return egi_fail(EG_ERR_SHAPE, "data '%s': %d arrays an example, the model has %d inputs", set->name,
                        set->n_inputs, model->n_inputs);
    for (int i = 0; i < model->n_inputs; i++)
        EG_TRY(egi_dataset_fits(set, i, &model->tensors[model->inputs[i]]));
    return EG_OK;
}

/* A prediction from its first chunk to its last. */
typedef struct walk {
    measure m;
    eg_stream *stream;
    eg_dataset *sample; /* owned; or NULL */
    int64_t size;       /* examples a chunk */
    eg_rows rows;
    float *y; /* rows.y; owned */
} walk;

static void walk_release(walk *w, eg_context *context)
{
    measure_release(&w->m);
    eg_dataset_free(w->sample);
    egi_free(context, w->y);
}

static eg_status first_chunk(walk *w, eg_model *model, const eg_eval_options *o)
{
    char mapping[192];
    const eg_dataset *set = egi_stream_set(w->stream), *chunk = NULL;
    EG_TRY(check_inputs(model, set));
    EG_TRY(take_sample(&w->sample, model, w->stream, o));
    EG_TRY(eg_stream_next(w->stream, w->size, &chunk));
    if (!chunk || chunk->first > 0)
        return egi_fail(EG_ERR_STATE, "data '%s': examples of the stream were read before", set->name);
    const eg_dataset *all = egi_stream_whole(w->stream) ? set : chunk;
    EG_TRY(measure_make(&w->m, model, chunk, w->sample ? w->sample : all, o, mapping, sizeof mapping));
    eg_dataset_free(w->sample);
    w->sample = NULL;
    w->rows.data = chunk;
    w->rows.output = w->m.set.output;
    w->rows.columns = egi_shape_count(&model->tensors[model->outputs[w->rows.output]]);
    EG_TRY(egi_alloc(&w->y, model->context, chunk->n * w->rows.columns, sizeof *w->y));
    w->rows.y = w->y;
    return EG_OK;
}

static eg_status predict_chunk(walk *w, eg_rows_fn on_rows, void *user)
{
    w->m.set.n = w->rows.count = w->rows.data->n;
    w->rows.first = w->rows.data->first;
    EG_TRY(egi_evaluator_outputs(w->m.evaluator, &w->m.set, false, w->y));
    return on_rows(user, &w->rows) ? EG_OK : egi_fail(EG_ERR_CANCELLED, "prediction: stopped by the caller");
}

eg_status eg_predict_stream(eg_model *model, eg_stream *stream, const eg_eval_options *options, eg_rows_fn on_rows,
                            void *user)
{
    const eg_eval_options defaults = EG_EVAL_OPTIONS_INIT;
    const eg_eval_options *o = options ? options : &defaults;
    EG_TRY(check_call(on_rows ? model : NULL, model, stream, o));
    walk w = {.m = {.context = model->context}, .stream = stream};
    w.size = chunk_size(model, egi_stream_set(stream), o);
    eg_status status = first_chunk(&w, model, o);
    for (const eg_dataset *chunk = w.rows.data; status == EG_OK && chunk;) {
        status = predict_chunk(&w, on_rows, user);
        if (status == EG_OK)
            status = eg_stream_next(stream, w.size, &chunk);
    }
    walk_release(&w, model->context);
    return status;
}
