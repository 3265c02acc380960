/* Where a training pass may be cut: found on the operations that its layers emit, so that a new layer needs no word
 * about it. */
#include "core/cut.h"

#include <string.h>

#define CUT_MOST ((int)(sizeof((eg_model *)0)->inputs / sizeof(int))) /* tensors that may be between the halves */

/* What is known of the calls and tensors of a model. */
typedef struct survey {
    const eg_model *m;
    bool *late;    /* (n_calls) must be in the back */
    bool *steady;  /* (n_tensors) computed from inputs without a late call */
    int64_t *made; /* (n_tensors) by which call; -1: an input */
} survey;

static void survey_release(survey *s)
{
    egi_free(s->m->context, s->late);
    egi_free(s->m->context, s->steady);
    egi_free(s->m->context, s->made);
}

/* --- which calls are late ----------------------------------------------------------------------------------------- */

static bool is_late(const egi_plan *p, const egi_node *node)
{
    for (int k = 0; node->op->in[k]; k++) {
        const egi_val v = egi_arg(node->args, node->op->in[k]);
        if (v != EGI_NONE && p->values[egi_root(p, v)].requires_grad)
            return true;
    }
    return node->op->varies;
}

static void mark_late(const survey *s, const egi_plan *p, const egi_model_io *io)
{
    for (int64_t i = 0; i < p->n_nodes; i++)
        if (is_late(p, &p->nodes[i]))
            s->late[p->nodes[i].layer] = true;
    for (int j = 0; j < s->m->n_outputs; j++) {
        const egi_node *node = egi_plan_producer(p, io->out[j]);
        if (node)
            s->late[node->layer] = true;
        if (s->made[s->m->outputs[j]] >= 0) /* a reshape: no operation */
            s->late[s->made[s->m->outputs[j]]] = true;
    }
}

/* Emits the pass to look at it. The plan is never run, so the gradients that make trained parameters leaves need no
 * arena of their own. */
static eg_status find_late(const survey *s)
{
    egi_plan *p;
    egi_model_io io = {.params = NULL};
    EG_TRY(egi_plan_create(&p, s->m->context, 1, s->m->dtype, true));
    const eg_status status = egi_model_emit(s->m, p, s->m->weights, NULL, &io);
    if (status == EG_OK)
        mark_late(s, p, &io);
    egi_free(s->m->context, io.params);
    egi_plan_free(p);
    return status;
}

static void find_steady(const survey *s)
{
    for (int i = 0; i < s->m->n_inputs; i++)
        s->steady[s->m->inputs[i]] = true;
    for (int64_t i = 0; i < s->m->n_calls; i++) {
        const egi_call *call = &s->m->calls[i];
        bool steady = !s->late[i];
        for (int k = 0; k < call->n_in; k++)
            steady = steady && s->steady[call->in[k]];
        s->steady[call->out] = steady;
    }
}

static eg_status survey_make(survey *s, const eg_model *m)
{
    *s = (survey){.m = m};
    EG_TRY(egi_alloc(&s->late, m->context, m->n_calls, sizeof *s->late));
    EG_TRY(egi_alloc(&s->steady, m->context, m->n_tensors, sizeof *s->steady));
    EG_TRY(egi_alloc(&s->made, m->context, m->n_tensors, sizeof *s->made));
    for (int64_t t = 0; t < m->n_tensors; t++)
        s->made[t] = -1;
    for (int64_t i = 0; i < m->n_calls; i++)
        s->made[m->calls[i].out] = i;
    EG_TRY(find_late(s));
    find_steady(s);
    return EG_OK;
}

/* --- candidates: the steady calls before call `at` are the front -------------------------------------------------- */

static bool in_front(const survey *s, int64_t call, int64_t at)
{
    return call < at && s->steady[s->m->calls[call].out];
}

static bool is_listed(const int *tensors, int n, int tensor)
{
    for (int i = 0; i < n; i++)
        if (tensors[i] == tensor)
            return true;
    return false;
}

/* The tensors between the halves; how many: CUT_MOST + 1 when there are more than CUT_MOST. */
static int between(const survey *s, int64_t at, int *tensors)
{
    int n = 0;
    for (int64_t i = 0; i < s->m->n_calls; i++) {
        const egi_call *call = &s->m->calls[i];
        for (int k = 0; k < call->n_in && !in_front(s, i, at); k++) {
            const int t = call->in[k];
            if ((s->made[t] >= 0 && !in_front(s, s->made[t], at)) || is_listed(tensors, n, t))
                continue;
            if (n == CUT_MOST)
                return CUT_MOST + 1;
            tensors[n++] = t;
        }
    }
    return n;
}

static int64_t width(const survey *s, int64_t at)
{
    int tensors[CUT_MOST];
    const int n = between(s, at, tensors);
    int64_t floats = n > CUT_MOST ? EGI_DIM_MAX : 0;
    for (int i = 0; i < n && n <= CUT_MOST; i++)
        floats += egi_shape_count(&s->m->tensors[tensors[i]]);
    return floats;
}

/* Calls with parameters in front: what a cut saves, roughly. */
static int64_t work(const survey *s, int64_t at)
{
    int64_t n = 0;
    for (int64_t i = 0; i < at; i++)
        n += in_front(s, i, at) && s->m->layers[s->m->calls[i].layer].n_params > 0;
    return n;
}

/* Where to cut; 0: nowhere. From the end to the beginning, a level of equal work at a time. */
static int64_t choose(const survey *s, int64_t most, egi_cut *cut)
{
    int64_t best = 0, narrowest = EGI_DIM_MAX, level = 0;
    for (int64_t at = s->m->n_calls; at > 0; at--) {
        const int64_t now = work(s, at);
        if (now != level && level > 0 && narrowest <= most)
            break;
        if (now == 0)
            return 0;
        if (now != level) {
            level = now;
            narrowest = EGI_DIM_MAX;
        }
        const int64_t floats = width(s, at);
        if (floats < narrowest) {
            narrowest = floats;
            best = at;
        }
        if (now == work(s, s->m->n_calls) && narrowest < EGI_DIM_MAX)
            cut->wanted = narrowest;
    }
    cut->floats = narrowest;
    return narrowest <= most ? best : 0;
}

/* --- the halves --------------------------------------------------------------------------------------------------- */

static eg_status copy_calls(eg_model *half, const survey *s, int64_t at, bool front)
{
    half->calls = NULL;
    half->n_calls = half->calls_capacity = 0;
    half->cache = NULL;
    half->cache_free = NULL;
    EG_TRY(egi_alloc(&half->calls, s->m->context, s->m->n_calls, sizeof *half->calls));
    for (int64_t i = 0; i < s->m->n_calls; i++)
        if (in_front(s, i, at) == front)
            half->calls[half->n_calls++] = s->m->calls[i];
    return EG_OK;
}

static eg_status divide(egi_cut *cut, const survey *s, int64_t at)
{
    int tensors[CUT_MOST];
    const int n = between(s, at, tensors);
    cut->front = cut->back = *s->m;
    cut->back.calls = NULL;
    EG_TRY(copy_calls(&cut->front, s, at, true));
    EG_TRY(copy_calls(&cut->back, s, at, false));
    memcpy(cut->front.outputs, tensors, (size_t)n * sizeof *tensors);
    memcpy(cut->back.inputs, tensors, (size_t)n * sizeof *tensors);
    cut->front.n_outputs = cut->back.n_inputs = n;
    return EG_OK;
}

eg_status egi_cut_find(egi_cut *out, const eg_model *model, int64_t most)
{
    survey s;
    egi_cut cut = {.front = {.context = model->context}};
    eg_status status = survey_make(&s, model);
    const int64_t at = status == EG_OK ? choose(&s, most, &cut) : 0;
    if (at > 0)
        status = divide(&cut, &s, at);
    survey_release(&s);
    if (status != EG_OK) {
        egi_cut_release(&cut);
        return status;
    }
    *out = cut;
    return EG_OK;
}

void egi_cut_release(egi_cut *cut)
{
    if (!cut->front.context)
        return;
    egi_free(cut->front.context, cut->front.calls);
    egi_free(cut->front.context, cut->back.calls);
    *cut = (egi_cut){.floats = 0};
}
