/* What each operation's fast kernel reaches on its own: microseconds and GB/s (all its values read or written once) or
 * GFLOP/s. micro [threads [operation]] */
#include "bench/inside.h"
#include "core/cpu/cpu.h"
#include "core/ops/ops.h"
#include "core/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const egi_op *op;
    egi_op_case k;
} job;

#define ALL(...)  EGI_STATIC_SHAPE(__VA_ARGS__)
#define MLP       535818 /* parameters of 784-512-256-10 */
#define IMAGES(c) ALL(64, 32, 32, c)
#define NO(i)     (1u << (i))
#define STRETCH(n)                          \
    {                                       \
        .begin = 0, .end = n, .lr_scale = 1 \
    }

static const egi_segment plain[] = {STRETCH(MLP)}, punished[] = {{.end = MLP, .lr_scale = 1, .l1 = 1e-5, .l2 = 1e-5}};
#define UPDATE(name, s, no, ...)                                                                                 \
    {                                                                                                            \
        &egi_op_##name,                                                                                          \
        {                                                                                                        \
            .args = &(const egi_update){.segments = s, .n_segments = 1, __VA_ARGS__},                            \
            .in = {ALL(MLP), ALL(MLP), ALL(MLP), ALL(MLP), ALL(MLP), ALL(MLP), {0}},                             \
            .out = {ALL(MLP), ALL(MLP), ALL(MLP), {0}}, .in_absent = (no) | NO(6), .out_absent = ((no) >> 1 & 6) \
        }                                                                                                        \
    }
#define ADAM      .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7
#define NO_ANCHOR (NO(4) | NO(5))

#define ACT(name)                                                                                                   \
    {                                                                                                               \
        &egi_op_activation,                                                                                         \
        {                                                                                                           \
            .args = &(const egi_activation){.act = EGI_ACT_##name, .max_value = -1}, .in = {ALL(1 << 20)}, .out = { \
                ALL(1 << 20)                                                                                        \
            }                                                                                                       \
        }                                                                                                           \
    }
#define NORM(c)                                                                              \
    {&egi_op_batchnorm,                                                                      \
     {.args = &(const egi_batchnorm){.epsilon = 1e-3f, .momentum = 0.99f},                   \
      .in = {IMAGES(c), ALL(c), ALL(c), ALL(c), ALL(c)},                                     \
      .in_absent = 1 << 5,                                                                   \
      .out = {IMAGES(c), ALL(c), ALL(c), ALL(c), ALL(c)}}},                                  \
        {&egi_op_batchnorm_grad,                                                             \
         {.args = &(const egi_batchnorm_grad){0},                                            \
          .in = {IMAGES(c), IMAGES(c), ALL(c), ALL(c), ALL(c)},                              \
          .in_absent = 1 << 5,                                                               \
          .out = {IMAGES(c), ALL(c), ALL(c)},                                                \
          .out_absent = 1 << 3}},                                                            \
    {                                                                                        \
        &egi_op_batchnorm_infer,                                                             \
        {                                                                                    \
            .args = &(const egi_batchnorm_infer){.epsilon = 1e-3f, .act = EGI_ACT_RELU},     \
            .in = {IMAGES(c), ALL(c), ALL(c), ALL(c), ALL(c)}, .in_absent = 1 << 5, .out = { \
                IMAGES(c)                                                                    \
            }                                                                                \
        }                                                                                    \
    }

#define GATHER(fill_, flip_, ...)                                                             \
    {                                                                                         \
        &egi_op_gather,                                                                       \
        {                                                                                     \
            .args = &(const egi_gather){.affine = {__VA_ARGS__}, .augment = {.flip = flip_}}, \
            .in = {ALL(1024, 32, 32, 3), ALL(128)}, .fill = {fill_, EGI_FILL_ROWS}, .out = {  \
                ALL(128, 32, 32, 3)                                                           \
            }                                                                                 \
        }                                                                                     \
    }
#define UNIT  .channels = 1, .by = {255}, .over = {1}
#define TORCH .channels = 3, .by = {255, 255, 255}, .over = {0.229f, 0.224f, 0.225f}

static const job jobs[] = {
    {&egi_op_copy, {.args = &(const egi_copy){0}, .in = {ALL(1 << 20)}, .out = {ALL(1 << 20)}}},
    {&egi_op_add, {.args = &(const egi_add){0}, .in = {ALL(1 << 20), ALL(1 << 20)}, .out = {ALL(1 << 20)}}},
    ACT(RELU),
    ACT(SIGMOID),
    ACT(TANH),
    ACT(GELU),
    ACT(SOFTPLUS),
    {&egi_op_dropout, {.args = &(const egi_dropout){.rate = 0.5f}, .in = {ALL(1 << 20)}, .out = {ALL(1 << 20)}}},
    NORM(16),
    NORM(64),
    NORM(3),
    {&egi_op_softmax, {.args = &(const egi_softmax){0}, .in = {ALL(128, 10)}, .out = {ALL(128, 10)}}},
    {&egi_op_softmax, {.args = &(const egi_softmax){0}, .in = {ALL(128, 1000)}, .out = {ALL(128, 1000)}}},
    {&egi_op_softmax_xent,
     {.args = &(const egi_softmax_xent){.scale = 1},
      .in = {ALL(128, 10), ALL(128), {0}, {0}},
      .out = {{0}, ALL(128, 10), {0}},
      .in_absent = NO(2) | NO(3),
      .fill = {0, EGI_FILL_LABELS}}},
    {&egi_op_softmax_xent,
     {.args = &(const egi_softmax_xent){.scale = 1},
      .in = {ALL(128, 1000), ALL(128), {0}, {0}},
      .out = {{0}, ALL(128, 1000), {0}},
      .in_absent = NO(2) | NO(3),
      .fill = {0, EGI_FILL_LABELS}}},
    {&egi_op_distill,
     {.args = &(const egi_distill){.scale = 1, .temperature = 2},
      .in = {ALL(128, 1000), ALL(128, 900), {0}},
      .out = {{0}, ALL(128, 1000)},
      .in_absent = NO(2)}},
    GATHER(EGI_FILL_BYTES, 0, UNIT),
    GATHER(EGI_FILL_NORMAL, 0, UNIT),
    GATHER(EGI_FILL_BYTES, 0, TORCH),
    GATHER(EGI_FILL_NORMAL, 0, TORCH),
    GATHER(EGI_FILL_BYTES, 1, UNIT),
    UPDATE(sgd, plain, NO(2) | NO(3) | NO_ANCHOR, .momentum = 0),
    UPDATE(sgd, plain, NO(3) | NO_ANCHOR, .momentum = 0.9),
    UPDATE(adam, plain, NO_ANCHOR, ADAM),
    UPDATE(adam, punished, NO_ANCHOR, ADAM),
    UPDATE(adam, plain, 0, ADAM),
    UPDATE(rmsprop, plain, NO(2) | NO_ANCHOR, .rho = 0.9, .epsilon = 1e-7),
};

typedef struct setup {
    egi_plan *plan;
    void *memory[EGI_MAX_IN + EGI_MAX_OUT];
    int n;
    double bytes; /* that a run reads and writes */
} setup;

static egi_val bind(setup *s, const egi_shape *shape, egi_fill fill)
{
    const egi_dtype dtype = fill == EGI_FILL_LABELS || fill == EGI_FILL_ROWS ? EGI_I32
                            : fill == EGI_FILL_BYTES                         ? EGI_U8
                                                                             : EGI_F32;
    const int64_t n = egi_shape_count(shape);
    void *data = aligned_alloc(64, ((size_t)n * 4 + 63) / 64 * 64);
    const egi_tensor t = {.data = data, .dtype = dtype, .shape = *shape};
    for (int64_t i = 0; i < n; i++)
        egi_set(&t, i, dtype != EGI_F32 ? (double)(i % 10) : 0.1 + (double)(i * 7919 % 1000) / 2000);
    s->memory[s->n++] = data;
    return egi_plan_bind(s->plan, dtype, *shape, data);
}

static eg_status make(setup *s, eg_context *c, const job *j)
{
    const egi_op *op = j->op;
    char args[512];
    memcpy(args, j->k.args, op->size);
    EG_TRY(egi_plan_create(&s->plan, c, 1, EGI_F32, true));
    for (int i = 0; op->in[i]; i++)
        if (!(j->k.in_absent >> i & 1))
            *egi_arg_ref(args, op->in[i]) = bind(s, &j->k.in[i], j->k.fill[i]);
    for (int i = 0; op->out[i]; i++)
        if (!(j->k.out_absent >> i & 1) && egi_arg(args, op->out[i]) == EGI_NONE)
            *egi_arg_ref(args, op->out[i]) = bind(s, &j->k.out[i], EGI_FILL_NORMAL);
    EG_TRY(egi_plan_emit(s->plan, op, args));
    s->bytes = egi_op_bytes(op, args, s->plan->t);
    return egi_plan_compile(s->plan);
}

#define ROUNDS 51

static eg_status measure(const setup *s, double *median)
{
    const egi_control control = {.seed = 1, .lr = 1e-6, .strength = 1};
    double seconds[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = egi_clock();
        EG_TRY(egi_plan_run(s->plan, &control));
        seconds[i] = egi_clock() - begin;
    }
    *median = bench_median(seconds, ROUNDS);
    return EG_OK;
}

static eg_status run_job(eg_context *c, const job *j)
{
    setup s = {0};
    double seconds = 0;
    eg_status status = make(&s, c, j);
    if (status == EG_OK)
        status = measure(&s, &seconds);
    if (status == EG_OK)
        printf("%-20s %-18s %10.1f us %8.2f GB/s\n", j->op->name, egi_shape_format(&j->k.in[0]).s, seconds * 1e6,
               s.bytes / seconds * 1e-9);
    egi_plan_free(s.plan);
    for (int i = 0; i < s.n; i++)
        free(s.memory[i]);
    return status;
}

int main(int argc, char **argv)
{
    static const egi_device_type *const types[] = {&egi_device_cpu, NULL};
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.threads = argc > 1 ? atoi(argv[1]) : 0;
    eg_context *c;
    eg_status status = egi_context_create(&c, &options, types);
    if (status == EG_OK) {
        printf("%s\n", eg_context_describe(c));
        for (size_t i = 0; i < sizeof jobs / sizeof *jobs && status == EG_OK; i++)
            if (argc < 3 || strcmp(argv[2], jobs[i].op->name) == 0)
                status = run_job(c, &jobs[i]);
        eg_context_free(c);
    }
    if (status != EG_OK)
        fprintf(stderr, "%s\n", eg_last_message());
    return status != EG_OK;
}
