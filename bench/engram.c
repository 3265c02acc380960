/* Engram's side of the benchmark: one job a process, one JSON object on stdout. Only the public API is used.
 *
 *     bench_engram train MODEL NEW KEEP|- [key=value ...]   a fine-tune; the rate of its steps alone
 *     bench_engram infer MODEL BATCH SECONDS                predictions of one batch, again and again
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

/* When steps ended. A rate is taken over whole epochs: from the end of a step to the end of the last step of the same
 * epoch. */
typedef struct clocks {
    double first_step, epoch_began, epoch_last;
    int64_t epoch, step_began, step_last, steps_all;
    double seconds;
    int64_t steps;
} clocks;

static void close_epoch(clocks *c)
{
    if (c->step_last > c->step_began) {
        c->seconds = c->epoch_last - c->epoch_began; /* of the last epoch: the earlier ones warm up */
        c->steps = c->step_last - c->step_began;
    }
    c->epoch = 0;
}

static bool on_progress(void *user, const eg_progress *p)
{
    clocks *c = (clocks *)user;
    const double t = now();
    if (p->finished) {
        close_epoch(c);
        return true;
    }
    if (c->first_step == 0)
        c->first_step = t;
    if (c->epoch != p->epoch) {
        c->epoch = p->epoch;
        c->epoch_began = t;
        c->step_began = p->step;
    }
    c->epoch_last = t;
    c->step_last = p->step;
    return true;
}

static eg_status run_job(eg_context *context, const char *model_path, const char *new_path, const char *keep,
                         int settings, char **setting, clocks *c)
{
    eg_config *config = NULL;
    eg_model *model = NULL;
    eg_finetune_result *result = NULL;
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    eg_status s = eg_config_create(&config, context);
    s = s ? s : eg_config_set(config, "data.new", new_path);
    if (!s && strcmp(keep, "-") != 0)
        s = eg_config_set(config, "data.keep", keep);
    for (int i = 0; !s && i < settings; i++) {
        char *equals = strchr(setting[i], '=');
        if (!equals)
            continue;
        *equals = '\0';
        s = eg_config_set(config, setting[i], equals + 1);
    }
    s = s ? s : eg_model_load(&model, context, model_path, NULL);
    job.config = config;
    job.progress = on_progress;
    job.user = c;
    s = s ? s : eg_finetune(&result, model, &job);
    eg_finetune_result_free(result);
    eg_model_free(model);
    eg_config_free(config);
    return s;
}

static int train(eg_context *context, int argc, char **argv)
{
    clocks c = {0};
    int64_t batch = 0;
    for (int i = 5; i < argc; i++)
        if (strncmp(argv[i], "finetune.batch=", 15) == 0)
            batch = atoll(argv[i] + 15);
    if (run_job(context, argv[2], argv[3], argv[4], argc - 5, argv + 5, &c))
        return failed();
    const char *start = getenv("BENCH_START");
    printf("{\"images_per_second\": %.1f, \"first_step\": %.4f, \"peak_mb\": %.1f}\n",
           (double)(batch * c.steps) / c.seconds, start ? c.first_step - atof(start) : 0, peak_megabytes());
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

static int infer(eg_context *context, char **argv)
{
    eg_model *model = NULL;
    if (eg_model_load(&model, context, argv[2], NULL))
        return failed();
    const int64_t batch = atoll(argv[3]);
    const double seconds = atof(argv[4]);
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
    eg_model_free(model);
    if (s)
        return failed();
    printf("{\"images_per_second\": %.1f, \"peak_mb\": %.1f}\n", rate, peak_megabytes());
    return 0;
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
    eg_context *context = NULL;
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.threads = threads();
    int code = 2;
    if (eg_context_create(&context, &options))
        return failed();
    if (argc >= 5 && strcmp(argv[1], "train") == 0)
        code = train(context, argc, argv);
    else if (argc == 5 && strcmp(argv[1], "infer") == 0)
        code = infer(context, argv);
    else if (argc == 2 && strcmp(argv[1], "peak") == 0)
        code = peak(context);
    else
        fprintf(stderr, "usage: see bench/engram.c\n");
    eg_context_free(context);
    return code;
}
