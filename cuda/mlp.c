/* Whole steps of small chains of dense layers: for which they are faster than the operations one by one. */
#include "cuda/mlp.h"

#include "cuda/cuda.h"

/* A block streams all weights from the cache, at about 64 bytes a clock: beyond this many that alone takes longer (20
 * us) than separate products over all processors with their launches. */
#define WEIGHTS_MOST (512 * 1024)
/* Beyond this many rows each launch is work enough, and large tiles read the weights less often. */
#define ROWS_MOST 2048

#define SLICES 32  /* at most: their sums are added one after the other */
#define STATIC 256 /* bytes of shared memory that the kernels have beside it: rows.cuh */

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static size_t shared_bytes(const egi_cuda_mlp_args *p, int rows)
{
    const egi_cuda_mlp_layer *last = &p->layer[p->layers - 1];
    return (size_t)rows * (size_t)(4 * EGI_MLP_BLOCK + last->at + last->pitch) * sizeof(float);
}

static bool fits(const egi_cuda *c, const egi_cuda_mlp_args *p, int rows)
{
    return shared_bytes(p, rows) + STATIC <= c->shared_bytes;
}

/* Four rows a block, or eight where four would give a processor more than one block. */
static int rows_of(const egi_cuda *c, const egi_cuda_mlp_args *p)
{
    return p->xent.rows > 4 * (int64_t)c->processors && fits(c, p, 8) ? 8 : 4;
}

static egi_cuda_mlp_layer layer_of(const egi_kernel *k, const egi_mlp_step *a, int l)
{
    const egi_shape *w = &k->t[a->w[l]].shape;
    egi_cuda_mlp_layer out = {.w = egi_cuda_data(k, a->w[l]),
                              .b = egi_cuda_data(k, a->b[l]),
                              .dw = egi_cuda_data(k, a->dw[l]),
                              .db = egi_cuda_data(k, a->db[l]),
                              .in = (int32_t)w->dim[0],
                              .out = (int32_t)w->dim[1],
                              .pitch = (int32_t)up(w->dim[1], 4) * 4,
                              .act = (int32_t)a->act[l],
                              .alpha = a->alpha[l]};
    const int64_t fit = EGI_MLP_BLOCK / (out.pitch / 4), useful = up(out.in, 4);
    out.slices = (int32_t)(fit < SLICES ? fit : SLICES);
    out.slices = (int32_t)(useful < out.slices ? (useful ? useful : 1) : out.slices);
    out.quads = out.out % 4 == 0 && egi_cuda_aligned(out.w);
    out.quads_dw = out.out % 4 == 0 && egi_cuda_aligned(out.dw);
    return out;
}

/* Places in shared memory and in scratch, and the blocks of the second kernel. */
static void place(egi_cuda_mlp_args *p, int rows)
{
    p->blocks = (int32_t)up(p->xent.rows, rows);
    int64_t scratch = up((int64_t)p->blocks * 2 * (int64_t)sizeof(double), 64) * 64 / (int64_t)sizeof(float);
    for (int i = 0; i < p->layers; i++) {
        egi_cuda_mlp_layer *l = &p->layer[i];
        l->y = scratch;
        l->dz = scratch + p->xent.rows * l->pitch;
        scratch = l->dz + p->xent.rows * l->pitch;
        l->first = p->grads;
        p->grads += (int32_t)(up(l->in + (l->db != NULL), EGI_MLP_TILE) * up(l->out, EGI_MLP_TILE));
    }
}

static size_t scratch_bytes(const egi_cuda_mlp_args *p)
{
    const egi_cuda_mlp_layer *last = &p->layer[p->layers - 1];
    return (size_t)(last->dz + p->xent.rows * last->pitch) * sizeof(float);
}

static bool is_small(const egi_kernel *k, const egi_mlp_step *a)
{
    int64_t weights = 0;
    for (int l = 0; l < a->layers; l++)
        weights += egi_count(&k->t[a->w[l]]);
    return weights <= WEIGHTS_MOST && k->t[a->x].shape.dim[0] <= ROWS_MOST;
}

static egi_cuda_mlp_args args_of(const egi_kernel *k, const egi_mlp_step *a)
{
    const egi_softmax_xent loss = {.labels = a->labels,
                                   .targets = a->targets,
                                   .weights = a->weights,
                                   .correct = a->correct,
                                   .scale = a->scale,
                                   .label_smoothing = a->label_smoothing};
    egi_cuda_mlp_args p = {.x = egi_cuda_data(k, a->x),
                           .loss = egi_cuda_data(k, a->loss),
                           .correct = egi_cuda_data(k, a->correct),
                           .layers = a->layers};
    int32_t at = 0;
    for (int l = 0; l < a->layers; l++) {
        p.layer[l] = layer_of(k, a, l);
        p.layer[l].at = at;
        at += p.layer[l].pitch;
    }
    p.xent = egi_cuda_xent_of(k, &loss, k->t[a->x].shape.dim[0], p.layer[a->layers - 1].out);
    p.quads_x = p.layer[0].in % 4 == 0 && egi_cuda_aligned(p.x);
    return p;
}

eg_status egi_cuda_mlp_step(egi_device *device, egi_kernel *out)
{
    const egi_cuda *c = egi_cuda_of(out);
    const egi_mlp_step *a = out->args;
    /* Factors that are to be rounded are for tensor cores, which the products have. */
    if (!egi_cuda_is_f32(out) || device->context->precision != EGI_PRECISION_F32 || !is_small(out, a))
        return EGI_CUDA_DECLINE;
    egi_cuda_mlp_args args = args_of(out, a);
    const int rows = rows_of(c, &args);
    if (!fits(c, &args, rows))
        return EGI_CUDA_DECLINE;
    place(&args, rows);
    out->scratch_bytes = scratch_bytes(&args);
    EG_TRY(EGI_CUDA_LAUNCH(out, .name = rows == 8 ? "eg_mlp_8" : "eg_mlp_4", .grid = {args.blocks},
                           .block = EGI_MLP_BLOCK, .shared = shared_bytes(&args, rows), .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_mlp_args, scratch)));
    return EGI_CUDA_LAUNCH(out, .name = "eg_mlp_grads", .grid = {args.grads + 1}, .block = EGI_MLP_BLOCK, .args = &args,
                           .size = sizeof args, .scratch_field = EGI_FIELD(egi_cuda_mlp_args, scratch));
}
