#include "finetune/profile.h"

#include "core/device.h"

#include <math.h>
#include <string.h>

/* The public profile, which comes first, and what it owns. */
typedef struct profile {
    eg_profile p;
    eg_context *context;
    int64_t capacity;
    eg_profile_part outside[EGI_LAPS];
} profile;

static profile *own(eg_profile *p)
{
    return (profile *)p;
}

void eg_profile_free(eg_profile *p)
{
    if (!p)
        return;
    eg_context *c = own(p)->context;
    for (int64_t i = 0; i < p->n_rows; i++)
        egi_free(c, (char *)(uintptr_t)p->rows[i].layer);
    egi_free(c, p->rows);
    egi_free(c, p);
}

const char *eg_phase_name(eg_phase phase)
{
    static const char *const names[] = {"forward", "backward", "update"};
    return phase >= EG_PHASE_FORWARD && phase <= EG_PHASE_UPDATE ? names[phase] : "";
}

double eg_profile_share(const eg_profile *p, const eg_profile_row *r)
{
    const double work = r->flops > 0 ? r->flops : r->bytes, peak = r->flops > 0 ? p->peak.flops : p->peak.bytes;
    return r->seconds > 0 && peak > 0 ? work / r->seconds / peak : 0;
}

eg_status eg_peak_measure(eg_peak *out, eg_context *context)
{
    if (!out || !context)
        return egi_fail(EG_ERR_ARG, "peak: the output or the context is NULL");
    egi_peak peak;
    EG_TRY(context->device->type->peak(context->device, &peak));
    *out = (eg_peak){.flops = peak.flops, .bytes = peak.bytes};
    return EG_OK;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

eg_status egi_profile_create(eg_profile **out, eg_context *context, bool training)
{
    profile *p;
    EG_TRY(egi_alloc(&p, context, 1, sizeof *p));
    p->context = context;
    p->p = (eg_profile){.training = training, .threads = context->threads, .outside = p->outside};
    *out = &p->p;
    return EG_OK;
}

static const char *layer_of(const eg_model *m, int call)
{
    return call < 0 ? "" : m->layers[m->calls[call].layer].path;
}

/* Where a row is, or where it goes: behind the last one of its layer, else behind the last one of its phase. Plans of
 * two batch sizes have the same rows. */
static int64_t place_of(const eg_profile *p, const egi_cost *cost, const char *layer, bool *found)
{
    int64_t of_layer = -1, of_phase = 0;
    *found = false;
    for (int64_t i = 0; i < p->n_rows && (int)p->rows[i].phase <= (int)cost->phase; i++) {
        const eg_profile_row *r = &p->rows[i];
        of_phase = i + 1;
        if ((int)r->phase != (int)cost->phase || strcmp(r->layer, layer) != 0)
            continue;
        of_layer = i + 1;
        if (strcmp(r->op, cost->op->name) == 0) {
            *found = true;
            return i;
        }
    }
    return of_layer >= 0 ? of_layer : of_phase;
}

static eg_status insert(eg_profile *p, int64_t at, const egi_cost *cost, const char *layer)
{
    char *copy;
    EG_TRY(EGI_RESERVE(own(p)->context, p->rows, p->n_rows, own(p)->capacity));
    EG_TRY(egi_strdup(&copy, own(p)->context, layer));
    memmove(&p->rows[at + 1], &p->rows[at], (size_t)(p->n_rows - at) * sizeof *p->rows);
    p->rows[at] = (eg_profile_row){.op = cost->op->name, .layer = copy, .phase = (eg_phase)cost->phase};
    p->n_rows++;
    return EG_OK;
}

static eg_status add(eg_profile *p, const egi_cost *cost, const char *layer)
{
    bool found;
    const int64_t at = place_of(p, cost, layer, &found);
    if (!found)
        EG_TRY(insert(p, at, cost, layer));
    eg_profile_row *r = &p->rows[at];
    r->calls += cost->calls;
    r->seconds += cost->seconds;
    r->flops += cost->flops;
    r->bytes += cost->bytes;
    return EG_OK;
}

eg_status egi_profile_add(eg_profile *p, const eg_model *model, const egi_plan *plan)
{
    egi_cost cost;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        if (egi_plan_cost(plan, i, &cost))
            EG_TRY(add(p, &cost, layer_of(model, cost.layer)));
    if (plan->batch > p->batch) {
        p->batch = plan->batch;
        p->workspace_bytes = (int64_t)plan->workspace_bytes;
        p->tensor_bytes = (int64_t)plan->sum_bytes;
    }
    return EG_OK;
}

void egi_profile_finish(eg_profile *p, const egi_laps *laps, const eg_peak *peak)
{
    static const char *const names[EGI_LAPS] = {"compose batch", "fill batch", "between operations", "loop",
                                                "progress"};
    double in_rows = 0;
    for (int64_t i = 0; i < p->n_rows; i++)
        in_rows += p->rows[i].seconds;
    for (int i = 0; i < EGI_LAPS; i++) {
        const double seconds = laps->seconds[i] - (i == EGI_LAP_RUN ? in_rows : 0);
        p->seconds += laps->seconds[i];
        if (seconds > 0)
            p->outside[p->n_outside++] = (eg_profile_part){.name = names[i], .seconds = seconds};
    }
    p->steps = laps->steps;
    p->examples = laps->examples;
    p->step_seconds = p->examples ? p->seconds / (double)p->examples * (double)p->batch : 0;
    p->peak = *peak;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static json_t *text_or_mark(const char *s)
{
    json_t *value = json_string(s);
    return value ? value : json_string("(not UTF-8)");
}

static json_t *rows_object(const eg_profile *p)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < p->n_rows; i++) {
        const eg_profile_row *r = &p->rows[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:I, s:f, s:f, s:f, s:f, s:f}", "op", r->op, "layer",
                                              text_or_mark(r->layer), "phase", eg_phase_name(r->phase), "calls",
                                              (json_int_t)r->calls, "seconds", r->seconds, "flops", r->flops, "bytes",
                                              r->bytes, "peak_share", eg_profile_share(p, r), "step_share",
                                              p->seconds > 0 ? r->seconds / p->seconds : 0.0));
    }
    return list;
}

static json_t *outside_object(const eg_profile *p)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < p->n_outside; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:f}", "name", p->outside[i].name, "seconds", p->outside[i].seconds,
                                        "step_share", p->seconds > 0 ? p->outside[i].seconds / p->seconds : 0.0));
    return list;
}

json_t *egi_profile_object(const eg_profile *p)
{
    const double rate = p->step_seconds > 0 ? (double)p->batch / p->step_seconds : 0;
    return json_pack("{s:s, s:I, s:i, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:{s:f, s:f}, s:o, s:o}", "what",
                     p->training ? "training" : "inference", "batch", (json_int_t)p->batch, "threads", p->threads,
                     "steps", (json_int_t)p->steps, "examples", (json_int_t)p->examples, "seconds", p->seconds,
                     "step_seconds", p->step_seconds, "examples_per_second", rate, "workspace_bytes",
                     (json_int_t)p->workspace_bytes, "tensor_bytes", (json_int_t)p->tensor_bytes, "peak", "flops",
                     p->peak.flops, "bytes", p->peak.bytes, "operations", rows_object(p), "outside", outside_object(p));
}

eg_status egi_json_text(char **out, eg_context *context, json_t *object)
{
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(12);
    const size_t n = object ? json_dumpb(object, NULL, 0, flags) : 0;
    char *text = NULL;
    eg_status status = n ? egi_alloc(&text, context, (int64_t)n + 2, 1) : egi_fail(EG_ERR_NOMEM, "JSON: no memory");
    if (status == EG_OK) {
        json_dumpb(object, text, n, flags);
        text[n] = '\n';
        *out = text;
    }
    json_decref(object);
    return status;
}

eg_status eg_profile_json(char **out, eg_context *context, const eg_profile *p)
{
    return egi_json_text(out, context, egi_profile_object(p));
}
