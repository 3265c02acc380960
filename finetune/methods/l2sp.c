/** L2-SP (Li et al. 2018): every old parameter is pulled towards its value in the pretrained file, every new one
 * towards 0: the protection that needs no old data. */
#include "finetune/run.h"

#define STRENGTH_AUTO 0.01
#define FRESH         0.1 /* importance of new parameters, beside 1 of the old ones (the paper's beta / alpha) */

static eg_status begin_task(egi_method *m, egi_run *run)
{
    void *omega = NULL, *theta = NULL;
    eg_status status;
    (void)m;
    EG_TRY_GOTO(status, egi_model_arena(&omega, run->model));
    EG_TRY_GOTO(status, egi_model_arena(&theta, run->model));
    const egi_tensor o = {.data = omega, .dtype = run->model->dtype, .shape = EGI_SHAPE(run->model->arena_count)};
    for (int64_t i = 0; i < run->model->arena_count; i++)
        egi_set(&o, i, 1);
    egi_run_mark_fresh(run, omega, FRESH);
    egi_arena_blend(run->model, theta, 0, run->start);
    egi_run_mark_fresh(run, theta, 0);
    status = egi_run_anchor(run, theta, omega, STRENGTH_AUTO);
done:
    egi_free(run->context, omega);
    egi_free(run->context, theta);
    return status;
}

const egi_method_type egi_method_l2sp = {.name = "l2sp", .begin_task = begin_task};
