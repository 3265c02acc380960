#include "cli/cli.h"

#include <string.h>

#define OPTION(symbol, name_, brief_, kind_, field, value_, help_)  \
    const cli_option symbol = {.name = name_,                       \
                               .brief = brief_,                     \
                               .kind = kind_,                       \
                               .offset = offsetof(cli_args, field), \
                               .value = value_,                     \
                               .help = help_}

OPTION(cli_data, "--data", "-d", CLI_LIST, data, "PATH",
       "data set: IDX, CIFAR, NPZ, CSV or a folder per class; PATH:train, PATH:test name a part");
OPTION(cli_keep, "--keep", "-k", CLI_LIST, keep, "PATH", "data of an old task to protect; may be given several times");
OPTION(cli_config, "--config", "-c", CLI_TEXT, config, "FILE",
       "YAML configuration; key=value on the command line wins");
OPTION(cli_out, "--out", "-o", CLI_TEXT, out, "DIR", "folder for the files of the run (default: runs/NAME)");
OPTION(cli_out_file, "--out", "-o", CLI_TEXT, out, "FILE", "where to write (default: standard output)");
OPTION(cli_arch, "--arch", NULL, CLI_TEXT, arch, "FILE", "architecture JSON, for weights-only files that bring none");
OPTION(cli_against, "--against", NULL, CLI_TEXT, against, "MODEL", "an older model: which predictions flipped");
OPTION(cli_task, "--task", NULL, CLI_TEXT, task, "NAME",
       "whose classes the labels mean (default: by name, else by index)");
OPTION(cli_format, "--format", NULL, CLI_TEXT, format, "csv|jsonl", "lines to write (default: csv)");
OPTION(cli_json, "--json", NULL, CLI_FLAG, json, NULL, "one JSON object on standard output");
OPTION(cli_resolve, "--resolve", NULL, CLI_FLAG, resolve, NULL, "print the whole configuration as it would be used");
OPTION(cli_schema, "--schema", NULL, CLI_FLAG, schema, NULL, "list every key with its default, bounds and meaning");
OPTION(cli_batch, "--batch", "-b", CLI_LIST, batch, "N",
       "examples a step; may be given several times (default: 1, 32, 256, and finetune.batch for training)");
OPTION(cli_seconds, "--seconds", NULL, CLI_TEXT, seconds, "S", "for each measurement, about (default: 1)");
OPTION(cli_train, "--train", NULL, CLI_FLAG, train, NULL, "training only");
OPTION(cli_infer, "--infer", NULL, CLI_FLAG, infer, NULL, "inference only");
OPTION(cli_out_pictures, "--out", "-o", CLI_TEXT, out, "DIR", "folder for a picture (SVG) of each measurement");

static const cli_option help_option = {
    .name = "--help", .brief = "-h", .kind = CLI_FLAG, .offset = offsetof(cli_args, help), .help = "this text"};

static const cli_option *find_option(const cli_verb *verb, const char *word, size_t length)
{
    const cli_option *all[CLI_LIST_MAX];
    int n = 0;
    for (; verb->options[n]; n++)
        all[n] = verb->options[n];
    all[n++] = &help_option;
    for (int i = 0; i < n; i++)
        if ((strlen(all[i]->name) == length && strncmp(all[i]->name, word, length) == 0) ||
            (all[i]->brief && strlen(all[i]->brief) == length && strncmp(all[i]->brief, word, length) == 0))
            return all[i];
    return NULL;
}

static int append(cli_list *list, const char *text, const char *what)
{
    if (list->n == CLI_LIST_MAX) {
        fprintf(stderr, "engram: more than %d %s\n", CLI_LIST_MAX, what);
        return CLI_USAGE;
    }
    list->v[list->n++] = text;
    return CLI_OK;
}

static int store(cli_args *out, const cli_option *option, const char *value)
{
    char *field = (char *)out + option->offset;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return CLI_OK;
    case CLI_TEXT:
        *(const char **)field = value;
        return CLI_OK;
    case CLI_LIST:
        return append((cli_list *)field, value, option->name);
    }
    return CLI_INTERNAL;
}

static int unknown_option(const cli_verb *verb, const char *word)
{
    const char *names[CLI_LIST_MAX];
    int n = 0;
    for (; verb->options[n]; n++)
        names[n] = verb->options[n]->name;
    const char *near = cli_nearest(word, names, n);
    fprintf(stderr, "engram %s: no option '%s'%s%s%s; engram %s --help lists them\n", verb->name, word,
            near ? ", did you mean '" : "", near ? near : "", near ? "'" : "", verb->name);
    return CLI_USAGE;
}

/* Takes argv[*i], and its value where the option has one: "--out=DIR" or "--out DIR". */
static int parse_option(cli_args *out, const cli_verb *verb, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const cli_option *option = find_option(verb, word, length);
    if (!option)
        return unknown_option(verb, word);
    if (option->kind == CLI_FLAG)
        return store(out, option, NULL);
    const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (!value || !*value) {
        fprintf(stderr, "engram %s: %s wants a value: %s %s\n", verb->name, option->name, option->name, option->value);
        return CLI_USAGE;
    }
    return store(out, option, value);
}

/* "finetune.lr=0.1" is a setting; "./a=b" and "x=1/y.h5" whose left side is no dotted key are paths. */
static bool is_setting(const char *word)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return false;
    for (const char *c = word; c < equals; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '.'))
            return false;
    return word[0] != '.';
}

static int check_counts(const cli_args *args, const cli_verb *verb)
{
    if (args->help || (args->paths.n >= verb->min_paths && args->paths.n <= verb->max_paths))
        return CLI_OK;
    if (args->paths.n < verb->min_paths)
        fprintf(stderr, "engram %s: too few paths; usage: engram %s\n", verb->name, verb->usage);
    else
        fprintf(stderr, "engram %s: '%s' is one path too many; usage: engram %s\n", verb->name,
                args->paths.v[verb->max_paths], verb->usage);
    return CLI_USAGE;
}

int cli_parse(cli_args *out, const cli_verb *verb, int argc, char **argv)
{
    bool options = true;
    int rc = CLI_OK;
    for (int i = 0; i < argc && rc == CLI_OK; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && argv[i][0] == '-' && argv[i][1])
            rc = parse_option(out, verb, argc, argv, &i);
        else if (options && verb->settings && is_setting(argv[i]))
            rc = append(&out->settings, argv[i], "settings");
        else
            rc = append(&out->paths, argv[i], "paths");
    }
    return rc == CLI_OK ? check_counts(out, verb) : rc;
}

void cli_print_help(const cli_verb *verb, FILE *to)
{
    fprintf(to, "usage: engram %s\n\n%s\n\noptions:\n", verb->usage, verb->help);
    for (int i = 0; verb->options[i]; i++) {
        const cli_option *o = verb->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", o->brief ? o->brief : "", o->brief ? ", " : "", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
        fprintf(to, "  %-22s %s\n", left, o->help);
    }
    fprintf(to, "  %-22s %s\n", "-h, --help", help_option.help);
    if (verb->settings)
        fprintf(to, "  %-22s %s\n", "KEY=VALUE ...", "any key of the configuration: engram config --schema lists them");
}

/* Levenshtein distance of short words. */
static int distance(const char *a, const char *b)
{
    int row[64];
    const int n = (int)strlen(b);
    if (n >= 64)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            const int insert = row[j - 1] + 1, delete = row[j] + 1;
            row[j] = replace < insert ? (replace < delete ? replace : delete) : insert < delete ? insert : delete;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *name, const char *const *names, int n)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 3 + 2;
    for (int i = 0; i < n; i++)
        if (distance(name, names[i]) < least) {
            least = distance(name, names[i]);
            best = names[i];
        }
    return best;
}
