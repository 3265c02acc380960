#include "finetune/report.h"

#include "core/file.h"
#include "core/text.h"
#include "finetune/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEP_BUFFER ((size_t)1 << 16)
#define FILES       6

/* profile.svg, of a profiled run only, is the last one. */
enum { FILE_CONFIG, FILE_CSV, FILE_JSONL, FILE_REPORT, FILE_LOG, FILE_PROFILE };
static const char *const file_names[FILES] = {"config.yaml", "metrics.csv", "metrics.jsonl",
                                              "report.json", "log.txt",     "profile.svg"};

struct egi_report {
    eg_context *context;
    char *path[FILES];
    char *made; /* the folder, where this run made it: it goes away again when nothing is written */
    const char *wrote[FILES + 1];
    egi_text config, csv, log;
    char *jsonl_part; /* metrics.jsonl while it is written */
    int jsonl;        /* its descriptor, -1: none */
    char *buffer;     /* STEP_BUFFER bytes on their way to it */
    size_t buffered;
    bool by_step;
    locale_t plain; /* numbers have a point, whatever the program's language */
};

/* --- text --------------------------------------------------------------------------------------------------------- */

/* A number, or `nothing` where there is none. */
static const char *number(const egi_report *r, double value, const char *nothing, char text[40])
{
    if (!isfinite(value))
        return nothing;
    const locale_t old = uselocale(r->plain);
    snprintf(text, 40, "%.10g", value);
    uselocale(old);
    return text;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static eg_status make_paths(egi_report *r, const char *folder)
{
    const size_t n = strlen(folder);
    for (int i = 0; i < FILES; i++)
        EG_TRY(
            egi_format(&r->path[i], r->context, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", file_names[i]));
    return EG_OK;
}

/* The configuration as it was at the start; it goes to the disk with everything else. */
static eg_status keep_config(egi_report *r, const eg_config *config)
{
    char *yaml;
    EG_TRY(eg_config_print(&yaml, config));
    const eg_status status = egi_text_add(&r->config, yaml);
    egi_free(r->context, yaml);
    return status;
}

static eg_status fail_write(const char *path)
{
    const int error = errno;
    char words[128];
    return egi_fail(EG_ERR_IO, "%s: cannot write: %s", path, strerror_r(error, words, sizeof words));
}

static eg_status open_jsonl(egi_report *r)
{
    EG_TRY(egi_alloc(&r->buffer, r->context, STEP_BUFFER, 1));
    EG_TRY(egi_file_temporary(&r->jsonl_part, r->context, r->path[FILE_JSONL]));
    r->jsonl = open(r->jsonl_part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return r->jsonl < 0 ? fail_write(r->jsonl_part) : EG_OK;
}

static eg_status begin(egi_report *r, const char *folder, const eg_config *config)
{
    r->plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!r->plain)
        return egi_fail(EG_ERR_NOMEM, "report: no memory");
    if (access(folder, F_OK) != 0)
        EG_TRY(egi_strdup(&r->made, r->context, folder));
    EG_TRY(egi_folder_create(r->context, folder));
    EG_TRY(make_paths(r, folder));
    EG_TRY(keep_config(r, config));
    EG_TRY(egi_text_add(&r->log, ""));
    EG_TRY(egi_text_add(
        &r->csv, "epoch,loss,accuracy,validation_loss,new_accuracy,keep_accuracy,lr,strength,mix,examples_per_second,"
                 "seconds,best\n"));
    return open_jsonl(r);
}

eg_status egi_report_create(egi_report **out, eg_context *context, const char *folder, const eg_config *config)
{
    egi_report *r;
    EG_TRY(egi_alloc(&r, context, 1, sizeof *r));
    r->context = r->config.context = r->csv.context = r->log.context = context;
    r->jsonl = -1;
    r->by_step = egi_config_run(config)->run.log_steps > 0;
    const eg_status status = begin(r, folder, config);
    if (status != EG_OK) {
        egi_report_free(r);
        return status;
    }
    *out = r;
    return EG_OK;
}

void egi_report_free(egi_report *r)
{
    if (!r)
        return;
    if (r->jsonl >= 0) {
        close(r->jsonl);
        unlink(r->jsonl_part);
    }
    if (r->made)
        rmdir(r->made); /* only an empty one */
    egi_free(r->context, r->made);
    for (int i = 0; i < FILES; i++)
        egi_free(r->context, r->path[i]);
    egi_text_release(&r->config);
    egi_text_release(&r->csv);
    egi_text_release(&r->log);
    egi_free(r->context, r->jsonl_part);
    egi_free(r->context, r->buffer);
    if (r->plain)
        freelocale(r->plain);
    egi_free(r->context, r);
}

/* --- lines while the run goes on ---------------------------------------------------------------------------------- */

eg_status egi_report_line(egi_report *r, const char *line)
{
    EG_TRY(egi_text_add(&r->log, line));
    return egi_text_add(&r->log, "\n");
}

static eg_status flush(egi_report *r)
{
    const char *at = r->buffer;
    while (r->buffered > 0) {
        const ssize_t n = write(r->jsonl, at, r->buffered);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_write(r->path[FILE_JSONL]);
        at += n;
        r->buffered -= (size_t)n;
    }
    return EG_OK;
}

static eg_status jsonl_line(egi_report *r, const char *line)
{
    const size_t n = strlen(line);
    if (r->buffered + n > STEP_BUFFER)
        EG_TRY(flush(r));
    memcpy(r->buffer + r->buffered, line, n);
    r->buffered += n;
    return EG_OK;
}

eg_status egi_report_step(egi_report *r, int64_t step, double loss)
{
    char line[128], value[40];
    snprintf(line, sizeof line, "{\"step\": %lld, \"loss\": %s}\n", (long long)step, number(r, loss, "null", value));
    return jsonl_line(r, line);
}

/* One list of the figures of an epoch for both files. */
static int epoch_figures(const eg_epoch_result *e, const char *names[], double values[])
{
    static const char *const all[] = {
        "loss",     "accuracy", "validation_loss",     "new_accuracy", "keep_accuracy", "lr",
        "strength", "mix",      "examples_per_second", "seconds"};
    const double figures[] = {
        e->loss,     e->accuracy, e->validation_loss,     e->new_accuracy, e->keep_accuracy, e->lr,
        e->strength, e->mix,      e->examples_per_second, e->seconds};
    const int n = (int)(sizeof all / sizeof *all);
    memcpy(names, all, sizeof all);
    memcpy(values, figures, sizeof figures);
    return n;
}

eg_status egi_report_epoch(egi_report *r, const eg_epoch_result *e)
{
    const char *names[10];
    double values[10];
    const int n = epoch_figures(e, names, values);
    char csv[600], json[1024], value[40];
    int c = snprintf(csv, sizeof csv, "%lld", (long long)e->epoch);
    int j = snprintf(json, sizeof json, "{\"epoch\": %lld", (long long)e->epoch);
    for (int i = 0; i < n; i++) {
        c += snprintf(csv + c, sizeof csv - (size_t)c, ",%s", number(r, values[i], "", value));
        j += snprintf(json + j, sizeof json - (size_t)j, ", \"%s\": %s", names[i], number(r, values[i], "null", value));
    }
    snprintf(csv + c, sizeof csv - (size_t)c, ",%d\n", e->best);
    snprintf(json + j, sizeof json - (size_t)j, ", \"best\": %s}\n", e->best ? "true" : "false");
    EG_TRY(egi_text_add(&r->csv, csv));
    return r->by_step ? EG_OK : jsonl_line(r, json);
}

/* --- report.json -------------------------------------------------------------------------------------------------- */

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_empty(const char *s)
{
    json_t *value = json_string(s ? s : "");
    return value ? value : json_string("(not UTF-8)");
}

static json_t *keep_json(const eg_finetune_result *result)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < result->n_keep; i++) {
        const eg_keep_result *k = &result->keep[i];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:o}", "name", text_or_empty(k->name), "n",
                            (json_int_t)k->n, "before", real_or_null(k->before), "after", real_or_null(k->after),
                            "drop", real_or_null(k->drop), "budget", real_or_null(k->budget), "met", k->met,
                            "negative_flips", (json_int_t)k->negative_flips, "positive_flips",
                            (json_int_t)k->positive_flips, "drop_upper", real_or_null(k->drop_upper)));
    }
    return list;
}

static json_t *epochs_json(const eg_finetune_result *result)
{
    json_t *list = json_array();
    for (int64_t i = 0; result->epochs && i <= result->epochs_run; i++) {
        const char *names[10];
        double values[10];
        const int n = epoch_figures(&result->epochs[i], names, values);
        json_t *epoch = json_pack("{s:I}", "epoch", (json_int_t)result->epochs[i].epoch);
        for (int j = 0; j < n; j++)
            json_object_set_new(epoch, names[j], real_or_null(values[j]));
        json_object_set_new(epoch, "best", json_boolean(result->epochs[i].best));
        json_array_append_new(list, epoch);
    }
    return list;
}

static json_t *report_object(const eg_finetune_result *r)
{
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:o}", "model", text_or_empty(r->model_path), "method", text_or_empty(r->method),
                  "keep", keep_json(r), "new",
                  json_pack("{s:o, s:I, s:o, s:o}", "name", text_or_empty(r->new_name), "n", (json_int_t)r->new_n,
                            "before", real_or_null(r->new_before), "after", real_or_null(r->new_after)));
    json_object_set_new(o, "epochs_run", json_integer(r->epochs_run));
    json_object_set_new(o, "best_epoch", json_integer(r->best_epoch));
    json_object_set_new(o, "steps", json_integer(r->steps));
    json_object_set_new(o, "stopped_early", json_boolean(r->stopped_early));
    json_object_set_new(o, "budget_met", json_boolean(r->budget_met));
    json_object_set_new(o, "diverged", json_boolean(r->diverged));
    json_object_set_new(o, "cancelled", json_boolean(r->cancelled));
    json_object_set_new(o, "blend", real_or_null(r->blend));
    json_object_set_new(o, "average_accuracy", real_or_null(r->average_accuracy));
    json_object_set_new(o, "backward_transfer", real_or_null(r->backward_transfer));
    json_object_set_new(o, "forgetting", real_or_null(r->forgetting));
    json_object_set_new(o, "forgetting_variant",
                        json_string("mean over old tasks of the best accuracy before minus the one at the end"));
    json_object_set_new(o, "seconds", real_or_null(r->seconds));
    json_object_set_new(o, "examples_per_second", real_or_null(r->examples_per_second));
    json_object_set_new(o, "verdict", text_or_empty(r->verdict));
    json_object_set_new(o, "warning", text_or_empty(r->warning));
    json_object_set_new(o, "epochs", epochs_json(r));
    if (r->profile)
        json_object_set_new(o, "profile", egi_profile_object(r->profile));
    json_object_set_new(o, "engram", json_string(eg_version()));
    return o;
}

eg_status eg_finetune_json(char **out, eg_context *context, const eg_finetune_result *result)
{
    return egi_json_text(out, context, report_object(result));
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static eg_status commit_jsonl(egi_report *r)
{
    EG_TRY(flush(r));
    const int fd = r->jsonl;
    r->jsonl = -1;
    if (close(fd) != 0) {
        const eg_status status = fail_write(r->path[FILE_JSONL]);
        unlink(r->jsonl_part);
        return status;
    }
    return egi_file_commit(r->context, r->jsonl_part, r->path[FILE_JSONL]);
}

static eg_status write_profile(egi_report *r, const eg_profile *profile)
{
    char *svg;
    EG_TRY(eg_profile_svg(&svg, r->context, profile));
    const eg_status status = egi_file_write_atomic(r->context, r->path[FILE_PROFILE], svg, strlen(svg));
    egi_free(r->context, svg);
    return status;
}

eg_status egi_report_finish(egi_report *r, const eg_finetune_result *result)
{
    if (r->jsonl < 0)
        return egi_fail(EG_ERR_STATE, "report: already finished");
    char *json;
    EG_TRY(eg_finetune_json(&json, r->context, result));
    eg_status status = result->profile ? write_profile(r, result->profile) : EG_OK;
    if (status == EG_OK)
        status = commit_jsonl(r);
    if (status == EG_OK)
        status = egi_file_write_atomic(r->context, r->path[FILE_CONFIG], r->config.s, (size_t)r->config.n);
    if (status == EG_OK)
        status = egi_file_write_atomic(r->context, r->path[FILE_CSV], r->csv.s, (size_t)r->csv.n);
    if (status == EG_OK)
        status = egi_file_write_atomic(r->context, r->path[FILE_LOG], r->log.s, (size_t)r->log.n);
    if (status == EG_OK)
        status = egi_file_write_atomic(r->context, r->path[FILE_REPORT], json, strlen(json));
    if (status == EG_OK && !result->profile)
        unlink(r->path[FILE_PROFILE]); /* of an earlier run, whose other files are gone */
    egi_free(r->context, json);
    for (int i = 0; status == EG_OK && i < (result->profile ? FILES : FILE_PROFILE); i++)
        r->wrote[i] = r->path[i];
    return status;
}

const char *const *egi_report_files(const egi_report *r)
{
    return r->wrote;
}
