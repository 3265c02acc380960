/* Weight blending: where the budget is missed, part of the way back to the old weights: forward passes only. */
#include "core/mirror.h"
#include "finetune/run.h"

#include <math.h>
#include <string.h>

#define BLEND_POINTS 10

/* weights = start + share (trained - start) */
static eg_status set_share(egi_run *run, const void *trained, double share)
{
    const egi_shape all = EGI_SHAPE(run->model->arena_count);
    const egi_dtype dtype = run->model->dtype;
    const egi_tensor w = {.data = run->model->weights, .dtype = dtype, .shape = all};
    const egi_tensor from = {.data = run->start, .dtype = dtype, .shape = all};
    const egi_tensor to = {.data = (void *)trained, .dtype = dtype, .shape = all};
    EG_TRY(egi_host_writes(run->context, w.data));
    for (int64_t i = 0; i < run->model->arena_count; i++) {
        const double a = egi_get(&from, i), b = egi_get(&to, i);
        egi_set(&w, i, a + share * (b - a));
    }
    return EG_OK;
}

static eg_status try_shares(egi_run *run, const void *trained, double budget)
{
    eg_epoch_result e;
    for (int k = BLEND_POINTS - 1; k > 0; k--) {
        const double share = (double)k / BLEND_POINTS;
        EG_TRY(set_share(run, trained, share));
        EG_TRY(egi_run_measure_epoch(run, &e));
        if (!egi_over_budget(egi_run_drop(run), budget)) {
            run->blend = share;
            egi_run_line(run, false,
                         "blend   %.0f %% of the way to the new weights meets the budget: keep %.2f %%, new %.2f %%",
                         share * 100, e.keep_accuracy * 100, e.new_accuracy * 100);
            return EG_OK;
        }
    }
    EG_TRY(egi_host_writes(run->context, run->model->weights));
    memcpy(run->model->weights, trained, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    egi_run_line(run, false, "blend   no point on the way back to the old weights meets the budget");
    return egi_run_measure_epoch(run, &e);
}

eg_status egi_run_blend(egi_run *run)
{
    const double budget = egi_run_budget(run);
    void *trained;
    run->blend = 1;
    if (!run->config->remember.blend || run->n_methods == 0 || !egi_over_budget(egi_run_drop(run), budget))
        return EG_OK;
    EG_TRY(egi_model_arena(&trained, run->model));
    memcpy(trained, run->model->weights, (size_t)run->model->arena_count * egi_dtype_size(run->model->dtype));
    const eg_status status = try_shares(run, trained, budget);
    egi_free(run->context, trained);
    return status;
}
