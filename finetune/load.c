/* The data sets of a run: given with the job, or loaded by the paths of the configuration. */
#include "finetune/run.h"

#include <string.h>

eg_status egi_run_own(egi_run *run, eg_dataset *data)
{
    const eg_status status = EGI_RESERVE(run->context, run->loaded, run->n_loaded, run->loaded_capacity);
    if (status != EG_OK) {
        eg_dataset_free(data);
        return status;
    }
    run->loaded[run->n_loaded++] = data;
    return EG_OK;
}

static eg_status load_owned(egi_run *run, const eg_dataset **out, const char *path, eg_part part)
{
    eg_dataset *d = NULL;
    const eg_status status = eg_dataset_load(&d, run->context, path, part);
    if (status != EG_OK) /* an input that cannot be read is a matter of the data; IO is left to what the run writes */
        return status == EG_ERR_IO ? EG_ERR_DATA : status;
    EG_TRY(egi_run_own(run, d));
    *out = d;
    return EG_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* "PATH" and "PATH:train" train on the training part and are measured on the test part, where there is one;
 * "PATH:test" is an own set without one. */
static eg_status load_parts(egi_run *run, const eg_dataset **train, const eg_dataset **test, const char *path)
{
    EG_TRY(load_owned(run, train, path, EG_PART_TRAIN));
    if (!(*train)->has_test || ends_with(path, ":test"))
        return EG_OK;
    char bare[EGI_TEXT_MAX];
    const size_t n = strlen(path) - (ends_with(path, ":train") ? strlen(":train") : 0);
    if (n >= sizeof bare)
        return egi_fail(EG_ERR_CONFIG, "data: path longer than %zu bytes", sizeof bare - 1);
    memcpy(bare, path, n);
    bare[n] = '\0';
    return load_owned(run, test, bare, EG_PART_TEST);
}

static eg_status load_new(egi_run *run)
{
    const eg_finetune_job *job = run->job;
    run->new_part.train = job->new_train;
    run->new_part.test = job->new_test;
    if (!job->new_train) {
        if (!run->config->data.new_path[0])
            return egi_fail(EG_ERR_CONFIG, "data.new: wanted the data to be learned, found nothing");
        EG_TRY(load_parts(run, &run->new_part.train, &run->new_part.test, run->config->data.new_path));
    }
    run->new_train = run->new_part.train;
    return run->new_train->n > 0 ? EG_OK
                                 : egi_fail(EG_ERR_DATA, "data set %s: it has no examples", run->new_train->name);
}

static int64_t keep_count(const egi_run *run)
{
    char item[EGI_TEXT_MAX];
    int64_t n = 0;
    if (run->job->keep_train)
        return run->job->n_keep;
    while (egi_list_item(run->config->data.keep, n, item, sizeof item))
        n++;
    return n;
}

/* The name of the data set, counted up where an earlier one has it: two folders called "train" are two tasks. */
static eg_status name_task(egi_run *run, int64_t i)
{
    const char *name = run->old[i].part.train->name;
    int same = 0;
    for (int64_t k = 0; k < i; k++)
        same += strcmp(run->old[k].part.train->name, name) == 0;
    if (same == 0)
        return egi_strdup(&run->old[i].name, run->context, name);
    return egi_format(&run->old[i].name, run->context, "%s %d", name, same + 1);
}

static eg_status load_keep(egi_run *run, int64_t i)
{
    egi_old_task *old = &run->old[i];
    const eg_finetune_job *job = run->job;
    if (job->keep_train) {
        old->part.train = job->keep_train[i];
        old->part.test = job->keep_test ? job->keep_test[i] : NULL;
    } else {
        char path[EGI_TEXT_MAX];
        egi_list_item(run->config->data.keep, i, path, sizeof path);
        EG_TRY(load_parts(run, &old->part.train, &old->part.test, path));
    }
    if (old->part.train->n == 0)
        return egi_fail(EG_ERR_DATA, "data set %s: it has no examples", old->part.train->name);
    return name_task(run, i);
}

eg_status egi_run_load(egi_run *run)
{
    EG_TRY(load_new(run));
    run->n_given = keep_count(run);
    EG_TRY(egi_alloc(&run->old, run->context, run->n_given, sizeof *run->old));
    for (int64_t i = 0; i < run->n_given; i++) {
        run->n_old = i + 1;
        EG_TRY(load_keep(run, i));
    }
    return EG_OK;
}
