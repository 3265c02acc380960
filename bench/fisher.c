/* The exact diagonal Fisher information alone: one JSON object with the seconds and the sum over each parameter.
 *
 *     bench_fisher MODEL DATA EXAMPLES      the first EXAMPLES of the training part, divided by 255
 *
 * Looks at the inside of the library: the command estimates it only on its way into a run. */
#include "bench/inside.h"
#include "finetune/importance.h"

#include <engram/engram.h>

#include <stdio.h>
#include <stdlib.h>

#define BATCH 50 /* as the method takes them */

static void print_sums(const eg_model *model, const float *omega, double seconds)
{
    printf("{\"seconds\": %.5f, \"sums\": [", seconds);
    for (int64_t i = 0; i < model->n_params; i++) {
        const egi_param *p = &model->params[i];
        double sum = 0;
        for (int64_t j = 0; j < p->count; j++)
            sum += omega[p->offset + j];
        printf("%s%.9g", i ? ", " : "", sum);
    }
    printf("]}\n");
}

static eg_status measure(const eg_model *model, const egi_source *source, const eg_config *config, int64_t n)
{
    egi_item *items = calloc((size_t)n, sizeof *items);
    void *omega = NULL;
    egi_fisher_request r = {
        .sources = source, .n_sources = 1, .items = items, .n = n, .mode = EGI_FISHER_EXACT, .batch = BATCH, .seed = 1};
    for (int64_t i = 0; items && i < n; i++)
        items[i].index = i;
    double began = 0;
    eg_status s = items ? EG_OK : EG_ERR_NOMEM;
    s = s ? s : egi_objective_make(&r.objective, model, egi_config_run(config), source, 1);
    s = s ? s : egi_model_arena(&omega, model);
    for (int i = 0; !s && i < 2; i++) { /* the first warms up, as the peers' does */
        began = egi_clock();
        s = egi_fisher(omega, model, &r);
    }
    if (!s)
        print_sums(model, omega, egi_clock() - began);
    egi_free(model->context, omega);
    free(items);
    return s;
}

static eg_status run(eg_context *context, int argc, char **argv)
{
    if (argc != 4)
        return egi_fail(EG_ERR_ARG, "usage: bench_fisher MODEL DATA EXAMPLES");
    eg_model *model = NULL;
    eg_dataset *data = NULL;
    eg_config *config = NULL;
    egi_preprocess unit;
    eg_status s = egi_preprocess_parse(&unit, "unit");
    s = s ? s : eg_config_create(&config, context);
    s = s ? s : eg_model_load(&model, context, argv[1], NULL);
    s = s ? s : eg_dataset_load(&data, context, argv[2], EG_PART_TRAIN);
    const egi_source source = {.data = data, .preprocess = &unit};
    s = s ? s : measure(model, &source, config, atoll(argv[3]));
    eg_dataset_free(data);
    eg_model_free(model);
    eg_config_free(config);
    return s;
}

int main(int argc, char **argv)
{
    return bench_run(run, argc, argv);
}
