/** cli/cli.h: what the verbs share: arguments, exit codes, printing. */
#ifndef CLI_H
#define CLI_H

#include "engram/engram.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    CLI_OK = 0,
    CLI_INTERNAL = 1,
    CLI_USAGE = 2,
    CLI_DATA = 3,
    CLI_MODEL = 4,
    CLI_DEVICE = 5,
    CLI_DIVERGED = 6,
    CLI_BUDGET = 7,
    CLI_SIGINT = 130,
    CLI_SIGTERM = 143
};

#define CLI_LIST_MAX 64

typedef struct cli_list {
    const char *v[CLI_LIST_MAX];
    int n;
} cli_list;

/** The command line, parsed. Strings are argv's. */
typedef struct cli_args {
    cli_list paths;    /* positional arguments */
    cli_list settings; /* key=value */
    cli_list data, keep;
    cli_list batch;
    const char *config, *out, *arch, *against, *task, *format, *seconds;
    bool json, help, resolve, schema, train, infer;
} cli_args;

typedef enum cli_option_kind { CLI_FLAG, CLI_TEXT, CLI_LIST } cli_option_kind;

typedef struct cli_option {
    const char *name;  /* "--data" */
    const char *brief; /* "-o", or NULL */
    cli_option_kind kind;
    size_t offset;
    const char *value; /* "PATH", for the help */
    const char *help;
} cli_option;

typedef struct cli_verb {
    const char *name, *usage, *help;  /* help: what it does, then examples */
    const cli_option *const *options; /* NULL-ended */
    int min_paths, max_paths;
    bool settings; /* takes key=value */
    int (*run)(const cli_args *args, eg_context *context, eg_config *config);
} cli_verb;

extern const cli_verb *const cli_verbs[]; /* NULL-ended */

extern const cli_option cli_data, cli_keep, cli_config, cli_out, cli_out_file, cli_arch, cli_against, cli_task,
    cli_format, cli_json, cli_resolve, cli_schema, cli_batch, cli_seconds, cli_train, cli_infer, cli_out_pictures;

/** Parses argv after the verb. Returns CLI_OK or CLI_USAGE after printing why. */
int cli_parse(cli_args *out, const cli_verb *verb, int argc, char **argv);
void cli_print_help(const cli_verb *verb, FILE *to);
/** The name nearest to a mistyped one, or NULL. */
const char *cli_nearest(const char *name, const char *const *names, int n);

/* --- failing ------------------------------------------------------------------------------------------------------ */

/** What was being done when a call failed: it decides the exit code of an input error. */
typedef enum cli_stage { CLI_AT_CONFIG, CLI_AT_DATA, CLI_AT_MODEL, CLI_AT_RUN } cli_stage;

/** Prints "engram: MESSAGE" and returns the exit code of a status; CLI_OK passes silently. */
int cli_check(cli_stage stage, eg_status status);

/* --- opening ------------------------------------------------------------------------------------------------------ */

/** Context and configuration from -c and key=value, for every verb. */
int cli_open(const cli_args *args, eg_context **context, eg_config **config);
int cli_load_model(const cli_args *args, eg_context *context, const char *path, eg_model **model);

/* --- printing ----------------------------------------------------------------------------------------------------- */

/** Is this stream a terminal that wants colour (NO_COLOR unset)? */
bool cli_colour(FILE *to);
/** "107,786" */
typedef struct cli_text {
    char s[64];
} cli_text;
cli_text cli_count(int64_t n);
cli_text cli_bytes(int64_t n);
cli_text cli_percent(double share);    /* "98.81 %", "-" for NaN */
cli_text cli_duration(double seconds); /* "02:41" */
/** A NaN becomes null: JSON has none. */
json_t *cli_real(double value);
/** Prints one JSON object on stdout and frees it. */
int cli_print_json(json_t *object);
/** Writes text to `path` through a temporary file and a rename; "-" or NULL: stdout. */
int cli_save_text(const char *path, const char *text);

/** The table of a profile: its head, the operations that took longest (at most `most`; 0: all), what is outside. */
void cli_print_profile(const eg_profile *profile, int most);

/** Puts --data, --keep and MODEL into the configuration and copies the model's path out. For finetune and check. */
int cli_job_config(const cli_args *args, eg_config *config, char *model_path, size_t room);

/** Set by SIGINT and SIGTERM: the signal's number. */
extern volatile int cli_signal;
void cli_catch_signals(void);

#endif
