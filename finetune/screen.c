#include "finetune/screen.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void egi_run_line(egi_run *run, bool head, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (head && run->job->line)
        run->job->line(run->job->user, line);
    if (run->report && run->line_status == EG_OK)
        run->line_status = egi_report_line(run->report, line);
}

egi_count_text egi_count_format(int64_t n)
{
    char digits[24];
    egi_count_text out = {""};
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0)
            out.s[at++] = ',';
        out.s[at++] = digits[i];
    }
    out.s[at] = '\0';
    return out;
}

egi_count_text egi_percent_format(double share)
{
    egi_count_text out = {"-"};
    if (!isnan(share))
        snprintf(out.s, sizeof out.s, "%.2f %%", share * 100);
    return out;
}

/* Appends to a line that is built in pieces. */
static void add(char *line, size_t room, const char *format, ...) EGI_PRINTF(3, 4);
static void add(char *line, size_t room, const char *format, ...)
{
    const size_t at = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + at, room - at, format, args);
    va_end(args);
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static void say_model(egi_run *run)
{
    eg_model_info info;
    eg_model_get_info(run->before, &info);
    egi_run_line(run, true, "model   %s  Keras %s | %lld layers | %s parameters | %s", info.name,
                 *info.keras_version ? info.keras_version : "?", (long long)info.layers,
                 egi_count_format(info.parameters).s, run->map->line);
    egi_run_line(run, true, "loaded  %lld/%lld tensors by path | %lld by position | %lld skipped   preprocess %s [%s]",
                 (long long)info.report.by_path, (long long)info.report.wanted, (long long)info.report.by_position,
                 (long long)info.report.skipped, run->new_preprocess.text, run->new_preprocess.reason);
    if (*info.memory)
        egi_run_line(run, true, "memory  %s", info.memory);
}

static void describe_part(char *line, size_t room, const char *word, const egi_part *part)
{
    add(line, room, "%s %s %s", word, part->train->name, egi_count_format(part->train->n).s);
    if (part->train->classes > 0)
        add(line, room, ", %lld classes", (long long)part->train->classes);
    add(line, room, " (%s train, %s select%s, %s test%s)", egi_count_format(part->n_train).s,
        egi_count_format(part->n_select).s, part->select_is_train ? " of them" : "", egi_count_format(part->n_test).s,
        part->test_is_train ? ": the training examples" : "");
}

static void say_data(egi_run *run)
{
    char line[900] = "";
    describe_part(line, sizeof line, "new", &run->new_part);
    for (int64_t i = 0; i < run->n_old; i++) {
        const egi_old_task *old = &run->old[i];
        if (old->remembered)
            add(line, sizeof line, " | remembered %s: measured on the %s examples in the file", old->name,
                egi_count_format(old->part.n_train).s);
        else
            describe_part(line, sizeof line, " | keep", &old->part);
    }
    egi_run_line(run, true, "data    %s | seed %llu", line, (unsigned long long)run->seed);
}

static void say_device(egi_run *run)
{
    char line[200] = "";
    if (run->rehearses)
        add(line, sizeof line, " (%lld new + %lld old)", (long long)run->batch_new,
            (long long)(run->batch - run->batch_new));
    const egi_precision precision = run->context->precision;
    egi_run_line(run, true, "device  %s | %s%s%s | batch %lld%s | plan %.1f MB", eg_context_describe(run->context),
                 egi_dtype_name(run->model->dtype), precision ? ", products in " : "",
                 precision ? egi_precision_name(precision) : "", (long long)run->batch, line,
                 (double)egi_trainer_bytes(run->trainer) / 1e6);
}

static int64_t frozen_layers(const eg_model *m)
{
    int64_t n = 0;
    for (int64_t i = 0; i < m->n_layers; i++)
        n += m->layers[i].frozen && m->layers[i].n_params > 0;
    return n;
}

static void say_method(egi_run *run)
{
    char line[300] = "";
    if (run->anchor.omega)
        add(line, sizeof line, " | strength %.3g", run->protect.strength);
    if (run->rehearses)
        add(line, sizeof line, " | mix %.2f", run->protect.mix);
    if (frozen_layers(run->model))
        add(line, sizeof line, " | %lld layers frozen", (long long)frozen_layers(run->model));
    egi_run_line(run, true, "method  %s%s | %s, lr %.3g, %s", run->method_name, line,
                 egi_optimizer_types[run->config->finetune.optimizer]->name, run->schedule.lr,
                 run->schedule.type->name);
}

void egi_screen_head(egi_run *run)
{
    say_model(run);
    say_data(run);
    if (run->trainer) {
        say_device(run);
        say_method(run);
        if (*run->frozen_line)
            egi_run_line(run, true, "frozen  %s", run->frozen_line);
    }
    if (*run->warning)
        egi_run_line(run, true, "warning %s", run->warning);
}

static eg_status say_duplicates(egi_run *run, const egi_part *part)
{
    int64_t n = 0;
    if (part->train == part->test)
        return EG_OK;
    EG_TRY(eg_dataset_duplicates(part->train, part->test, &n));
    if (n > 0)
        egi_run_line(run, true, "warning %s of the %s test examples of %s are in its training part too",
                     egi_count_format(n).s, egi_count_format(part->test->n).s, part->train->name);
    return EG_OK;
}

eg_status egi_screen_duplicates(egi_run *run)
{
    EG_TRY(say_duplicates(run, &run->new_part));
    for (int64_t i = 0; i < run->n_given; i++)
        EG_TRY(say_duplicates(run, &run->old[i].part));
    return EG_OK;
}

/* --- before and after --------------------------------------------------------------------------------------------- */

static const char *measured_on(const egi_old_task *old)
{
    return old->remembered ? " remembered examples" : old->part.test_is_train ? " training examples" : " test examples";
}

void egi_screen_before(egi_run *run)
{
    char line[900] = "";
    for (int64_t i = 0; i < run->n_old; i++)
        add(line, sizeof line, "keep %s %s on %s%s | ", run->old[i].name, egi_percent_format(run->old[i].before).s,
            egi_count_format(run->old[i].part.n_test).s, measured_on(&run->old[i]));
    egi_run_line(run, true, "before  %snew %s %s", line, run->new_train->name, egi_percent_format(run->new_before).s);
}

void egi_screen_after(egi_run *run)
{
    for (int64_t i = 0; i < run->n_old; i++) {
        const egi_old_task *old = &run->old[i];
        egi_run_line(run, false, "after   keep %s %s (%+.2f) on %s%s", old->name, egi_percent_format(old->after).s,
                     (old->after - old->before) * 100, egi_count_format(old->part.n_test).s, measured_on(old));
    }
    egi_run_line(run, false, "after   new %s %s (before %s)", run->new_train->name,
                 egi_percent_format(run->new_after).s, egi_percent_format(run->new_before).s);
    egi_run_line(run, false, "curves  %s", run->verdict);
}
