/* engram check: would finetune run? */
#include "cli/cli.h"

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    char model_path[4096];
    eg_model *model = NULL;
    char *report = NULL;
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = config;
    int rc = cli_job_config(args, config, model_path, sizeof model_path);
    if (rc == CLI_OK)
        rc = cli_load_model(args, context, model_path, &model);
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_RUN, eg_finetune_check(&report, model, &job));
    if (rc == CLI_OK && args->json)
        rc = cli_print_json(json_pack("{s:b, s:s}", "ok", 1, "report", report));
    else if (rc == CLI_OK)
        printf("%s\nok: finetune would run\n", report);
    eg_text_free(context, report);
    eg_model_free(model);
    return rc;
}

static const cli_option *const options[] = {&cli_data, &cli_keep, &cli_config, &cli_arch, &cli_json, NULL};

const cli_verb cli_check_verb = {
    .name = "check",
    .usage = "check MODEL --data NEW [--keep OLD ...] [-c run.yaml] [key=value ...]",
    .help = "A dry run: loads everything, takes one step on a copy, and says what finetune would do:\n"
            "ranges of the inputs as the network sees them, the memory plan, an estimate of the time.",
    .options = options,
    .max_paths = 1,
    .settings = true,
    .run = run,
};
