/* Engram's side of the benchmark: one job a process, one JSON object on stdout. Only the public API is used.
 *
 *     bench_engram train MODEL NEW KEEP|- [key=value ...]   a fine-tune; besides the keys of a run
 *                                        bench.seconds=S    stops when S seconds of steps were measured
 *                                        bench.out=DIR      writes the files of a run
 *                                        bench.bare=1       without lines and progress, so without a rate of steps
 *     bench_engram forward MODEL DATA BATCH                 one pass over the training part, no gradients
 *     bench_engram infer MODEL SECONDS BATCH ...            predictions of one batch, again and again
 *     bench_engram peak                                     the most this machine can do
 *
 * BENCH_START, a time in seconds since the epoch, is when the process was asked for; BENCH_THREADS how many threads. */
#include <engram/engram.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int threads(void)
{
    const char *text = getenv("BENCH_THREADS");
    return text ? atoi(text) : 2;
}

static double peak_megabytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static int failed(void)
{
    fprintf(stderr, "error: %s\n", eg_last_message());
    return 1;
}

/* --- training ----------------------------------------------------------------------------------------------------- */

#define WARM_SECONDS 0.3 /* from the first step on: not counted */

/* When things ended. The rate is taken over stretches of steps within epochs: what is between epochs is not in it. */
typedef struct clocks {
    double main, lines, before, first_step; /* moments */
    double stretch_began, stretch_last;
    int64_t epoch, step_began, step_last;
    double seconds, wanted; /* sums over stretches; enough when `wanted` is reached, 0: never */
    int64_t steps;
} clocks;

static void on_line(void *user, const char *line)
{
    clocks *c = user;
    if (c->lines == 0)
        c->lines = now();
    if (strncmp(line, "before", 6) == 0)
        c->before = now();
}

static void end_stretch(clocks *c)
{
    if (c->epoch > 0) {
        c->seconds += c->stretch_last - c->stretch_began;
        c->steps += c->step_last - c->step_began;
    }
    c->epoch = 0;
}

static bool on_progress(void *user, const eg_progress *p)
{
    clocks *c = user;
    const double t = now();
    if (p->finished) {
        end_stretch(c);
        return true;
    }
    if (c->first_step == 0)
        c->first_step = t;
    if (t - c->first_step < WARM_SECONDS)
        return true;
    if (c->epoch != p->epoch) {
        c->epoch = p->epoch;
        c->stretch_began = t;
        c->step_began = p->step;
    }
    c->stretch_last = t;
    c->step_last = p->step;
    return c->wanted == 0 || c->seconds + t - c->stretch_began < c->wanted;
}

/* A fine-tune as asked for on the command line. */
typedef struct request {
    const char *model, *new_data, *keep, *out;
    bool bare; /* no lines, no progress */
    int settings;
    char **setting; /* "key=value"; keys of the benchmark itself begin with "bench." */
} request;

/* Reads the benchmark's own keys; true when `text` was one. */
static bool take_own(request *r, clocks *c, const char *text)
{
    if (strncmp(text, "bench.seconds=", 14) == 0)
        c->wanted = atof(text + 14);
    else if (strncmp(text, "bench.out=", 10) == 0)
        r->out = text + 10;
    else if (strcmp(text, "bench.bare=1") == 0)
        r->bare = true;
    else
        return false;
    return true;
}

static eg_status configure(eg_config *config, request *r, clocks *c)
{
    eg_status s = eg_config_set(config, "data.new", r->new_data);
    if (!s && strcmp(r->keep, "-") != 0)
        s = eg_config_set(config, "data.keep", r->keep);
    for (int i = 0; !s && i < r->settings; i++) {
        char *equals = strchr(r->setting[i], '=');
        if (take_own(r, c, r->setting[i]) || !equals)
            continue;
        *equals = '\0';
        s = eg_config_set(config, r->setting[i], equals + 1);
    }
    return s;
}

static void print_rate(const eg_config *config, const clocks *c)
{
    const char *start = getenv("BENCH_START");
    const double batch = atof(eg_config_get(config, "finetune.batch"));
    printf("\"images_per_second\": %.1f, \"step_us\": %.2f, ", batch * (double)c->steps / c->seconds,
           c->seconds / (double)c->steps * 1e6);
    if (start)
        printf("\"first_step\": %.4f, \"start_process\": %.4f, ", c->first_step - atof(start), c->main - atof(start));
    printf("\"start_load\": %.4f, \"start_measure\": %.4f, \"start_step\": %.4f, ", c->lines - c->main,
           c->before - c->lines, c->first_step - c->before);
}

static void print_result(const eg_finetune_result *r, double seconds)
{
    double epochs = 0;
    for (int64_t i = 1; i <= r->epochs_run; i++)
        epochs += r->epochs[i].seconds;
    printf("\"new_accuracy\": %.6f, \"keep_accuracy\": %.6f, ", r->new_after, r->n_keep ? r->keep[0].after : 0);
    printf("\"steps\": %lld, \"epoch_seconds\": %.5f, \"run_seconds\": %.5f, ", (long long)r->steps, epochs, seconds);
}

static eg_status fine_tune(eg_context *context, request *r, clocks *c)
{
    eg_config *config = NULL;
    eg_model *model = NULL;
    eg_finetune_result *result = NULL;
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    eg_status s = eg_config_create(&config, context);
    s = s ? s : configure(config, r, c);
    s = s ? s : eg_model_load(&model, context, r->model, NULL);
    job.config = config;
    job.out_dir = r->out;
    job.progress = r->bare ? NULL : on_progress;
    job.line = r->bare ? NULL : on_line;
    job.user = c;
    const double began = now();
    s = s ? s : eg_finetune(&result, model, &job);
    end_stretch(c);
    if (!s) {
        printf("{");
        if (c->steps > 0)
            print_rate(config, c);
        print_result(result, now() - began);
        printf("\"peak_mb\": %.1f}\n", peak_megabytes());
    }
    eg_finetune_result_free(result);
    eg_model_free(model);
    eg_config_free(config);
    return s;
}

static int train(eg_context *context, double began, int argc, char **argv)
{
    clocks c = {.main = began};
    request r = {.model = argv[2], .new_data = argv[3], .keep = argv[4], .settings = argc - 5, .setting = argv + 5};
    return fine_tune(context, &r, &c) ? failed() : 0;
}

/* --- a forward epoch ---------------------------------------------------------------------------------------------- */

static double middle(double a, double b, double c)
{
    const double low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

static int forward(eg_context *context, char **argv)
{
    eg_model *model = NULL;
    eg_dataset *data = NULL;
    eg_eval_options options = EG_EVAL_OPTIONS_INIT;
    options.preprocess = "unit";
    options.batch = atoll(argv[4]);
    double seconds[3] = {0};
    eg_status s = eg_model_load(&model, context, argv[2], NULL);
    s = s ? s : eg_dataset_load(&data, context, argv[3], EG_PART_TRAIN);
    for (int i = 0; !s && i < 3; i++) {
        eg_eval_result *result = NULL;
        s = eg_eval(&result, model, data, &options);
        seconds[i] = s ? 0 : result->seconds;
        eg_eval_result_free(result);
    }
    eg_dataset_free(data);
    eg_model_free(model);
    if (s)
        return failed();
    printf("{\"forward_seconds\": %.5f, \"peak_mb\": %.1f}\n", middle(seconds[0], seconds[1], seconds[2]),
           peak_megabytes());
    return 0;
}

/* --- inference ---------------------------------------------------------------------------------------------------- */

static int64_t count(int rank, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

/* Images a second of predicting `batch` images; 0 on failure. */
static double rate_of(eg_model *model, int64_t batch, double seconds)
{
    int64_t shape[8];
    const int64_t in = batch * count(eg_model_input_shape(model, 0, shape), shape);
    const int64_t out = batch * count(eg_model_output_shape(model, 0, shape), shape);
    float *x = malloc(sizeof *x * (size_t)in), *y = malloc(sizeof *y * (size_t)out);
    for (int64_t i = 0; x && i < in; i++)
        x[i] = (float)(i % 251) / 251;
    const float *inputs[] = {x};
    float *outputs[] = {y};
    eg_status s = x && y ? EG_OK : EG_ERR_NOMEM;
    for (int i = 0; !s && i < 20; i++)
        s = eg_model_predict(model, inputs, batch, outputs);
    const double began = now();
    int64_t calls = 0;
    for (; !s && now() - began < seconds; calls++)
        s = eg_model_predict(model, inputs, batch, outputs);
    const double rate = (double)(calls * batch) / (now() - began);
    free(x);
    free(y);
    return s ? 0 : rate;
}

static int infer(eg_context *context, int argc, char **argv)
{
    eg_model *model = NULL;
    if (eg_model_load(&model, context, argv[2], NULL))
        return failed();
    printf("{");
    double rate = 1;
    for (int i = 4; i < argc && rate > 0; i++) {
        rate = rate_of(model, atoll(argv[i]), atof(argv[3]));
        printf("\"batch %s\": %.1f, ", argv[i], rate);
    }
    printf("\"peak_mb\": %.1f}\n", peak_megabytes());
    eg_model_free(model);
    return rate > 0 ? 0 : failed();
}

static int peak(eg_context *context)
{
    eg_peak best;
    if (eg_peak_measure(&best, context))
        return failed();
    printf("{\"gflops\": %.1f, \"gigabytes\": %.1f, \"device\": \"%s\"}\n", best.flops / 1e9, best.bytes / 1e9,
           eg_context_describe(context));
    return 0;
}

int main(int argc, char **argv)
{
    const double began = now();
    eg_context *context = NULL;
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.threads = threads();
    int code = 2;
    if (eg_context_create(&context, &options))
        return failed();
    if (argc == 2 && strcmp(argv[1], "peak") == 0)
        code = peak(context);
    else if (argc >= 5 && strcmp(argv[1], "train") == 0)
        code = train(context, began, argc, argv);
    else if (argc >= 5 && strcmp(argv[1], "infer") == 0)
        code = infer(context, argc, argv);
    else if (argc == 5 && strcmp(argv[1], "forward") == 0)
        code = forward(context, argv);
    else
        fprintf(stderr, "usage: see bench/engram.c\n");
    eg_context_free(context);
    return code;
}
