#include "finetune/tasks.h"

#include <stdio.h>
#include <string.h>

#define TASKS_MAX   1000
#define NAME_BYTES  128
#define CLASSES_MAX 1000000

int64_t egi_output_rows(const eg_model *model, int output)
{
    if (output < 0 || output >= model->n_outputs)
        return 0;
    const egi_shape *s = &model->tensors[model->outputs[output]];
    return s->rank ? s->dim[s->rank - 1] : 1;
}

int64_t egi_output_classes(const eg_model *model, int output)
{
    const int64_t rows = egi_output_rows(model, output);
    return rows == 1 ? 2 : rows;
}

/* --- reading: every getter stands any JSON ------------------------------------------------------------------------ */

static json_t *task_at(const eg_model *model, int64_t index)
{
    return index < 0 ? NULL : json_array_get(json_object_get(model->meta, "tasks"), (size_t)index);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t egi_tasks_count(const eg_model *model)
{
    return (int64_t)json_array_size(json_object_get(model->meta, "tasks"));
}

bool egi_tasks_get(const eg_model *model, int64_t index, egi_task *out)
{
    const json_t *task = task_at(model, index);
    if (!task)
        return false;
    *out = (egi_task){.name = text_of(task, "name"),
                      .preprocess = text_of(task, "preprocess"),
                      .fingerprint = text_of(task, "fingerprint"),
                      .classes = (int64_t)json_array_size(json_object_get(task, "rows")),
                      .named = json_is_true(json_object_get(task, "named")),
                      .output = (int)json_integer_value(json_object_get(task, "output"))};
    return true;
}

int64_t egi_tasks_find(const eg_model *model, const char *name)
{
    const int64_t n = egi_tasks_count(model);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(text_of(task_at(model, i), "name"), name) == 0)
            return i;
    return -1;
}

const char *egi_task_class(const eg_model *model, int64_t task, int64_t index)
{
    const char *name =
        json_string_value(json_array_get(json_object_get(task_at(model, task), "classes"), (size_t)index));
    return name ? name : "";
}

int32_t egi_task_row(const eg_model *model, int64_t task, int64_t index)
{
    const json_t *t = task_at(model, task), *row = json_array_get(json_object_get(t, "rows"), (size_t)index);
    const json_int_t value = json_is_integer(row) ? json_integer_value(row) : -1;
    const int64_t classes = egi_output_classes(model, (int)json_integer_value(json_object_get(t, "output")));
    return value >= 0 && value < classes ? (int32_t)value : -1;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

static eg_status check_task(const eg_model *model, int64_t index)
{
    const json_t *task = task_at(model, index);
    const json_t *rows = json_object_get(task, "rows"), *classes = json_object_get(task, "classes");
    const json_t *output = json_object_get(task, "output");
    const char *name = text_of(task, "name");
    if (!*name || strlen(name) >= NAME_BYTES)
        return egi_fail(EG_ERR_FORMAT, "meta: task %lld: wanted a name of 1 to %d bytes", (long long)index,
                        NAME_BYTES - 1);
    if (output &&
        (!json_is_integer(output) || json_integer_value(output) < 0 || json_integer_value(output) >= model->n_outputs))
        return egi_fail(EG_ERR_FORMAT, "meta: task '%s': output is none of the %d of the model", name,
                        model->n_outputs);
    if (!json_is_array(rows) || json_array_size(rows) != json_array_size(classes) ||
        json_array_size(rows) > CLASSES_MAX)
        return egi_fail(EG_ERR_FORMAT, "meta: task '%s': wanted a class name for each row", name);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!json_is_string(json_array_get(classes, i)))
            return egi_fail(EG_ERR_FORMAT, "meta: task '%s': class %zu has no name", name, i);
        if (!json_is_integer(row) || (json_integer_value(row) != -1 && egi_task_row(model, index, (int64_t)i) < 0))
            return egi_fail(EG_ERR_FORMAT, "meta: task '%s': row of class %zu is none of the head's %lld", name, i,
                            (long long)egi_output_classes(model, (int)json_integer_value(output)));
    }
    return EG_OK;
}

static eg_status check_kind(const eg_model *model, const char *key, bool (*is)(const json_t *value))
{
    const json_t *value = json_object_get(model->meta, key);
    return !value || is(value) ? EG_OK : egi_fail(EG_ERR_FORMAT, "meta: '%s' is of the wrong kind", key);
}

static bool is_text(const json_t *value)
{
    return json_is_string(value);
}

static bool is_list(const json_t *value)
{
    return json_is_array(value);
}

eg_status egi_tasks_check(const eg_model *model)
{
    EG_TRY(check_kind(model, "preprocess", is_text));
    EG_TRY(check_kind(model, "preprocess_reason", is_text));
    EG_TRY(check_kind(model, "classes", is_list));
    EG_TRY(check_kind(model, "tasks", is_list));
    const int64_t n = egi_tasks_count(model);
    if (n > TASKS_MAX)
        return egi_fail(EG_ERR_FORMAT, "meta: %lld tasks, at most %d wanted", (long long)n, TASKS_MAX);
    for (int64_t i = 0; i < n; i++) {
        EG_TRY(check_task(model, i));
        if (egi_tasks_find(model, text_of(task_at(model, i), "name")) != i)
            return egi_fail(EG_ERR_FORMAT, "meta: task '%s' is there twice", text_of(task_at(model, i), "name"));
    }
    return EG_OK;
}

/* --- recording ---------------------------------------------------------------------------------------------------- */

static void hash(uint64_t state[2], const void *data, size_t bytes)
{
    const unsigned char *at = data; /* two FNV-1a of different offsets: accidents, not attacks, must be told apart */
    for (size_t i = 0; i < bytes; i++) {
        state[0] = (state[0] ^ at[i]) * 0x100000001b3u;
        state[1] = (state[1] ^ at[i]) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
    }
}

egi_fingerprint egi_tasks_fingerprint(const eg_dataset *d)
{
    uint64_t state[2] = {0xcbf29ce484222325u, 0x84222325cbf29ce4u};
    const int64_t some = d->n < 64 ? d->n : 64;
    const int64_t head[] = {d->n_inputs, d->classes};
    hash(state, head, sizeof head);
    for (int i = 0; i < d->n_inputs; i++) {
        const int64_t count = egi_shape_count(&d->shape[i]);
        hash(state, &count, sizeof count);
        hash(state, d->x[i], (size_t)(some * count) * egi_dtype_size(d->dtype[i]));
    }
    if (d->labels)
        hash(state, d->labels, (size_t)some * sizeof *d->labels);
    egi_fingerprint f;
    snprintf(f.s, sizeof f.s, "%016llx%016llx", (unsigned long long)state[0], (unsigned long long)state[1]);
    return f;
}

int64_t egi_tasks_find_data(const eg_model *model, const eg_dataset *data)
{
    const int64_t n = egi_tasks_count(model);
    if (n == 0)
        return -1;
    const egi_fingerprint f = egi_tasks_fingerprint(data);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(text_of(task_at(model, i), "fingerprint"), f.s) == 0)
            return i;
    return -1;
}

static eg_status no_memory(void)
{
    return egi_fail(EG_ERR_NOMEM, "tasks: no memory");
}

/* Folder names need not be UTF-8, JSON must be. */
static json_t *class_name(const eg_dataset *data, int64_t index)
{
    json_t *name = json_string(eg_dataset_class_name(data, index));
    return name ? name : json_sprintf("class %lld", (long long)index);
}

static json_t *class_list(const eg_dataset *data)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < data->classes && list; i++)
        if (json_array_append_new(list, class_name(data, i)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *row_list(const eg_dataset *data, const int32_t *rows)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < data->classes && list; i++)
        if (json_array_append_new(list, json_integer(rows[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *tasks_array(eg_model *model)
{
    json_t *tasks = json_object_get(model->meta, "tasks");
    if (json_is_array(tasks))
        return tasks;
    tasks = json_array();
    return json_object_set_new(model->meta, "tasks", tasks) == 0 ? tasks : NULL;
}

/* The name of a row: its class's, with the task in front where other rows bear the same. NULL where no task has it. */
static json_t *row_name(const eg_model *model, int output, int64_t row)
{
    const char *task = NULL, *name = NULL;
    bool shared = false;
    for (int64_t t = 0; t < egi_tasks_count(model); t++) {
        egi_task info;
        egi_tasks_get(model, t, &info);
        for (int64_t c = 0; c < info.classes && info.output == output && !name; c++)
            if (egi_task_row(model, t, c) == row) {
                name = egi_task_class(model, t, c);
                task = info.name;
            }
    }
    for (int64_t t = 0; t < egi_tasks_count(model) && name; t++) {
        egi_task info;
        egi_tasks_get(model, t, &info);
        for (int64_t c = 0; c < info.classes && info.output == output; c++)
            shared |= egi_task_row(model, t, c) >= 0 && egi_task_row(model, t, c) != row &&
                      strcmp(egi_task_class(model, t, c), name) == 0;
    }
    if (!name)
        return json_null();
    return shared ? json_sprintf("%s/%s", task, name) : json_string_nocheck(name);
}

eg_status egi_tasks_row_name(char **out, const eg_model *model, int output, int64_t row)
{
    json_t *json = row_name(model, output, row);
    const char *name = json_string_value(json);
    char *copy = NULL;
    const eg_status status = !json ? no_memory() : name ? egi_strdup(&copy, model->context, name) : EG_OK;
    json_decref(json);
    if (status == EG_OK)
        *out = copy;
    return status;
}

static eg_status name_rows(eg_model *model)
{
    json_t *names = json_array();
    const int64_t classes = egi_output_classes(model, 0);
    for (int64_t row = 0; row < classes; row++)
        if (json_array_append_new(names, row_name(model, 0, row)) != 0) {
            json_decref(names);
            return no_memory();
        }
    return json_object_set_new(model->meta, "classes", names) == 0 ? EG_OK : no_memory();
}

eg_status egi_tasks_record(eg_model *model, const char *name, const eg_dataset *data, const int32_t *rows, int output)
{
    json_t *tasks = tasks_array(model);
    json_t *task = json_pack("{s:o, s:o, s:b, s:o, s:i, s:o}", "name", json_string(name), "classes", class_list(data),
                             "named", data->class_names != NULL, "rows", row_list(data, rows), "output", output,
                             "fingerprint", json_string(egi_tasks_fingerprint(data).s));
    if (!tasks || !task) {
        json_decref(task);
        return no_memory();
    }
    const int64_t old = egi_tasks_find(model, name);
    const char *preprocess = text_of(task_at(model, old), "preprocess");
    if (*preprocess && json_object_set_new(task, "preprocess", json_string(preprocess)) != 0) {
        json_decref(task);
        return no_memory();
    }
    if (old >= 0 ? json_array_set_new(tasks, (size_t)old, task) : json_array_append_new(tasks, task))
        return no_memory();
    return name_rows(model);
}

eg_status egi_tasks_set_preprocess(eg_model *model, const char *name, const char *preprocess)
{
    json_t *task = task_at(model, egi_tasks_find(model, name));
    if (task && json_object_set_new(task, "preprocess", json_string(preprocess)) != 0)
        return no_memory();
    return EG_OK;
}

/* --- from labels to rows ------------------------------------------------------------------------------------------ */

eg_status egi_labels_occur(uint8_t **occurs, const eg_dataset *data)
{
    uint8_t *list;
    EG_TRY(egi_alloc(&list, data->context, data->classes, 1));
    for (int64_t i = 0; data->labels && i < data->n; i++)
        if (data->labels[i] >= 0 && data->labels[i] < data->classes)
            list[data->labels[i]] = 1;
    *occurs = list;
    return EG_OK;
}

static void map_by_task(int32_t *rows, const eg_model *model, const eg_dataset *data, int64_t task)
{
    egi_task info;
    egi_tasks_get(model, task, &info);
    for (int64_t i = 0; i < data->classes; i++) {
        rows[i] = -1;
        for (int64_t c = 0; c < info.classes && rows[i] < 0; c++)
            if (strcmp(egi_task_class(model, task, c), eg_dataset_class_name(data, i)) == 0)
                rows[i] = egi_task_row(model, task, c);
        if (rows[i] < 0 && !(info.named && data->class_names))
            rows[i] = egi_task_row(model, task, i);
    }
}

/* True when at least one real class name of `data` is one of a task's. All must be of the same output. */
static bool map_by_names(int32_t *rows, int *output, const eg_model *model, const eg_dataset *data)
{
    bool any = false;
    for (int64_t i = 0; i < data->classes; i++) {
        rows[i] = -1;
        for (int64_t t = 0; t < egi_tasks_count(model) && rows[i] < 0; t++) {
            egi_task info;
            egi_tasks_get(model, t, &info);
            if (!info.named || (any && info.output != *output))
                continue;
            for (int64_t c = 0; c < info.classes && rows[i] < 0; c++)
                if (strcmp(egi_task_class(model, t, c), eg_dataset_class_name(data, i)) == 0)
                    rows[i] = egi_task_row(model, t, c);
            if (rows[i] >= 0) {
                any = true;
                *output = info.output;
            }
        }
    }
    return any;
}

static void map_labels(int32_t *rows, int *output, char *mapping, size_t room, const eg_model *model,
                       const eg_dataset *data, int64_t task)
{
    egi_task info;
    *output = 0;
    if (egi_tasks_get(model, task, &info)) {
        map_by_task(rows, model, data, task);
        *output = info.output;
        snprintf(mapping, room, "task %s", info.name);
    } else if (data->class_names && map_by_names(rows, output, model, data)) {
        snprintf(mapping, room, "class names");
    } else {
        const int64_t classes = egi_output_classes(model, 0);
        for (int64_t i = 0; i < data->classes; i++)
            rows[i] = i < classes ? (int32_t)i : -1;
        snprintf(mapping, room, "index");
    }
}

static eg_status find_task(int64_t *index, const eg_model *model, const eg_dataset *data, const char *task)
{
    *index = task ? -1 : egi_tasks_find_data(model, data);
    if (*index < 0)
        *index = egi_tasks_find(model, task ? task : data->name ? data->name : "");
    if (!task || *index >= 0)
        return EG_OK;
    char known[200] = "";
    egi_task info;
    for (int64_t i = 0; egi_tasks_get(model, i, &info); i++) {
        const size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", info.name);
    }
    return egi_fail(EG_ERR_DATA, "task '%.80s': the model knows %s", task, *known ? known : "no tasks");
}

eg_status egi_tasks_map(int32_t **rows, int *output, char *mapping, size_t room, const eg_model *model,
                        const eg_dataset *data, const char *task)
{
    EG_TRY(egi_tasks_check(model));
    int64_t index;
    EG_TRY(find_task(&index, model, data, task));
    int32_t *list;
    EG_TRY(egi_alloc(&list, data->context, data->classes, sizeof *list));
    map_labels(list, output, mapping, room, model, data, index);
    *rows = list;
    return EG_OK;
}
