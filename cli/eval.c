/* engram eval: accuracy, per class, confusion; against an older model: which predictions flipped. */
#include "cli/cli.h"

#include <math.h>

typedef struct flips {
    int64_t negative, positive;
    double old_accuracy;
} flips;

static int load_data(eg_context *context, const char *path, eg_dataset **data)
{
    return cli_check(CLI_AT_DATA, eg_dataset_load(data, context, path, EG_PART_TEST));
}

static int evaluate(const cli_args *args, eg_model *model, const eg_dataset *data, const eg_config *config,
                    eg_eval_result **out)
{
    eg_eval_options options = EG_EVAL_OPTIONS_INIT;
    options.task = args->task;
    options.preprocess = eg_config_get(config, "data.preprocess");
    return cli_check(CLI_AT_DATA, eg_eval(out, model, data, &options));
}

static flips count_flips(const eg_eval_result *now, const eg_eval_result *before)
{
    flips f = {0, 0, before->accuracy};
    for (int64_t i = 0; i < now->n; i++) {
        f.negative += before->correct[i] && !now->correct[i];
        f.positive += !before->correct[i] && now->correct[i];
    }
    return f;
}

static json_t *per_class_json(const eg_eval_result *r)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < r->classes; i++)
        json_array_append_new(out, cli_real(r->per_class[i]));
    return out;
}

static json_t *confusion_json(const eg_eval_result *r)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < r->classes; i++) {
        json_t *row = json_array();
        for (int64_t j = 0; j < r->classes; j++)
            json_array_append_new(row, json_integer((json_int_t)r->confusion[i * r->classes + j]));
        json_array_append_new(out, row);
    }
    return out;
}

static json_t *names_json(const eg_eval_result *r)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < r->classes; i++)
        json_array_append_new(out,
                              r->class_names[i] ? json_string(r->class_names[i]) : json_sprintf("%lld", (long long)i));
    return out;
}

static json_t *eval_json(const char *path, const eg_eval_result *r, const flips *f)
{
    json_t *out = json_pack("{s:s, s:s, s:o, s:o, s:I, s:s, s:o, s:o, s:o, s:o}", "data", path, "preprocess",
                            r->preprocess, "accuracy", cli_real(r->accuracy), "loss", cli_real(r->loss), "n",
                            (json_int_t)r->n, "classes", r->mapping, "class_names", names_json(r), "per_class",
                            per_class_json(r), "confusion", confusion_json(r), "seconds", cli_real(r->seconds));
    if (out && f) {
        json_object_set_new(out, "accuracy_before", cli_real(f->old_accuracy));
        json_object_set_new(out, "negative_flips", json_integer((json_int_t)f->negative));
        json_object_set_new(out, "positive_flips", json_integer((json_int_t)f->positive));
    }
    return out;
}

static void print_confusion(const eg_eval_result *r, int64_t from, int64_t to)
{
    printf("confusion, rows true, columns predicted\n      ");
    for (int64_t j = 0; j < r->classes; j++)
        printf("%6lld", (long long)j);
    printf("\n");
    for (int64_t i = from; i < to; i++) {
        printf("%6lld", (long long)i);
        for (int64_t j = 0; j < r->classes; j++)
            printf("%6lld", (long long)r->confusion[i * r->classes + j]);
        printf("\n");
    }
}

static void print_eval(const char *path, const eg_eval_result *r, const flips *f)
{
    char room[32];
    int64_t first = r->classes, last = 0;
    printf("%s   accuracy %s   loss %.4f   n %s   %s img/s   (labels mean: %s)\n", path, cli_percent(r->accuracy).s,
           r->loss, cli_count(r->n).s, cli_count(r->seconds > 0 ? (int64_t)((double)r->n / r->seconds) : 0).s,
           r->mapping);
    printf("        inputs %s\n", r->preprocess);
    if (f)
        printf("        before %s | negative flips %s | positive flips %s\n", cli_percent(f->old_accuracy).s,
               cli_count(f->negative).s, cli_count(f->positive).s);
    for (int64_t i = 0; i < r->classes; i++) {
        if (isnan(r->per_class[i]))
            continue;
        snprintf(room, sizeof room, "%lld", (long long)i);
        printf("        class %-20s %s\n", r->class_names[i] ? r->class_names[i] : room,
               cli_percent(r->per_class[i]).s);
        first = i < first ? i : first;
        last = i + 1;
    }
    if (r->classes > 1 && r->classes <= 24 && first < last)
        print_confusion(r, first, last);
}

/* One data set; appends to `all` with --json, else prints. */
static int eval_one(const cli_args *args, const eg_config *config, eg_model *model, eg_model *old, eg_context *context,
                    const char *path, json_t *all)
{
    eg_dataset *data = NULL;
    eg_eval_result *now = NULL, *before = NULL;
    flips f = {0};
    int rc = load_data(context, path, &data);
    if (rc == CLI_OK)
        rc = evaluate(args, model, data, config, &now);
    if (rc == CLI_OK && old)
        rc = evaluate(args, old, data, config, &before);
    if (rc == CLI_OK) {
        if (before)
            f = count_flips(now, before);
        if (args->json)
            json_array_append_new(all, eval_json(path, now, before ? &f : NULL));
        else
            print_eval(path, now, before ? &f : NULL);
    }
    eg_eval_result_free(before);
    eg_eval_result_free(now);
    eg_dataset_free(data);
    return rc;
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    if (!args->data.n) {
        fprintf(stderr, "engram eval: which data? give --data PATH\n");
        return CLI_USAGE;
    }
    eg_model *model = NULL, *old = NULL;
    json_t *all = json_array();
    int rc = cli_load_model(args, context, args->paths.v[0], &model);
    if (rc == CLI_OK && args->against)
        rc = cli_load_model(args, context, args->against, &old);
    for (int i = 0; i < args->data.n && rc == CLI_OK; i++)
        rc = eval_one(args, config, model, old, context, args->data.v[i], all);
    if (rc == CLI_OK && args->json) /* one data set: its object; several: {"results": [...]} */
        rc = cli_print_json(args->data.n == 1 ? json_incref(json_array_get(all, 0))
                                              : json_pack("{s:O}", "results", all));
    json_decref(all);
    eg_model_free(old);
    eg_model_free(model);
    return rc;
}

static const cli_option *const options[] = {&cli_data,   &cli_against, &cli_task, &cli_arch,
                                            &cli_config, &cli_json,    NULL};

const cli_verb cli_eval_verb = {
    .name = "eval",
    .usage = "eval MODEL --data D [--data D2 ...] [--against OLDMODEL] [key=value ...]",
    .help = "Accuracy, loss, per class and confusion on the test part of each data set (D:train for the other).\n\n"
            "  engram eval lenet5.h5 --data mnist/\n"
            "  engram eval runs/fashion/model.h5 --data mnist/ --against lenet5.h5",
    .options = options,
    .min_paths = 1,
    .max_paths = 1,
    .settings = true,
    .run = run,
};
