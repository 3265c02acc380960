#include "finetune/heads.h"

#include "checkpoints/keras_config.h"
#include "core/rng.h"
#include "finetune/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/** One surgery under way. */
typedef struct surgery {
    eg_context *context;
    eg_model *model; /* the copy that is operated on; owned until it succeeds */
    egi_head_map *map;
    const eg_dataset *data;
    const eg_dataset *const *keep;
    int64_t n_keep;
    uint8_t *occurs; /* (data->classes); owned */
    int layer;       /* of the old head; -1: not looked for */
} surgery;

/* --- finding the head --------------------------------------------------------------------------------------------- */

static const egi_call *call_of(const eg_model *model, int tensor)
{
    for (int64_t i = 0; i < model->n_calls; i++)
        if (model->calls[i].out == tensor)
            return &model->calls[i];
    return NULL;
}

static int uses_of(const eg_model *model, int layer)
{
    int n = 0;
    for (int64_t i = 0; i < model->n_calls; i++)
        n += model->calls[i].layer == layer;
    return n;
}

static bool is_activation(const char *keras)
{
    return strcmp(keras, "Activation") == 0 || strcmp(keras, "Softmax") == 0;
}

int egi_head_layer(const eg_model *model, int output)
{
    if (output < 0 || output >= model->n_outputs)
        return -1;
    const egi_call *call = call_of(model, model->outputs[output]);
    while (call && is_activation(model->layers[call->layer].type->keras))
        call = call_of(model, call->in[0]);
    return call && strcmp(model->layers[call->layer].type->keras, "Dense") == 0 ? call->layer : -1;
}

/* The head that surgery works on. */
static eg_status find_head(surgery *s, int output)
{
    s->layer = egi_head_layer(s->model, output);
    if (s->layer < 0)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: the head of output %d is no Dense layer with or without an activation behind it; "
                        "use data.classes=keep",
                        output);
    const egi_layer *l = &s->model->layers[s->layer];
    if (uses_of(s->model, s->layer) != 1 || s->model->tensors[s->model->outputs[output]].rank != 1)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: the head '%s' is used %d times with output %s; use data.classes=keep", l->path,
                        uses_of(s->model, s->layer), egi_shape_format(&s->model->tensors[s->model->outputs[output]]).s);
    return EG_OK;
}

/* Softmax, sigmoid or linear: what the network computes last. */
static eg_status head_kind(egi_act *head, const eg_model *model, int output)
{
    egi_plan *plan;
    egi_model_io io = {0};
    egi_val logits;
    EG_TRY(egi_plan_create(&plan, model->context, 1, model->dtype, false));
    eg_status status = egi_model_emit(model, plan, NULL, NULL, &io);
    if (status == EG_OK)
        status = egi_plan_logits(plan, io.out[output], &logits, head);
    egi_plan_free(plan);
    egi_free(model->context, io.params);
    return status;
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* Glorot uniform for columns [from, to) of a kernel (in, out); biases are 0. Drawn apart from the model's own initial
 * weights, so a surgery does not depend on how the rest was made. */
static void draw_columns(const eg_model *model, int64_t param, int64_t from)
{
    const egi_param *p = &model->params[param];
    const egi_tensor t = egi_param_view(model, param);
    const int64_t columns = p->shape.dim[p->shape.rank - 1], lines = p->count / columns;
    const bool kernel = p->shape.rank == 2;
    const double limit = kernel ? sqrt(6.0 / (double)(lines + columns)) : 0;
    egi_rng rng = egi_rng_make(model->context->seed, EGI_RNG_INIT, 0x80000000u | (uint32_t)param);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = from; j < columns; j++)
            egi_set(&t, i * columns + j, kernel ? limit * (2 * egi_rng_uniform64(&rng) - 1) : 0);
}

/* Copies the columns that `before` has into the wider parameter, byte for byte. */
static void copy_columns(const eg_model *model, int64_t param, const eg_model *before, int64_t old)
{
    const egi_param *p = &model->params[param], *q = &before->params[old];
    const int64_t columns = p->shape.dim[p->shape.rank - 1], had = q->shape.dim[q->shape.rank - 1];
    const size_t size = egi_dtype_size(model->dtype);
    char *to = (char *)egi_param_view(model, param).data;
    const char *from = egi_param_view(before, old).data;
    for (int64_t i = 0; i < q->count / had; i++)
        memcpy(to + (size_t)(i * columns) * size, from + (size_t)(i * had) * size, (size_t)had * size);
}

static eg_status set_units(surgery *s, int64_t units)
{
    json_t *config = json_deep_copy(s->model->config);
    if (!config)
        return s->model->config ? egi_fail(EG_ERR_NOMEM, "head: no memory")
                                : egi_fail(EG_ERR_STATE, "head: the model has no architecture to change");
    eg_status status = egi_keras_config_set_units(config, s->model->layers[s->layer].path, units);
    if (status == EG_OK)
        status = egi_keras_rebuild(s->model, config);
    json_decref(config);
    return status;
}

/* The head gets `units` rows; the first `kept` are those of `before`, the others fresh. */
static eg_status resize(surgery *s, const eg_model *before, int64_t units, bool keep_rows)
{
    const int old = s->layer;
    EG_TRY(set_units(s, units));
    s->layer = egi_model_find_layer(s->model, before->layers[old].path);
    if (s->layer < 0)
        return egi_fail(EG_ERR_INTERNAL, "head: layer '%s' got lost", before->layers[old].path);
    const egi_layer *l = &s->model->layers[s->layer];
    for (int i = 0; i < l->n_params; i++) {
        const int64_t param = l->first_param + i;
        const int64_t was = egi_model_find_param(before, old, s->model->params[param].name);
        draw_columns(s->model, param,
                     keep_rows ? before->params[was].shape.dim[before->params[was].shape.rank - 1] : 0);
        if (keep_rows)
            copy_columns(s->model, param, before, was);
    }
    return EG_OK;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static const char *data_name(const eg_dataset *data)
{
    json_t *text = data->name && *data->name ? json_string(data->name) : NULL; /* NULL where it is not UTF-8 */
    const bool valid = text != NULL;
    json_decref(text);
    return valid ? data->name : "data";
}

/* The data set's name, counted up where another task has it. */
static void name_task(char *name, size_t room, const eg_model *model, const eg_dataset *data)
{
    const char *base = data_name(data);
    snprintf(name, room, "%.100s", base);
    for (int i = 2; egi_tasks_find(model, name) >= 0; i++)
        snprintf(name, room, "%.100s %d", base, i);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static int64_t count_occurring(const surgery *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->data->classes; i++)
        n += s->occurs[i];
    return n;
}

/* Labels that do not occur have no row, whatever a map said. */
static void only_occurring(surgery *s)
{
    for (int64_t i = 0; i < s->data->classes; i++)
        if (!s->occurs[i])
            s->map->new_rows[i] = -1;
}

/* Rows from `next` on for the classes that occur and have none. Returns how many were given. */
static int64_t give_rows(surgery *s, int64_t next)
{
    int64_t given = 0;
    for (int64_t i = 0; i < s->data->classes; i++)
        if (s->occurs[i] && s->map->new_rows[i] < 0)
            s->map->new_rows[i] = (int32_t)(next + given++);
    return given;
}

static eg_status check_all_mapped(const eg_dataset *data, const int32_t *rows, const uint8_t *occurs, int64_t classes)
{
    for (int64_t i = 0; i < data->classes; i++)
        if (occurs[i] && rows[i] < 0)
            return egi_fail(EG_ERR_DATA, "data '%s': class '%s' is none of the head's %lld; use data.classes=extend",
                            data->name, eg_dataset_class_name(data, i), (long long)classes);
    return EG_OK;
}

/* Old data: rows in the old head; recorded as a task unless the file knows it. */
static eg_status map_keep(surgery *s, int64_t i)
{
    egi_head_map *m = s->map;
    const eg_dataset *data = s->keep[i];
    char how[192], name[128];
    EG_TRY(egi_tasks_map(&m->keep_rows[i], &m->keep_output[i], how, sizeof how, s->model, data, NULL));
    uint8_t *occurs;
    EG_TRY(egi_labels_occur(&occurs, data));
    const eg_status status =
        check_all_mapped(data, m->keep_rows[i], occurs, egi_output_classes(s->model, m->keep_output[i]));
    for (int64_t c = 0; c < data->classes; c++)
        if (!occurs[c])
            m->keep_rows[i][c] = -1;
    egi_free(s->context, occurs);
    EG_TRY(status);
    if (!data->labels || strncmp(how, "task ", 5) == 0)
        return EG_OK;
    name_task(name, sizeof name, s->model, data);
    return egi_tasks_record(s->model, name, data, m->keep_rows[i], m->keep_output[i]);
}

/* Rows that the file or the old data gives to new classes: of the task trained on this very data, or of real class
 * names. */
static eg_status map_known(surgery *s)
{
    egi_head_map *m = s->map;
    const int64_t task = egi_tasks_find_data(s->model, s->data);
    egi_task info;
    char how[192] = "";
    int32_t *rows = NULL;
    int output = 0;
    if (task >= 0 || s->data->class_names) {
        egi_tasks_get(s->model, task, &info);
        EG_TRY(egi_tasks_map(&rows, &output, how, sizeof how, s->model, s->data, task >= 0 ? info.name : NULL));
    }
    const bool use = task >= 0 || strcmp(how, "class names") == 0;
    for (int64_t i = 0; i < s->data->classes; i++)
        m->new_rows[i] = use && rows ? rows[i] : -1;
    m->output = use ? output : 0;
    if (task >= 0)
        snprintf(m->task, sizeof m->task, "%s", info.name);
    egi_free(s->context, rows);
    only_occurring(s);
    return EG_OK;
}

/* --- the four ways ------------------------------------------------------------------------------------------------ */

static const char *head_name(const eg_model *model, int output)
{
    const int layer = egi_head_layer(model, output);
    if (layer >= 0)
        return model->layers[layer].name;
    const egi_call *call = call_of(model, model->outputs[output]);
    return call ? model->layers[call->layer].name : "output";
}

static eg_status keep_head(surgery *s)
{
    egi_head_map *m = s->map;
    char how[192];
    int32_t *rows;
    EG_TRY(egi_tasks_map(&rows, &m->output, how, sizeof how, s->model, s->data, NULL));
    memcpy(m->new_rows, rows, (size_t)s->data->classes * sizeof *rows);
    egi_free(s->context, rows);
    if (strncmp(how, "task ", 5) == 0)
        snprintf(m->task, sizeof m->task, "%.*s", (int)sizeof m->task - 1, how + 5);
    only_occurring(s);
    m->before = m->classes = egi_output_rows(s->model, m->output);
    EG_TRY(check_all_mapped(s->data, m->new_rows, s->occurs, egi_output_classes(s->model, m->output)));
    snprintf(m->line, sizeof m->line, "head %.80s(%lld) as it is", head_name(s->model, m->output),
             (long long)m->classes);
    return EG_OK;
}

static eg_status ask_head(surgery *s)
{
    egi_head_map *m = s->map;
    EG_TRY(map_known(s));
    m->before = m->classes = egi_output_rows(s->model, m->output);
    snprintf(m->line, sizeof m->line, "head %.80s(%lld) as it is", head_name(s->model, m->output),
             (long long)m->classes);
    return EG_OK;
}

static eg_status extend_head(surgery *s, const eg_model *before)
{
    egi_head_map *m = s->map;
    EG_TRY(map_known(s));
    m->before = m->classes = egi_output_rows(s->model, m->output);
    m->added = give_rows(s, egi_output_classes(s->model, m->output));
    if (m->added == 0) {
        snprintf(m->line, sizeof m->line, "head %.80s(%lld) knows all classes", head_name(s->model, m->output),
                 (long long)m->classes);
        return EG_OK;
    }
    EG_TRY(find_head(s, m->output));
    const char *name = before->layers[s->layer].name;
    EG_TRY(head_kind(&m->head, s->model, m->output));
    if (m->before == 1)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: one unit ('%s', %s) cannot be extended by classes; use data.classes=keep where "
                        "the labels mean the "
                        "same, multi for a second head, or replace",
                        name, egi_act_name(m->head));
    m->classes = m->before + m->added;
    EG_TRY(resize(s, before, m->classes, true));
    snprintf(m->line, sizeof m->line, "head %.80s(%lld) -> extend to %lld", name, (long long)m->before,
             (long long)m->classes);
    return EG_OK;
}

/* One unit is enough for two classes where the old head did it so. */
static int64_t units_for(const surgery *s)
{
    const int64_t n = count_occurring(s);
    return s->map->before == 1 && s->map->head == EGI_ACT_SIGMOID && n == 2 ? 1 : n;
}

/* Nothing that was remembered of the old head means anything now. */
static eg_status forget_head(surgery *s)
{
    egi_memory *memory;
    json_t *tasks = json_object_get(s->model->meta, "tasks");
    egi_task task;
    for (int64_t i = egi_tasks_count(s->model); i-- > 0;)
        if (egi_tasks_get(s->model, i, &task) && task.output == s->map->output)
            json_array_remove(tasks, (size_t)i);
    egi_memory_forget_layer(s->model, s->layer);
    EG_TRY(egi_memory_load(&memory, s->model));
    egi_memory_drop_output(memory, s->map->output);
    const eg_status status = egi_memory_store(s->model, memory);
    egi_memory_free(memory);
    return status;
}

static void map_keep_by_names(surgery *s)
{
    for (int64_t k = 0; k < s->n_keep; k++)
        for (int64_t c = 0; c < s->keep[k]->classes && s->map->keep_output[k] == s->map->output; c++) {
            int32_t row = -1;
            for (int64_t i = 0; i < s->data->classes && s->keep[k]->class_names && s->data->class_names; i++)
                if (strcmp(s->keep[k]->class_names[c], s->data->class_names[i]) == 0)
                    row = s->map->new_rows[i];
            s->map->keep_rows[k][c] = row;
        }
}

static eg_status replace_head(surgery *s, const eg_model *before)
{
    egi_head_map *m = s->map;
    EG_TRY(find_head(s, 0));
    EG_TRY(head_kind(&m->head, s->model, 0));
    m->before = egi_output_rows(s->model, 0);
    for (int64_t i = 0; i < s->data->classes; i++)
        m->new_rows[i] = -1;
    give_rows(s, 0);
    m->classes = m->added = units_for(s);
    EG_TRY(forget_head(s));
    EG_TRY(resize(s, before, m->classes, false));
    map_keep_by_names(s);
    snprintf(m->line, sizeof m->line, "head %.80s(%lld) -> replaced by a fresh one of %lld",
             before->layers[s->layer].name, (long long)m->before, (long long)m->classes);
    return EG_OK;
}

/* Letters, digits and '_' of the task's name: Keras' layer names know no others. */
static void suffix_of(char *suffix, size_t room, const char *task)
{
    size_t n = 0;
    for (; *task && n + 1 < room; task++) {
        const bool plain =
            (*task >= 'a' && *task <= 'z') || (*task >= 'A' && *task <= 'Z') || (*task >= '0' && *task <= '9');
        suffix[n++] = plain ? *task : '_';
    }
    suffix[n] = 0;
}

static eg_status add_head(surgery *s)
{
    egi_head_map *m = s->map;
    EG_TRY(find_head(s, 0));
    EG_TRY(head_kind(&m->head, s->model, 0));
    m->before = egi_output_rows(s->model, 0);
    m->classes = units_for(s);
    for (int64_t i = 0; i < s->data->classes; i++)
        m->new_rows[i] = -1;
    m->added = give_rows(s, 0);
    if (s->model->n_outputs == (int)(sizeof s->model->outputs / sizeof *s->model->outputs))
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: a model with more than %d heads", s->model->n_outputs);
    json_t *config = s->model->config ? json_deep_copy(s->model->config) : NULL;
    if (!config)
        return egi_fail(EG_ERR_STATE, "head: the model has no architecture to change");
    char suffix[64], *path = NULL;
    suffix_of(suffix, sizeof suffix, m->task);
    snprintf(m->line, sizeof m->line, "head %.60s(%lld) stays -> a second one of %lld", s->model->layers[s->layer].name,
             (long long)m->before, (long long)m->classes);
    eg_status status =
        egi_keras_config_add_head(&path, config, s->model, s->model->layers[s->layer].path, suffix, m->classes);
    if (status == EG_OK)
        status = egi_keras_rebuild(s->model, config);
    json_decref(config);
    egi_free(s->context, path);
    m->output = s->model->n_outputs - 1;
    return status;
}

/* --- all together ------------------------------------------------------------------------------------------------- */

/* A head without classes, or data without labels, has nothing to extend. */
static bool has_classes(const surgery *s, egi_act head)
{
    return s->data->labels && !(head == EGI_ACT_LINEAR && egi_output_rows(s->model, 0) == 1);
}

static eg_status operate(surgery *s, const eg_model *before, egi_classes mode)
{
    egi_head_map *m = s->map;
    EG_TRY(egi_alloc(&m->new_rows, s->context, s->data->classes, sizeof *m->new_rows));
    EG_TRY(egi_alloc(&m->keep_rows, s->context, s->n_keep, sizeof *m->keep_rows));
    EG_TRY(egi_alloc(&m->keep_output, s->context, s->n_keep, sizeof *m->keep_output));
    EG_TRY(egi_labels_occur(&s->occurs, s->data));
    m->n_keep = s->n_keep;
    for (int64_t i = 0; i < s->n_keep; i++)
        EG_TRY(map_keep(s, i));
    EG_TRY(head_kind(&m->head, s->model, 0));
    if (!has_classes(s, m->head))
        mode = EGI_CLASSES_KEEP;
    if (mode == EGI_CLASSES_MULTI)
        name_task(m->task, sizeof m->task, s->model, s->data);
    EG_TRY(mode == EGI_CLASSES_KEEP      ? keep_head(s)
           : mode == EGI_CLASSES_ASK     ? ask_head(s)
           : mode == EGI_CLASSES_EXTEND  ? extend_head(s, before)
           : mode == EGI_CLASSES_REPLACE ? replace_head(s, before)
                                         : add_head(s));
    EG_TRY(head_kind(&m->head, s->model, m->output));
    if (!*m->task)
        name_task(m->task, sizeof m->task, s->model, s->data);
    if (!s->data->labels || mode == EGI_CLASSES_ASK) /* nothing was learned, so nothing is recorded */
        return EG_OK;
    return egi_tasks_record(s->model, m->task, s->data, m->new_rows, m->output);
}

eg_status egi_heads_apply(eg_model **out, egi_head_map **map, const eg_model *model, egi_classes mode,
                          const eg_dataset *data, const eg_dataset *const *keep, int64_t n_keep)
{
    EG_TRY(egi_tasks_check(model));
    surgery s = {.context = model->context, .data = data, .keep = keep, .n_keep = n_keep, .layer = -1};
    EG_TRY(egi_alloc(&s.map, s.context, 1, sizeof *s.map));
    s.map->context = s.context;
    eg_status status = eg_model_clone(&s.model, model);
    if (status == EG_OK)
        status = operate(&s, model, mode);
    egi_free(s.context, s.occurs);
    if (status != EG_OK) {
        egi_head_map_free(s.map);
        eg_model_free(s.model);
        return status;
    }
    *out = s.model;
    *map = s.map;
    return EG_OK;
}

void egi_head_map_free(egi_head_map *m)
{
    if (!m)
        return;
    for (int64_t i = 0; i < m->n_keep; i++)
        egi_free(m->context, m->keep_rows[i]);
    egi_free(m->context, m->keep_rows);
    egi_free(m->context, m->keep_output);
    egi_free(m->context, m->new_rows);
    egi_free(m->context, m);
}

void egi_heads_warning(const egi_head_map *m, egi_classes mode, bool rehearsal, const char *method, char *text,
                       size_t room)
{
    text[0] = 0;
    if (mode == EGI_CLASSES_REPLACE && m->before > 0)
        snprintf(text, room,
                 "data.classes=replace: the %lld old classes lose their head; what the model knew of them cannot be "
                 "asked any more. "
                 "data.classes=extend keeps them",
                 (long long)m->before);
    else if (mode == EGI_CLASSES_EXTEND && m->added > 0 && !rehearsal)
        snprintf(text, room,
                 "%lld new classes will compete with %lld old ones in one head and no old example will be shown: "
                 "expect the old ones to be lost "
                 "(%s alone scores near chance here). Give old data with --keep, or start from a file that carries "
                 "examples, or use "
                 "data.classes=multi",
                 (long long)m->added, (long long)m->before, method && *method ? method : "a weight penalty");
}
