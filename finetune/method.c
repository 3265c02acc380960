/* The methods of a run: read from remember.method, called in turn. */
#include "finetune/run.h"

#include <string.h>

const egi_method_type *const egi_method_types[] = {
#define EG_METHOD(name) &egi_method_##name,
#include "finetune/methods/list.def"
#undef EG_METHOD
    NULL};

static const egi_method_type *find_type(const char *name, size_t length)
{
    for (int i = 0; egi_method_types[i]; i++)
        if (strlen(egi_method_types[i]->name) == length && strncmp(egi_method_types[i]->name, name, length) == 0)
            return egi_method_types[i];
    return NULL;
}

/* With examples of old tasks both protect; with importance alone ewc; with nothing, stay near the weights that were
 * loaded. */
static const char *automatic(const egi_run *run)
{
    for (int64_t i = 0; i < run->n_old; i++)
        if (run->old[i].answerable)
            return "rehearsal+ewc";
    return run->memory->importance ? "ewc" : "l2sp";
}

static bool is_auto(const egi_run *run)
{
    return strcmp(run->config->remember.method, "auto") == 0;
}

eg_status egi_run_methods(egi_run *run)
{
    const char *text = is_auto(run) ? automatic(run) : run->config->remember.method;
    snprintf(run->method_name, sizeof run->method_name, "%.127s", text);
    if (strcmp(text, "none") == 0)
        return EG_OK;
    while (*text) {
        const size_t length = strcspn(text, "+");
        const egi_method_type *type = find_type(text, length);
        if (!type)
            return egi_fail(EG_ERR_CONFIG, "remember.method: unknown method '%.*s'", (int)length, text);
        if (run->n_methods == EGI_METHODS_MAX)
            return egi_fail(EG_ERR_CONFIG, "remember.method: more than %d methods", EGI_METHODS_MAX);
        run->methods[run->n_methods++] = (egi_method){.type = type};
        if (type == &egi_method_rehearsal)
            run->rehearses = true;
        text += length + (text[length] == '+');
    }
    return EG_OK;
}

/* A method that was not asked for by name may bow out where it cannot work. */
static void drop_method(egi_run *run, int i)
{
    egi_run_line(run, true, "method  %s left out: %s", run->methods[i].type->name, eg_last_message());
    if (run->methods[i].type->release)
        run->methods[i].type->release(&run->methods[i], run);
    memmove(&run->methods[i], &run->methods[i + 1], (size_t)(run->n_methods - i - 1) * sizeof run->methods[0]);
    run->n_methods--;
    run->method_name[0] = '\0';
    for (int k = 0; k < run->n_methods; k++) {
        const size_t at = strlen(run->method_name);
        snprintf(run->method_name + at, sizeof run->method_name - at, "%s%s", k ? "+" : "", run->methods[k].type->name);
    }
}

eg_status egi_run_begin_methods(egi_run *run)
{
    for (int i = 0; i < run->n_methods; i++) {
        egi_method *m = &run->methods[i];
        const eg_status status = m->type->begin_task ? m->type->begin_task(m, run) : EG_OK;
        if (status == EG_ERR_UNSUPPORTED && is_auto(run) && run->n_methods > 1)
            drop_method(run, i--);
        else
            EG_TRY(status);
    }
    return EG_OK;
}

eg_status egi_run_end_methods(egi_run *run)
{
    for (int i = 0; i < run->n_methods; i++)
        if (run->methods[i].type->end_task)
            EG_TRY(run->methods[i].type->end_task(&run->methods[i], run));
    return EG_OK;
}

/* The first anchor sets the strength; those of a sum keep their proportions, so that one strength steers all. */
eg_status egi_run_anchor(egi_run *run, const void *theta, const void *omega, double strength)
{
    double weight = 1;
    if (run->config->remember.strength < 0) {
        if (!run->anchor.omega)
            run->protect.strength = strength;
        weight = strength / run->protect.strength;
    } else {
        run->protect.strength = run->config->remember.strength;
    }
    run->protect.strength_least = run->protect.strength;
    run->protect.steer_strength = run->config->remember.strength < 0;
    return egi_anchor_add(&run->anchor, run->model, theta, omega, weight);
}
