/* The losses of a plan: which operation, on logits or on the output itself, and the inputs they read. */
#include "core/ops/loss.h"
#include "core/ops/pointwise.h"
#include "finetune/batches.h"

egi_loss_name egi_objective_loss(const egi_objective *o, int output, egi_act head, int64_t units)
{
    if (o->loss == EGI_LOSS_NAME_SPARSE_CATEGORICAL)
        return EGI_LOSS_NAME_CATEGORICAL;
    if (o->loss != EGI_LOSS_NAME_AUTO)
        return o->loss;
    if (head == EGI_ACT_SIGMOID)
        return EGI_LOSS_NAME_BINARY;
    const bool classes = head == EGI_ACT_SOFTMAX || (!o->by_targets[output] && units > 1);
    return classes ? EGI_LOSS_NAME_CATEGORICAL : EGI_LOSS_NAME_MSE;
}

static bool several_used(const egi_objective *o)
{
    int used = 0;
    for (int j = 0; j < EGI_OUTPUTS_MAX; j++)
        used += o->used[j];
    return used > 1;
}

static eg_status emit_categorical(egi_loss_values *v, egi_plan *plan, egi_feed *f, const egi_objective *o, int j,
                                  egi_val loss)
{
    const egi_shape *shape = egi_shape_of(plan, v->logits[j]);
    if (shape->rank != 2 || v->head[j] == EGI_ACT_SIGMOID)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: categorical_crossentropy on an output of shape %s%s; use finetune.loss=auto",
                        egi_shape_format(shape).s, v->head[j] == EGI_ACT_SIGMOID ? " with sigmoid units" : "");
    if (o->by_targets[j])
        f->targets[j] = egi_plan_input(plan, plan->dtype, *shape);
    else
        f->labels[j] = egi_plan_input(plan, EGI_I32, EGI_SHAPE(plan->batch));
    if (o->weighted)
        f->weights[j] = egi_plan_input(plan, plan->dtype, EGI_SHAPE(plan->batch));
    return EGI_EMIT(plan, softmax_xent, .z = v->logits[j], .labels = f->labels[j], .targets = f->targets[j],
                    .weights = f->weights[j], .loss = loss, .dz = egi_temp_like(plan, v->logits[j]),
                    .correct = v->correct[j], .scale = 1, .label_smoothing = o->label_smoothing);
}

static eg_status emit_pointwise(egi_loss_values *v, egi_plan *plan, egi_feed *f, const egi_objective *o, int j,
                                egi_val out, egi_loss_name loss, egi_val value)
{
    const bool on_logits = loss == EGI_LOSS_NAME_BINARY && v->head[j] == EGI_ACT_SIGMOID && v->logits[j] != out;
    const egi_pointwise_kind kind = loss == EGI_LOSS_NAME_MSE   ? EGI_LOSS_MSE
                                    : loss == EGI_LOSS_NAME_MAE ? EGI_LOSS_MAE
                                    : on_logits                 ? EGI_LOSS_BCE_LOGITS
                                                                : EGI_LOSS_BCE;
    const egi_val y = on_logits ? v->logits[j] : out;
    f->targets[j] = egi_plan_input(plan, plan->dtype, *egi_shape_of(plan, out));
    if (o->weighted || several_used(o))
        f->weights[j] = egi_plan_input(plan, plan->dtype, EGI_SHAPE(plan->batch));
    if (loss != EGI_LOSS_NAME_BINARY)
        v->correct[j] = EGI_NONE;
    return EGI_EMIT(plan, pointwise_loss, .y = y, .targets = f->targets[j], .weights = f->weights[j], .loss = value,
                    .dy = egi_temp_like(plan, y), .correct = v->correct[j], .kind = kind, .scale = 1,
                    .label_smoothing = o->label_smoothing);
}

static eg_status emit_output(egi_loss_values *v, egi_plan *plan, egi_val out, egi_feed *f, const egi_objective *o,
                             int j, egi_val loss)
{
    EG_TRY(egi_plan_logits(plan, out, &v->logits[j], &v->head[j]));
    const egi_loss_name name = egi_objective_loss(o, j, v->head[j], egi_dim(plan, out, -1));
    f->by_targets[j] = o->by_targets[j];
    v->correct[j] = egi_temp(plan, EGI_SCALAR);
    if (name == EGI_LOSS_NAME_CATEGORICAL)
        EG_TRY(emit_categorical(v, plan, f, o, j, loss));
    else
        EG_TRY(emit_pointwise(v, plan, f, o, j, out, name, loss));
    if (v->correct[j])
        egi_plan_keep(plan, v->correct[j]);
    return plan->status;
}

eg_status egi_objective_emit(egi_loss_values *out, egi_plan *plan, const egi_model_io *io, egi_feed *feed,
                             const egi_objective *objective)
{
    egi_loss_values v = {.loss = EGI_NONE};
    for (int j = 0; j < feed->model->n_outputs; j++) {
        if (!objective->used[j])
            continue;
        const egi_val loss = egi_temp(plan, EGI_SCALAR);
        EG_TRY(emit_output(&v, plan, io->out[j], feed, objective, j, loss));
        if (v.loss == EGI_NONE) {
            v.loss = loss;
            continue;
        }
        const egi_val sum = egi_temp(plan, EGI_SCALAR);
        EG_TRY(EGI_EMIT(plan, add, .a = v.loss, .b = loss, .y = sum));
        v.loss = sum;
    }
    if (v.loss == EGI_NONE)
        return egi_fail(EG_ERR_INTERNAL, "loss: no output is trained");
    egi_plan_keep(plan, v.loss);
    *out = v;
    return plan->status;
}
