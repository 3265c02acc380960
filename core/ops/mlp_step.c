#include "core/ops/mlp.h"

#include "core/ops/check.h"
#include "core/ops/dense.h"
#include "core/ops/loss.h"
#include "core/ops/pointwise.h"

static eg_status check_layer(const egi_plan *p, const egi_mlp_step *a, int l, int64_t in)
{
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    EG_TRY(egi_check_rank(p, "w", a->w[l], 2));
    const egi_shape w = *egi_shape_of(p, a->w[l]);
    if (w.dim[0] != in || w.dim[1] < 1 || w.dim[1] > EGI_MLP_WIDTH)
        return egi_fail(EG_ERR_SHAPE, "w of layer %d: wanted %lld rows and 1 to %d columns, found %s", l, (long long)in,
                        EGI_MLP_WIDTH, egi_shape_format(&w).s);
    EG_TRY(egi_check_is(p, "w", a->w[l], dtype, w));
    EG_TRY(egi_check_may(p, "b", a->b[l], dtype, EGI_SHAPE(w.dim[1])));
    EG_TRY(egi_check_is(p, "dw", a->dw[l], dtype, w));
    if (a->b[l] != EGI_NONE)
        EG_TRY(egi_check_is(p, "db", a->db[l], dtype, EGI_SHAPE(w.dim[1])));
    else if (a->db[l] != EGI_NONE)
        return egi_fail(EG_ERR_ARG, "db of layer %d: wanted none, as there is no b", l);
    return egi_check_fused(a->act[l], a->alpha[l]);
}

static eg_status check_loss(const egi_plan *p, const egi_mlp_step *a, int64_t n, int64_t classes)
{
    const egi_dtype dtype = egi_dtype_of(p, a->x);
    if ((a->labels == EGI_NONE) == (a->targets == EGI_NONE))
        return egi_fail(EG_ERR_ARG, "wanted labels or targets, found %s", a->labels == EGI_NONE ? "neither" : "both");
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return egi_fail(EG_ERR_ARG, "label_smoothing: wanted 0 to 1, found %g", (double)a->label_smoothing);
    EG_TRY(egi_check_may(p, "labels", a->labels, EGI_I32, EGI_SHAPE(n)));
    EG_TRY(egi_check_may(p, "targets", a->targets, dtype, EGI_SHAPE(n, classes)));
    EG_TRY(egi_check_may(p, "weights", a->weights, dtype, EGI_SHAPE(n)));
    EG_TRY(egi_check_is(p, "loss", a->loss, dtype, EGI_SCALAR));
    return egi_check_may(p, "correct", a->correct, dtype, EGI_SCALAR);
}

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_mlp_step *a = args;
    EG_TRY(egi_check_rank(p, "x", a->x, 2));
    const egi_shape x = *egi_shape_of(p, a->x);
    if (x.dim[0] < 1)
        return egi_fail(EG_ERR_SHAPE, "x: wanted at least one row, found %s", egi_shape_format(&x).s);
    if (a->layers < 1 || a->layers > EGI_MLP_LAYERS)
        return egi_fail(EG_ERR_ARG, "layers: wanted 1 to %d, found %d", EGI_MLP_LAYERS, a->layers);
    int64_t width = x.dim[1];
    for (int l = 0; l < a->layers; l++) {
        EG_TRY(check_layer(p, a, l, width));
        width = egi_dim(p, a->w[l], 1);
    }
    for (int l = a->layers; l < EGI_MLP_LAYERS; l++)
        if (a->w[l] || a->b[l] || a->dw[l] || a->db[l])
            return egi_fail(EG_ERR_ARG, "layer %d: wanted no values beyond %d layers", l, a->layers);
    return check_loss(p, a, x.dim[0], width);
}

static double flops(const void *args, const egi_tensor *t)
{
    const egi_mlp_step *a = args;
    double sum = 0;
    for (int l = 0; l < a->layers; l++) /* y, dw, and the gradient of what is not x */
        sum += (l == 0 ? 2 : 3) * 2.0 * (double)egi_count(&t[a->w[l]]) * (double)t[a->x].shape.dim[0];
    return sum;
}

/* --- the reference: that of the operations it stands for, row by row ------------------------------------------------
 */

enum {
    LABELS = 1,
    TARGETS,
    WEIGHTS,
    LOSS,
    CORRECT,
    ONE,
    DY,
    DZ,
    Y, /* of the layer before: x first */
    W = Y + EGI_MLP_LAYERS + 1,
    B = W + EGI_MLP_LAYERS,
    DW = B + EGI_MLP_LAYERS,
    DB = DW + EGI_MLP_LAYERS,
    VALUES = DB + EGI_MLP_LAYERS
};

/* The values of one row. */
typedef struct row {
    egi_tensor t[VALUES];
    double loss, correct, one, dy[EGI_MLP_WIDTH], dz[EGI_MLP_WIDTH], y[EGI_MLP_LAYERS][EGI_MLP_WIDTH];
} row;

static egi_tensor wide(double *data, egi_shape shape)
{
    return (egi_tensor){.data = data, .dtype = EGI_F64, .shape = shape};
}

static egi_tensor row_of(const egi_tensor *t, int64_t i, int64_t each, egi_shape shape)
{
    return (egi_tensor){
        .data = (char *)t->data + (size_t)(i * each) * egi_dtype_size(t->dtype), .dtype = t->dtype, .shape = shape};
}

static void forward(const egi_mlp_step *a, const egi_tensor *t, int64_t i, row *r)
{
    const egi_tensor *x = &t[a->x];
    r->t[Y] = row_of(x, i, x->shape.dim[1], EGI_SHAPE(1, x->shape.dim[1]));
    for (int l = 0; l < a->layers; l++) {
        const int64_t width = t[a->w[l]].shape.dim[1];
        r->t[W + l] = t[a->w[l]];
        r->t[B + l] = t[a->b[l]];
        r->t[Y + l + 1] = wide(r->y[l], EGI_SHAPE(1, width));
        const egi_dense dense = {.x = Y + l,
                                 .w = W + l,
                                 .b = a->b[l] ? B + l : EGI_NONE,
                                 .y = Y + l + 1,
                                 .act = a->act[l],
                                 .alpha = a->alpha[l]};
        egi_op_dense.reference(&dense, r->t, NULL);
    }
}

/* Of one row with scale 1, then scaled. */
static void loss_of(const egi_mlp_step *a, const egi_tensor *t, int64_t i, row *r)
{
    const double scale = (double)a->scale / (double)t[a->x].shape.dim[0];
    const int64_t classes = t[a->w[a->layers - 1]].shape.dim[1];
    r->t[LABELS] = row_of(&t[a->labels], i, 1, EGI_SHAPE(1));
    r->t[TARGETS] = row_of(&t[a->targets], i, classes, EGI_SHAPE(1, classes));
    r->t[WEIGHTS] = row_of(&t[a->weights], i, 1, EGI_SHAPE(1));
    r->t[LOSS] = wide(&r->loss, EGI_SCALAR);
    r->t[CORRECT] = wide(&r->correct, EGI_SCALAR);
    r->t[DY] = wide(r->dy, EGI_SHAPE(1, classes));
    const egi_softmax_xent xent = {.z = Y + a->layers,
                                   .labels = a->labels ? LABELS : EGI_NONE,
                                   .targets = a->targets ? TARGETS : EGI_NONE,
                                   .weights = a->weights ? WEIGHTS : EGI_NONE,
                                   .loss = LOSS,
                                   .dz = DY,
                                   .correct = CORRECT,
                                   .scale = 1,
                                   .label_smoothing = a->label_smoothing};
    egi_op_softmax_xent.reference(&xent, r->t, NULL);
    r->loss *= scale;
    for (int64_t k = 0; k < classes; k++)
        r->dy[k] *= scale;
}

/* Adds the row's share to dw and db. */
static void backward(const egi_mlp_step *a, const egi_tensor *t, row *r)
{
    r->one = 1;
    r->t[ONE] = wide(&r->one, EGI_SHAPE(1, 1));
    for (int l = a->layers - 1; l >= 0; l--) {
        const egi_shape w = t[a->w[l]].shape, out = EGI_SHAPE(1, w.dim[1]);
        r->t[DZ] = wide(r->dz, out);
        r->t[DW + l] = t[a->dw[l]];
        const egi_activation_grad slope = {.dy = DY, .y = Y + l + 1, .dx = DZ, .act = a->act[l], .alpha = a->alpha[l]};
        const egi_gemm dw = {.a = Y + l, .b = DZ, .c = DW + l, .ta = true, .accumulate = true};
        const egi_gemm db = {.a = ONE, .b = DZ, .c = DB + l, .accumulate = true};
        const egi_gemm dx = {.a = DZ, .b = W + l, .c = DY, .tb = true};
        egi_op_activation_grad.reference(&slope, r->t, NULL);
        egi_op_gemm.reference(&dw, r->t, NULL);
        if (a->db[l]) {
            r->t[DB + l] = row_of(&t[a->db[l]], 0, 0, out);
            egi_op_gemm.reference(&db, r->t, NULL);
        }
        if (l > 0) {
            r->t[DY] = wide(r->dy, EGI_SHAPE(1, w.dim[0]));
            egi_op_gemm.reference(&dx, r->t, NULL);
        }
    }
}

static void clear(const egi_tensor *t)
{
    for (int64_t i = 0; i < egi_count(t); i++)
        egi_set(t, i, 0);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_mlp_step *a = args;
    row r = {.one = 1};
    double loss = 0, correct = 0;
    for (int l = 0; l < a->layers; l++) {
        clear(&t[a->dw[l]]);
        if (a->db[l])
            clear(&t[a->db[l]]);
    }
    for (int64_t i = 0; i < t[a->x].shape.dim[0]; i++) {
        forward(a, t, i, &r);
        loss_of(a, t, i, &r);
        backward(a, t, &r);
        loss += r.loss;
        correct += r.correct;
    }
    egi_set(&t[a->loss], 0, loss);
    if (a->correct)
        egi_set(&t[a->correct], 0, correct);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

#define LAYER(in, out) EGI_STATIC_SHAPE(in, out), EGI_STATIC_SHAPE(out)
#define FIELDS(l)      EGI_FIELD(egi_mlp_step, w[l]), EGI_FIELD(egi_mlp_step, b[l])
#define GRADS(l)       EGI_FIELD(egi_mlp_step, dw[l]), EGI_FIELD(egi_mlp_step, db[l])

/* What is absent, as bits of egi_op_case: places in `in` and `out` below. */
#define NO_LABELS     (1u << 1)
#define NO_TARGETS    (1u << 2)
#define NO_WEIGHTS    (1u << 3)
#define NO_CORRECT    (1u << 1)
#define NO_BIAS(l)    (1u << (5 + 2 * (l)))
#define NO_DB(l)      (1u << (3 + 2 * (l)))
#define BEYOND_IN(n)  (0xFFFFu << (4 + 2 * (n)) & 0xFFFFu)
#define BEYOND_OUT(n) (0x3FFFu << (2 + 2 * (n)) & 0x3FFFu)

/* `...`: the layers' shapes. */
#define CASE(args_, n_layers, n, in_, classes, absent, unwanted, ...)                                            \
    {                                                                                                            \
        .args = &(args_),                                                                                        \
        .in = {EGI_STATIC_SHAPE(n, in_), EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(n, classes), EGI_STATIC_SHAPE(n), \
               __VA_ARGS__},                                                                                     \
        .out = {{0}, {0}, __VA_ARGS__}, .in_absent = (absent) | BEYOND_IN(n_layers),                             \
        .out_absent = (unwanted) | BEYOND_OUT(n_layers),                                                         \
        .fill = {EGI_FILL_NORMAL, EGI_FILL_ROWS, EGI_FILL_ONEHOT, EGI_FILL_POSITIVE}, .labels = classes          \
    }

static const egi_mlp_step one = {.layers = 1, .scale = 1.5f},
                          two = {.layers = 2, .act = {EGI_ACT_RELU}, .scale = 1, .label_smoothing = 0.1f},
                          tanhs = {.layers = 2, .act = {EGI_ACT_TANH, EGI_ACT_TANH}, .scale = 0.5f},
                          three = {.layers = 3, .act = {EGI_ACT_RELU, EGI_ACT_RELU}, .scale = 1},
                          mixed = {.layers = 3,
                                   .act = {EGI_ACT_SIGMOID, EGI_ACT_LEAKY_RELU, EGI_ACT_RELU6},
                                   .alpha = {0, 0.3f},
                                   .scale = 2,
                                   .label_smoothing = 0.2f},
                          four = {.layers = 4,
                                  .act = {EGI_ACT_TANH, EGI_ACT_LINEAR, EGI_ACT_SIGMOID, EGI_ACT_LINEAR},
                                  .scale = 1},
                          six = {.layers = 6,
                                 .act = {EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH, EGI_ACT_TANH},
                                 .scale = 1};

static const egi_op_case cases[] = {
    CASE(one, 1, 7, 5, 3, NO_TARGETS, 0, LAYER(5, 3)),
    CASE(one, 1, 1, 1, 2, NO_TARGETS | NO_WEIGHTS | NO_BIAS(0), NO_DB(0), LAYER(1, 2)),
    CASE(one, 1, 64, 1031, 10, NO_LABELS, 0, LAYER(1031, 10)),
    CASE(two, 2, 64, 13, 7, NO_TARGETS, 0, LAYER(13, 33), LAYER(33, 7)),
    CASE(two, 2, 7, 64, 10, NO_LABELS | NO_WEIGHTS, NO_CORRECT, LAYER(64, 32), LAYER(32, 10)),
    CASE(tanhs, 2, 65, 3, 256, NO_TARGETS | NO_BIAS(1), NO_DB(1) | NO_CORRECT, LAYER(3, 1), LAYER(1, 256)),
    CASE(three, 3, 19, 784, 10, NO_TARGETS | NO_WEIGHTS, 0, LAYER(784, 100), LAYER(100, 100), LAYER(100, 10)),
    CASE(mixed, 3, 33, 20, 5, NO_TARGETS | NO_BIAS(0), NO_DB(0), LAYER(20, 17), LAYER(17, 40), LAYER(40, 5)),
    CASE(four, 4, 12, 31, 6, NO_TARGETS, 0, LAYER(31, 24), LAYER(24, 255), LAYER(255, 9), LAYER(9, 6)),
    CASE(six, 6, 5, 6, 4, NO_TARGETS, 0, LAYER(6, 8), LAYER(8, 3), LAYER(3, 2), LAYER(2, 5), LAYER(5, 1), LAYER(1, 4)),
};

const egi_op egi_op_mlp_step = {
    .name = "mlp_step",
    .size = sizeof(egi_mlp_step),
    .in = {EGI_FIELD(egi_mlp_step, x), EGI_FIELD(egi_mlp_step, labels), EGI_FIELD(egi_mlp_step, targets),
           EGI_FIELD(egi_mlp_step, weights), FIELDS(0), FIELDS(1), FIELDS(2), FIELDS(3), FIELDS(4), FIELDS(5)},
    .out = {EGI_FIELD(egi_mlp_step, loss), EGI_FIELD(egi_mlp_step, correct), GRADS(0), GRADS(1), GRADS(2), GRADS(3),
            GRADS(4), GRADS(5)},
    .check = check,
    .reference = reference,
    .flops = flops,
    EGI_CASES(cases),
};
