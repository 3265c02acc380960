/* engram VERB ...: finds the verb, parses its arguments, runs it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const cli_verb cli_finetune_verb, cli_eval_verb, cli_predict_verb, cli_inspect_verb, cli_check_verb,
    cli_compare_verb, cli_bench_verb, cli_config_verb, cli_doctor_verb;

const cli_verb *const cli_verbs[] = {
    &cli_finetune_verb, &cli_eval_verb,  &cli_predict_verb, &cli_inspect_verb, &cli_check_verb,
    &cli_compare_verb,  &cli_bench_verb, &cli_config_verb,  &cli_doctor_verb,  NULL};

static void print_usage(FILE *to)
{
    fprintf(to, "engram: fine-tunes pretrained networks on your data without forgetting what they knew\n\n");
    for (int i = 0; cli_verbs[i]; i++)
        fprintf(to, "  engram %s\n", cli_verbs[i]->usage);
    fprintf(to, "\nengram VERB --help tells more, engram config --schema lists every key=value, engram --version the "
                "version.\n");
}

static int unknown_verb(const char *name)
{
    const char *names[CLI_LIST_MAX];
    int n = 0;
    while (cli_verbs[n]) {
        names[n] = cli_verbs[n]->name;
        n++;
    }
    const char *near = cli_nearest(name, names, n);
    fprintf(stderr, "engram: no verb '%s'%s%s%s; engram --help lists them\n", name, near ? ", did you mean '" : "",
            near ? near : "", near ? "'" : "");
    return CLI_USAGE;
}

/* GNU OpenMP lets idle threads spin for milliseconds, which costs a busy machine most of its speed, and reads how long
 * from the environment before main() begins. So the command sets it, unless the user did, and starts itself again.
 * About 100 us of spinning covers the gaps inside a step. */
static void wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("GOMP_SPINCOUNT", "10000", 0) == 0)
        execv("/proc/self/exe", argv); /* comes back only when it failed: then the spinning stays */
}

static int open_and_run(const cli_verb *verb, const cli_args *args)
{
    eg_context *context = NULL;
    eg_config *config = NULL;
    int rc = cli_open(args, &context, &config);
    if (rc != CLI_OK)
        return rc;
    rc = verb->run(args, context, config);
    eg_config_free(config);
    eg_context_free(context);
    return rc;
}

static int run_verb(const cli_verb *verb, int argc, char **argv)
{
    cli_args args = {0};
    const int rc = cli_parse(&args, verb, argc, argv);
    if (rc != CLI_OK)
        return rc;
    if (args.help) {
        cli_print_help(verb, stdout);
        return CLI_OK;
    }
    cli_catch_signals();
    return open_and_run(verb, &args);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("engram %s\n", eg_version());
        return CLI_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return CLI_OK;
    }
    for (int i = 0; cli_verbs[i]; i++)
        if (strcmp(argv[1], cli_verbs[i]->name) == 0) {
            wait_passively(argv);
            const int rc = run_verb(cli_verbs[i], argc - 2, argv + 2);
            if (fflush(stdout) != 0 && rc == CLI_OK) {
                fprintf(stderr, "engram: standard output could not be written\n");
                return CLI_INTERNAL;
            }
            return rc;
        }
    return unknown_verb(argv[1]);
}
