/* engram config: the keys, and the configuration as it would be used. */
#include "cli/cli.h"

#include <math.h>

static json_t *entry_json(const eg_config_entry *e)
{
    return json_pack("{s:s, s:s, s:s?, s:s, s:o, s:o, s:s}", "key", e->key, "kind", e->kind, "default", e->fallback,
                     "choices", e->choices, "min", cli_real(e->min), "max", cli_real(e->max), "help", e->help);
}

static int print_schema(bool json)
{
    eg_config_entry e;
    json_t *all = json_array();
    for (int64_t i = 0; eg_config_schema(i, &e); i++) {
        if (json)
            json_array_append_new(all, entry_json(&e));
        else
            printf("%-32s %-8s %-12s %s%s%s\n", e.key, e.kind, e.fallback ? e.fallback : "",
                   *e.choices ? e.choices : "", *e.choices ? ": " : "", e.help);
    }
    if (json)
        return cli_print_json(json_pack("{s:o}", "keys", all));
    json_decref(all);
    return CLI_OK;
}

static int print_json(const eg_config *config)
{
    eg_config_entry e;
    json_t *all = json_object();
    for (int64_t i = 0; eg_config_schema(i, &e); i++)
        json_object_set_new(all, e.key, json_string(eg_config_get(config, e.key)));
    return cli_print_json(all);
}

static int run(const cli_args *args, eg_context *context, eg_config *config)
{
    if (args->schema)
        return print_schema(args->json);
    if (args->json)
        return print_json(config);
    char *text = NULL;
    int rc = cli_check(CLI_AT_CONFIG, eg_config_print(&text, config));
    if (rc == CLI_OK)
        rc = cli_save_text(args->out, text);
    eg_text_free(context, text);
    return rc;
}

static const cli_option *const options[] = {&cli_config, &cli_resolve, &cli_schema, &cli_out_file, &cli_json, NULL};

const cli_verb cli_config_verb = {
    .name = "config",
    .usage = "config [--resolve | --schema] [-c run.yaml] [key=value ...]",
    .help = "Prints the whole configuration as YAML (--resolve, the default), or lists every key (--schema).",
    .options = options,
    .settings = true,
    .run = run,
};
