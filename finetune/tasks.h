/** finetune/tasks.h: what a model file says about the tasks it knows: names, classes, which rows of which head they
 * are, how their data is preprocessed. Kept as JSON in model->meta, an untrusted text until checked here:
 *    {"classes": [name of row 0 of output 0 or null, ...],
 *     "preprocess": "unit", "preprocess_reason": "...",
 *     "tasks": [{"name": "mnist", "classes": ["0", ...], "named": false, "rows": [0, ...], "output": 0, "preprocess":
 * "unit", "fingerprint": "..."}]} */
#ifndef EGI_TASKS_H
#define EGI_TASKS_H

#include "core/model.h"
#include "data/dataset.h"

/** A task as the file records it. Strings are borrowed from model->meta. */
typedef struct egi_task {
    const char *name, *preprocess, *fingerprint; /* preprocess, fingerprint: "" when not recorded */
    int64_t classes;
    bool named; /* the classes have real names, not just numbers */
    int output; /* which output of the model */
} egi_task;

/** Checks everything this header reads from model->meta against the model: a file may say anything. Errors: FORMAT. */
EG_MUST_USE eg_status egi_tasks_check(const eg_model *model);

int64_t egi_tasks_count(const eg_model *model);
/** Task `index`; false past the end. */
bool egi_tasks_get(const eg_model *model, int64_t index, egi_task *out);
/** Index of the task called `name`, -1: none. */
int64_t egi_tasks_find(const eg_model *model, const char *name);
/** Index of the task that was trained on this very data (by fingerprint); -1: none. */
int64_t egi_tasks_find_data(const eg_model *model, const eg_dataset *data);
/** Name of a class of a task, and the row it means. */
const char *egi_task_class(const eg_model *model, int64_t task, int64_t index);
int32_t egi_task_row(const eg_model *model, int64_t task, int64_t index);

/** The name of a row of output `output`: its class's, with the task in front where other rows bear the same; *out is
 * NULL where no task has it. Owner: caller, egi_free(). Errors: NOMEM. */
EG_MUST_USE eg_status egi_tasks_row_name(char **out, const eg_model *model, int output, int64_t row);

/** Records (or replaces, by name) a task and names the rows of output 0 anew: rows: (data->classes), -1 for classes
 * that do not occur. egi_heads_apply() does this for every data set it is given. Errors: NOMEM. */
EG_MUST_USE eg_status egi_tasks_record(eg_model *model, const char *name, const eg_dataset *data, const int32_t *rows,
                                       int output);

/** Records how a task's data is preprocessed (what egi_preprocess_parse() takes); an unknown task is left alone.
 * Errors: NOMEM. */
EG_MUST_USE eg_status egi_tasks_set_preprocess(eg_model *model, const char *name, const char *preprocess);

/** A text that tells one data set from another of the same name: a hash of shape, labels and the first examples. */
typedef struct egi_fingerprint {
    char s[40];
} egi_fingerprint;
egi_fingerprint egi_tasks_fingerprint(const eg_dataset *data);

/** Number of rows of an output: its last dimension. */
int64_t egi_output_rows(const eg_model *model, int output);
/** Number of classes that an output can tell apart: its rows, or 2 where one unit says yes or no. */
int64_t egi_output_classes(const eg_model *model, int output);

/** occurs: (data->classes) 1 where a label occurs. Owner: caller, egi_free(). */
EG_MUST_USE eg_status egi_labels_occur(uint8_t **occurs, const eg_dataset *data);

/** Which row of which output each label of `data` means. By `task` (NULL: the task of this very data, else of its name,
 * then real class names, then the index itself). rows: (data->classes), owner: caller, egi_free(); -1 where a class has
 * no row. `mapping` says how
 *  ("task mnist", "class names", "index"). Errors: DATA (unknown task), NOMEM. */
EG_MUST_USE eg_status egi_tasks_map(int32_t **rows, int *output, char *mapping, size_t room, const eg_model *model,
                                    const eg_dataset *data, const char *task);

#endif
