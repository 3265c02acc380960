/* engram bench: how fast a model trains and predicts here, and where the time goes. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROWS_SHOWN 16

/* Measurements asked for and made. */
typedef struct bench {
    const cli_args *args;
    eg_context *context;
    eg_config *config;
    eg_model *model;
    eg_dataset *data;
    double seconds;
    eg_peak peak; /* with the threads of the moment */
    json_t *all;
    eg_profile *shown; /* whose operations are listed: of training, else of the largest batch, on all threads */
} bench;

/* --- the command line --------------------------------------------------------------------------------------------- */

static int parse_seconds(const char *text, double *out)
{
    char *end;
    *out = 1;
    if (!text)
        return CLI_OK;
    *out = strtod(text, &end);
    if (*end == '\0' && *out > 0 && *out <= 3600)
        return CLI_OK;
    fprintf(stderr, "engram bench: --seconds: wanted more than 0, up to 3600, found '%s'\n", text);
    return CLI_USAGE;
}

static int parse_batch(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0 && *out >= 1 && *out <= 65536)
        return CLI_OK;
    fprintf(stderr, "engram bench: --batch: wanted 1 to 65536, found '%s'\n", text);
    return CLI_USAGE;
}

static int check_arguments(const bench *b)
{
    int64_t batch;
    int rc = CLI_OK;
    for (int i = 0; i < b->args->batch.n && rc == CLI_OK; i++)
        rc = parse_batch(b->args->batch.v[i], &batch);
    if (rc == CLI_OK && b->args->train && b->args->infer) {
        fprintf(stderr, "engram bench: --train and --infer together leave nothing; without them both are measured\n");
        rc = CLI_USAGE;
    }
    if (rc == CLI_OK && b->args->data.n > 1) {
        fprintf(stderr, "engram bench: --data is wanted once, found '%s' too\n", b->args->data.v[1]);
        rc = CLI_USAGE;
    }
    return rc;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void print_title(const bench *b)
{
    eg_model_info info;
    eg_model_get_info(b->model, &info);
    printf("model   %s  %s parameters\n", b->args->paths.v[0], cli_count(info.parameters).s);
    printf("data    %s | about %g s each\n", b->args->data.n ? b->args->data.v[0] : "random", b->seconds);
    printf("device  %s\n", eg_context_describe(b->context));
    printf("  %-10s %6s %8s %11s %12s %9s %8s %11s  %s\n", "", "batch", "threads", "ms a step", "examples/s", "GFLOP/s",
           "of peak", "operations", "workspace");
}

static void print_line(const eg_profile *p)
{
    double flops = 0, seconds = 0;
    for (int64_t i = 0; i < p->n_rows; i++) {
        flops += p->rows[i].flops;
        seconds += p->rows[i].seconds;
    }
    flops = p->step_seconds > 0 ? flops / (double)p->steps / p->step_seconds : 0;
    printf("  %-10s %6lld %8d %11.3f %12s %9.1f %6.0f %% %9.1f %%  %s\n", p->training ? "training" : "inference",
           (long long)p->batch, p->threads, p->step_seconds * 1e3,
           cli_count((int64_t)((double)p->batch / p->step_seconds + 0.5)).s, flops / 1e9, 100 * flops / p->peak.flops,
           100 * seconds / p->seconds, cli_bytes(p->workspace_bytes).s);
    fflush(stdout);
}

static int append_json(const bench *b, const eg_profile *p)
{
    char *text = NULL;
    const int rc = cli_check(CLI_AT_RUN, eg_profile_json(&text, b->context, p));
    if (rc == CLI_OK)
        json_array_append_new(b->all, json_loads(text, 0, NULL));
    eg_text_free(b->context, text);
    return rc;
}

static int save_picture(const bench *b, const eg_profile *p)
{
    char path[4096], *svg = NULL;
    snprintf(path, sizeof path, "%s/%s-batch-%lld-threads-%d.svg", b->args->out, p->training ? "training" : "inference",
             (long long)p->batch, p->threads);
    if (mkdir(b->args->out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "engram: '%s' could not be made: %s\n", b->args->out, strerror(errno));
        return CLI_INTERNAL;
    }
    int rc = cli_check(CLI_AT_RUN, eg_profile_svg(&svg, b->context, p));
    if (rc == CLI_OK)
        rc = cli_save_text(path, svg);
    eg_text_free(b->context, svg);
    return rc;
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static int measure(bench *b, bool training, int64_t batch, bool shown)
{
    eg_profile *p = NULL;
    eg_bench_options o = EG_BENCH_OPTIONS_INIT;
    o.training = training;
    o.batch = batch;
    o.seconds = b->seconds;
    o.data = b->data;
    o.config = b->config;
    o.peak = &b->peak;
    if (cli_signal)
        return 128 + cli_signal;
    int rc = cli_check(CLI_AT_RUN, eg_bench(&p, b->model, &o));
    if (rc == CLI_OK && b->args->json)
        rc = append_json(b, p);
    else if (rc == CLI_OK)
        print_line(p);
    if (rc == CLI_OK && b->args->out)
        rc = save_picture(b, p);
    if (rc == CLI_OK && shown) {
        eg_profile_free(b->shown);
        b->shown = p;
        p = NULL;
    }
    eg_profile_free(p);
    return rc;
}

static int measure_kind(bench *b, bool training, bool shown)
{
    static const int64_t usual[] = {1, 32, 256};
    int64_t batch = 0;
    int rc = CLI_OK;
    for (int i = 0; i < b->args->batch.n && rc == CLI_OK; i++) {
        rc = parse_batch(b->args->batch.v[i], &batch);
        rc = rc == CLI_OK ? measure(b, training, batch, shown) : rc;
    }
    if (b->args->batch.n)
        return rc;
    if (training)
        return measure(b, true, 0, shown);
    for (int i = 0; i < 3 && rc == CLI_OK; i++)
        rc = measure(b, false, usual[i], shown);
    return rc;
}

static int measure_all(bench *b, bool shown)
{
    int rc = cli_check(CLI_AT_RUN, eg_peak_measure(&b->peak, b->context));
    if (rc == CLI_OK && !b->args->train)
        rc = measure_kind(b, false, shown);
    if (rc == CLI_OK && !b->args->infer)
        rc = measure_kind(b, true, shown);
    return rc;
}

/* Once more with one thread, unless the user says how many. */
static int measure_threads(bench *b)
{
    const bool given = strcmp(eg_config_get(b->config, "run.threads"), "auto") != 0;
    int rc = measure_all(b, true);
    if (rc != CLI_OK || given || eg_context_threads(b->context) == 1)
        return rc;
    rc = cli_check(CLI_AT_CONFIG, eg_config_set(b->config, "run.threads", "1"));
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_CONFIG, eg_context_configure(b->context, b->config));
    return rc == CLI_OK ? measure_all(b, false) : rc;
}

static int load(bench *b)
{
    int rc = cli_load_model(b->args, b->context, b->args->paths.v[0], &b->model);
    if (rc == CLI_OK && b->args->data.n)
        rc = cli_check(CLI_AT_DATA, eg_dataset_load(&b->data, b->context, b->args->data.v[0], EG_PART_TRAIN));
    return rc;
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    bench b = {.args = args, .context = context, .config = config, .all = json_array()};
    int rc = parse_seconds(args->seconds, &b.seconds);
    if (rc == CLI_OK)
        rc = check_arguments(&b);
    if (rc == CLI_OK)
        rc = load(&b);
    if (rc == CLI_OK && !args->json)
        print_title(&b);
    if (rc == CLI_OK)
        rc = measure_threads(&b);
    if (rc == CLI_OK && args->json)
        rc = cli_print_json(json_pack("{s:s, s:s, s:s?, s:O}", "model", args->paths.v[0], "device",
                                      eg_context_device(context), "data", args->data.n ? args->data.v[0] : NULL,
                                      "measurements", b.all));
    else if (rc == CLI_OK)
        cli_print_profile(b.shown, ROWS_SHOWN);
    json_decref(b.all);
    eg_profile_free(b.shown);
    eg_dataset_free(b.data);
    eg_model_free(b.model);
    return rc;
}

static const cli_option *const options[] = {&cli_data,         &cli_batch,  &cli_seconds, &cli_train, &cli_infer,
                                            &cli_out_pictures, &cli_config, &cli_arch,    &cli_json,  NULL};

const cli_verb cli_bench_verb = {
    .name = "bench",
    .usage = "bench MODEL [--data D] [--batch N ...] [--train | --infer] [-o DIR] [key=value ...]",
    .help = "How fast a model predicts and trains on this machine, on all threads and on one, beside what the machine\n"
            "can do at best; which operations the time goes to. The model stays as it is.\n\n"
            "  engram bench lenet5.h5\n"
            "  engram bench net.h5 --data new.npz --train --batch 128 run.threads=4 -o pictures",
    .options = options,
    .min_paths = 1,
    .max_paths = 1,
    .settings = true,
    .run = run,
};
