/* engram doctor: does this machine do what it should? */
#include "cli/cli.h"

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    (void)config;
    char *lines = NULL;
    bool ok = false;
    int rc = cli_check(CLI_AT_RUN, eg_selftest(&lines, &ok, context));
    if (rc != CLI_OK)
        return rc;
    if (args->json) {
        rc = cli_print_json(json_pack("{s:s, s:s, s:i, s:s, s:b, s:s}", "version", eg_version(), "device",
                                      eg_context_describe(context), "threads", eg_context_threads(context), "cuda",
                                      "unsupported in this version", "ok", ok, "selftest", lines));
    } else {
        printf("engram  %s\ndevice  %s\ncuda    unsupported in this version\n%s\n%s\n", eg_version(),
               eg_context_describe(context), lines, ok ? "ok" : "NOT OK: do not trust results of this machine");
    }
    eg_text_free(context, lines);
    return rc == CLI_OK && !ok ? CLI_DEVICE : rc;
}

static const cli_option *const options[] = {&cli_json, NULL};

const cli_verb cli_doctor_verb = {
    .name = "doctor",
    .usage = "doctor",
    .help = "Device, threads, vector units, library versions, and a self-test on synthetic data.",
    .options = options,
    .settings = true,
    .run = run,
};
