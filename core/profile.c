/* What the operations of a plan cost: times by the device, work by the operations themselves. */
#include "core/plan.h"

double egi_op_flops(const egi_op *op, const void *args, const egi_tensor *t)
{
    return op->flops ? op->flops(args, t) : 0;
}

double egi_op_bytes(const egi_op *op, const void *args, const egi_tensor *t)
{
    const uint16_t *const lists[] = {op->in, op->out};
    double all = 0;
    for (int l = 0; l < 2; l++)
        for (const uint16_t *field = lists[l]; *field; field++) {
            const egi_val v = egi_arg(args, *field);
            if (v != EGI_NONE)
                all += (double)egi_count(&t[v]) * (double)egi_dtype_size(t[v].dtype);
        }
    return op->bytes ? op->bytes(args, t, all) : all;
}

eg_status egi_plan_profile(egi_plan *p)
{
    if (!p->kernels)
        return egi_fail(EG_ERR_STATE, "plan: profiling begins after compiling");
    egi_free(p->context, p->times);
    p->times = NULL;
    const eg_status status = egi_alloc(&p->times, p->context, p->n_kernels, sizeof *p->times);
    for (int i = 0; i < p->n_kernels; i++)
        p->kernels[i].time = p->times ? &p->times[i] : NULL;
    return status;
}

static egi_phase phase_of(const egi_plan *p, int64_t i)
{
    if (p->n_forward < 0 || i < p->n_forward)
        return EGI_PHASE_FORWARD;
    return p->n_backward < 0 || i < p->n_backward ? EGI_PHASE_BACKWARD : EGI_PHASE_UPDATE;
}

bool egi_plan_cost(const egi_plan *p, int64_t i, egi_cost *out)
{
    const egi_node *node = &p->nodes[i];
    if (node->dead || !p->times)
        return false;
    const egi_kernel_time *time = &p->times[node->kernel];
    *out = (egi_cost){.op = node->op,
                      .layer = node->layer,
                      .phase = phase_of(p, i),
                      .calls = time->calls,
                      .seconds = time->seconds,
                      .flops = (double)time->calls * egi_op_flops(node->op, node->args, p->t),
                      .bytes = (double)time->calls * egi_op_bytes(node->op, node->args, p->t)};
    return true;
}
