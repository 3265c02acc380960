/* engram doctor: does this machine do what it should? */
#include "cli/cli.h"

#include <string.h>

static const char *after(const char *prefix, const char *text)
{
    const size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : text;
}

/* What a context on the first GPU says of it, or why there is none. */
static void describe_cuda(char *out, size_t room)
{
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.device = "cuda";
    options.threads = 1;
    eg_context *context = NULL;
    if (eg_context_create(&context, &options) != EG_OK)
        snprintf(out, room, "%s", after("cuda: ", eg_last_message()));
    else
        snprintf(out, room, "%s", after("cuda, 1 thread, ", eg_context_describe(context)));
    eg_context_free(context);
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    (void)config;
    char *lines = NULL, cuda[256];
    bool ok = false;
    describe_cuda(cuda, sizeof cuda);
    int rc = cli_check(CLI_AT_RUN, eg_selftest(&lines, &ok, context));
    if (rc != CLI_OK)
        return rc;
    if (args->json) {
        rc = cli_print_json(json_pack("{s:s, s:s, s:i, s:s, s:b, s:s}", "version", eg_version(), "device",
                                      eg_context_describe(context), "threads", eg_context_threads(context), "cuda",
                                      cuda, "ok", ok, "selftest", lines));
    } else {
        printf("engram  %s\ndevice  %s\ncuda    %s\n%s\n%s\n", eg_version(), eg_context_describe(context), cuda, lines,
               ok ? "ok" : "NOT OK: do not trust results of this machine");
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
