#include "bench/shapes.h"

#include "core/ops/ops.h"

#define S(...) EGI_STATIC_SHAPE(__VA_ARGS__)
#define NO(i)  (1u << (i))
#define ARGS(name, ...)         \
    .args = &(const egi_##name) \
    {                           \
        __VA_ARGS__             \
    }
#define JOB(name, what, ...)                                       \
    {                                                              \
        .op = &egi_op_##name, .note = (what), .k = { __VA_ARGS__ } \
    }

/* The three products of a dense layer: forward, to the input, to the weights. */
#define DENSE(n, i, o)                                                                                           \
    JOB(dense, "relu", ARGS(dense, .act = EGI_ACT_RELU), .in = {S(n, i), S(i, o), S(o)}, .out = {S(n, o)}),      \
        JOB(gemm, "nt", ARGS(gemm, .tb = true), .in = {S(n, o), S(i, o)}, .in_absent = NO(2), .out = {S(n, i)}), \
        JOB(gemm, "tn", ARGS(gemm, .ta = true), .in = {S(n, i), S(n, o)}, .in_absent = NO(2), .out = {S(i, o)}), \
        JOB(square_gemm, NULL, ARGS(square_gemm, .a = 0), .in = {S(n, i), S(n, o), S(i, o)}, .out = {S(i, o)})

/* Of a convolution with images of h x h, kernels of k x k, padding p, stride s, outputs of o x o. */
#define GEOMETRY(p, s, groups_) .g = {{s, s}, {p, p}, {1, 1}, groups_}
#define CONV(n, h, c, k_, f, p, s, o, groups)                                                                      \
    JOB(conv2d, "relu", ARGS(conv2d, GEOMETRY(p, s, groups), .act = EGI_ACT_RELU),                                 \
        .in = {S(n, h, h, c), S(k_, k_, (c) / (groups), f), S(f)}, .in_absent = NO(3), .out = {S(n, o, o, f)}),    \
        JOB(conv2d_dx, NULL, ARGS(conv2d_dx, GEOMETRY(p, s, groups)),                                              \
            .in = {S(n, o, o, f), {0}, S(k_, k_, (c) / (groups), f)}, .in_absent = NO(1), .out = {S(n, h, h, c)}), \
        JOB(conv2d_dw, NULL, ARGS(conv2d_dw, GEOMETRY(p, s, groups)), .in = {S(n, h, h, c), S(n, o, o, f)},        \
            .in_absent = NO(2), .out = {S(k_, k_, (c) / (groups), f), S(f)})

#define ACT(n, kind, name) \
    JOB(activation, name, ARGS(activation, .act = EGI_ACT_##kind, .max_value = -1), .in = {S(n)}, .out = {S(n)})
#define STREAMS(n)                                                                                  \
    JOB(copy, NULL, ARGS(copy, .x = 0), .in = {S(n)}, .out = {S(n)}),                               \
        JOB(add, NULL, ARGS(add, .y = 0), .in = {S(n), S(n)}, .out = {S(n)}), ACT(n, RELU, "relu"), \
        ACT(n, TANH, "tanh"), ACT(n, GELU, "gelu"),                                                 \
        JOB(activation_grad, "relu", ARGS(activation_grad, .act = EGI_ACT_RELU, .max_value = -1),   \
            .in = {S(n), {0}, S(n)}, .in_absent = NO(1), .out = {S(n)}),                            \
        JOB(dropout, NULL, ARGS(dropout, .rate = 0.5f), .in = {S(n)}, .out = {S(n)}),               \
        JOB(square_add, NULL, ARGS(square_add, .x = 0), .in = {S(n), S(n)}, .out = {S(n)})

#define NORM(n, h, c)                                                                                   \
    JOB(batchnorm, NULL, ARGS(batchnorm, .epsilon = 1e-3f, .momentum = 0.99f),                          \
        .in = {S(n, h, h, c), S(c), S(c), S(c), S(c)}, .in_absent = NO(5),                              \
        .out = {S(n, h, h, c), S(c), S(c), S(c), S(c)}),                                                \
        JOB(batchnorm_grad, NULL, ARGS(batchnorm_grad, .y = 0),                                         \
            .in = {S(n, h, h, c), S(n, h, h, c), S(c), S(c), S(c)}, .in_absent = NO(5),                 \
            .out = {S(n, h, h, c), S(c), S(c)}, .out_absent = NO(3)),                                   \
        JOB(batchnorm_infer, "relu", ARGS(batchnorm_infer, .epsilon = 1e-3f, .act = EGI_ACT_RELU),      \
            .in = {S(n, h, h, c), S(c), S(c), S(c), S(c)}, .in_absent = NO(5), .out = {S(n, h, h, c)}), \
        JOB(column_sum, NULL, ARGS(column_sum, .x = 0), .in = {S(n, h, h, c)}, .out = {S(c)}),          \
        JOB(spatial_mean, NULL, ARGS(spatial_mean, .x = 0), .in = {S(n, h, h, c)}, .out = {S(n, c)}),   \
        JOB(spatial_mean_grad, NULL, ARGS(spatial_mean_grad, .dy = 0), .in = {S(n, c)}, .out = {S(n, h, h, c)})

#define WINDOW(k) .g = {{k, k}, {k, k}, {0, 0}}
#define POOL(n, o, c, k_)                                                                             \
    JOB(maxpool, NULL, ARGS(maxpool, WINDOW(k_)), .in = {S(n, (k_) * (o), (k_) * (o), c)},            \
        .out = {S(n, o, o, c), S(n, o, o, c)}),                                                       \
        JOB(maxpool_grad, NULL, ARGS(maxpool_grad, WINDOW(k_)), .in = {S(n, o, o, c), S(n, o, o, c)}, \
            .out = {S(n, (k_) * (o), (k_) * (o), c)}, .fill = {EGI_FILL_NORMAL, EGI_FILL_POSITIONS})

#define LOSS(n, classes)                                                                      \
    JOB(softmax, NULL, ARGS(softmax, .x = 0), .in = {S(n, classes)}, .out = {S(n, classes)}), \
        JOB(softmax_xent, NULL, ARGS(softmax_xent, .scale = 1), .in = {S(n, classes), S(n)},  \
            .in_absent = NO(2) | NO(3), .out = {{0}, S(n, classes), {0}}, .fill = {EGI_FILL_NORMAL, EGI_FILL_LABELS})

#define GATHER(what, fill_, flip_, ...)                                                                         \
    JOB(gather, what, ARGS(gather, .affine = {__VA_ARGS__}, .augment = {.flip = flip_}),                        \
        .in = {S(1024, 32, 32, 3), S(128)}, .in_absent = NO(2), .fill = {fill_, EGI_FILL_ROWS}, .labels = 1024, \
        .out = {S(128, 32, 32, 3)})
#define UNIT  .channels = 1, .by = {255}, .over = {1}
#define TORCH .channels = 3, .by = {255, 255, 255}, .over = {0.229f, 0.224f, 0.225f}

/* Its values: w, grad, m, v, anchor, omega, norm, ema; w, m, v, ema come out. */
#define UPDATE(name, what, n, absent, ...)                                                                       \
    JOB(name, what,                                                                                              \
        ARGS(update, .segments = &(const egi_segment){.end = (n), .lr_scale = 1}, .n_segments = 1, __VA_ARGS__), \
        .in = {S(n), S(n), S(n), S(n), S(n), S(n), {0}, S(n)}, .in_absent = (absent) | NO(6),                    \
        .out = {S(n), S(n), S(n), S(n)}, .out_absent = ((absent) >> 1 & 6) | ((absent) >> 4 & 8) | NO(4))
#define ADAM  .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7
#define ALONE (NO(4) | NO(5) | NO(7))
#define UPDATES(n)                                                                                                     \
    UPDATE(sgd, NULL, n, NO(2) | NO(3) | ALONE, .momentum = 0),                                                        \
        UPDATE(sgd, "momentum", n, NO(3) | ALONE, .momentum = 0.9), UPDATE(adam, NULL, n, ALONE, ADAM),                \
        UPDATE(adam, "anchor", n, NO(7), ADAM), UPDATE(adam, "average", n, NO(4) | NO(5), .ema_momentum = 0.99, ADAM), \
        UPDATE(rmsprop, NULL, n, NO(2) | ALONE, .rho = 0.9, .epsilon = 1e-7)

const bench_job bench_jobs[] = {
    DENSE(128, 784, 512), /* 784-512-256-10 on MNIST */
    DENSE(1024, 1024, 1024),
    DENSE(256, 2048, 1000),
    CONV(128, 28, 1, 5, 6, 2, 1, 28, 1), /* LeNet */
    CONV(32, 7, 64, 1, 128, 0, 1, 7, 1),
    CONV(8, 14, 64, 3, 64, 1, 1, 14, 1),
    CONV(32, 56, 64, 3, 64, 1, 1, 56, 1), /* ResNet-50 */
    CONV(32, 56, 64, 1, 256, 0, 1, 56, 1),
    CONV(32, 224, 3, 7, 64, 3, 2, 112, 1),
    CONV(32, 14, 256, 3, 256, 1, 1, 14, 1),
    CONV(32, 14, 64, 3, 64, 1, 1, 14, 64), /* MobileNet */
    CONV(32, 56, 128, 3, 128, 1, 1, 56, 128),
    STREAMS(1 << 20),
    STREAMS(1 << 26), /* more than any cache holds */
    NORM(32, 14, 64),
    NORM(32, 56, 256),
    NORM(256, 7, 2048),
    POOL(32, 14, 64, 2),
    POOL(32, 56, 64, 2),
    LOSS(128, 10),
    LOSS(1024, 1000),
    JOB(distill, NULL, ARGS(distill, .scale = 1, .temperature = 2), .in = {S(128, 1000), S(128, 900)},
        .in_absent = NO(2), .out = {{0}, S(128, 1000)}),
    GATHER("bytes", EGI_FILL_BYTES, 0, UNIT),
    GATHER("floats", EGI_FILL_NORMAL, 0, UNIT),
    GATHER("bytes by channel", EGI_FILL_BYTES, 0, TORCH),
    GATHER("flipped bytes", EGI_FILL_BYTES, 1, UNIT),
    UPDATES(535818),   /* parameters of 784-512-256-10 */
    UPDATES(25557032), /* of ResNet-50 */
    {0},
};
