/* Convolutions by cuDNN: kernels turned to its layout, factors rounded where the precision says so, one plan, and what
 * it does not do afterwards. Depthwise ones are not asked for: they are bound by memory, and depthwise.cu needs neither
 * turned kernels nor copies. */
#include "cuda/conv_prepare.h"
#include "cuda/cudnn_graph.h"
#include "cuda/filter.h"

#include <stdio.h>
#include <string.h>

#define BLOCK     256
#define WORKSPACE ((int64_t)256 << 20) /* bytes at most: all operations of a plan share it */

/* cuDNN's handle is made when the first convolution wants it. NULL: there is none, or it is not wanted. */
static egi_cudnn *ready(const egi_kernel *k)
{
    egi_cuda *c = egi_cuda_of(k);
    egi_cudnn *n = c->cudnn;
    if (!n || n->refused || k->device->context->own_kernels)
        return NULL;
    if (n->handle)
        return n;
    cudnnStatus_t status = n->cudnnCreate(&n->handle);
    if (status == CUDNN_STATUS_SUCCESS)
        status = n->cudnnSetStream(n->handle, c->stream);
    if (status == CUDNN_STATUS_SUCCESS)
        return n;
    n->refused = true;
    egi_log(k->device->context, EG_LOG_WARNING, "cudnn: %s; Engram's own kernels compute convolutions",
            n->cudnnGetErrorString(status));
    return NULL;
}

/* An address: `data`, or, where that is NULL, so many bytes into scratch. */
typedef struct place {
    void *data;
    size_t at;
} place;

typedef struct job {
    egi_kernel *k;
    egi_cudnn *cudnn;
    egi_cudnn_conv conv;
    egi_cuda_conv of;
    bool bf16;
    place place[4]; /* of cuDNN's x, w, y, b */
} job;

static place *place_of(job *j, int64_t uid)
{
    return &j->place[uid - EGI_CUDNN_X];
}

static eg_status begin(job *j, egi_kernel *k, egi_cudnn_pass pass, egi_val x, egi_val w, egi_val y,
                       const egi_conv_geometry *g, const egi_conv_pool *pool)
{
    *j = (job){.k = k, .cudnn = ready(k)};
    if (!j->cudnn)
        return EGI_CUDA_DECLINE;
    EG_TRY(egi_cuda_conv_of(k, x, w, y, g, pool, &j->of));
    if (egi_cuda_conv_is_depthwise(&j->of) || egi_cuda_conv_pixels(&j->of) == 0)
        return EGI_CUDA_DECLINE;
    j->conv = (egi_cudnn_conv){.pass = pass, .d = j->of.d, .g = *g, .precision = k->device->context->precision};
    j->bf16 = j->conv.precision == EGI_PRECISION_BF16;
    return EG_OK;
}

/* --- scratch, and the kernels that fill it ------------------------------------------------------------------------ */

/* The fields `from` and `to` of a launch's struct, where these places are in scratch. */
#define IN_SCRATCH(args, a, b)                                                   \
    .scratch_field = (a).data ? 0 : EGI_FIELD(args, from), .scratch_at = (a).at, \
    .second_field = (b).data ? 0 : EGI_FIELD(args, to), .second_at = (b).at

static place reserve(egi_kernel *k, int64_t bytes)
{
    const place p = {.at = (k->scratch_bytes + 255) / 256 * 256};
    k->scratch_bytes = p.at + (size_t)bytes;
    return p;
}

static int64_t size_of(const job *j)
{
    return j->bf16 ? sizeof(uint16_t) : sizeof(float);
}

static int64_t rows_of_kernel(const job *j)
{
    return j->conv.d.kh * j->conv.d.kw * j->conv.d.cg;
}

static eg_status transpose(job *j, const char *name, place from, place to, int64_t rows, int64_t columns)
{
    const egi_cuda_transpose_args a = {.from = from.data, .to = to.data, .rows = rows, .columns = columns};
    return EGI_CUDA_LAUNCH(j->k, .name = name, .grid = {(rows + 31) / 32, (columns + 31) / 32}, .block = BLOCK,
                           .args = &a, .size = sizeof a, IN_SCRATCH(egi_cuda_transpose_args, from, to));
}

/* cuDNN's w, from ours. */
static eg_status kernel_in(job *j, egi_val w)
{
    const int64_t rows = rows_of_kernel(j), columns = j->conv.d.f;
    place *to = place_of(j, EGI_CUDNN_W);
    *to = reserve(j->k, rows * columns * size_of(j));
    return transpose(j, j->bf16 ? "eg_filter_transpose_to16" : "eg_filter_transpose",
                     (place){.data = egi_cuda_data(j->k, w)}, *to, rows, columns);
}

/* What cuDNN reads: n floats as they are, or rounded. */
static eg_status factor_in(job *j, int64_t uid, place from, int64_t n)
{
    place *to = place_of(j, uid);
    *to = from;
    if (!j->bf16)
        return EG_OK;
    *to = reserve(j->k, n * size_of(j));
    const egi_cuda_round_args a = {.from = from.data, .n = n, .vector = egi_cuda_aligned(from.data)};
    return EGI_CUDA_LAUNCH(j->k, .name = "eg_filter_round",
                           .grid = {egi_cuda_blocks(n, 4 * BLOCK, 16 * (int64_t)egi_cuda_of(j->k)->processors)},
                           .block = BLOCK, .args = &a, .size = sizeof a, IN_SCRATCH(egi_cuda_round_args, from, (*to)));
}

/* What cuDNN writes: where it belongs, or in bf16 into scratch. */
static void product_out(job *j, int64_t uid, egi_val v)
{
    *place_of(j, uid) =
        j->bf16 ? reserve(j->k, egi_count(&j->k->t[v]) * size_of(j)) : (place){.data = egi_cuda_data(j->k, v)};
}

/* y = act(what cuDNN wrote + b + r). */
static eg_status finish(job *j, place x, egi_val y, const egi_conv2d *a)
{
    const egi_shape *s = &j->k->t[y].shape;
    const int64_t f = s->dim[s->rank - 1];
    egi_cuda_finish_args args = {.x = x.data,
                                 .b = egi_cuda_data(j->k, a->b),
                                 .r = egi_cuda_data(j->k, a->r),
                                 .y = egi_cuda_data(j->k, y),
                                 .pixels = (uint32_t)(egi_count(&j->k->t[y]) / f),
                                 .f = (int32_t)f,
                                 .act = (int32_t)a->act,
                                 .alpha = a->alpha};
    const bool vectors = f % 4 == 0 && egi_cuda_aligned(args.b) && egi_cuda_aligned(args.r) && egi_cuda_aligned(args.y);
    const char *name = j->bf16   ? vectors ? "eg_filter_finish16_4" : "eg_filter_finish16"
                       : vectors ? "eg_filter_finish4"
                                 : "eg_filter_finish";
    int64_t grid[2];
    egi_cuda_walk(j->k, args.pixels, f, vectors ? 4 : 1, &args.lanes, grid);
    return EGI_CUDA_LAUNCH(j->k, .name = name, .grid = {grid[0], grid[1]}, .block = BLOCK, .args = &args,
                           .size = sizeof args, .scratch_field = x.data ? 0 : EGI_FIELD(egi_cuda_finish_args, x),
                           .scratch_at = x.at);
}

/* --- the plan as a step ------------------------------------------------------------------------------------------- */

typedef struct step {
    egi_cudnn_plan plan;
    cudnnBackendDescriptor_t pack; /* made at the first run: only then scratch is known */
    int n;
    place place[4], workspace;
} step;

static eg_status run_step(const egi_kernel *k, void *state)
{
    static const int64_t uids[4] = {EGI_CUDNN_X, EGI_CUDNN_W, EGI_CUDNN_Y, EGI_CUDNN_B};
    char *const scratch = k->scratch;
    step *s = state;
    void *data[4];
    for (int i = 0; i < s->n; i++)
        data[i] = s->place[i].data ? s->place[i].data : scratch + s->place[i].at;
    return egi_cudnn_run(egi_cuda_of(k)->cudnn, &s->plan, &s->pack, uids, data, s->n, scratch + s->workspace.at);
}

static void release_step(egi_cuda *cuda, void *state)
{
    step *s = state;
    if (s->pack)
        cuda->cudnn->cudnnBackendDestroyDescriptor(s->pack);
    egi_cudnn_plan_release(cuda->cudnn, &s->plan);
}

static eg_status execute(job *j)
{
    egi_cudnn_plan plan;
    step *s;
    for (int i = 0; i < 4; i++)
        j->conv.aligned[i] = egi_cuda_aligned(j->place[i].data) ? 16 : 4;
    EG_TRY(egi_cudnn_plan_make(&plan, j->cudnn, &j->conv, WORKSPACE));
    const eg_status status = egi_cuda_call_add(j->k, run_step, release_step, &s, sizeof *s);
    if (status != EG_OK) {
        egi_cudnn_plan_release(j->cudnn, &plan);
        return status;
    }
    s->plan = plan;
    s->n = j->conv.bias ? 4 : 3;
    memcpy(s->place, j->place, sizeof s->place);
    s->workspace = reserve(j->k, s->plan.workspace);
    return EG_OK;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

eg_status egi_cudnn_conv2d(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d *a = out->args;
    job j;
    EG_TRY(begin(&j, out, EGI_CUDNN_FORWARD, a->x, a->w, a->y, &a->g, NULL));
    EG_TRY(kernel_in(&j, a->w));
    EG_TRY(factor_in(&j, EGI_CUDNN_X, (place){.data = egi_cuda_data(out, a->x)}, egi_count(&out->t[a->x])));
    product_out(&j, EGI_CUDNN_Y, a->y);
    if (!j.bf16 && a->b != EGI_NONE && a->r == EGI_NONE && a->act <= EGI_ACT_RELU) {
        place_of(&j, EGI_CUDNN_B)->data = egi_cuda_data(out, a->b);
        j.conv.bias = true;
        j.conv.relu = a->act == EGI_ACT_RELU;
        const eg_status status = execute(&j);
        if (status != EGI_CUDA_DECLINE)
            return status;
        j.conv.bias = j.conv.relu = false;
    }
    EG_TRY(execute(&j));
    if (!j.bf16 && a->b == EGI_NONE && a->r == EGI_NONE && a->act == EGI_ACT_LINEAR)
        return EG_OK;
    return finish(&j, *place_of(&j, EGI_CUDNN_Y), a->y, a);
}

/* The gradient of the output: dy, or, where there is pooling, what is made of it where scratch begins; and its sums. */
static eg_status gradient_in(job *j, egi_val dy, egi_val index, egi_val db)
{
    const int64_t pixels = egi_cuda_conv_pixels(&j->of), f = j->conv.d.f;
    place from = {.data = egi_cuda_data(j->k, dy)};
    int64_t floats;
    EG_TRY(egi_cuda_unpool(j->k, &j->of, dy, index, &floats));
    if (floats) {
        from.data = NULL;
        j->k->scratch_bytes = (size_t)floats * sizeof(float);
    }
    if (db != EGI_NONE)
        EG_TRY(egi_cuda_column_sum_add(j->k, from.data, pixels, f, egi_cuda_data(j->k, db)));
    return factor_in(j, EGI_CUDNN_Y, from, pixels * f);
}

eg_status egi_cudnn_conv2d_dx(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dx *a = out->args;
    const egi_conv2d nothing = {.b = EGI_NONE, .r = EGI_NONE};
    job j;
    EG_TRY(begin(&j, out, EGI_CUDNN_DX, a->dx, a->w, a->dy, &a->g, &a->pool));
    EG_TRY(gradient_in(&j, a->dy, a->index, EGI_NONE));
    EG_TRY(kernel_in(&j, a->w));
    product_out(&j, EGI_CUDNN_X, a->dx);
    EG_TRY(execute(&j));
    return j.bf16 ? finish(&j, *place_of(&j, EGI_CUDNN_X), a->dx, &nothing) : EG_OK;
}

eg_status egi_cudnn_conv2d_dw(egi_device *device, egi_kernel *out)
{
    (void)device;
    const egi_conv2d_dw *a = out->args;
    job j;
    EG_TRY(begin(&j, out, EGI_CUDNN_DW, a->x, a->dw, a->dy, &a->g, &a->pool));
    EG_TRY(gradient_in(&j, a->dy, a->index, a->db));
    EG_TRY(factor_in(&j, EGI_CUDNN_X, (place){.data = egi_cuda_data(out, a->x)}, egi_count(&out->t[a->x])));
    const place dw = reserve(out, egi_count(&out->t[a->dw]) * size_of(&j));
    *place_of(&j, EGI_CUDNN_W) = dw;
    EG_TRY(execute(&j));
    return transpose(&j, j.bf16 ? "eg_filter_transpose_from16" : "eg_filter_transpose", dw,
                     (place){.data = egi_cuda_data(out, a->dw)}, j.conv.d.f, rows_of_kernel(&j));
}
