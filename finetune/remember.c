/* What the model file carries on: exemplars of every task, in equal shares. */
#include "finetune/run.h"

#include <string.h>

/* At most `count` training examples of a task, chosen by remember.buffer_kind. index: in the data set. */
static eg_status choose(int64_t **out, int64_t *n, egi_run *run, const egi_part *part, const egi_source *source,
                        int64_t count)
{
    const egi_buffer_kind kind = (egi_buffer_kind)run->config->remember.buffer_kind;
    eg_dataset some;
    float *features = NULL;
    int64_t dim = 0, *chosen = NULL;
    EG_TRY(egi_label_view(&some, part->train, part->train_index, part->n_train));
    eg_status status = EG_OK;
    if (kind == EGI_BUFFER_HERDING)
        status = egi_features(&features, &dim, run->model, source, part->train_index, part->n_train);
    if (status == EG_OK)
        status = egi_buffer_choose(&chosen, n, &some, kind, count, features, dim, run->seed);
    for (int64_t i = 0; status == EG_OK && i < *n; i++)
        chosen[i] = part->train_index[chosen[i]];
    egi_free(run->context, features);
    egi_free(run->context, some.labels);
    EG_TRY(status);
    *out = chosen;
    return EG_OK;
}

static bool has_row(const egi_source *s, int64_t index)
{
    return egi_source_row(s, index) >= 0;
}

static eg_status remember(egi_run *run, const char *task, const egi_part *part, const egi_source *source,
                          const char *preprocess, int64_t count)
{
    int64_t *index, n, kept = 0;
    EG_TRY(choose(&index, &n, run, part, source, count));
    for (int64_t i = 0; i < n; i++)
        if (has_row(source, index[i]))
            index[kept++] = index[i];
    const eg_status status = egi_memory_add(run->memory, run->model, task, part->train, index, kept, source->rows,
                                            source->output, preprocess);
    egi_free(run->context, index);
    return status;
}

/* Tasks that the file remembered before and that are not trained anew. */
static eg_status shrink_remembered(egi_run *run, int64_t share)
{
    for (int64_t i = run->n_given; i < run->n_old; i++) {
        egi_exemplars *part = egi_memory_find(run->memory, run->old[i].name);
        if (part)
            EG_TRY(egi_memory_shrink(run->memory, part, share));
    }
    return EG_OK;
}

eg_status egi_run_remember(egi_run *run)
{
    const int64_t tasks = run->n_old + 1, buffer = run->config->remember.buffer, share = buffer / tasks;
    EG_TRY(shrink_remembered(run, share));
    for (int64_t i = 0; i < run->n_given && share > 0; i++) {
        const egi_old_task *old = &run->old[i];
        if (!old->answerable)
            continue;
        EG_TRY(remember(run, old->name, &old->part, &run->sources[1 + i], old->preprocess.text, share));
    }
    if (share > 0)
        EG_TRY(remember(run, run->map->task, &run->new_part, &run->sources[0], run->new_preprocess.text,
                        buffer - share * (tasks - 1)));
    return egi_memory_store(run->model, run->memory);
}
