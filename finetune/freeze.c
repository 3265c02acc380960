/* Which layers stay as they are. */
#include "finetune/run.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has_parameters(const egi_layer *l)
{
    return l->n_params > 0;
}

static bool is_batchnorm(const egi_layer *l)
{
    return strcmp(l->type->keras, "BatchNormalization") == 0;
}

static bool all_digits(const char *text)
{
    for (; *text; text++)
        if (!isdigit((unsigned char)*text))
            return false;
    return true;
}

/* The first `count` layers that have parameters. */
static eg_status freeze_count(eg_model *model, int64_t count)
{
    int64_t seen = 0;
    for (int64_t i = 0; i < model->n_layers; i++)
        if (has_parameters(&model->layers[i]))
            model->layers[i].frozen |= seen++ < count;
    if (count > seen)
        return egi_fail(EG_ERR_CONFIG, "finetune.freeze: %lld layers, the network has %lld with parameters",
                        (long long)count, (long long)seen);
    return EG_OK;
}

static eg_status freeze_pattern(eg_model *model, const char *pattern)
{
    bool any = false;
    for (int64_t i = 0; i < model->n_layers; i++) {
        egi_layer *l = &model->layers[i];
        if (fnmatch(pattern, l->name, 0) != 0 && fnmatch(pattern, l->path, 0) != 0)
            continue;
        l->frozen = any = true;
    }
    if (any)
        return EG_OK;
    return egi_fail(EG_ERR_CONFIG, "finetune.freeze: no layer matches '%.100s'; the first is '%.60s', the last '%.60s'",
                    pattern, model->n_layers ? model->layers[0].path : "",
                    model->n_layers ? model->layers[model->n_layers - 1].path : "");
}

static eg_status freeze_item(eg_model *model, const char *item)
{
    if (strcmp(item, "none") == 0)
        return EG_OK;
    if (strcmp(item, "auto") == 0) { /* as the file says */
        for (int64_t i = 0; i < model->n_layers; i++)
            model->layers[i].frozen |= !model->layers[i].trainable;
        return EG_OK;
    }
    return all_digits(item) ? freeze_count(model, strtoll(item, NULL, 10)) : freeze_pattern(model, item);
}

/* The rate of a dropout layer; NULL for others. */
static double *dropout_rate(const egi_layer *l)
{
    if (strcmp(l->type->keras, "Dropout") != 0)
        return NULL;
    const egi_field *f = egi_field_find(l->type->fields, l->type->n_fields, "rate");
    return f && f->kind == EGI_FIELD_REAL ? (double *)((char *)l->config + f->offset) : NULL;
}

static void set_dropout(eg_model *model, double rate)
{
    for (int64_t i = 0; i < model->n_layers; i++) {
        double *own = dropout_rate(&model->layers[i]);
        if (own)
            *own = rate;
    }
}

eg_status egi_freeze_apply(eg_model *model, const egi_run_config *config)
{
    char item[EGI_TEXT_MAX];
    for (int64_t i = 0; egi_list_item(config->finetune.freeze, i, item, sizeof item); i++)
        EG_TRY(freeze_item(model, item));
    model->batchnorm_frozen = config->finetune.batchnorm == EGI_BN_FROZEN;
    for (int64_t k = 0; k < model->n_params; k++) {
        const egi_layer *l = &model->layers[model->params[k].layer];
        const bool adapts = config->finetune.batchnorm == EGI_BN_ADAPT && is_batchnorm(l);
        model->params[k].frozen = l->frozen || adapts; /* adapt: the statistics move, the weights do not */
    }
    if (config->finetune.dropout >= 0)
        set_dropout(model, config->finetune.dropout);
    return EG_OK;
}

void egi_freeze_release(eg_model *model, const eg_model *before)
{
    for (int64_t i = 0; i < model->n_layers; i++) {
        egi_layer *l = &model->layers[i];
        const int at = egi_model_find_layer(before, l->path);
        double *rate = dropout_rate(l);
        l->frozen = false;
        if (rate && at >= 0 && before->layers[at].type == l->type)
            *rate = *dropout_rate(&before->layers[at]);
    }
    for (int64_t k = 0; k < model->n_params; k++)
        model->params[k].frozen = false;
    model->batchnorm_frozen = false;
}

eg_status egi_freeze_rates(double **out, const eg_model *model, const egi_run_config *config)
{
    double *rates, rate = 1;
    *out = NULL;
    if (config->finetune.lr_decay_per_layer == 1)
        return EG_OK;
    EG_TRY(egi_alloc(&rates, model->context, model->n_layers, sizeof *rates));
    for (int64_t i = model->n_layers - 1; i >= 0; i--) {
        rates[i] = rate;
        if (has_parameters(&model->layers[i]))
            rate *= config->finetune.lr_decay_per_layer;
    }
    *out = rates;
    return EG_OK;
}
