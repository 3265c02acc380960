#include "bench/dnnl_best.h"

#include "bench/inside.h"

#include <dnnl.h>
#include <stdlib.h>

#define TENSORS 4 /* images, weights, bias, result: or their gradients */
enum { X, W, B, Y };

#define TRY(call)                                 \
    do {                                          \
        const dnnl_status_t try_status_ = (call); \
        if (try_status_ != dnnl_success)          \
            return try_status_;                   \
    } while (0)

/* One tensor of a layer: as the user has it, as oneDNN wants it, and the way between. */
typedef struct tensor {
    dnnl_memory_desc_t user, any;
    dnnl_memory_t user_memory, chosen_memory;
    dnnl_primitive_t reorder; /* NULL: the same layout */
    int is_result;
} tensor;

typedef struct bench {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    tensor t[TENSORS];
    dnnl_memory_t scratchpad;
    dnnl_primitive_attr_t attributes;
} bench;

/* --- descriptors -------------------------------------------------------------------------------------------------- */

static dnnl_status_t describe(bench *b, const best_layer *l)
{
    const int rank = l->dense ? 2 : 4;
    const dnnl_dims_t x = {l->n, l->c, l->h, l->w}, w = {l->f, l->c, l->kh, l->kw}, y = {l->n, l->f, l->oh, l->ow};
    const dnnl_dims_t bias = {l->f}, keras = {1, l->f, l->kw * l->c * l->f, l->c * l->f}; /* strides of (o, i, h, w) */
    const dnnl_format_tag_t images = l->dense ? dnnl_ab : dnnl_nhwc;
    TRY(dnnl_memory_desc_init_by_tag(&b->t[X].user, rank, x, dnnl_f32, images));
    TRY(dnnl_memory_desc_init_by_strides(&b->t[W].user, rank, w, dnnl_f32, keras));
    TRY(dnnl_memory_desc_init_by_tag(&b->t[B].user, 1, bias, dnnl_f32, dnnl_a));
    TRY(dnnl_memory_desc_init_by_tag(&b->t[Y].user, rank, y, dnnl_f32, images));
    TRY(dnnl_memory_desc_init_by_tag(&b->t[X].any, rank, x, dnnl_f32, dnnl_format_tag_any));
    TRY(dnnl_memory_desc_init_by_tag(&b->t[W].any, rank, w, dnnl_f32, dnnl_format_tag_any));
    TRY(dnnl_memory_desc_init_by_tag(&b->t[Y].any, rank, y, dnnl_f32, dnnl_format_tag_any));
    b->t[B].any = b->t[B].user;
    return dnnl_success;
}

static dnnl_status_t describe_dense(bench *b, best_direction direction, dnnl_primitive_desc_t hint)
{
    dnnl_inner_product_desc_t d;
    tensor *t = b->t;
    if (direction == BEST_FORWARD)
        TRY(dnnl_inner_product_forward_desc_init(&d, dnnl_forward_training, &t[X].any, &t[W].any, &t[B].any,
                                                 &t[Y].any));
    else if (direction == BEST_DX)
        TRY(dnnl_inner_product_backward_data_desc_init(&d, &t[X].any, &t[W].any, &t[Y].any));
    else
        TRY(dnnl_inner_product_backward_weights_desc_init(&d, &t[X].any, &t[W].any, &t[B].any, &t[Y].any));
    return dnnl_primitive_desc_create(&b->descriptor, &d, b->attributes, b->engine, hint);
}

static dnnl_status_t describe_convolution(bench *b, const best_layer *l, best_direction direction,
                                          dnnl_primitive_desc_t hint)
{
    const dnnl_dims_t stride = {l->stride, l->stride}, before = {l->pad[0], l->pad[1]};
    const dnnl_dims_t after = {l->pad_after[0], l->pad_after[1]};
    dnnl_convolution_desc_t d;
    tensor *t = b->t;
    if (direction == BEST_FORWARD)
        TRY(dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, &t[X].any, &t[W].any,
                                               &t[B].any, &t[Y].any, stride, before, after));
    else if (direction == BEST_DX)
        TRY(dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &t[X].any, &t[W].any, &t[Y].any,
                                                     stride, before, after));
    else
        TRY(dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &t[X].any, &t[W].any, &t[B].any,
                                                        &t[Y].any, stride, before, after));
    return dnnl_primitive_desc_create(&b->descriptor, &d, b->attributes, b->engine, hint);
}

static dnnl_status_t describe_primitive(bench *b, const best_layer *l, best_direction direction)
{
    TRY(l->dense ? describe_dense(b, BEST_FORWARD, NULL) : describe_convolution(b, l, BEST_FORWARD, NULL));
    if (direction == BEST_FORWARD)
        return dnnl_success;
    dnnl_primitive_desc_t forward = b->descriptor;
    b->descriptor = NULL;
    const dnnl_status_t s =
        l->dense ? describe_dense(b, direction, forward) : describe_convolution(b, l, direction, forward);
    dnnl_primitive_desc_destroy(forward);
    return s;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static dnnl_status_t make_memory(bench *b, dnnl_memory_t *out, const dnnl_memory_desc_t *d)
{
    void *data;
    TRY(dnnl_memory_create(out, d, b->engine, DNNL_MEMORY_ALLOCATE));
    TRY(dnnl_memory_get_data_handle(*out, &data));
    for (size_t i = 0; i < dnnl_memory_desc_get_size(d) / sizeof(float); i++)
        ((float *)data)[i] = 0.1F + (float)(i % 97) / 97;
    return dnnl_success;
}

static dnnl_status_t make_reorder(bench *b, tensor *t, const dnnl_memory_desc_t *chosen)
{
    dnnl_primitive_desc_t d;
    if (dnnl_memory_desc_equal(&t->user, chosen))
        return dnnl_success;
    TRY(dnnl_reorder_primitive_desc_create(&d, t->is_result ? chosen : &t->user, b->engine,
                                           t->is_result ? &t->user : chosen, b->engine, NULL));
    const dnnl_status_t s = dnnl_primitive_create(&t->reorder, d);
    dnnl_primitive_desc_destroy(d);
    return s;
}

static dnnl_status_t make_tensor(bench *b, int i, dnnl_query_t query, int index, int is_result)
{
    const dnnl_memory_desc_t *chosen = dnnl_primitive_desc_query_md(b->descriptor, query, index);
    tensor *t = &b->t[i];
    t->is_result = is_result;
    TRY(make_memory(b, &t->user_memory, &t->user));
    TRY(make_memory(b, &t->chosen_memory, chosen));
    return make_reorder(b, t, chosen);
}

static dnnl_status_t make(bench *b, const best_layer *l, best_direction direction)
{
    const int dx = direction == BEST_DX, dw = direction == BEST_DW, forward = direction == BEST_FORWARD;
    TRY(dnnl_engine_create(&b->engine, dnnl_cpu, 0));
    TRY(dnnl_stream_create(&b->stream, b->engine, dnnl_stream_default_flags));
    TRY(dnnl_primitive_attr_create(&b->attributes));
    TRY(dnnl_primitive_attr_set_scratchpad_mode(b->attributes, dnnl_scratchpad_mode_user));
    TRY(describe(b, l));
    TRY(describe_primitive(b, l, direction));
    TRY(make_tensor(b, X, dx ? dnnl_query_diff_src_md : dnnl_query_src_md, 0, dx));
    TRY(make_tensor(b, W, dw ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0, dw));
    TRY(make_tensor(b, Y, forward ? dnnl_query_dst_md : dnnl_query_diff_dst_md, 0, forward));
    if (!dx)
        TRY(make_tensor(b, B, dw ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 1, dw));
    TRY(make_memory(b, &b->scratchpad, dnnl_primitive_desc_query_md(b->descriptor, dnnl_query_scratchpad_md, 0)));
    return dnnl_primitive_create(&b->primitive, b->descriptor);
}

static void release(bench *b)
{
    for (int i = 0; i < TENSORS; i++) {
        dnnl_memory_destroy(b->t[i].user_memory);
        dnnl_memory_destroy(b->t[i].chosen_memory);
        dnnl_primitive_destroy(b->t[i].reorder);
    }
    dnnl_memory_destroy(b->scratchpad);
    dnnl_primitive_destroy(b->primitive);
    dnnl_primitive_desc_destroy(b->descriptor);
    dnnl_primitive_attr_destroy(b->attributes);
    dnnl_stream_destroy(b->stream);
    dnnl_engine_destroy(b->engine);
}

/* --- timing ------------------------------------------------------------------------------------------------------- */

static dnnl_status_t reorder(const bench *b, int results)
{
    for (int i = 0; i < TENSORS; i++) {
        const tensor *t = &b->t[i];
        if (!t->reorder || t->is_result != results)
            continue;
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, results ? t->chosen_memory : t->user_memory},
                                        {DNNL_ARG_TO, results ? t->user_memory : t->chosen_memory}};
        TRY(dnnl_primitive_execute(t->reorder, b->stream, 2, args));
    }
    return dnnl_success;
}

static dnnl_status_t execute(const bench *b, best_direction direction)
{
    static const int names[][TENSORS] = {
        [BEST_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
        [BEST_DX] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST},
        [BEST_DW] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST},
    };
    dnnl_exec_arg_t args[TENSORS + 1] = {{DNNL_ARG_SCRATCHPAD, b->scratchpad}};
    int n = 1;
    for (int i = 0; i < TENSORS; i++)
        if (names[direction][i])
            args[n++] = (dnnl_exec_arg_t){names[direction][i], b->t[i].chosen_memory};
    return dnnl_primitive_execute(b->primitive, b->stream, n, args);
}

static dnnl_status_t run_once(const bench *b, best_direction direction, int reorders)
{
    if (reorders)
        TRY(reorder(b, 0));
    TRY(execute(b, direction));
    if (reorders)
        TRY(reorder(b, 1));
    return dnnl_stream_wait(b->stream);
}

static dnnl_status_t median(const bench *b, best_direction direction, int reorders, int rounds, double *out)
{
    double *seconds = malloc((size_t)rounds * sizeof *seconds);
    dnnl_status_t s = seconds ? dnnl_success : dnnl_out_of_memory;
    for (int i = 0; s == dnnl_success && i < rounds; i++) {
        const double began = egi_clock();
        s = run_once(b, direction, reorders);
        seconds[i] = egi_clock() - began;
    }
    if (s == dnnl_success)
        *out = bench_median(seconds, rounds);
    free(seconds);
    return s;
}

int best_measure(const best_layer *layer, best_direction direction, int rounds, best_seconds *out)
{
    bench b = {0};
    dnnl_status_t s = make(&b, layer, direction);
    if (s == dnnl_success)
        s = median(&b, direction, 0, rounds, &out->alone);
    if (s == dnnl_success)
        s = median(&b, direction, 1, rounds, &out->with_reorders);
    release(&b);
    return (int)s;
}
