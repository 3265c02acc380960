/** core/op.h: what an operation is. One descriptor in core/ops/<op>.c, one args struct in core/ops/<op>.h, one line in
 *  core/ops/ops.def. Passes walk any operation's values through `in` and `out` without knowing it. */
#ifndef EGI_OP_H
#define EGI_OP_H

#include "core/tensor.h"

#include <stddef.h>

typedef struct egi_plan egi_plan;
typedef struct egi_grads egi_grads;

/** A value of a plan: an index into its tensor table. */
typedef int32_t egi_val;
#define EGI_NONE ((egi_val)0) /* no value; tensor 0 of every table has data NULL */

/** What varies from step to step; read by kernels when they run, so that a prepared plan never changes. */
typedef struct egi_control {
    uint64_t seed;           /* context's seed */
    int64_t step;            /* 0 in the first step of a run; Adam's t is step + 1, dropout's stream is step */
    double lr;               /* learning rate of this step */
    double strength;         /* lambda of the quadratic anchor */
    int64_t fisher_class;    /* which class fisher_seed differentiates */
    int64_t weights_version; /* raised whenever parameters changed: packed copies of weights are then stale */
} egi_control;

#define EGI_MAX_IN   16
#define EGI_MAX_OUT  14
#define EGI_MAX_OVER 4

/** Where a value field lies in the args struct, plus one so that 0 ends the list. */
#define EGI_FIELD(type, field) ((uint16_t)(offsetof(type, field) + 1))

/** How the conformance suite fills an input of a case. */
typedef enum egi_fill {
    EGI_FILL_NORMAL,    /* standard normal */
    EGI_FILL_POSITIVE,  /* uniform in [0.5, 1.5): variances */
    EGI_FILL_UNIT,      /* uniform in (0, 1): probabilities */
    EGI_FILL_LABELS,    /* i32, uniform in [0, labels) */
    EGI_FILL_ONEHOT,    /* rows that are one-hot */
    EGI_FILL_DISTINCT,  /* a shuffled range, all different by 0.1: max pooling has no ties */
    EGI_FILL_AWAY,      /* normal, but no nearer to 0 than 0.05: kinks of relu and abs */
    EGI_FILL_POSITIONS, /* u8, uniform in [0, labels): places in a pooling window */
    EGI_FILL_BYTES,     /* u8, uniform */
    EGI_FILL_ROWS,      /* i32, uniform in [-1, labels): rows of a table, or none */
    EGI_FILL_NEGATIVE   /* uniform in (-1.5, -0.5] */
} egi_fill;

/** One example of an operation: its attributes and the shapes of its values, in the order of `in` and `out`.
 *  A value whose `present` bit is off is EGI_NONE. The value fields of `args` are filled in by the suite. */
typedef struct egi_op_case {
    const void *args;
    egi_shape in[EGI_MAX_IN], out[EGI_MAX_OUT];
    uint32_t in_absent, out_absent; /* bit i: value i is EGI_NONE */
    egi_fill fill[EGI_MAX_IN];
    int labels;       /* for EGI_FILL_LABELS, EGI_FILL_ROWS and EGI_FILL_POSITIONS */
    double tolerance; /* of fast f32 kernels against the reference, relative to max|y|; 0: 1e-5 */
} egi_op_case;

typedef struct egi_op {
    const char *name;
    size_t size; /* of the args struct */
    uint16_t in[EGI_MAX_IN + 1];
    uint16_t out[EGI_MAX_OUT + 1];
    /* Outputs that every kernel can write where an input of the same size is, element over element: tried in order. */
    struct {
        uint16_t out, in;
    } over[EGI_MAX_OVER + 1];
    /** Shapes, dtypes, attributes: once, for all devices. Messages name both shapes. */
    eg_status (*check)(const egi_plan *plan, const void *args);
    /** Emits operations that turn gradients of outputs into gradients of inputs; NULL: not differentiable. */
    eg_status (*grad)(egi_plan *plan, const void *args, egi_grads *grads);
    /** Emits the accumulation of squared per-sample parameter gradients (Fisher) into egi_square_of() of each
     * parameter, given egi_grad_of() of the outputs; NULL: no parameters, or only one sample at a time. */
    eg_status (*square)(egi_plan *plan, const void *args, egi_grads *grads);
    /** Plain loops in double: the oracle for every dtype and device. `t` is indexed by egi_val. */
    void (*reference)(const void *args, const egi_tensor *t, const egi_control *control);
    /** Multiplications and additions of one run, as they are counted by convention: 2 a multiply-add, places in the
     * padding count too. NULL: an operation that only moves memory, or nearly. */
    double (*flops)(const void *args, const egi_tensor *t);
    /** Bytes that one run reads and writes, where that is not `all`: every value in `in` read and every one in `out`
     * written, once. NULL: it is. */
    double (*bytes)(const void *args, const egi_tensor *t, double all);
    /** What an example becomes depends on more than the example and the weights: on a draw, on the rest of the batch.
     */
    bool varies;
    const egi_op_case *cases;
    int n_cases;
} egi_op;

/** One pair of `over`. */
#define EGI_OVER(type, output, input)                   \
    {                                                   \
        EGI_FIELD(type, output), EGI_FIELD(type, input) \
    }

#define EGI_CASES(array) .cases = (array), .n_cases = (int)(sizeof(array) / sizeof *(array))

/** Tiers of ops.def: REQUIRED of every device; FUSED: a device without it gets it composed; OPTIONAL. */
#define EGI_OP_DECLARE(op_name, tier) extern const egi_op egi_op_##op_name;
#define EG_OP(op_name, tier)          EGI_OP_DECLARE(op_name, tier)
#include "core/ops/ops.def"
#undef EG_OP

/** All operations in the order of ops.def, NULL at the end. */
extern const egi_op *const egi_ops[];

/** Value `i` of a list of an args struct. */
static inline egi_val egi_arg(const void *args, uint16_t field)
{
    return *(const egi_val *)((const char *)args + (field - 1));
}

static inline egi_val *egi_arg_ref(void *args, uint16_t field)
{
    return (egi_val *)((char *)args + (field - 1));
}

#endif
