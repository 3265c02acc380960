/* engram finetune: the main job. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct screen {
    FILE *lines;   /* where the head and the epochs go: stderr with --json */
    bool terminal; /* the progress line is redrawn in place */
    bool drawn;
    bool titled;
    double last; /* seconds left, as last drawn */
} screen;

static void erase_line(screen *s)
{
    if (s->drawn)
        fprintf(stderr, "\r\033[K");
    s->drawn = false;
}

static void on_line(void *user, const char *line)
{
    screen *s = user;
    erase_line(s);
    fprintf(s->lines, "%s\n", line);
    fflush(s->lines);
}

static void print_title(screen *s)
{
    if (!s->titled)
        fprintf(s->lines, "  epoch     loss      new     keep   change        lr     img/s    time\n");
    s->titled = true;
}

static void print_percent(FILE *to, double share)
{
    if (isnan(share))
        fprintf(to, "        -");
    else
        fprintf(to, "  %6.2f%%", share * 100);
}

static void print_epoch(screen *s, const eg_epoch_result *e, int64_t epochs, double keep_before)
{
    print_title(s);
    fprintf(s->lines, " %3lld/%-3lld", (long long)e->epoch, (long long)epochs);
    if (isnan(e->loss))
        fprintf(s->lines, "        -");
    else
        fprintf(s->lines, " %8.4f", e->loss);
    print_percent(s->lines, e->new_accuracy);
    print_percent(s->lines, e->keep_accuracy);
    if (isnan(e->keep_accuracy) || isnan(keep_before))
        fprintf(s->lines, "        -");
    else
        fprintf(s->lines, "  %+6.2f", (e->keep_accuracy - keep_before) * 100);
    if (e->epoch == 0)
        fprintf(s->lines, "         -         -       -\n");
    else
        fprintf(s->lines, "  %8.2e  %8s  %6s%s\n", e->lr, cli_count((int64_t)e->examples_per_second).s,
                cli_duration(e->seconds).s, e->best ? "  *best" : "");
    fflush(s->lines);
}

static double keep_before = NAN; /* of the selection split, set by epoch 0 */

static bool on_progress(void *user, const eg_progress *p)
{
    screen *s = user;
    if (p->finished) {
        erase_line(s);
        if (p->finished->epoch == 0)
            keep_before = p->finished->keep_accuracy;
        print_epoch(s, p->finished, p->epochs, keep_before);
    } else if (s->terminal) {
        const int width = 24, done = p->steps > 0 ? (int)(width * p->step / p->steps) : 0;
        fprintf(stderr, "\r\033[K %3lld/%-3lld [%.*s%.*s] loss %.4f  %s img/s  %s left", (long long)p->epoch,
                (long long)p->epochs, done, "========================", width - done, "                        ",
                p->loss, cli_count((int64_t)p->examples_per_second).s, cli_duration(p->seconds_left).s);
        fflush(stderr);
        s->drawn = true;
    }
    return cli_signal == 0;
}

/* --- printing the result ------------------------------------------------------------------------------------------ */

static int print_json(eg_context *context, const eg_finetune_result *r)
{
    char *text = NULL;
    int rc = cli_check(CLI_AT_RUN, eg_finetune_json(&text, context, r));
    if (rc == CLI_OK)
        rc = cli_save_text(NULL, text);
    eg_text_free(context, text);
    return rc;
}

static void print_keep(const eg_keep_result *k)
{
    printf("after   keep %s %s (%+.2f, budget %.2f: %s)   forgotten %s of %s | learned %s\n", k->name,
           cli_percent(k->after).s, (k->after - k->before) * 100, -k->budget * 100, k->met ? "met" : "MISSED",
           cli_count(k->negative_flips).s, cli_count(k->n).s, cli_count(k->positive_flips).s);
}

static void print_result(const eg_finetune_result *r)
{
    for (int64_t i = 0; i < r->n_keep; i++)
        print_keep(&r->keep[i]);
    printf("after   new %s %s (before %s)\n", r->new_name, cli_percent(r->new_after).s, cli_percent(r->new_before).s);
    if (r->n_keep)
        printf("        average accuracy %s | backward transfer %+.2f | forgetting (max - end) %.2f\n",
               cli_percent(r->average_accuracy).s, r->backward_transfer * 100, r->forgetting * 100);
    if (*r->verdict)
        printf("curves  %s\n", r->verdict);
    if (r->profile)
        cli_print_profile(r->profile, 24);
    if (r->epochs_run)
        printf("time    %s | %s img/s | best epoch %lld of %lld%s\n", cli_duration(r->seconds).s,
               cli_count((int64_t)r->examples_per_second).s, (long long)r->best_epoch, (long long)r->epochs_run,
               r->stopped_early ? " (stopped early)" : "");
    if (*r->model_path)
        printf("wrote   %s (opens in Keras 2 and 3)\n", r->model_path);
    else if (r->cancelled)
        printf("stopped before the first epoch ended: nothing was written\n");
}

static int exit_code(const eg_finetune_result *r)
{
    if (r->cancelled && cli_signal)
        return 128 + cli_signal;
    if (r->diverged)
        return CLI_DIVERGED;
    return r->budget_met ? CLI_OK : CLI_BUDGET;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static int join(eg_config *config, const char *key, const cli_list *list)
{
    char text[8192];
    size_t at = 0;
    if (!list->n)
        return CLI_OK;
    for (int i = 0; i < list->n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? "," : "", list->v[i]);
    if (at >= sizeof text) {
        fprintf(stderr, "engram: the paths of %s are too long\n", key);
        return CLI_USAGE;
    }
    return cli_check(CLI_AT_CONFIG, eg_config_set(config, key, text));
}

int cli_job_config(const cli_args *args, eg_config *config, char *model_path, size_t room)
{
    if (args->data.n > 1) {
        fprintf(stderr, "engram: one --data, the new task; old tasks go to --keep\n");
        return CLI_USAGE;
    }
    int rc = join(config, "data.new", &args->data);
    if (rc == CLI_OK)
        rc = join(config, "data.keep", &args->keep);
    if (rc == CLI_OK && args->paths.n)
        rc = cli_check(CLI_AT_CONFIG, eg_config_set(config, "model", args->paths.v[0]));
    if (rc != CLI_OK)
        return rc;
    const char *model = args->paths.n ? args->paths.v[0] : eg_config_get(config, "model");
    snprintf(model_path, room, "%s", model ? model : "");
    const char *data = eg_config_get(config, "data.new");
    if (!*model_path) {
        fprintf(stderr, "engram: which model? give its path, or model: in the configuration\n");
        return CLI_USAGE;
    }
    if (!data || !*data) {
        fprintf(stderr, "engram: which data? give --data PATH, or data.new in the configuration\n");
        return CLI_USAGE;
    }
    return CLI_OK;
}

/* runs/NAME of the new data; runs/NAME-2 ... when it is there already: a run never overwrites an older one unasked. */
static void default_out(const char *data, char *out, size_t room)
{
    char name[256];
    snprintf(name, sizeof name, "%s", data);
    char *part = strrchr(name, ':');
    if (part && (strcmp(part, ":train") == 0 || strcmp(part, ":test") == 0 || strcmp(part, ":all") == 0))
        *part = '\0';
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        name[--n] = '\0';
    const char *base = strrchr(name, '/');
    base = base && base[1] ? base + 1 : name;
    snprintf(out, room, "runs/%s", base);
    for (int i = 2; access(out, F_OK) == 0 && i < 10000; i++)
        snprintf(out, room, "runs/%s-%d", base, i);
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    char model_path[4096], out_dir[4096];
    eg_model *model = NULL;
    eg_finetune_result *result = NULL;
    screen s = {.lines = args->json ? stderr : stdout, .terminal = isatty(fileno(stderr)) != 0};
    int rc = cli_job_config(args, config, model_path, sizeof model_path);
    if (rc != CLI_OK)
        return rc;
    if (args->out)
        snprintf(out_dir, sizeof out_dir, "%s", args->out);
    else
        default_out(eg_config_get(config, "data.new"), out_dir, sizeof out_dir);
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config;
    job.out_dir = out_dir;
    job.progress = on_progress;
    job.line = on_line;
    job.user = &s;

    rc = cli_load_model(args, context, model_path, &model);
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_RUN, eg_finetune(&result, model, &job));
    erase_line(&s);
    if (rc == CLI_OK) {
        if (args->json)
            rc = print_json(context, result);
        else
            print_result(result);
        rc = rc == CLI_OK ? exit_code(result) : rc;
    }
    eg_finetune_result_free(result);
    eg_model_free(model);
    return rc;
}

static const cli_option *const options[] = {&cli_data, &cli_keep, &cli_config, &cli_out, &cli_arch, &cli_json, NULL};

const cli_verb cli_finetune_verb = {
    .name = "finetune",
    .usage = "finetune MODEL --data NEW [--keep OLD ...] [-c run.yaml] [-o DIR] [key=value ...]",
    .help = "Learns the new data, keeps the old within remember.budget, measures both, writes a Keras file.\n"
            "Without --keep, the memory inside the model file protects what an earlier run learned; without\n"
            "that, the pretrained weights themselves do (L2-SP).\n\n"
            "  engram finetune lenet5.h5 --data fashion/ --keep mnist/\n"
            "  engram finetune net.h5 --data new.npz remember.budget=0.005 finetune.epochs=3\n\n"
            "Exit code 7: the budget was missed (the model is written all the same).",
    .options = options,
    .max_paths = 1,
    .settings = true,
    .run = run,
};
