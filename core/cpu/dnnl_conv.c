/* Convolutions by oneDNN: many channels, and groups. Activations stay NHWC; weights go through a reorder into the
 * format that oneDNN asks for, since it computes with hwio 3 to 100 times slower. Scratchpads are the plan's;
 * everything is created when prepared. */
#include "core/cpu/dnnl.h"

#include "core/cpu/finish.h"
#include "core/ops/conv2d.h"

#include <dnnl.h>
#include <string.h>

/* What is created for one convolution; NULL handles were not needed. */
typedef struct conv {
    dnnl_primitive_t primitive, reorder;
    dnnl_memory_t x, y, w_user, w_packed, bias, scratchpad, reorder_scratchpad;
    size_t packed_bytes, scratchpad_bytes, reorder_bytes;
    void *packed;        /* kept over runs: the forward weights; NULL: in the scratch */
    int64_t version;     /* control's weights_version when `packed` was made; -1: never */
    bool reorders_after; /* the reorder brings the result back instead of the weights in */
} conv;

/* Descriptors of a convolution: what every direction starts from. */
typedef struct shape {
    dnnl_memory_desc_t x, y, w_user, w_any, bias;
    dnnl_dims_t strides, dilates, before, after;
    bool has_bias;
} shape;

static eg_status failed(dnnl_status_t status, const char *what)
{
    if (status == dnnl_unimplemented || status == dnnl_invalid_arguments)
        return EGI_CPU_DECLINE;
    return egi_fail(status == dnnl_out_of_memory ? EG_ERR_NOMEM : EG_ERR_DEVICE, "cpu: oneDNN cannot %s (%d)", what,
                    (int)status);
}

#define DNNL_TRY(call, what)                           \
    do {                                               \
        const dnnl_status_t dnnl_try_status_ = (call); \
        if (dnnl_try_status_ != dnnl_success)          \
            return failed(dnnl_try_status_, what);     \
    } while (0)

static int64_t pad_after(int64_t in, int64_t kernel, int64_t out, const egi_conv_geometry *g, int axis)
{
    const int64_t after = (out - 1) * g->stride[axis] + (kernel - 1) * g->dilation[axis] + 1 - g->pad[axis] - in;
    return after < 0 ? 0 : after; /* less than a stride is left over: oneDNN rounds down */
}

static eg_status describe(shape *s, const egi_conv_dims *d, const egi_conv_geometry *g, bool has_bias)
{
    *s = (shape){.has_bias = has_bias};
    for (int i = 0; i < 2; i++) {
        s->strides[i] = g->stride[i];
        s->dilates[i] = g->dilation[i] - 1;
        s->before[i] = g->pad[i];
    }
    s->after[0] = pad_after(d->h, d->kh, d->oh, g, 0);
    s->after[1] = pad_after(d->w, d->kw, d->ow, g, 1);
    const dnnl_dims_t x = {d->n, d->c, d->h, d->w}, y = {d->n, d->f, d->oh, d->ow}, b = {d->f};
    const dnnl_dims_t grouped = {g->groups, d->fg, d->cg, d->kh, d->kw};
    const dnnl_dims_t strides = {d->fg, 1, d->f, d->kw * d->cg * d->f, d->cg * d->f}; /* of (g, o, i, h, w) in hwio */
    const int skip = g->groups == 1, rank = 5 - skip;
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&s->x, 4, x, dnnl_f32, dnnl_nhwc), "describe x");
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&s->y, 4, y, dnnl_f32, dnnl_nhwc), "describe y");
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&s->bias, 1, b, dnnl_f32, dnnl_a), "describe b");
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&s->w_any, rank, grouped + skip, dnnl_f32, dnnl_format_tag_any),
             "describe w");
    DNNL_TRY(dnnl_memory_desc_init_by_strides(&s->w_user, rank, grouped + skip, dnnl_f32, strides + skip),
             "describe w");
    return EG_OK;
}

/* --- creating ----------------------------------------------------------------------------------------------------- */

typedef enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS } direction;

static eg_status attributes(dnnl_primitive_attr_t *out)
{
    DNNL_TRY(dnnl_primitive_attr_create(out), "create attributes");
    DNNL_TRY(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user), "set the scratchpad");
    return EG_OK;
}

static eg_status create_descriptor(dnnl_primitive_desc_t *out, const shape *s, direction dir, dnnl_engine_t engine,
                                   dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t forward, d;
    dnnl_primitive_desc_t hint = NULL;
    DNNL_TRY(dnnl_dilated_convolution_forward_desc_init(&forward, dnnl_forward_training, dnnl_convolution_direct, &s->x,
                                                        &s->w_any, s->has_bias ? &s->bias : NULL, &s->y, s->strides,
                                                        s->dilates, s->before, s->after),
             "describe a convolution");
    DNNL_TRY(dnnl_primitive_desc_create(dir == FORWARD ? out : &hint, &forward, attr, engine, NULL), "convolve");
    if (dir == FORWARD)
        return EG_OK;
    dnnl_status_t status =
        dir == BACKWARD_DATA
            ? dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &s->x, &s->w_any, &s->y,
                                                               s->strides, s->dilates, s->before, s->after)
            : dnnl_dilated_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &s->x, &s->w_any,
                                                                  s->has_bias ? &s->bias : NULL, &s->y, s->strides,
                                                                  s->dilates, s->before, s->after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &d, attr, engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return status == dnnl_success ? EG_OK : failed(status, "convolve backward");
}

static eg_status memory(dnnl_memory_t *out, const dnnl_memory_desc_t *d, dnnl_engine_t engine, void *data)
{
    DNNL_TRY(dnnl_memory_create(out, d, engine, data ? data : DNNL_MEMORY_NONE), "create a memory");
    return EG_OK;
}

static eg_status create_reorder(conv *c, const dnnl_memory_desc_t *user, const dnnl_memory_desc_t *packed,
                                dnnl_engine_t engine, dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t d;
    DNNL_TRY(dnnl_reorder_primitive_desc_create(&d, c->reorders_after ? packed : user, engine,
                                                c->reorders_after ? user : packed, engine, attr),
             "reorder weights");
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(d, dnnl_query_scratchpad_md, 0);
    c->reorder_bytes = dnnl_memory_desc_get_size(pad);
    eg_status status = memory(&c->reorder_scratchpad, pad, engine, NULL);
    if (status == EG_OK && dnnl_primitive_create(&c->reorder, d) != dnnl_success)
        status = egi_fail(EG_ERR_DEVICE, "cpu: oneDNN cannot reorder weights");
    dnnl_primitive_desc_destroy(d);
    return status;
}

/* Everything that follows from the primitive's descriptor. */
static eg_status create_parts(conv *c, const shape *s, direction dir, dnnl_primitive_desc_t d, dnnl_engine_t engine,
                              dnnl_primitive_attr_t attr)
{
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(
        d, dir == BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(d, dnnl_query_scratchpad_md, 0);
    c->packed_bytes = dnnl_memory_desc_get_size(packed);
    c->scratchpad_bytes = dnnl_memory_desc_get_size(pad);
    EG_TRY(memory(&c->w_packed, packed, engine, NULL));
    EG_TRY(memory(&c->scratchpad, pad, engine, NULL));
    EG_TRY(create_reorder(c, &s->w_user, packed, engine, attr));
    DNNL_TRY(dnnl_primitive_create(&c->primitive, d), "create a convolution");
    return EG_OK;
}

static eg_status create(conv *c, const shape *s, direction dir, dnnl_engine_t engine)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t d = NULL;
    eg_status status = attributes(&attr);
    if (status == EG_OK)
        status = create_descriptor(&d, s, dir, engine, attr);
    if (status == EG_OK)
        status = create_parts(c, s, dir, d, engine, attr);
    if (d)
        dnnl_primitive_desc_destroy(d);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static void release(eg_context *context, conv *c)
{
    const dnnl_memory_t memories[] = {
        c->x, c->y, c->w_user, c->w_packed, c->bias, c->scratchpad, c->reorder_scratchpad};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    if (c->reorder)
        dnnl_primitive_destroy(c->reorder);
    egi_free(context, c->packed);
    egi_free(context, c);
}

static void destroy(egi_device *device, egi_kernel *k)
{
    release(device->context, k->state);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static eg_status execute(const egi_kernel *k, dnnl_primitive_t primitive, int n, const dnnl_exec_arg_t *args)
{
    const egi_cpu *cpu = (const egi_cpu *)k->device;
    const egi_dnnl_guard before = egi_dnnl_guard_begin(k->threads);
    dnnl_status_t status = dnnl_primitive_execute(primitive, cpu->stream, n, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(cpu->stream);
    egi_dnnl_guard_end(&before);
    if (status != dnnl_success)
        return egi_fail(EG_ERR_DEVICE, "cpu: oneDNN failed in %s (%d)", k->op->name, (int)status);
    return EG_OK;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The scratch holds packed weights (unless they are kept), then what a primitive asks for. */
static void place(const egi_kernel *k, const conv *c)
{
    char *scratch = k->scratch;
    dnnl_memory_set_data_handle(c->w_packed, c->packed ? c->packed : scratch);
    scratch += c->packed ? 0 : rounded(c->packed_bytes);
    dnnl_memory_set_data_handle(c->scratchpad, scratch);
    dnnl_memory_set_data_handle(c->reorder_scratchpad, scratch);
}

static eg_status reorder(const egi_kernel *k, const conv *c)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, c->reorders_after ? c->w_packed : c->w_user},
                                    {DNNL_ARG_TO, c->reorders_after ? c->w_user : c->w_packed},
                                    {DNNL_ARG_SCRATCHPAD, c->reorder_scratchpad}};
    return execute(k, c->reorder, 3, args);
}

static eg_status run_forward(const egi_kernel *k, const egi_control *control)
{
    conv *c = k->state;
    const egi_conv2d *a = k->args;
    place(k, c);
    dnnl_memory_set_data_handle(c->x, k->t[a->x].data); /* an input may lie elsewhere each time */
    if (!c->packed || c->version != control->weights_version) {
        EG_TRY(reorder(k, c));
        c->version = control->weights_version;
    }
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, c->x},
                                    {DNNL_ARG_WEIGHTS, c->w_packed},
                                    {DNNL_ARG_DST, c->y},
                                    {DNNL_ARG_SCRATCHPAD, c->scratchpad},
                                    {DNNL_ARG_BIAS, c->bias}};
    EG_TRY(execute(k, c->primitive, c->bias ? 5 : 4, args));
    egi_cpu_finish(k, k->t[a->y].data, egi_count(&k->t[a->y]), 1,
                   &(egi_finish){.r = k->t[a->r].data, .act = a->act, .alpha = a->alpha});
    return EG_OK;
}

static eg_status run_backward_data(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const conv *c = k->state;
    place(k, c);
    EG_TRY(reorder(k, c));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_DIFF_DST, c->y},
                                    {DNNL_ARG_WEIGHTS, c->w_packed},
                                    {DNNL_ARG_DIFF_SRC, c->x},
                                    {DNNL_ARG_SCRATCHPAD, c->scratchpad}};
    return execute(k, c->primitive, 4, args);
}

static eg_status run_backward_weights(const egi_kernel *k, const egi_control *control)
{
    (void)control;
    const conv *c = k->state;
    place(k, c);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, c->x},
                                    {DNNL_ARG_DIFF_DST, c->y},
                                    {DNNL_ARG_DIFF_WEIGHTS, c->w_packed},
                                    {DNNL_ARG_SCRATCHPAD, c->scratchpad},
                                    {DNNL_ARG_DIFF_BIAS, c->bias}};
    EG_TRY(execute(k, c->primitive, c->bias ? 5 : 4, args));
    return reorder(k, c);
}

/* --- preparing ---------------------------------------------------------------------------------------------------- */

/* `keep`: packed weights stay valid from run to run while the parameters do not change. */
static eg_status prepare(egi_device *device, egi_kernel *out, direction dir, const egi_conv_geometry *g, egi_val x,
                         egi_val w, egi_val b, egi_val y, bool keep)
{
    const egi_tensor *t = out->t;
    const egi_conv_dims d = egi_conv_dims_of(&t[x].shape, &t[w].shape, &t[y].shape, NULL);
    const bool pointwise = d.kh == 1 && d.kw == 1 && (g->stride[0] > 1 || g->stride[1] > 1);
    if (!egi_cpu_is_f32(out) || d.n == 0 ||
        (pointwise && dir != FORWARD)) /* the last reads past the end of its input */
        return EGI_CPU_DECLINE;
    const dnnl_engine_t engine = ((egi_cpu *)device)->engine;
    conv *c;
    shape s;
    EG_TRY(describe(&s, &d, g, b != EGI_NONE));
    EG_TRY(egi_alloc(&c, device->context, 1, sizeof *c));
    c->reorders_after = dir == BACKWARD_WEIGHTS;
    c->version = -1;
    const egi_dnnl_guard before = egi_dnnl_guard_begin(out->threads);
    eg_status status = create(c, &s, dir, engine);
    egi_dnnl_guard_end(&before);
    if (status == EG_OK)
        status = memory(&c->x, &s.x, engine, t[x].data);
    if (status == EG_OK)
        status = memory(&c->y, &s.y, engine, t[y].data);
    if (status == EG_OK)
        status = memory(&c->w_user, &s.w_user, engine, t[w].data);
    if (status == EG_OK && b != EGI_NONE)
        status = memory(&c->bias, &s.bias, engine, t[b].data);
    if (status == EG_OK && keep)
        status = egi_alloc(&c->packed, device->context, (int64_t)c->packed_bytes, 1);
    if (status != EG_OK) {
        release(device->context, c);
        return status;
    }
    const size_t pads = c->scratchpad_bytes > c->reorder_bytes ? c->scratchpad_bytes : c->reorder_bytes;
    out->scratch_bytes = (keep ? 0 : rounded(c->packed_bytes)) + pads;
    out->state = c;
    out->destroy = destroy;
    return EG_OK;
}

eg_status egi_cpu_conv2d_dnnl(egi_device *device, egi_kernel *out)
{
    const egi_conv2d *a = out->args;
    out->run = run_forward;
    return prepare(device, out, FORWARD, &a->g, a->x, a->w, a->b, a->y, true);
}

eg_status egi_cpu_conv2d_dx_dnnl(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dx *a = out->args;
    if (a->index != EGI_NONE)
        return EGI_CPU_DECLINE;
    out->run = run_backward_data;
    return prepare(device, out, BACKWARD_DATA, &a->g, a->dx, a->w, EGI_NONE, a->dy, false);
}

eg_status egi_cpu_conv2d_dw_dnnl(egi_device *device, egi_kernel *out)
{
    const egi_conv2d_dw *a = out->args;
    if (a->index != EGI_NONE)
        return EGI_CPU_DECLINE;
    out->run = run_backward_weights;
    return prepare(device, out, BACKWARD_WEIGHTS, &a->g, a->x, a->dw, a->db, a->dy, false);
}
