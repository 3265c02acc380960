/* Operations over the arena of parameters: its segments become a table on the device, and blocks take them by pieces.
 */
#include "cuda/optimizer.h"

#include "core/ops/update.h"
#include "cuda/cuda.h"

#define THREADS (EGI_CUDA_PIECE / 4)

static int64_t pieces_of(const egi_segment *s)
{
    return s->end > s->begin ? (s->end + EGI_CUDA_PIECE - 1) / EGI_CUDA_PIECE - s->begin / EGI_CUDA_PIECE : 0;
}

/* The table, on the device as long as `out` lives. */
static eg_status make_table(egi_kernel *out, egi_cuda_update_args *p)
{
    const egi_update *a = out->args;
    eg_context *context = out->device->context;
    egi_cuda_segment *table;
    void *there;
    EG_TRY(egi_alloc(&table, context, a->n_segments, sizeof *table));
    for (int i = 0; i < a->n_segments; i++) {
        const egi_segment *s = &a->segments[i];
        if (pieces_of(s) == 0)
            continue;
        table[p->n_segments++] = (egi_cuda_segment){.begin = s->begin,
                                                    .end = s->end,
                                                    .first = p->pieces,
                                                    .l1 = (float)s->l1,
                                                    .l2 = (float)s->l2,
                                                    .lr_scale = (float)s->lr_scale,
                                                    .weight_decay = (float)s->weight_decay};
        p->pieces += pieces_of(s);
    }
    const eg_status status = egi_cuda_table(out, &there, table, (size_t)p->n_segments * sizeof *table);
    egi_free(context, table);
    p->segments = there;
    return status;
}

static bool aligned(const egi_cuda_update_args *p)
{
    const uintptr_t all = (uintptr_t)p->w | (uintptr_t)p->m | (uintptr_t)p->v | (uintptr_t)p->grad |
                          (uintptr_t)p->anchor | (uintptr_t)p->omega | (uintptr_t)p->ema;
    return all % 16 == 0;
}

static egi_cuda_update_args args_of(const egi_kernel *out)
{
    const egi_update *a = out->args;
    egi_cuda_update_args p = {
        .w = egi_cuda_data(out, a->w),
        .m = egi_cuda_data(out, a->m),
        .v = egi_cuda_data(out, a->v),
        .grad = egi_cuda_data(out, a->grad),
        .anchor = egi_cuda_data(out, a->anchor),
        .omega = egi_cuda_data(out, a->omega),
        .ema = egi_cuda_data(out, a->ema),
        .norm = a->clip_norm > 0 ? egi_cuda_data(out, a->norm) : NULL,
        .control = egi_cuda_of(out)->control,
        .ema_momentum = (float)a->ema_momentum,
        .clip_norm = (float)a->clip_norm,
        .momentum = (float)a->momentum,
        .rho = (float)a->rho,
        .one_minus_rho = (float)(1 - a->rho),
        .one_minus_beta1 = (float)(1 - a->beta1),
        .one_minus_beta2 = (float)(1 - a->beta2),
        .epsilon = (float)a->epsilon,
        .log_beta1 = (float)log(a->beta1),
        .log_beta2 = (float)log(a->beta2),
    };
    p.quads = aligned(&p);
    return p;
}

/* Launches `name` over all pieces; the sum of what they add up goes to `sum`, where it is wanted. */
static eg_status launch(egi_kernel *out, const char *name, const egi_cuda_update_args *what, egi_val sum)
{
    egi_cuda_update_args p = *what;
    EG_TRY(make_table(out, &p));
    const int64_t blocks = egi_cuda_blocks(p.pieces, 1, 8 * (int64_t)egi_cuda_of(out)->processors);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = name, .grid = {blocks}, .block = THREADS, .args = &p, .size = sizeof p,
                           .scratch_field = sum ? EGI_FIELD(egi_cuda_update_args, sums) : 0));
    if (!sum)
        return EG_OK;
    out->scratch_bytes = (size_t)blocks * sizeof(double);
    const egi_cuda_update_sum_args add = {
        .y = egi_cuda_data(out, sum), .n = blocks, .root = out->op == &egi_op_update_norm};
    return EGI_CUDA_LAUNCH(out, .name = "eg_update_sum", .grid = {1}, .block = THREADS, .args = &add,
                           .size = sizeof add, .scratch_field = EGI_FIELD(egi_cuda_update_sum_args, sums));
}

/* `averages`: the kernel that also keeps an average. */
static eg_status update(egi_kernel *out, const char *name, const char *averages)
{
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_cuda_update_args p = args_of(out);
    const egi_update *a = out->args;
    return launch(out, a->ema ? averages : name, &p, a->penalty);
}

eg_status egi_cuda_sgd(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_update *a = out->args;
    if (a->nesterov)
        return update(out, "eg_sgd_nesterov", "eg_sgd_nesterov_ema");
    return a->momentum > 0 ? update(out, "eg_sgd_momentum", "eg_sgd_momentum_ema")
                           : update(out, "eg_sgd", "eg_sgd_ema");
}

eg_status egi_cuda_adam(egi_device *device, egi_kernel *out)
{
    (void)device;
    return update(out, "eg_adam", "eg_adam_ema");
}

eg_status egi_cuda_rmsprop(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_update *a = out->args;
    return a->momentum > 0 ? update(out, "eg_rmsprop_momentum", "eg_rmsprop_momentum_ema")
                           : update(out, "eg_rmsprop", "eg_rmsprop_ema");
}

eg_status egi_cuda_update_norm(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_update *a = out->args;
    egi_cuda_update_args p = args_of(out);
    p.norm = NULL; /* it is what is computed */
    return launch(out, "eg_update_norm", &p, a->norm);
}

eg_status egi_cuda_square_add(egi_device *device, egi_kernel *out)
{
    (void)device;
    if (!egi_cuda_is_f32(out))
        return EGI_CUDA_DECLINE;
    const egi_square_add *a = out->args;
    egi_cuda_square_add_args p = {
        .x = egi_cuda_data(out, a->x), .f = egi_cuda_data(out, a->f), .n = egi_count(&out->t[a->x])};
    p.quads = ((uintptr_t)p.x | (uintptr_t)p.f) % 16 == 0;
    return EGI_CUDA_LAUNCH(out, .name = "eg_square_add",
                           .grid = {egi_cuda_blocks(p.n, THREADS * 4, 16 * (int64_t)egi_cuda_of(out)->processors)},
                           .block = THREADS, .args = &p, .size = sizeof p);
}
