/* engram compare: two models side by side. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

typedef struct pair {
    eg_model *a, *b;
} pair;

static int64_t count_changed(const eg_eval_result *a, const eg_eval_result *b)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++)
        n += a->predicted[i] != b->predicted[i];
    return n;
}

static void count_flips(const eg_eval_result *a, const eg_eval_result *b, int64_t *negative, int64_t *positive)
{
    *negative = *positive = 0;
    for (int64_t i = 0; i < a->n; i++) {
        *negative += a->correct[i] && !b->correct[i];
        *positive += !a->correct[i] && b->correct[i];
    }
}

static json_t *data_row(const char *path, const eg_eval_result *a, const eg_eval_result *b)
{
    int64_t negative, positive;
    count_flips(a, b, &negative, &positive);
    return json_pack("{s:s, s:I, s:o, s:o, s:I, s:I, s:I}", "data", path, "n", (json_int_t)a->n, "a",
                     cli_real(a->accuracy), "b", cli_real(b->accuracy), "changed", (json_int_t)count_changed(a, b),
                     "negative_flips", (json_int_t)negative, "positive_flips", (json_int_t)positive);
}

static int compare_data(const cli_args *args, const pair *p, eg_context *context, const char *path, json_t *rows)
{
    eg_dataset *data = NULL;
    eg_eval_result *a = NULL, *b = NULL;
    eg_eval_options options = EG_EVAL_OPTIONS_INIT;
    options.task = args->task;
    int rc = cli_check(CLI_AT_DATA, eg_dataset_load(&data, context, path, EG_PART_TEST));
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_DATA, eg_eval(&a, p->a, data, &options));
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_DATA, eg_eval(&b, p->b, data, &options));
    if (rc == CLI_OK)
        json_array_append_new(rows, data_row(path, a, b));
    eg_eval_result_free(b);
    eg_eval_result_free(a);
    eg_dataset_free(data);
    return rc;
}

static int compare_layers(const pair *p, json_t *rows)
{
    eg_model_info info;
    eg_model_get_info(p->a, &info);
    for (int64_t i = 0; i < info.layers; i++) {
        eg_layer_info layer;
        double drift;
        int rc = cli_check(CLI_AT_MODEL, eg_model_get_layer(p->a, i, &layer));
        if (rc == CLI_OK)
            rc = cli_check(CLI_AT_MODEL, eg_model_drift(p->a, p->b, i, &drift));
        if (rc != CLI_OK)
            return rc;
        if (layer.parameters > 0)
            json_array_append_new(rows, json_pack("{s:s, s:I, s:o}", "layer", layer.name, "parameters",
                                                  (json_int_t)layer.parameters, "drift", cli_real(drift)));
    }
    return CLI_OK;
}

static double real(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void print_rows(const json_t *data, const json_t *layers)
{
    size_t i;
    json_t *row;
    if (json_array_size(data))
        printf("%-28s %8s %9s %9s %8s %9s %9s %9s\n", "data", "n", "A", "B", "change", "changed", "neg.flips",
               "pos.flips");
    json_array_foreach((json_t *)data, i, row)
    {
        printf("%-28s %8s %9s %9s %+8.2f %9s %9s %9s\n", json_string_value(json_object_get(row, "data")),
               cli_count(json_integer_value(json_object_get(row, "n"))).s, cli_percent(real(row, "a")).s,
               cli_percent(real(row, "b")).s, (real(row, "b") - real(row, "a")) * 100,
               cli_count(json_integer_value(json_object_get(row, "changed"))).s,
               cli_count(json_integer_value(json_object_get(row, "negative_flips"))).s,
               cli_count(json_integer_value(json_object_get(row, "positive_flips"))).s);
    }
    printf("%-28s %10s %10s\n", "layer", "parameters", "|B-A|/|A|");
    json_array_foreach((json_t *)layers, i, row)
    {
        const double drift = real(row, "drift");
        printf("%-28s %10s ", json_string_value(json_object_get(row, "layer")),
               cli_count(json_integer_value(json_object_get(row, "parameters"))).s);
        if (isnan(drift))
            printf("%10s\n", "other shape");
        else
            printf("%10.4f\n", drift);
    }
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    (void)config;
    pair p = {NULL, NULL};
    json_t *data = json_array(), *layers = json_array();
    int rc = cli_load_model(args, context, args->paths.v[0], &p.a);
    if (rc == CLI_OK)
        rc = cli_load_model(args, context, args->paths.v[1], &p.b);
    for (int i = 0; i < args->data.n && rc == CLI_OK; i++)
        rc = compare_data(args, &p, context, args->data.v[i], data);
    if (rc == CLI_OK)
        rc = compare_layers(&p, layers);
    if (rc == CLI_OK && args->json)
        rc = cli_print_json(json_pack("{s:s, s:s, s:O, s:O}", "a", args->paths.v[0], "b", args->paths.v[1], "data",
                                      data, "layers", layers));
    else if (rc == CLI_OK)
        print_rows(data, layers);
    json_decref(data);
    json_decref(layers);
    eg_model_free(p.b);
    eg_model_free(p.a);
    return rc;
}

static const cli_option *const options[] = {&cli_data, &cli_task, &cli_arch, &cli_json, NULL};

const cli_verb cli_compare_verb = {
    .name = "compare",
    .usage = "compare A B [--data OLD --data NEW ...]",
    .help =
        "Two models side by side: accuracy and changed predictions on each data set, and how far each layer moved.\n\n"
        "  engram compare lenet5.h5 runs/fashion/model.h5 --data mnist/ --data fashion/",
    .options = options,
    .min_paths = 2,
    .max_paths = 2,
    .run = run,
};
