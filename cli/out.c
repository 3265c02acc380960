#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile int cli_signal = 0;

static void on_signal(int number)
{
    if (cli_signal) /* the second one does not wait for the run to end */
        _exit(128 + number);
    cli_signal = number;
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a full quota is a write error, not a silent death */
}

bool cli_colour(FILE *to)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(to)) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

cli_text cli_count(int64_t n)
{
    char digits[32];
    cli_text out;
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        out.s[at++] = digits[i];
        const int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-')
            out.s[at++] = ',';
    }
    out.s[at] = '\0';
    return out;
}

cli_text cli_bytes(int64_t n)
{
    cli_text out;
    if (n < 1 << 20)
        snprintf(out.s, sizeof out.s, "%.0f kB", (double)n / 1e3);
    else
        snprintf(out.s, sizeof out.s, n < 100 << 20 ? "%.1f MB" : "%.0f MB", (double)n / 1e6);
    return out;
}

cli_text cli_percent(double share)
{
    cli_text out = {"-"};
    if (!isnan(share))
        snprintf(out.s, sizeof out.s, "%.2f %%", share * 100);
    return out;
}

cli_text cli_duration(double seconds)
{
    cli_text out;
    const long s = seconds > 0 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out.s, sizeof out.s, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out.s, sizeof out.s, "%02ld:%02ld", s / 60, s % 60);
    return out;
}

json_t *cli_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int cli_print_json(json_t *object)
{
    if (!object) {
        fprintf(stderr, "engram: no memory for the JSON output\n");
        return CLI_INTERNAL;
    }
    const int failed = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(object);
    return failed ? CLI_INTERNAL : CLI_OK;
}

int cli_save_text(const char *path, const char *text)
{
    if (!path || strcmp(path, "-") == 0)
        return fputs(text, stdout) < 0 ? CLI_INTERNAL : CLI_OK;
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.tmp%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    bool good = file && fputs(text, file) >= 0;
    good = file && fclose(file) == 0 && good && rename(temporary, path) == 0;
    if (good)
        return CLI_OK;
    fprintf(stderr, "engram: '%s' could not be written: %s\n", path, strerror(errno));
    remove(temporary);
    return CLI_INTERNAL;
}

/* --- failing ------------------------------------------------------------------------------------------------------ */

int cli_check(cli_stage stage, eg_status status)
{
    static const int input[] = {
        [CLI_AT_CONFIG] = CLI_USAGE, [CLI_AT_DATA] = CLI_DATA, [CLI_AT_MODEL] = CLI_MODEL, [CLI_AT_RUN] = CLI_INTERNAL};
    if (status == EG_OK)
        return CLI_OK;
    fprintf(stderr, "engram: %s\n", *eg_last_message() ? eg_last_message() : eg_status_words(status));
    switch (status) {
    case EG_ERR_CONFIG:
        return CLI_USAGE;
    case EG_ERR_DATA:
        return CLI_DATA;
    case EG_ERR_FORMAT:
    case EG_ERR_UNSUPPORTED:
        return stage == CLI_AT_DATA ? CLI_DATA : stage == CLI_AT_CONFIG ? CLI_USAGE : CLI_MODEL;
    case EG_ERR_SHAPE:
        return stage == CLI_AT_MODEL ? CLI_MODEL : CLI_DATA;
    case EG_ERR_NOMEM:
    case EG_ERR_DEVICE:
        return CLI_DEVICE;
    case EG_ERR_NUMERIC:
        return stage == CLI_AT_MODEL ? CLI_MODEL : CLI_DIVERGED;
    case EG_ERR_CANCELLED:
        return cli_signal ? 128 + cli_signal : CLI_INTERNAL;
    case EG_ERR_INTERNAL:
        return CLI_INTERNAL;
    default:
        return input[stage];
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void log_line(void *user, eg_log_level level, const char *line)
{
    (void)user;
    fprintf(stderr, level == EG_LOG_WARNING ? "warning: %s\n" : "%s\n", line);
}

static int apply_settings(const cli_args *args, eg_config *config)
{
    int bad = 0;
    for (int i = 0; i < args->settings.n; i++) {
        char key[128];
        const char *word = args->settings.v[i], *equals = strchr(word, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
        if (cli_check(CLI_AT_CONFIG, eg_config_set(config, key, equals + 1)) != CLI_OK)
            bad++;
    }
    return bad ? CLI_USAGE : CLI_OK;
}

static int load_config(const cli_args *args, eg_config *config)
{
    if (!args->config)
        return CLI_OK;
    const eg_status status = eg_config_load(config, args->config);
    if (status == EG_ERR_CONFIG && *eg_config_errors(config)) {
        fprintf(stderr, "%s\n", eg_config_errors(config));
        return CLI_USAGE;
    }
    return cli_check(CLI_AT_CONFIG, status);
}

static int build_config(const cli_args *args, eg_context *context, eg_config **out)
{
    eg_config *config = NULL;
    int rc = cli_check(CLI_AT_CONFIG, eg_config_create(&config, context));
    if (rc == CLI_OK)
        rc = load_config(args, config);
    if (rc == CLI_OK)
        rc = apply_settings(args, config);
    if (rc == CLI_OK)
        rc = cli_check(CLI_AT_CONFIG, eg_context_configure(context, config));
    if (rc != CLI_OK) {
        eg_config_free(config);
        return rc;
    }
    *out = config;
    return CLI_OK;
}

int cli_open(const cli_args *args, eg_context **context, eg_config **config)
{
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.log = log_line;
    options.device = "configured";
    eg_context *c = NULL;
    int rc = cli_check(CLI_AT_RUN, eg_context_create(&c, &options));
    eg_config *own = NULL;
    if (rc == CLI_OK)
        rc = build_config(args, c, &own);
    if (rc != CLI_OK) {
        eg_context_free(c);
        return rc;
    }
    *context = c;
    *config = own;
    return CLI_OK;
}

int cli_load_model(const cli_args *args, eg_context *context, const char *path, eg_model **model)
{
    eg_load_options options = EG_LOAD_OPTIONS_INIT;
    options.arch = args->arch;
    return cli_check(CLI_AT_MODEL, eg_model_load(model, context, path, &options));
}
