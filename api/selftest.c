/* The self-test of `engram doctor`: a small network's loss and gradients by the fast kernels against the reference
 * ones, a short training run, and how fast this machine multiplies matrices and reads memory. */
#include "core/mirror.h"
#include "core/model.h"
#include "core/ops/ops.h"
#include "core/rng.h"
#include "layers/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BATCH   32
#define CLASSES 3

/* What convolutions may have: unequal padding, groups, one pixel, activations that fuse and that do not. */
static const struct layer {
    const char *class_name, *config;
    const char *activation, *smooth; /* NULL: none */
} layers[] = {
    {"Conv2D", "{\"name\": \"conv\", \"filters\": 8, \"kernel_size\": [3, 3], \"padding\": \"same\"}", "relu", "tanh"},
    {"BatchNormalization", "{\"name\": \"norm\"}", NULL, NULL},
    {"Conv2D",
     "{\"name\": \"half\", \"filters\": 8, \"kernel_size\": [3, 3], \"strides\": [2, 2], \"padding\": \"same\"}",
     "leaky_relu", "tanh"},
    {"Conv2D", "{\"name\": \"grouped\", \"filters\": 8, \"kernel_size\": [3, 3], \"padding\": \"same\", \"groups\": 2}",
     NULL, NULL},
    {"Conv2D", "{\"name\": \"mix\", \"filters\": 8, \"kernel_size\": [1, 1], \"use_bias\": false}", "relu", "tanh"},
    {"MaxPooling2D", "{\"name\": \"pool\", \"pool_size\": [2, 2]}", NULL, NULL},
    {"Flatten", "{\"name\": \"flat\"}", NULL, NULL},
    {"Dense", "{\"name\": \"head\", \"units\": 3}", "softmax", "softmax"},
};

static eg_status add_layer(eg_model *m, const struct layer *l, bool smooth, int *tensor)
{
    const char *activation = smooth ? l->smooth : l->activation,
               *class_name = smooth && !strcmp(l->class_name, "MaxPooling2D") ? "AveragePooling2D" : l->class_name;
    int layer;
    json_t *json = json_loads(l->config, 0, NULL);
    const egi_layer_type *type = egi_layer_type_find(class_name);
    eg_status status = json && type ? EG_OK : egi_fail(EG_ERR_INTERNAL, "self-test: layer %s", class_name);
    if (status == EG_OK && activation && json_object_set_new(json, "activation", json_string(activation)))
        status = egi_fail(EG_ERR_NOMEM, "self-test: layer %s", class_name);
    if (status == EG_OK)
        status = egi_model_add_layer(m, type, json, NULL, &layer);
    json_decref(json);
    return status == EG_OK ? egi_model_call(m, layer, tensor, 1, -1, tensor) : status;
}

/* `smooth`: without kinks, of which rounding would find other sides. */
static eg_status build(eg_model *m, bool smooth)
{
    int tensor;
    EG_TRY(egi_model_add_input(m, &EGI_SHAPE(12, 12, 2), &tensor));
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        EG_TRY(add_layer(m, &layers[i], smooth, &tensor));
    EG_TRY(egi_model_add_output(m, tensor));
    return egi_model_finish(m);
}

typedef struct trial {
    egi_plan *plan;
    float *grads;
    egi_val x, labels, loss;
} trial;

static void release(eg_context *c, trial *t)
{
    egi_plan_free(t->plan);
    egi_free(c, t->grads);
}

/* A training plan of `m`; with an SGD update over the whole arena where `update` is given. */
static eg_status compile(const eg_model *m, const egi_segment *update, trial *t)
{
    egi_model_io io;
    egi_val logits = EGI_NONE;
    egi_act head;
    EG_TRY(egi_model_arena(&t->grads, m));
    EG_TRY(egi_plan_create(&t->plan, m->context, BATCH, EGI_F32, true));
    EG_TRY(egi_model_emit(m, t->plan, t->grads, NULL, &io));
    egi_free(m->context, io.params);
    t->x = io.in[0];
    t->labels = egi_plan_input(t->plan, EGI_I32, EGI_SHAPE(BATCH));
    EG_TRY(egi_plan_logits(t->plan, io.out[0], &logits, &head));
    t->loss = egi_temp(t->plan, EGI_SCALAR);
    egi_plan_keep(t->plan, t->loss);
    EG_TRY(EGI_EMIT(t->plan, softmax_xent, .z = logits, .labels = t->labels, .loss = t->loss,
                    .dz = egi_temp_like(t->plan, logits), .scale = 1));
    EG_TRY(egi_plan_fuse(t->plan));
    EG_TRY(egi_plan_backward(t->plan, t->loss));
    if (update) {
        const egi_val w = egi_plan_bind(t->plan, EGI_F32, EGI_SHAPE(m->arena_count), m->weights);
        const egi_val g = egi_plan_bind(t->plan, EGI_F32, EGI_SHAPE(m->arena_count), t->grads);
        EG_TRY(EGI_EMIT(t->plan, sgd, .w = w, .grad = g, .segments = update, .n_segments = 1));
    }
    return egi_plan_compile(t->plan);
}

/* Three classes that differ by where the bright patch lies. */
static void fill_batch(const trial *t, uint32_t step)
{
    float *x = egi_plan_data(t->plan, t->x);
    int32_t *labels = egi_plan_data(t->plan, t->labels);
    egi_rng rng = egi_rng_make(7, EGI_RNG_TEST, step);
    for (int i = 0; i < BATCH; i++) {
        labels[i] = (int32_t)egi_rng_below(&rng, CLASSES);
        for (int k = 0; k < 12 * 12 * 2; k++)
            x[i * 288 + k] = (float)egi_rng_normal(&rng) + (k / 96 == labels[i] ? 1.5f : 0);
    }
}

static double difference(const float *a, const float *b, int64_t n)
{
    double d = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return size > 0 ? d / size : INFINITY;
}

/* The gradients in a precision against those of an oracle, which a flag selects. */
static eg_status compare_gradients(const eg_model *m, egi_precision precision, bool *oracle, double *error)
{
    eg_context *c = m->context;
    const egi_control control = {.seed = 1, .lr = 0, .weights_version = 1};
    const egi_precision configured = c->precision;
    const bool selected = *oracle;
    trial fast = {0}, slow = {0};
    c->precision = precision;
    eg_status status = compile(m, NULL, &fast);
    *oracle = true;
    if (status == EG_OK)
        status = compile(m, NULL, &slow);
    *oracle = selected;
    c->precision = configured;
    if (status == EG_OK) {
        fill_batch(&fast, 0);
        fill_batch(&slow, 0);
        status = egi_plan_run(fast.plan, &control);
    }
    if (status == EG_OK)
        status = egi_plan_run(slow.plan, &control);
    if (status == EG_OK)
        status = egi_host_reads(c, fast.grads);
    if (status == EG_OK)
        status = egi_host_reads(c, slow.grads);
    if (status == EG_OK)
        *error = difference(fast.grads, slow.grads, m->arena_count);
    release(c, &fast);
    release(c, &slow);
    return status;
}

/* NVIDIA's libraries against the device's own kernels, in each precision that it has. */
static eg_status check_libraries(eg_context *c, double error[3])
{
    eg_status status = EG_OK;
    for (int p = 0; p <= (int)c->device->precision_most && status == EG_OK; p++) {
        eg_model *m;
        EG_TRY(egi_model_create(&m, c, EGI_F32, 3));
        status = build(m, p != EGI_PRECISION_F32);
        if (status == EG_OK)
            status = compare_gradients(m, (egi_precision)p, &c->own_kernels, &error[p]);
        eg_model_free(m);
    }
    return status;
}

static eg_status train(eg_model *m, double *first, double *last)
{
    trial t = {0};
    egi_segment segment = {.lr_scale = 1};
    for (int64_t i = 0; i < m->n_params; i++) /* trained parameters come first in the arena */
        if (!m->params[i].state && m->params[i].offset + m->params[i].count > segment.end)
            segment.end = m->params[i].offset + m->params[i].count;
    eg_status status = compile(m, &segment, &t);
    for (int step = 0; step < 60 && status == EG_OK; step++) {
        const egi_control control = {.seed = 1, .step = step, .lr = 0.1, .weights_version = step + 1};
        fill_batch(&t, (uint32_t)step + 1);
        status = egi_plan_run(t.plan, &control);
        if (status == EG_OK && step == 0)
            *first = *(float *)egi_plan_data(t.plan, t.loss);
        if (status == EG_OK)
            *last = *(float *)egi_plan_data(t.plan, t.loss);
    }
    release(m->context, &t);
    return status;
}

/* Runs the kernels alone, without the copies of a whole run, and waits for them. */
static eg_status time_kernels(egi_plan *p, egi_val y, double *seconds)
{
    egi_device *d = p->context->device;
    const egi_control control = {.weights_version = 1};
    float first;
    const double start = egi_clock();
    EG_TRY(d->type->run(d, p->kernels, p->n_kernels, &control));
    if (d->type->download)
        EG_TRY(d->type->download(d, &first, p->kt[y].data, sizeof first));
    *seconds = egi_clock() - start;
    return EG_OK;
}

/* The best of several products of 128 x 1024 by 1024 x 1024 matrices, within a second. */
static eg_status probe_gemm(eg_context *c, double *gflops)
{
    enum { M = 128, N = 1024, K = 1024 };
    egi_plan *p;
    EG_TRY(egi_plan_create(&p, c, M, EGI_F32, false));
    const egi_val a = egi_plan_input(p, EGI_F32, EGI_SHAPE(M, K)), b = egi_plan_input(p, EGI_F32, EGI_SHAPE(K, N));
    const egi_val y = egi_temp(p, EGI_SHAPE(M, N));
    const egi_control control = {.weights_version = 1};
    egi_plan_keep(p, y);
    eg_status status = EGI_EMIT(p, gemm, .a = a, .b = b, .c = y);
    if (status == EG_OK)
        status = egi_plan_compile(p);
    if (status == EG_OK)
        status = egi_plan_run(p, &control);
    double best = INFINITY, seconds;
    const double end = egi_clock() + 1;
    for (int i = 0; i < 20 && status == EG_OK && (i == 0 || egi_clock() < end); i++) {
        status = time_kernels(p, y, &seconds);
        best = status == EG_OK ? fmin(best, seconds) : best;
    }
    *gflops = 2.0 * M * N * K / best * 1e-9;
    egi_plan_free(p);
    return status;
}

typedef struct results {
    bool libraries;
    int precisions;
    double reference, own[3]; /* errors against these; own: by precision */
    double first, last;       /* losses */
    double gflops;
    egi_peak peak;
} results;

static eg_status measure(eg_context *c, results *r)
{
    eg_model *m;
    EG_TRY(egi_model_create(&m, c, EGI_F32, 3));
    eg_status status = build(m, false);
    if (status == EG_OK)
        status = compare_gradients(m, EGI_PRECISION_F32, &c->device->reference_only, &r->reference);
    if (status == EG_OK && r->libraries)
        status = check_libraries(c, r->own);
    if (status == EG_OK)
        status = train(m, &r->first, &r->last);
    eg_model_free(m);
    EG_TRY(status);
    EG_TRY(probe_gemm(c, &r->gflops));
    return c->device->type->peak(c->device, &r->peak);
}

/* Sums of some hundred terms in another order differ by some 1e-6 of the largest; rounded factors and products by what
 * they are rounded by, 2^-11 and 2^-8, and some of it adds up. */
static const double most[3] = {1e-4, 5e-3, 4e-2};

/* "f32 3.1e-07, tf32 4.0e-04": of at most 3 * 24 characters. Is all well? */
static bool describe_libraries(const results *r, char text[80])
{
    bool ok = true;
    int at = 0;
    for (int p = 0; p < r->precisions; p++) {
        at += snprintf(text + at, (size_t)(80 - at), "%s%s %.1e", p ? ", " : "", egi_precision_name((egi_precision)p),
                       r->own[p]);
        ok = ok && r->own[p] < most[p];
    }
    return ok;
}

eg_status eg_selftest(char **out, bool *ok, eg_context *c)
{
    results r = {.libraries = c->device->libraries && !c->own_kernels,
                 .precisions = (int)c->device->precision_most + 1,
                 .reference = INFINITY,
                 .own = {INFINITY, INFINITY, INFINITY},
                 .first = NAN,
                 .last = NAN};
    char errors[80] = "", libraries[256] = "";
    EG_TRY(measure(c, &r));
    const bool gradients = r.reference < most[0], learns = r.last < 0.5 * r.first;
    const bool agree = !r.libraries || describe_libraries(&r, errors);
    if (r.libraries)
        snprintf(libraries, sizeof libraries, "test    the same, NVIDIA's libraries against own kernels: %s (%s)\n",
                 errors, agree ? "ok" : "NOT OK, at most 1e-4, 5e-3, 4e-2 wanted: run.libraries=off does without them");
    EG_TRY(egi_format(out, c,
                      "test    gradients of a convolutional network, fast against reference: %.1e of the largest (%s)\n"
                      "%stest    60 steps of training: loss %.3f to %.3f (%s)\n"
                      "speed   matrix product %.3g GFLOP/s, of at most %.3g; memory %.3g GB/s",
                      r.reference, gradients ? "ok" : "NOT OK, at most 1e-4 wanted", libraries, r.first, r.last,
                      learns ? "ok" : "NOT OK, half at most wanted", r.gflops, r.peak.flops * 1e-9,
                      r.peak.bytes * 1e-9));
    *ok = gradients && agree && learns;
    return EG_OK;
}
