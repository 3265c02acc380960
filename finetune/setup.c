/* From data sets and a configuration to a model with the right head and to sources of examples. */
#include "finetune/run.h"

#include <stdlib.h>
#include <string.h>

/* --- preprocessing and the head ----------------------------------------------------------------------------------- */

static eg_status map_old_labels(egi_run *run)
{
    char mapping[160];
    for (int64_t i = 0; i < run->n_given; i++) {
        egi_old_task *old = &run->old[i];
        EG_TRY(egi_tasks_map(&old->rows_before, &old->output_before, mapping, sizeof mapping, run->before,
                             old->part.train, NULL));
    }
    return EG_OK;
}

static eg_status choose_preprocessing(egi_run *run)
{
    const char *wanted = run->config->data.preprocess;
    const egi_old_task *first = run->n_given ? &run->old[0] : NULL;
    EG_TRY(egi_preprocess_choose(&run->new_preprocess, run->before, wanted, run->new_train,
                                 first ? first->part.train : NULL, first ? first->rows_before : NULL,
                                 first ? first->output_before : 0));
    for (int64_t i = 0; i < run->n_given; i++) {
        egi_old_task *old = &run->old[i];
        EG_TRY(egi_preprocess_choose(&old->preprocess, run->before, wanted, old->part.train, old->part.train,
                                     old->rows_before, old->output_before));
    }
    return EG_OK;
}

static eg_status check_fits(const eg_model *model, const eg_dataset *d)
{
    if (d->n_inputs != model->n_inputs)
        return egi_fail(EG_ERR_SHAPE, "data set %s: %d inputs, the network has %d", d->name, d->n_inputs,
                        model->n_inputs);
    for (int i = 0; i < model->n_inputs; i++)
        EG_TRY(egi_dataset_fits(d, i, &model->tensors[model->inputs[i]]));
    return EG_OK;
}

static eg_status check_all_fit(const egi_run *run)
{
    EG_TRY(check_fits(run->before, run->new_train));
    if (run->new_part.test)
        EG_TRY(check_fits(run->before, run->new_part.test));
    for (int64_t i = 0; i < run->n_given; i++) {
        EG_TRY(check_fits(run->before, run->old[i].part.train));
        if (run->old[i].part.test)
            EG_TRY(check_fits(run->before, run->old[i].part.test));
    }
    return EG_OK;
}

/* Without an epoch the head stays as it is: rows that nothing was trained for would only compete, and a record of them
 * would claim that the next run has them. */
static egi_classes head_mode(const egi_run *run)
{
    const egi_classes mode = (egi_classes)run->config->data.classes;
    return run->config->finetune.epochs == 0 && mode != EGI_CLASSES_KEEP ? EGI_CLASSES_ASK : mode;
}

static eg_status operate_on_head(egi_run *run)
{
    const eg_dataset **keep = NULL;
    EG_TRY(egi_alloc(&keep, run->context, run->n_given, sizeof *keep));
    for (int64_t i = 0; i < run->n_given; i++)
        keep[i] = run->old[i].part.train;
    const eg_status status =
        egi_heads_apply(&run->model, &run->map, run->before, head_mode(run), run->new_train, keep, run->n_given);
    egi_free(run->context, keep);
    EG_TRY(status);
    for (int64_t i = 0; i < run->n_given; i++) {
        run->old[i].rows = run->map->keep_rows[i];
        run->old[i].output = run->map->keep_output[i];
    }
    return EG_OK;
}

void egi_run_mark_fresh(const egi_run *run, void *arena, double value)
{
    const eg_model *m = run->model;
    const egi_tensor all = {.data = arena, .dtype = m->dtype, .shape = EGI_SHAPE(m->arena_count)};
    const int layer = egi_head_layer(m, run->map->output);
    if (layer < 0 || run->map->added == 0)
        return;
    for (int64_t k = 0; k < m->n_params; k++) {
        const egi_param *p = &m->params[k];
        const int64_t rows = p->shape.rank ? p->shape.dim[p->shape.rank - 1] : 1;
        const int64_t kept = rows - run->map->added;
        for (int64_t i = 0; p->layer == layer && i < p->count; i++)
            if (i % rows >= kept)
                egi_set(&all, p->offset + i, value);
    }
}

/* --- the memory in the file --------------------------------------------------------------------------------------- */

static bool is_given(const egi_run *run, const char *task)
{
    for (int64_t i = 0; i < run->n_given; i++)
        if (strcmp(run->old[i].name, task) == 0)
            return true;
    return strcmp(run->map->task, task) == 0; /* the new data is this task again: it needs no protection from itself */
}

static eg_status remember_part(egi_run *run, const egi_exemplars *part)
{
    egi_old_task *old = &run->old[run->n_old++];
    *old = (egi_old_task){.remembered = true, .output = part->output, .output_before = part->output};
    old->part.train = part->data;
    EG_TRY(egi_strdup(&old->name, run->context, part->task));
    snprintf(old->preprocess.text, sizeof old->preprocess.text, "%s", part->preprocess);
    snprintf(old->preprocess.reason, sizeof old->preprocess.reason, "from the memory");
    return egi_preprocess_parse(&old->preprocess.p, part->preprocess);
}

/* Tasks that the file remembers and nobody gave data of become old tasks too. */
static eg_status add_remembered(egi_run *run)
{
    EG_TRY(egi_memory_load(&run->memory, run->model));
    EG_TRY(egi_grow(&run->old, run->context, run->n_given, run->n_given + run->memory->n_parts, sizeof *run->old));
    for (int64_t i = 0; i < run->memory->n_parts; i++)
        if (run->memory->parts[i].data->n > 0 && !is_given(run, run->memory->parts[i].task))
            EG_TRY(remember_part(run, &run->memory->parts[i]));
    return EG_OK;
}

/* --- parts and sources -------------------------------------------------------------------------------------------- */

/* A remembered task is trained on and measured by the same examples; what is reported says so. */
static eg_status use_whole(egi_run *run, egi_part *part)
{
    const eg_dataset *d = part->train;
    EG_TRY(egi_alloc(&part->train_index, run->context, d->n, sizeof *part->train_index));
    EG_TRY(egi_alloc(&part->select_index, run->context, d->n, sizeof *part->select_index));
    for (int64_t i = 0; i < d->n; i++)
        part->train_index[i] = part->select_index[i] = i;
    part->n_train = part->n_select = part->n_test = d->n;
    part->test = d;
    part->select_is_train = part->test_is_train = true;
    return EG_OK;
}

static eg_status split_all(egi_run *run)
{
    EG_TRY(egi_run_split(run, &run->new_part, run->new_part.train, run->new_part.test, 0));
    const int64_t limit = run->config->remember.keep_limit;
    for (int64_t i = 0; i < run->n_old; i++) {
        egi_part *part = &run->old[i].part;
        if (run->old[i].remembered) {
            EG_TRY(use_whole(run, part));
            continue;
        }
        const int64_t own = limit / run->n_given + (i < limit % run->n_given); /* the limit is for all of data.keep */
        EG_TRY(egi_run_split(run, part, part->train, part->test, limit > 0 && own == 0 ? 1 : own));
    }
    return EG_OK;
}

/* n / (classes that occur * examples of the class), as scikit-learn's "balanced". */
static void balance(egi_run *run, const int64_t *count)
{
    int64_t n = 0, occurring = 0;
    for (int64_t k = 0; k < run->new_train->classes; k++) {
        n += count[k];
        occurring += count[k] > 0;
    }
    for (int64_t k = 0; k < run->new_train->classes; k++)
        run->class_weights[k] = count[k] ? (float)((double)n / ((double)occurring * (double)count[k])) : 1;
}

static eg_status read_weights(egi_run *run)
{
    char item[64];
    int64_t n = 0;
    while (egi_list_item(run->config->finetune.class_weights, n, item, sizeof item)) {
        if (n < run->new_train->classes)
            run->class_weights[n] = strtof(item, NULL);
        n++;
    }
    if (n != run->new_train->classes)
        return egi_fail(EG_ERR_CONFIG, "finetune.class_weights: wanted %lld numbers, one a class of %s, found %lld",
                        (long long)run->new_train->classes, run->new_train->name, (long long)n);
    return EG_OK;
}

static eg_status make_class_weights(egi_run *run)
{
    const char *text = run->config->finetune.class_weights;
    const eg_dataset *d = run->new_train;
    if (strcmp(text, "none") == 0 || !*text)
        return EG_OK;
    if (!d->labels)
        return egi_fail(EG_ERR_CONFIG, "finetune.class_weights: data set %s has no labels", d->name);
    EG_TRY(egi_alloc(&run->class_weights, run->context, d->classes, sizeof *run->class_weights));
    if (strcmp(text, "balanced") != 0)
        return read_weights(run);
    int64_t *count;
    EG_TRY(egi_alloc(&count, run->context, d->classes, sizeof *count));
    for (int64_t i = 0; i < run->new_part.n_train; i++) {
        const int32_t label = d->labels[run->new_part.train_index[i]];
        if (label >= 0 && label < d->classes)
            count[label]++;
    }
    balance(run, count);
    egi_free(run->context, count);
    return EG_OK;
}

/* A linear unit meets numbers: its labels are values, not rows. */
static const int32_t *rows_for(const egi_run *run, const int32_t *rows, int output)
{
    const bool number = run->map->head == EGI_ACT_LINEAR && egi_output_rows(run->model, output) == 1;
    return number ? NULL : rows;
}

/* Does any training example of the task have a row in the new head? */
static bool is_answerable(const egi_source *s, const egi_part *part)
{
    for (int64_t i = 0; i < part->n_train; i++)
        if (egi_source_row(s, part->train_index[i]) >= 0)
            return true;
    return false;
}

static eg_status make_sources(egi_run *run)
{
    run->n_sources = 1 + run->n_old;
    EG_TRY(egi_alloc(&run->sources, run->context, run->n_sources, sizeof *run->sources));
    run->sources[0] = (egi_source){.data = run->new_train,
                                   .preprocess = &run->new_preprocess.p,
                                   .rows = rows_for(run, run->map->new_rows, run->map->output),
                                   .output = run->map->output,
                                   .class_weights = run->class_weights};
    for (int64_t i = 0; i < run->n_old; i++) {
        egi_old_task *old = &run->old[i];
        run->sources[1 + i] = (egi_source){.data = old->part.train,
                                           .preprocess = &old->preprocess.p,
                                           .rows = rows_for(run, old->rows, old->output),
                                           .output = old->output};
        old->answerable = is_answerable(&run->sources[1 + i], &old->part);
    }
    return EG_OK;
}

/* Augmentation moves images: every task's examples have one. */
static eg_status check_augment(const egi_run *run)
{
    if (!run->config->data.augment.flip && !run->config->data.augment.shift)
        return EG_OK;
    for (int64_t k = 0; k < run->n_sources; k++) {
        const eg_dataset *d = run->sources[k].data;
        egi_picture picture;
        bool found = false;
        for (int i = 0; i < run->model->n_inputs; i++)
            found = found || egi_picture_of(&d->shape[i], &run->model->tensors[run->model->inputs[i]], &picture);
        if (!found)
            return egi_fail(EG_ERR_CONFIG,
                            "data.augment: wanted images, (h, w) or (h, w, c), found examples of %s in %s",
                            egi_shape_format(&d->shape[0]).s, d->name);
    }
    return EG_OK;
}

eg_status egi_run_setup(egi_run *run)
{
    EG_TRY(check_all_fit(run));
    EG_TRY(map_old_labels(run));
    EG_TRY(choose_preprocessing(run));
    EG_TRY(operate_on_head(run));
    EG_TRY(add_remembered(run));
    EG_TRY(egi_freeze_apply(run->model, run->config));
    EG_TRY(split_all(run));
    EG_TRY(make_class_weights(run));
    EG_TRY(make_sources(run));
    return check_augment(run);
}
