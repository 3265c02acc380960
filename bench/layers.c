/* Dense layers and convolutions one by one, beside what oneDNN needs when it may choose every layout: microseconds.
 *
 *     bench_layers LAYER...     dense:N,IN,OUT or conv:N,H,W,C,F,KERNEL,STRIDE (padding "same")
 *
 * Forward with bias, gradient to the input (dx), gradient to weights and bias (dw). Weights count as new every time,
 * as in training. micro.c has the other operations. */
#include "bench/dnnl_best.h"
#include "bench/inside.h"
#include "core/ops/ops.h"
#include "core/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 41

static const char *const direction_names[] = {"forward", "dx", "dw"};

typedef struct layer {
    const char *text;
    best_layer l;
    egi_conv_geometry g;
} layer;

typedef struct values {
    egi_plan *plan;
    egi_val x, w, b, y;
    float *memory[4];
} values;

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool read_numbers(const char *text, int64_t *out, int n)
{
    char *end;
    for (int i = 0; i < n; i++, text = end + 1) {
        out[i] = strtoll(text, &end, 10);
        if (end == text || *end != (i + 1 < n ? ',' : '\0'))
            return false;
    }
    return true;
}

static bool read_layer(layer *out, const char *text)
{
    int64_t v[7];
    *out = (layer){.text = text, .g = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1}};
    best_layer *l = &out->l;
    if (strncmp(text, "dense:", 6) == 0 && read_numbers(text + 6, v, 3)) {
        *l = (best_layer){.n = v[0], .h = 1, .w = 1, .c = v[1], .f = v[2], .kh = 1, .kw = 1, .stride = 1, .dense = 1};
        l->oh = l->ow = 1;
        return true;
    }
    if (strncmp(text, "conv:", 5) != 0 || !read_numbers(text + 5, v, 7))
        return false;
    *l = (best_layer){.n = v[0], .h = v[1], .w = v[2], .c = v[3], .f = v[4], .kh = v[5], .kw = v[5], .stride = v[6]};
    egi_conv_same(l->h, l->kh, l->stride, 1, &l->oh, &l->pad[0]);
    egi_conv_same(l->w, l->kw, l->stride, 1, &l->ow, &l->pad[1]);
    const int64_t rest[] = {(l->oh - 1) * l->stride + l->kh - l->pad[0] - l->h,
                            (l->ow - 1) * l->stride + l->kw - l->pad[1] - l->w};
    for (int i = 0; i < 2; i++) {
        l->pad_after[i] = rest[i] < 0 ? 0 : rest[i];
        out->g.stride[i] = l->stride;
        out->g.pad[i] = l->pad[i];
    }
    return true;
}

/* --- Engram's kernels --------------------------------------------------------------------------------------------- */

static egi_val bind(values *v, int i, egi_shape shape)
{
    const int64_t n = egi_shape_count(&shape);
    v->memory[i] = aligned_alloc(64, ((size_t)n * sizeof(float) + 63) / 64 * 64);
    for (int64_t k = 0; v->memory[i] && k < n; k++)
        v->memory[i][k] = 0.1F + (float)(k % 97) / 97;
    return egi_plan_bind(v->plan, EGI_F32, shape, v->memory[i]);
}

static void bind_all(values *v, const best_layer *l)
{
    v->x = bind(v, 0, l->dense ? EGI_SHAPE(l->n, l->c) : EGI_SHAPE(l->n, l->h, l->w, l->c));
    v->w = bind(v, 1, l->dense ? EGI_SHAPE(l->c, l->f) : EGI_SHAPE(l->kh, l->kw, l->c, l->f));
    v->b = bind(v, 2, EGI_SHAPE(l->f));
    v->y = bind(v, 3, l->dense ? EGI_SHAPE(l->n, l->f) : EGI_SHAPE(l->n, l->oh, l->ow, l->f));
}

static eg_status emit_dense(const values *v, best_direction direction)
{
    if (direction == BEST_FORWARD)
        return EGI_EMIT(v->plan, dense, .x = v->x, .w = v->w, .b = v->b, .y = v->y);
    if (direction == BEST_DX)
        return EGI_EMIT(v->plan, gemm, .a = v->y, .b = v->w, .c = v->x, .tb = true);
    EG_TRY(EGI_EMIT(v->plan, gemm, .a = v->x, .b = v->y, .c = v->w, .ta = true));
    return EGI_EMIT(v->plan, column_sum, .x = v->y, .y = v->b);
}

static eg_status emit_convolution(const values *v, const egi_conv_geometry *g, best_direction direction)
{
    if (direction == BEST_FORWARD)
        return EGI_EMIT(v->plan, conv2d, .x = v->x, .w = v->w, .b = v->b, .y = v->y, .g = *g);
    if (direction == BEST_DX)
        return EGI_EMIT(v->plan, conv2d_dx, .dy = v->y, .w = v->w, .dx = v->x, .g = *g);
    return EGI_EMIT(v->plan, conv2d_dw, .x = v->x, .dy = v->y, .dw = v->w, .db = v->b, .g = *g);
}

static eg_status time_plan(const egi_plan *plan, double *median)
{
    egi_control control = {.seed = 1};
    double seconds[ROUNDS];
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* until OpenMP's threads have stopped looking for work */
    for (int i = 0; i < ROUNDS; i++) {
        control.weights_version++;
        const double began = egi_clock();
        EG_TRY(egi_plan_run((egi_plan *)plan, &control));
        seconds[i] = egi_clock() - began;
    }
    *median = bench_median(seconds, ROUNDS);
    return EG_OK;
}

static eg_status measure_own(eg_context *c, const layer *l, best_direction direction, double *seconds)
{
    values v = {.plan = NULL};
    eg_status s = egi_plan_create(&v.plan, c, l->l.n, EGI_F32, true);
    if (!s) {
        bind_all(&v, &l->l);
        s = l->l.dense ? emit_dense(&v, direction) : emit_convolution(&v, &l->g, direction);
    }
    s = s ? s : egi_plan_compile(v.plan);
    s = s ? s : time_plan(v.plan, seconds);
    egi_plan_free(v.plan);
    for (int i = 0; i < 4; i++)
        free(v.memory[i]);
    return s;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static eg_status measure(eg_context *c, const layer *l, best_direction direction)
{
    double own = 0;
    best_seconds best;
    EG_TRY(measure_own(c, l, direction, &own));
    if (best_measure(&l->l, direction, ROUNDS, &best) != 0)
        return egi_fail(EG_ERR_DEVICE, "oneDNN cannot do %s of %s", direction_names[direction], l->text);
    printf(", \"%s %s Engram\": %.3f", l->text, direction_names[direction], own * 1e6);
    printf(", \"%s %s oneDNN\": %.3f", l->text, direction_names[direction], best.alone * 1e6);
    printf(", \"%s %s oneDNN with reorders\": %.3f", l->text, direction_names[direction], best.with_reorders * 1e6);
    return EG_OK;
}

static eg_status run(eg_context *c, int argc, char **argv)
{
    eg_status s = EG_OK;
    printf("{\"rounds\": %d", ROUNDS);
    for (int i = 1; !s && i < argc; i++) {
        layer l;
        if (!read_layer(&l, argv[i]))
            s = egi_fail(EG_ERR_ARG, "not a layer: %s", argv[i]);
        for (int d = BEST_FORWARD; !s && d <= BEST_DW; d++)
            s = measure(c, &l, (best_direction)d);
    }
    printf("}\n");
    return s;
}

int main(int argc, char **argv)
{
    return bench_run(run, argc, argv);
}
