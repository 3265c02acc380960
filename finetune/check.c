/* eg_finetune_check(): all that comes before the first epoch and a few steps on a copy, as a report. */
#include "core/text.h"
#include "finetune/screen.h"

#include <math.h>

#define SHOWN 16 /* inputs whose range is told */

static void add_line(void *user, const char *line)
{
    egi_text_add(user, line);
    egi_text_add(user, "\n");
}

static eg_status say_range(egi_run *run, int input)
{
    const egi_shape *shape = &run->model->tensors[run->model->inputs[input]];
    const int64_t n = run->new_part.n_train < SHOWN ? run->new_part.n_train : SHOWN, count = egi_shape_count(shape);
    float *x, low = INFINITY, high = -INFINITY;
    double sum = 0;
    EG_TRY(egi_alloc(&x, run->context, n * count, sizeof *x));
    const eg_status status =
        egi_batch_fill(run->new_train, input, run->new_part.train_index, n, &run->new_preprocess.p, shape, x);
    for (int64_t i = 0; i < n * count; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
        sum += x[i];
    }
    egi_free(run->context, x);
    EG_TRY(status);
    egi_run_line(run, true, "input   %s: %.4g to %.4g, mean %.4g, over the first %lld examples after preprocessing %s",
                 egi_shape_format(shape).s, low, high, sum / (double)(n * count), (long long)n,
                 run->new_preprocess.text);
    return EG_OK;
}

static eg_status examine(egi_run *run)
{
    double loss = 0, first = 0, later = 0;
    const int64_t epochs = run->config->finetune.epochs;
    EG_TRY(egi_run_prepare(run));
    for (int i = 0; i < run->model->n_inputs; i++)
        EG_TRY(say_range(run, i));
    if (!run->trainer)
        return EG_OK;
    EG_TRY(egi_run_probe(run, &loss, &first, &later));
    if (!isfinite(loss))
        return egi_fail(EG_ERR_NUMERIC, "training: the loss of the first batch is not finite; look at data.preprocess");
    egi_run_line(run, true, "step    loss %.4f in the first step | about %.1f s an epoch, %.0f s for %lld epochs", loss,
                 later, first + later * (double)(epochs - 1), (long long)epochs);
    return EG_OK;
}

eg_status eg_finetune_check(char **out, eg_model *model, const eg_finetune_job *job)
{
    egi_run run;
    egi_text t = {.context = model->context};
    eg_finetune_job dry = *job;
    dry.line = add_line;
    dry.progress = NULL;
    dry.out_dir = NULL;
    dry.user = &t;
    eg_status status = egi_run_begin(&run, model, &dry);
    if (status == EG_OK)
        status = examine(&run);
    egi_run_release(&run);
    if (status == EG_OK)
        return egi_text_take(out, &t);
    egi_text_release(&t);
    return status;
}
