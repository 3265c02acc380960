/* Which tensor of the file belongs to which parameter. Keras matches by position and so swaps tensors of part-frozen
 * nested models; here names decide, and position only where no name says anything. */
#include "checkpoints/keras_source.h"

#include <ctype.h>
#include <string.h>

/* --- names -------------------------------------------------------------------------------------------------------- */

#define PARTS_MAX 16
#define PAIRS_MAX ((int64_t)25000000) /* tensors times parameters of one group */

/* "inner/c1/kernel:0" in parts, without ":0". */
typedef struct parts {
    struct {
        const char *p;
        size_t n;
    } part[PARTS_MAX];
    int n;
} parts;

static parts split(const char *name)
{
    parts s = {0};
    size_t end = strlen(name);
    size_t digits = end;
    while (digits > 0 && isdigit((unsigned char)name[digits - 1]))
        digits--;
    if (digits < end && digits > 0 && name[digits - 1] == ':')
        end = digits - 1;
    for (size_t at = 0; at < end && s.n < PARTS_MAX;) {
        const char *slash = memchr(name + at, '/', end - at);
        const size_t n = slash ? (size_t)(slash - name) - at : end - at;
        if (n > 0) {
            s.part[s.n].p = name + at;
            s.part[s.n++].n = n;
        }
        at += n + 1;
    }
    return s;
}

static bool same(const char *p, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(p, text, n) == 0;
}

/* Keras 1 called its arrays so; the numbers of a name's end come from TensorFlow. */
static bool is_param_name(const char *p, size_t n, const char *param)
{
    static const char *const old[][2] = {{"W", "kernel"},
                                         {"b", "bias"},
                                         {"running_mean", "moving_mean"},
                                         {"running_std", "moving_variance"},
                                         {"running_variance", "moving_variance"}};
    if (same(p, n, param))
        return true;
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        if (same(p, n, old[i][0]) && strcmp(param, old[i][1]) == 0)
            return true;
    return false;
}

/* 2: the part is the layer's name; 1: with "_<number>" behind it, as TensorFlow makes scopes unique; 0: not. */
static int rate_part(const char *p, size_t n, const char *name, size_t name_n)
{
    if (n < name_n || memcmp(p, name, name_n) != 0)
        return 0;
    if (n == name_n)
        return 2;
    if (p[name_n] != '_' || n == name_n + 1)
        return 0;
    for (size_t i = name_n + 1; i < n; i++)
        if (!isdigit((unsigned char)p[i]))
            return 0;
    return 1;
}

/* How well a tensor's folders fit a layer's path, from the end; 0: not at all. */
static int rate_folders(const parts *name, int folders, const char *path)
{
    const parts layer = split(path);
    int rating = 0;
    for (int i = 1; i <= folders && i <= layer.n; i++) {
        const int r = rate_part(name->part[folders - i].p, name->part[folders - i].n, layer.part[layer.n - i].p,
                                layer.part[layer.n - i].n);
        if (r == 0)
            break;
        rating += r * (i == 1 ? 100 : 1); /* the layer's own name outweighs its models' */
    }
    return rating;
}

/* How well tensor `name` fits parameter `param` of the layer at `path`; `alone`: no other layer comes into question. */
static int rate(const char *name, const char *path, const char *param, bool alone)
{
    const parts s = split(name);
    if (s.n == 0)
        return 0;
    const char *leaf = s.part[s.n - 1].p;
    size_t n = s.part[s.n - 1].n;
    const char *slash = strrchr(path, '/'), *own = slash ? slash + 1 : path;
    const size_t own_n = strlen(own);
    int rating = rate_folders(&s, s.n - 1, path);
    if (n > own_n + 1 && memcmp(leaf, own, own_n) == 0 && leaf[own_n] == '_' &&
        is_param_name(leaf + own_n + 1, n - own_n - 1, param))
        return 200 + rating; /* Keras 1: dense_1_W */
    if (!is_param_name(leaf, n, param))
        return 0;
    return rating ? rating : alone;
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

typedef struct span {
    int64_t *param; /* of the model, whose layer lies in the group */
    int64_t n, capacity;
    bool alone; /* one layer only */
} span;

static bool lies_in(const char *path, const char *group)
{
    const size_t n = strlen(group);
    return strncmp(path, group, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static eg_status find_params(span *out, const eg_model *m, const char *group)
{
    out->n = 0;
    out->alone = true;
    for (int64_t i = 0; i < m->n_params; i++) {
        if (!lies_in(m->layers[m->params[i].layer].path, group))
            continue;
        EG_TRY(EGI_RESERVE(m->context, out->param, out->n, out->capacity));
        out->alone &= out->n == 0 || m->params[out->param[0]].layer == m->params[i].layer;
        out->param[out->n++] = i;
    }
    return EG_OK;
}

static const char *path_of(const eg_model *m, int64_t param)
{
    return m->layers[m->params[param].layer].path;
}

static eg_status check_shape(const eg_model *m, int64_t param, const egi_keras_weight *w)
{
    if (egi_shape_equal(&m->params[param].shape, &w->info.shape))
        return EG_OK;
    return egi_fail(EG_ERR_SHAPE,
                    "layer '%s': %s is %s in the architecture, '%s' in the file is %s; the two do not belong "
                    "together",
                    path_of(m, param), m->params[param].name, egi_shape_format(&m->params[param].shape).s, w->name,
                    egi_shape_format(&w->info.shape).s);
}

static eg_status take(const eg_model *m, int64_t param, egi_keras_weight *w, uint8_t *taken)
{
    if (w->info.type.kind != EGI_H5_FLOAT)
        return egi_fail(EG_ERR_FORMAT,
                        "layer '%s': %s: floating-point numbers wanted, '%s' in the file holds something else",
                        path_of(m, param), m->params[param].name, w->name);
    EG_TRY(check_shape(m, param, w));
    EG_TRY(egi_strdup(&w->layer, m->context, path_of(m, param)));
    EG_TRY(egi_strdup(&w->param, m->context, m->params[param].name));
    taken[param] = 1;
    return EG_OK;
}

/* The one best parameter for a tensor; -1: none; a tie is a failure. */
static eg_status best(int64_t *out, const eg_model *m, const egi_keras_weight *w, const span *s)
{
    int most = 0, times = 0;
    *out = -1;
    for (int64_t i = 0; i < s->n; i++) {
        const int r = rate(w->name, path_of(m, s->param[i]), m->params[s->param[i]].name, s->alone);
        if (r > most) {
            most = r;
            times = 1;
            *out = s->param[i];
        } else if (r == most && r > 0) {
            times++;
        }
    }
    if (times > 1)
        return egi_fail(EG_ERR_FORMAT, "tensor '%s' fits '%s' and another layer equally; rename one of the layers",
                        w->name, path_of(m, *out));
    return EG_OK;
}

static eg_status match_names(const eg_model *m, egi_keras_group *g, const span *s, uint8_t *taken, int64_t *found)
{
    if (g->n_weights > PAIRS_MAX / s->n)
        return egi_fail(EG_ERR_FORMAT, "group '%s': %lld tensors for %lld parameters; no Keras file has so many",
                        g->name, (long long)g->n_weights, (long long)s->n);
    for (int64_t i = 0; i < g->n_weights; i++) {
        egi_keras_weight *w = &g->weights[i];
        int64_t param;
        EG_TRY(best(&param, m, w, s));
        if (param < 0)
            continue;
        if (taken[param])
            return egi_fail(EG_ERR_FORMAT, "layer '%s': two tensors of the file are its %s, the second is '%s'",
                            path_of(m, param), m->params[param].name, w->name);
        EG_TRY(take(m, param, w, taken));
        ++*found;
    }
    return EG_OK;
}

static eg_status match_positions(eg_model *m, egi_keras_group *g, const span *s, uint8_t *taken, int64_t *found)
{
    if (g->n_weights != s->n)
        return egi_fail(EG_ERR_FORMAT, "group '%s': %lld tensors wanted, found %lld, none with a name that fits",
                        g->name, (long long)s->n, (long long)g->n_weights);
    for (int64_t i = 0; i < s->n; i++)
        EG_TRY(take(m, s->param[i], &g->weights[i], taken));
    *found += s->n;
    egi_log(m->context, EG_LOG_WARNING,
            "group '%s': no tensor's name fits; %lld were taken by position, shapes checked", g->name, (long long)s->n);
    return EG_OK;
}

static eg_status match_group(eg_load_report *r, eg_model *m, egi_keras_group *g, const span *s, uint8_t *taken)
{
    int64_t names = 0, positions = 0;
    if (s->n == 0 || g->n_weights == 0)
        return EG_OK;
    EG_TRY(match_names(m, g, s, taken, &names));
    if (names == 0)
        EG_TRY(match_positions(m, g, s, taken, &positions));
    r->by_path += names;
    r->by_position += positions;
    return EG_OK;
}

/* --- files whose layers have other names -------------------------------------------------------------------------- */

/* The first part of the path of parameter `i`, as a name of its own. */
static eg_status top_name(char **out, const eg_model *m, int64_t i)
{
    EG_TRY(egi_strdup(out, m->context, path_of(m, i)));
    char *slash = strchr(*out, '/');
    if (slash)
        *slash = '\0';
    return EG_OK;
}

/* No layer's name is in the file: layers and groups in their order. */
static eg_status match_groups_by_position(eg_load_report *r, egi_keras_source *source, eg_model *m, span *s,
                                          uint8_t *taken)
{
    int64_t at = 0, layers = 0;
    for (int64_t i = 0; i < m->n_params;) {
        char *name;
        EG_TRY(top_name(&name, m, i));
        eg_status status = find_params(s, m, name);
        egi_free(m->context, name);
        EG_TRY(status);
        while (at < source->n_groups && (source->groups[at].n_weights == 0 || !source->groups[at].listed))
            at++;
        if (at == source->n_groups)
            return egi_fail(EG_ERR_FORMAT,
                            "no layer's name is in the file, and it has tensors for %lld layers only; wanted "
                            "layer '%s'",
                            (long long)layers, path_of(m, i));
        EG_TRY(match_positions(m, &source->groups[at++], s, taken, &r->by_position));
        layers++;
        i = s->param[s->n - 1] + 1;
    }
    egi_log(m->context, EG_LOG_WARNING,
            "no layer's name is in the file: %lld layers were matched by position, shapes checked", (long long)layers);
    return EG_OK;
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static eg_status check_complete(const eg_model *m, const uint8_t *taken)
{
    int64_t missing = 0, first = -1;
    for (int64_t i = 0; i < m->n_params; i++)
        if (!taken[i] && missing++ == 0)
            first = i;
    if (missing == 0)
        return EG_OK;
    return egi_fail(EG_ERR_FORMAT,
                    "layer '%s': %s %s is not in the file%s; architecture and weights do not belong together",
                    path_of(m, first), m->params[first].name, egi_shape_format(&m->params[first].shape).s,
                    missing > 1 ? ", nor are others" : "");
}

static eg_status match(eg_load_report *r, egi_keras_source *source, eg_model *m, span *s, uint8_t *taken)
{
    bool any = false;
    for (int64_t i = 0; i < source->n_groups; i++) {
        EG_TRY(find_params(s, m, source->groups[i].name));
        any |= s->n > 0 && source->groups[i].n_weights > 0;
        EG_TRY(match_group(r, m, &source->groups[i], s, taken));
    }
    if (!any && m->n_params > 0)
        EG_TRY(match_groups_by_position(r, source, m, s, taken));
    EG_TRY(check_complete(m, taken));
    for (int64_t i = 0; i < source->n_groups; i++)
        for (int64_t k = 0; k < source->groups[i].n_weights; k++)
            r->skipped += source->groups[i].weights[k].param == NULL;
    return EG_OK;
}

eg_status egi_keras_match(eg_load_report *report, egi_keras_source *source, eg_model *m)
{
    eg_load_report r = {.wanted = m->n_params};
    span s = {0};
    uint8_t *taken;
    EG_TRY(egi_alloc(&taken, m->context, m->n_params, 1));
    const eg_status status = match(&r, source, m, &s, taken);
    egi_free(m->context, s.param);
    egi_free(m->context, taken);
    EG_TRY(status);
    *report = r;
    return EG_OK;
}
