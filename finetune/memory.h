/** finetune/memory.h: what a model file carries so that it can be protected next time: examples, anchor weights,
 * importance.
 *
 *  In model->extras (group `engram` of the file, untrusted until loaded through here):
 *    memory/part/<i>/x<j> (n, shape) as stored, rows (n) i32 or targets (n, ...) f32, source (n) i32    for each old
 * task i memory/anchor/<i>/w, memory/importance/<i>/w    shaped like parameter i; an anchor equal to the weights is
 * left out and in model->meta: {"memory": {"scale": 1.0, "tasks": 1, "parts": [{"task": "mnist", "output": 0,
 * "preprocess": "unit"}], "parameters": [{"id": 0, "layer": path, "name": "kernel"}]}} */
#ifndef EGI_MEMORY_H
#define EGI_MEMORY_H

#include "core/model.h"
#include "data/dataset.h"

/** Examples of one old task. */
typedef struct egi_exemplars {
    char *task;       /* its name; owned */
    char *preprocess; /* what egi_preprocess_parse() takes; owned */
    int output;       /* the head they belong to */
    eg_dataset *
        data; /* labels are rows of that head, so data->classes is its size; targets where there are no labels; owned */
    int32_t *source; /* (n) index in the data set they came from; owned */
} egi_exemplars;

typedef struct egi_memory {
    eg_context *context;
    egi_exemplars *parts;
    int64_t n_parts, parts_capacity;
    void *anchor, *importance; /* arenas of the model's layout and dtype, both or neither; owned */
    double scale;              /* the factor that importance was divided by; 1 with scale=raw */
    int64_t tasks;             /* how many tasks are folded into importance */
} egi_memory;

/** An empty memory. Owner: caller, egi_memory_free(). */
EG_MUST_USE eg_status egi_memory_create(egi_memory **out, eg_context *context);
void egi_memory_free(egi_memory *memory);

/** Reads the memory of a model into the layout that the model has now; an empty one when it carries none. A head that
 * was extended since has importance 0 and its present weights as anchor in the new rows. Everything is checked: shapes,
 * rows, finite numbers, importance not negative. Errors: FORMAT, NOMEM. */
EG_MUST_USE eg_status egi_memory_load(egi_memory **out, const eg_model *model);

/** Puts the memory into the model's extras and meta, in place of what was there. Errors: NOMEM. */
EG_MUST_USE eg_status egi_memory_store(eg_model *model, const egi_memory *memory);

/** Adds the examples index[0..n) of `data` as a part (in place of a part of that task). rows: (data->classes) label ->
 * row of `output`, or NULL (the label is the row). `preprocess` as text. Errors: DATA (a label without a row), NOMEM.
 */
EG_MUST_USE eg_status egi_memory_add(egi_memory *memory, const eg_model *model, const char *task,
                                     const eg_dataset *data, const int64_t *index, int64_t n, const int32_t *rows,
                                     int output, const char *preprocess);

/** The part of a task; NULL: none. */
egi_exemplars *egi_memory_find(const egi_memory *memory, const char *task);

/** Drops the parts of an output whose rows no longer mean what they meant. */
void egi_memory_drop_output(egi_memory *memory, int output);

/** Keeps only `n` examples of a part, evenly spread over its classes in stored order. */
EG_MUST_USE eg_status egi_memory_shrink(egi_memory *memory, egi_exemplars *part, int64_t n);

/** Drops anchor and importance of a layer from the extras: its weights no longer mean what they meant (a replaced
 * head). */
void egi_memory_forget_layer(eg_model *model, int layer);

/** Examples carried, without loading them; 0 when none. */
int64_t egi_memory_examples(const eg_model *model);

/** One line about what the model carries: "2,000 examples of mnist; importance of 1 task"; "" when nothing. */
void egi_memory_describe(const eg_model *model, char *text, size_t room);

#endif
