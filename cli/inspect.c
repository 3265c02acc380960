/* engram inspect: what is in a model file. */
#include "cli/cli.h"

#include <string.h>

static cli_text shape_text(const int64_t *shape, int rank)
{
    cli_text out = {"("};
    size_t at = 1;
    for (int i = 0; i < rank && at < sizeof out.s - 24; i++)
        at += (size_t)snprintf(out.s + at, sizeof out.s - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    snprintf(out.s + at, sizeof out.s - at, ")");
    return out;
}

static json_t *shape_json(const int64_t *shape, int rank)
{
    json_t *out = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(out, json_integer((json_int_t)shape[i]));
    return out;
}

static json_t *ports_json(const eg_model *model, int n, int (*shape_of)(const eg_model *, int, int64_t *))
{
    json_t *out = json_array();
    for (int i = 0; i < n; i++) {
        int64_t shape[8];
        const int rank = shape_of(model, i, shape);
        json_array_append_new(out, shape_json(shape, rank));
    }
    return out;
}

static json_t *layers_json(const eg_model *model, int64_t n)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < n; i++) {
        eg_layer_info l;
        if (eg_model_get_layer(model, i, &l) == EG_OK)
            json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:I, s:b}", "name", l.name, "class", l.class_name,
                                                 "output", shape_json(l.shape, l.rank), "parameters",
                                                 (json_int_t)l.parameters, "trainable", l.trainable));
    }
    return out;
}

static json_t *classes_json(const eg_model *model, int64_t n)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < n && eg_model_class_name(model, i); i++)
        json_array_append_new(out, json_string(eg_model_class_name(model, i)));
    return out;
}

typedef struct memory_need {
    int64_t infer1, infer32, train32;
} memory_need;

static int measure(eg_model *model, memory_need *need)
{
    int rc = cli_check(CLI_AT_MODEL, eg_model_plan_bytes(model, 1, false, &need->infer1));
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_MODEL, eg_model_plan_bytes(model, 32, false, &need->infer32));
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_MODEL, eg_model_plan_bytes(model, 32, true, &need->train32));
    return rc;
}

static json_t *inspect_json(const char *path, const eg_model *model, const eg_model_info *i, const memory_need *need)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:I, s:o, s:s, s:s, "
                     "s:{s:I, s:s}, s:{s:I, s:I, s:I}, s:o, s:[]}",
                     "file", path, "name", i->name, "keras_version", i->keras_version, "flavour", i->flavour, "layers",
                     (json_int_t)i->layers, "parameters", (json_int_t)i->parameters, "trainable_parameters",
                     (json_int_t)i->trainable_parameters, "loaded", "wanted", (json_int_t)i->report.wanted, "by_path",
                     (json_int_t)i->report.by_path, "by_position", (json_int_t)i->report.by_position, "skipped",
                     (json_int_t)i->report.skipped, "inputs", ports_json(model, i->inputs, eg_model_input_shape),
                     "outputs", ports_json(model, i->outputs, eg_model_output_shape), "classes", (json_int_t)i->classes,
                     "class_names", classes_json(model, i->classes), "preprocess", i->preprocess, "preprocess_reason",
                     i->preprocess_reason, "memory", "examples", (json_int_t)i->memory_examples, "text", i->memory,
                     "bytes", "inference_batch_1", (json_int_t)need->infer1, "inference_batch_32",
                     (json_int_t)need->infer32, "training_batch_32", (json_int_t)need->train32, "layer_list",
                     layers_json(model, i->layers), "unsupported");
}

static void print_layers(const eg_model *model, int64_t n)
{
    printf("%-32s %-24s %-18s %12s\n", "layer", "class", "output", "parameters");
    for (int64_t k = 0; k < n; k++) {
        eg_layer_info l;
        if (eg_model_get_layer(model, k, &l) == EG_OK)
            printf("%-32s %-24s %-18s %12s%s\n", l.name, l.class_name, shape_text(l.shape, l.rank).s,
                   cli_count(l.parameters).s, l.trainable ? "" : "  not trainable");
    }
}

static void print_ports(const eg_model *model, const char *what, int n,
                        int (*shape_of)(const eg_model *, int, int64_t *))
{
    printf("%-8s", what);
    for (int i = 0; i < n; i++) {
        int64_t shape[8];
        const int rank = shape_of(model, i, shape);
        printf("%s%s", i ? ", " : "", shape_text(shape, rank).s);
    }
    printf("\n");
}

static void print_classes(const eg_model *model, int64_t n)
{
    printf("head    %lld outputs", (long long)n);
    for (int64_t i = 0; i < n && i < 24 && eg_model_class_name(model, i); i++)
        printf("%s%s", i ? ", " : ": ", eg_model_class_name(model, i));
    printf("\n");
}

static void print_inspect(const eg_model *model, const eg_model_info *i, const memory_need *need)
{
    printf("model   %s  Keras %s, %s | %lld layers | %s parameters, %s trainable\n", i->name,
           *i->keras_version ? i->keras_version : "version unknown", i->flavour, (long long)i->layers,
           cli_count(i->parameters).s, cli_count(i->trainable_parameters).s);
    printf("loaded  %lld/%lld tensors by path | %lld by position | %lld skipped\n", (long long)i->report.by_path,
           (long long)i->report.wanted, (long long)i->report.by_position, (long long)i->report.skipped);
    print_ports(model, "input", i->inputs, eg_model_input_shape);
    print_ports(model, "output", i->outputs, eg_model_output_shape);
    print_classes(model, i->classes);
    printf("inputs  %s%s%s%s\n", *i->preprocess ? i->preprocess : "preprocessing unknown",
           *i->preprocess_reason ? " [" : "", i->preprocess_reason, *i->preprocess_reason ? "]" : "");
    printf("memory  %s\n", *i->memory ? i->memory : "none in the file");
    printf("needs   %s at batch 1, %s at batch 32, %s to train at batch 32\n\n", cli_bytes(need->infer1).s,
           cli_bytes(need->infer32).s, cli_bytes(need->train32).s);
    print_layers(model, i->layers);
}

/* A file with layers that this version cannot run is still looked at: all of them are named at once. */
static int refuse_unsupported(const cli_args *args, eg_context *context, bool *refused)
{
    char *lines = NULL;
    eg_load_options options = EG_LOAD_OPTIONS_INIT;
    options.arch = args->arch;
    *refused = false;
    const int rc = cli_check(CLI_AT_MODEL, eg_model_unsupported(&lines, context, args->paths.v[0], &options));
    if (rc != CLI_OK)
        return rc;
    if (*lines) {
        *refused = true;
        if (args->json) {
            json_t *list = json_array();
            char *rest;
            for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                json_array_append_new(list, json_string(line));
            cli_print_json(json_pack("{s:s, s:o}", "file", args->paths.v[0], "unsupported", list));
        } else {
            printf("unsupported layers:\n%s\n", lines);
        }
        fprintf(stderr, "engram: '%s' has layers that this version cannot run\n", args->paths.v[0]);
    }
    eg_text_free(context, lines);
    return *refused ? CLI_MODEL : CLI_OK;
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    (void)config;
    eg_model *model = NULL;
    bool refused;
    memory_need need = {0};
    int rc = refuse_unsupported(args, context, &refused);
    if (rc != CLI_OK)
        return rc;
    rc = cli_load_model(args, context, args->paths.v[0], &model);
    if (rc == CLI_OK)
        rc = measure(model, &need);
    if (rc == CLI_OK) {
        eg_model_info info;
        eg_model_get_info(model, &info);
        if (args->json)
            rc = cli_print_json(inspect_json(args->paths.v[0], model, &info, &need));
        else
            print_inspect(model, &info, &need);
    }
    eg_model_free(model);
    return rc;
}

static const cli_option *const options[] = {&cli_arch, &cli_json, NULL};

const cli_verb cli_inspect_verb = {
    .name = "inspect",
    .usage = "inspect MODEL [--arch arch.json]",
    .help = "Layers, shapes, parameters, head, preprocessing and why, memory needed, the memory against forgetting\n"
            "that the file carries, and ALL unsupported layers at once.",
    .options = options,
    .min_paths = 1,
    .max_paths = 1,
    .run = run,
};
