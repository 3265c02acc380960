/* engram predict: raw outputs of arrays as NPY, or classes and probabilities of data sets and images as CSV or JSON
 * lines. */
#include "cli/cli.h"
#include "cli/npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK       1024
#define OUTPUTS_MAX 16

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* --- raw: x.npy [x1.npy ...] -o y.npy ----------------------------------------------------------------------------- */

typedef struct raw {
    eg_model *model;
    eg_model_info info;
    eg_stream *data[OUTPUTS_MAX];
    float *x[OUTPUTS_MAX], *y[OUTPUTS_MAX];
    int64_t x_count[OUTPUTS_MAX], y_count[OUTPUTS_MAX];
    cli_npy out[OUTPUTS_MAX];
    int64_t n;
} raw;

static int64_t product(const int64_t *shape, int rank)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

static int open_input(raw *r, eg_context *context, const char *path, int i)
{
    eg_dataset_info info;
    int64_t shape[8];
    int rc = cli_check(CLI_AT_DATA, eg_stream_open(&r->data[i], context, path, EG_PART_ALL));
    if (rc != CLI_OK)
        return rc;
    eg_stream_get_info(r->data[i], &info);
    const int rank = eg_model_input_shape(r->model, i, shape);
    r->x_count[i] = product(shape, rank);
    if (product(info.shape, info.rank) != r->x_count[i]) {
        fprintf(stderr, "engram: '%s' has %lld values an example, input %d of the model wants %lld\n", path,
                (long long)product(info.shape, info.rank), i, (long long)r->x_count[i]);
        return CLI_DATA;
    }
    if (i > 0 && info.n != r->n) {
        fprintf(stderr, "engram: '%s' has %lld examples, the first input has %lld\n", path, (long long)info.n,
                (long long)r->n);
        return CLI_DATA;
    }
    r->n = info.n;
    r->x[i] = malloc((size_t)(CHUNK * r->x_count[i]) * sizeof(float));
    return r->x[i] ? CLI_OK : CLI_DEVICE;
}

/* y.npy for one output; y_0.npy, y_1.npy ... for several. */
static void output_path(const char *path, int i, int outputs, char *out, size_t room)
{
    const int stem = (int)strlen(path) - 4;
    if (outputs == 1)
        snprintf(out, room, "%s", path);
    else
        snprintf(out, room, "%.*s_%d.npy", stem, path, i);
}

static int open_output(raw *r, const char *path, int i)
{
    char name[4096];
    int64_t shape[8];
    const int rank = eg_model_output_shape(r->model, i, shape);
    r->y_count[i] = product(shape, rank);
    r->y[i] = malloc((size_t)(CHUNK * r->y_count[i]) * sizeof(float));
    output_path(path, i, r->info.outputs, name, sizeof name);
    if (!r->y[i])
        return CLI_DEVICE;
    return cli_npy_open(&r->out[i], name, r->n, shape, rank) ? CLI_OK : CLI_INTERNAL;
}

static int raw_input(raw *r, int i, int64_t count)
{
    const eg_dataset *chunk = NULL;
    const int rc = cli_check(CLI_AT_DATA, eg_stream_next(r->data[i], CHUNK, &chunk));
    return rc != CLI_OK ? rc : cli_check(CLI_AT_DATA, eg_dataset_read(chunk, 0, 0, count, r->x[i]));
}

static int raw_chunk(raw *r, int64_t count)
{
    const float *x[OUTPUTS_MAX];
    for (int i = 0; i < r->info.inputs; i++) {
        const int rc = raw_input(r, i, count);
        if (rc != CLI_OK)
            return rc;
        x[i] = r->x[i];
    }
    const int rc = cli_check(CLI_AT_RUN, eg_model_predict(r->model, x, count, r->y));
    for (int i = 0; i < r->info.outputs && rc == CLI_OK; i++)
        if (!cli_npy_write(&r->out[i], r->y[i], count * r->y_count[i]))
            return CLI_INTERNAL;
    return rc;
}

static int raw_run(raw *r, const cli_args *args, eg_context *context)
{
    eg_model_get_info(r->model, &r->info);
    if (r->info.inputs != args->paths.n - 1 || r->info.inputs > OUTPUTS_MAX || r->info.outputs > OUTPUTS_MAX) {
        fprintf(stderr, "engram predict: the model has %d inputs, %d files given\n", r->info.inputs, args->paths.n - 1);
        return CLI_USAGE;
    }
    int rc = CLI_OK;
    for (int i = 0; i < r->info.inputs && rc == CLI_OK; i++)
        rc = open_input(r, context, args->paths.v[i + 1], i);
    for (int i = 0; i < r->info.outputs && rc == CLI_OK; i++)
        rc = open_output(r, args->out, i);
    for (int64_t at = 0; at < r->n && rc == CLI_OK; at += CHUNK)
        rc = cli_signal ? 128 + cli_signal : raw_chunk(r, r->n - at < CHUNK ? r->n - at : CHUNK);
    return rc;
}

static int predict_raw(const cli_args *args, eg_context *context, eg_model *model)
{
    raw *r = calloc(1, sizeof *r);
    if (!r)
        return CLI_DEVICE;
    r->model = model;
    int rc = raw_run(r, args, context);
    for (int i = 0; i < OUTPUTS_MAX; i++) {
        if (r->out[i].file && !cli_npy_close(&r->out[i], rc == CLI_OK) && rc == CLI_OK)
            rc = CLI_INTERNAL;
        free(r->x[i]);
        free(r->y[i]);
        eg_stream_free(r->data[i]);
    }
    free(r);
    return rc;
}

/* --- lines: data sets and images ---------------------------------------------------------------------------------- */

typedef struct lines {
    FILE *to;
    bool json;
    int64_t classes;
    eg_model *model;
    int rc; /* why the printer stopped */
} lines;

static const char *class_text(const eg_model *model, int64_t i, char *room, size_t size)
{
    const char *name = eg_model_class_name(model, i);
    if (name)
        return name;
    snprintf(room, size, "%lld", (long long)i);
    return room;
}

/* RFC 4180: a field with a comma, a quote or a line break is quoted, quotes are doubled. */
static void print_field(FILE *to, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

static void print_csv_head(const lines *l)
{
    char room[32];
    fputs("source,class,probability", l->to);
    for (int64_t i = 0; i < l->classes; i++) {
        fputc(',', l->to);
        print_field(l->to, class_text(l->model, i, room, sizeof room));
    }
    fputc('\n', l->to);
}

static void print_csv(const lines *l, const char *source, const float *y, int64_t best)
{
    char room[32];
    print_field(l->to, source);
    fputc(',', l->to);
    print_field(l->to, class_text(l->model, best, room, sizeof room));
    fprintf(l->to, ",%.6g", (double)y[best]);
    for (int64_t i = 0; i < l->classes; i++)
        fprintf(l->to, ",%.6g", (double)y[i]);
    fputc('\n', l->to);
}

static void print_jsonl(const lines *l, const char *source, const float *y, int64_t best)
{
    char room[32];
    json_t *all = json_object();
    for (int64_t i = 0; i < l->classes; i++)
        json_object_set_new(all, class_text(l->model, i, room, sizeof room), cli_real((double)y[i]));
    json_t *line =
        json_pack("{s:s, s:s, s:o, s:o}", "source", source, "class", class_text(l->model, best, room, sizeof room),
                  "probability", cli_real((double)y[best]), "probabilities", all);
    json_dumpf(line, l->to, JSON_REAL_PRECISION(7));
    fputc('\n', l->to);
    json_decref(line);
}

static int64_t largest(const float *y, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (y[i] > y[best])
            best = i;
    return best;
}

/* The head names the classes of the first output. */
static bool fits_head(lines *l, const eg_rows *rows)
{
    if (rows->columns == l->classes)
        return true;
    fprintf(stderr, "engram: the data means output %d of the model, of %lld values, but lines have %lld classes\n",
            rows->output, (long long)rows->columns, (long long)l->classes);
    l->rc = CLI_DATA;
    return false;
}

static bool print_rows(void *user, const eg_rows *rows)
{
    lines *l = user;
    if (!fits_head(l, rows))
        return false;
    for (int64_t i = 0; i < rows->count; i++) {
        const float *y = rows->y + i * rows->columns;
        (l->json ? print_jsonl : print_csv)(l, eg_dataset_source(rows->data, i), y, largest(y, l->classes));
    }
    if (cli_signal)
        l->rc = 128 + cli_signal;
    return l->rc == CLI_OK && !ferror(l->to);
}

static int lines_of(lines *l, eg_stream *data, const eg_config *config)
{
    eg_eval_options options = EG_EVAL_OPTIONS_INIT;
    options.preprocess = eg_config_get(config, "data.preprocess");
    if (cli_signal)
        return 128 + cli_signal;
    const eg_status status = eg_predict_stream(l->model, data, &options, print_rows, l);
    return status == EG_ERR_CANCELLED ? l->rc : cli_check(CLI_AT_DATA, status);
}

static int lines_of_all(lines *l, const cli_args *args, const eg_config *config, eg_context *context)
{
    int rc = CLI_OK;
    if (!l->json)
        print_csv_head(l);
    for (int i = 1; i < args->paths.n && rc == CLI_OK; i++) {
        eg_stream *data = NULL;
        rc = cli_check(CLI_AT_DATA, eg_stream_open(&data, context, args->paths.v[i], EG_PART_TEST));
        if (rc == CLI_OK)
            rc = lines_of(l, data, config);
        eg_stream_free(data);
    }
    return rc;
}

static int predict_lines(const cli_args *args, const eg_config *config, eg_context *context, eg_model *model)
{
    char temporary[4128] = "";
    eg_model_info info;
    eg_model_get_info(model, &info);
    lines l = {.to = stdout, .classes = info.classes, .model = model};
    l.json =
        args->json || (args->format ? strcmp(args->format, "jsonl") == 0 : args->out && ends_with(args->out, ".jsonl"));
    if (args->out) {
        snprintf(temporary, sizeof temporary, "%s.tmp%ld", args->out, (long)getpid());
        l.to = fopen(temporary, "wb");
    }
    int rc = l.to ? lines_of_all(&l, args, config, context) : CLI_INTERNAL;
    bool good = l.to && !ferror(l.to);
    if (args->out) {
        good = l.to && fclose(l.to) == 0 && good;
        good = good && (rc != CLI_OK || rename(temporary, args->out) == 0);
        if (rc != CLI_OK || !good)
            remove(temporary);
    }
    if (good)
        return rc;
    fprintf(stderr, "engram: '%s' could not be written: %s\n", args->out ? args->out : "standard output",
            strerror(errno));
    return CLI_INTERNAL;
}

static bool is_raw(const cli_args *args)
{
    if (!args->out || !ends_with(args->out, ".npy"))
        return false;
    for (int i = 1; i < args->paths.n; i++)
        if (!ends_with(args->paths.v[i], ".npy"))
            return false;
    return true;
}

static int check_format(const cli_args *args)
{
    if (args->format && strcmp(args->format, "csv") != 0 && strcmp(args->format, "jsonl") != 0) {
        fprintf(stderr, "engram predict: --format: wanted csv or jsonl, found '%s'\n", args->format);
        return CLI_USAGE;
    }
    if (args->out && ends_with(args->out, ".npy") && !is_raw(args)) {
        fprintf(stderr, "engram predict: -o *.npy wants .npy inputs; for images and data sets write .csv or .jsonl\n");
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    eg_model *model = NULL;
    int rc = check_format(args);
    if (rc == CLI_OK)
        rc = cli_load_model(args, context, args->paths.v[0], &model);
    if (rc == CLI_OK)
        rc = is_raw(args) ? predict_raw(args, context, model) : predict_lines(args, config, context, model);
    eg_model_free(model);
    return rc;
}

static const cli_option *const options[] = {&cli_out_file, &cli_format, &cli_arch, &cli_json, NULL};

const cli_verb cli_predict_verb = {
    .name = "predict",
    .usage = "predict MODEL INPUT ... [-o FILE] [--format csv|jsonl] [key=value ...]",
    .help =
        "Images, a folder of images or a data set: a line an example with class and probabilities (CSV or JSON\n"
        "lines), preprocessed as the model file says.\n"
        "x.npy [x1.npy ...] -o y.npy: the raw output of the network for arrays, one file an input, as float32 NPY;\n"
        "nothing is preprocessed. A network with several outputs writes y_0.npy, y_1.npy ...\n\n"
        "  engram predict runs/fashion/model.h5 photos/ -o labels.csv\n"
        "  engram predict encoder.h5 x.npy -o y.npy",
    .options = options,
    .min_paths = 2,
    .max_paths = CLI_LIST_MAX,
    .settings = true,
    .run = run,
};
