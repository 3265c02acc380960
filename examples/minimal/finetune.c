/* The whole way in one page: load a network that Keras saved, teach it new images without losing the old ones, predict.
 *
 *     finetune MODEL.h5 NEW-DATA OLD-DATA OUT-FOLDER
 *
 * Valid C17 and C++17; it needs nothing but the installed headers: cc finetune.c $(pkg-config --cflags --libs --static
 * engram) */
#include <engram/engram.h>

#include <stdio.h>
#include <stdlib.h>

/* Everything that main() must free, so that every failure takes the same way out. */
typedef struct app {
    eg_context *context;
    eg_model *model;
    eg_config *config;
    eg_dataset *new_train, *new_test, *old_train, *old_test;
    eg_finetune_result *result;
} app;

static bool on_progress(void *user, const eg_progress *progress)
{
    (void)user;
    const eg_epoch_result *e = progress->finished;
    if (e && e->epoch > 0) /* epoch 0 is the state before training */
        printf("epoch %2d of %2d: loss %.3f, new %.1f %%, old %.1f %%\n", (int)e->epoch, (int)progress->epochs, e->loss,
               100 * e->new_accuracy, 100 * e->keep_accuracy);
    return true; /* false would stop here and keep the best so far */
}

static eg_status load(app *a, char **path)
{
    eg_status s = eg_context_create(&a->context, NULL);
    s = s ? s : eg_model_load(&a->model, a->context, path[1], NULL);
    s = s ? s : eg_dataset_load(&a->new_train, a->context, path[2], EG_PART_TRAIN);
    s = s ? s : eg_dataset_load(&a->new_test, a->context, path[2], EG_PART_TEST);
    s = s ? s : eg_dataset_load(&a->old_train, a->context, path[3], EG_PART_TRAIN);
    s = s ? s : eg_dataset_load(&a->old_test, a->context, path[3], EG_PART_TEST);
    return s;
}

static eg_status finetune(app *a, const char *folder)
{
    eg_status s = eg_config_create(&a->config, a->context);
    s = s ? s : eg_config_set(a->config, "finetune.epochs", "20");
    s = s ? s : eg_config_set(a->config, "remember.budget", "0.02");
    if (s)
        return s;
    const eg_dataset *old_train = a->old_train, *old_test = a->old_test;
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = a->config;
    job.new_train = a->new_train;
    job.new_test = a->new_test;
    job.keep_train = &old_train;
    job.keep_test = &old_test;
    job.n_keep = 1;
    job.out_dir = folder;
    job.progress = on_progress;
    return eg_finetune(&a->result, a->model, &job);
}

/* The most likely class of the first few test images, next to what they are. */
static eg_status predict(app *a)
{
    enum { FEW = 5 };
    eg_model_info info;
    eg_model_get_info(a->model, &info);
    float *y = (float *)malloc(sizeof *y * (size_t)(FEW * info.classes));
    if (!y)
        return EG_ERR_NOMEM;
    const eg_status s = eg_predict_dataset(a->model, a->new_test, 0, FEW, NULL, y);
    for (int i = 0; !s && i < FEW; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < info.classes; k++)
            if (y[i * info.classes + k] > y[i * info.classes + best])
                best = k;
        printf("image %d: label %d, row %d of %d with probability %.2f\n", i, (int)eg_dataset_label(a->new_test, i),
               (int)best, (int)info.classes, y[i * info.classes + best]);
    }
    free(y);
    return s;
}

static void report(const eg_finetune_result *r)
{
    for (int64_t i = 0; i < r->n_keep; i++)
        printf("old %s: %.1f %% -> %.1f %% (%d forgotten, %d learned)\n", r->keep[i].name, 100 * r->keep[i].before,
               100 * r->keep[i].after, (int)r->keep[i].negative_flips, (int)r->keep[i].positive_flips);
    printf("new %s: %.1f %% -> %.1f %%\n", r->new_name, 100 * r->new_before, 100 * r->new_after);
    printf("wrote %s\n", r->model_path);
}

int main(int argc, char **argv)
{
    app a = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL.h5 NEW-DATA OLD-DATA OUT-FOLDER\n", argv[0]);
        return 2;
    }
    eg_status s = load(&a, argv);
    s = s ? s : finetune(&a, argv[4]);
    s = s ? s : predict(&a);
    if (s)
        fprintf(stderr, "error: %s\n", eg_last_message());
    else
        report(a.result);
    eg_finetune_result_free(a.result);
    eg_dataset_free(a.old_test);
    eg_dataset_free(a.old_train);
    eg_dataset_free(a.new_test);
    eg_dataset_free(a.new_train);
    eg_config_free(a.config);
    eg_model_free(a.model);
    eg_context_free(a.context);
    return s ? 1 : 0;
}
