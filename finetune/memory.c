#include "finetune/memory.h"

#include "data/reader.h"
#include "finetune/tasks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PARTS_MAX      1000
#define PARAMETERS_MAX 1000000

typedef struct extra_name {
    char s[64];
} extra_name;

static extra_name part_name(int64_t part, const char *what, int input)
{
    extra_name name;
    if (input >= 0)
        snprintf(name.s, sizeof name.s, "memory/part/%lld/%s%d", (long long)part, what, input);
    else
        snprintf(name.s, sizeof name.s, "memory/part/%lld/%s", (long long)part, what);
    return name;
}

static extra_name arena_name(const char *what, int64_t id)
{
    extra_name name;
    snprintf(name.s, sizeof name.s, "memory/%s/%lld/w", what, (long long)id);
    return name;
}

static const json_t *memory_meta(const eg_model *model)
{
    return json_object_get(model->meta, "memory");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* --- life --------------------------------------------------------------------------------------------------------- */

eg_status egi_memory_create(egi_memory **out, eg_context *context)
{
    egi_memory *m;
    EG_TRY(egi_alloc(&m, context, 1, sizeof *m));
    m->context = context;
    m->scale = 1;
    *out = m;
    return EG_OK;
}

static void release_part(eg_context *context, egi_exemplars *part)
{
    egi_free(context, part->task);
    egi_free(context, part->preprocess);
    egi_free(context, part->source);
    eg_dataset_free(part->data);
    *part = (egi_exemplars){0};
}

void egi_memory_free(egi_memory *m)
{
    if (!m)
        return;
    for (int64_t i = 0; i < m->n_parts; i++)
        release_part(m->context, &m->parts[i]);
    egi_free(m->context, m->parts);
    egi_free(m->context, m->anchor);
    egi_free(m->context, m->importance);
    egi_free(m->context, m);
}

egi_exemplars *egi_memory_find(const egi_memory *m, const char *task)
{
    for (int64_t i = 0; i < m->n_parts; i++)
        if (strcmp(m->parts[i].task, task) == 0)
            return &m->parts[i];
    return NULL;
}

void egi_memory_drop_output(egi_memory *m, int output)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].output == output)
            release_part(m->context, &m->parts[i]);
        else
            m->parts[kept++] = m->parts[i];
    m->n_parts = kept;
}

/* Takes over the part, in place of one of the same task; releases it on failure. */
static eg_status take_part(egi_memory *m, egi_exemplars *part)
{
    egi_exemplars *old = egi_memory_find(m, part->task);
    if (!old) {
        const eg_status status = EGI_RESERVE(m->context, m->parts, m->n_parts, m->parts_capacity);
        if (status != EG_OK) {
            release_part(m->context, part);
            return status;
        }
        old = &m->parts[m->n_parts++];
    } else {
        release_part(m->context, old);
    }
    *old = *part;
    return EG_OK;
}

static eg_status name_part(egi_exemplars *part, eg_context *context, const char *task, const char *preprocess,
                           int output)
{
    part->output = output;
    EG_TRY(egi_strdup(&part->task, context, task));
    return egi_strdup(&part->preprocess, context, preprocess);
}

/* --- adding examples ---------------------------------------------------------------------------------------------- */

static void drop_class_names(eg_dataset *d)
{
    for (int64_t i = 0; d->class_names && i < d->classes; i++)
        egi_free(d->context, d->class_names[i]);
    egi_free(d->context, d->class_names);
    egi_free(d->context, d->numbers);
    d->class_names = NULL;
    d->numbers = NULL;
    d->classes = 0;
}

static eg_status relabel(eg_dataset *d, const eg_dataset *from, const int32_t *rows, int64_t classes)
{
    for (int64_t i = 0; d->labels && i < d->n; i++) {
        const int32_t label = d->labels[i], row = rows && label >= 0 && label < from->classes ? rows[label] : label;
        if (row < 0 || row >= classes)
            return egi_fail(EG_ERR_DATA, "memory: label %d of %s has no row in a head of %lld", label, from->name,
                            (long long)classes);
        d->labels[i] = row;
    }
    drop_class_names(d);
    d->classes = d->labels ? classes : 0;
    return egi_dataset_number_classes(d);
}

static eg_status make_part(egi_exemplars *part, const eg_model *model, const char *task, const eg_dataset *data,
                           const int64_t *index, int64_t n, const int32_t *rows, int output, const char *preprocess)
{
    EG_TRY(name_part(part, model->context, task, preprocess, output));
    EG_TRY(egi_dataset_pick(&part->data, data, index, n));
    EG_TRY(relabel(part->data, data, rows, egi_output_classes(model, output)));
    EG_TRY(egi_alloc(&part->source, model->context, n, sizeof *part->source));
    for (int64_t i = 0; i < n; i++)
        part->source[i] = (int32_t)index[i];
    return EG_OK;
}

eg_status egi_memory_add(egi_memory *m, const eg_model *model, const char *task, const eg_dataset *data,
                         const int64_t *index, int64_t n, const int32_t *rows, int output, const char *preprocess)
{
    egi_exemplars part = {0};
    const eg_status status = make_part(&part, model, task, data, index, n, rows, output, preprocess);
    if (status != EG_OK) {
        release_part(m->context, &part);
        return status;
    }
    return take_part(m, &part);
}

/* Index of the examples to keep: one of each class in turn, as long as there is room. */
static int64_t pick_evenly(int64_t *index, const eg_dataset *d, int64_t n, uint8_t *taken, int64_t *next)
{
    int64_t count = 0;
    for (bool any = true; any && count < n;) {
        any = false;
        for (int64_t c = 0; c < d->classes && count < n; c++) {
            while (next[c] < d->n && d->labels[next[c]] != c)
                next[c]++;
            if (next[c] == d->n)
                continue;
            taken[next[c]++] = 1;
            count++;
            any = true;
        }
    }
    int64_t at = 0;
    for (int64_t i = 0; i < d->n; i++)
        if (taken[i])
            index[at++] = i;
    return at;
}

eg_status egi_memory_shrink(egi_memory *m, egi_exemplars *part, int64_t n)
{
    const eg_dataset *d = part->data;
    if (n >= d->n)
        return EG_OK;
    int64_t *index = NULL, *next = NULL;
    int32_t *source = NULL;
    uint8_t *taken = NULL;
    eg_dataset *fewer = NULL;
    eg_status status;
    EG_TRY_GOTO(status, egi_alloc(&index, m->context, n, sizeof *index));
    EG_TRY_GOTO(status, egi_alloc(&next, m->context, d->classes, sizeof *next));
    EG_TRY_GOTO(status, egi_alloc(&taken, m->context, d->n, 1));
    EG_TRY_GOTO(status, egi_alloc(&source, m->context, n, sizeof *source));
    if (d->labels)
        n = pick_evenly(index, d, n, taken, next);
    for (int64_t i = 0; !d->labels && i < n; i++)
        index[i] = i * d->n / n;
    EG_TRY_GOTO(status, egi_dataset_pick(&fewer, d, index, n));
    for (int64_t i = 0; i < n; i++)
        source[i] = part->source ? part->source[index[i]] : (int32_t)index[i];
    eg_dataset_free(part->data);
    egi_free(m->context, part->source);
    part->data = fewer;
    part->source = source;
    source = NULL;
done:
    egi_free(m->context, index);
    egi_free(m->context, next);
    egi_free(m->context, taken);
    egi_free(m->context, source);
    return status;
}

/* --- storing ------------------------------------------------------------------------------------------------------ */

static eg_status set_extra(eg_model *model, extra_name name, void *data, egi_dtype dtype, egi_shape shape)
{
    return egi_model_set_extra(model, name.s, &(egi_tensor){data, dtype, shape});
}

static eg_status store_part(eg_model *model, const egi_exemplars *part, int64_t i)
{
    const eg_dataset *d = part->data;
    const egi_shape list = EGI_SHAPE(d->n);
    for (int j = 0; j < d->n_inputs; j++)
        EG_TRY(set_extra(model, part_name(i, "x", j), d->x[j], d->dtype[j], egi_shape_batched(d->n, &d->shape[j])));
    if (d->labels)
        EG_TRY(set_extra(model, part_name(i, "rows", -1), d->labels, EGI_I32, list));
    else if (d->targets)
        EG_TRY(set_extra(model, part_name(i, "targets", -1), d->targets, EGI_F32,
                         egi_shape_batched(d->n, &d->target_shape)));
    if (part->source)
        EG_TRY(set_extra(model, part_name(i, "source", -1), part->source, EGI_I32, list));
    return EG_OK;
}

static egi_tensor view(const eg_model *model, int64_t param, const void *arena)
{
    egi_tensor t = egi_param_view(model, param);
    t.data = (char *)arena + (size_t)model->params[param].offset * egi_dtype_size(model->dtype);
    return t;
}

static bool all_zero(const egi_tensor *t)
{
    const int64_t n = egi_count(t);
    for (int64_t i = 0; i < n; i++)
        if (egi_get(t, i) != 0)
            return false;
    return true;
}

static eg_status store_parameter(eg_model *model, const egi_memory *m, int64_t param, json_t *list)
{
    const egi_tensor importance = view(model, param, m->importance), anchor = view(model, param, m->anchor);
    const egi_tensor weights = egi_param_view(model, param);
    if (model->params[param].state || all_zero(&importance))
        return EG_OK;
    const egi_param *p = &model->params[param];
    json_t *entry =
        json_pack("{s:I, s:s, s:s}", "id", (json_int_t)param, "layer", model->layers[p->layer].path, "name", p->name);
    if (json_array_append_new(list, entry) != 0)
        return egi_fail(EG_ERR_NOMEM, "memory: no memory to name the parameters");
    EG_TRY(egi_model_set_extra(model, arena_name("importance", param).s, &importance));
    if (memcmp(anchor.data, weights.data, (size_t)p->count * egi_dtype_size(model->dtype)) == 0)
        return EG_OK;
    return egi_model_set_extra(model, arena_name("anchor", param).s, &anchor);
}

static json_t *part_list(const egi_memory *m)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < m->n_parts; i++) {
        const egi_exemplars *p = &m->parts[i];
        json_t *entry = json_pack("{s:s, s:i, s:s}", "task", p->task, "output", p->output, "preprocess", p->preprocess);
        if (json_array_append_new(list, entry) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static eg_status store_arenas(eg_model *model, const egi_memory *m, json_t *parameters)
{
    for (int64_t i = 0; m->importance && i < model->n_params; i++)
        EG_TRY(store_parameter(model, m, i, parameters));
    return EG_OK;
}

eg_status egi_memory_store(eg_model *model, const egi_memory *m)
{
    egi_model_drop_extras(model, "memory/");
    json_object_del(model->meta, "memory");
    if (!m->n_parts && !m->importance)
        return EG_OK;
    json_t *parameters = json_array();
    eg_status status = EG_OK;
    for (int64_t i = 0; i < m->n_parts && status == EG_OK; i++)
        status = store_part(model, &m->parts[i], i);
    if (status == EG_OK)
        status = store_arenas(model, m, parameters);
    json_t *meta = NULL;
    if (status == EG_OK) {
        meta = json_pack("{s:f, s:I, s:o, s:O}", "scale", m->scale, "tasks", (json_int_t)m->tasks, "parts",
                         part_list(m), "parameters", parameters);
        if (!meta || json_object_set_new(model->meta, "memory", meta) != 0)
            status = egi_fail(EG_ERR_NOMEM, "memory: no memory to describe it");
    }
    json_decref(parameters);
    if (status != EG_OK)
        egi_model_drop_extras(model, "memory/");
    return status;
}

/* --- loading: everything may be wrong ----------------------------------------------------------------------------- */

static eg_status bad(int64_t part, const char *what)
{
    return egi_fail(EG_ERR_FORMAT, "memory: part %lld: %s", (long long)part, what);
}

static bool is_list_of(const egi_tensor *t, egi_dtype dtype, int64_t n)
{
    return t && t->dtype == dtype && t->shape.rank == 1 && t->shape.dim[0] == n;
}

static eg_status load_inputs(eg_dataset *d, const eg_model *model, int64_t part)
{
    for (int j = 0; j < model->n_inputs; j++) {
        const egi_tensor *x = egi_model_extra(model, part_name(part, "x", j).s);
        if (!x || (x->dtype != EGI_U8 && x->dtype != EGI_F32) || x->shape.rank < 1)
            return bad(part, "wanted examples as uint8 or float32 for each input of the model");
        if (j == 0)
            d->n = x->shape.dim[0];
        if (d->n < 1 || x->shape.dim[0] != d->n)
            return bad(part, "wanted the same number of examples, at least 1, for each input");
        egi_shape sample = {.rank = x->shape.rank - 1};
        memcpy(sample.dim, x->shape.dim + 1, (size_t)sample.rank * sizeof *sample.dim);
        EG_TRY(egi_fill_input(d, j, x->dtype, &sample));
        memcpy(d->x[j], x->data, (size_t)egi_count(x) * egi_dtype_size(x->dtype));
        if (egi_dataset_fits(d, j, &model->tensors[model->inputs[j]]) != EG_OK)
            return bad(part, "its examples do not fit the model's input");
        for (int64_t i = 0; x->dtype == EGI_F32 && i < egi_count(x); i++)
            if (!isfinite(((const float *)x->data)[i]))
                return bad(part, "its examples are not all finite");
    }
    return EG_OK;
}

static eg_status load_rows(eg_dataset *d, const egi_tensor *rows, int64_t classes, int64_t part)
{
    if (!is_list_of(rows, EGI_I32, d->n))
        return bad(part, "wanted one row of the head for each example");
    EG_TRY(egi_fill_labels(d));
    for (int64_t i = 0; i < d->n; i++) {
        d->labels[i] = ((const int32_t *)rows->data)[i];
        if (d->labels[i] < 0 || d->labels[i] >= classes)
            return bad(part, "a row is none of the head's");
    }
    d->classes = classes;
    return egi_dataset_number_classes(d);
}

static eg_status load_targets(eg_dataset *d, const egi_tensor *targets, int64_t part)
{
    if (!targets || targets->dtype != EGI_F32 || targets->shape.rank < 1 || targets->shape.dim[0] != d->n)
        return bad(part, "wanted rows or targets for each example");
    egi_shape sample = {.rank = targets->shape.rank - 1};
    memcpy(sample.dim, targets->shape.dim + 1, (size_t)sample.rank * sizeof *sample.dim);
    EG_TRY(egi_fill_targets(d, &sample));
    const int64_t count = egi_count(targets);
    for (int64_t i = 0; i < count; i++) {
        d->targets[i] = ((const float *)targets->data)[i];
        if (!isfinite(d->targets[i]))
            return bad(part, "its targets are not all finite");
    }
    return EG_OK;
}

static eg_status fill_part(egi_exemplars *p, const eg_model *model, const json_t *meta, int64_t part)
{
    const char *task = text_of(meta, "task"), *preprocess = text_of(meta, "preprocess");
    const json_int_t output = json_integer_value(json_object_get(meta, "output"));
    egi_preprocess parsed;
    if (!*task || strlen(task) >= 128)
        return bad(part, "wanted the name of a task");
    if (output < 0 || output >= model->n_outputs)
        return bad(part, "its output is none of the model's");
    if (egi_preprocess_parse(&parsed, preprocess) != EG_OK)
        return bad(part, "its preprocessing is unknown");
    EG_TRY(name_part(p, model->context, task, preprocess, (int)output));
    EG_TRY(egi_dataset_create(&p->data, model->context, task, "memory"));
    EG_TRY(load_inputs(p->data, model, part));
    const egi_tensor *rows = egi_model_extra(model, part_name(part, "rows", -1).s);
    if (rows)
        EG_TRY(load_rows(p->data, rows, egi_output_classes(model, (int)output), part));
    else
        EG_TRY(load_targets(p->data, egi_model_extra(model, part_name(part, "targets", -1).s), part));
    const egi_tensor *source = egi_model_extra(model, part_name(part, "source", -1).s);
    if (!source)
        return EG_OK;
    if (!is_list_of(source, EGI_I32, p->data->n))
        return bad(part, "wanted one source for each example");
    EG_TRY(egi_alloc(&p->source, model->context, p->data->n, sizeof *p->source));
    memcpy(p->source, source->data, (size_t)p->data->n * sizeof *p->source);
    return EG_OK;
}

static eg_status load_parts(egi_memory *m, const eg_model *model)
{
    const json_t *parts = json_object_get(memory_meta(model), "parts");
    const size_t n = json_array_size(parts);
    if (n > PARTS_MAX)
        return egi_fail(EG_ERR_FORMAT, "memory: %zu parts, at most %d wanted", n, PARTS_MAX);
    for (size_t i = 0; i < n; i++) {
        egi_exemplars part = {0};
        const json_t *meta = json_array_get(parts, i);
        eg_status status =
            egi_memory_find(m, text_of(meta, "task")) ? bad((int64_t)i, "its task is there twice") : EG_OK;
        if (status == EG_OK)
            status = fill_part(&part, model, meta, (int64_t)i);
        if (status != EG_OK) {
            release_part(m->context, &part);
            return status;
        }
        EG_TRY(take_part(m, &part));
    }
    return EG_OK;
}

/* May values saved for `have` be put into a parameter of shape `now`? The last dimension, a head's rows, may have grown
 * since. */
static bool is_part_of(const egi_shape *have, const egi_shape *now)
{
    if (have->rank != now->rank || have->rank == 0)
        return false;
    for (int i = 0; i < have->rank - 1; i++)
        if (have->dim[i] != now->dim[i])
            return false;
    return have->dim[have->rank - 1] <= now->dim[now->rank - 1];
}

static eg_status load_values(egi_tensor to, const egi_tensor *from, bool not_negative, const char *subject)
{
    const bool real = from && (from->dtype == EGI_F32 || from->dtype == EGI_F64);
    if (!real || !is_part_of(&from->shape, &to.shape))
        return egi_fail(EG_ERR_FORMAT, "memory: %s: wanted numbers of shape %s, found %s", subject,
                        egi_shape_format(&to.shape).s, from ? egi_shape_format(&from->shape).s : "nothing");
    const int64_t have = from->shape.dim[from->shape.rank - 1], now = to.shape.dim[to.shape.rank - 1];
    const int64_t lines = egi_shape_span(&from->shape, 0, from->shape.rank - 1);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < have; j++) {
            const double value = egi_get(from, i * have + j);
            if (!isfinite(value) || (not_negative && value < 0))
                return egi_fail(EG_ERR_FORMAT, "memory: %s: a value is not finite or, as importance, negative",
                                subject);
            egi_set(&to, i * now + j, value);
        }
    return EG_OK;
}

static eg_status load_parameter(egi_memory *m, const eg_model *model, const json_t *entry)
{
    const char *layer_path = text_of(entry, "layer"), *name = text_of(entry, "name");
    const json_int_t id = json_integer_value(json_object_get(entry, "id"));
    const int layer = egi_model_find_layer(model, layer_path);
    const int64_t param = layer < 0 ? -1 : egi_model_find_param(model, layer, name);
    if (param < 0 || model->params[param].state)
        return egi_fail(EG_ERR_FORMAT, "memory: parameter '%.80s' of layer '%.80s' is none of the model's", name,
                        layer_path);
    char subject[200];
    snprintf(subject, sizeof subject, "%.80s of layer '%.80s'", name, layer_path);
    EG_TRY(load_values(view(model, param, m->importance), egi_model_extra(model, arena_name("importance", id).s), true,
                       subject));
    const egi_tensor *anchor = egi_model_extra(model, arena_name("anchor", id).s);
    return anchor ? load_values(view(model, param, m->anchor), anchor, false, subject) : EG_OK;
}

static eg_status load_arenas(egi_memory *m, const eg_model *model)
{
    const json_t *meta = memory_meta(model), *list = json_object_get(meta, "parameters");
    const size_t n = json_array_size(list);
    if (n == 0)
        return EG_OK;
    const double scale = json_number_value(json_object_get(meta, "scale"));
    const json_int_t tasks = json_integer_value(json_object_get(meta, "tasks"));
    if (n > PARAMETERS_MAX || !isfinite(scale) || scale <= 0 || tasks < 0 || tasks > 1000000)
        return egi_fail(EG_ERR_FORMAT, "memory: importance of %lld tasks with scale %g", (long long)tasks, scale);
    m->scale = scale;
    m->tasks = tasks;
    EG_TRY(egi_model_arena(&m->importance, model));
    EG_TRY(egi_model_arena(&m->anchor, model));
    memcpy(m->anchor, model->weights, (size_t)model->arena_count * egi_dtype_size(model->dtype));
    for (size_t i = 0; i < n; i++)
        EG_TRY(load_parameter(m, model, json_array_get(list, i)));
    return EG_OK;
}

eg_status egi_memory_load(egi_memory **out, const eg_model *model)
{
    const json_t *meta = memory_meta(model);
    if (meta && !json_is_object(meta))
        return egi_fail(EG_ERR_FORMAT, "memory: its description is no object");
    egi_memory *m;
    EG_TRY(egi_memory_create(&m, model->context));
    eg_status status = load_parts(m, model);
    if (status == EG_OK)
        status = load_arenas(m, model);
    if (status != EG_OK) {
        egi_memory_free(m);
        return status;
    }
    *out = m;
    return EG_OK;
}

void egi_memory_forget_layer(eg_model *model, int layer)
{
    json_t *list = json_object_get(json_object_get(model->meta, "memory"), "parameters");
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *entry = json_array_get(list, i);
        if (strcmp(text_of(entry, "layer"), model->layers[layer].path) != 0)
            continue;
        const long long id = (long long)json_integer_value(json_object_get(entry, "id"));
        char prefix[64];
        snprintf(prefix, sizeof prefix, "memory/importance/%lld/", id);
        egi_model_drop_extras(model, prefix);
        snprintf(prefix, sizeof prefix, "memory/anchor/%lld/", id);
        egi_model_drop_extras(model, prefix);
        json_array_remove(list, i);
    }
}

/* --- describing --------------------------------------------------------------------------------------------------- */

static int64_t part_examples(const eg_model *model, int64_t part)
{
    const egi_tensor *x = egi_model_extra(model, part_name(part, "x", 0).s);
    return x && x->shape.rank > 0 ? x->shape.dim[0] : 0;
}

int64_t egi_memory_examples(const eg_model *model)
{
    const int64_t n = (int64_t)json_array_size(json_object_get(memory_meta(model), "parts"));
    int64_t sum = 0;
    for (int64_t i = 0; i < n && i < PARTS_MAX; i++)
        sum += part_examples(model, i);
    return sum;
}

void egi_memory_describe(const eg_model *model, char *text, size_t room)
{
    const json_t *meta = memory_meta(model), *parts = json_object_get(meta, "parts");
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(parts) && i < PARTS_MAX; i++) {
        const size_t n = strlen(text);
        snprintf(text + n, room - n, "%s%lld examples of %.60s", n ? ", " : "",
                 (long long)part_examples(model, (int64_t)i), text_of(json_array_get(parts, i), "task"));
    }
    if (json_array_size(json_object_get(meta, "parameters")) == 0)
        return;
    const long long tasks = (long long)json_integer_value(json_object_get(meta, "tasks"));
    const size_t n = strlen(text);
    snprintf(text + n, room - n, "%simportance of %lld task%s", n ? "; " : "", tasks, tasks == 1 ? "" : "s");
}
